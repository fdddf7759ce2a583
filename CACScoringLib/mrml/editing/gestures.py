"""Mouse and keys in slice views to actions; the effect passes on what happens, and draws the outline."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np

from CACScoringLib.mrml.editing import result
from CACScoringLib.mrml.editing.lesions import LesionStop, Stops
from CACScoringLib.mrml.editing.logic import EditingLogic
from CACScoringLib.mrml.editing.result import EditResult
from CACScoringLib.mrml.editing.views import lasso_of_view, towards_viewer, view_to_ras
from CACScoringLib.vocabulary import Vessel

STEP_PIXELS = 2.0
"""A lasso has a corner for every so many pixels that the mouse moves."""
SMALLEST_RADIUS_MM = 0.5
"""A sphere smaller than this was a click rather than a drag."""
CIRCLE_CORNERS = 64
NEXT_KEY, PREVIOUS_KEY, CANCEL_KEY = "n", "p", "Escape"


class Tool(str, Enum):
    """What the left mouse button does."""

    CLICK = "click"
    LASSO = "lasso"
    SPHERE = "sphere"
    SPLIT_LINE = "split-line"
    SPLIT_CLICKS = "split-clicks"


DRAGGED = (Tool.LASSO, Tool.SPHERE, Tool.SPLIT_LINE)


class Gestures:
    """What is being done with the mouse in slice views.

    Positions are pixels of the view, as VTK's interactor gives them.

    Parameters
    ----------
    editing : EditingLogic

    Attributes
    ----------
    tool : Tool
    whole : bool
        3-D lesions instead of 2-D islands, for clicks and splits.
    slabMm : float or None
        Thickness that a lasso goes through; 0 for the slice that is seen, None for the whole scan.
    secondLabel : int
        What the other part of a split is given.
    stops : Stops
        Where stepping stops.
    """

    def __init__(self, editing: EditingLogic):
        self.editing = editing
        self.tool = Tool.CLICK
        self.whole = False
        self.slabMm: float | None = 0.0
        self.secondLabel = int(Vessel.LAD)
        self.stops = Stops.GIVEN
        self._view: Any = None
        self._path: list[tuple[float, float]] = []
        self._take = False
        self._first: tuple[np.ndarray, int] | None = None

    @property
    def dragging(self) -> bool:
        """Return whether a lasso, sphere or line is being drawn."""
        return bool(self._path)

    def setTool(self, tool: str | Tool) -> None:
        """Choose what the left mouse button does; what was begun is dropped."""
        self.cancel()
        self.tool = Tool(tool)

    def press(self, sliceNode: Any, xy: Any, shift: bool = False) -> EditResult | None:
        """Take note that the left button went down; return what was done, or None while more is to come.

        Parameters
        ----------
        sliceNode : vtkMRMLSliceNode
        xy : sequence of float
        shift : bool
            Take away instead of give.
        """
        if self.tool in DRAGGED:
            self._view, self._path, self._take = sliceNode, [_pair(xy)], shift
            return None
        ras = view_to_ras(sliceNode, _pair(xy))
        if self.tool is Tool.CLICK:
            if shift:
                return self.editing.shiftClick(ras, whole=self.whole)
            return self.editing.click(ras, whole=self.whole)
        return self._splitClick(ras)

    def move(self, sliceNode: Any, xy: Any) -> bool:
        """Take note that the mouse moved; return whether the outline has changed."""
        if not self.dragging or sliceNode is not self._view:
            return False
        if self.tool is Tool.LASSO:
            if np.linalg.norm(np.subtract(xy, self._path[-1])) < STEP_PIXELS:
                return False
            self._path.append(_pair(xy))
        else:
            self._path[1:] = [_pair(xy)]
        return True

    def release(self, sliceNode: Any, xy: Any) -> EditResult | None:
        """Take note that the left button went up; return what was done, or None where nothing was drawn."""
        if not self.dragging:
            return None
        self.move(sliceNode, xy)
        view, path, take = self._view, self._path, self._take
        self.cancel()
        if self.tool is Tool.LASSO:
            return self._lasso(view, path, take)
        if self.tool is Tool.SPHERE:
            return self._sphere(view, path, take)
        return self._splitLine(view, path)

    def cancel(self) -> None:
        """Drop what was begun."""
        self._view, self._path, self._first = None, [], None

    def outline(self) -> tuple[Any, np.ndarray] | None:
        """Return the view and the points (m, 2), in its pixels, of what is being drawn, or None."""
        if not self.dragging:
            return None
        path = np.asarray(self._path, float)
        if self.tool is Tool.SPHERE:
            turn = np.linspace(0.0, 2.0 * np.pi, CIRCLE_CORNERS + 1)
            radius = np.linalg.norm(path[-1] - path[0])
            return self._view, path[0] + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        return self._view, np.vstack([path, path[:1]]) if self.tool is Tool.LASSO else path

    def key(self, key: str, sliceNodes: Any = ()) -> EditResult | LesionStop | int | None:
        """Do what a key stands for: 1 to 5 choose the vessel, n and p step through lesions, Escape drops a drawing.

        Returns
        -------
        EditResult, LesionStop, int or None
            The lesion that was gone to, the label that was chosen, or None for a key that means nothing here.
        """
        if key == CANCEL_KEY and (self.dragging or self._first is not None):
            self.cancel()
            return result.nothing("Dropped.")
        if key in (NEXT_KEY, PREVIOUS_KEY):
            return self.step(1 if key == NEXT_KEY else -1, sliceNodes)
        return self.editing.pressKey(key)

    def step(self, step: int, sliceNodes: Any = ()) -> LesionStop | None:
        """Go to the next (1) or previous (-1) lesion."""
        go = self.editing.nextLesion if step > 0 else self.editing.previousLesion
        return go(sliceNodes, self.stops)

    def _splitClick(self, ras: np.ndarray) -> EditResult | None:
        label = self.editing.activeLabel
        if self._first is None:
            self._first = (ras, label)
            return result.nothing("Now click the other part of the lesion.")
        first_ras, first = self._first
        self._first = None
        second = label if label != first else self.secondLabel
        if second == first:
            return result.nothing("Choose two different vessels for the parts.")
        return self.editing.splitBySecondClick(first_ras, ras, first, second, whole=self.whole)

    def _lasso(self, view: Any, path: list[tuple[float, float]], take: bool) -> EditResult:
        if len(path) < 3:
            return result.nothing("Draw around calcium with the button held down.")
        region = lasso_of_view(view, path, self.editing.scan(), slab_mm=self.slabMm)
        return self.editing.lasso(region, take=take)

    def _sphere(self, view: Any, path: list[tuple[float, float]], take: bool) -> EditResult:
        center, edge = view_to_ras(view, path[0]), view_to_ras(view, path[-1])
        radius = float(np.linalg.norm(edge - center))
        if radius < SMALLEST_RADIUS_MM:
            return result.nothing("Drag from the middle of the sphere to its border.")
        return self.editing.sphere(center, radius, take=take)

    def _splitLine(self, view: Any, path: list[tuple[float, float]]) -> EditResult:
        first, second = self.editing.activeLabel, self.secondLabel
        if first == second:
            return result.nothing("Choose two different vessels for the parts.")
        start, end = view_to_ras(view, path[0]), view_to_ras(view, path[-1])
        return self.editing.splitByPlane(start, end, towards_viewer(view), first, second, whole=self.whole)


def _pair(xy: Any) -> tuple[float, float]:
    return float(xy[0]), float(xy[1])
