"""The prewhitening matched filter: how much an island looks like a blurred spot rather than the noise of its scan.

A speck of noise is a wave of the noise's own spectrum, which holds next to nothing at low frequencies: what is too
bright in one place is missing beside it. Calcium adds HU, blurred by the scanner. The best linear test for a spot of
known form in noise of known covariance is the prewhitening matched filter (Barrett 1993, doi 10.1073/pnas.90.21.9758).
Here the covariance is measured in the soft tissue of the scan itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

STEP_MM = 1.0
"""The filter sees the slice in steps of about this, the mean of what lies between."""
STEPS = 4
"""It reaches this many steps to each side, and one slice up and down."""
SPOTS = ((0.8, 0.3), (1.2, 0.3), (1.8, 0.4), (1.2, 0.0), (1.2, 1.0))
"""Forms that are looked for: standard deviation in the slice in mm, and the share in the slices above and below."""
TISSUE_HU = (-100.0, 200.0)
"""Soft tissue with its noise ..."""
TISSUE_MEAN_HU = (10.0, 90.0)
"""... and its mean."""
TISSUE_SHARE = 0.98
TRIED_PLACES = 20_000
LEAST_PLACES = 300
"""With fewer places of soft tissue, the noise is taken for white and of ``UNKNOWN_NOISE_HU``."""
UNKNOWN_NOISE_HU = 20.0
SHRINKAGE = 0.1
"""Share of white noise that is added to the covariance, so that it can be inverted."""
AT_ONCE = 2000


@dataclass(frozen=True, eq=False)
class MatchedFilter:
    """A filter for each of ``SPOTS``, made for the noise of one scan.

    Attributes
    ----------
    hu : ndarray of float32, shape (z, y, x)
        The CT, averaged over a step in the slice.
    offsets : ndarray of int, shape (243, 3)
        Voxels that the filter sees, (z, y, x) from the place that it is asked about.
    weights : ndarray of float64, shape (len(SPOTS), 243)
        Scaled so that noise answers with a standard deviation of about 1.
    noise_hu : float
        Standard deviation of the noise within the filter's reach.
    correlation : ndarray of float64, shape (5,)
        Of the noise, one step along x, along y, to the next slice, two steps along x and along y.
    """

    hu: np.ndarray
    offsets: np.ndarray
    weights: np.ndarray
    noise_hu: float
    correlation: np.ndarray

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """Return the answer of each filter at places (n, 3), (z, y, x): float64 (n, len(SPOTS)), in SD of the noise."""
        out = np.zeros((len(places), len(self.weights)))
        for first in range(0, len(places), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            out[some] = _patches(self.hu, places[some], self.offsets) @ self.weights.T
        return out


def matched_filter(hu: np.ndarray, spacing_mm: np.ndarray) -> MatchedFilter:
    """Measure the noise of a scan, or of a part of it, and return the filters for it.

    Parameters
    ----------
    hu : ndarray of float32, shape (z, y, x)
    spacing_mm : ndarray of float, shape (3,)
        (z, y, x).
    """
    stride = max(1, round(STEP_MM / float(spacing_mm[2])))
    if stride > 1:
        hu = ndimage.uniform_filter(hu, (1, stride, stride), mode="nearest")
    line = np.arange(-STEPS, STEPS + 1) * stride
    offsets = np.stack(np.meshgrid((-1, 0, 1), line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    covariance = _covariance(hu, offsets)
    noise = float(np.trace(covariance)) / len(offsets)
    middle = len(offsets) // 2
    row, slab = len(line), len(line) ** 2
    beside = [middle + step for step in (1, row, slab, 2, 2 * row)]
    correlation = covariance[middle, beside] / covariance[middle, middle]
    z, y, x = (offsets * spacing_mm).T
    spots = [np.exp(-(x**2 + y**2) / (2.0 * sd**2)) * np.where(z == 0, 1.0, share) for sd, share in SPOTS]
    spots = np.array([spot - spot.mean() for spot in spots])
    weights = np.linalg.solve(covariance + SHRINKAGE * noise * np.eye(len(offsets)), spots.T).T
    weights /= np.sqrt((weights * spots).sum(axis=1, keepdims=True))
    return MatchedFilter(hu, offsets, weights, float(np.sqrt(noise)), correlation)


def _covariance(hu: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the covariance of the noise at the offsets, from places of soft tissue."""
    reach = offsets.max(axis=0)
    room = np.array(hu.shape) - 2 * reach
    unknown = UNKNOWN_NOISE_HU**2 * np.eye(len(offsets))
    if np.any(room < 1):
        return unknown
    tried = np.random.default_rng(0).integers(int(room.prod()), size=TRIED_PLACES)
    places = np.stack(np.unravel_index(tried, room), axis=1) + reach
    places = places[_between(hu[tuple(places.T)], TISSUE_HU)]
    values = _at(hu, places[:, None] + offsets)
    soft = _between(values, TISSUE_HU).mean(axis=1) >= TISSUE_SHARE
    soft &= _between(values.mean(axis=1), TISSUE_MEAN_HU)
    values = values[soft]
    if len(values) < LEAST_PLACES:
        return unknown
    values -= values.mean(axis=1, keepdims=True)
    measured = values.T @ values / len(values)
    return measured if np.trace(measured) > len(offsets) else unknown


def _between(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (values > limits[0]) & (values < limits[1])


def _patches(hu: np.ndarray, places: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return what lies round places, less its mean; beyond the border what lies at it goes on."""
    values = _at(hu, np.clip(places[:, None] + offsets, 0, np.array(hu.shape) - 1))
    return values - values.mean(axis=1, keepdims=True)


def _at(hu: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the HU at voxels (n, k, 3): float64 (n, k)."""
    return hu[tuple(places.transpose(2, 0, 1))].astype(np.float64)
