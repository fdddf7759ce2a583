"""Correlated CT noise: a radial power spectrum that rises, has a plateau and falls as half a Gaussian."""

from __future__ import annotations

import numpy as np
from scipy import fft

from CACScoringLib.phantom.draws import stream
from CACScoringLib.phantom.scanner import Scanner

LEVEL_FOR_HORIZONTAL_STREAKS = 1.12
"""Relative noise of a slice beyond which rays from side to side are the noisiest (liver, shoulders)."""


def amplitude(scanner: Scanner, shape: tuple[int, int], pixel: float, *, flat: bool = False) -> np.ndarray:
    """Return the square root of the noise power at the frequencies of a 2-D transform, float32, unit mean square.

    ``flat`` turns the streaks (noise power concentrated along one axis) from upright to lying.
    """
    fy = np.fft.fftfreq(shape[0], pixel)[:, None]
    fx = np.fft.fftfreq(shape[1], pixel)[None, :]
    stretch = np.sqrt(scanner.noise_stretch)
    stretch = 1.0 / stretch if flat else stretch
    f2 = (fx / stretch) ** 2 + (fy * stretch) ** 2
    f = np.sqrt(f2)
    half = 0.5 * scanner.noise_plateau
    rise = np.minimum(f / (scanner.noise_peak - half), 1.0)
    beyond = np.maximum(f - scanner.noise_peak - half, 0.0) / scanner.noise_width
    power = (scanner.noise_floor + (1.0 - scanner.noise_floor) * rise) * np.exp(-0.5 * beyond**2)
    along = (fy * fy if flat else fx * fx) / np.maximum(fx * fx + fy * fy, 1e-12)
    along = along * along
    along = along * along
    power = power * (1.0 + scanner.streaks * along * along)
    power[0, 0] = 0.0
    power = np.sqrt(power / power.mean())
    return np.round(power, 6).astype(np.float32)


def add_noise(hu: np.ndarray, scanner: Scanner, level: np.ndarray, pixel: float) -> None:
    """Add noise to a volume (z, y, x) in place.

    ``level`` is the SD relative to the protocol's, shape (z, rows, columns) on a coarse grid that spans the slices.
    Two slices come from one complex transform; each slice shares part of its noise with the one below.
    """
    count, rows, columns = hu.shape
    shaped = [amplitude(scanner, (rows, columns), pixel, flat=flat) for flat in (False, True)]
    flat = level.mean(axis=(1, 2)) > LEVEL_FOR_HORIZONTAL_STREAKS * float(np.median(level.mean(axis=(1, 2))))
    rng = stream(scanner.seed, "noise", scanner.protocol)
    mix = np.float32(scanner.slice_mixing)
    keep = np.float32(1.0) / np.sqrt(np.float32(1.0) + mix * mix)
    scale = np.float32(scanner.noise_sd * np.sqrt(rows * columns))
    previous = None
    for start in range(0, count, 2):
        white = rng.standard_normal((rows, columns, 2), dtype=np.float32).view(np.complex64)[..., 0]
        pair = fft.ifft2(white * shaped[int(flat[start])], overwrite_x=True, workers=1)
        for z, fresh in ((start, pair.real), (start + 1, pair.imag)):
            if z >= count:
                break
            mixed = fresh if previous is None else (fresh + mix * previous) * keep
            previous = fresh
            hu[z] += mixed * (enlarged(level[z], (rows, columns)) * scale)


def enlarged(small: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a coarse map of a slice at full size, by linear interpolation."""
    for axis in (1, 0):
        at = (np.arange(shape[axis]) + 0.5) * small.shape[axis] / shape[axis] - 0.5
        at = np.clip(at, 0.0, small.shape[axis] - 1.001)
        cell = at.astype(np.intp)
        weight = (at - cell).astype(np.float32)
        weight = weight[:, None] if axis == 0 else weight
        low, high = np.take(small, cell, axis=axis), np.take(small, cell + 1, axis=axis)
        small = low + (high - low) * weight
    return small
