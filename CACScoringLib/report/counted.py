"""The labelled voxels that count, for pictures."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.scoring.result import CalciumScore


def counted_labels(ct: CTVolume, labels: np.ndarray, result: CalciumScore) -> np.ndarray:
    """Return the labels without voxels below the threshold and islands too small to count.

    Presets that look for lesions in the volume, and scores of averaged slices, keep their small islands.

    Returns
    -------
    ndarray of uint8, shape (z, y, x)
    """
    shown = np.where(ct.hu >= result.thresholds.calcium, labels, 0).astype(np.uint8)
    smallest = result.preset.minimum_island_pixels(ct.pixel_area_mm2)
    if not result.preset.in_plane or smallest < 2 or result.scored_spacing_mm[0] != ct.spacing_mm[0]:
        return shown
    in_slice = ndimage.generate_binary_structure(2, 2 if result.preset.connectivity == 8 else 1)[None]
    in_slice = np.pad(in_slice, ((1, 1), (0, 0), (0, 0)))
    for box, value in zip(ndimage.find_objects(shown), range(1, 256), strict=False):
        if box is not None:
            islands, count = ndimage.label(shown[box] == value, in_slice)
            small = np.bincount(islands.ravel(), minlength=count + 1) < smallest
            small[0] = False
            shown[box][small[islands]] = 0
    return shown
