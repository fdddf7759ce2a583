"""Shapes with a bounding box, and unions of them evaluated only where they matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CACScoringLib.phantom import sdf
from CACScoringLib.phantom.canvas import Canvas, Field, Shape

FAR_MM = np.float32(60.0)


@dataclass(frozen=True, eq=False)
class Part:
    """A shape and the patient box (x, y, z in mm) that holds it."""

    shape: Shape
    low: np.ndarray
    high: np.ndarray

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return the signed distance at points (n, 3)."""
        points = np.asarray(points, dtype=np.float32)
        return self.shape(points[:, 0], points[:, 1], points[:, 2])

    def grown(self, by: float) -> Part:
        """Return the shape thicker by ``by`` mm."""
        shape = self.shape
        return Part(lambda x, y, z: shape(x, y, z) - np.float32(by), self.low - by, self.high + by)

    def above(self, floor: Part) -> Part:
        """Return the part of the shape outside another one, with a rounded edge."""
        shape, other = self.shape, floor.shape
        return Part(lambda x, y, z: -sdf.smooth_union(-shape(x, y, z), other(x, y, z), 8.0), self.low, self.high)

    def cut(self, point: np.ndarray, normal: np.ndarray) -> Part:
        """Return the part of the shape that lies before a plane (``normal`` points to what is removed)."""
        shape = self.shape
        offset = float((np.asarray(point) * np.asarray(normal)).sum())

        def clipped(x, y, z):
            plane = (
                x * np.float32(normal[0]) + y * np.float32(normal[1]) + z * np.float32(normal[2]) - np.float32(offset)
            )
            return np.maximum(shape(x, y, z), plane)

        return Part(clipped, self.low, self.high)


def ball(center, axes, radii) -> Part:
    """Return an ellipsoid with rows of ``axes`` as its directions."""
    center, axes, radii = np.asarray(center, float), np.asarray(axes, float), np.asarray(radii, float)
    reach = np.sqrt(((axes * radii[:, None]) ** 2).sum(axis=0))
    return Part(lambda x, y, z: sdf.ellipsoid(x, y, z, center, axes, radii), center - reach, center + reach)


def rod(a, b, radius_a: float, radius_b: float | None = None) -> Part:
    """Return a tapered capsule."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    radius_b = radius_a if radius_b is None else radius_b
    reach = max(radius_a, radius_b)
    return Part(
        lambda x, y, z: sdf.capsule(x, y, z, a, b, radius_a, radius_b),
        np.minimum(a, b) - reach,
        np.maximum(a, b) + reach,
    )


def pipe(points: Sequence, radii: Sequence[float]) -> list[Part]:
    """Return the capsules of a tube through points."""
    return [rod(points[i], points[i + 1], radii[i], radii[i + 1]) for i in range(len(points) - 1)]


def nearest(parts: Sequence[Part], points: np.ndarray) -> np.ndarray:
    """Return the signed distance of points (n, 3) to the union of parts."""
    out = parts[0].at(points)
    for part in parts[1:]:
        out = np.minimum(out, part.at(points))
    return out


def union_field(canvas: Canvas, parts: Sequence[Part], fillet: float, margin: float = 20.0) -> Field:
    """Return the smooth union of parts on the coarse grid; ``FAR_MM`` where all are farther than ``margin``."""
    coarse = canvas.coarse
    data = np.full(coarse.shape, FAR_MM, dtype=np.float32)
    x, y = coarse.plane()
    z = coarse.axis(0).astype(np.float32)
    for part in parts:
        block = coarse.block(part.low, part.high, margin)
        if block is None:
            continue
        zs, ys, xs = block
        distance = part.shape(x[None, ys, xs], y[None, ys, xs], z[zs][:, None, None])
        data[block] = (
            sdf.smooth_union(data[block], distance, fillet) if fillet > 0 else np.minimum(data[block], distance)
        )
    return Field(data, canvas.grid, coarse)
