"""How sharp edges are: the line-spread function across air to skin and across lung to heart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

REACH_MM = 9.0
STEP_MM = 0.1
NORMAL_SIGMA_MM = 2.0
LEAST_EDGES = 60
MOST_EDGES = 6000
SHIFT_MM = 3.0


@dataclass(frozen=True)
class Edge:
    """Full width at half maximum of the line-spread function in mm, overshoot of the step in per cent, edges seen."""

    fwhm_mm: float
    overshoot_percent: float
    count: int


NO_EDGE = Edge(float("nan"), float("nan"), 0)


def measure_edge(
    hu: np.ndarray, pixel: float, places: np.ndarray, low: float, high: float, plateau: tuple[float, float]
) -> Edge:
    """Measure the edges of slices (z, y, x) at ``places`` (n, 3), voxels near the boundary.

    Parameters
    ----------
    low, high : HU below which the dark side lies, above which the bright side lies, 4 to 7 mm from the place
    plateau : distances in mm between which the bright side's level is taken

    Notes
    -----
    Profiles along the smoothed gradient are shifted to their crossing of the middle and averaged; the derivative of
    the mean is the line-spread function.
    """
    t = np.arange(-REACH_MM, REACH_MM + 0.5 * STEP_MM, STEP_MM)
    keep = np.linspace(0, len(places) - 1, min(len(places), MOST_EDGES)).astype(int) if len(places) else []
    profiles = []
    places = places[keep] if len(places) else places
    for z in np.unique(places[:, 0]) if len(places) else ():
        plane = np.maximum(hu[z], -1024).astype(np.float32)
        smooth = ndimage.gaussian_filter(plane, NORMAL_SIGMA_MM / pixel)
        gy, gx = ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1)
        rows = places[places[:, 0] == z]
        y, x = rows[:, 1], rows[:, 2]
        length = np.sqrt(gy[y, x] ** 2 + gx[y, x] ** 2) + 1e-6
        ny, nx = gy[y, x] / length, gx[y, x] / length
        at_y, at_x = y[:, None] + ny[:, None] * t / pixel, x[:, None] + nx[:, None] * t / pixel
        profiles.append(ndimage.map_coordinates(plane, [at_y, at_x], order=1, mode="nearest"))
    if not profiles:
        return NO_EDGE
    lines = np.concatenate(profiles)
    dark, bright = lines[:, (t > -7.0) & (t < -4.0)], lines[:, (t > 4.0) & (t < 7.0)]
    lines = lines[(dark.mean(axis=1) < low) & (bright.mean(axis=1) > high)]
    if len(lines) < LEAST_EDGES:
        return NO_EDGE
    level = 0.5 * (np.median(lines[:, t < -4.0]) + np.median(lines[:, t > 4.0]))
    smooth = ndimage.uniform_filter1d(lines, round(1.2 / STEP_MM), axis=1)
    near = np.abs(t) < SHIFT_MM
    crossing = np.argmax((smooth[:, near][:, 1:] >= level) & (smooth[:, near][:, :-1] < level), axis=1)
    shift = crossing - np.count_nonzero(near) // 2
    good = (crossing > 0) & (crossing < np.count_nonzero(near) - 2)
    n = round(SHIFT_MM / STEP_MM)
    columns = np.arange(n, len(t) - n)
    lines = np.take_along_axis(lines[good], columns[None, :] + shift[good][:, None], axis=1)
    if len(lines) < LEAST_EDGES:
        return NO_EDGE
    mean, t = np.mean(lines, axis=0), t[columns]
    mean = ndimage.uniform_filter1d(mean, 3)
    spread = np.gradient(mean, STEP_MM)
    peak = int(np.argmax(np.where(np.abs(t) < 1.5, spread, -np.inf)))
    half = 0.5 * spread[peak]
    right = peak + int(np.argmax(spread[peak:] < half))
    left = peak - int(np.argmax(spread[peak::-1] < half))
    base = mean[t < -3.0].mean()
    top = np.median(mean[(t > plateau[0]) & (t < plateau[1])])
    over = 100.0 * (mean[(t > 0) & (t < 3.5)].max() - top) / (top - base)
    return Edge(round((right - left) * STEP_MM, 2), round(float(over), 1), len(lines))
