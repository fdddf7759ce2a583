"""Cardiac motion during a slice: where a moving point is while the slice is acquired."""

from __future__ import annotations

import numpy as np

from CACScoringLib.phantom.draws import direction, stream
from CACScoringLib.phantom.scanner import Scanner

RELATIVE_EXTENT = {"RCA": 1.5, "LCX": 1.1, "LAD": 0.75, "LM": 0.6, "root": 0.55, "mitral": 1.2, "heart": 1.0, "": 0.0}
"""Path of each vessel relative to the heart's mean: RCA > LCX > LAD > LM (Mao 2000; SYNTHETIC numbers, section 4)."""
SAMPLES = 9


def motion_paths(scanner: Scanner, slices: int, name: str) -> np.ndarray:
    """Return displacements (slices, samples, 3) in mm: a closed loop per heart beat of which each slice sees a window.

    Gated scans see the same short window in every slice; ungated ones a longer window that starts at another phase in each.
    """
    extent = scanner.motion * RELATIVE_EXTENT[name]
    if extent <= 0.0:
        return np.zeros((slices, 1, 3))
    rng = stream(scanner.seed, "motion", scanner.protocol, name)
    first, second = direction(rng), direction(rng)
    start = scanner.phase + scanner.phase_step * np.arange(slices)
    t = 2.0 * np.pi * (start[:, None] + scanner.window * np.linspace(-0.5, 0.5, SAMPLES)[None, :])
    across, along = np.sin(t), np.cos(t) + 0.4 * np.sin(2.0 * t + 0.7)
    loop = along[..., None] * first + 0.5 * across[..., None] * second
    if scanner.gated:
        span = np.sqrt(((loop[:, -1] - loop[:, 0]) ** 2).sum(axis=-1)).mean()
        return np.round((loop - loop.mean(axis=1, keepdims=True)) * (extent / max(span, 0.2)), 4)
    return np.round((loop - loop.mean(axis=(0, 1), keepdims=True)) * (0.45 * extent), 4)
