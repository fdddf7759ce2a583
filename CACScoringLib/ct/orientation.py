"""Exact reorientation to LPS: axes are permuted and flipped, voxels are never resampled."""

from __future__ import annotations

from itertools import permutations

import numpy as np


def orient_to_lps(
    voxels: np.ndarray, spacing_mm: tuple[float, ...], origin_mm: tuple[float, ...], direction: np.ndarray
) -> tuple[np.ndarray, tuple[float, float, float], tuple[float, float, float], np.ndarray, bool]:
    """Return the same voxels with axes nearest to (S, P, L): z cranial, rows posterior, columns left.

    Parameters
    ----------
    voxels : ndarray, shape (z, y, x)
    spacing_mm : tuple of float
        (z, y, x).
    origin_mm : tuple of float
        LPS position (x, y, z) of voxel (0, 0, 0).
    direction : ndarray, shape (3, 3)
        Columns are the LPS directions of the x, y and z axes.

    Returns
    -------
    voxels, spacing_mm, origin_mm, direction, changed
        ``voxels`` is a view where nothing had to be moved. ``changed`` says whether it was.
    """
    matrix = np.asarray(direction, dtype=float).reshape(3, 3)
    spacing_xyz = np.array(spacing_mm[::-1], dtype=float)
    size_xyz = np.array(voxels.shape[::-1])
    # axis_of[k] is the array axis (x, y, z = 0, 1, 2) that runs along patient axis k (L, P, S)
    axis_of = max(permutations(range(3)), key=lambda axes: sum(abs(matrix[k, axes[k]]) for k in range(3)))
    signs = [1.0 if matrix[k, axis_of[k]] >= 0 else -1.0 for k in range(3)]
    changed = tuple(axis_of) != (0, 1, 2) or min(signs) < 0

    origin = np.array(origin_mm, dtype=float)
    for k in range(3):
        if signs[k] < 0:
            axis = axis_of[k]
            origin = origin + matrix[:, axis] * spacing_xyz[axis] * (size_xyz[axis] - 1)
    oriented = matrix[:, list(axis_of)] * np.array(signs)
    spacing = spacing_xyz[list(axis_of)]
    # array axes count z first: patient axis k lies on array axis 2 - axis_of[k]
    moved = np.transpose(voxels, [2 - axis_of[k] for k in (2, 1, 0)])
    moved = moved[tuple(slice(None, None, -1) if signs[k] < 0 else slice(None) for k in (2, 1, 0))]
    return moved, tuple(float(s) for s in spacing[::-1]), tuple(float(o) for o in origin), oriented + 0.0, changed
