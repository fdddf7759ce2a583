"""A review outlives crashes, full disks and damaged files: nothing that was decided is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from review_samples import (
    BOTH,
    ONE,
    SECOND_SPOT,
    CountingNetwork,
    a_folder,
    after_a_crash,
    begin,
    code_of,
    exported,
    give_to,
    labels_of,
)

from CACScoringLib.mrml.edits import editRecord
from CACScoringLib.mrml.worklist_files import WorkList
from CACScoringLib.mrml.worklist_table import Status


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
