"""Random numbers that are the same on every machine and independent between parts of a patient."""

from __future__ import annotations

import zlib

import numpy as np

PARAMETER_DECIMALS = 6
"""Drawn parameters are rounded so that a last-bit difference of a library function cannot reach an image."""


def stream(seed: int, *names: str) -> np.random.Generator:
    """Return the random stream of one named part of a patient.

    Parts have their own streams, so that drawing one number more in one part leaves the others as they were.
    """
    keys = [zlib.crc32(name.encode()) for name in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([int(seed), *keys])))


def normal(
    rng: np.random.Generator, mean: float, sd: float, low: float | None = None, high: float | None = None
) -> float:
    """Draw from a normal distribution, clipped to [low, high] (by default three standard deviations), rounded."""
    low = mean - 3.0 * sd if low is None else low
    high = mean + 3.0 * sd if high is None else high
    return round(float(min(max(rng.normal(mean, sd), low), high)), PARAMETER_DECIMALS)


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw uniformly from [low, high), rounded."""
    return round(float(rng.uniform(low, high)), PARAMETER_DECIMALS)


def lognormal(rng: np.random.Generator, median: float, log_sd: float, low: float, high: float) -> float:
    """Draw from a log-normal distribution by its median and the SD of its logarithm, clipped, rounded."""
    return round(float(min(max(median * np.exp(rng.normal(0.0, log_sd)), low), high)), PARAMETER_DECIMALS)


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return True with the given probability."""
    return bool(rng.random() < probability)


def direction(rng: np.random.Generator) -> np.ndarray:
    """Return a random unit vector (x, y, z)."""
    vector = rng.normal(size=3)
    return np.round(vector / np.sqrt((vector * vector).sum()), PARAMETER_DECIMALS)
