from __future__ import annotations

import numpy as np
import pytest
import torch

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.grids import Grid
from CACScoringLib.networks.multibranch_unet import MultiBranchConfig, MultiBranchUNet
from CACScoringLib.phantom import PhantomOptions, synthesize
from CACScoringLib.training.arteries import ARTERY_REACH_MM, UNKNOWN, artery_map
from CACScoringLib.training.losses import artery_loss
from CACScoringLib.vocabulary import Vessel

CT = CTVolume(np.zeros((1, 1, 1), np.int16), (3.0, 0.5, 0.5), origin_mm=(-10.0, 20.0, 100.0))
FINE = Grid((2.0, 1.0, 1.0), (4.0, 0.0, 5.0), (20, 24, 28))


def test_a_straight_artery_is_a_tube_of_the_reach_round_its_centreline():
    line = np.array([[x, 32.0, 120.0] for x in np.arange(-4.0, 20.0)])
    drawn = artery_map({"RCA": line}, {"RCA": Vessel.RCA}, CT, FINE)
    z, y = np.indices(drawn.shape[:2])
    tube = np.hypot((z - 8) * 2.0, y - 12.0) <= ARTERY_REACH_MM
    np.testing.assert_array_equal(drawn[:, :, 10] == Vessel.RCA, tube)
    assert set(np.unique(drawn)) == {0, Vessel.RCA}


def test_between_two_arteries_the_nearer_centreline_decides():
    lines = {
        name: np.array([[x, y, 120.0] for x in np.arange(-5.0, 23.0)]) for name, y in (("LAD", 28.0), ("OM1", 34.0))
    }
    drawn = artery_map(lines, {"LAD": Vessel.LAD, "OM1": Vessel.LCX}, CT, FINE)
    assert drawn[8, :, 10].tolist() == [0] * 4 + [2] * 7 + [drawn[8, 11, 10]] + [3] * 7 + [0] * 5
    assert drawn[8, 11, 10] in (2, 3)


def test_an_artery_outside_the_grid_leaves_the_map_empty():
    assert not artery_map({"LM": np.array([[500.0, 0.0, 0.0]])}, {"LM": Vessel.LM}, CT, FINE).any()


def test_coronary_calcium_of_a_synthetic_patient_lies_in_its_own_artery():
    options = PhantomOptions(matrix=256, target_agatston=(900.0, 1000.0))
    patient = synthesize(seed=12, protocol="gated", options=options)
    grid = Grid(patient.ct.spacing_mm, (0.0, 0.0, 0.0), patient.ct.shape)
    drawn = artery_map(patient.vessel_tree, patient.branch_vessels, patient.ct, grid)
    coronary = (patient.labels >= 1) & (patient.labels <= 4)
    assert coronary.sum() > 50
    assert (drawn[coronary] == patient.labels[coronary]).mean() > 0.8
    assert (drawn > 0).mean() < 0.02
    assert patient.branch_vessels["LAD"] == Vessel.LAD
    assert {patient.branch_vessels[name] for name in patient.vessel_tree if name.startswith("OM")} == {Vessel.LCX}


def test_what_nobody_said_is_left_out_of_the_loss():
    logits = torch.randn(2, 5, 4, 4, 4, requires_grad=True)
    target = torch.randint(0, 5, (2, 4, 4, 4))
    known = artery_loss(logits[:1], target[:1]).item()
    target[1] = UNKNOWN
    loss = artery_loss(logits, target)
    assert loss.item() == pytest.approx(known, rel=1e-5)
    loss.backward()
    assert logits.grad[1].abs().max() == 0 < logits.grad[0].abs().max()
    nothing = artery_loss(logits, torch.full_like(target, UNKNOWN))
    assert nothing.item() == 0.0


def test_right_arteries_cost_nothing():
    target = torch.randint(0, 5, (1, 4, 4, 4))
    logits = torch.nn.functional.one_hot(target, 5).permute(0, 4, 1, 2, 3).float() * 40
    assert artery_loss(logits, target).item() < 1e-3
    assert artery_loss(-logits, target).item() > 1


def test_calcium_does_not_train_the_artery_branch_but_hears_it():
    torch.manual_seed(0)
    network = MultiBranchUNet(MultiBranchConfig(channels=(4, 4, 4, 4)))
    x = torch.randn(1, network.config.in_channels, 32, 32, 32)
    index = torch.tensor([[0, 3, 4, 5]])
    rows = network.at_voxels(x, index)
    rows["calcium"].sum().backward()
    assert all(p.grad is None for p in network.artery.parameters())
    assert network.level0.conv.unit0.conv.weight.grad.abs().max() > 0
    with torch.no_grad():
        network.artery[2].bias += torch.tensor([5.0, 0, 0, 0, 0])
    assert not torch.allclose(network.at_voxels(x, index)["calcium"], rows["calcium"])
    dense = network(x)
    torch.testing.assert_close(dense["calcium"][0, :, 3, 4, 5], network.at_voxels(x, index)["calcium"][0])
