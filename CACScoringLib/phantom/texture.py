"""Measures of image texture in a uniform block: what a generator version is accepted or rejected by."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

from CACScoringLib.phantom.truth import EIGHT, THRESHOLD_HU

DETREND_SIGMA_MM = 8.0


@dataclass(frozen=True)
class Texture:
    """Noise of a block of soft tissue.

    Attributes
    ----------
    sd_hu : standard deviation after detrending
    nps_peak, nps_mean : frequency per mm of the highest and the mean radial noise power
    acf_x_mm, acf_y_mm : full width at half maximum of the autocorrelation
    acf_next_slice : correlation with the next slice
    power_x_to_y : noise power with frequencies nearer x over that nearer y
    over_threshold_percent : voxels at or above 130 HU
    islands_per_slice : 8-connected islands at or above 130 HU in 25 cm2
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

    def as_dict(self) -> dict[str, float]:
        """Return the values by name."""
        return asdict(self)


def _half_width(profile: np.ndarray, step: float) -> float:
    below = np.flatnonzero(profile < 0.5)
    if not below.size or below[0] == 0:
        return float("nan")
    i = int(below[0])
    return 2.0 * step * float(i - 1 + (profile[i - 1] - 0.5) / (profile[i - 1] - profile[i]))


def measure_texture(hu: np.ndarray, spacing: tuple[float, float, float]) -> Texture:
    """Measure a block (z, y, x) of nearly uniform tissue; spacing (z, y, x) in mm."""
    pixel = spacing[2]
    block = hu.astype(np.float64)
    noise = block - ndimage.gaussian_filter(
        block, (0, DETREND_SIGMA_MM / spacing[1], DETREND_SIGMA_MM / pixel), mode="nearest"
    )
    noise -= noise.mean(axis=(1, 2), keepdims=True)
    sd = float(noise.std())
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0)
    fy, fx = np.fft.fftfreq(block.shape[1], spacing[1])[:, None], np.fft.fftfreq(block.shape[2], pixel)[None, :]
    f = np.sqrt(fx * fx + fy * fy)
    edges = np.arange(0.0, 0.5 / pixel, 0.04)
    which = np.digitize(f, edges)
    radial = np.array([power[which == i].mean() if (which == i).any() else 0.0 for i in range(1, len(edges))])
    middle = 0.5 * (edges[1:] + edges[:-1])
    radial = np.convolve(radial, [0.25, 0.5, 0.25], mode="same")
    acf = np.real(np.fft.ifft2(power))
    acf /= acf[0, 0]
    pairs = (noise[1:] * noise[:-1]).mean() / (sd * sd) if len(noise) > 1 else float("nan")
    along_x = power[(np.abs(fx) > np.abs(fy)) & (f > 0.08)].sum() / power[(np.abs(fx) < np.abs(fy)) & (f > 0.08)].sum()
    over = hu >= THRESHOLD_HU
    islands = sum(ndimage.label(plane, EIGHT)[1] for plane in over) / len(over)
    area = block.shape[1] * block.shape[2] * spacing[1] * pixel / 2500.0
    return Texture(
        sd_hu=round(sd, 2),
        nps_peak=round(float(middle[int(radial.argmax())]), 3),
        nps_mean=round(float((middle * radial).sum() / radial.sum()), 3),
        acf_x_mm=round(_half_width(acf[0], pixel), 2),
        acf_y_mm=round(_half_width(acf[:, 0], spacing[1]), 2),
        acf_next_slice=round(float(pairs), 3),
        power_x_to_y=round(float(along_x), 2),
        over_threshold_percent=round(100.0 * float(over.mean()), 3),
        islands_per_slice=round(islands / area, 2),
    )
