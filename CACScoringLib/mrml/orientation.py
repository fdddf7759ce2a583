"""Volumes whose axes run otherwise than the library expects, and labels back on their grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from CACScoringLib.ct.orientation import orient_to_lps
from CACScoringLib.ct.volume import CTVolume


def oriented_ct(ct: CTVolume) -> CTVolume:
    """Return the CT with slices from caudal to cranial, rows to posterior, columns to the left.

    Axes are permuted and flipped, no voxel is changed; the same object comes back where nothing moves.
    """
    direction = np.asarray(ct.direction, float).reshape(3, 3)
    hu, spacing, origin, turned, changed = orient_to_lps(ct.hu, ct.spacing_mm, ct.origin_mm, direction)
    if not changed:
        return ct
    turned_cosines = tuple(float(cosine) for cosine in turned.ravel())
    return replace(ct, hu=np.ascontiguousarray(hu), spacing_mm=spacing, origin_mm=origin, direction=turned_cosines)


def orient_labels(labels: np.ndarray, ct: CTVolume) -> np.ndarray:
    """Return labels on the grid of ``ct`` as labels on the grid of ``oriented_ct(ct)``."""
    direction = np.asarray(ct.direction, float).reshape(3, 3)
    return np.ascontiguousarray(orient_to_lps(labels, ct.spacing_mm, ct.origin_mm, direction)[0])


def labels_on_grid_of(labels: np.ndarray, ct: CTVolume) -> np.ndarray:
    """Return labels on the grid of ``oriented_ct(ct)`` as labels on the grid of ``ct``."""
    direction = np.asarray(ct.direction, float).reshape(3, 3)
    result = np.empty(ct.shape, labels.dtype)
    turned = orient_to_lps(result, ct.spacing_mm, ct.origin_mm, direction)[0]  # a view: filled through it
    turned[...] = labels
    return result
