"""Soft shapes: signed distances in mm, negative inside, from additions, multiplications and square roots only.

Only operations that IEEE 754 defines to the last bit are used on voxels: a seed gives the same image everywhere.
Every function takes coordinate arrays ``x, y, z`` (mm, LPS, broadcastable) and returns float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Coordinates = np.ndarray
TINY = np.float32(1e-6)


def alpha(distance: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """Return the covered fraction 0..1 of a voxel at ``distance`` from a surface blurred to the edge width.

    A smoothstep of total length ``2 * width``; its derivative has a full width at half maximum of 1.41 ``width``.
    """
    t = distance * np.float32(-0.5 / width) + np.float32(0.5)
    np.clip(t, 0.0, 1.0, out=t)
    return t * t * (np.float32(3.0) - t - t)


def smooth_union(a: np.ndarray, b: np.ndarray, k: float) -> np.ndarray:
    """Return the union of two shapes with a fillet of about ``k`` mm (polynomial smooth minimum)."""
    h = np.maximum(np.float32(k) - np.abs(a - b), np.float32(0.0)) * np.float32(1.0 / k)
    return np.minimum(a, b) - h * h * np.float32(0.25 * k)


def sphere(x, y, z, center, radius: float) -> np.ndarray:
    """Return the distance to a sphere."""
    dx, dy, dz = x - np.float32(center[0]), y - np.float32(center[1]), z - np.float32(center[2])
    return np.sqrt(dx * dx + dy * dy + dz * dz) - np.float32(radius)


def ellipsoid(x, y, z, center, axes, radii) -> np.ndarray:
    """Return the first-order distance to an ellipsoid.

    Parameters
    ----------
    center : (x, y, z) in mm
    axes : array (3, 3), rows are orthonormal directions
    radii : three semi-axes in mm
    """
    dx, dy, dz = x - np.float32(center[0]), y - np.float32(center[1]), z - np.float32(center[2])
    k0 = k1 = None
    for axis, radius in zip(axes, radii, strict=True):
        q = dx * np.float32(axis[0] / radius) + dy * np.float32(axis[1] / radius) + dz * np.float32(axis[2] / radius)
        q = q * q
        g = q * np.float32(1.0 / (radius * radius))
        k0 = q if k0 is None else k0 + q
        k1 = g if k1 is None else k1 + g
    k0 = np.sqrt(k0)
    return k0 * (k0 - np.float32(1.0)) / (np.sqrt(k1) + TINY)


def capsule(x, y, z, a, b, radius_a: float, radius_b: float) -> np.ndarray:
    """Return the distance to a tapered capsule from point a to point b."""
    ax, ay, az = (np.float32(v) for v in a)
    ux, uy, uz = (float(q) - float(p) for p, q in zip(a, b, strict=True))
    length2 = max(ux * ux + uy * uy + uz * uz, 1e-9)
    dx, dy, dz = x - ax, y - ay, z - az
    t = dx * np.float32(ux / length2) + dy * np.float32(uy / length2) + dz * np.float32(uz / length2)
    t = np.clip(t, np.float32(0.0), np.float32(1.0))
    dx, dy, dz = dx - t * np.float32(ux), dy - t * np.float32(uy), dz - t * np.float32(uz)
    return np.sqrt(dx * dx + dy * dy + dz * dz) - (np.float32(radius_a) + t * np.float32(radius_b - radius_a))


def tube(x, y, z, points: Sequence, radii: Sequence[float]) -> np.ndarray:
    """Return the distance to a tube through ``points`` with a radius at each."""
    out = None
    for a, b, ra, rb in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
        d = capsule(x, y, z, a, b, ra, rb)
        out = d if out is None else np.minimum(out, d)
    return out


def rounded_box(x, y, z, center, half, rounding: float) -> np.ndarray:
    """Return the distance to an axis-aligned box with rounded edges."""
    outside = None
    inside = None
    for v, c, h in zip((x, y, z), center, half, strict=True):
        q = np.abs(v - np.float32(c)) - np.float32(h - rounding)
        positive = np.maximum(q, np.float32(0.0))
        outside = positive * positive if outside is None else outside + positive * positive
        inside = q if inside is None else np.maximum(inside, q)
    return np.sqrt(outside) + np.minimum(inside, np.float32(0.0)) - np.float32(rounding)


def superellipse(x, y, half_width, half_depth, square: float = 0.0) -> np.ndarray:
    """Return the first-order distance to an ellipse in the axial plane, made squarish by ``square`` (0 to 0.5)."""
    qx, qy = x / half_width, y / half_depth
    qx, qy = qx * qx, qy * qy
    f = (
        np.float32(1.0 - square) * (qx + qy) + np.float32(square) * np.sqrt(qx * qx + qy * qy + TINY)
        if square
        else qx + qy
    )
    r = np.sqrt(f + TINY)
    gx, gy = qx / (half_width * half_width), qy / (half_depth * half_depth)
    return (r - np.float32(1.0)) * np.sqrt((qx + qy + TINY) / (gx + gy + TINY))
