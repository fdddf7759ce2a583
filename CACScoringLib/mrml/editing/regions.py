"""Parts of space that a reader draws: which points lie inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Region(Protocol):
    """A part of space, in RAS and mm."""

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Return which of the points (n, 3) lie inside (bool, shape (n,))."""
        ...

    def box(self, farthest_mm: float) -> tuple[np.ndarray, float]:
        """Return points (n, 3), and how far beyond the box around them the region reaches at most.

        Parameters
        ----------
        farthest_mm : float
            How far it reaches where it has no end of its own.
        """
        ...


@dataclass(frozen=True)
class Sphere:
    """All points within a distance.

    Attributes
    ----------
    center : tuple of float
        RAS in mm.
    radius_mm : float
    """

    center: tuple[float, float, float]
    radius_mm: float

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Return which of the points (n, 3) lie inside."""
        return ((points - np.asarray(self.center)) ** 2).sum(axis=1) <= self.radius_mm**2

    def box(self, farthest_mm: float) -> tuple[np.ndarray, float]:
        """Return the centre, and the radius."""
        return np.asarray([self.center], float), self.radius_mm


@dataclass(frozen=True, eq=False)
class Lasso:
    """A polygon drawn in a plane, and what lies before and behind it.

    Attributes
    ----------
    plane_to_ras : ndarray, shape (4, 4)
        From plane coordinates (right, up, towards the viewer) in mm to RAS; as a slice node's ``GetSliceToRAS``.
    polygon : ndarray, shape (m, 2)
        Corners in the plane in mm; the last is joined to the first.
    half_depth_mm : float or None
        How far on either side of the plane; None for all the way.
    """

    plane_to_ras: np.ndarray
    polygon: np.ndarray
    half_depth_mm: float | None = None

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Return which of the points (n, 3) lie inside; crossing itself, a lasso counts by the even-odd rule."""
        inverse = np.linalg.inv(self.plane_to_ras)
        local = points @ inverse[:3, :3].T + inverse[:3, 3]
        inside = np.ones(len(points), bool)
        if self.half_depth_mm is not None:
            inside &= np.abs(local[:, 2]) <= self.half_depth_mm
        for axis in range(2):
            inside &= (local[:, axis] >= self.polygon[:, axis].min()) & (local[:, axis] <= self.polygon[:, axis].max())
        found = np.flatnonzero(inside)
        inside[found] = in_polygon(local[found, :2], self.polygon)
        return inside

    def box(self, farthest_mm: float) -> tuple[np.ndarray, float]:
        """Return the corners on both sides of the plane."""
        depth = farthest_mm if self.half_depth_mm is None else self.half_depth_mm
        local = np.concatenate(
            [np.column_stack([self.polygon, np.full(len(self.polygon), side * depth)]) for side in (-1.0, 1.0)]
        )
        return local @ self.plane_to_ras[:3, :3].T + self.plane_to_ras[:3, 3], 0.0


@dataclass(frozen=True)
class HalfSpace:
    """One side of a plane.

    Attributes
    ----------
    point : tuple of float
        A point of the plane, RAS in mm.
    normal : tuple of float
        Points into the region. Points of the plane itself belong to it.
    """

    point: tuple[float, float, float]
    normal: tuple[float, float, float]

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Return which of the points (n, 3) lie inside."""
        return (points - np.asarray(self.point)) @ np.asarray(self.normal) >= 0

    @classmethod
    def beside_line(cls, start: np.ndarray, end: np.ndarray, towards_viewer: np.ndarray) -> HalfSpace:
        """Return what lies to the left of a line drawn in a view, seen from start to end."""
        left = np.cross(np.asarray(towards_viewer, float), np.asarray(end, float) - np.asarray(start, float))
        return cls(tuple(np.asarray(start, float).tolist()), tuple(left.tolist()))

    @classmethod
    def nearer_to(cls, one: np.ndarray, other: np.ndarray) -> HalfSpace:
        """Return the points that are nearer to one point than to another, or as near."""
        one, other = np.asarray(one, float), np.asarray(other, float)
        return cls(tuple(((one + other) / 2).tolist()), tuple((one - other).tolist()))


def in_polygon(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Return which points (n, 2) lie in a polygon (m, 2), by the even-odd rule.

    Points exactly on an edge belong to one of the two polygons that share it.
    """
    inside = np.zeros(len(points), bool)
    x, y = points[:, 0], points[:, 1]
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > y) != (y2 > y)
        inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside


def crossing_line(
    points: np.ndarray, start: np.ndarray, end: np.ndarray, towards_viewer: np.ndarray, reach_mm: float
) -> np.ndarray:
    """Return which points (n, 3) a line drawn in a view passes over, within a reach to either side."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    along = end - start
    length = float(np.linalg.norm(along))
    if length == 0:
        return np.zeros(len(points), bool)
    along /= length
    across = np.cross(np.asarray(towards_viewer, float), along)
    across /= np.linalg.norm(across)
    offset = points - start
    travelled = offset @ along
    return (np.abs(offset @ across) <= reach_mm) & (travelled >= 0) & (travelled <= length)
