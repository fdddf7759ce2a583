"""Run the network on a volume in a worker process, without the scene ever waiting for it.

The desktop calls ``poll`` from a timer; everything that touches nodes happens there, in the main thread.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CACScoringLib.findings import Finding, InputRefusedError, Severity, refuse, warning
from CACScoringLib.methods.job_files import CANCEL, JobFileError, PredictJob, read_prediction, write_job
from CACScoringLib.mrml.logic import DEFAULT_METHOD, ScoringLogic
from CACScoringLib.mrml.processes import Launcher, RunningProcess, SubprocessLauncher, worker_command
from CACScoringLib.mrml.segmentation import calcium_segments, labels_from_segmentation
from CACScoringLib.report.segments import NonCoronaryMode

if TYPE_CHECKING:
    from CACScoringLib.methods.prediction import Prediction

GRACE_S = 5.0
"""How long a worker may take to stop by itself before it is ended: a window takes about a second."""
MAX_LOG_LINES = 200


class JobState(str, Enum):
    """Where a job stands."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    FAILED = "failed"


ENDED = frozenset({JobState.DONE, JobState.CANCELLED, JobState.REFUSED, JobState.FAILED})


@dataclass(frozen=True)
class _Target:
    """The nodes of a job as they were when it started."""

    volume: Any
    segmentation: Any
    volume_id: str
    segmentation_id: str
    volume_state: tuple[Any, ...]
    segmentation_state: tuple[Any, ...]
    shape: tuple[int, int, int]
    findings: tuple[Finding, ...]
    kvp: float | None
    non_coronary: str | NonCoronaryMode


