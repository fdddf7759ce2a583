"""Cardiac motion during a slice: where a moving point is while the slice is acquired."""

from __future__ import annotations

import numpy as np

from CACScoringLib.phantom.draws import direction, stream
from CACScoringLib.phantom.scanner import Scanner

RELATIVE_EXTENT = {"RCA": 1.5, "LCX": 1.1, "LAD": 0.75, "LM": 0.6, "root": 0.55, "mitral": 1.2, "heart": 1.0, "": 0.0}
"""Path of each vessel relative to the heart's mean: RCA > LCX > LAD > LM (Mao 2000; SYNTHETIC numbers, section 4)."""
SAMPLES = 11
MOVING_SHARE = 0.62
"""Share of the cycle from systole to the end of early filling; then the heart rests until the atrium contracts."""


def excursion(phase: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far the heart is out along its main direction (0 at rest to 1) and across it, by phase."""
    phase = phase - np.floor(phase)
    t = np.minimum(phase / MOVING_SHARE, 1.0)
    out = np.sin(np.pi * t) ** 2
    kick = np.clip(1.0 - np.abs(phase - 0.93) / 0.07, 0.0, 1.0)
    return out + 0.18 * kick, 0.45 * np.sin(2.0 * np.pi * t) * (phase < MOVING_SHARE)


def motion_paths(scanner: Scanner, slices: int, name: str) -> np.ndarray:
    """Return displacements (slices, samples, 3) in mm: a loop with a rest, of which each slice sees a window.

    Gated scans see the same short window in every slice; ungated ones a longer one, at another phase in each.
    """
    extent = scanner.motion * RELATIVE_EXTENT[name]
    if extent <= 0.0:
        return np.zeros((slices, 1, 3))
    rng = stream(scanner.seed, "motion", scanner.protocol, name)
    first, second = direction(rng), direction(rng)
    start = (0.3 * scanner.phase if scanner.gated else scanner.phase) + scanner.phase_step * np.arange(slices)
    phase = start[:, None] + scanner.window * np.linspace(-0.5, 0.5, SAMPLES)[None, :]
    along, across = excursion(phase)
    loop = along[..., None] * first + across[..., None] * second
    if scanner.gated:
        span = np.sqrt(((loop[:, -1] - loop[:, 0]) ** 2).sum(axis=-1)).mean()
        return np.round((loop - loop.mean(axis=1, keepdims=True)) * (extent / max(span, 0.2)), 4)
    return np.round((loop - 0.3 * first) * extent, 4)
