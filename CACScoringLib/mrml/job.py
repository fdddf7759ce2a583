"""Run the network on a volume in a worker process, without the scene ever waiting for it.

The desktop calls ``poll`` from a timer; everything that touches nodes happens there, in the main thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from CACScoringLib.findings import Finding, InputRefusedError, Severity, refuse, warning
from CACScoringLib.methods.job_files import JobFileError, PredictJob, read_prediction, write_job
from CACScoringLib.methods.registry import labels_voxels
from CACScoringLib.mrml.logic import DEFAULT_METHOD, ScoringLogic, without_labels
from CACScoringLib.mrml.processes import Launcher, worker_command
from CACScoringLib.mrml.segmentation import calcium_segments, labels_from_segmentation
from CACScoringLib.mrml.worker_job import JobState, WorkerJob
from CACScoringLib.report.segments import NonCoronaryMode

if TYPE_CHECKING:
    from CACScoringLib.methods.prediction import Prediction
    from CACScoringLib.methods.score_prediction import ScorePrediction


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


class ScoringJob(WorkerJob):
    """One run of the network at a time, for one volume.

    Parameters
    ----------
    logic : ScoringLogic
    launcher, clock
        As for ``WorkerJob``.

    Attributes
    ----------
    prediction : Prediction or ScorePrediction, or None
        Of a job that is done.
    volumeNode : vtkMRMLScalarVolumeNode or None
    findings : tuple of Finding
        Of a job that is done: what was scored, and what was noticed about it.
    segmentationNode : vtkMRMLSegmentationNode or None
        That a job that is done filled: a new one if the given one was edited meanwhile. None where the method labels
        no voxels.
    """

    BUSY = "The network is running already: wait for it, or cancel it first."

    def __init__(
        self, logic: ScoringLogic, launcher: Launcher | None = None, clock: Callable[[], float] = time.monotonic
    ):
        self.logic = logic
        self._listeners: list[Callable[[ScoringJob], None]] = []
        self._target: _Target | None = None
        super().__init__(launcher, clock)

    def _reset(self) -> None:
        super()._reset()
        self.prediction: Prediction | ScorePrediction | None = None
        self.volumeNode: Any = None
        self.findings: tuple[Finding, ...] = ()
        self.segmentationNode: Any = None

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

        A method that labels no voxels takes no segmentation: what it says is ``prediction``.

        Raises
        ------
        InputRefusedError
            If a job is running, or the volume cannot be scored; nothing was started then.
        """
        self._refuse_while_running()
        if labels_voxels(method) and segmentationNode is None:
            raise InputRefusedError(refuse("no-segmentation", "There is no segmentation: choose or create one."))
        if not labels_voxels(method) and segmentationNode is not None:
            raise InputRefusedError(without_labels(method))
        ct, findings = self.logic.prepare(volumeNode, kvp=kvp, allowContrast=allowContrast)
        self._reset()
        self._target = _Target(
            volumeNode,
            segmentationNode,
            volumeNode.GetID(),
            "" if segmentationNode is None else segmentationNode.GetID(),
            volume_state(volumeNode),
            () if segmentationNode is None else _segmentation_state(segmentationNode, volumeNode),
            ct.shape,
            findings,
            kvp,
            nonCoronary,
        )
        job = PredictJob(method, model, device or "auto", threads, models_folder=modelsFolder or None)
        self._launch(lambda folder: write_job(folder, job, ct), worker_command)

    def cleanup(self) -> None:
        """End the worker at once and remove its files, as when the module or Slicer is closed."""
        super().cleanup()
        self._listeners.clear()

    def _take_result(self) -> None:
        target = self._target
        gone = self._useless()
        if gone is not None:
            self._end(JobState.FAILED, gone)
            return
        try:
            prediction = read_prediction(self._folder, target.shape)
            segmentation, note = self._filled(prediction)
        except JobFileError as error:
            self._end(JobState.FAILED, refuse("result-unreadable", f"{error} Nothing was changed: score again."))
        except InputRefusedError as error:
            self._end(JobState.REFUSED, error.finding)
        except (ValueError, RuntimeError) as error:
            self._end(JobState.FAILED, refuse("result-not-taken", f"The result could not be shown ({error})."))
        else:
            self.prediction, self.segmentationNode = prediction, segmentation
            self.volumeNode, self.findings = target.volume, target.findings
            self.fraction = 1.0
            self._end(JobState.DONE, note)

    def _filled(self, prediction: Prediction | ScorePrediction) -> tuple[Any, Finding | None]:
        """Put what a method has marked into a segmentation, and return that; None where it marks nothing."""
        target = self._target
        if target.segmentation is None and prediction.labels is None:
            return None, None
        segmentation, note = self._segmentation_to_fill()
        options = {"kvp": target.kvp, "nonCoronary": target.non_coronary}
        self.logic.fill(target.volume, segmentation, prediction, target.findings, **options)
        return segmentation, note

    def _segmentation_to_fill(self) -> tuple[Any, Finding | None]:
        """Return the person's segmentation, or a new one where it was edited meanwhile."""
        target = self._target
        if target.segmentation is None:
            raise InputRefusedError(refuse("no-segmentation", "There is no segmentation: choose or create one."))
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

    def _useless(self) -> Finding | None:
        """Say why a result could not be used any more, if so."""
        target = self._target
        if not _in_scene(target.volume, target.volume_id):
            return refuse("volume-deleted", "The volume was deleted while the network ran: nothing was scored.")
        if target.segmentation is not None and not _in_scene(target.segmentation, target.segmentation_id):
            message = "The segmentation was deleted while the network ran: choose another and score again."
            return refuse("segmentation-deleted", message)
        if volume_state(target.volume) != target.volume_state:
            return refuse("volume-changed", "The volume was changed while the network ran: score it again.")
        return None

    def _change(self, state: JobState, *, fraction: float | None = None, text: str | None = None) -> None:
        super()._change(state, fraction=fraction, text=text)
        for listener in list(self._listeners):
            listener(self)

    def _end(self, state: JobState, finding: Finding | None = None) -> None:
        self._target = None
        super()._end(state, finding)


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
