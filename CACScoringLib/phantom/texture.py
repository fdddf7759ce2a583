"""Measures of image texture in a uniform block: what a generator version is accepted or rejected by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from scipy import ndimage

from CACScoringLib.phantom.truth import EIGHT, THRESHOLD_HU

DETREND_SIGMA_MM = 8.0
LOWEST_FREQUENCY = 0.08
"""Per mm: below it a block of 34 mm holds less than three periods, and what is there is mostly anatomy."""
PEAK_BAND = 0.8
"""CT noise often has a plateau: its peak is the middle of the band with at least this share of the highest power."""
RADIAL_STEP = 0.04
ANATOMY_LAG = 2
"""Slices apart at which scanners' noise has nothing in common, while anatomy still has."""
CHUNKY_ISLAND = 5
AREA_MM2 = 2500.0


@dataclass(frozen=True)
class Texture:
    """Noise of blocks of soft tissue, without the anatomy in them.

    Attributes
    ----------
    sd_hu : standard deviation of the noise
    nps_peak, nps_mean : frequency per mm of the highest (middle of the plateau) and the mean radial noise power
    acf_x_mm, acf_y_mm : full width at half maximum of the autocorrelation
    acf_next_slice : correlation with the next slice
    power_x_to_y : noise power with frequencies nearer x over that nearer y
    over_threshold_percent : voxels at or above 130 HU
    islands_per_slice : 8-connected islands at or above 130 HU in 25 cm2
    single_islands, double_islands, chunky_islands : those of one pixel, of two, of five or more
    island_peak_mean, island_peak_p95 : their highest HU
    """

    sd_hu: float
    nps_peak: float
    nps_mean: float
    acf_x_mm: float
    acf_y_mm: float
    acf_next_slice: float
    power_x_to_y: float
    over_threshold_percent: float
    islands_per_slice: float
    single_islands: float
    double_islands: float
    chunky_islands: float
    island_peak_mean: float
    island_peak_p95: float

    def as_dict(self) -> dict[str, float]:
        """Return the values by name."""
        return asdict(self)


def half_width(profile: np.ndarray, step: float) -> float:
    """Return twice the distance at which a profile from its maximum on falls to half."""
    below = np.flatnonzero(profile < 0.5)
    if not below.size or below[0] == 0:
        return float("nan")
    i = int(below[0])
    return 2.0 * step * float(i - 1 + (profile[i - 1] - 0.5) / (profile[i - 1] - profile[i]))


