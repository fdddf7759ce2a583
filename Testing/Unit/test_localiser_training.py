from __future__ import annotations

import numpy as np
import pytest
import torch

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.methods.score_prediction import HeartBox, compare_boxes
from CACScoringLib.methods.slice_regression import axis_slices, find_heart_box
from CACScoringLib.networks.axis_localiser import AxisLocaliser, AxisLocalisers, LocaliserConfig
from CACScoringLib.training.localiser import LocaliserTrainer, train_localisers
from CACScoringLib.training.slice_regression_cases import make_slice_case
from CACScoringLib.training.slice_regression_loop import SliceTrainingSettings

TINY = LocaliserConfig(channels=(4, 6), dense=4)


def a_patient():
    """A ball of a heart in a box of a body."""
    hu = np.full((24, 60, 60), -1000, np.int16)
    hu[:, 4:56, 4:56] = -90
    z, y, x = np.ogrid[:24, :60, :60]
    ball = ((z - 12) * 4.0) ** 2 + ((y - 30) * 2.0) ** 2 + ((x - 30) * 2.0) ** 2 < 30**2
    hu[ball] = 250
    return CTVolume(hu, (4.0, 2.0, 2.0)), np.zeros(hu.shape, np.uint8), ball.astype(np.uint8)


@pytest.fixture(scope="module")
def a_case():
    return make_slice_case(*a_patient(), size=64, field=64)


def test_the_true_box_is_the_hearts_on_the_coarse_grid(a_case):
    np.testing.assert_allclose(a_case.box.low_mm, (18, 30, 30), atol=4)
    np.testing.assert_allclose(a_case.box.high_mm, (78, 90, 90), atol=4)
    for axis, present in a_case.presence.items():
        assert present.shape[0] == a_case.coarse_hu.shape["zyx".index(axis)]
        assert present.sum() * 4.0 == pytest.approx(a_case.box.size_mm["zyx".index(axis)])


def test_slices_along_an_axis_are_padded_to_what_the_network_can_halve():
    hu = np.full((3, 5, 7), 40.0, np.float32)
    slices = axis_slices(hu, "y", 4)
    assert slices.shape == (5, 4, 8)
    np.testing.assert_allclose(slices[:, :3, :7], 0.48)
    assert slices[:, 3:].max() == slices[:, :, 7:].max() == 0


def test_padding_does_not_change_what_is_seen():
    torch.manual_seed(0)
    network = AxisLocaliser(TINY).eval()
    with torch.no_grad():
        x = torch.rand(2, 1, 16, 16) + torch.tensor(1.0)
        wide = torch.zeros(2, 1, 32, 32)
        wide[:, :, :16, :16] = x
        maps = network.body(wide)
        assert maps.shape[2:] == (8, 8)
        torch.testing.assert_close(maps[:, :, :3, :3], network.body(x)[:, :, :3, :3])


def test_the_three_networks_share_nothing():
    network = AxisLocalisers(TINY)
    network({axis: torch.rand(2, 1, 16, 16) for axis in "zyx"})["z"].sum().backward()
    assert all(p.grad is not None for p in network.axes["z"].parameters())
    assert all(p.grad is None for p in network.axes["y"].parameters())


def test_a_batch_holds_slices_with_and_without_the_heart_along_every_axis(a_case, tmp_path):
    trainer = LocaliserTrainer([a_case], SliceTrainingSettings(batch=40), tmp_path, TINY)
    batch = trainer.batch(0)
    for axis in "zyx":
        slices, truth = batch[axis]
        assert slices.shape[0] == len(truth) == 40
        assert 0 < truth.sum() < 40
        assert slices.min() >= 0
        assert slices.max() <= 1
        # The heart is 250 HU and nothing else is above fat: where it is said to be, it is seen.
        assert (slices.max(axis=(1, 2, 3))[truth == 0] < 0.6).all()


def test_training_finds_the_box_of_a_patient_it_can_memorise(a_case, tmp_path):
    seen = []
    settings = SliceTrainingSettings(batch=16, learning_rate=2e-2, warmup_steps=2, averaging=0.8, checkpoint_every=99)
    network = train_localisers(
        tmp_path, [a_case], 40, settings=settings, config=TINY, tick=lambda step, losses: seen.append(losses["loss"])
    )
    assert np.mean(seen[-5:]) < 0.5 * np.mean(seen[:5])
    found = find_heart_box(a_patient()[0], network)
    assert compare_boxes(found, a_case.box).overlap > 0.7


def test_the_configuration_is_read_back():
    assert LocaliserConfig.from_dict({"channels": [4, 6], "dense": 4}) == TINY


def test_a_grown_box_has_all_walls_moved_outwards():
    box = HeartBox((10, 20, 30), (40, 50, 60)).grown(5)
    assert (box.low_mm, box.high_mm) == ((5, 15, 25), (45, 55, 65))
    np.testing.assert_array_equal(box.contains(np.array([[5, 15, 25], [4, 20, 30]])), [True, False])
