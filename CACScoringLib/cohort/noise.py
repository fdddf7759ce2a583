"""Image noise as readers measure it: the standard deviation in the left ventricle, over three slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.vocabulary import Structure

SLICES = 3
"""Consecutive slices, as Sartoretti et al. 2023 measured it."""
MOST_RADIUS_MM = 10.0
LEAST_RADIUS_MM = 4.0
"""A smaller circle holds too few independent pixels."""
INSIDE = 0.8
"""The circle's radius as a share of the largest one that fits: away from the wall."""


@dataclass(frozen=True)
class ImageNoise:
    """Noise in the left ventricle.

    Attributes
    ----------
    sd_hu : float
        Mean of the standard deviations of the slices.
    slice_sd_hu : tuple of float
    mean_hu : float
        Mean of all pixels in the circles: that of blood where the place is right.
    slices : tuple of int
        Indices in the CT, caudal first.
    center_mm : tuple of float
        (y, x) of the circle, relative to the CT's first pixel.
    radius_mm : float
    """

    sd_hu: float
    slice_sd_hu: tuple[float, ...]
    mean_hu: float
    slices: tuple[int, ...]
    center_mm: tuple[float, float]
    radius_mm: float


def left_ventricle_noise(
    ct: CTVolume,
    structures: np.ndarray | None,
    spacing_mm: tuple[float, float, float] | None = None,
    offset_mm: tuple[float, float, float] | None = None,
) -> ImageNoise:
    """Return the noise in a circle within the left ventricle, in the three slices where the largest one fits.

    Parameters
    ----------
    ct : CTVolume
    structures : ndarray of uint8, shape (z, y, x), or None
        ``Prediction.structures``: ``vocabulary.Structure`` on a grid of its own.
    spacing_mm, offset_mm : tuple of float, optional
        That grid's voxel size and first voxel relative to the CT's, (z, y, x); the CT's own grid when absent.

    Raises
    ------
    InputRefusedError
        ``no-structures`` or ``no-left-ventricle``.
    """
    if structures is None:
        message = "This method finds no left ventricle: measure noise with a method that segments structures."
        raise InputRefusedError(refuse("no-structures", message))
    spacing, offset = spacing_mm or ct.spacing_mm, offset_mm or (0.0, 0.0, 0.0)
    ventricle = np.asarray(structures) == Structure.LEFT_VENTRICLE
    planes = np.round((np.arange(ct.shape[0]) * ct.spacing_mm[0] - offset[0]) / spacing[0]).astype(int)
    best: tuple[float, int, tuple[int, int]] | None = None
    fits: dict[tuple[int, ...], tuple[float, tuple[int, int]]] = {}
    for first in range(ct.shape[0] - SLICES + 1):
        at = tuple(planes[first : first + SLICES])
        if min(at) < 0 or max(at) >= len(ventricle):
            continue
        if at not in fits:
            fits[at] = _largest_circle(ventricle[list(at)].all(axis=0), spacing[1:])
        radius, place = fits[at]
        if best is None or radius > best[0]:
            best = (radius, first, place)
    if best is None or INSIDE * best[0] < LEAST_RADIUS_MM:
        message = (
            f"No circle of {LEAST_RADIUS_MM:g} mm fits into the left ventricle in {SLICES} slices: no noise measured."
        )
        raise InputRefusedError(refuse("no-left-ventricle", message))
    radius, first, place = min(INSIDE * best[0], MOST_RADIUS_MM), best[1], best[2]
    center = tuple(offset[k + 1] + place[k] * spacing[k + 1] for k in (0, 1))
    inside = _disc(ct, center, radius)
    slices = tuple(range(first, first + SLICES))
    pixels = [ct.hu[z][inside].astype(float) for z in slices]
    deviations = tuple(float(values.std(ddof=1)) for values in pixels)
    return ImageNoise(float(np.mean(deviations)), deviations, float(np.mean(pixels)), slices, center, radius)


def _largest_circle(mask: np.ndarray, spacing: tuple[float, float]) -> tuple[float, tuple[int, int]]:
    """Return radius in mm and centre of the largest circle within a mask, shape (y, x)."""
    if not mask.any():
        return 0.0, (0, 0)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1]
    place = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(depth[place]), (int(place[0]), int(place[1]))


def _disc(ct: CTVolume, center: tuple[float, float], radius: float) -> np.ndarray:
    y, x = (np.arange(n) * step for n, step in zip(ct.shape[1:], ct.spacing_mm[1:], strict=True))
    return (y[:, None] - center[0]) ** 2 + (x[None, :] - center[1]) ** 2 <= radius**2
