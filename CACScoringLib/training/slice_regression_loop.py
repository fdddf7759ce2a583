"""What the networks of slices share in training: a batch size, one loss, and randomness that follows from the step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from CACScoringLib.training.trainer import ResumableTrainer

LARGEST_GRADIENT = 5.0


@dataclass(frozen=True)
class SliceTrainingSettings:
    """Everything that decides a run, besides network and cases."""

    steps: int = 2000
    batch: int = 100
    learning_rate: float = 1e-2
    warmup_steps: int = 50
    averaging: float = 0.99
    seed: int = 20260
    checkpoint_every: int = 50
    device: str = "cpu"


class SliceTrainer(ResumableTrainer):
    """Trains a network of slices with one loss.

    Subclasses say what a batch is (``draw``) and what is wrong with the network on it (``loss``).

    Parameters
    ----------
    network : Module
        Its weights are drawn by the caller, after ``seed_weights``.
    settings : SliceTrainingSettings
    folder : Path
        Where checkpoint and log go.
    """

    def __init__(self, network: nn.Module, settings: SliceTrainingSettings, folder: Path):
        network = network.to(settings.device, memory_format=torch.channels_last)
        # Adam with decay rates of 0.9 and 0.999, as in both papers.
        optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.999))
        super().__init__(network, optimizer, settings, folder)

    def draw(self, rng: np.random.Generator, step: int) -> Any:
        """Return the batch of a step; all that is random in it comes from ``rng``."""
        raise NotImplementedError

    def loss(self, batch: Any) -> torch.Tensor:
        """Return the loss of the network on a batch."""
        raise NotImplementedError

    def batch(self, step: int) -> Any:
        """Draw the batch of a step."""
        return self.draw(np.random.default_rng([self.settings.seed, step]), step)

    def train(self, batch: Any) -> dict[str, float]:
        """Take one step and return its loss."""
        self.set_rate()
        # What is random inside the network (dropout) follows from the step too, so a stopped run goes on unchanged.
        torch.manual_seed(self.settings.seed + self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()
        self.update(LARGEST_GRADIENT)
        return {"loss": float(loss.detach())}

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """Return an array on the device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.settings.device)


def seed_weights(settings: SliceTrainingSettings) -> None:
    """Make the weights that are drawn next follow from the seed."""
    torch.manual_seed(settings.seed)
