"""Losses of the multi-branch network."""

from __future__ import annotations

import torch
from torch.nn import functional

from CACScoringLib.training.arteries import UNKNOWN
from CACScoringLib.training.labels import LEFT_MAIN_OR_LAD, NOT_CORONARY
from CACScoringLib.vocabulary import Vessel

NON_CORONARY_FIRST = 10
"""Vocabulary labels 11..14 are classes 1..4 of the non-coronary branch."""
BALANCE = 0.3
BALANCE_LIMITS = (0.02, 20.0)


def balanced_cross_entropy(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, classes: int
) -> torch.Tensor:
    """Weighted cross-entropy over rows, rarer classes counting more.

    Each class's weight is scaled by (mean class weight / its weight)^0.3, within limits: rare vessels are
    heard among thousands of noise islands, yet the prior of the data is not turned upside down.

    Parameters
    ----------
    logits : Tensor, shape (n, classes)
    target : Tensor of int64, shape (n,)
    weight : Tensor, shape (n,)
    """
    if not len(target):
        return logits.sum() * 0.0
    total = torch.zeros(classes, device=logits.device).index_add_(0, target, weight)
    present = total > 0
    factor = torch.where(present, (total[present].mean() / total.clamp_min(1e-6)).pow(BALANCE), torch.ones_like(total))
    rows = weight * factor.clamp(*BALANCE_LIMITS)[target]
    loss = functional.cross_entropy(logits, target, reduction="none")
    return (loss * rows).sum() / rows.sum().clamp_min(1e-6)


def candidate_losses(
    rows: dict[str, torch.Tensor], label: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the calcium and the non-coronary loss at candidate voxels.

    Parameters
    ----------
    rows : dict of Tensor, shape (n, 5)
        Logits of the branches ``calcium`` and ``non_coronary``.
    label : Tensor of int64, shape (n,)
        Vocabulary labels, ``LEFT_MAIN_OR_LAD`` or ``NOT_CORONARY``.
    weight : Tensor, shape (n,)
    """
    either = label == LEFT_MAIN_OR_LAD
    label_or_lad = torch.where(either, torch.full_like(label, int(Vessel.LAD)), label)
    vessel = torch.where(label_or_lad <= 4, label_or_lad, torch.zeros_like(label))
    other = (label - NON_CORONARY_FIRST).clamp_min(0)
    not_coronary = (vessel == 0) & (label != NOT_CORONARY)
    calcium = balanced_cross_entropy(join_left_main(rows["calcium"], either), vessel, weight, 5)
    non_coronary = balanced_cross_entropy(
        rows["non_coronary"][not_coronary], other[not_coronary], weight[not_coronary], 5
    )
    return calcium, non_coronary


def join_left_main(logits: torch.Tensor, either: torch.Tensor) -> torch.Tensor:
    """Return logits in which, for chosen rows, LAD stands for LM or LAD and LM for nothing.

    The cross-entropy of such a row with the target LAD is -ln(p(LM) + p(LAD)).

    Parameters
    ----------
    logits : Tensor, shape (n, 5)
    either : Tensor of bool, shape (n,)
    """
    if not bool(either.any()):
        return logits
    joined = logits.clone()
    joined[either, Vessel.LAD] = torch.logaddexp(logits[either, Vessel.LM], logits[either, Vessel.LAD])
    joined[either, Vessel.LM] = torch.finfo(logits.dtype).min / 2
    return joined


def structure_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus soft Dice over the structures that are present.

    Parameters
    ----------
    logits : Tensor, shape (n, classes, z, y, x)
    target : Tensor of int64, shape (n, z, y, x)
    """
    entropy = functional.cross_entropy(logits, target)
    probability = torch.softmax(logits, dim=1)
    onehot = functional.one_hot(target, logits.shape[1]).permute(0, 4, 1, 2, 3).to(probability.dtype)
    axes = (0, 2, 3, 4)
    overlap = (probability * onehot).sum(axes)
    size = probability.sum(axes) + onehot.sum(axes)
    dice = (2 * overlap + 1.0) / (size + 1.0)
    present = onehot.sum(axes) > 0
    present[0] = False
    return entropy + (1 - dice[present]).mean() if present.any() else entropy


def artery_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus soft Dice over the arteries that are present; ``arteries.UNKNOWN`` is left out.

    Parameters
    ----------
    logits : Tensor, shape (n, 5, z, y, x)
    target : Tensor of int64, shape (n, z, y, x)
    """
    known = target != UNKNOWN
    if not bool(known.any()):
        return logits.sum() * 0.0
    rows, truth = logits.movedim(1, -1)[known], target[known]
    entropy = functional.cross_entropy(rows, truth)
    probability = torch.softmax(rows, dim=1)
    onehot = functional.one_hot(truth, logits.shape[1]).to(probability.dtype)
    size = probability.sum(0) + onehot.sum(0)
    dice = (2 * (probability * onehot).sum(0) + 1.0) / (size + 1.0)
    present = onehot.sum(0) > 0
    present[0] = False
    return entropy + (1 - dice[present]).mean() if present.any() else entropy
