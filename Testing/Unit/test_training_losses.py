from __future__ import annotations

import math

import pytest
import torch

from CACScoringLib.training.losses import BALANCE, balanced_cross_entropy, candidate_losses, structure_loss


def test_cross_entropy_of_a_single_class_is_the_weighted_mean():
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    target = torch.tensor([0, 0])
    weight = torch.tensor([3.0, 1.0])
    right, wrong = torch.log1p(torch.exp(torch.tensor(-2.0))), torch.log1p(torch.exp(torch.tensor(2.0)))
    expected = (3 * right + wrong) / 4
    assert balanced_cross_entropy(logits, target, weight, 2) == pytest.approx(float(expected), rel=1e-5)


def test_a_rare_class_counts_more_than_its_share():
    logits = torch.zeros(101, 2)
    logits[:100, 0] = 4.0
    logits[100, 0] = 4.0
    target = torch.zeros(101, dtype=torch.long)
    target[100] = 1
    easy, hard = math.log1p(math.exp(-4)), 4 + math.log1p(math.exp(-4))
    common, rare = 100 * (50.5 / 100) ** BALANCE, 50.5**BALANCE
    expected = (common * easy + rare * hard) / (common + rare)
    assert balanced_cross_entropy(logits, target, torch.ones(101), 2).item() == pytest.approx(expected, rel=1e-5)
    assert expected > 2 * torch.nn.functional.cross_entropy(logits, target).item()


def test_the_non_coronary_branch_learns_from_what_is_not_coronary():
    rows = {name: torch.randn(3, 5, requires_grad=True) for name in ("calcium", "non_coronary")}
    calcium, other = candidate_losses(rows, torch.tensor([3, 12, 0]), torch.ones(3))
    (calcium + other).backward()
    assert (rows["calcium"].grad.abs().sum(1) > 0).tolist() == [True, True, True]
    assert (rows["non_coronary"].grad.abs().sum(1) > 0).tolist() == [False, True, True]
    assert rows["non_coronary"].grad[1].argmin() == 2
    assert rows["calcium"].grad[1].argmin() == 0


def test_no_candidates_is_no_loss():
    rows = {name: torch.zeros(0, 5, requires_grad=True) for name in ("calcium", "non_coronary")}
    losses = candidate_losses(rows, torch.zeros(0, dtype=torch.long), torch.zeros(0))
    assert [v.item() for v in losses] == [0.0, 0.0]


def test_a_perfect_segmentation_costs_nothing():
    target = torch.randint(0, 3, (1, 4, 4, 4))
    logits = torch.nn.functional.one_hot(target, 3).permute(0, 4, 1, 2, 3).float() * 40
    assert float(structure_loss(logits, target)) < 1e-3
    assert float(structure_loss(-logits, target)) > 1
