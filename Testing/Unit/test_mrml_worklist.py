"""Reading case after case on real MRML nodes: decisions, and the way from one case to the next."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import small_scan
from mrml_samples import a_ct
from review_samples import (
    BOTH,
    ONE,
    SECOND_SPOT,
    a_folder,
    after_a_crash,
    begin,
    code_of,
    exported,
    give_to,
    labels_of,
)

from CACScoringLib.mrml.edits import editRecord
from CACScoringLib.mrml.scene import import_slicer
from CACScoringLib.mrml.study import show_in_slice_views
from CACScoringLib.mrml.volume import volume_from_ct
from CACScoringLib.mrml.worklist_files import WorkList
from CACScoringLib.mrml.worklist_table import Status

# one case


def test_opening_a_case_fills_its_segments_and_its_automatic_score(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    case = session.open(0)
    assert case.notices == []
    assert np.array_equal(np.argwhere(labels_of(session)[20] == 2), [[30, 30], [30, 31], [31, 30], [31, 31]])
    assert case.automatic["vessels"]["LAD"]["agatston"] == pytest.approx(BOTH)
    assert session.review.automatic["agatston"] == pytest.approx(BOTH)
    assert session.review.automatic["model"] == "m1"
    assert editRecord(case.nodes.segmentation).automatic["total"]["agatston"] == pytest.approx(BOTH)


def test_accepting_untouched_labels_is_accepted_with_equal_scores(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    session.open(0)
    assert session.accept("fine") is Status.ACCEPTED
    review = WorkList.resume(tmp_path / "out")[0]
    assert (review.status, review.comment, review.reader) == (Status.ACCEPTED, "fine", "A. Reader")
    assert review.reviewed_at == "2026-03-01T12:00:00+00:00"
    assert review.reviewed["agatston"] == review.automatic["agatston"] == pytest.approx(BOTH)
    accepted = editRecord(session.current.nodes.segmentation).accepted
    assert (accepted.reader, accepted.comment, accepted.when) == ("A. Reader", "fine", review.reviewed_at)
    assert not (tmp_path / "out" / "a" / "reviewed.seg.nrrd").exists()


def test_an_edit_makes_it_edited_and_the_reviewed_score_is_that_of_the_edited_voxels(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    case = session.open(0)
    give_to(case, SECOND_SPOT, 0)
    give_to(case, small_scan.LAD_VOXELS, 4)
    assert session.acceptEdited("was RCA") is Status.EDITED
    review = session.review
    assert review.automatic["agatston_LAD"] == pytest.approx(BOTH)
    assert review.reviewed["agatston_LAD"] == 0
    assert review.reviewed["agatston_RCA"] == review.reviewed["agatston"] == pytest.approx(ONE)
    assert review.reviewed["volume_mm3_RCA"] == pytest.approx(small_scan.LAD_VOLUME_MM3)
    saved = json.loads((tmp_path / "out" / "a" / "scores-reviewed.json").read_text())
    assert saved["vessels"]["RCA"]["agatston"] == pytest.approx(ONE)
    assert saved["review"]["status"] == "edited"
    assert (tmp_path / "out" / "a" / "reviewed.seg.nrrd").is_file()
    assert not session.workList.has_draft(0)


def test_accept_says_edited_where_the_labels_were_changed(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    give_to(session.open(0), SECOND_SPOT, 1)
    assert session.accept() is Status.EDITED
    assert editRecord(session.current.nodes.segmentation).changed
    give_to(session.current, SECOND_SPOT, 2)  # back as it was
    assert session.accept() is Status.ACCEPTED
    record = editRecord(session.current.nodes.segmentation)
    assert record.accepted_is_current
    assert not record.changed
    assert session.workList.segmentation(0).name == "automatic.seg.nrrd"
    assert not (tmp_path / "out" / "a" / "reviewed.seg.nrrd").exists()


def test_a_rejected_case_has_a_comment_and_no_reviewed_score(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    session.open(0)
    session.accept()
    assert session.reject("motion") is Status.REJECTED
    row = exported(session, tmp_path / "r.csv")[0]
    assert (row["status"], row["comment"], row["reviewed_agatston"]) == ("rejected", "motion", "")
    assert float(row["automatic_agatston"]) == pytest.approx(BOTH)


def test_what_cannot_be_decided_is_one_sentence(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out", reader="  ")
    assert code_of(session.accept) == "no-case-open"
    assert code_of(session.open, 1) == "no-such-case"
    session.open(0)
    assert code_of(session.accept) == "no-reader"
    session.reader = "B"
    assert code_of(session.acceptEdited) == "nothing-edited"
    working.scene.RemoveNode(session.current.nodes.segmentation)
    assert code_of(session.accept) == "case-nodes-deleted"
    assert session.review.status is Status.PENDING


def test_a_decision_can_be_taken_back_and_its_labels_and_comment_stay(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    give_to(session.open(0), SECOND_SPOT, 3)
    session.accept("LCX")
    session.undecide()
    assert (session.review.status, session.review.comment, session.review.reviewed) == (Status.PENDING, "LCX", None)
    session = after_a_crash(tmp_path / "out")
    session.resume()
    assert (labels_of(session)[SECOND_SPOT] == 3).all()


def test_reverting_puts_the_automatic_labels_back(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    give_to(session.open(0), SECOND_SPOT, 0)
    assert session.saveEdits()
    assert session.scores()["total"]["agatston"] == pytest.approx(ONE)
    session.revertToAutomatic()
    assert session.scores()["total"]["agatston"] == pytest.approx(BOTH)
    assert not session.workList.has_draft(0)
    assert session.accept() is Status.ACCEPTED


def test_another_tube_voltage_scores_both_anew_and_takes_the_decision_back(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    give_to(session.open(0), SECOND_SPOT, 0)
    session.accept()
    session.setKvp(70)  # 450 HU is no longer weight 4
    assert session.review.status is Status.PENDING
    assert session.review.automatic["kvp"] == 70
    assert session.review.automatic["agatston"] < BOTH
    assert session.scores()["total"]["agatston"] == pytest.approx(session.review.automatic["agatston"] / 2)
    session.accept()
    row = exported(session, tmp_path / "r.csv")[0]
    assert float(row["kvp"]) == 70
    assert float(row["threshold_hu"]) > 130
    assert after_a_crash(tmp_path / "out").workList[0].kvp == 70


def test_the_reviews_tube_voltage_is_for_scans_that_do_not_say_theirs(working, tmp_path, monkeypatch) -> None:
    from CACScoringLib.mrml import worklist_opening

    loaded = worklist_opening.load_scan

    def at_70(path, **options):
        ct = loaded(path, **options)
        return replace(ct, acquisition=replace(ct.acquisition, kvp=70.0)) if path.endswith("b.nrrd") else ct

    monkeypatch.setattr(worklist_opening, "load_scan", at_70)
    session = begin(working, a_folder(tmp_path / "in", "a", "b"), tmp_path / "out")
    session.open(0)
    session.open(1)
    assert [review.automatic["kvp"] for review in session.workList] == [120, 70]
    session.setKvp(120)
    assert session.review.automatic["agatston"] == pytest.approx(BOTH)


def test_the_readers_own_segments_are_kept(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a", "b"), tmp_path / "out")
    case = session.open(0)
    case.nodes.segmentation.GetSegmentation().AddEmptySegment("plaque", "plaque")
    session.next()
    session.previous()
    assert session.current.nodes.segmentation.GetSegmentation().GetSegment("plaque") is not None
    assert session.accept() is Status.ACCEPTED
    session.open(0)
    assert session.current.nodes.segmentation.GetSegmentation().GetSegment("plaque") is not None


# case after case


def test_the_case_before_is_closed_and_leaves_nothing_in_the_scene(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a", "b"), tmp_path / "out")
    show_in_slice_views(working.scene, volume_from_ct(working.scene, a_ct()))  # the views' own nodes stay
    hierarchy = import_slicer().vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(working.scene)

    def held() -> tuple[int, int]:
        return working.scene.GetNumberOfNodes(), hierarchy.GetNumberOfItems()

    before = held()
    session.open(0)
    first, opened = session.current.nodes, held()
    session.next()
    assert held() == opened
    assert first.volume.GetScene() is None
    session.close()
    assert held() == before


def test_next_and_previous_stop_at_the_ends(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a", "b"), tmp_path / "out")
    assert session.next().index == 0  # opens where to go on
    assert session.previous() is None
    assert session.next().index == 1
    assert session.next() is None
    assert session.current.index == 1
    assert session.previous().index == 0


def test_next_pending_passes_over_what_is_decided_or_broken(working, tmp_path) -> None:
    listing = a_folder(tmp_path / "in", "a", "broken", "missing", "b", "c")
    session = begin(working, listing, tmp_path / "out")
    session.open(3)
    session.accept()
    session.open(0)
    session.accept()
    assert session.nextPending().index == 4
    session.accept()
    assert session.nextPending() is None
    assert session.workList.counts() == {"pending": 0, "accepted": 3, "edited": 0, "rejected": 0, "failed": 2}


def test_listeners_hear_what_happens(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    heard: list[str] = []
    session.addListener(heard.append)
    session.open(0)
    session.setComment("hm")
    session.accept()
    session.close()
    assert heard == ["opened", "changed", "changed", "closed"]
    session.removeListener(heard.append)
    session.open(0)
    assert len(heard) == 4


def test_the_list_is_a_table_with_a_row_a_case(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a", "missing"), tmp_path / "out")
    session.open(1)
    give_to(session.open(0), SECOND_SPOT, 0)
    session.accept("less")
    table = working.scene.AddNewNodeByClass("vtkMRMLTableNode", "List")
    session.updateListTable(table)
    rows = [[table.GetCellText(row, column) for column in (0, 1, 5)] for row in range(table.GetNumberOfRows())]
    assert rows == [["a", "edited", "less"], ["missing", "failed", ""]]
    assert table.GetTable().GetValueByName(0, "automatic_agatston").ToDouble() == pytest.approx(BOTH)
    assert table.GetTable().GetValueByName(0, "reviewed_agatston").ToDouble() == pytest.approx(ONE)
