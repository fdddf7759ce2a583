"""Candidates: islands of voxels at or above the threshold, and how a network sees them.

Nothing else can score, so a network is only asked about candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CACScoringLib.inference.grids import Grid

CANDIDATE_HU = 130.0
"""Lowest HU of a candidate at 120 kVp and when the tube voltage is unknown (Agatston 1990)."""
LARGEST_WHOLE_MM3 = 3000.0
"""Islands up to this volume are taken whole; larger ones (bone, metal) are cut at the region's border."""
BONE_MM3 = 30_000.0
"""No calcification is larger: an island beyond it is bone, or joined to bone."""
REACH_MM = 20.0
"""How far beyond the box of the region an island is followed."""
WHOLE = np.ones((3, 3, 3), bool)
"""26-connectivity."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidate voxels of a scan.

    Attributes
    ----------
    index : ndarray of int32, shape (n, 3)
        (z, y, x) of every candidate voxel on the CT's grid.
    hu : ndarray of int16, shape (n,)
    lesion : ndarray of int32, shape (n,)
        Number of the 3-D 26-connected island that the voxel belongs to, 0..count-1.
    size_mm3 : ndarray of float32, shape (count,)
        Volume of each island.
    of_bone : ndarray of bool, shape (count,), or None
        Whether it was cut from an island larger than ``BONE_MM3``; None: not known.
    """

    index: np.ndarray
    hu: np.ndarray
    lesion: np.ndarray
    size_mm3: np.ndarray
    of_bone: np.ndarray | None = None

    @property
    def count(self) -> int:
        """Return the number of islands."""
        return len(self.size_mm3)


def find_candidates(
    hu: np.ndarray,
    grid: Grid,
    region: np.ndarray | None = None,
    region_grid: Grid | None = None,
    threshold_hu: float = CANDIDATE_HU,
) -> Candidates:
    """Find the islands at or above the threshold.

    Parameters
    ----------
    hu : ndarray of int16, shape (z, y, x)
    grid : Grid
        The CT's grid.
    region : ndarray of bool, shape (z, y, x), optional
        Where to look, on ``region_grid``; everywhere when absent. An island that straddles the border is
        taken whole, unless it is larger than ``LARGEST_WHOLE_MM3``: then it is cut there.
    threshold_hu : float

    Returns
    -------
    Candidates
    """
    low, high = np.zeros(3, int), np.asarray(hu.shape)
    if region is not None:
        low, high = _box_on_ct(region, region_grid, grid)
        if np.any(high <= low):
            return _none()
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    mask = hu[box] >= threshold_hu
    index = np.argwhere(mask)
    if not len(index):
        return _none()
    voxel = float(np.prod(grid.spacing_mm))
    labels, count = ndimage.label(mask, structure=WHOLE)
    bone = np.zeros(len(index), bool)
    if region is not None:
        points = (index + low) * np.asarray(grid.spacing_mm)
        inside = region[tuple(region_grid.index_of(points).T)]
        island = labels[tuple(index.T)]
        size = np.bincount(island, minlength=count + 1) * voxel
        touched = np.bincount(island, weights=inside, minlength=count + 1) > 0
        kept = np.where(size[island] <= LARGEST_WHOLE_MM3, touched[island], inside)
        mask[tuple(index[~kept].T)] = False
        index, bone = index[kept], (size[island] > BONE_MM3)[kept]
        if not len(index):
            return _none()
        labels, count = ndimage.label(mask, structure=WHOLE)
    lesion = labels[tuple(index.T)] - 1
    size = np.bincount(lesion, minlength=count).astype(np.float32) * voxel
    absolute = (index + low).astype(np.int32)
    of_bone = np.bincount(lesion, weights=bone, minlength=count) > 0
    return Candidates(absolute, hu[tuple(absolute.T)], lesion.astype(np.int32), size, of_bone)


def _none() -> Candidates:
    return Candidates(np.zeros((0, 3), np.int32), np.zeros(0, np.int16), np.zeros(0, np.int32), np.zeros(0, np.float32))


def _box_on_ct(region: np.ndarray, region_grid: Grid, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return the index box on the CT's grid that holds the region and what islands reach beyond it."""
    if not region.any():
        return np.zeros(3, int), np.zeros(3, int)
    low, high = [], []
    for axis in range(3):
        used = np.flatnonzero(region.any(axis=tuple(a for a in range(3) if a != axis)))
        step, start = region_grid.spacing_mm[axis], region_grid.offset_mm[axis]
        low.append(int(np.floor((start + (used[0] - 0.5) * step - REACH_MM) / grid.spacing_mm[axis])))
        high.append(int(np.ceil((start + (used[-1] + 0.5) * step + REACH_MM) / grid.spacing_mm[axis])) + 1)
    return np.clip(low, 0, grid.shape), np.clip(high, 0, grid.shape)


def candidate_maps(candidates: Candidates, grid: Grid, target: Grid) -> dict[str, np.ndarray]:
    """Draw the candidates on a network's grid.

    Returns
    -------
    dict of ndarray, each with the target's shape
        ``peak``: highest HU of a candidate in the voxel (float32, 0 without one);
        ``fraction``: share of the voxel that candidates fill (float32, 0..1);
        ``size``: volume in mm3 of the largest candidate island in the voxel (float32).
    """
    maps = {name: np.zeros(target.shape, np.float32) for name in ("peak", "fraction", "size")}
    for cell, voxel, weight in footprint(candidates.index, grid, target):
        flat = np.ravel_multi_index(tuple(cell.T), target.shape)
        np.maximum.at(maps["peak"].reshape(-1), flat, candidates.hu[voxel].astype(np.float32))
        np.maximum.at(maps["size"].reshape(-1), flat, candidates.size_mm3[candidates.lesion[voxel]])
        np.add.at(maps["fraction"].reshape(-1), flat, np.float32(weight))
    np.minimum(maps["fraction"], 1.0, out=maps["fraction"])
    return maps


def footprint(index: np.ndarray, grid: Grid, target: Grid) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Say which cells of a target grid each CT voxel covers.

    A CT voxel that is larger than a cell along an axis covers several cells there.

    Returns
    -------
    list of (cell (m, 3), voxel number (m,), share of a cell that one voxel fills)
    """
    spacing, step = np.asarray(grid.spacing_mm), np.asarray(target.spacing_mm)
    copies = np.maximum(np.ceil(spacing / step - 1e-6).astype(int), 1)
    share = float(np.prod(np.minimum(spacing / copies / step, 1.0)))
    centre = index * spacing
    out = []
    for offset in np.ndindex(*copies):
        shift = ((np.asarray(offset) + 0.5) / copies - 0.5) * spacing
        cell = np.rint((centre + shift - target.offset_mm) / step).astype(np.int64)
        inside = np.flatnonzero(((cell >= 0) & (cell < target.shape)).all(axis=1))
        out.append((cell[inside], inside, share))
    return out
