"""Where the cases and labels of a review come from, and the CSV that it ends in."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import small_scan
from review_samples import (
    BOTH,
    ONE,
    SECOND_SPOT,
    SETTINGS,
    CountingNetwork,
    a_folder,
    begin,
    code_of,
    exported,
    give_to,
    labels_of,
    write_scan,
)

from CACScoringLib.batch.inputs import Case
from CACScoringLib.batch.review_list import review_cases
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.mrml.scene import new_scene
from CACScoringLib.mrml.worklist_files import WorkList
from CACScoringLib.mrml.worklist_table import Status

# where the labels come from


def test_labels_given_in_the_list_are_reviewed_without_the_network(working, tmp_path) -> None:
    write_scan(tmp_path / "a.nrrd", two=True)
    small_scan.write_small_labels(tmp_path / "a-mask.nrrd")
    (tmp_path / "list.csv").write_text("id,input,mask\n7,a.nrrd,a-mask.nrrd\n8,a2.nrrd,nowhere.nrrd\n")
    write_scan(tmp_path / "a2.nrrd")
    network = CountingNetwork()
    session = begin(working, tmp_path / "list.csv", tmp_path / "out", network=network)
    session.open(0)
    assert session.review.automatic["agatston_LAD"] == pytest.approx(ONE)
    session.accept()
    case = session.next()
    assert case.notices == [f"There is no mask file {tmp_path / 'nowhere.nrrd'}."]
    row = exported(session, tmp_path / "r.csv")[0]
    assert (row["mask"], row["model"]) == ("a-mask.nrrd", "")
    assert network.runs == 0


def test_the_labels_of_two_readers_of_a_scan_are_two_reviews(working, tmp_path) -> None:
    write_scan(tmp_path / "a.nrrd", two=True)
    small_scan.write_small_labels(tmp_path / "ann.nrrd")
    small_scan.write_small_labels(tmp_path / "bob.nrrd")
    (tmp_path / "list.csv").write_text("input,mask\na.nrrd,ann.nrrd\na.nrrd,bob.nrrd\na.nrrd,ann.nrrd\n")
    session = begin(working, tmp_path / "list.csv", tmp_path / "out", network=CountingNetwork())
    assert [review.name for review in session.workList.reviews] == ["a-ann", "a-bob"]
    again = begin(working, tmp_path / "list.csv", tmp_path / "out", network=CountingNetwork())
    assert [review.name for review in again.workList.reviews] == ["a-ann", "a-bob"]


def a_batch(folder, tmp_path):
    """The output of a batch of one scan, whose labels are the small scan's."""
    from CACScoringLib.batch.table import ResultsTable

    scan = write_scan(tmp_path / "in" / "a.nrrd", two=True)
    small_scan.write_small_labels(folder / "a" / "segmentation.nrrd")
    (folder / "a" / "segmentation.nrrd").rename(folder / "a" / "segmentation.seg.nrrd")
    document = {
        "schema": "cacscoring/1",
        "model": {"id": "m7", "sha256": "ff" * 32, "method": "multibranch-unet"},
        "findings": [{"severity": "warning", "code": "unsure", "message": "Two lesions are uncertain."}],
    }
    (folder / "a" / "scores.json").write_text(json.dumps(document))
    ResultsTable(folder / "results.csv", [{"case": "a", "input": str(scan), "status": "done"}])


def test_the_output_of_a_batch_is_reviewed_in_place_with_its_model(working, tmp_path) -> None:
    a_batch(tmp_path / "batch", tmp_path)
    network = CountingNetwork()
    session = begin(working, tmp_path / "batch", tmp_path / "batch", network=network)
    session.open(0)
    session.accept()
    row = exported(session, tmp_path / "batch" / "review.csv")[0]
    assert (row["model"], row["model_sha256"], row["method"]) == ("m7", "ff" * 32, "multibranch-unet")
    assert float(row["automatic_agatston"]) == pytest.approx(ONE)
    assert "Two lesions are uncertain." in row["findings"]
    assert "unsure" in row["warnings"].split()
    assert network.runs == 0


# the exported table


