"""A polygon in a slice -> the pixels inside it."""

from __future__ import annotations

import numpy as np

ON_OUTLINE = 1e-6
"""Pixel centres this near to an edge, in pixels, lie on it."""


def fill_polygon(points: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels whose centres lie inside a polygon or on its outline (even-odd rule).

    Parameters
    ----------
    points : ndarray, shape (n, 2)
        (row, column) of the corners; whole numbers are pixel centres.
    shape : tuple of int
        (rows, columns) of the slice; what lies outside is left out.

    Returns
    -------
    rows, columns : ndarray of int

    Examples
    --------
    >>> rows, columns = fill_polygon(np.array([[1, 1], [1, 3], [3, 3], [3, 1]]), (5, 5))
    >>> len(rows), int(rows.min()), int(columns.max())
    (9, 1, 3)
    """
    low = np.clip(np.ceil(points.min(axis=0)).astype(int), 0, shape)
    high = np.clip(np.floor(points.max(axis=0)).astype(int) + 1, 0, shape)
    if np.any(high <= low):
        return np.zeros(0, int), np.zeros(0, int)
    row, column = np.mgrid[low[0] : high[0], low[1] : high[1]].astype(float)
    inside = np.zeros(row.shape, bool)
    outline = np.zeros(row.shape, bool)
    for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
        step = end - start
        if step[0] != 0:
            crosses = (row >= min(start[0], end[0])) & (row < max(start[0], end[0]))
            inside ^= crosses & (column < start[1] + (row - start[0]) * step[1] / step[0])
        length = float(step @ step)
        along = np.zeros_like(row)
        if length > 0:
            along = np.clip(((row - start[0]) * step[0] + (column - start[1]) * step[1]) / length, 0.0, 1.0)
        away = np.hypot(row - start[0] - along * step[0], column - start[1] - along * step[1])
        outline |= away <= ON_OUTLINE
    found = np.argwhere(inside | outline) + low
    return found[:, 0], found[:, 1]