class ScoringJob:
    """One run of the network at a time, for one volume.

    Parameters
    ----------
    logic : ScoringLogic
    launcher : Launcher, optional
        Starts the process; a real one when absent.
    clock : callable, optional
        Seconds, monotonic.

    Attributes
    ----------
    state : JobState
    fraction : float
        Done, 0 to 1.
    text : str
        What is being done, in words.
    finding : Finding or None
        Why it was refused or failed, or what to know about a result; ``message`` is for the person.
    prediction : Prediction or None
        Of a job that is done.
    segmentationNode : vtkMRMLSegmentationNode or None
        That a job that is done filled: a new one if the given one was edited meanwhile.
    """

    def __init__(
        self, logic: ScoringLogic, launcher: Launcher | None = None, clock: Callable[[], float] = time.monotonic
    ):
        self.logic = logic
        self._launcher = launcher or SubprocessLauncher()
        self._clock = clock
        self._listeners: list[Callable[[ScoringJob], None]] = []
        self._process: RunningProcess | None = None
        self._folder: Path | None = None
        self._target: _Target | None = None
        self._event: dict[str, Any] = {}
        self._asked_to_stop_at: float | None = None
        self._stopped_because: Finding | None = None
        self._reset()

    def _reset(self) -> None:
        self.state = JobState.IDLE
        self.fraction, self.text = 0.0, ""
        self.finding: Finding | None = None
        self.prediction: Prediction | None = None
        self.segmentationNode: Any = None
        self.log: list[str] = []

    @property
    def running(self) -> bool:
        """Return whether a worker is at work or being stopped."""
        return self.state in (JobState.RUNNING, JobState.CANCELLING)

    def addListener(self, listener: Callable[[ScoringJob], None]) -> None:
        """Have a function called with the job whenever its state, fraction or text changes."""
        self._listeners.append(listener)

    def removeListener(self, listener: Callable[[ScoringJob], None]) -> None:
        """Call a function no more."""
        with suppress(ValueError):
            self._listeners.remove(listener)

    def start(
        self,
        volumeNode: Any,
        segmentationNode: Any,
        method: str = DEFAULT_METHOD,
        *,
        kvp: float | None = None,
        nonCoronary: str | NonCoronaryMode = NonCoronaryMode.MERGED,
        allowContrast: bool = False,
        model: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        modelsFolder: str | None = None,
    ) -> None:
        """Start the network on a volume; the segmentation is filled when it is done, as ``ScoringLogic.segment`` does.

        Raises
        ------
        InputRefusedError
            If a job is running, or the volume cannot be scored; nothing was started then.
        """
        if self.running:
            message = "The network is running already: wait for it, or cancel it first."
            raise InputRefusedError(refuse("job-running", message))
        if segmentationNode is None:
            raise InputRefusedError(refuse("no-segmentation", "There is no segmentation: choose or create one."))
        ct, findings = self.logic.prepare(volumeNode, kvp=kvp, allowContrast=allowContrast)
        self._reset()
        self._event, self._asked_to_stop_at, self._stopped_because = {}, None, None
        self._target = _Target(
            volumeNode,
            segmentationNode,
            volumeNode.GetID(),
            segmentationNode.GetID(),
            volume_state(volumeNode),
            _segmentation_state(segmentationNode, volumeNode),
            ct.shape,
            findings,
            kvp,
            nonCoronary,
        )
        job = PredictJob(method, model, device or "auto", threads, models_folder=modelsFolder or None)
        self._folder = Path(tempfile.mkdtemp(prefix="cacscoring-job-"))
        try:
            write_job(self._folder, job, ct)
            self._process = self._launcher.launch(worker_command(self._folder))
        except OSError as error:
            self._end(JobState.FAILED, _not_started(error))
            return
        self._change(JobState.RUNNING, text="Starting")

    def cancel(self) -> None:
        """Ask the worker to stop; a second time, or when it does not within ``GRACE_S``, it is ended."""
        if self.state is JobState.RUNNING:
            self._ask_to_stop(None)
        elif self.state is JobState.CANCELLING:
            self._kill()

    def poll(self) -> JobState:
        """Take note of what the worker said, and of what became of the nodes; return the state."""
        if not self.running:
            return self.state
        for line in self._process.lines():
            self._hear(line)
        if self.state is JobState.RUNNING:
            gone = self._nodes_gone()
            if gone is not None:
                self._ask_to_stop(gone)
        status = self._process.status()
        if status is not None:
            for line in self._process.lines():
                self._hear(line)
            self._finish(status)
        elif self.state is JobState.CANCELLING and self._clock() - self._asked_to_stop_at >= GRACE_S:
            self._kill()
        return self.state

    def wait(self, timeout_s: float = 600.0, interval_s: float = 0.05) -> JobState:
        """Poll until the job has ended, or cancel it after ``timeout_s``; for scripts and tests."""
        until = self._clock() + timeout_s
        while self.running:
            if self._clock() > until:
                self.cancel()
            self.poll()
            if self.running:
                time.sleep(interval_s)
        return self.state

    def cleanup(self) -> None:
        """End the worker at once and remove its files, as when the module or Slicer is closed."""
        if self.running:
            self._kill()
        self._listeners.clear()

    def _hear(self, line: str) -> None:
        try:
            event = json.loads(line)
            name = event["event"]
        except (ValueError, TypeError, KeyError):
            self.log.append(line)
            del self.log[:-MAX_LOG_LINES]
            return
        if name == "progress":
            if self.state is JobState.RUNNING:
                fraction = event.get("fraction")
                known = isinstance(fraction, (int, float)) and np.isfinite(fraction)
                text = str(event.get("text", ""))
                self._change(self.state, fraction=min(max(fraction, 0.0), 1.0) if known else None, text=text)
        elif name != "started":
            self._event = event

    def _ask_to_stop(self, because: Finding | None) -> None:
        self._asked_to_stop_at, self._stopped_because = self._clock(), because
        with suppress(OSError):
            (self._folder / CANCEL).touch()
        self._process.closeInput()
        self._change(JobState.CANCELLING, text="Stopping")

    def _kill(self) -> None:
        self._process.kill()
        self._end_stopped()

    def _finish(self, status: int) -> None:
        event = self._event.get("event")
        if self.state is JobState.CANCELLING:
            self._end_stopped()
        elif status == 0 and event == "done":
            self._take_result()
        elif event == "cancelled":
            self._end(JobState.CANCELLED)
        elif event in ("refused", "failed"):
            state = JobState.REFUSED if event == "refused" else JobState.FAILED
            code, message = str(self._event.get("code", event)), str(self._event.get("message", "The network failed."))
            self._end(state, refuse(code, message))
        else:
            self._end(JobState.FAILED, _crashed(status, self._process.errors()))

    def _end_stopped(self) -> None:
        why = self._stopped_because
        self._end(JobState.CANCELLED if why is None else JobState.FAILED, why)

    def _take_result(self) -> None:
        target = self._target
        gone = self._nodes_gone()
        if gone is not None:
            self._end(JobState.FAILED, gone)
            return
        try:
            prediction = read_prediction(self._folder, target.shape)
            segmentation, note = self._segmentation_to_fill()
            self.logic.fill(
                target.volume,
                segmentation,
                prediction,
                target.findings,
                kvp=target.kvp,
                nonCoronary=target.non_coronary,
            )
        except JobFileError as error:
            self._end(JobState.FAILED, refuse("result-unreadable", f"{error} Nothing was changed: score again."))
        except InputRefusedError as error:
            self._end(JobState.REFUSED, error.finding)
        except (ValueError, RuntimeError) as error:
            self._end(JobState.FAILED, refuse("result-not-taken", f"The result could not be shown ({error})."))
        else:
            self.prediction, self.segmentationNode = prediction, segmentation
            self.fraction = 1.0
            self._end(JobState.DONE, note)

    def _segmentation_to_fill(self) -> tuple[Any, Finding | None]:
        """Return the person's segmentation, or a new one where it was edited meanwhile."""
        target = self._target
        if _segmentation_state(target.segmentation, target.volume) == target.segmentation_state:
            return target.segmentation, None
        scene = target.volume.GetScene()
        name = scene.GenerateUniqueName(f"{target.segmentation.GetName()} network")
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
        message = (
            f"The segmentation '{target.segmentation.GetName()}' was edited while the network ran: your edits were "
            f"kept, and the network's result is in '{name}'."
        )
        return node, warning("segmentation-edited", message)

    def _nodes_gone(self) -> Finding | None:
        """Say why a result could not be used any more, if so."""
        target = self._target
        if not _in_scene(target.volume, target.volume_id):
            return refuse("volume-deleted", "The volume was deleted while the network ran: nothing was scored.")
        if not _in_scene(target.segmentation, target.segmentation_id):
            message = "The segmentation was deleted while the network ran: choose another and score again."
            return refuse("segmentation-deleted", message)
        if volume_state(target.volume) != target.volume_state:
            return refuse("volume-changed", "The volume was changed while the network ran: score it again.")
        return None

    def _change(self, state: JobState, *, fraction: float | None = None, text: str | None = None) -> None:
        self.state = state
        self.fraction = self.fraction if fraction is None else fraction
        self.text = self.text if text is None else text
        for listener in list(self._listeners):
            listener(self)

    def _end(self, state: JobState, finding: Finding | None = None) -> None:
        process, folder = self._process, self._folder
        self._process = self._folder = self._target = None
        if process is not None:
            process.closeInput()
            self.log += process.errors().splitlines()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        self.finding = finding
        words = {JobState.DONE: "Done", JobState.CANCELLED: "Cancelled; nothing was changed."}
        self._change(state, text=finding.message if finding is not None else words.get(state, ""))


