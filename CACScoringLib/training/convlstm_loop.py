"""The training loop of the convolutional LSTM: resumable, seeded, with an averaged model, as in ``loop.py``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from CACScoringLib.inference.sequence import PLANE
from CACScoringLib.models import ModelBundle, load_weights
from CACScoringLib.networks.convlstm import MASK_CLASSES, VESSEL_CLASSES, ConvLSTMConfig, ConvLSTMNet
from CACScoringLib.training.convlstm_cases import SequenceCase
from CACScoringLib.training.convlstm_sampling import HeartError, Sequence, draw_sequence
from CACScoringLib.training.losses import balanced_cross_entropy
from CACScoringLib.training.trainer import ResumableTrainer
from CACScoringLib.vocabulary import NonCoronary, Vessel

CORONARY_MASK, NON_CORONARY_MASK = 1, 2
"""Classes of the branch ``mask``; 0 is neither."""
LARGEST_GRADIENT = 2.0


@dataclass(frozen=True)
class ConvLSTMSettings:
    """Everything that decides a run, besides the cases.

    Attributes
    ----------
    slices_per_step : int
        Slices of all sequences of a step together ...
    lengths : tuple of int
        ... of which one is drawn for every step: short sequences of many patients, or nearly a whole heart.
    plane : int
        Pixels along a side.
    """

    steps: int = 3000
    slices_per_step: int = 48
    lengths: tuple[int, ...] = (12, 16, 24, 48)
    plane: int = PLANE
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    averaging: float = 0.998
    vessel_weight: float = 0.5
    lost_heart: float = 0.08
    heart_shift_mm: float = 2.5
    seed: int = 20260
    checkpoint_every: int = 50
    device: str = "cpu"


class ConvLSTMTrainer(ResumableTrainer):
    """Trains the network; holds the network, its average and the optimiser.

    Parameters
    ----------
    cases : sequence of SequenceCase
    groups : list of list of int
        Indices of cases by protocol; every group is drawn equally often.
    settings : ConvLSTMSettings
    folder : Path
        Where checkpoint and log go.
    start : ModelBundle, optional
        Weights and network to go on from; random weights without.
    config : ConvLSTMConfig, optional
        Shape of a new network.
    """

    def __init__(
        self,
        cases: list[SequenceCase],
        groups: list[list[int]],
        settings: ConvLSTMSettings,
        folder: Path,
        start: ModelBundle | None = None,
        config: ConvLSTMConfig | None = None,
    ):
        self.cases, self.groups = cases, groups
        torch.manual_seed(settings.seed)
        network = starting_network(start, config).to(settings.device, memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        super().__init__(network, optimizer, settings, folder)

    def batch(self, step: int) -> list[Sequence]:
        """Draw the sequences of a step; the step number and the seed decide them."""
        s = self.settings
        rng = np.random.default_rng([s.seed, step])
        length = int(rng.choice(s.lengths))
        error = HeartError(s.heart_shift_mm, s.lost_heart)
        out = []
        for _ in range(max(s.slices_per_step // length, 1)):
            group = self.groups[rng.integers(len(self.groups))]
            out.append(draw_sequence(self.cases[group[rng.integers(len(group))]], length, rng, error, s.plane))
        return out

    def train(self, batch: list[Sequence]) -> dict[str, float]:
        """Take one step and return its losses."""
        s, device = self.settings, self.settings.device
        self.set_rate()
        self.optimizer.zero_grad(set_to_none=True)
        x, index, label, weight = (part.to(device) for part in tensors_of(batch))
        mask, vessel = sequence_losses(self.network.at_pixels(x, index), label, weight)
        (mask + s.vessel_weight * vessel).backward()
        self.update(LARGEST_GRADIENT)
        return {"mask": float(mask.detach()), "vessel": float(vessel.detach())}


def starting_network(start: ModelBundle | None, config: ConvLSTMConfig | None = None) -> ConvLSTMNet:
    """Return a new network, or that of a bundle with its weights."""
    if start is None:
        return ConvLSTMNet(config)
    network = ConvLSTMNet(ConvLSTMConfig.from_dict(start.settings["network"]))
    network.load_state_dict(load_weights(start))
    return network


def tensors_of(batch: list[Sequence]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Stack sequences of one length.

    Returns
    -------
    x : Tensor of float32, shape (N, T, C, y, x)
    index : Tensor of int64, shape (n, 4)
        (sequence, slice, y, x).
    label : Tensor of int64, shape (n,)
    weight : Tensor of float32, shape (n,)
    """
    x = np.stack([np.ascontiguousarray(sequence.channels.swapaxes(0, 1)) for sequence in batch])
    index = [np.column_stack((np.full(len(q.index), n), q.index)) for n, q in enumerate(batch)]
    return (
        torch.from_numpy(x),
        torch.from_numpy(np.concatenate(index).astype(np.int64)),
        torch.from_numpy(np.concatenate([q.label for q in batch]).astype(np.int64)),
        torch.from_numpy(np.concatenate([q.weight for q in batch])),
    )


def sequence_losses(
    rows: dict[str, torch.Tensor], label: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of the masks at candidate pixels, and that of the vessel where the truth is coronary.

    Parameters
    ----------
    rows : dict of Tensor
        Logits of ``mask`` (n, 3) and ``vessel`` (n, 4).
    label : Tensor of int64, shape (n,)
        Values of the vocabulary.
    weight : Tensor, shape (n,)
    """
    coronary = (label >= int(Vessel.LM)) & (label <= int(Vessel.RCA))
    other = label >= int(NonCoronary.AORTA)
    target = coronary * CORONARY_MASK + other * NON_CORONARY_MASK
    mask = balanced_cross_entropy(rows["mask"], target, weight, MASK_CLASSES)
    vessel = balanced_cross_entropy(
        rows["vessel"][coronary], label[coronary] - int(Vessel.LM), weight[coronary], VESSEL_CLASSES
    )
    return mask, vessel
