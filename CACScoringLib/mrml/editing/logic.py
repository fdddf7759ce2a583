"""The actions of the Segment Editor effect: candidates to vessels, without a desktop.

Methods have Slicer's camelCase names. Each action is one step of undo, and none where nothing changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from CACScoringLib.mrml.editing import result
from CACScoringLib.mrml.editing.display import CandidateDisplay
from CACScoringLib.mrml.editing.editor import SegmentEditor
from CACScoringLib.mrml.editing.lesions import LesionStop, Stops, jump, lesion_stops, neighbour
from CACScoringLib.mrml.editing.regions import HalfSpace, Lasso, Region, Sphere, crossing_line
from CACScoringLib.mrml.editing.result import EditResult
from CACScoringLib.mrml.editing.scan import SAME_SLICE, CandidateScan
from CACScoringLib.mrml.editing.session import EditingSession
from CACScoringLib.mrml.logic import DEFAULT_METHOD, ScoringLogic
from CACScoringLib.vocabulary import BACKGROUND

if TYPE_CHECKING:
    from CACScoringLib.methods.prediction import Prediction

SNAP_MM = 1.5
"""A click beside a candidate of the same slice, by up to two or three pixels, means that candidate."""


class EditingLogic(EditingSession):
    """Give candidates to vessels.

    Positions are world RAS in mm. "Whole" means the 3-D lesion, otherwise it is the 2-D island of the slice.
    """

    def __init__(self, editor: SegmentEditor, logic: ScoringLogic | None = None):
        super().__init__(editor, logic)
        self.display = CandidateDisplay(self)
        self._place: tuple[int, int, int] | None = None

    # --- actions

    def click(self, ras: Any, *, whole: bool = False, label: int | None = None) -> EditResult:
        """Give the candidate at a position to the active vessel.

        It takes what is connected to it and has no label, or its own; what another vessel has stays.
        """
        return self._piece(ras, self.activeLabel if label is None else label, whole)

    def shiftClick(self, ras: Any, *, whole: bool = False) -> EditResult:
        """Take the candidate at a position away from the vessel that has it."""
        return self._piece(ras, BACKGROUND, whole)

    def lasso(self, region: Lasso, *, take: bool = False, label: int | None = None) -> EditResult:
        """Give all candidates inside a lasso to the active vessel, or take them away; see ``lassoOfView``."""
        return self._region(region, take, label)

    def sphere(self, center: Any, radius: float, *, take: bool = False, label: int | None = None) -> EditResult:
        """Give all candidates inside a sphere (radius in mm) to the active vessel, or take them away."""
        return self._region(Sphere(tuple(float(value) for value in center), float(radius)), take, label)

    def splitByPlane(
        self, start: Any, end: Any, towardsViewer: Any, first: int, second: int, *, whole: bool = True
    ) -> EditResult:
        """Split the lesions under a line by the plane that stands on the line, at right angles to the view.

        Parameters
        ----------
        start, end : sequence of float
            Ends of the line that was drawn.
        towardsViewer : sequence of float
            Normal of the view.
        first, second : int
            Labels of what lies to the left of the line, looking from its start to its end, and to the right.
        whole : bool
            3-D lesions instead of 2-D islands.
        """
        scan, labels = self.scan(), self.candidateLabels()
        normal = np.asarray(towardsViewer, float) / np.linalg.norm(towardsViewer)
        across = np.cross(normal, np.asarray(end, float) - np.asarray(start, float))
        if not across.any():
            return result.nothing("Draw a line across the lesion.")
        reach = scan.half_thickness_mm(across)
        close = scan.near(np.array([start, end], float), max(reach, scan.half_thickness_mm(normal)))
        points = scan.world(close)
        under = np.abs((points - np.asarray(start, float)) @ normal) <= scan.half_thickness_mm(normal) * SAME_SLICE
        under &= crossing_line(points, start, end, normal, reach)
        side = HalfSpace.beside_line(start, end, normal)
        return self._split(scan, labels, close[under], side, first, second, whole)

    def splitBySecondClick(
        self, firstRas: Any, secondRas: Any, first: int, second: int, *, whole: bool = True
    ) -> EditResult:
        """Split a lesion between two clicks: each voxel goes with the nearer one.

        Parameters
        ----------
        firstRas, secondRas : sequence of float
            Two positions of one lesion.
        first, second : int
            Labels of what is nearer to the first, and to the second.
        whole : bool
            The 3-D lesion instead of the 2-D island.
        """
        scan, labels = self.scan(), self.candidateLabels()
        one, other = (self._candidateAt(scan, ras) for ras in (firstRas, secondRas))
        if one is None or other is None:
            return result.no_candidate(scan.candidates)
        piece = scan.candidates.piece(one, labels, whole=whole, also=(BACKGROUND, first, second, int(labels[other])))
        if not np.isin(other, piece):
            return result.nothing("The two clicks are not on one lesion.")
        side = HalfSpace.nearer_to(*scan.world(np.array([one, other])))
        return self._split(scan, labels, np.array([one]), side, first, second, whole, also=int(labels[other]))

    # --- stepping through lesions

    def lesions(self, stops: str | Stops = Stops.ALL) -> tuple[LesionStop, ...]:
        """Return lesions and candidates from cranial to caudal."""
        return lesion_stops(self.scan(), self.candidateLabels(), Stops(stops))

    def nextLesion(self, sliceNodes: Any = (), stops: str | Stops = Stops.ALL) -> LesionStop | None:
        """Go to the next lesion and move the slice views there; after the last comes the first."""
        return self._step(1, sliceNodes, stops)

    def previousLesion(self, sliceNodes: Any = (), stops: str | Stops = Stops.ALL) -> LesionStop | None:
        """Go to the previous lesion and move the slice views there; before the first comes the last."""
        return self._step(-1, sliceNodes, stops)

    # --- the network

    def networkLogic(self) -> ScoringLogic:
        """Return a logic whose ``fill`` is an action here: one step of undo, masking and visibility respected.

        To be given to whatever runs the network, such as a ``ScoringJob``.
        """
        from CACScoringLib.mrml.editing.network import NetworkLogic

        return NetworkLogic(self)

    def runNetwork(self, method: str = DEFAULT_METHOD, **options: Any) -> Prediction:
        """Run the network here and now, and fill our segments; see ``ScoringLogic.segment`` for the options."""
        self._checkNodes()
        options.setdefault("kvp", self.kvp)
        return self.networkLogic().segment(self.volumeNode, self.segmentationNode, method, **options)

    # --- the overlay

    def showCandidates(self, shown: bool = True) -> None:
        """Show candidates that no vessel has, or hide them; they follow every edit, undo and redo."""
        if shown:
            self.display.show()
        else:
            self.display.hide()

    def refreshCandidates(self) -> None:
        """Draw the candidates again where volume, segmentation or preset have changed; nothing if not shown."""
        self.display.refresh()

    @property
    def overlayNode(self) -> Any:
        """Return the label map of candidates, or None while it is not shown."""
        return self.display.node

    # --- behind them

    def _candidateAt(self, scan: CandidateScan, ras: Any) -> int | None:
        return scan.candidates.nearest(scan.voxel_of(ras), SNAP_MM)

    def _piece(self, ras: Any, label: int, whole: bool) -> EditResult:
        scan = self.scan()
        number = self._candidateAt(scan, ras)
        if number is None:
            return result.no_candidate(scan.candidates)
        labels = self.candidateLabels()
        if label == BACKGROUND:
            if labels[number] == BACKGROUND:
                return result.unchanged(0)
            which = scan.candidates.piece(number, labels, whole=whole, also=())
        elif whole and scan.candidates.too_large(number):
            return result.too_large(scan.candidates, number)
        else:
            which = scan.candidates.piece(number, labels, whole=whole)
        return self.write(which, np.full(len(which), label, np.uint8))

    def _region(self, region: Region, take: bool, label: int | None) -> EditResult:
        scan, labels = self.scan(), self.candidateLabels()
        which = scan.near(*region.box(scan.diagonal_mm))
        wanted = labels[which] != BACKGROUND if take else scan.candidates.counts[scan.candidates.lesion[which]]
        which = which[wanted]
        which = which[region.contains(scan.world(which))]
        if len(which) == 0:
            return result.no_candidate(scan.candidates)
        new = BACKGROUND if take else self.activeLabel if label is None else label
        return self.write(which, np.full(len(which), new, np.uint8))

    def _split(
        self,
        scan: CandidateScan,
        labels: np.ndarray,
        seeds: np.ndarray,
        side: HalfSpace,
        first: int,
        second: int,
        whole: bool,
        also: int = BACKGROUND,
    ) -> EditResult:
        taken = np.zeros(len(labels), bool)
        for seed in seeds.tolist():
            if taken[seed]:
                continue
            if whole and scan.candidates.too_large(seed) and labels[seed] == BACKGROUND:
                return result.too_large(scan.candidates, seed)
            taken[scan.candidates.piece(seed, labels, whole=whole, also=(BACKGROUND, first, second, also))] = True
        which = np.flatnonzero(taken)
        if len(which) == 0:
            return result.no_candidate(scan.candidates)
        new = np.where(side.contains(scan.world(which)), first, second).astype(np.uint8)
        return self.write(which, new)

    def _step(self, step: int, slice_nodes: Any, stops: str | Stops) -> LesionStop | None:
        stop = neighbour(self.lesions(stops), self._place, step)
        if stop is not None:
            self._place = stop.zyx
            jump(slice_nodes, stop.ras)
        return stop
