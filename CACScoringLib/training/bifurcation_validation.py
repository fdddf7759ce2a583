"""How well the network that says where the left main divides knows patients that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from CACScoringLib.networks.bifurcation import BifurcationUNet
from CACScoringLib.training.bifurcation_training import Crops, Surroundings, of_left_tree, plain_crop

AT_A_TIME = 2
"""Crops: torch takes a convolution of a single one of this size that needs several times as long."""


@dataclass(frozen=True)
class CrossEntropy:
    """Mean cross-entropy of LM, LAD and LCX over patients, in nats.

    Attributes
    ----------
    calcium : float
        Over the candidates that are calcium of the left tree, weighted as in training; nan where nobody has any.
    course : float
        Along the left arteries, calcified or not.
    by_protocol : dict of str to float
        ``calcium`` in each.
    patients, with_calcium : int
    """

    calcium: float
    course: float
    by_protocol: dict[str, float]
    patients: int
    with_calcium: int


def cross_entropy(network: BifurcationUNet, groups: Mapping[str, Sequence[Surroundings]]) -> CrossEntropy:
    """Ask a network about one crop of each patient, centred on the true left main, neither turned nor varied.

    Parameters
    ----------
    network : BifurcationUNet
        In evaluation mode.
    groups : dict of str to sequence of Surroundings
        By protocol.
    """
    rows = [(name, *row) for name, group in groups.items() for row in _rows(network, group)]
    calcium = np.array([row[1] for row in rows])
    return CrossEntropy(
        calcium=_mean(calcium),
        course=_mean(np.array([row[2] for row in rows])),
        by_protocol={name: _mean(np.array([row[1] for row in rows if row[0] == name])) for name in groups},
        patients=len(rows),
        with_calcium=int(np.isfinite(calcium).sum()),
    )


def _mean(values: np.ndarray) -> float:
    """Return the mean of what is known; nan where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _rows(network: BifurcationUNet, group: Sequence[Surroundings]) -> list[tuple[float, float]]:
    """Return both cross-entropies of each patient."""
    device = next(network.parameters()).device
    out = []
    for first in range(0, len(group), AT_A_TIME):
        crops = [plain_crop(one) for one in group[first : first + AT_A_TIME]]
        shown = np.stack([crop.channels for crop in crops])
        if len(shown) < AT_A_TIME:
            shown = np.repeat(shown, AT_A_TIME, axis=0)
        with torch.inference_mode():
            logits = network.left_vessels(torch.from_numpy(shown).to(device)).float().cpu()
        out += [_of_crop(said, crop) for said, crop in zip(logits, crops, strict=False)]
    return out


def _of_crop(logits: torch.Tensor, crop: Crops) -> tuple[float, float]:
    """Return the cross-entropy at calcium and along arteries of logits (3, z, y, x)."""
    said = logits.movedim(0, -1)
    label, weight, artery = (torch.from_numpy(a) for a in (crop.label, crop.weight, crop.artery))
    calcified, along = of_left_tree(label), of_left_tree(artery)
    calcium = course = float("nan")
    if calcified.any():
        each = functional.cross_entropy(said[calcified], label[calcified] - 1, reduction="none")
        calcium = float((each * weight[calcified]).sum() / weight[calcified].sum())
    if along.any():
        course = float(functional.cross_entropy(said[along], artery[along] - 1))
    return calcium, course
