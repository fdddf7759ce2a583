"""Reading case after case on real MRML nodes: decisions, crashes, broken scans, and the exported CSV."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_scan
from mrml_samples import a_ct
from review_samples import (
    NOON,
    SECOND_SPOT,
    SETTINGS,
    CountingNetwork,
    a_folder,
    give_to,
    logic,
    write_scan,
)
from vtk.util.numpy_support import vtk_to_numpy
from worker_samples import ScriptedLauncher

from CACScoringLib.batch.inputs import Case
from CACScoringLib.batch.review_list import review_cases
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.mrml.edits import editRecord
from CACScoringLib.mrml.job import ScoringJob
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.scene import import_slicer, new_scene
from CACScoringLib.mrml.segmentation import labels_from_segmentation
from CACScoringLib.mrml.study import show_in_slice_views
from CACScoringLib.mrml.volume import volume_from_ct
from CACScoringLib.mrml.worklist import ReviewSession
from CACScoringLib.mrml.worklist_files import WorkList
from CACScoringLib.mrml.worklist_network import BackgroundNetwork
from CACScoringLib.mrml.worklist_table import Status

ONE, BOTH = small_scan.LAD_AGATSTON, 2 * small_scan.LAD_AGATSTON


@pytest.fixture
def working():
    return new_scene()


def begin(working, source, folder, *, reader="A. Reader", network=None, **options) -> ReviewSession:
    work = WorkList.begin(review_cases(source), folder, options.pop("settings", SETTINGS))
    return ReviewSession(working.scene, work, reader=reader, logic=logic(network), now=lambda: NOON, **options)


def after_a_crash(folder, *, network=None, reader="A. Reader") -> ReviewSession:
    """A new program on a new scene; the one before saved nothing on its way out."""
    return ReviewSession(
        new_scene().scene, WorkList.resume(folder), reader=reader, logic=logic(network), now=lambda: NOON
    )


def labels_of(session) -> np.ndarray:
    return labels_from_segmentation(session.current.nodes.segmentation, session.current.nodes.volume)


def exported(session, path) -> list[dict[str, str]]:
    with session.exportCsv(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def code_of(call, *arguments) -> str:
    with pytest.raises(InputRefusedError) as refused:
        call(*arguments)
    assert refused.value.finding.message.endswith(".")
    assert "\n" not in refused.value.finding.message
    return refused.value.finding.code


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


# crashes


def test_edits_that_were_saved_are_there_after_a_crash_and_the_network_runs_once(working, tmp_path) -> None:
    network = CountingNetwork()
    session = begin(working, a_folder(tmp_path / "in", "a", "b"), tmp_path / "out", network=network)
    session.open(1)
    give_to(session.current, SECOND_SPOT, 4)
    session.setComment("not sure")
    assert session.saveEdits()
    assert not session.saveEdits()  # nothing new

    session = after_a_crash(tmp_path / "out", network=network)
    case = session.resume()
    assert (case.index, session.review.status, session.review.comment) == (1, Status.PENDING, "not sure")
    assert (labels_of(session)[SECOND_SPOT] == 4).all()
    assert case.automatic["vessels"]["LAD"]["agatston"] == pytest.approx(BOTH)
    assert network.runs == 1
    assert session.accept() is Status.EDITED
    assert session.review.reviewed["agatston_RCA"] == pytest.approx(ONE)


def test_leaving_a_case_saves_its_edits(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a", "b"), tmp_path / "out")
    give_to(session.open(0), SECOND_SPOT, 4)
    session.next()
    session = after_a_crash(tmp_path / "out")
    session.open(0)
    assert (labels_of(session)[SECOND_SPOT] == 4).all()
    assert exported(session, tmp_path / "r.csv")[0]["open_edits"] == "yes"


def test_edits_after_a_decision_do_not_change_what_was_decided(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    give_to(session.open(0), SECOND_SPOT, 4)
    session.accept()
    give_to(session.current, SECOND_SPOT, 1)
    session.close()
    row = exported(session, tmp_path / "r.csv")[0]
    assert (row["status"], row["open_edits"]) == ("edited", "yes")
    assert float(row["reviewed_agatston_RCA"]) == pytest.approx(ONE)
    assert row["segmentation"].endswith("reviewed.seg.nrrd")
    session.open(0)
    assert (labels_of(session)[SECOND_SPOT] == 1).all()
    session.accept()
    assert session.review.reviewed["agatston_LM"] == pytest.approx(ONE)


@pytest.mark.parametrize("dies_at", range(1, 5))
def test_a_crash_at_any_moment_of_a_decision_leaves_the_old_one_or_the_new_one(
    working, tmp_path, monkeypatch, dies_at
) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    session.open(0)
    give_to(session.current, SECOND_SPOT, 4)
    renames = []

    class PowerCutError(BaseException):
        pass

    rename = Path.replace

    def counted(self, target):
        renames.append(target)
        if len(renames) == dies_at:
            raise PowerCutError
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", counted)
        with pytest.raises(PowerCutError):
            session.accept()  # writes draft, scores, review; then renames the draft

    session = after_a_crash(tmp_path / "out")
    session.resume()
    review = session.review
    if review.status is Status.EDITED:
        assert review.reviewed["agatston_RCA"] == pytest.approx(ONE)
        assert session.workList.segmentation(0).name == "reviewed.seg.nrrd"
        assert not session.workList.has_draft(0)
    else:
        assert (review.status, review.reviewed) == (Status.PENDING, None)
    assert (labels_of(session)[SECOND_SPOT] == (4 if dies_at > 1 else 2)).all()
    assert review.status is (Status.EDITED if dies_at == 4 else Status.PENDING)
    assert not list((tmp_path / "out").rglob(".cacscoring-*"))


def test_a_full_disk_is_one_sentence_and_nothing_is_decided(working, tmp_path, monkeypatch) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a", "b"), tmp_path / "out")
    give_to(session.open(0), SECOND_SPOT, 4)

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("CACScoringLib.mrml.worklist_saving.write_segmentation", full)
        assert code_of(session.accept) == "review-not-saved"
        assert code_of(session.next) == "review-not-saved"
    assert session.review.status is Status.PENDING
    assert session.current.index == 0  # still open, nothing lost
    assert session.accept() is Status.EDITED


def test_a_damaged_draft_is_set_aside_and_the_automatic_labels_are_shown(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    give_to(session.open(0), SECOND_SPOT, 4)
    session.saveEdits()
    draft = tmp_path / "out" / "a" / "draft.seg.nrrd"
    draft.write_bytes(draft.read_bytes()[:-40])
    session = after_a_crash(tmp_path / "out")
    case = session.resume()
    assert (labels_of(session)[SECOND_SPOT] == 2).all()
    assert "draft-damaged.seg.nrrd" in case.notices[0]
    assert (tmp_path / "out" / "a" / "draft-damaged.seg.nrrd").is_file()
    assert not session.workList.has_draft(0)


def test_a_reopened_case_has_its_record_in_the_scene(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    give_to(session.open(0), SECOND_SPOT, 4)
    session.accept("RCA")
    session = after_a_crash(tmp_path / "out")
    record = editRecord(session.resume().nodes.segmentation)
    assert record.automatic["vessels"]["LAD"]["agatston"] == pytest.approx(BOTH)
    assert record.edited["vessels"]["RCA"]["agatston"] == pytest.approx(ONE)
    assert (record.accepted.reader, record.accepted.comment) == ("A. Reader", "RCA")
    assert record.accepted.when == "2026-03-01T12:00:00+00:00"


@pytest.mark.parametrize("name", ["scores-automatic.json", "scores-reviewed.json", "automatic.seg.nrrd"])
@pytest.mark.parametrize("content", [b"", b"{}", b'{"total": 3, "vessels": []}'])
def test_damaged_scores_and_labels_do_not_stop_the_review(working, tmp_path, name, content) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    session.open(0)
    session.accept("fine")
    (tmp_path / "out" / "a" / name).write_bytes(content)
    session = after_a_crash(tmp_path / "out")
    assert session.resume().nodes is not None
    assert session.review.status is Status.ACCEPTED
    assert session.review.automatic["agatston"] == pytest.approx(BOTH)
    assert session.accept() is Status.ACCEPTED


def test_damaged_records_begin_anew_and_a_damaged_list_is_one_sentence(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a", "b"), tmp_path / "out")
    for index in (0, 1):
        session.open(index)
        session.accept()
    (tmp_path / "out" / "a" / "review.json").write_text('{"status": "acc')
    work = WorkList.resume(tmp_path / "out")
    assert [review.status for review in work] == [Status.PENDING, Status.ACCEPTED]
    assert "case a is damaged" in work.notices[0]
    assert (tmp_path / "out" / "a" / "review-damaged.json").is_file()
    for text in (
        "[]",
        "{",
        '{"schema": "cacscoring-review/1", "settings": {"kvp": "many"}, "cases": []}',
        '{"schema": "cacscoring-review/1", "settings": {}, "cases": [{"name": "../x"}]}',
    ):
        (tmp_path / "out" / "worklist.json").write_text(text)
        assert code_of(WorkList.resume, tmp_path / "out") == "review-unreadable"


def test_two_windows_do_not_overwrite_each_other(working, tmp_path) -> None:
    first = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    second = after_a_crash(tmp_path / "out", reader="B")
    first.open(0)
    first.accept("first")
    assert code_of(second.open, 0) == "review-changed-elsewhere"
    assert WorkList.resume(tmp_path / "out")[0].comment == "first"


# scans that are not as they should be


def test_a_missing_or_broken_scan_never_stops_the_review(working, tmp_path) -> None:
    listing = a_folder(tmp_path / "in", "missing", "a", "broken", "b")
    session = begin(working, listing, tmp_path / "out")
    opened = [session.open(0), session.next(), session.next(), session.next()]
    assert [case.nodes is not None for case in opened] == [False, True, False, True]
    assert "There is no file or folder" in opened[0].notices[0]
    session.open(2)
    assert code_of(session.accept) == "case-not-opened"
    session.reject("no image")
    rows = exported(session, tmp_path / "r.csv")
    assert [row["status"] for row in rows] == ["failed", "pending", "rejected", "pending"]
    assert rows[0]["message"].startswith("There is no file or folder")
    assert all(row["message"].endswith(".") for row in (rows[0], rows[2]))
    assert rows[0]["automatic_agatston"] == ""


def test_a_scan_that_is_there_again_is_reviewed_as_any_other(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "missing"), tmp_path / "out")
    session.open(0)
    assert session.review.status is Status.FAILED
    write_scan(tmp_path / "in" / "missing.nrrd")
    case = session.open(0)
    assert case.nodes is not None
    assert (session.review.status, session.review.problem) == (Status.PENDING, "")
    assert session.accept() is Status.ACCEPTED


def test_a_decision_outlives_a_scan_that_went_away(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    session.open(0)
    session.accept()
    session.close()
    (tmp_path / "in" / "a.nrrd").unlink()
    assert session.open(0).nodes is None
    row = exported(session, tmp_path / "r.csv")[0]
    assert row["status"] == "accepted"
    assert float(row["reviewed_agatston"]) == pytest.approx(BOTH)
    assert "There is no file" in row["message"]


@pytest.mark.parametrize("error", [RuntimeError("CUDA\nout of memory"), MemoryError()])
def test_a_failing_network_leaves_the_scan_to_the_reader(working, tmp_path, error) -> None:
    def failing(volume, segmentation):
        raise error

    session = begin(working, a_folder(tmp_path / "in", "a", "b"), tmp_path / "out", segmenter=failing)
    case = session.open(0)
    assert session.review.status is Status.FAILED
    assert case.notices[0].startswith("The network failed on this scan (")
    assert not labels_of(session).any()
    give_to(case, small_scan.LAD_VOXELS, 1)
    assert session.accept("by hand") is Status.EDITED
    row = exported(session, tmp_path / "r.csv")[0]
    assert (row["automatic_agatston"], row["difference_agatston"]) == ("", "")
    assert float(row["reviewed_agatston_LM"]) == pytest.approx(ONE)
    assert session.next().nodes is not None


def test_a_network_beside_the_program_reports_when_it_is_done(working, tmp_path) -> None:
    started = []

    def beside(volume, segmentation):
        started.append((volume, segmentation))
        return False

    session = begin(working, a_folder(tmp_path / "in", "a", "b"), tmp_path / "out", segmenter=beside)
    case = session.open(0)
    assert case.waiting
    assert code_of(session.accept) == "network-running"
    assert not session.saveEdits()
    logic().segment(*started[0], kvp=120)
    session.automaticReady()
    assert not session.current.waiting
    assert session.review.automatic["agatston"] == pytest.approx(BOTH)
    assert session.accept() is Status.ACCEPTED
    session.next()
    session.automaticFailed("The network was cancelled.")
    assert session.review.problem == "The network was cancelled."
    session.automaticReady()  # too late: nothing happens
    assert session.review.automatic is None


def in_the_background(working, tmp_path, *names):
    """A session whose network runs in a process that the test directs; it marks the bright voxels as RCA."""
    launcher = ScriptedLauncher()
    network = BackgroundNetwork(ScoringJob(ScoringLogic(), launcher), lambda: {"device": "cpu"})
    source = a_folder(tmp_path / "in", *names)
    return begin(working, source, tmp_path / "out", segmenter=network), network, launcher.processes


def test_a_worker_process_fills_the_open_case(working, tmp_path) -> None:
    session, network, processes = in_the_background(working, tmp_path, "a")
    session.open(0)
    assert session.current.waiting
    assert network.poll()
    processes[0].succeed()
    assert not network.poll()
    assert session.review.automatic["agatston_RCA"] == pytest.approx(BOTH)
    assert session.review.automatic["model"] == "m1"
    assert session.accept() is Status.ACCEPTED


def test_leaving_a_case_ends_its_network_and_starts_that_of_the_next(working, tmp_path) -> None:
    session, network, processes = in_the_background(working, tmp_path, "a", "b")
    session.open(0)
    session.next()
    assert processes[0].killed
    processes[1].succeed()
    assert not network.poll()
    assert [review.automatic is not None for review in session.workList] == [False, True]
    assert [review.status for review in session.workList] == [Status.PENDING, Status.PENDING]
    session.open(0)
    assert len(processes) == 3


def test_a_cancelled_or_failed_network_leaves_the_scan_to_the_reader(working, tmp_path) -> None:
    session, network, processes = in_the_background(working, tmp_path, "a", "b")
    session.open(0)
    network.stop()
    processes[0].end("cancelled", 0)
    network.poll()
    assert session.review.problem.startswith("The network was cancelled")
    give_to(session.current, SECOND_SPOT, 1)
    assert session.accept() is Status.EDITED
    session.next()
    processes[1].end("failed", 1, message="Out of memory: choose the CPU.")
    network.poll()
    assert session.review.problem == "Out of memory: choose the CPU."
    session.reject()


def test_edits_made_while_the_network_runs_stay_and_its_labels_are_the_automatic_ones(working, tmp_path) -> None:
    session, network, processes = in_the_background(working, tmp_path, "a")
    give_to(session.open(0), SECOND_SPOT, 3)
    held = working.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    processes[0].succeed()
    network.poll()
    assert working.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == held
    assert session.review.automatic["agatston_RCA"] == pytest.approx(BOTH)
    labels = labels_of(session)
    assert (labels[SECOND_SPOT] == 3).all()
    assert not labels[small_scan.LAD_VOXELS].any()
    assert session.accept() is Status.EDITED
    assert session.review.reviewed["agatston_LCX"] == pytest.approx(ONE)


def test_saving_every_few_seconds_sees_voxels_that_an_effect_wrote(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a"), tmp_path / "out")
    segmentation = session.open(0).nodes.segmentation.GetSegmentation()
    assert not session.autosave()
    image = segmentation.GetSegment("LAD").GetRepresentation("Binary labelmap")
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = 0
    image.Modified()
    assert session.autosave()
    assert not session.autosave()
    session = after_a_crash(tmp_path / "out")
    session.resume()
    assert session.scores()["total"]["agatston"] == 0


def test_a_case_left_while_the_network_runs_is_opened_anew_later(working, tmp_path) -> None:
    session = begin(working, a_folder(tmp_path / "in", "a", "b"), tmp_path / "out", segmenter=lambda v, s: False)
    session.open(0)
    session.next()
    session.automaticFailed("Stopped.")
    assert [review.status for review in session.workList] == [Status.PENDING, Status.FAILED]
    assert not (tmp_path / "out" / "a" / "automatic.seg.nrrd").exists()


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
