"""What a reader steps through: lesions given to a vessel, and candidates that are not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from CACScoringLib.mrml.editing.candidates import picked
from CACScoringLib.mrml.editing.scan import CandidateScan
from CACScoringLib.scoring.islands import components
from CACScoringLib.vocabulary import BACKGROUND, LABEL_BY_VALUE


class Stops(str, Enum):
    """Where stepping stops."""

    GIVEN = "given"
    """Lesions that have a label."""
    CANDIDATES = "candidates"
    """Candidates that have none."""
    ALL = "all"


@dataclass(frozen=True)
class LesionStop:
    """One lesion or candidate.

    Attributes
    ----------
    number, count : int
        1, 2, ... from cranial to caudal, and how many there are.
    label : int
        Value of the label; 0 for a candidate that has none.
    ras : tuple of float
        World RAS in mm of the brightest voxel.
    zyx : tuple of int
        Its voxel in the scan as it is scored.
    volume_mm3 : float
    max_hu : int
    voxels : int
    """

    number: int
    count: int
    label: int
    ras: tuple[float, float, float]
    zyx: tuple[int, int, int]
    volume_mm3: float
    max_hu: int
    voxels: int

    @property
    def vessel(self) -> str:
        """Return the name of its label; empty for a candidate that has none."""
        return LABEL_BY_VALUE[self.label].name if self.label in LABEL_BY_VALUE else ""


def lesion_stops(scan: CandidateScan, labels: np.ndarray, which: Stops = Stops.ALL) -> tuple[LesionStop, ...]:
    """Return the lesions from cranial to caudal, those of one slice from anterior right to posterior left.

    Labelled voxels always stop, however large or small their lesion; candidates only where they can count.

    Parameters
    ----------
    scan : CandidateScan
    labels : ndarray of uint8, shape (n,)
        Label of each candidate voxel.
    which : Stops
    """
    candidates = scan.candidates
    given = labels != BACKGROUND
    wanted = np.zeros(len(labels), bool)
    if which is not Stops.CANDIDATES:
        wanted |= given
    if which is not Stops.GIVEN:
        wanted |= ~given & candidates.shown
    numbers = np.flatnonzero(wanted)
    if len(numbers) == 0:
        return ()
    voxels = picked(candidates.voxels, numbers, labels[numbers])
    component, count = components(voxels, candidates.rules.whole)
    by_brightness = np.lexsort((-voxels.hu, component))
    peak = by_brightness[np.r_[True, np.diff(component[by_brightness]) > 0]]
    size = np.bincount(component, minlength=count)
    order = np.lexsort((voxels.x[peak], voxels.y[peak], -voxels.z[peak]))
    world = scan.world(numbers[peak])
    return tuple(
        LesionStop(
            number=place,
            count=count,
            label=int(voxels.label[peak[i]]),
            ras=tuple(world[i].tolist()),
            zyx=(int(voxels.z[peak[i]]), int(voxels.y[peak[i]]), int(voxels.x[peak[i]])),
            volume_mm3=float(size[i] * candidates.voxel_mm3),
            max_hu=int(voxels.hu[peak[i]]),
            voxels=int(size[i]),
        )
        for place, i in enumerate(order.tolist(), start=1)
    )


def neighbour(stops: tuple[LesionStop, ...], place: tuple[int, int, int] | None, step: int) -> LesionStop | None:
    """Return the next (``step`` 1) or previous (-1) lesion after a place (z, y, x), going round at the end.

    Without a place the first, or last, lesion is returned. Lesions may have come and gone since the place was
    visited: only the order of places matters.
    """
    if not stops:
        return None
    ordered = stops if step > 0 else stops[::-1]
    if place is None:
        return ordered[0]
    here = _key(place)
    for stop in ordered:
        if (_key(stop.zyx) > here) if step > 0 else (_key(stop.zyx) < here):
            return stop
    return ordered[0]


def jump(slice_nodes: Any, ras: tuple[float, float, float]) -> None:
    """Move slice views (``vtkMRMLSliceNode``) so that a point in world RAS is in the middle of each."""
    for node in slice_nodes:
        node.JumpSliceByCentering(*ras)


def _key(zyx: tuple[int, int, int]) -> tuple[int, int, int]:
    return -zyx[0], zyx[1], zyx[2]
