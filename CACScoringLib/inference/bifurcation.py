"""Where the left main divides: which of LM, LAD and LCX the calcium of the left coronary tree belongs to.

A lesion over the division is hard to split for a network that looks at the whole heart on coarse features. A second one
sees the surroundings of the left main alone; what both say is multiplied, each with a weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage
from scipy.special import softmax

from CACScoringLib.inference.candidates import Candidates, candidate_maps
from CACScoringLib.inference.grids import FINE_SPACING_MM, Grid, resample_mean
from CACScoringLib.inference.inputs import hu_channels
from CACScoringLib.vocabulary import Vessel

CROP_SHAPE = (24, 48, 48)
"""What the network sees, 48 x 60 x 60 mm: the root of the aorta, the left main and the first 2 cm of what it divides
into."""
SEEN_SHAPE = tuple(n + 1 for n in CROP_SHAPE)
"""The surroundings of the left main, looked at in two crops a voxel apart."""
LEAST_LEFT_MAIN = 0.25
"""Voxels count towards the middle of the crop from this probability of LM on; without any, nothing is looked at."""
SURE = 1e-6
LEFT = slice(int(Vessel.LM), int(Vessel.LCX) + 1)
"""Columns of LM, LAD and LCX."""


@dataclass(frozen=True)
class BifurcationWeights:
    """How much each network counts: exponents of their probabilities.

    Attributes
    ----------
    whole_heart : float
        Of the network that sees the whole heart.
    left_main : float
        Of the one that sees the surroundings of the left main.
    """

    whole_heart: float = 0.4
    left_main: float = 0.6

    def as_dict(self) -> dict[str, float]:
        """Return the weights as a bundle's settings keep them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entries: Mapping[str, object]) -> BifurcationWeights:
        """Read what ``as_dict`` has written."""
        return cls(float(entries["whole_heart"]), float(entries["left_main"]))


def surroundings_of_left_main(
    candidates: Candidates, calcium: np.ndarray, spacing_mm: tuple[float, ...]
) -> Grid | None:
    """Return the grid, ``SEEN_SHAPE``, round the calcium that may be left main; None where there is none.

    Parameters
    ----------
    candidates : Candidates
    calcium : ndarray of float32, shape (n, 5)
        Probabilities of background, LM, LAD, LCX, RCA, of the network alone.
    spacing_mm : tuple of float
        Of the CT, (z, y, x).
    """
    left_main = calcium[:, int(Vessel.LM)].astype(np.float64)
    chosen = np.flatnonzero(left_main >= LEAST_LEFT_MAIN)
    if not len(chosen):
        return None
    middle = np.average(candidates.index[chosen] * np.asarray(spacing_mm), axis=0, weights=left_main[chosen])
    first = middle - (np.asarray(SEEN_SHAPE) - 1) / 2 * np.asarray(FINE_SPACING_MM)
    return Grid(FINE_SPACING_MM, tuple(float(v) for v in first), SEEN_SHAPE)


def seen_channels(hu: np.ndarray, grid: Grid, candidates: Candidates, seen: Grid) -> np.ndarray:
    """Return what the network is fed: the HU channels on the grid of the surroundings, float32 (4, z, y, x).

    Parameters
    ----------
    hu : ndarray of int16, shape (z, y, x)
        The CT on its own ``grid``.
    """
    return hu_channels(resample_mean(hu, grid, seen), candidate_maps(candidates, grid, seen))


def look_twice(channels: np.ndarray, ask: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return the mean of what a network says of two crops a voxel apart, where both see.

    The network halves its resolution from level to level; what falls into one of its voxels differs between the two.

    Parameters
    ----------
    channels : ndarray of float32, shape (c, z + 1, y + 1, x + 1)
    ask : callable
        From crops (2, c, z, y, x) to log-probabilities (2, k, z, y, x).

    Returns
    -------
    ndarray of float32, shape (k, z - 1, y - 1, x - 1)
        Without the outermost voxels of ``channels`` on every side.
    """
    all_but_last, all_but_first = (slice(None), *[slice(-1)] * 3), (slice(None), *[slice(1, None)] * 3)
    one, other = ask(np.stack([channels[all_but_last], channels[all_but_first]]))
    return (one[all_but_first] + other[all_but_last]) / 2


def divide_left_main(
    hu: np.ndarray,
    grid: Grid,
    candidates: Candidates,
    calcium: np.ndarray,
    ask: Callable[[np.ndarray], np.ndarray],
    weights: BifurcationWeights,
) -> np.ndarray:
    """Return the probabilities (n, 5) after a network was asked where the left main divides.

    How probably a voxel is coronary, or right coronary, stays.

    Parameters
    ----------
    hu : ndarray of int16, shape (z, y, x)
    grid : Grid
        Of the CT.
    candidates : Candidates
    calcium : ndarray of float32, shape (n, 5)
        What the network that sees the whole heart says.
    ask : callable
        From two crops (2, 4, z, y, x), ``CROP_SHAPE``, to log-probabilities of LM, LAD and LCX, (2, 3, z, y, x).
    weights : BifurcationWeights
    """
    seen = surroundings_of_left_main(candidates, calcium, grid.spacing_mm)
    if seen is None:
        return calcium
    said = look_twice(seen_channels(hu, grid, candidates, seen), ask)
    at = (candidates.index * np.asarray(grid.spacing_mm) - seen.offset_mm) / np.asarray(seen.spacing_mm) - 1
    inside = np.flatnonzero(((at > -0.5) & (at < np.asarray(said.shape[1:]) - 0.5)).all(axis=1))
    place = at[inside].T
    there = np.stack([ndimage.map_coordinates(vessel, place, order=1, mode="nearest") for vessel in said], axis=1)
    return with_left_vessels(calcium, inside, there, weights)


def with_left_vessels(
    calcium: np.ndarray, inside: np.ndarray, said: np.ndarray, weights: BifurcationWeights
) -> np.ndarray:
    """Return the probabilities with LM, LAD and LCX shared anew among some voxels.

    Parameters
    ----------
    calcium : ndarray of float32, shape (n, 5)
    inside : ndarray of int, shape (m,)
        The voxels.
    said : ndarray of float32, shape (m, 3)
        Log-probabilities of LM, LAD and LCX there.
    weights : BifurcationWeights
    """
    out = calcium.copy()
    left = calcium[inside, LEFT]
    total = left.sum(axis=1, keepdims=True)
    before = np.log(left / np.maximum(total, SURE) + SURE)
    out[inside, LEFT] = total * softmax(weights.whole_heart * before + weights.left_main * said, axis=1)
    return out
