"""The training loop of the multi-branch network: resumable, seeded, with an averaged model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from CACScoringLib.inference.grids import Grid, resample_linear
from CACScoringLib.methods.multibranch_model import whole_heart_network
from CACScoringLib.models import ModelBundle, load_weights
from CACScoringLib.networks.multibranch_unet import MultiBranchConfig, MultiBranchUNet
from CACScoringLib.training.cases import TrainingCase
from CACScoringLib.training.labels import LEFT_MAIN_OR_LAD
from CACScoringLib.training.losses import artery_loss, candidate_losses, structure_loss
from CACScoringLib.training.mining import HardExamples
from CACScoringLib.training.sampling import CoarsePatch, FinePatch, coarse_patch, fine_patch
from CACScoringLib.training.trainer import ResumableTrainer
from CACScoringLib.vocabulary import Vessel

LARGEST_GRADIENT = 2.0


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides a run, besides the cases.

    Attributes
    ----------
    structure_weight, artery_weight, non_coronary_weight : float
        Of the losses, against that of the calcium branch.
    lost_context, context_shift_mm : float
        How often the fine pass gets no structures, and how far off they are.
    hard_share : float
        Share of fine patches round what the network got wrong before.
    balanced : bool
        Vessels and mimics are shown about equally often, the left main and the aorta more; else as they come.
    varied : bool
        Brightness, contrast, sharpness and noise are varied, and where coarse patches lie.
    """

    steps: int = 2400
    patients_per_step: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    averaging: float = 0.998
    structure_weight: float = 0.5
    artery_weight: float = 0.5
    non_coronary_weight: float = 0.4
    lost_context: float = 0.08
    context_shift_mm: float = 5.0
    hard_share: float = 0.0
    balanced: bool = True
    varied: bool = True
    seed: int = 20260
    checkpoint_every: int = 50
    device: str = "cpu"


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches of a few patients, in the same order; ``cases`` says whose."""

    cases: list[int]
    coarse: list[CoarsePatch]
    fine: list[FinePatch]
    shift_mm: np.ndarray
    lost: np.ndarray
    offset: np.ndarray


class Trainer(ResumableTrainer):
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
        self.cases, self.groups = cases, groups
        torch.manual_seed(settings.seed)
        network = starting_network(start).to(settings.device, memory_format=torch.channels_last_3d)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        super().__init__(network, optimizer, settings, folder)
        self.hard = HardExamples(cases)
        self._seen: list[tuple[int, np.ndarray, np.ndarray]] = []

    def batch(self, step: int) -> Batch:
        """Draw the patches of a step; the step number and the seed decide them."""
        s = self.settings
        rng = np.random.default_rng([s.seed, step])
        chosen = []
        for _ in range(s.patients_per_step):
            group = self.groups[rng.integers(len(self.groups))]
            chosen.append(int(group[rng.integers(len(group))]))
        about = [self.hard.draw(n, rng) if s.hard_share and rng.random() < s.hard_share else None for n in chosen]
        return Batch(
            cases=chosen,
            coarse=[coarse_patch(self.cases[n], rng, s.varied) for n in chosen],
            fine=[
                fine_patch(self.cases[n], rng, s.varied, cell, s.balanced)
                for n, cell in zip(chosen, about, strict=True)
            ],
            shift_mm=rng.normal(0, s.context_shift_mm / 2, (len(chosen), 3)),
            lost=rng.random(len(chosen)) < s.lost_context,
            offset=rng.integers(0, 2, 3),
        )

    def train(self, batch: Batch) -> dict[str, float]:
        """Take one step and return its losses."""
        s, device = self.settings, self.settings.device
        self.set_rate()
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
        if s.hard_share:
            self._seen = costs(batch, here, label, rows["calcium"])
        truth = np.stack([p.structures for p in batch.fine])
        fine_loss, _ = self._structure_step(features, truth, batch.offset)
        arteries = self._half(np.stack([p.arteries for p in batch.fine]), batch.offset)
        artery = artery_loss(self.network.artery(features), arteries)
        total = calcium + s.non_coronary_weight * other + s.structure_weight * fine_loss + s.artery_weight * artery
        total.backward()
        self.update(LARGEST_GRADIENT)
        names = ("calcium", "non_coronary", "artery", "structure_fine", "structure_coarse")
        values = (calcium, other, artery, fine_loss, coarse_loss)
        return {name: float(value.detach()) for name, value in zip(names, values, strict=True)}

    def before_drawing(self) -> None:
        """Take in what the last step cost."""
        for case, cells, loss in self._seen:
            self.hard.learn(case, cells, loss)
        self._seen = []

    def _structure_step(
        self, features: torch.Tensor, truth: np.ndarray, offset: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return loss and logits of the structure branch at half resolution."""
        logits = self.network.structure(features)
        return structure_loss(logits, self._half(truth, offset)), logits

    def _half(self, truth: np.ndarray, offset: np.ndarray) -> torch.Tensor:
        """Return truth at half resolution: that of one voxel of each 2x2x2 block, drawn anew every step."""
        z, y, x = offset
        return torch.from_numpy(np.ascontiguousarray(truth[:, z::2, y::2, x::2])).long().to(self.settings.device)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.settings.device, memory_format=torch.channels_last_3d)

    def extra_state(self) -> dict[str, Any]:
        """Return what is known of hard examples, where they are drawn."""
        if not self.settings.hard_share:
            return {}
        seen = [(n, torch.from_numpy(cells), torch.from_numpy(loss)) for n, cells, loss in self._seen]
        return {"hard": [torch.from_numpy(loss) for loss in self.hard.loss], "seen": seen}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take up what was known of hard examples."""
        self.hard.restore([loss.numpy() for loss in state.get("hard", [])])
        self._seen = [(n, cells.numpy(), loss.numpy()) for n, cells, loss in state.get("seen", [])]


def starting_network(start: ModelBundle | None) -> MultiBranchUNet:
    """Return a new network, or that of a bundle with its weights."""
    if start is None:
        return MultiBranchUNet(MultiBranchConfig())
    return whole_heart_network(start, load_weights(start))


def costs(
    batch: Batch, here: np.ndarray, label: np.ndarray, logits: torch.Tensor
) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Return what the candidates of each patch cost: (case, cells, -ln(probability of the truth)).

    Parameters
    ----------
    here : ndarray of int, shape (n, 4)
        (patch, z, y, x) of each row.
    label : ndarray of int, shape (n,)
    logits : Tensor, shape (n, 5)
        Of the calcium branch.
    """
    chance = torch.softmax(logits.detach(), dim=1).cpu().numpy()
    target = np.where(label <= 4, label, 0)
    right = chance[np.arange(len(label)), target]
    either = label == LEFT_MAIN_OR_LAD
    right[either] = chance[either, Vessel.LM] + chance[either, Vessel.LAD]
    loss = np.zeros(batch.fine[0].label.shape, np.float32)
    out = []
    for number, (case, patch) in enumerate(zip(batch.cases, batch.fine, strict=True)):
        mine = here[:, 0] == number
        loss[:] = 0.0
        loss[tuple(here[mine, 1:].T)] = -np.log(np.maximum(right[mine], 1e-6))
        out.append((case, patch.cells, loss[tuple(patch.place.T)]))
    return out


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
