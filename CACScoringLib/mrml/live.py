"""Scores that follow every edit of a segmentation, by whatever tool, undo and redo included.

Methods have Slicer's camelCase names, since widgets call them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from CACScoringLib.findings import Finding, InputRefusedError, refuse
from CACScoringLib.mrml.attributes import read_findings
from CACScoringLib.mrml.calcium_voxels import CalciumReader
from CACScoringLib.mrml.logic import DEFAULT_PRESET, ScoringLogic
from CACScoringLib.mrml.orientation import oriented_ct
from CACScoringLib.mrml.scene import import_slicer
from CACScoringLib.mrml.segmentation import calcium_segments
from CACScoringLib.scoring.rescore import Rescorer

if TYPE_CHECKING:
    from CACScoringLib.ct.volume import CTVolume
    from CACScoringLib.scoring import CalciumScore

NODE_GONE = refuse("node-gone", "The volume or the segmentation was deleted: choose another one.")
NOTHING_WATCHED = refuse("nothing-watched", "There is nothing to score: choose a CT and a segmentation.")
NO_SEGMENTS = refuse(
    "no-calcium-segments",
    "The segmentation has no LM, LAD, LCX or RCA segment: name them so, or run the network first.",
)


class LiveScores:
    """The scores of one segmentation on one volume, kept up to date.

    They equal those of ``ScoringLogic.computeScores`` to the last bit, but only lesions near an edit are measured
    again.

    Parameters
    ----------
    logic : ScoringLogic
    schedule : callable, optional
        Called with a function to be called soon, once: on the desktop ``lambda f: qt.QTimer.singleShot(0, f)``, so that
        the several events of one action cost one rescoring. Without it every event is answered at once.

    Attributes
    ----------
    automatic : bool
        Score again after every change. False: only take note that the scores are out of date until ``refresh``.
    timings : dict of str to float
        Seconds that the steps of the last ``refresh`` took: ``volume``, ``labels``, ``scores``.
    """

    def __init__(self, logic: ScoringLogic, schedule: Callable[[Callable[[], None]], Any] | None = None):
        self.logic = logic
        self.schedule = schedule
        self.automatic = True
        self.timings: dict[str, float] = {}
        self._volume: Any = None
        self._segmentation: Any = None
        self._options: dict[str, Any] = {}
        self._kvp: float | None = None
        self._observers: list[tuple[Any, int]] = []
        self._listeners: list[Callable[[LiveScores], None]] = []
        self._scores: CalciumScore | None = None
        self._problem: Finding | None = None
        self._upToDate = False
        self._scheduled = self._refreshing = False
        self._forget()

    @property
    def volumeNode(self) -> Any:
        """Return the volume that is watched, or None."""
        return self._volume

    @property
    def segmentationNode(self) -> Any:
        """Return the segmentation that is watched, or None."""
        return self._segmentation

    @property
    def watching(self) -> bool:
        """Return whether nodes are watched."""
        return self._volume is not None

    @property
    def upToDate(self) -> bool:
        """Return whether ``scores`` are those of the nodes as they are now; never while nothing is watched."""
        return self._upToDate

    @property
    def scores(self) -> CalciumScore | None:
        """Return the last scores, up to date or not; None where there are none or the last attempt was refused."""
        return self._scores

    @property
    def problem(self) -> Finding | None:
        """Return why there are no scores, None where there are."""
        return self._problem

    @property
    def recomputedVoxels(self) -> int:
        """Return how many calcified voxels the last rescoring measured anew."""
        return 0 if self._rescorer is None else self._rescorer.recomputed_voxels

    def addListener(self, listener: Callable[[LiveScores], None]) -> None:
        """Have a function called with this object when scores, ``upToDate`` or ``problem`` have changed."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def removeListener(self, listener: Callable[[LiveScores], None]) -> None:
        """Call a function no more."""
        with suppress(ValueError):
            self._listeners.remove(listener)

    def watch(
        self,
        volumeNode: Any,
        segmentationNode: Any,
        preset: str = DEFAULT_PRESET,
        kvp: float | None = None,
        **options: Any,
    ) -> None:
        """Follow a segmentation; what was followed before is not. The first scores come with ``refresh``.

        Parameters
        ----------
        volumeNode : vtkMRMLScalarVolumeNode
        segmentationNode : vtkMRMLSegmentationNode
        preset : str
        kvp : float, optional
            Tube voltage in kV instead of what the volume says.
        **options
            For ``CACScoringLib.scoring.score``, as ``demographics``.
        """
        if volumeNode is None or segmentationNode is None:
            raise InputRefusedError(NOTHING_WATCHED)
        same = volumeNode is self._volume and segmentationNode is self._segmentation
        changed = {"preset": preset, **options} != self._options or kvp != self._kvp
        self._release()
        self._volume, self._segmentation = volumeNode, segmentationNode
        self._options, self._kvp = {"preset": preset, **options}, kvp
        if not same:
            self._forget()
        elif changed:
            self._rescorer = None
        if not same or changed:
            self._scores = self._problem = None
        self._upToDate = False
        self._observe()

    def unwatch(self) -> None:
        """Follow nothing any more; the last scores stay, but nobody can say that they are up to date."""
        self._release()
        self._volume = self._segmentation = None
        self._upToDate = False
        self._forget()

    def refresh(self) -> CalciumScore:
        """Return the scores of the nodes as they are now.

        Raises
        ------
        InputRefusedError
            If they cannot be scored; ``problem`` says why as well.
        """
        before = self._state()
        try:
            self._refresh(convert=True)
        finally:
            self._tellChangeFrom(before)
        return self._scores

    def _refresh(self, *, convert: bool) -> None:
        """Bring the scores up to date; what is refused becomes the problem, and is raised."""
        self._refreshing = True
        try:
            if not self.watching:
                raise InputRefusedError(self._problem or NOTHING_WATCHED)
            self._scores = self._computed(convert)
            self._problem, self._upToDate = None, True
        except (InputRefusedError, ValueError) as error:
            finding = getattr(error, "finding", None) or refuse("segmentation-unreadable", str(error))
            self._scores, self._problem, self._upToDate = None, finding, False
            raise InputRefusedError(finding) from error
        finally:
            self._refreshing = False

    def _computed(self, convert: bool) -> CalciumScore:
        started = time.perf_counter()
        if not calcium_segments(self._segmentation):
            raise InputRefusedError(NO_SEGMENTS)
        if self.logic.scorer is not None:
            return self.logic.computeScores(self._volume, self._segmentation, kvp=self._kvp, **self._options)
        ct = self._currentCt()
        read = time.perf_counter()
        index, label = self._reader.read(self._segmentation, self._volume, ct, convert=convert)
        scored = time.perf_counter()
        if self._rescorer is None:
            self._rescorer = Rescorer(self._turned, kvp=self._kvp, **self._options)
        scores = self._rescorer.update(index, label)
        done = time.perf_counter()
        self.timings = {"volume": read - started, "labels": scored - read, "scores": done - scored}
        return scores

    def _currentCt(self) -> CTVolume:
        """Return the volume's CT; read again only where the node has changed since."""
        key = self._volumeKey()
        if self._ct is None or key != self._ctKey:
            self._ct = self.logic.ct(self._volume, self._kvp)
            self._turned = oriented_ct(self._ct)
            self._ctKey, self._rescorer = key, None
        return self._ct

    def _volumeKey(self) -> tuple[Any, ...]:
        node = self._volume
        image = node.GetImageData()
        directions = [[0.0, 0.0, 0.0] for _ in range(3)]
        node.GetIJKToRASDirections(directions)
        return (
            None if image is None else (image.GetAddressAsString("vtkImageData"), image.GetMTime()),
            node.GetSpacing(),
            node.GetOrigin(),
            tuple(map(tuple, directions)),
            self.logic.acquisition(node),
            read_findings(node),
            self._kvp,
        )

    def _forget(self) -> None:
        self._reader = CalciumReader()
        self._rescorer: Rescorer | None = None
        self._ct: CTVolume | None = None
        self._turned: CTVolume | None = None
        self._ctKey: tuple[Any, ...] = ()

    def _observe(self) -> None:
        slicer = import_slicer()
        import vtk

        parts, nodes = slicer.vtkSegmentation, slicer.vtkMRMLSegmentationNode
        # the node passes its segmentation's events on, those of one undo as one
        for event in (
            parts.SourceRepresentationModified,
            parts.RepresentationModified,
            parts.ContainedRepresentationNamesModified,
            parts.SegmentAdded,
            parts.SegmentRemoved,
            parts.SegmentModified,
            parts.SegmentsOrderModified,
            nodes.SegmentationChangedEvent,
            nodes.TransformModifiedEvent,
        ):
            self._add(self._segmentation, event, self._nodeChanged)
        volumes = slicer.vtkMRMLScalarVolumeNode
        for event in (vtk.vtkCommand.ModifiedEvent, volumes.TransformModifiedEvent):
            self._add(self._volume, event, self._nodeChanged)
        self._add(self._volume, volumes.ImageDataModifiedEvent, self._voxelsChanged)
        scene = self._segmentation.GetScene()
        if scene is not None:
            for event in (slicer.vtkMRMLScene.NodeRemovedEvent, slicer.vtkMRMLScene.EndCloseEvent):
                self._add(scene, event, self._nodeRemoved)

    def _add(self, node: Any, event: int, method: Callable[..., None]) -> None:
        # weakly, so that the nodes do not keep this object alive, nor call it while Python takes it apart
        weak = WeakMethod(method)

        def told(*_event: Any) -> None:
            alive = weak()
            if alive is not None:
                alive()

        self._observers.append((node, node.AddObserver(event, told)))

    def __del__(self) -> None:
        with suppress(AttributeError):  # never finished, or half taken apart
            self._release()

    def _release(self) -> None:
        for node, tag in self._observers:
            node.RemoveObserver(tag)
        self._observers = []

    def _voxelsChanged(self) -> None:
        self._ct = None
        self._nodeChanged()

    def _nodeRemoved(self) -> None:
        if self.watching and (self._volume.GetScene() is None or self._segmentation.GetScene() is None):
            self.unwatch()
            self._scores, self._problem = None, NODE_GONE
            self._tell()

    def _nodeChanged(self) -> None:
        if not self.watching or self._refreshing:  # what a conversion does to the segmentation is no edit
            return
        before = self._state()
        self._upToDate = False
        if not self.automatic or self.schedule is not None:
            self._tellChangeFrom(before)
            if self.automatic and not self._scheduled:
                self._scheduled = True
                self.schedule(self._scheduledRefresh)
            return
        with suppress(InputRefusedError):
            self._refresh(convert=False)
        self._tellChangeFrom(before)

    def _scheduledRefresh(self) -> None:
        self._scheduled = False
        if self.watching and not self._upToDate:
            with suppress(InputRefusedError):
                self.refresh()

    def _state(self) -> tuple[Any, ...]:
        return id(self._scores), self._problem, self._upToDate, self._scores

    def _tellChangeFrom(self, before: tuple[Any, ...]) -> None:
        if before[:3] != self._state()[:3]:
            self._tell()

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener(self)
