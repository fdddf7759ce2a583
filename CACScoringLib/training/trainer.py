"""What every training run has in common: seeded batches drawn ahead, averaged weights, checkpoints to go on from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from CACScoringLib.training.memory import keep_freed_memory

CHECKPOINT = "checkpoint.pt"
LOG = "training-log.jsonl"
LEAST_RATE = 0.01
"""Learning rate at the end, as a share of the highest."""

Tick = Callable[[int, dict[str, float]], None]


class RunSettings(Protocol):
    """What the settings of every run hold (dataclasses)."""

    steps: int
    learning_rate: float
    warmup_steps: int
    averaging: float
    seed: int
    checkpoint_every: int
    device: str


class ResumableTrainer:
    """Trains a network on batches that the step number and the seed decide.

    Subclasses say what a batch is (``batch``) and take a step on it (``train``).

    Parameters
    ----------
    network : Module
    optimizer : Optimizer
        Of the network's parameters.
    settings : RunSettings
    folder : Path
        Where checkpoint and log go.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, settings: RunSettings, folder: Path):
        self.network, self.optimizer, self.settings, self.folder = network, optimizer, settings, folder
        self.average = {k: v.detach().clone() for k, v in network.state_dict().items()}
        self.step = 0

    def batch(self, step: int) -> Any:
        """Draw the batch of a step."""
        raise NotImplementedError

    def train(self, batch: Any) -> dict[str, float]:
        """Take one step and return its losses."""
        raise NotImplementedError

    def before_drawing(self) -> None:
        """Do what is due before the next batch is drawn ahead: only what is done here may change what is drawn."""

    def after_step(self) -> dict[str, float]:
        """Do what is due after a step; what is returned goes to the log."""
        return {}

    def extra_state(self) -> dict[str, Any]:
        """Return what a subclass needs to go on, besides weights and optimiser."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take up what ``extra_state`` has kept."""

    def rate_factor(self) -> float:
        """Return the learning-rate factor of the coming step."""
        return schedule(self.step, self.settings)

    def run(self, tick: Tick | None = None) -> None:
        """Train until ``settings.steps``; ``tick`` gets the step and its losses."""
        self.folder.mkdir(parents=True, exist_ok=True)
        keep_freed_memory()
        self.network.train()
        started = time.perf_counter()
        with ThreadPoolExecutor(max_workers=1) as pool:
            upcoming = pool.submit(self.batch, self.step)
            while self.step < self.settings.steps:
                batch = upcoming.result()
                self.before_drawing()
                upcoming = pool.submit(self.batch, self.step + 1)
                losses = self.train(batch)
                self.step += 1
                losses |= self.after_step()
                losses["seconds"] = time.perf_counter() - started
                self._log(losses)
                if tick is not None:
                    tick(self.step, losses)
                if self.step % self.settings.checkpoint_every == 0 or self.step == self.settings.steps:
                    self.save()

    def set_rate(self) -> None:
        """Give the optimiser the learning rate of the coming step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * self.rate_factor()

    def update(self, largest_gradient: float) -> None:
        """Let the optimiser step with gradients of bounded norm, and average the weights."""
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), largest_gradient)
        self.optimizer.step()
        decay = min(self.settings.averaging, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def save(self) -> None:
        """Write the checkpoint; the old one is replaced at once."""
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "settings": asdict(self.settings),
            "extra": self.extra_state(),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / (CHECKPOINT + ".tmp")
        torch.save(state, temporary)
        temporary.replace(self.folder / CHECKPOINT)

    def resume(self) -> bool:
        """Go on from the folder's checkpoint; False when there is none."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return False
        state = torch.load(path, map_location=self.settings.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])
        self.load_extra_state(state.get("extra", {}))
        return True

    def averaged(self) -> nn.Module:
        """Return the network with its averaged weights, for evaluation; the training goes on with its own."""
        network = deepcopy(self.network)
        network.load_state_dict(self.average)
        return network.eval()

    def _log(self, losses: dict[str, float]) -> None:
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.step, **{k: round(v, 5) for k, v in losses.items()}}) + "\n")


def schedule(step: int, settings: RunSettings) -> float:
    """Return the learning-rate factor: linear warm-up, then a cosine down to ``LEAST_RATE``."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    share = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    return float(LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + np.cos(np.pi * min(share, 1.0))))