def failed(finding: Finding | None) -> bool:
    """Return whether a finding stands for a job without a result."""
    return finding is not None and finding.severity is Severity.REFUSE


def _in_scene(node: Any, node_id: str) -> bool:
    scene = node.GetScene()
    return scene is not None and scene.GetNodeByID(node_id) is node


def volume_state(node: Any) -> tuple[Any, ...]:
    """Return what changes when the voxels or the place of a volume change."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    geometry = tuple(matrix.GetElement(row, column) for row in range(4) for column in range(4))
    image = node.GetImageData()
    if image is None:
        return (None, geometry)
    return (
        image.GetAddressAsString("vtkImageData"),
        image.GetMTime(),
        image.GetPointData().GetScalars().GetMTime(),
        geometry,
    )


def _segmentation_state(node: Any, volume: Any) -> tuple[Any, ...]:
    """Return what changes when our segments change: their names and their voxels, not how they are shown."""
    segmentation = node.GetSegmentation()
    names = tuple((key, segmentation.GetSegment(key).GetName(), value) for key, value in calcium_segments(node).items())
    if not names:
        return ()
    labels = labels_from_segmentation(node, volume).ravel()
    place = np.flatnonzero(labels)
    return (names, place.tobytes(), labels[place].tobytes())


def _not_started(error: OSError) -> Finding:
    message = f"The worker process could not be started ({error.strerror or error}): check the disk and try again."
    return refuse("worker-not-started", message)


def _crashed(status: int, errors: str) -> Finding:
    last = next((line.strip() for line in reversed(errors.splitlines()) if line.strip()), "")
    how = f"signal {-status}" if status < 0 else f"status {status}"
    hint = " perhaps for want of memory;" if status == -9 else ""
    said = f" It said: {last[:200]}" if last else ""
    return refuse("worker-crashed", f"The worker process ended before it was done ({how});{hint} try again.{said}")
