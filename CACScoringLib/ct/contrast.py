"""Is the blood enhanced by contrast agent? Measured, because header tags are often empty.

Unenhanced blood measures 30 to 65 HU (3.04 times haemoglobin in g/dl + 2.7 at 120 kVp, derived from
PMC8128794); enhanced blood 120 to 600 HU in chambers and great vessels that are large,
even, joined together and darker than nothing around them. Bone of the same density is none of that:
cancellous bone is broken up by discs and lined by brighter cortex.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CACScoringLib.ct.volume import CTVolume

GRID_MM = 4.0
"""Side of the averaged blocks: small against the aorta (30 mm), large against noise."""

ENHANCED_HU = 100.0
"""Above any unenhanced blood (haemoglobin 20 g/dl: 64 HU) and the QRM phantom's body (77 HU)."""

HIGHEST_HU = 800.0
MIN_VOLUME_ML = 25.0
"""Even cores measured: 209 ml in arterial CTA; at most 5 ml in patients without contrast (vertebrae), 19 ml in the
spine of the QRM phantom."""

MAX_BRIGHT_RIM = 0.3
"""Fraction of the surroundings at least 60 HU brighter: 0.0-0.17 round blood, 0.4-0.6 round vertebral cores."""

MIN_BETWEEN_LUNGS = 0.5
_BRIGHTER_BY_HU = 60.0
_EVEN_HU = 30.0
_EVEN_FRACTION = 0.15
_LUNG_HU = (-985.0, -400.0)
_TISSUE_HU = -300.0


@dataclass(frozen=True)
class ContrastMeasure:
    """The verdict, and the largest even, bright region between the lungs: its volume and mean.

    Volume and mean are 0 where the blood is not enhanced.
    """

    enhanced: bool
    volume_ml: float
    mean_hu: float


def measure_contrast(ct: CTVolume) -> ContrastMeasure:
    """Return whether the blood pool of a CT is enhanced, and by what that is known."""
    blocks, spacing = _block_means(ct.hu, ct.spacing_mm)
    voxel_ml = float(np.prod(spacing)) / 1000.0
    labels, count = ndimage.label(_even_and_bright(blocks))
    volumes = np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml
    volumes[0] = 0.0
    for index in np.argsort(volumes)[::-1]:
        if volumes[index] < MIN_VOLUME_ML:
            break
        region = labels == index
        mean = float(blocks[region].mean())
        if (
            _bright_rim(blocks, region, mean) <= MAX_BRIGHT_RIM
            and _fraction_between_lungs(blocks, region) >= MIN_BETWEEN_LUNGS
        ):
            return ContrastMeasure(True, float(volumes[index]), mean)
    return ContrastMeasure(False, 0.0, 0.0)


def _block_means(hu: np.ndarray, spacing_mm: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return in-plane block means of every n-th slice on a grid of about 4 mm, and its spacing."""
    factors = [max(1, round(GRID_MM / step)) for step in spacing_mm]
    kz, ky, kx = factors
    ny, nx = hu.shape[1] // ky, hu.shape[2] // kx
    part = hu[::kz, : ny * ky, : nx * kx]
    # rows first: whole rows are contiguous and add fast, columns follow on what is left
    rows = part[:, ::ky].astype(np.int32)
    for i in range(1, ky):
        rows += part[:, i::ky]
    columns = sum(rows[:, :, i::kx] for i in range(kx))
    return columns.astype(np.float32) / np.float32(ky * kx), np.multiply(spacing_mm, factors)


def _even_and_bright(blocks: np.ndarray) -> np.ndarray:
    """Return where the mean of 3x3x3 blocks is bright and their scatter small."""
    even = np.zeros(blocks.shape, bool)
    boxes = ndimage.find_objects((blocks >= ENHANCED_HU).astype(np.int8))
    if not boxes:
        return even
    box = boxes[0]
    part = blocks[box]
    mean = ndimage.uniform_filter(part, 3, mode="nearest")
    scatter = ndimage.uniform_filter(part * part, 3, mode="nearest")
    scatter -= mean * mean  # variance: compared squared, roots are slow
    limit = np.maximum(_EVEN_HU, _EVEN_FRACTION * mean) ** 2
    even[box] = (mean >= ENHANCED_HU) & (mean <= HIGHEST_HU) & (scatter < limit)
    return even


def _bright_rim(blocks: np.ndarray, region: np.ndarray, mean: float) -> float:
    """Return the fraction of the surroundings, 2 to 3 blocks away, that is brighter than the region."""
    box = ndimage.find_objects(region.astype(np.int8))[0]
    box = tuple(slice(max(0, part.start - 4), part.stop + 4) for part in box)
    local = region[box]
    rim = ndimage.binary_dilation(local, iterations=3) & ~ndimage.binary_dilation(local, iterations=1)
    if not rim.any():
        return 0.0
    return float(np.mean(blocks[box][rim] > mean + _BRIGHTER_BY_HU))


def _fraction_between_lungs(blocks: np.ndarray, region: np.ndarray) -> float:
    """Return the part of a region with lung on both sides along the row, or the field of view cut on that side.

    It leaves out what can be bright without contrast agent in the blood: breast implants, bowel,
    bladder, pelvis and arms.
    """
    slices = np.flatnonzero(region.any(axis=(1, 2)))
    blocks, region = blocks[slices[0] : slices[-1] + 1], region[slices[0] : slices[-1] + 1]
    lung = (blocks > _LUNG_HU[0]) & (blocks < _LUNG_HU[1])
    lung = ndimage.binary_opening(lung, np.ones((1, 3, 3), bool))
    tissue = blocks > _TISSUE_HU
    right_cut = tissue[:, :, :2].any(axis=2, keepdims=True)
    left_cut = tissue[:, :, -2:].any(axis=2, keepdims=True)
    right = np.logical_or.accumulate(lung, axis=2) | right_cut
    left = np.logical_or.accumulate(lung[:, :, ::-1], axis=2)[:, :, ::-1] | left_cut
    return float(np.mean((left & right)[region]))
