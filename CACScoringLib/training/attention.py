"""Whether the attention of a method lies on calcium."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.methods.registry import candidate_threshold
from CACScoringLib.methods.score_prediction import ScorePrediction
from CACScoringLib.vocabulary import Vessel

NEAR_MM = 3.0
"""Attention within this distance of a calcified voxel lies on it: cells of the third layer are 2 to 5 mm wide."""


@dataclass(frozen=True)
class AttentionHits:
    """Where attention is highest in calcified slices.

    Attributes
    ----------
    slices : int
        Slices of the CT that hold coronary calcium at or above the threshold, of at least 1 mm2.
    on_calcium : int
        Those where the highest attention lies on it, within 3 mm.
    """

    slices: int
    on_calcium: int


def attention_hits(prediction: ScorePrediction, ct: CTVolume, labels: np.ndarray) -> AttentionHits:
    """Count the calcified slices where the maximum of the attention lies on coronary calcium.

    Parameters
    ----------
    prediction : ScorePrediction
        With attention.
    ct : CTVolume
    labels : ndarray of uint8, shape (z, y, x)
        Truth.
    """
    if prediction.attention is None:
        return AttentionHits(0, 0)
    calcium = np.isin(labels, [int(v) for v in Vessel]) & (ct.hu >= candidate_threshold(ct))
    heat = prediction.attention.on_ct(ct.shape, ct.spacing_mm)
    slices = on_calcium = 0
    for z in np.flatnonzero(calcium.sum(axis=(1, 2)) * ct.pixel_area_mm2 >= 1.0):
        slices += 1
        peak = np.unravel_index(int(heat[z].argmax()), heat[z].shape)
        distance = ndimage.distance_transform_edt(~calcium[z], sampling=ct.spacing_mm[1:])
        on_calcium += int(heat[z][peak] > 0 and distance[peak] <= NEAR_MM)
    return AttentionHits(slices, on_calcium)
