"""Stand-ins for the network in a worker process and for the process itself. No test lives here."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from CACScoringLib.findings import InputRefusedError, refuse, warning
from CACScoringLib.inference.grids import Grid
from CACScoringLib.inference.windows import CancelledError
from CACScoringLib.methods.job_files import read_job, write_prediction
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.methods.registry import labels_voxels
from CACScoringLib.methods.score_prediction import AttentionMap, ScorePrediction, heart_box

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def by_threshold(ct, method, *, progress, cancelled, **options):
    """Label bright voxels LAD, brighter ones RCA; the method's name asks for what else should happen."""
    for step in range(4):
        progress(step / 4, f"Window {step + 1}")
        if cancelled():
            raise CancelledError
    if method == "slow":
        for _ in range(600):
            if cancelled():
                raise CancelledError
            time.sleep(0.05)
    if method == "deaf":
        time.sleep(60)
    if method == "refusing":
        raise InputRefusedError(refuse("no-heart", "No heart was found."))
    if method == "broken":
        raise RuntimeError("a layer\nis missing")
    if method == "dying":
        sys.stderr.write("Segmentation fault\n")
        sys.stderr.flush()
        sys.exit(7)
    labels = np.zeros(ct.shape, np.uint8)
    labels[ct.hu >= 130] = 2
    labels[ct.hu >= 400] = 4
    index = np.where(labels > 0, 1, 0).astype(np.int32)
    sure = np.array([0.9], np.float32)
    if method == "chatty":
        print("a library prints this")  # noqa: T201
    findings = (warning("unsure", "Look at this one."),)
    return Prediction(method, "m1", "ab12", labels, lesion_index=index, lesion_probability=sure, findings=findings)


def by_slices(ct, method="slice-regression", **options):
    """Score a CT without labels: 12.5 in one slice, 100 in another, where the attention is."""
    values = np.zeros((ct.shape[0], 2, 2), np.float32)
    values[3, 1, 0] = 2.0
    spacing = (ct.spacing_mm[0], *(step * n / 2 for step, n in zip(ct.spacing_mm[1:], ct.shape[1:], strict=True)))
    offset = (0.0, *((big - small) / 2 for big, small in zip(spacing[1:], ct.spacing_mm[1:], strict=True)))
    return ScorePrediction(
        method,
        "s1",
        "cd" * 32,
        scheme="screening-5",
        preset="nlst-de-vos-2017",
        category="100-400",
        category_probability={"<1": 0.0, "1-10": 0.0, "10-100": 0.25, "100-400": 0.75, ">=400": 0.0},
        agatston=112.5,
        volume_mm3=90.0,
        slice_z_mm=ct.spacing_mm[0] * np.array([2.0, 3.0]),
        slice_agatston=np.array([12.5, 100.0], np.float32),
        attention=AttentionMap(values, Grid(spacing, offset, values.shape)),
        heart_box=heart_box(np.zeros(3), np.asarray(ct.spacing_mm) * ct.shape),
        needs_review=True,
        findings=(warning("slices-too-thick", "The slices are thick."),),
        timings_s={"scores": 0.5},
    )


def process_command(folder: Path) -> list[str]:
    """A real process like the worker's, with ``by_threshold`` for the network."""
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(HERE)!r}]\n"
        "from worker_samples import by_threshold\n"
        "from CACScoringLib.batch.predict_worker import main\n"
        "sys.exit(main(predict=by_threshold))"
    )
    return [sys.executable, "-c", code, str(folder), "--watch-stdin"]


class ScriptedProcess:
    """A process that says and does what a test tells it to."""

    def __init__(self, folder: Path):
        self.folder, self.waiting, self.exit_status = folder, [], None
        self.input_closed = self.killed = False
        self.said = ""

    def say(self, event: str, **more):
        self.waiting.append(json.dumps({"event": event, **more}))

    def succeed(self):
        """Do what the network would, and end."""
        job, ct = read_job(self.folder)
        nothing = {"progress": lambda *told: None, "cancelled": lambda: False}
        predict = by_threshold if labels_voxels(job.method) else by_slices
        write_prediction(self.folder, predict(ct, job.method, **nothing))
        self.say("done")
        self.exit_status = 0

    def end(self, event: str | None, status: int, **more):
        if event:
            self.say(event, **more)
        self.exit_status = status

    def lines(self):
        lines, self.waiting = self.waiting, []
        return lines

    def errors(self):
        return self.said

    def status(self):
        return None if self.waiting else self.exit_status

    def closeInput(self):
        self.input_closed = True

    def kill(self):
        self.killed = True
        self.exit_status = -9


class ScriptedLauncher:
    """Starts nothing; keeps the processes for the test to direct."""

    def __init__(self):
        self.processes = []

    def launch(self, arguments):
        self.processes.append(ScriptedProcess(Path(arguments[3])))
        return self.processes[-1]


class FailingLauncher:
    """Cannot start anything."""

    def launch(self, arguments):
        raise OSError(2, "No such file or directory")


class RealLauncher:
    """Starts a real process in which ``by_threshold`` stands for the network."""

    def launch(self, arguments):
        from CACScoringLib.mrml.processes import SubprocessLauncher

        return SubprocessLauncher().launch(process_command(Path(arguments[3])))
