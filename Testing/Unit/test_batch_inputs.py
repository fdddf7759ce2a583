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


def test_studies_mixed_in_one_folder_are_one_input(tmp_path) -> None:
    dicom(tmp_path / "mix" / "1.dcm", "1.1")
    dicom(tmp_path / "mix" / "deeper" / "2.dcm", "1.2")
    assert sources([str(tmp_path / "mix")]) == [str(tmp_path / "mix")]


def test_volume_files_in_a_folder_are_scans_but_label_maps_are_not(tmp_path) -> None:
    for name in ("a.nii.gz", "b.nrrd", "b-labels.nrrd", "structures.nrrd", "c.seg.nrrd", "notes.txt"):
        touch(tmp_path / "scans" / name)
    assert [case.name for case in find_cases([str(tmp_path / "scans")])] == ["a", "b"]


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


def test_a_list_gives_scans_and_masks_relative_to_itself(tmp_path) -> None:
    listing = touch(tmp_path / "list.csv", "id,input,mask\n1,a.nrrd,a-mask.nrrd\n2,/elsewhere/b.nrrd,\n\n")
    assert find_cases([str(listing)]) == [
        Case("a", str(tmp_path / "a.nrrd"), str(tmp_path / "a-mask.nrrd")),
        Case("b", "/elsewhere/b.nrrd"),
    ]


def test_a_list_without_a_header_is_one_scan_a_row(tmp_path) -> None:
    listing = touch(tmp_path / "list.csv", "a.nrrd\nb.nrrd\n")
    assert [case.name for case in find_cases([str(listing)])] == ["a", "b"]


def test_an_empty_list_is_an_error_in_words(tmp_path) -> None:
    with pytest.raises(NoInputError, match="empty"):
        find_cases([str(touch(tmp_path / "list.csv", "\n"))])


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