def test_the_csv_has_automatic_and_reviewed_scores_and_what_they_rest_on(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a", "b", "c"), tmp_path / "out")
    session.open(0)
    session.accept()
    give_to(session.next(), SECOND_SPOT, 4)
    session.accept('he said "RCA",\nnot LAD')
    rows = exported(session, tmp_path / "results.csv")
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 4  # one line a case
    assert [row["status"] for row in rows] == ["accepted", "edited", "pending"]
    edited = rows[1]
    numbers = {
        "automatic_agatston": BOTH,
        "automatic_agatston_LAD": BOTH,
        "automatic_agatston_RCA": 0,
        "automatic_volume_mm3": 216,
        "automatic_lesions": 2,
        "reviewed_agatston": BOTH,
        "reviewed_agatston_LAD": ONE,
        "reviewed_agatston_RCA": ONE,
        "reviewed_volume_mm3_RCA": 108,
        "reviewed_lesions": 2,
        "difference_agatston": 0,
        "threshold_hu": 130,
        "kvp": 120,
    }
    assert {name: float(edited[name]) for name in numbers} == pytest.approx(numbers)
    for which in ("automatic", "reviewed"):
        for vessel in ("LM", "LAD", "LCX", "RCA"):
            assert float(edited[f"{which}_mass_mg_{vessel}"]) >= 0
    assert (edited["preset"], edited["model"], edited["model_sha256"]) == ("agatston-1990", "m1", "ab12")
    assert (edited["automatic_cac-drs"], edited["reviewed_cac-drs"]) == ("A2/N1", "A2/N2")
    assert "Look at this one." in edited["findings"]
    assert edited["comment"] == 'he said "RCA", not LAD'
    assert edited["reader"] == "A. Reader"
    assert rows[2]["automatic_agatston"] == rows[2]["reviewed_agatston"] == ""


# the list


def test_a_review_goes_on_with_scans_that_came_later(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    session.open(0)
    session.accept()
    session = begin(new_scene(), a_folder(tmp_path / "in", "b", "a"), tmp_path / "out")
    assert [(review.name, review.status) for review in session.workList] == [
        ("a", Status.ACCEPTED),
        ("b", Status.PENDING),
    ]


def test_scans_of_one_name_and_names_that_lead_elsewhere_get_folders_of_their_own(tmp_path) -> None:
    scans = [Case("x", "/1/x"), Case("X", "/2/x"), Case("../../y", "/y"), Case("worklist.json", "/z")]
    work = WorkList.begin(scans, tmp_path / "out", SETTINGS)
    assert [review.name for review in work] == ["x", "X-2", "y", "worklist.json-2"]
    assert [review.name for review in WorkList.resume(tmp_path / "out")] == [review.name for review in work]


def test_settings_stay_those_the_review_was_begun_with(tmp_path) -> None:
    WorkList.begin([Case("a", "/a")], tmp_path / "out", SETTINGS)
    other = replace(SETTINGS, preset="canon", kvp=None, allow_contrast=True)
    work = WorkList.begin([Case("a", "/a")], tmp_path / "out", other)
    assert work.settings == WorkList.resume(tmp_path / "out").settings == SETTINGS
    assert work.notices == [
        "This review goes on as it was begun, with preset agatston-1990, tube voltage (kV) 120.0, contrast not allowed."
    ]
    assert WorkList.begin([Case("a", "/a")], tmp_path / "out", SETTINGS).notices == []


def test_no_review_in_a_folder_is_one_sentence(tmp_path) -> None:
    assert code_of(WorkList.resume, tmp_path) == "review-not-found"
    (tmp_path / "file").write_text("x")
    assert code_of(WorkList.begin, [Case("a", "/a")], tmp_path / "file") == "review-not-saved"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient,age\np1,61\n", "no column named input, path or scan, only patient, age"),
        ("mask,label\na.nrrd,b.nrrd\n", "no column named input, path or scan, only mask, label"),
        ("input;mask\na.nrrd;b.nrrd\n", "separated by semicolons"),
        ("id\tscan\n1\ta.nrrd\n", "separated by tabs"),
        ("input,input\na.nrrd,b.nrrd\n", "2 columns named input"),
        ("input,mask,mask\na.nrrd,b.nrrd,c.nrrd\n", "2 columns named mask"),
        ("id,input\n1,a, b.nrrd\n", "Row 2 of the list 'list.csv' has 3 cells, its header 2"),
        ("input\n", "names no scan"),
        ("\n\n", "is empty"),
        ("input\na\0b.nrrd\n", "NUL|no path|cannot be read"),
        (b"input\n\xff\xfe\xe4.nrrd\n", "not text in UTF-8"),
        (b"input\n" + b"a" * 200_000 + b"\n", "cannot be read as CSV"),
    ],
)
def test_a_list_with_odd_columns_is_one_clear_sentence(tmp_path, text, words) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputRefusedError, match=words) as refused:
        review_cases(path)
    message = refused.value.finding.message
    assert refused.value.finding.code.startswith("work-list-")
    assert message.endswith(".")
    assert "\n" not in message
    assert "Traceback" not in message


def test_lists_that_can_be_understood_are_taken(tmp_path) -> None:
    for text, expected in (
        ("id,Input,age\n1,a.nrrd,61\n2,b.nrrd\n", ["a.nrrd", "b.nrrd"]),
        ('path\n"a, b.nrrd"\n', ["a, b.nrrd"]),
        ("a.nrrd\nb.nrrd\n", ["a.nrrd", "b.nrrd"]),
        ("\ufeffscan\na.nrrd\n\n", ["a.nrrd"]),
    ):
        (tmp_path / "list.csv").write_text(text, encoding="utf-8")
        assert [case.source for case in review_cases(tmp_path / "list.csv")] == [
            str(tmp_path / name) for name in expected
        ]


def test_a_folder_is_a_list_of_its_scans_and_an_empty_one_is_one_sentence(tmp_path) -> None:
    a_folder(tmp_path / "in", "a", "b")
    (tmp_path / "in" / "list.csv").unlink()
    small_scan.write_small_labels(tmp_path / "in" / "a-labels.nrrd")
    assert [case.name for case in review_cases(tmp_path / "in")] == ["a", "b"]
    (tmp_path / "empty" / "below").mkdir(parents=True)
    assert code_of(review_cases, tmp_path / "empty") == "work-list-empty"
    assert code_of(review_cases, tmp_path / "nowhere") == "work-list-not-found"


def test_each_structure_outside_the_coronaries_can_have_its_own_segment(working, tmp_path) -> None:
    labels = small_scan.small_labels()
    labels[SECOND_SPOT] = 11
    write_scan(tmp_path / "a.nrrd", two=True)
    small_scan.write_image(labels, tmp_path / "a-mask.nrrd")
    (tmp_path / "list.csv").write_text("input,mask\na.nrrd,a-mask.nrrd\n")
    for mode, value in (("merged", 14), ("separate", 11)):
        settings = replace(SETTINGS, non_coronary=mode)
        session = begin(working, tmp_path / "list.csv", tmp_path / mode, settings=settings)
        session.open(0)
        assert (labels_of(session)[SECOND_SPOT] == value).all()
        assert session.accept() is Status.ACCEPTED
        assert session.review.reviewed["agatston"] == pytest.approx(ONE)
        session.close()


def test_reviewing_imports_no_torch() -> None:
    code = "import sys, CACScoringLib.mrml.worklist; print('torch' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
