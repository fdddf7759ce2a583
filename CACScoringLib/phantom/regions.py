"""Where a scan shows uniform heart, fat, lung, bone and muscle, found from the CT alone, real or synthetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CACScoringLib.ct import CTVolume

WORKING_MM = 2.0
BLOCK_MM = 34.0
BLOCK_DEPTH_MM = 20.0
MOST_BLOCKS = 4
APART = 0.8
"""Middles of blocks are at least this share of their size apart."""
MOST_SPREAD = 1.5
"""Variance of the smoothed HU of a block relative to the most uniform one: more is anatomy."""
SOFT_HU = (5.0, 105.0)
LUNG_HU = -600.0
BODY_HU = -450.0
LUNG_WITHIN_MM = 105.0
"""A heart has lung on both sides within this distance; the liver has not on its right."""
OFFSET_MM = ((-14.0, 60.0), (-40.0, 45.0))
"""Of the middle of a block from the midline, to the left: right of it lies the liver. A cropped field has the heart
in its middle."""
LUNG_WIDTH_MM = (35.0, 8.0)
"""Lung beside a heart, in a scan of the chest and in a cropped field of view."""
DEPTHS = ((0.12, 0.62), (0.12, 0.8))
"""Where the middle of the heart may lie between front and back skin."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Coarse maps (z, y, x) of a scan on pixels of about 2 mm in the slice.

    Attributes
    ----------
    hu : mean HU of each coarse pixel
    body, lung : bool
    step : pixels of the scan in one coarse pixel
    spacing : of the coarse pixels (z, y, x) in mm
    """

    hu: np.ndarray
    body: np.ndarray
    lung: np.ndarray
    step: int
    spacing: tuple[float, float, float]


def coarse_mask(regions: Regions, block: tuple[slice, slice, slice]) -> tuple[slice, slice, slice]:
    """Return a block of the scan as a block of the coarse maps."""
    return block[0], *(slice(s.start // regions.step, s.stop // regions.step) for s in block[1:])


def find_regions(ct: CTVolume) -> Regions:
    """Return body and lungs of a scan."""
    step = max(round(WORKING_MM / ct.spacing_mm[2]), 1)
    depth, rows, columns = ct.shape[0], ct.shape[1] // step, ct.shape[2] // step
    cut = ct.hu[:, : rows * step, : columns * step].reshape(depth, rows, step, columns, step)
    hu = np.maximum(cut, -1024).mean(axis=(2, 4), dtype=np.float32)
    body = np.stack([_largest(plane > BODY_HU) for plane in hu])
    before = np.logical_or.accumulate(body, axis=1)
    inside = before & np.logical_or.accumulate(body[:, ::-1], axis=1)[:, ::-1]  # the field of view may cut the sides
    lung = inside & (hu < LUNG_HU)
    if inside.mean() > 0.0 and lung.mean() < 0.02:
        lung = hu < LUNG_HU  # a cropped field of view: the body is not closed round the lungs
        inside = np.ones_like(body)
    return Regions(hu, inside, lung, step, (ct.spacing_mm[0], ct.spacing_mm[1] * step, ct.spacing_mm[2] * step))


def _largest(mask: np.ndarray) -> np.ndarray:
    opened = ndimage.binary_opening(mask, iterations=2)  # drops the table's thin shell
    parts, count = ndimage.label(opened)
    if not count:
        return mask
    return parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))


def heart_blocks(regions: Regions) -> list[tuple[slice, slice, slice]]:
    """Return up to four blocks of uniform heart (34 x 34 x 20 mm) in voxels of the scan, the most uniform first.

    A block is soft tissue throughout, lies near the midline in the front of the body and has lung on both sides.
    """
    if not regions.body.any():
        return []
    hu, (dz, dy, dx) = regions.hu, regions.spacing
    smooth = ndimage.gaussian_filter(hu, (3.0 / dz, 3.0 / dy, 3.0 / dx))
    sides = (BLOCK_DEPTH_MM, BLOCK_MM, BLOCK_MM)
    size = tuple(max(round(side / step), 1) for side, step in zip(sides, regions.spacing, strict=True))
    soft = (smooth > SOFT_HU[0]) & (smooth < SOFT_HU[1])
    whole = ndimage.minimum_filter(soft.astype(np.uint8), size, mode="constant").astype(bool)
    strict = whole & _between_lungs(regions, cropped=False)
    whole = strict if strict.any() else whole & _between_lungs(regions, cropped=True)
    mean = ndimage.uniform_filter(smooth, size)
    spread = ndimage.uniform_filter(smooth * smooth, size) - mean * mean
    spread = np.where(whole, spread, np.inf)
    out, best = [], np.inf
    while len(out) < MOST_BLOCKS:
        z, y, x = np.unravel_index(int(spread.argmin()), spread.shape)
        if not np.isfinite(spread[z, y, x]) or (out and spread[z, y, x] > MOST_SPREAD * best):
            break
        best = best if out else spread[z, y, x]
        k = regions.step
        low = [int(at) - n // 2 for at, n in zip((z, y, x), size, strict=True)]
        out.append(
            (
                slice(max(low[0], 0), low[0] + size[0]),
                *(slice(max(start, 0) * k, (start + n) * k) for start, n in zip(low[1:], size[1:], strict=True)),
            )
        )
        near = [(at, round(APART * n)) for at, n in zip((z, y, x), size, strict=True)]
        spread[tuple(slice(max(at - reach, 0), at + reach) for at, reach in near)] = np.inf
    return out


def _between_lungs(regions: Regions, cropped: bool) -> np.ndarray:
    """Return where a block's middle may lie: lung to the left and to the right, near the midline, not too far back."""
    reach = round(LUNG_WITHIN_MM / regions.spacing[2])
    lung = regions.hu < LUNG_HU if cropped else regions.lung  # a cropped field may cut the lungs open
    count = np.cumsum(np.pad(lung, ((0, 0), (0, 0), (1, 0))), axis=2, dtype=np.int32)
    n = regions.lung.shape[2]
    at = np.arange(n)
    left = count[:, :, np.minimum(at + reach, n)] - count[:, :, at]
    right = count[:, :, at] - count[:, :, np.maximum(at - reach, 0)]
    wide = round(LUNG_WIDTH_MM[cropped] / regions.spacing[2])
    good = (left >= wide) & (right >= wide)
    columns, rows = regions.body.any(axis=(0, 1)), regions.body.any(axis=(0, 2))
    middle = 0.5 * (np.flatnonzero(columns)[[0, -1]].sum())
    front, back = np.flatnonzero(rows)[[0, -1]]
    depth = (np.arange(len(rows)) - front) / max(back - front, 1)
    offset = (at - middle) * regions.spacing[2]
    nearest, farthest = OFFSET_MM[cropped]
    good &= ((offset > nearest) & (offset < farthest))[None, None, :]
    first, last = DEPTHS[cropped]
    return good & ((depth > first) & (depth < last))[None, :, None]
