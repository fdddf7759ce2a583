"""Streaks that metal and very dense calcium throw across a slice: bright and dark lines that fade with distance."""

from __future__ import annotations

import numpy as np

from CACScoringLib.phantom.canvas import Grid
from CACScoringLib.phantom.draws import stream

REACH_MM = 70.0
LINES = 7
STRONGEST_HU = 260.0
HALF_SIGNAL = 12000.0
"""Signal of an object in a slice (HU x mm2) whose streaks are half as strong as the strongest."""
LEAST_SIGNAL = 3000.0
METAL_PEAK_HU = (450.0, 2200.0)
"""Peak contrast in a slice below which streaks are a tenth, and from which on they are full."""
WIDTH_MM = (1.2, 5.0)


def add_streaks(
    clean: np.ndarray, images: list[tuple[int, tuple[slice, ...], np.ndarray]], grid: Grid, seed: int
) -> None:
    """Add the streaks of imaged clouds (label, block, contrast in HU) to a volume (z, y, x) in place."""
    pixel = grid.spacing[2]
    reach = int(REACH_MM / pixel)
    rng = stream(seed, "streaks")
    for _, (zs, ys, xs), contrast in images:
        signal = contrast.sum(axis=(1, 2), dtype=np.float64) * pixel * pixel
        if not signal.size or signal.max() < LEAST_SIGNAL:
            continue
        angles = rng.uniform(0.0, np.pi, LINES)
        heights, widths = rng.normal(0.0, 0.5, LINES), rng.uniform(*WIDTH_MM, LINES)
        heights = np.round(heights - heights.mean(), 4)
        for i in np.flatnonzero(signal >= LEAST_SIGNAL):
            plane = contrast[i]
            total = float(plane.sum(dtype=np.float64))
            row = ys.start + float((plane.sum(axis=1, dtype=np.float64) * np.arange(plane.shape[0])).sum()) / total
            column = xs.start + float((plane.sum(axis=0, dtype=np.float64) * np.arange(plane.shape[1])).sum()) / total
            row, column = round(row, 3), round(column, 3)
            strength = STRONGEST_HU * float(signal[i]) / (float(signal[i]) + HALF_SIGNAL)
            low, high = METAL_PEAK_HU
            strength *= min(max((float(plane.max()) - low) / (high - low), 0.1), 1.0)
            y0, y1 = max(int(row) - reach, 0), min(int(row) + reach, clean.shape[1])
            x0, x1 = max(int(column) - reach, 0), min(int(column) + reach, clean.shape[2])
            dy = ((np.arange(y0, y1) - row) * pixel).astype(np.float32)[:, None]
            dx = ((np.arange(x0, x1) - column) * pixel).astype(np.float32)[None, :]
            clean[zs.start + i, y0:y1, x0:x1] += star(dy, dx, angles, heights * strength, widths)


def star(dy: np.ndarray, dx: np.ndarray, angles: np.ndarray, heights: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Return the sum of lines through the origin (HU): soft across, falling as 1 / distance, zero at the reach."""
    out = np.zeros((dy.shape[0], dx.shape[1]), dtype=np.float32)
    fade = np.maximum(np.float32(1.0) - (dx * dx + dy * dy) * np.float32(1.0 / REACH_MM**2), np.float32(0.0))
    for angle, height, width in zip(angles, heights, widths, strict=True):
        c, s = np.float32(round(float(np.cos(angle)), 6)), np.float32(round(float(np.sin(angle)), 6))
        across, along = dy * c - dx * s, np.abs(dx * c + dy * s)
        profile = np.maximum(np.float32(1.0) - (across * np.float32(1.0 / width)) ** 2, np.float32(0.0))
        out += np.float32(height) * profile * fade * (np.float32(6.0) / (np.float32(6.0) + along))
    return out
