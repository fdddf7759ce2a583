"""A training case round a left main that divides, for the tests of what learns from it."""

from __future__ import annotations

import numpy as np

from CACScoringLib.training.cases import TrainingCase

SHAPE = (60, 90, 90)
FORK = (30, 45, 45)


def a_case(seed=0):
    """A left main along x that divides at ``FORK``: the LAD goes on, the LCX goes back; calcium lies over the fork."""
    rng = np.random.default_rng(seed)
    z, y, x = FORK
    artery = np.zeros(SHAPE, np.uint8)
    artery[z - 1 : z + 2, y - 2 : y + 3, x - 10 : x] = 1
    artery[z - 1 : z + 2, y - 2 : y + 3, x : x + 25] = 2
    artery[z - 1 : z + 2, y + 3 : y + 25, x - 2 : x + 3] = 3
    hu = np.where(artery > 0, 40, -80) + rng.normal(0, 10, SHAPE)
    cell = np.array([(z, y, x + k) for k in range(-6, 7)], np.int32)
    n = len(cell)
    hu[tuple(cell.T)] = 300
    none = np.zeros(3)
    return TrainingCase(
        coarse_hu=np.zeros((1, 1, 1), np.int16), coarse_structures=np.zeros((1, 1, 1), np.uint8), coarse_offset_mm=none,
        fine_hu=np.rint(hu).astype(np.int16), fine_structures=np.zeros(SHAPE, np.uint8), fine_offset_mm=none,
        fine_arteries=artery, cell=cell, peak=np.full(n, 400, np.float32), fraction=np.ones(n, np.float32),
        size=np.full(n, 60, np.float32), label=np.where(cell[:, 2] < x, 1, 2).astype(np.uint8),
        weight=np.full(n, n**-0.5, np.float32),
    )  # fmt: skip
