"""A ball of a heart in fat, and a network that finds it by its brightness."""

from __future__ import annotations

import numpy as np
import torch

from CACScoringLib.ct.volume import Acquisition, CTVolume

SPACING = (3.0, 1.0, 1.0)


class BallFinder:
    """Takes what is brighter than fat for a heart."""

    def structures(self, x):
        logits = torch.zeros(x.shape[0], 8, *x.shape[2:])
        logits[:, 1] = torch.where(x[:, 0] > -0.5, 9.0, -9.0)
        return logits


def a_ct(*lesions, kvp=120.0):
    """A ball of a heart, 70 mm wide, in fat, in air; lesions are (z, y, x, HU) blocks of 2x2 pixels."""
    hu = np.full((44, 140, 140), -1000, np.int16)
    hu[:, 15:125, 15:125] = -95
    z, y, x = np.ogrid[:44, :140, :140]
    hu[((z - 22) * 3.0) ** 2 + (y - 70.0) ** 2 + (x - 70.0) ** 2 < 35**2] = 40
    for k, j, i, value in lesions:
        hu[k, j : j + 2, i : i + 2] = value
    return CTVolume(hu, SPACING, acquisition=Acquisition(kvp=kvp))
