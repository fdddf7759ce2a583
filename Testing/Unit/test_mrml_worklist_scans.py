"""Scans and networks that are not as they should be never stop a review."""

from __future__ import annotations

import pytest
import small_scan
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
    logic,
    write_scan,
)
from vtk.util.numpy_support import vtk_to_numpy
from worker_samples import ScriptedLauncher

from CACScoringLib.mrml.job import ScoringJob
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.worklist_network import BackgroundNetwork
from CACScoringLib.mrml.worklist_table import Status


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
