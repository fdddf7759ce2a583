"""What a network that goes from slice to slice is fed: the heart's axial slices, in the plane on a small grid."""

from __future__ import annotations

import numpy as np

from CACScoringLib.inference.candidates import Candidates, candidate_maps
from CACScoringLib.inference.grids import Grid, resample_linear, resample_mean
from CACScoringLib.inference.inputs import hu_channels

PIXEL_MM = 1.5
"""In the slice; what a candidate looks like at the CT's own resolution comes in channels of its own."""
PLANE = 128
"""Pixels along a side: 192 mm, a heart with its surroundings."""
ROUNDED_TO = 8
"""Sides are multiples of it (``networks.convlstm.MULTIPLE``)."""
LEAST_STEP_MM = 2.0
USUAL_STEP_MM = 2.5
"""Slices closer than ``LEAST_STEP_MM`` are averaged to about this step, the thinnest of Pieszko 2022."""
STEP_SCALE_MM = 5.0
BEYOND_MM = 4.0
"""How far above and below the region slices are looked at."""


def slices_joined(increment_mm: float) -> int:
    """Return how many slices of a CT are averaged to one of the sequence.

    Examples
    --------
    >>> [slices_joined(step) for step in (5.0, 2.0, 1.5, 1.25, 0.5)]
    [1, 1, 2, 2, 5]
    """
    return 1 if increment_mm >= LEAST_STEP_MM else max(round(USUAL_STEP_MM / increment_mm), 1)


def sequence_grid(
    region: np.ndarray, region_grid: Grid, candidates: Candidates, grid: Grid, plane: int = PLANE
) -> Grid:
    """Return the grid of the sequence: the CT's own slices that hold the region and all candidates.

    In the slice it is centred on the region and has ``plane`` pixels along a side, or as many more as are needed.

    Parameters
    ----------
    region : ndarray of bool, shape (z, y, x)
        On ``region_grid``; not empty.
    candidates : Candidates
        On the CT's ``grid``; they may reach beyond the region.
    plane : int
        A multiple of ``ROUNDED_TO``.
    """
    used = np.argwhere(region)
    spacing, offset = np.asarray(region_grid.spacing_mm), np.asarray(region_grid.offset_mm)
    low, high = offset + (used.min(axis=0) - 0.5) * spacing, offset + (used.max(axis=0) + 0.5) * spacing
    middle = (low + high) / 2
    low[0], high[0] = low[0] - BEYOND_MM, high[0] + BEYOND_MM
    if candidates.count:
        voxel = np.asarray(grid.spacing_mm)
        low = np.minimum(low, (candidates.index.min(axis=0) - 0.5) * voxel)
        high = np.maximum(high, (candidates.index.max(axis=0) + 0.5) * voxel)
    step, joined = grid.spacing_mm[0], slices_joined(grid.spacing_mm[0])
    first = max(int(np.ceil(low[0] / step)), 0)
    count = max(min(int(np.floor(high[0] / step)), grid.shape[0] - 1) - first + 1, 1)
    reach = np.maximum(high[1:] - middle[1:], middle[1:] - low[1:])
    side = np.maximum(np.ceil(2 * reach / PIXEL_MM / ROUNDED_TO).astype(int) * ROUNDED_TO, plane)
    start = middle[1:] - (side - 1) / 2 * PIXEL_MM
    return Grid(
        (joined * step, PIXEL_MM, PIXEL_MM),
        ((first + (joined - 1) / 2) * step, float(start[0]), float(start[1])),
        (-(-count // joined), int(side[0]), int(side[1])),
    )


def sequence_channels(
    hu: np.ndarray, grid: Grid, candidates: Candidates, structures: np.ndarray, coarse: Grid, slices: Grid
) -> np.ndarray:
    """Stack what the network sees of every slice.

    Parameters
    ----------
    hu : ndarray of int16, shape (z, y, x)
        The CT on its own ``grid``.
    candidates : Candidates
    structures : ndarray of float32, shape (8, z, y, x)
        Probabilities on the ``coarse`` grid.
    slices : Grid

    Returns
    -------
    ndarray of float32, shape (12, z, y, x)
    """
    own = hu_channels(resample_mean(hu, grid, slices), candidate_maps(candidates, grid, slices))
    return join_channels(own, resample_linear(structures[1:], coarse, slices), slices)


def join_channels(own: np.ndarray, structures: np.ndarray, slices: Grid) -> np.ndarray:
    """Put the HU channels (4), the distance to the next slice and the structures (7) together: (12, z, y, x)."""
    step = np.full((1, *slices.shape), slices.spacing_mm[0] / STEP_SCALE_MM, np.float32)
    return np.concatenate((own, step, structures))
