"""Small dense objects as clouds of particles: exact under blur, slice profile and motion because imaging is linear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CACScoringLib.phantom.canvas import Grid

FWHM_TO_SIGMA = 0.42466


@dataclass(frozen=True, eq=False)
class Cloud:
    """Particles of one label.

    Attributes
    ----------
    label : value in the label map
    points : (n, 3) patient x, y, z in mm
    volume : (n,) mm3
    contrast : (n,) HU above the tissue
    moving : name of the motion, such as "RCA"; "" for what stands still
    lesion : index of the lesion it belongs to
    """

    label: int
    points: np.ndarray
    volume: np.ndarray
    contrast: np.ndarray
    moving: str = ""
    lesion: int = -1


def kernel(sigma: float) -> np.ndarray:
    """Return a Gaussian kernel with rounded weights (sigma in pixels)."""
    reach = max(int(np.ceil(3.2 * sigma)), 1)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / max(sigma, 1e-3)) ** 2)
    return np.round(weights / weights.sum(), 7)


def splat(
    cloud: Cloud, grid: Grid, fwhm: float, thickness: float, paths: np.ndarray
) -> tuple[tuple[slice, ...], np.ndarray] | None:
    """Image a cloud: return the block of the grid that it touches and its contrast there in HU, or None outside.

    ``paths`` (slices, m, 3) holds the displacements (x, y, z) that each slice averages over. The slice profile is a box
    of the slice thickness with soft edges, the in-plane blur a Gaussian less the variance that splatting to the nearest
    four pixels adds.
    """
    pixel, spacing = grid.spacing[2], grid.spacing[0]
    points = grid.to_scan(cloud.points)
    weight = cloud.volume * cloud.contrast / (pixel * grid.spacing[1])
    variance = (FWHM_TO_SIGMA * fwhm / pixel) ** 2 - 0.17
    taps = kernel(np.sqrt(max(variance, 0.05)))
    margin = len(taps) // 2 + 2
    lowest, highest = paths.min(axis=(0, 1)), paths.max(axis=(0, 1))
    lo, hi = points.min(axis=0) + lowest, points.max(axis=0) + highest
    reach = 0.75 * thickness
    z0 = max(int(np.ceil((lo[2] - reach - grid.origin[0]) / spacing)), 0)
    z1 = min(int(np.floor((hi[2] + reach - grid.origin[0]) / spacing)) + 1, grid.shape[0])
    y0, y1 = (
        int(np.floor((lo[1] - grid.origin[1]) / pixel)) - margin,
        int(np.ceil((hi[1] - grid.origin[1]) / pixel)) + margin + 1,
    )
    x0, x1 = (
        int(np.floor((lo[0] - grid.origin[2]) / pixel)) - margin,
        int(np.ceil((hi[0] - grid.origin[2]) / pixel)) + margin + 1,
    )
    if z0 >= z1 or y1 <= 0 or x1 <= 0 or y0 >= grid.shape[1] or x0 >= grid.shape[2]:
        return None
    rows, columns = y1 - y0, x1 - x0
    out = np.zeros((z1 - z0, rows, columns), dtype=np.float32)
    for z in range(z0, z1):
        path = paths[min(z, len(paths) - 1)]
        dz = points[None, :, 2] + path[:, None, 2] - (grid.origin[0] + spacing * z)
        profile = slice_profile(dz, thickness) * (weight[None, :] / len(path))
        m, n = np.nonzero(profile)
        if not m.size:
            continue
        px = (points[n, 0] + path[m, 0] - grid.origin[2]) / pixel - x0
        py = (points[n, 1] + path[m, 1] - grid.origin[1]) / pixel - y0
        ix, iy = np.floor(px).astype(np.intp), np.floor(py).astype(np.intp)
        wx, wy = px - ix, py - iy
        value = profile[m, n]
        cell = iy * columns + ix
        total = np.zeros(rows * columns)
        for offset, part in (
            (0, (1 - wx) * (1 - wy)),
            (1, wx * (1 - wy)),
            (columns, (1 - wx) * wy),
            (columns + 1, wx * wy),
        ):
            total += np.bincount(cell + offset, weights=value * part, minlength=rows * columns)
        out[z - z0] = total.reshape(rows, columns)
    out = ndimage.correlate1d(out, taps, axis=1, mode="constant")
    out = ndimage.correlate1d(out, taps, axis=2, mode="constant")
    cy, cx = (
        slice(max(-y0, 0), rows - max(y1 - grid.shape[1], 0)),
        slice(max(-x0, 0), columns - max(x1 - grid.shape[2], 0)),
    )
    block = (slice(z0, z1), slice(max(y0, 0), min(y1, grid.shape[1])), slice(max(x0, 0), min(x1, grid.shape[2])))
    return block, out[:, cy, cx]


def slice_profile(dz: np.ndarray, thickness: float) -> np.ndarray:
    """Return the slice-sensitivity profile in 1/mm: full width at half maximum = thickness, soft edges, unit area."""
    edge = 0.25 * thickness
    t = np.clip((0.5 * thickness + edge - np.abs(dz)) / (2.0 * edge), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t) / thickness
