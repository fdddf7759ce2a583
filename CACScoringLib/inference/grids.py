"""The two grids that a network sees: a coarse one over the scan, a fine one over the heart.

A grid is axis-aligned with the CT. It is described in mm from the centre of the CT's first
voxel, with axes (z, y, x). Training and inference resample with the same functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COARSE_SPACING_MM = (4.0, 4.0, 4.0)
"""Coarse grid: 64 voxels span 256 mm, enough for a heart with its surroundings."""
FINE_SPACING_MM = (2.0, 1.25, 1.25)
"""Fine grid: 64 voxels span 128 mm along z and 80 mm in the slice."""
AIR_HU = -1024


@dataclass(frozen=True)
class Grid:
    """An axis-aligned grid.

    Attributes
    ----------
    spacing_mm : tuple of float
        (z, y, x).
    offset_mm : tuple of float
        (z, y, x) position of the first voxel's centre, from the centre of the CT's first voxel.
    shape : tuple of int
        (z, y, x).
    """

    spacing_mm: tuple[float, float, float]
    offset_mm: tuple[float, float, float]
    shape: tuple[int, int, int]

    def index_of(self, points_mm: np.ndarray) -> np.ndarray:
        """Return the nearest voxel of points (n, 3) in mm, clipped to the grid; int64 (n, 3)."""
        index = np.rint((points_mm - np.asarray(self.offset_mm)) / np.asarray(self.spacing_mm)).astype(np.int64)
        return np.clip(index, 0, np.asarray(self.shape) - 1)

    def axes_mm(self) -> list[np.ndarray]:
        """Return the positions of the voxel centres along each axis."""
        return [o + s * np.arange(n) for o, s, n in zip(self.offset_mm, self.spacing_mm, self.shape, strict=True)]


def ct_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    """Return the CT's own grid."""
    return Grid(tuple(spacing_mm), (0.0, 0.0, 0.0), tuple(shape))


def covering_grid(
    low_mm: np.ndarray, high_mm: np.ndarray, spacing_mm: tuple[float, float, float], multiple: int = 1
) -> Grid:
    """Return the grid of the given spacing that covers a box in mm.

    ``multiple`` rounds the number of voxels along each axis up to a multiple.
    """
    extent = np.asarray(high_mm, float) - np.asarray(low_mm, float)
    shape = np.maximum(np.ceil(extent / np.asarray(spacing_mm)).astype(int) + 1, 1)
    shape = -(-shape // multiple) * multiple
    return Grid(tuple(spacing_mm), tuple(float(v) for v in low_mm), tuple(int(n) for n in shape))


def _block_mean(array: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """Average blocks of voxels; a rest at the end that fills no block is dropped."""
    out = array
    for axis, factor in enumerate(factors):
        if factor == 1:
            continue
        count = out.shape[axis] // factor
        out = np.take(out, np.arange(count * factor), axis=axis) if out.shape[axis] % factor else out
        shape = (*out.shape[:axis], count, factor, *out.shape[axis + 1 :])
        out = out.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    return out.astype(np.float32, copy=False)


def resample_mean(array: np.ndarray, source: Grid, target: Grid, fill: float = AIR_HU) -> np.ndarray:
    """Resample by block averages and then linear interpolation.

    Parameters
    ----------
    array : ndarray, shape (z, y, x)
    source, target : Grid
    fill : float
        Value outside the source.

    Returns
    -------
    ndarray of float32 with the target's shape
    """
    low, high = _needed(source, target)
    if np.any(high <= low):
        return np.full(target.shape, fill, np.float32)
    box = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    ratio = np.asarray(target.spacing_mm) / np.asarray(source.spacing_mm)
    factors = np.minimum(np.maximum(np.floor(ratio + 0.25).astype(int), 1), box.shape)
    small = _block_mean(box, tuple(int(f) for f in factors))
    spacing = np.asarray(source.spacing_mm) * factors
    first = np.asarray(source.offset_mm) + (low + (factors - 1) / 2) * np.asarray(source.spacing_mm)
    shrunk = Grid(tuple(map(float, spacing)), tuple(map(float, first)), small.shape)
    return resample_linear(small, shrunk, target, fill)


def resample_linear(array: np.ndarray, source: Grid, target: Grid, fill: float = 0.0) -> np.ndarray:
    """Interpolate linearly along each axis in turn.

    Parameters
    ----------
    array : ndarray, shape (..., z, y, x)
    source, target : Grid
    fill : float
        Value more than half a voxel outside the source.

    Returns
    -------
    ndarray of float32, shape (..., *target.shape)
    """
    out = array.astype(np.float32, copy=False)
    outside = []
    for axis in range(3):
        at = (target.axes_mm()[axis] - source.offset_mm[axis]) / source.spacing_mm[axis]
        last = source.shape[axis] - 1
        outside.append((at < -0.5) | (at > last + 0.5))
        at = np.clip(at, 0, last)
        left = np.minimum(at.astype(int), max(last - 1, 0))
        weight = (at - left).astype(np.float32)
        weight = weight.reshape([-1 if a == axis else 1 for a in range(3)])
        position = out.ndim - 3 + axis
        right = np.minimum(left + 1, last)
        out = out.take(left, axis=position) * (1 - weight) + out.take(right, axis=position) * weight
    for axis, beyond in enumerate(outside):
        if beyond.any():
            where = [slice(None)] * out.ndim
            where[out.ndim - 3 + axis] = beyond
            out[tuple(where)] = fill
    return out


def _needed(source: Grid, target: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return the index box of the source that the target draws on."""
    spacing, margin = np.asarray(source.spacing_mm), np.asarray(target.spacing_mm)
    start = (np.asarray(target.offset_mm) - margin - source.offset_mm) / spacing
    end = start + ((np.asarray(target.shape) + 1) * np.asarray(target.spacing_mm)) / spacing
    low = np.clip(np.floor(start).astype(int), 0, source.shape)
    high = np.clip(np.ceil(end).astype(int) + 1, 0, source.shape)
    return low, high


def sample_nearest(array: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """Return ``array`` at the target's voxel centres, nearest neighbour; 0 outside."""
    index = [
        np.rint((axis - o) / s).astype(int)
        for axis, o, s in zip(target.axes_mm(), source.offset_mm, source.spacing_mm, strict=True)
    ]
    inside = [(i >= 0) & (i < n) for i, n in zip(index, source.shape, strict=True)]
    clipped = [np.clip(i, 0, n - 1) for i, n in zip(index, source.shape, strict=True)]
    out = array[np.ix_(*clipped)].copy()
    for axis, ok in enumerate(inside):
        shape = [1, 1, 1]
        shape[axis] = -1
        out *= ok.reshape(shape).astype(out.dtype)
    return out
