"""A run of the network in a worker process, on real nodes: progress, cancel, failures, and nodes that change."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from mrml_samples import DIRECTIONS, a_calcified_ct
from worker_samples import FailingLauncher, RealLauncher, ScriptedLauncher

from CACScoringLib.findings import InputRefusedError, warning
from CACScoringLib.mrml.attributes import read_findings
from CACScoringLib.mrml.job import ScoringJob
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.processes import SubprocessLauncher, worker_command
from CACScoringLib.mrml.segmentation import calcium_segments, labels_from_segmentation, segmentation_from_labels
from CACScoringLib.mrml.volume import volume_from_ct
from CACScoringLib.mrml.worker_job import GRACE_S, JobState


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """The samples are no whole chests: leave out the checks for that."""
    monkeypatch.setattr("CACScoringLib.mrml.logic._check", lambda ct, allow: (warning("seen", "A warning."),))


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Run:
    """A job on new nodes, with a process that the test directs."""

    def __init__(self, working, direction="axial", labelled=False, launcher=None):
        self.scene = working.scene
        self.ct, labels = a_calcified_ct(direction)
        self.volume = volume_from_ct(self.scene, self.ct)
        self.segmentation = segmentation_from_labels(self.scene, labels * labelled, self.volume, "Mine")
        self.clock, self.launcher = Clock(), launcher or ScriptedLauncher()
        self.job = ScoringJob(ScoringLogic(), self.launcher, self.clock)
        self.told = []
        self.job.addListener(lambda job: self.told.append((job.state, round(job.fraction, 2), job.text)))

    def start(self, method="by-threshold", **options):
        self.job.start(self.volume, self.segmentation, method, **options)
        return self.process

    @property
    def process(self):
        return self.launcher.processes[-1]

    def labels(self, node=None):
        return labels_from_segmentation(node or self.segmentation, self.volume)

    @property
    def expected(self):
        return np.where(self.ct.hu >= 400, 4, np.where(self.ct.hu >= 130, 2, 0))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_job_fills_the_segmentation_as_segment_does(working, direction):
    run = Run(working, direction)
    process = run.start(nonCoronary="separate")
    assert run.job.running
    process.say("progress", fraction=0.25, text="Finding the heart")
    assert run.job.poll() is JobState.RUNNING
    assert not run.labels().any()
    process.succeed()
    assert run.job.poll() is JobState.DONE
    assert np.array_equal(run.labels(), run.expected)
    assert run.job.segmentationNode is run.segmentation
    assert run.segmentation.GetAttribute("CACScoring.Model") == (
        '{"id": "m1", "sha256": "ab12", "method": "by-threshold"}'
    )
    assert [finding.code for finding in read_findings(run.segmentation)] == ["seen", "unsure"]
    assert list(calcium_segments(run.segmentation).values()) == [1, 2, 3, 4, 11, 12, 13, 14]
    assert (JobState.RUNNING, 0.25, "Finding the heart") in run.told
    assert run.told[-1] == (JobState.DONE, 1.0, "Done")
    assert not process.folder.exists()


def test_the_worker_is_told_method_model_device_and_tube_voltage(working):
    from CACScoringLib.methods.job_files import read_job

    run = Run(working)
    process = run.start("m", kvp=100, model="other", device="cuda", threads=2, modelsFolder="/models")
    job, ct = read_job(process.folder)
    assert (job.method, job.model, job.device, job.threads, job.models_folder) == ("m", "other", "cuda", 2, "/models")
    assert ct.acquisition.kvp == 100
    run.job.cleanup()
    assert process.killed
    assert not process.folder.exists()


def test_cancel_asks_first_and_changes_nothing(working):
    run = Run(working, labelled=True)
    before = run.labels()
    process = run.start()
    run.job.cancel()
    assert run.job.state is JobState.CANCELLING
    assert (process.folder / "cancel").exists()
    assert process.input_closed
    assert not process.killed
    process.end("cancelled", 130)
    run.job.poll()
    assert run.job.poll() is JobState.CANCELLED
    assert run.job.finding is None
    assert np.array_equal(run.labels(), before)
    assert run.segmentation.GetAttribute("CACScoring.Model") is None


def test_a_worker_that_does_not_stop_is_ended_after_a_while(working):
    run = Run(working)
    process = run.start("deaf")
    run.job.cancel()
    run.clock.now += GRACE_S - 0.1
    assert run.job.poll() is JobState.CANCELLING
    assert not process.killed
    run.clock.now += 0.2
    assert run.job.poll() is JobState.CANCELLED
    assert process.killed


def test_cancelling_twice_ends_the_worker_at_once(working):
    run = Run(working)
    process = run.start()
    run.job.cancel()
    run.job.cancel()
    assert (run.job.state, process.killed) == (JobState.CANCELLED, True)


def test_a_result_that_comes_after_cancel_is_dropped(working):
    run = Run(working)
    process = run.start()
    run.job.cancel()
    process.succeed()
    run.job.poll()
    assert run.job.poll() is JobState.CANCELLED
    assert not run.labels().any()


def test_a_second_start_is_refused_and_the_first_goes_on(working):
    run = Run(working)
    run.start()
    with pytest.raises(InputRefusedError) as refused:
        run.start()
    assert refused.value.finding.code == "job-running"
    assert len(run.launcher.processes) == 1
    run.process.succeed()
    run.job.poll()
    assert run.job.poll() is JobState.DONE
    assert run.start() is run.launcher.processes[1]  # and then another may start
    run.job.cleanup()


@pytest.mark.parametrize(
    ("event", "status", "state", "code"),
    [
        ("refused", 3, JobState.REFUSED, "no-heart"),
        ("failed", 1, JobState.FAILED, "packages-missing"),
        (None, -11, JobState.FAILED, "worker-crashed"),
        (None, 0, JobState.FAILED, "worker-crashed"),
        ("done", 1, JobState.FAILED, "worker-crashed"),
        ("done", 0, JobState.FAILED, "result-unreadable"),
    ],
)
def test_a_failure_half_way_leaves_the_segmentation_as_it_was(working, event, status, state, code):
    run = Run(working, labelled=True)
    before = run.labels()
    process = run.start()
    process.said = "Traceback\nKilled by the system\n"
    process.say("progress", fraction=0.5, text="Looking")
    process.end(event, status, **({"code": code, "message": "It says why."} if event != "done" else {}))
    run.job.poll()
    assert run.job.poll() is state
    assert run.job.finding.code == code
    assert np.array_equal(run.labels(), before)
    assert "Killed by the system" in run.job.log
    assert not process.folder.exists()
    if event is None:
        assert "Killed by the system" in run.job.finding.message


def test_a_process_that_cannot_start_is_a_failure_not_a_crash(working):
    run = Run(working, launcher=FailingLauncher())
    run.job.start(run.volume, run.segmentation)
    assert run.job.state is JobState.FAILED
    assert run.job.finding.code == "worker-not-started"
    assert "No such file" in run.job.finding.message


@pytest.mark.parametrize("deleted", ["volume", "segmentation"])
def test_a_node_deleted_while_it_runs_stops_the_worker(working, deleted):
    run = Run(working)
    process = run.start()
    run.scene.RemoveNode(getattr(run, deleted))
    assert run.job.poll() is JobState.CANCELLING
    process.end("cancelled", 130)
    run.job.poll()
    assert run.job.poll() is JobState.FAILED
    assert run.job.finding.code == f"{deleted}-deleted"


def test_a_node_deleted_just_before_the_result_comes_is_noticed(working):
    run = Run(working)
    run.start().succeed()
    run.scene.RemoveNode(run.segmentation)
    assert run.job.poll() is JobState.FAILED
    assert run.job.finding.code == "segmentation-deleted"


def test_a_volume_edited_while_it_runs_makes_the_result_void(working):
    import slicer

    run = Run(working)
    run.start().succeed()
    array = slicer.util.arrayFromVolume(run.volume)
    array[0, 0, 0] = 77
    slicer.util.arrayFromVolumeModified(run.volume)
    for _ in range(3):
        run.job.poll()
    assert run.job.finding.code == "volume-changed"
    assert not run.labels().any()


def test_edits_made_while_it_runs_are_kept_and_the_result_goes_elsewhere(working):
    run = Run(working, labelled=True)
    process = run.start()
    run.segmentation.GetSegmentation().RemoveSegment("RCA")
    edited = run.labels()
    process.succeed()
    run.job.poll()
    assert run.job.poll() is JobState.DONE
    assert run.job.finding.code == "segmentation-edited"
    assert np.array_equal(run.labels(), edited)
    assert run.job.segmentationNode is not run.segmentation
    assert np.array_equal(run.labels(run.job.segmentationNode), run.expected)
    assert run.job.segmentationNode.GetName() in run.job.finding.message


def test_changes_that_are_no_edits_are_not_taken_for_any(working):
    run = Run(working, labelled=True)
    process = run.start()
    run.segmentation.SetName("Renamed")
    run.segmentation.GetDisplayNode().SetOpacity(0.3)
    run.segmentation.GetSegmentation().AddEmptySegment("bone", "bone")
    process.succeed()
    run.job.poll()
    assert run.job.poll() is JobState.DONE
    assert run.job.segmentationNode is run.segmentation
    assert run.segmentation.GetSegmentation().GetSegment("bone") is not None


def test_what_cannot_be_scored_starts_nothing(working):
    run = Run(working)
    for nodes, code in (((None, run.segmentation), "no-volume"), ((run.volume, None), "no-segmentation")):
        with pytest.raises(InputRefusedError) as refused:
            run.job.start(*nodes)
        assert refused.value.finding.code == code
    assert run.launcher.processes == []
    assert run.job.state is JobState.IDLE


def test_a_method_without_labels_is_refused_in_words(working):
    from CACScoringLib.methods.job_files import write_prediction
    from CACScoringLib.methods.prediction import Prediction

    run = Run(working)
    process = run.start()
    write_prediction(process.folder, Prediction("slices", "m", "s", slice_scores=np.zeros(8, np.float32)))
    process.end("done", 0)
    run.job.poll()
    assert run.job.poll() is JobState.REFUSED
    assert run.job.finding.code == "method-without-labels"


def test_lines_that_are_not_ours_and_odd_fractions_do_no_harm(working):
    run = Run(working)
    process = run.start()
    process.waiting += ["Warning: something", "[1, 2]", '{"event": "progress", "fraction": "x"}']
    process.say("progress", fraction=7, text="Over")
    run.job.poll()
    assert (run.job.fraction, run.job.text) == (1.0, "Over")
    assert run.job.log == ["Warning: something", "[1, 2]"]
    run.job.cleanup()


def test_a_real_process_runs_and_is_cancelled(working):
    run = Run(working, launcher=RealLauncher())
    run.job._clock = time.monotonic
    run.job.start(run.volume, run.segmentation)
    assert run.job.wait(60) is JobState.DONE
    assert np.array_equal(run.labels(), run.expected)
    run.job.start(run.volume, run.segmentation, "slow")
    until = time.monotonic() + 60
    while not run.job.text.startswith("Window") and time.monotonic() < until:
        run.job.poll()
        time.sleep(0.02)
    run.job.cancel()
    assert run.job.wait(60) is JobState.CANCELLED


def test_a_real_process_that_dies_says_how(working):
    run = Run(working, launcher=RealLauncher())
    run.job._clock = time.monotonic
    run.job.start(run.volume, run.segmentation, "dying")
    assert run.job.wait(60) is JobState.FAILED
    assert "status 7" in run.job.finding.message
    assert "Segmentation fault" in run.job.finding.message


def test_the_real_worker_starts_from_any_folder_and_knows_the_methods(working, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run(working, launcher=SubprocessLauncher())
    run.job._clock = time.monotonic
    run.job.start(run.volume, run.segmentation, "no-such-method", device="cpu")
    assert run.job.wait(60) is JobState.FAILED
    assert run.job.finding.code == "model"
    assert "no-such-method" in run.job.finding.message


@pytest.mark.skipif(os.name == "nt", reason="process groups")
def test_killing_ends_the_children_too(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    command = worker_command(tmp_path)
    process = SubprocessLauncher().launch([command[0], "-c", code])
    until, lines = time.monotonic() + 30, []
    while not lines and time.monotonic() < until:
        lines = process.lines()
        time.sleep(0.02)
    child = int(lines[0])
    os.kill(child, 0)
    process.kill()
    assert process.status() is not None
    until = time.monotonic() + 10
    while _alive(child) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _alive(child)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
