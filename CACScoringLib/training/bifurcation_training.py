"""Train the network that says where the left main divides, on the surroundings of the left main of training cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from CACScoringLib.inference.bifurcation import CROP_SHAPE
from CACScoringLib.inference.grids import AIR_HU, FINE_SPACING_MM
from CACScoringLib.inference.inputs import hu_channels
from CACScoringLib.networks.bifurcation import BifurcationConfig, BifurcationUNet
from CACScoringLib.training.arteries import UNKNOWN
from CACScoringLib.training.cases import TrainingCase
from CACScoringLib.training.instance_norm import for_training
from CACScoringLib.training.run_request import TrainingRequest
from CACScoringLib.training.sampling import LEAST_WEIGHT, SCORING_MM3, crop, vary_brightness
from CACScoringLib.training.stored_arrays import StoredArrays
from CACScoringLib.training.trainer import ResumableTrainer
from CACScoringLib.vocabulary import Vessel

HALF = np.array([26, 44, 44])
"""Half the sides of what is kept round the middle of the left main: a crop with room to be moved and turned."""
NEAR_MM = 22.0
"""Calcium of the left tree within this distance of the middle of the left main may be what a crop is about."""
ON_CALCIUM_SHARE, ON_CALCIUM_PULL = 0.6, 0.6
"""How often a crop is about such calcium, and how far its middle then moves there."""
JITTER_MM = 5.0
TURN_DEG = (7.0, 5.0, 5.0)
STRETCH = 0.06
NOISE_HU, NOISE_SHARE = 20.0, 0.6
GATED_SHARE = 2.0
"""How often gated patients are drawn against those of each other protocol: what ships was trained so."""
COURSE_WEIGHT = 0.5
COURSE_CLASS_WEIGHTS = (0.2, 3.0, 1.0, 1.0, 1.0)
LARGEST_GRADIENT = 5.0


@dataclass(frozen=True)
class BifurcationSettings:
    """Everything that decides a run, besides the cases."""

    steps: int
    patients_per_step: int = 6
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    warmup_steps: int = 200
    averaging: float = 0.995
    seed: int = 20260
    checkpoint_every: int = 250
    device: str = "cpu"
    mixed_precision: bool = False
    """Convolutions in bfloat16: on CPUs that have it a step takes a quarter less time."""


@dataclass(frozen=True, eq=False)
class Surroundings(StoredArrays):
    """What lies round the left main of a case, on its fine grid.

    Attributes
    ----------
    hu : ndarray of int16; artery : ndarray of uint8, shape (52, 88, 88)
    cell : ndarray of int, shape (m, 3)
        Places that hold a candidate.
    peak, fraction, size, weight : ndarray of float32, shape (m,); label : ndarray of uint8, shape (m,)
        As in ``TrainingCase``; specks weigh less.
    middle : ndarray of float64, shape (3,)
        Of the left main.
    """

    hu: np.ndarray
    artery: np.ndarray
    cell: np.ndarray
    peak: np.ndarray
    fraction: np.ndarray
    size: np.ndarray
    weight: np.ndarray
    label: np.ndarray
    middle: np.ndarray


@dataclass(frozen=True, eq=False)
class Crops:
    """A batch: ``channels`` (n, 4, z, y, x) and ``label``, ``weight``, ``artery`` (n, z, y, x)."""

    channels: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    artery: np.ndarray


def surroundings_of(case: TrainingCase) -> Surroundings | None:
    """Cut what lies round the left main of a case; None where nobody said where it runs."""
    left_main = np.argwhere(case.fine_arteries == int(Vessel.LM))
    if not len(left_main):
        return None
    low = np.rint(left_main.mean(axis=0)).astype(int) - HALF
    cell = case.cell - low
    shape = tuple(int(n) for n in 2 * HALF)
    inside = ((cell >= 0) & (cell < shape)).all(axis=1)
    scores = np.clip(case.size[inside] / SCORING_MM3, LEAST_WEIGHT, 1.0)
    return Surroundings(
        hu=crop(case.fine_hu, low, AIR_HU, shape),
        artery=crop(case.fine_arteries, low, UNKNOWN, shape),
        cell=cell[inside],
        peak=case.peak[inside],
        fraction=case.fraction[inside],
        size=case.size[inside],
        weight=case.weight[inside] * scores,
        label=case.label[inside],
        middle=left_main.mean(axis=0) - low,
    )


def draw_crop(around: Surroundings, rng: np.random.Generator) -> Crops:
    """Draw one crop, moved, turned and stretched, its HU varied; arrays without the axis of the batch."""
    spacing, shape = np.asarray(FINE_SPACING_MM), np.asarray(around.hu.shape)
    middle = _middle(around, rng) + rng.normal(0.0, JITTER_MM, 3) / spacing
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(CROP_SHAPE, spacing, strict=True)]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    at = offsets @ _turned(rng).T / spacing + middle
    where = torch.from_numpy((at / (shape - 1) * 2.0 - 1.0)[..., ::-1].astype(np.float32).copy())[None]
    maps = _maps(around)
    options = {"padding_mode": "border", "align_corners": True}
    hu = torch.from_numpy(around.hu.astype(np.float32))[None, None]
    hu = functional.grid_sample(hu, where, mode="bilinear", **options)[0, 0].numpy()
    peak, fraction, size, label, weight, artery = functional.grid_sample(
        torch.from_numpy(maps)[None], where, mode="nearest", **options
    )[0].numpy()
    if rng.random() < NOISE_SHARE:
        hu = hu + rng.standard_normal(hu.shape, dtype=np.float32) * np.float32(rng.uniform(0, NOISE_HU))
    hu = vary_brightness(hu, rng)
    peak = peak * np.float32(rng.uniform(0.93, 1.07))
    channels = hu_channels(hu, {"peak": peak, "fraction": fraction, "size": size})
    return Crops(channels, label.astype(np.int64), weight, artery.astype(np.int64))


def plain_crop(around: Surroundings) -> Crops:
    """Cut the crop round the true left main, neither turned nor varied; arrays without the axis of the batch."""
    low = np.rint(around.middle - (np.asarray(CROP_SHAPE) - 1) / 2).astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(low, CROP_SHAPE, strict=True))
    peak, fraction, size, label, weight, artery = (values[box] for values in _maps(around))
    channels = hu_channels(around.hu[box].astype(np.float32), {"peak": peak, "fraction": fraction, "size": size})
    return Crops(channels, label.astype(np.int64), weight, artery.astype(np.int64))


def _maps(around: Surroundings) -> np.ndarray:
    """Return peak, fraction, size, label, weight and artery as one array: float32 (6, z, y, x)."""
    maps = np.zeros((6, *around.hu.shape), np.float32)
    place = tuple(around.cell.T)
    for number, values in enumerate((around.peak, around.fraction, around.size, around.label, around.weight)):
        maps[(number, *place)] = values
    maps[5] = around.artery
    return maps


def _middle(around: Surroundings, rng: np.random.Generator) -> np.ndarray:
    """Return what a crop is about: the left main, or calcium of the left tree near it."""
    away = np.linalg.norm((around.cell - around.middle) * np.asarray(FINE_SPACING_MM), axis=1)
    near = around.cell[of_left_tree(around.label) & (away < NEAR_MM)]
    if len(near) and rng.random() < ON_CALCIUM_SHARE:
        return around.middle + ON_CALCIUM_PULL * (near[rng.integers(len(near))] - around.middle)
    return around.middle


def of_left_tree(label: Any) -> Any:
    """Say where labels are LM, LAD or LCX; an array or a tensor."""
    return (label >= int(Vessel.LM)) & (label <= int(Vessel.LCX))


def _turned(rng: np.random.Generator) -> np.ndarray:
    """Return a small random rotation and stretch: (3, 3)."""
    out = np.eye(3)
    for axis, spread in enumerate(TURN_DEG):
        angle = np.deg2rad(rng.normal(0.0, spread))
        i, j = (k for k in range(3) if k != axis)
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        out = turn @ out
    return out * np.exp(rng.normal(0.0, STRETCH, 3))


class BifurcationTrainer(ResumableTrainer):
    """Trains the network; gated patients are drawn more often than others.

    Parameters
    ----------
    groups : dict of str to list of Surroundings
        By protocol.
    settings : BifurcationSettings
    folder : Path
        Where checkpoint and log go.
    start : dict of str to Tensor, optional
        Weights to go on from; random ones without.
    """

    def __init__(
        self,
        groups: Mapping[str, list[Surroundings]],
        settings: BifurcationSettings,
        folder: Path,
        start: Mapping[str, torch.Tensor] | None = None,
    ):
        self.groups = list(groups.values())
        often = np.array([GATED_SHARE if name == "gated" else 1.0 for name in groups])
        self.shares = often / often.sum()
        torch.manual_seed(settings.seed)
        network = for_training(BifurcationUNet(BifurcationConfig()))
        if start is not None:
            network.load_state_dict(start)
        network = network.to(settings.device, memory_format=torch.channels_last_3d)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        super().__init__(network, optimizer, settings, folder)

    def batch(self, step: int) -> Crops:
        """Draw the crops of a step; the step number and the seed decide them."""
        rng = np.random.default_rng([self.settings.seed, step])
        drawn = []
        for _ in range(self.settings.patients_per_step):
            group = self.groups[rng.choice(len(self.groups), p=self.shares)]
            drawn.append(draw_crop(group[rng.integers(len(group))], rng))
        parts = ("channels", "label", "weight", "artery")
        return Crops(*(np.stack([getattr(one, part) for one in drawn]) for part in parts))

    def train(self, batch: Crops) -> dict[str, float]:
        """Take one step and return its losses."""
        device, mixed = self.settings.device, self.settings.mixed_precision
        self.set_rate()
        self.optimizer.zero_grad(set_to_none=True)
        channels = torch.from_numpy(batch.channels).to(device, memory_format=torch.channels_last_3d)
        label, weight, artery = (torch.from_numpy(a).to(device) for a in (batch.label, batch.weight, batch.artery))
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=mixed):
            logits = self.network(channels)
        losses = bifurcation_losses({head: said.float() for head, said in logits.items()}, label, weight, artery)
        (losses["vessel"] + losses["calcium"] + COURSE_WEIGHT * losses["course"]).backward()
        self.update(LARGEST_GRADIENT)
        return {name: float(loss.detach()) for name, loss in losses.items()}


def bifurcation_losses(
    logits: dict[str, torch.Tensor], label: torch.Tensor, weight: torch.Tensor, artery: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return the losses: ``vessel`` along the left arteries, ``calcium`` at their calcium, ``course`` everywhere.

    Parameters
    ----------
    logits : dict of Tensor
        Of ``BifurcationUNet``.
    label, weight, artery : Tensor, shape (n, z, y, x)
        True labels of candidates and how much they count; the vessel near whose centreline a place lies.
    """
    vessel = logits["vessel"].movedim(1, -1)
    along, calcified = of_left_tree(artery), of_left_tree(label)
    nothing = logits["vessel"].sum() * 0.0
    out = {"vessel": nothing, "calcium": nothing, "course": nothing}
    if along.any():
        out["vessel"] = functional.cross_entropy(vessel[along], artery[along] - 1)
    if calcified.any():
        each = functional.cross_entropy(vessel[calcified], label[calcified] - 1, reduction="none")
        counts = weight[calcified]
        out["calcium"] = (each * counts).sum() / counts.sum().clamp_min(1e-6)
    known = artery != UNKNOWN
    if known.any():
        classes = torch.tensor(COURSE_CLASS_WEIGHTS, device=artery.device)
        out["course"] = functional.cross_entropy(logits["artery"].movedim(1, -1)[known], artery[known], weight=classes)
    return out


def train_bifurcation(
    request: TrainingRequest,
    cases: Sequence[TrainingCase],
    groups: Mapping[str, Sequence[int]],
    steps: int,
    *,
    mixed_precision: bool = False,
) -> BifurcationTrainer | None:
    """Train on the cases that say where the left main runs; None where none does.

    Parameters
    ----------
    request : TrainingRequest
    cases : sequence of TrainingCase
    groups : dict of str to sequence of int
        Indices of cases by protocol.
    steps : int
    mixed_precision : bool
        As in ``BifurcationSettings``.
    """
    around = {name: [surroundings_of(cases[n]) for n in group] for name, group in groups.items()}
    known = {name: [one for one in group if one is not None] for name, group in around.items()}
    known = {name: group for name, group in known.items() if group}
    if not known:
        return None
    settings = BifurcationSettings(
        steps=steps, seed=request.seed, device=request.device, mixed_precision=mixed_precision
    )
    trainer = BifurcationTrainer(known, settings, request.output / "bifurcation")
    if request.resume:
        trainer.resume()
    trainer.run(lambda step, losses: request.report(f"Left main (calcium {losses['calcium']:.3f})", step, steps))
    return trainer
