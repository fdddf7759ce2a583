"""Slice by slice: where a method that scores slices without labels differs from one that labels voxels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.scoring.result import CalciumScore
from CACScoringLib.vocabulary import CORONARY_LABELS

MOST_SLICES = 5
"""Slices that are named for each pair of methods."""
LEAST_DIFFERENCE = 0.05
"""Agatston: what a table shows as 0.0 is no difference."""


@dataclass(frozen=True)
class SliceDifference:
    """A piece of the scan along z that two methods score differently.

    Attributes
    ----------
    scored_by, labelled_by : str
        The method that scores slices, and the one that labels voxels.
    z_mm : float
        Middle of the piece, from the centre of the CT's first slice.
    slice : int
        Acquired slice nearest to it.
    thickness_mm : float
        Of the piece: the larger one of the two distances between slices.
    agatston_scored, agatston_labelled : float
        What each finds in it.
    """

    scored_by: str
    labelled_by: str
    z_mm: float
    slice: int
    thickness_mm: float
    agatston_scored: float
    agatston_labelled: float

    @property
    def difference(self) -> float:
        """Return scored minus labelled."""
        return self.agatston_scored - self.agatston_labelled


def slice_differences(
    ct: CTVolume,
    scored: Mapping[str, tuple[np.ndarray, np.ndarray]],
    labelled: Mapping[str, CalciumScore],
    limit: int = MOST_SLICES,
) -> tuple[SliceDifference, ...]:
    """Return the slices in which scores without labels differ most from those of labels.

    The two score different slices: both are summed over pieces as thick as the larger distance between slices, so that
    nothing is counted twice or lost.

    Parameters
    ----------
    ct : CTVolume
    scored : mapping of str to (z_mm, agatston)
        By method: centres of its slices from the centre of the CT's first slice, and what each adds; shape (n,) each.
    labelled : mapping of str to CalciumScore
    limit : int
        Largest number of slices for a pair of methods.
    """
    found = []
    for name, (z_mm, agatston) in scored.items():
        for other, score in labelled.items():
            found += _largest(ct, name, np.asarray(z_mm, float), np.asarray(agatston, float), other, score)[:limit]
    return tuple(found)


def coronary_by_slice(score: CalciumScore) -> dict[int, float]:
    """Return the coronary Agatston score of each acquired slice that has any."""
    names = {label.name for label in CORONARY_LABELS}
    return {z: sum(value for name, value in entry.items() if name in names) for z, entry in score.slices.items()}


def _largest(
    ct: CTVolume, name: str, z_mm: np.ndarray, agatston: np.ndarray, other: str, score: CalciumScore
) -> list[SliceDifference]:
    """Return the pieces in which two methods differ, the largest difference first."""
    own_mm = ct.spacing_mm[0]
    step_mm = float(np.median(np.diff(z_mm))) if len(z_mm) > 1 else 0.0
    width = max(own_mm, step_mm)
    origin = float(z_mm[0]) if step_mm > own_mm else 0.0
    by_labels = coronary_by_slice(score)
    pieces: dict[int, list[float]] = {}
    for side, (places, values) in enumerate(
        ((z_mm, agatston), (np.array([*by_labels], float) * own_mm, np.array([*by_labels.values()], float)))
    ):
        for piece, value in zip(np.floor((places - origin) / width + 0.5).astype(int).tolist(), values, strict=True):
            pieces.setdefault(piece, [0.0, 0.0])[side] += float(value)
    out = []
    for piece, (scored, labelled) in pieces.items():
        middle = origin + piece * width
        nearest = int(np.clip(np.floor(middle / own_mm + 0.5), 0, ct.shape[0] - 1))
        out.append(SliceDifference(name, other, middle, nearest, width, scored, labelled))
    out = [entry for entry in out if abs(entry.difference) >= LEAST_DIFFERENCE]
    return sorted(out, key=lambda entry: (-abs(entry.difference), entry.z_mm))
