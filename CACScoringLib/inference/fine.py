"""What the network is fed on the fine grid: HU, candidates, and the coarse pass as context."""

from __future__ import annotations

import numpy as np

from CACScoringLib.inference.candidates import Candidates, candidate_maps, footprint
from CACScoringLib.inference.grids import (
    FINE_SPACING_MM,
    Grid,
    covering_grid,
    resample_linear,
    resample_mean,
)
from CACScoringLib.inference.inputs import hu_channels


def fine_grid_over(
    region: np.ndarray, region_grid: Grid, candidates: Candidates, grid: Grid, margin_mm: float = 8.0
) -> Grid:
    """Return the fine grid that covers a region given on the coarse grid, and all candidates.

    Parameters
    ----------
    region : ndarray of bool, shape (z, y, x)
        On ``region_grid``; not empty.
    candidates : Candidates
        On the CT's ``grid``; they may reach beyond the region.
    margin_mm : float
    """
    used = np.argwhere(region)
    spacing, offset = np.asarray(region_grid.spacing_mm), np.asarray(region_grid.offset_mm)
    low = offset + used.min(axis=0) * spacing - margin_mm
    high = offset + used.max(axis=0) * spacing + margin_mm
    if candidates.count:
        voxel = np.asarray(grid.spacing_mm)
        low = np.minimum(low, (candidates.index.min(axis=0) - 0.5) * voxel)
        high = np.maximum(high, (candidates.index.max(axis=0) + 0.5) * voxel)
    return covering_grid(low, high, FINE_SPACING_MM)


def fine_channels(
    hu: np.ndarray, grid: Grid, candidates: Candidates, structures: np.ndarray, coarse: Grid, fine: Grid
) -> np.ndarray:
    """Stack the network's channels on the fine grid.

    Parameters
    ----------
    hu : ndarray of int16, shape (z, y, x)
        The CT on its own ``grid``.
    candidates : Candidates
    structures : ndarray of float32, shape (8, z, y, x)
        Probabilities of the coarse pass on the ``coarse`` grid.
    fine : Grid

    Returns
    -------
    ndarray of float32, shape (11, z, y, x)
    """
    channels = hu_channels(resample_mean(hu, grid, fine), candidate_maps(candidates, grid, fine))
    return np.concatenate((channels, resample_linear(structures[1:], coarse, fine)))


def at_candidates(values: np.ndarray, cells: np.ndarray, candidates: Candidates, grid: Grid, fine: Grid) -> np.ndarray:
    """Carry values of fine voxels over to the candidate voxels of the CT.

    Parameters
    ----------
    values : ndarray of float32, shape (m, classes)
    cells : ndarray of int, shape (m, 3)
        The fine voxels that hold a candidate.
    candidates : Candidates

    Returns
    -------
    ndarray of float32, shape (n, classes)
        Mean over the fine voxels that a CT voxel covers; the first class where it covers none.
    """
    row = np.zeros(fine.shape, np.int64)
    row[tuple(cells.T)] = np.arange(len(cells))
    out = np.zeros((len(candidates.index), values.shape[1]), np.float32)
    hits = np.zeros(len(candidates.index), np.float32)
    for cell, voxel, _ in footprint(candidates.index, grid, fine):
        out[voxel] += values[row[tuple(cell.T)]]
        hits[voxel] += 1
    out[hits == 0, 0] = 1.0
    return out / np.maximum(hits, 1)[:, None]
