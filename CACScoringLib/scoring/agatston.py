"""The Agatston score of islands: area times weight, scaled with the slice increment.

Agatston et al., J Am Coll Cardiol 1990;15:827-32: the sum over slices and over the lesions in each slice of
area (mm2) x weight, where the weight follows the lesion's maximum in that slice. The 1990 scans had contiguous 3 mm
slices; other increments dz are scaled with dz / 3 mm.
"""

from __future__ import annotations

import numpy as np

from CACScoringLib.scoring.thresholds import AGATSTON_HU

REFERENCE_INCREMENT_MM = 3.0
"""Slice increment of the 1990 definition."""


def weights(max_hu: np.ndarray, thresholds_hu: tuple[float, float, float, float] = AGATSTON_HU) -> np.ndarray:
    """Return the weight 1 to 4 of islands from their maxima; comparisons are ``>=``.

    Examples
    --------
    >>> weights(np.array([130, 199, 200, 299, 300, 399, 400])).tolist()
    [1, 1, 2, 2, 3, 3, 4]
    """
    max_hu = np.asarray(max_hu)
    return 1 + sum((max_hu >= start).astype(np.int64) for start in thresholds_hu[1:])


def slice_scale(increment_mm: float, *, scaled: bool = True) -> float:
    """Return the factor dz / 3 mm, or 1 in the legacy mode without it."""
    return increment_mm / REFERENCE_INCREMENT_MM if scaled else 1.0


def agatston_score(pixels: np.ndarray, weight: np.ndarray, pixel_area_mm2: float, scale: float) -> float:
    """Return the Agatston score of islands: those of one vessel in one slice, or of a whole scan.

    Parameters
    ----------
    pixels, weight : ndarray of int, shape (islands,)
        Size and weight of each; their products are summed as whole numbers, so that no order of islands matters.
    pixel_area_mm2 : float
    scale : float
        From :func:`slice_scale`.

    Examples
    --------
    >>> agatston_score(np.array([4, 6]), np.array([1, 4]), pixel_area_mm2=0.25, scale=1.0)
    7.0
    """
    return float(int((pixels * weight).sum()) * pixel_area_mm2 * scale)
