"""Which scans a batch finds in what the user names."""

from __future__ import annotations

import os
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from CACScoringLib.batch.inputs import Case, NoInputError, find_cases, input_identity


def touch(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def dicom(path: Path, study: str) -> Path:
    """Write a DICOM header without pixels."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.StudyInstanceUID, data.SOPClassUID, data.SOPInstanceUID = (
        study,
        CTImageStorage,
        meta.MediaStorageSOPInstanceUID,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, data)
    return path


def notes_on(*inputs: Path | str, each_mask: bool = False) -> list[str]:
    notes: list[str] = []
    find_cases([str(each) for each in inputs], each_mask=each_mask, note=notes.append)
    return notes


def sources(inputs: list[str]) -> list[str]:
    return [case.source for case in find_cases(inputs)]


def test_a_folder_of_one_study_is_one_scan_however_deep(tmp_path) -> None:
    for series in ("a", "b"):
        dicom(tmp_path / "patient" / "study" / series / "1.dcm", "1.2.3")
    assert find_cases([str(tmp_path / "patient")]) == [Case("patient", str(tmp_path / "patient"))]


def test_a_folder_of_patients_gives_one_scan_a_study_named_after_the_highest_folder_of_its_own(tmp_path) -> None:
    dicom(tmp_path / "cohort" / "anna" / "ct" / "1.dcm", "1.1")
    touch(tmp_path / "cohort" / "anna" / "labels.nrrd")
    dicom(tmp_path / "cohort" / "bert" / "2020" / "ct" / "1.dcm", "1.2")
    dicom(tmp_path / "cohort" / "bert" / "2023" / "ct" / "1.dcm", "1.3")
    cases = find_cases([str(tmp_path / "cohort")])
    assert [case.source for case in cases] == [
        str(tmp_path / "cohort" / name) for name in ("anna", "bert/2020", "bert/2023")
    ]
    assert [case.name for case in cases] == ["anna", "2020", "2023"]


def test_studies_mixed_in_one_folder_are_one_input_and_a_note_says_so(tmp_path) -> None:
    dicom(tmp_path / "mix" / "1.dcm", "1.1")
    dicom(tmp_path / "mix" / "deeper" / "2.dcm", "1.2")
    assert sources([str(tmp_path / "mix")]) == [str(tmp_path / "mix")]
    (note,) = notes_on(tmp_path / "mix")
    assert note.startswith(f"'{tmp_path / 'mix'}' holds 2 studies that share a folder, and only one is scored")


def test_a_volume_file_beside_dicom_is_a_scan_too(tmp_path) -> None:
    cohort = tmp_path / "cohort"
    dicom(cohort / "anna" / "ct" / "1.dcm", "1.1")
    touch(cohort / "bert" / "ct.nrrd")
    dicom(cohort / "carl" / "1.dcm", "1.2")
    touch(cohort / "carl" / "second.nii.gz")
    expected = ("anna", "bert/ct.nrrd", "carl", "carl/second.nii.gz")
    assert sources([str(cohort)]) == [str(cohort / name) for name in expected]


def test_what_lies_on_a_medium_beside_its_scans_hides_none_of_them(tmp_path) -> None:
    for place in ("", "p1", "p2"):
        for name in ("AUTORUN.INF", "COPYING", "LICENSE", "README"):
            touch(tmp_path / "disc" / place / name)
    for place, study in (("p1", "1.1"), ("p2", "1.2")):
        dicom(tmp_path / "disc" / place / "slice-1", study)
    listed = pydicom.dcmread(tmp_path / "disc" / "p1" / "slice-1")
    listed.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    pydicom.dcmwrite(tmp_path / "disc" / "DICOMDIR", listed)
    assert sources([str(tmp_path / "disc")]) == [str(tmp_path / "disc" / name) for name in ("p1", "p2")]


def test_dicom_without_a_preamble_is_found(tmp_path) -> None:
    for name in ("p1", "p2"):
        path = dicom(tmp_path / "old" / name / "1.dcm", f"1.{name[1]}")
        data = pydicom.dcmread(path)
        bare = pydicom.Dataset({each.tag: each for each in data})
        bare.SpecificCharacterSet = "ISO_IR 100"
        pydicom.dcmwrite(path, bare, implicit_vr=True, little_endian=True, enforce_file_format=False)
        assert path.read_bytes()[128:132] != b"DICM"
    assert sources([str(tmp_path / "old")]) == [str(tmp_path / "old" / name) for name in ("p1", "p2")]


def test_volume_files_in_a_folder_are_scans_but_label_maps_are_not(tmp_path) -> None:
    for name in ("a.nii.gz", "b.nrrd", "b-labels.nrrd", "structures.nrrd", "c.seg.nrrd", "notes.txt"):
        touch(tmp_path / "scans" / name)
    assert [case.name for case in find_cases([str(tmp_path / "scans")])] == ["a", "b"]


def test_only_whole_words_of_a_name_make_a_label_map_and_the_note_counts_them(tmp_path) -> None:
    scans = tmp_path / "scans"
    for name in ("Segal", "Unlabelled_3", "Maskell", "truthful", "a_seg2", "a.labels", "b-Mask", "truth"):
        touch(scans / f"{name}.nrrd")
    assert [case.name for case in find_cases([str(scans)])] == ["Maskell", "Segal", "Unlabelled_3", "truthful"]
    (note,) = notes_on(scans)
    assert note.startswith("4 files were left out, by name masks or labels; name one itself to score it: ")
    assert str(scans / "a_seg2.nrrd") in note
    assert sources([str(scans / "a_seg2.nrrd")]) == [str(scans / "a_seg2.nrrd")]


def test_folders_that_are_not_looked_into_are_named(tmp_path) -> None:
    touch(tmp_path / "elsewhere" / "a.nrrd")
    touch(tmp_path / "cohort" / "b.nrrd")
    (tmp_path / "cohort" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (note,) = notes_on(tmp_path / "cohort")
    assert note.startswith("1 folder was not looked into")
    assert str(tmp_path / "cohort" / "linked") in note


def test_bookkeeping_of_macos_is_no_scan(tmp_path) -> None:
    for name in ("a.nii.gz", "._a.nii.gz", "__MACOSX/b.nii.gz"):
        touch(tmp_path / "scans" / name)
    assert [case.name for case in find_cases([str(tmp_path / "scans")])] == ["a"]


def test_a_folder_with_nothing_in_it_stays_an_input_so_that_its_row_says_why(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    assert sources([str(tmp_path / "empty"), str(tmp_path / "not-there.nrrd")]) == [
        str(tmp_path / "empty"),
        str(tmp_path / "not-there.nrrd"),
    ]


def test_patterns_are_expanded_and_each_scan_comes_once(tmp_path) -> None:
    for name in ("a.nrrd", "b.nrrd"):
        touch(tmp_path / name)
    pattern = str(tmp_path / "*.nrrd")
    assert sources([pattern, str(tmp_path / "a.nrrd")]) == [str(tmp_path / "a.nrrd"), str(tmp_path / "b.nrrd")]
    with pytest.raises(NoInputError, match=r"matches '.*\*\.mha'"):
        find_cases([str(tmp_path / "*.mha")])


def test_a_scan_is_one_case_however_its_path_is_written(tmp_path, monkeypatch) -> None:
    dicom(tmp_path / "cohort" / "c" / "1.dcm", "1.1")
    monkeypatch.chdir(tmp_path)
    spellings = ["cohort/c", "./cohort/c", str(tmp_path / "cohort" / "c"), "cohort/../cohort/c/"]
    assert find_cases(spellings) == [Case("c", "cohort/c")]
    (note,) = notes_on(*spellings)
    assert note.startswith(f"3 scans were named again and counted once: 'cohort/c', '{tmp_path / 'cohort' / 'c'}'")


def test_a_scan_with_the_masks_of_two_readers_is_two_cases_named_after_them(tmp_path) -> None:
    rows = [
        "p.nrrd,r1/ann.seg.nrrd",
        "p.nrrd,r1/bob.nrrd",
        "p.nrrd,r2/bob.nrrd",
        "./p.nrrd,r2/../r1/bob.nrrd",
        "q.nrrd,",
    ]
    listing = touch(tmp_path / "list.csv", "input,mask\n" + "\n".join(rows))
    cases = find_cases([str(listing)], each_mask=True)
    assert [case.mask and Path(case.mask).name for case in cases] == ["ann.seg.nrrd", "bob.nrrd", "bob.nrrd", None]
    first, second, third, last = (case.name for case in cases)
    assert (first, last) == ("p-ann.seg", "q")
    assert second != third
    assert all(name.startswith("p-bob-") for name in (second, third))
    assert len({input_identity(case) for case in cases}) == 4
    (note,) = notes_on(listing, each_mask=True)
    assert note == f"1 scan was named again and counted once: '{tmp_path / 'p.nrrd'}'."
    assert [case.name for case in find_cases([str(listing)])] == ["p", "q"]  # where masks do not matter


def test_a_list_gives_scans_and_masks_relative_to_itself(tmp_path) -> None:
    listing = touch(tmp_path / "list.csv", "id,input,mask\n1,a.nrrd,a-mask.nrrd\n2,/elsewhere/b.nrrd,\n\n")
    assert find_cases([str(listing)]) == [
        Case("a", str(tmp_path / "a.nrrd"), str(tmp_path / "a-mask.nrrd")),
        Case("b", "/elsewhere/b.nrrd"),
    ]


def test_a_list_without_a_header_is_one_scan_a_row(tmp_path) -> None:
    listing = touch(tmp_path / "list.csv", "a.nrrd\nb.nrrd\n")
    assert [case.name for case in find_cases([str(listing)])] == ["a", "b"]


def test_scans_of_the_same_name_get_different_folders(tmp_path) -> None:
    for patient in ("p1", "p2"):
        touch(tmp_path / patient / "ct.nrrd")
    names = [case.name for case in find_cases([str(tmp_path / "p1"), str(tmp_path / "p2")])]
    assert len(set(names)) == 2
    assert all(name.startswith("ct-") for name in names)
    assert names == [case.name for case in find_cases([str(tmp_path / "p1"), str(tmp_path / "p2")])]


def test_a_name_holds_only_letters_that_every_file_system_takes() -> None:
    assert [case.name for case in find_cases(["not there/c;d:e.nii.gz", "..hidden.nrrd"])] == ["c_d_e", "hidden"]


def test_identity_changes_with_the_files_and_not_otherwise(tmp_path) -> None:
    scan = touch(tmp_path / "scan" / "1.dcm", "one")
    case = Case("scan", str(scan.parent))
    first = input_identity(case)
    assert input_identity(case) == first
    os.utime(scan, (1, 1))
    changed = input_identity(case)
    assert changed != first
    touch(tmp_path / "scan" / "2.dcm")
    assert input_identity(case) not in (first, changed)
    assert input_identity(Case("scan", case.source, str(scan))) != input_identity(case)
