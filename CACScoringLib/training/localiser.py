"""Train the three localisers: in which axial, coronal and sagittal slices is the heart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from CACScoringLib.methods.score_prediction import BoxComparison, HeartBox, compare_boxes
from CACScoringLib.methods.slice_regression import axis_slices, find_heart_box
from CACScoringLib.networks.axis_localiser import AXES, AxisLocalisers, LocaliserConfig
from CACScoringLib.training.slice_regression_cases import SliceCase
from CACScoringLib.training.slice_regression_loop import SliceTrainer, SliceTrainingSettings, seed_weights
from CACScoringLib.training.trainer import Tick

LOCALISER_SETTINGS = SliceTrainingSettings(steps=1500, batch=24, learning_rate=3e-3)
BORDER_SHARE = 0.5
"""Share of slices drawn near the heart's border: that is where the box is decided."""
BORDER_SLICES = 4
NOISE_HU = 10.0


class LocaliserTrainer(SliceTrainer):
    """Trains the three networks side by side; each batch holds ``settings.batch`` slices an axis.

    Parameters
    ----------
    cases : sequence of SliceCase
    settings : SliceTrainingSettings
    folder : Path
    config : LocaliserConfig, optional
    """

    def __init__(
        self,
        cases: Sequence[SliceCase],
        settings: SliceTrainingSettings,
        folder: Path,
        config: LocaliserConfig | None = None,
    ):
        seed_weights(settings)
        super().__init__(AxisLocalisers(config), settings, folder)
        self.cases = cases

    def draw(self, rng: np.random.Generator, step: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return slices (n, 1, rows, columns) and whether the heart is in them, by axis."""
        multiple, out = self.network.config.multiple, {}
        for axis in AXES:
            slices, truth = [], []
            for _ in range(self.settings.batch):
                case = self.cases[rng.integers(len(self.cases))]
                present = case.presence[axis]
                at = _draw_slice(present, rng)
                hu = np.take(case.coarse_hu, [at], axis=AXES.index(axis)).astype(np.float32)
                hu = (hu + 1000.0) * rng.uniform(0.98, 1.02) - 1000.0 + rng.normal(0, NOISE_HU, hu.shape)
                slices.append(axis_slices(hu.astype(np.float32), axis, multiple)[0])
                truth.append(present[at])
            shape = np.max([s.shape for s in slices], axis=0)
            padded = [np.pad(s, [(0, n - m) for n, m in zip(shape, s.shape, strict=True)]) for s in slices]
            out[axis] = np.stack(padded)[:, None], np.array(truth, np.float32)
        return out

    def loss(self, batch: dict[str, tuple[np.ndarray, np.ndarray]]) -> torch.Tensor:
        """Return the sum of the three cross-entropies; the networks share nothing, so each learns by its own."""
        logits = self.network({axis: self.tensor(slices) for axis, (slices, _) in batch.items()})
        return sum(
            functional.binary_cross_entropy_with_logits(logits[axis], self.tensor(truth))
            for axis, (_, truth) in batch.items()
        )


def _draw_slice(present: np.ndarray, rng: np.random.Generator) -> int:
    """Draw a slice: anywhere, or near where the heart begins or ends."""
    if rng.random() < BORDER_SHARE:
        inside = np.flatnonzero(present)
        border = inside[0] if rng.random() < 0.5 else inside[-1]
        return int(np.clip(border + rng.integers(-BORDER_SLICES, BORDER_SLICES + 1), 0, len(present) - 1))
    return int(rng.integers(len(present)))


def train_localisers(
    output: Path,
    cases: Sequence[SliceCase],
    steps: int = LOCALISER_SETTINGS.steps,
    *,
    settings: SliceTrainingSettings = LOCALISER_SETTINGS,
    config: LocaliserConfig | None = None,
    resume: bool = True,
    tick: Tick | None = None,
) -> AxisLocalisers:
    """Train the localisers on cases and return them with averaged weights, for evaluation.

    Parameters
    ----------
    output : Path
        Folder for checkpoint and log.
    cases : sequence of SliceCase
    steps : int
    """
    trainer = LocaliserTrainer(cases, replace(settings, steps=steps), output, config)
    if resume:
        trainer.resume()
    trainer.run(tick)
    return trainer.averaged()


def compare_found_box(ct: object, truth: HeartBox, localisers: AxisLocalisers) -> BoxComparison | None:
    """Return how the found box differs from the true one; None where none was found."""
    found = find_heart_box(ct, localisers)
    return None if found is None else compare_boxes(found, truth)