def noise_power(hu: np.ndarray, spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the 2-D noise power (HU2 mm2) and the power shared with the next slice, both (y, x).

    Slow trends are taken off each slice. Anatomy goes on through slices and noise does not: the cross power of slices
    ``ANATOMY_LAG`` apart is what anatomy adds, and is subtracted (blocks of fewer than four slices keep it).
    """
    block = hu.astype(np.float64)
    sigma = (0, DETREND_SIGMA_MM / spacing[1], DETREND_SIGMA_MM / spacing[2])
    rest = block - ndimage.gaussian_filter(block, sigma, mode="nearest")
    rest -= rest.mean(axis=(1, 2), keepdims=True)
    window = np.hanning(block.shape[1])[:, None] * np.hanning(block.shape[2])[None, :]
    waves = np.fft.fft2(rest * window)
    scale = spacing[1] * spacing[2] / (window**2).sum()

    def shared(lag: int) -> np.ndarray:
        return scale * np.real(waves[lag:] * np.conj(waves[: len(waves) - lag])).mean(axis=0)

    own = shared(0)
    following = shared(1) if len(block) > 1 else np.zeros_like(own)
    if len(block) > ANATOMY_LAG + 1:
        anatomy = shared(ANATOMY_LAG)
        own, following = own - anatomy, following - anatomy
    return own, following


def frequencies(shape: tuple[int, int], spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies per mm along y and x of a 2-D transform."""
    return np.fft.fftfreq(shape[0], spacing[1])[:, None], np.fft.fftfreq(shape[1], spacing[2])[None, :]


def radial(power: np.ndarray, spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle of each ring of frequencies (per mm) and the mean power in it, lightly smoothed."""
    fy, fx = frequencies(power.shape, spacing)
    f = np.sqrt(fx * fx + fy * fy)
    edges = np.arange(LOWEST_FREQUENCY, 0.5 / spacing[2], RADIAL_STEP)
    which = np.digitize(f, edges)
    rings = np.array([power[which == i].mean() if (which == i).any() else np.nan for i in range(1, len(edges))])
    middle = 0.5 * (edges[1:] + edges[:-1])
    keep = np.isfinite(rings)
    padded = np.pad(np.maximum(rings[keep], 0.0), 1, mode="edge")
    return middle[keep], np.convolve(padded, [0.25, 0.5, 0.25], mode="valid")


def measure_texture(hu: np.ndarray, spacing: tuple[float, float, float]) -> Texture:
    """Measure a block (z, y, x) of nearly uniform tissue; spacing (z, y, x) in mm."""
    own, following = noise_power(hu, spacing)
    fy, fx = frequencies(own.shape, spacing)
    f = np.sqrt(fx * fx + fy * fy)
    seen = np.where(f >= LOWEST_FREQUENCY, own, 0.0)
    area = spacing[1] * spacing[2] * own.size
    variance = float(seen.sum()) / area
    middle, rings = radial(own, spacing)
    acf = np.real(np.fft.ifft2(np.maximum(own, 0.0)))
    acf /= acf[0, 0]
    pairs = float(following[f >= LOWEST_FREQUENCY].sum()) / area / variance if len(hu) > 1 else float("nan")
    along_x, along_y = (seen[side].sum() for side in (np.abs(fx) > np.abs(fy), np.abs(fx) < np.abs(fy)))
    return Texture(
        sd_hu=round(float(np.sqrt(variance)), 2),
        nps_peak=round(float(middle[rings >= PEAK_BAND * rings.max()].mean()), 3),
        nps_mean=round(float((middle * rings).sum() / rings.sum()), 3),
        acf_x_mm=round(half_width(acf[0], spacing[2]), 2),
        acf_y_mm=round(half_width(acf[:, 0], spacing[1]), 2),
        acf_next_slice=round(pairs, 3),
        power_x_to_y=round(float(along_x / along_y), 2),
        **islands_of(hu, spacing),
    )


def islands_of(hu: np.ndarray, spacing: tuple[float, float, float]) -> dict[str, float]:
    """Return how many islands at or above 130 HU lie in 25 cm2 of a slice of a block, by size, and their peaks."""
    over = hu >= THRESHOLD_HU
    sizes, peaks = [], []
    for plane, image in zip(over, hu, strict=True):
        parts, count = ndimage.label(plane, EIGHT)
        if count:
            sizes.append(np.bincount(parts.ravel())[1:])
            peaks.append(ndimage.maximum(image, parts, np.arange(1, count + 1)))
    size = np.concatenate(sizes) if sizes else np.zeros(0)
    peak = np.concatenate(peaks) if peaks else np.zeros(0)
    per_slice = AREA_MM2 / (hu.shape[1] * hu.shape[2] * spacing[1] * spacing[2] * len(hu))
    counts = (len(size), (size == 1).sum(), (size == 2).sum(), (size >= CHUNKY_ISLAND).sum())
    names = ("islands_per_slice", "single_islands", "double_islands", "chunky_islands")
    return {
        "over_threshold_percent": round(100.0 * float(over.mean()), 3),
        **{name: round(float(count) * per_slice, 2) for name, count in zip(names, counts, strict=True)},
        "island_peak_mean": round(float(peak.mean()), 1) if peak.size else float("nan"),
        "island_peak_p95": round(float(np.percentile(peak, 95)), 1) if peak.size else float("nan"),
    }


def mean_texture(textures: Sequence[Texture]) -> Texture:
    """Return the mean of every measure over blocks or scans; what a block lacks does not count."""
    out = {}
    for field in fields(Texture):
        values = np.array([getattr(texture, field.name) for texture in textures], dtype=float)
        values = values[np.isfinite(values)]
        out[field.name] = round(float(values.mean()), 3) if values.size else float("nan")
    return Texture(**out)
