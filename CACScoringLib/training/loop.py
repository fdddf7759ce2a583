"""The training loop of the multi-branch network: resumable, seeded, with an averaged model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from CACScoringLib.inference.grids import Grid, resample_linear
from CACScoringLib.models import ModelBundle, load_weights
from CACScoringLib.networks.multibranch_unet import MultiBranchConfig, MultiBranchUNet
from CACScoringLib.training.cases import TrainingCase
from CACScoringLib.training.losses import candidate_losses, structure_loss
from CACScoringLib.training.sampling import CoarsePatch, FinePatch, coarse_patch, fine_patch

CHECKPOINT = "checkpoint.pt"
LOG = "training-log.jsonl"


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides a run, besides the cases."""

    steps: int = 2400
    patients_per_step: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    averaging: float = 0.998
    structure_weight: float = 0.5
    non_coronary_weight: float = 0.4
    lost_context: float = 0.08
    context_shift_mm: float = 5.0
    seed: int = 20260
    checkpoint_every: int = 50
    device: str = "cpu"


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches of a few patients, in the same order."""

    coarse: list[CoarsePatch]
    fine: list[FinePatch]
    shift_mm: np.ndarray
    lost: np.ndarray
    offset: np.ndarray


class Trainer:
    """Trains the network; holds the network, its average and the optimiser.

    Parameters
    ----------
    cases : sequence of TrainingCase
    groups : list of list of int
        Indices of cases by protocol; every protocol is drawn equally often.
    settings : TrainingSettings
    folder : Path
        Where checkpoint and log go.
    start : ModelBundle, optional
        Weights and network to go on from; random weights without.
    """

    def __init__(
        self,
        cases: list[TrainingCase],
        groups: list[list[int]],
        settings: TrainingSettings,
        folder: Path,
        start: ModelBundle | None = None,
    ):
        self.cases, self.groups, self.settings, self.folder = cases, groups, settings, folder
        torch.manual_seed(settings.seed)
        self.network = starting_network(start).to(settings.device, memory_format=torch.channels_last_3d)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.step = 0

    def run(self, tick: Callable[[int, dict[str, float]], None] | None = None) -> None:
        """Train until ``settings.steps``; ``tick`` gets the step and its losses."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.network.train()
        started = time.perf_counter()
        with ThreadPoolExecutor(max_workers=1) as pool:
            upcoming = pool.submit(self.batch, self.step)
            while self.step < self.settings.steps:
                batch = upcoming.result()
                upcoming = pool.submit(self.batch, self.step + 1)
                losses = self._train(batch)
                self.step += 1
                losses["seconds"] = time.perf_counter() - started
                self._log(losses)
                if tick is not None:
                    tick(self.step, losses)
                if self.step % self.settings.checkpoint_every == 0 or self.step == self.settings.steps:
                    self.save()

    def batch(self, step: int) -> Batch:
        """Draw the patches of a step; the step number and the seed decide them."""
        s = self.settings
        rng = np.random.default_rng([s.seed, step])
        chosen = []
        for _ in range(s.patients_per_step):
            group = self.groups[rng.integers(len(self.groups))]
            chosen.append(self.cases[group[rng.integers(len(group))]])
        return Batch(
            coarse=[coarse_patch(c, rng) for c in chosen],
            fine=[fine_patch(c, rng) for c in chosen],
            shift_mm=rng.normal(0, s.context_shift_mm / 2, (len(chosen), 3)),
            lost=rng.random(len(chosen)) < s.lost_context,
            offset=rng.integers(0, 2, 3),
        )

    def _train(self, batch: Batch) -> dict[str, float]:
        s, device = self.settings, self.settings.device
        for group in self.optimizer.param_groups:
            group["lr"] = s.learning_rate * schedule(self.step, s)
        self.optimizer.zero_grad(set_to_none=True)
        coarse_in = np.stack([p.channels for p in batch.coarse])
        empty = np.zeros((len(coarse_in), self.network.config.in_channels - 4, *coarse_in.shape[2:]), np.float32)
        coarse_tensor = self._tensor(np.concatenate((coarse_in, empty), axis=1))
        # Half of the patients train the coarse pass (for speed); all of them use it as context.
        learning = max(len(coarse_in) // 2, 1)
        truth = np.stack([p.structures for p in batch.coarse[:learning]])
        coarse_loss, logits = self._structure_step(self.network.features(coarse_tensor[:learning]), truth, batch.offset)
        # The coarse pass's other branches get no gradient: calcium is decided on the fine grid alone.
        coarse_loss.backward()
        with torch.no_grad():
            known = [logits.detach()]
            if learning < len(coarse_in):
                known.append(self.network.structure(self.network.features(coarse_tensor[learning:])))
            probability = torch.softmax(torch.cat(known), dim=1).cpu().numpy()
        fine_tensor = self._tensor(fine_input(batch, probability))
        features = self.network.features(fine_tensor)
        weight = np.stack([p.weight for p in batch.fine])
        here = np.argwhere(weight > 0)
        label = np.stack([p.label for p in batch.fine])[tuple(here.T)].astype(np.int64)
        rows = self.network.rows(fine_tensor, features, torch.from_numpy(here).to(device))
        calcium, other = candidate_losses(
            rows, torch.from_numpy(label).to(device), torch.from_numpy(weight[tuple(here.T)]).to(device)
        )
        truth = np.stack([p.structures for p in batch.fine])
        fine_loss, _ = self._structure_step(features, truth, batch.offset)
        (calcium + s.non_coronary_weight * other + s.structure_weight * fine_loss).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
        self._update_average()
        names = ("calcium", "non_coronary", "structure_fine", "structure_coarse")
        values = (calcium, other, fine_loss, coarse_loss)
        return {name: float(value.detach()) for name, value in zip(names, values, strict=True)}

    def _structure_step(
        self, features: torch.Tensor, truth: np.ndarray, offset: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return loss and logits of the structure branch at half resolution.

        The truth of a 2x2x2 block is that of one of its voxels, drawn anew every step.
        """
        z, y, x = offset
        target = torch.from_numpy(np.ascontiguousarray(truth[:, z::2, y::2, x::2])).long().to(self.settings.device)
        logits = self.network.structure(features)
        return structure_loss(logits, target), logits

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.settings.device, memory_format=torch.channels_last_3d)

    def _update_average(self) -> None:
        decay = min(self.settings.averaging, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)

    def save(self) -> None:
        """Write the checkpoint; the old one is replaced at once."""
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "settings": asdict(self.settings),
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
        return True

    def _log(self, losses: dict[str, float]) -> None:
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.step, **{k: round(v, 5) for k, v in losses.items()}}) + "\n")


def starting_network(start: ModelBundle | None) -> MultiBranchUNet:
    """Return a new network, or that of a bundle with its weights."""
    if start is None:
        return MultiBranchUNet(MultiBranchConfig())
    config = start.settings["network"]
    network = MultiBranchUNet(MultiBranchConfig(**{**config, "channels": tuple(config["channels"])}))
    network.load_state_dict(load_weights(start))
    return network


def schedule(step: int, settings: TrainingSettings) -> float:
    """Return the learning-rate factor: linear warm-up, then a cosine down to 1 %."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    share = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    return float(0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * min(share, 1.0))))


def fine_input(batch: Batch, probability: np.ndarray) -> np.ndarray:
    """Join the fine patches with the coarse pass's structures, sometimes shifted or lost.

    The structures come at half the coarse patch's resolution, as the network computes them.

    Parameters
    ----------
    batch : Batch
    probability : ndarray of float32, shape (n, 8, 32, 32, 32)

    Returns
    -------
    ndarray of float32, shape (n, 11, 64, 64, 64)
    """
    out = []
    for number, (coarse, fine) in enumerate(zip(batch.coarse, batch.fine, strict=True)):
        spacing = np.asarray(coarse.grid.spacing_mm)
        offset = np.asarray(coarse.grid.offset_mm) + batch.shift_mm[number] + spacing / 2
        grid = Grid(tuple(map(float, 2 * spacing)), tuple(map(float, offset)), probability.shape[2:])
        context = resample_linear(probability[number, 1:], grid, fine.grid)
        if batch.lost[number]:
            context[:] = 0.0
        out.append(np.concatenate((fine.channels, context)))
    return np.stack(out)
