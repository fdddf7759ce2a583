"""Hard examples: which candidates the network gets wrong, so that it is shown them more often.

After every step the loss at each candidate of the patches is remembered; a share of the patches is then drawn in
proportion to it. Specks are left out: whether a single bright voxel is noise is mostly not to be known, and
drawing what nobody can know teaches nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from CACScoringLib.inference.lesions import SPECK_MM3
from CACScoringLib.training.cases import TrainingCase

UNSEEN = 1.0
"""Loss of a candidate that was not seen yet."""
MEMORY = 0.5
"""How much of the remembered loss stays when a candidate is seen again."""
MOST = 4.0
"""Losses count up to this much: a wrong label in the truth must not be drawn for ever."""


class HardExamples:
    """The remembered loss of every candidate cell of every case.

    Parameters
    ----------
    cases : sequence of TrainingCase
    """

    def __init__(self, cases: Sequence[TrainingCase]):
        self.cases = cases
        self.loss = [np.full(len(case.cell), UNSEEN, np.float32) for case in cases]

    def draw(self, case: int, rng: np.random.Generator) -> np.ndarray | None:
        """Return a cell (z, y, x) drawn in proportion to what it cost; None without lesions of scoring size."""
        known = self.cases[case]
        chance = np.where(known.size >= SPECK_MM3, known.weight, 0.0).astype(np.float64) * self.loss[case]
        total = chance.sum()
        if total <= 0:
            return None
        return known.cell[rng.choice(len(chance), p=chance / total)].astype(int)

    def learn(self, case: int, members: np.ndarray, loss: np.ndarray) -> None:
        """Remember what cells cost.

        Parameters
        ----------
        case : int
        members : ndarray of int, shape (m,)
            Cells of the case.
        loss : ndarray of float32, shape (m,)
        """
        old = self.loss[case][members]
        self.loss[case][members] = MEMORY * old + (1.0 - MEMORY) * np.minimum(loss, MOST)

    def restore(self, losses: Sequence[np.ndarray]) -> None:
        """Take up the losses that a checkpoint kept, as far as they fit the cases."""
        for number, kept in enumerate(losses[: len(self.loss)]):
            if len(kept) == len(self.loss[number]):
                self.loss[number] = np.array(kept, np.float32)
