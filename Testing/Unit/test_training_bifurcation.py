from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ball_heart import BallFinder, a_ct
from left_main_case import SHAPE, a_case

from CACScoringLib.inference.bifurcation import CROP_SHAPE, BifurcationWeights
from CACScoringLib.inference.grids import FINE_SPACING_MM
from CACScoringLib.inference.inputs import scale_hu
from CACScoringLib.methods.multibranch_model import load_model
from CACScoringLib.methods.multibranch_unet import NAME, look
from CACScoringLib.models import load_weights, open_bundle, part_of, write_bundle
from CACScoringLib.networks.bifurcation import BifurcationConfig, BifurcationUNet
from CACScoringLib.training import bifurcation_training
from CACScoringLib.training.arteries import UNKNOWN
from CACScoringLib.training.bifurcation_training import (
    HALF,
    BifurcationSettings,
    BifurcationTrainer,
    Crops,
    bifurcation_losses,
    draw_crop,
    surroundings_of,
    train_bifurcation,
)
from CACScoringLib.training.bundle_writer import bifurcation_settings, with_bifurcation
from CACScoringLib.training.run_request import TrainingRequest


@pytest.fixture
def as_it_is(monkeypatch):
    """Crops are neither moved nor turned, and their HU are not varied."""
    for name in ("JITTER_MM", "STRETCH", "NOISE_SHARE", "ON_CALCIUM_SHARE"):
        monkeypatch.setattr(bifurcation_training, name, 0.0)
    monkeypatch.setattr(bifurcation_training, "TURN_DEG", (0.0, 0.0, 0.0))


def test_what_lies_round_the_left_main_is_kept_with_its_truth():
    around = surroundings_of(a_case())
    assert around.hu.shape == tuple(2 * HALF)
    np.testing.assert_allclose(around.middle, HALF, atol=0.5)
    assert np.array_equal(np.unique(around.artery), [0, 1, 2, 3, UNKNOWN])  # the case ends before the box does
    at = tuple(around.cell.T)
    assert (around.hu[at] == 300).all()
    assert np.array_equal(around.artery[at], around.label)


def test_a_case_that_does_not_say_where_the_left_main_runs_is_left_out(tmp_path):
    case = replace(a_case(), fine_arteries=np.full(SHAPE, UNKNOWN, np.uint8))
    assert surroundings_of(case) is None
    assert train_bifurcation(TrainingRequest(tmp_path, 1, 1), [case], {"gated": [0]}, 3) is None


def test_an_unvaried_crop_shows_the_case_as_it_is(as_it_is):
    case = a_case()
    around = surroundings_of(case)
    crop = draw_crop(around, np.random.default_rng(0))
    assert crop.channels.shape == (4, *CROP_SHAPE)
    low = np.rint(around.middle - (np.array(CROP_SHAPE) - 1) / 2).astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(low, CROP_SHAPE, strict=True))
    assert (crop.artery == around.artery[box]).mean() > 0.97  # half a voxel beside the grid
    bright = crop.channels[1] > 0
    assert np.array_equal(np.unique(crop.label[bright]), [1, 2])
    assert (crop.label[~bright] == 0).all()
    dark = (crop.artery > 0) & (crop.artery != UNKNOWN) & ~bright
    contrast = crop.channels[0][dark].mean() - crop.channels[0][crop.artery == 0].mean()
    assert contrast == pytest.approx(float(np.ptp(scale_hu(np.array([-80.0, 40.0])))), abs=0.08)


def test_crops_vary_and_label_and_course_move_together():
    around = surroundings_of(a_case())
    rng = np.random.default_rng(3)
    crops = [draw_crop(around, rng) for _ in range(12)]
    places = [np.argwhere(crop.label == 1).mean(axis=0) for crop in crops]
    assert (np.std(places, axis=0) * FINE_SPACING_MM > 1.5).all()
    for crop in crops:
        marked = crop.label > 0
        assert (crop.artery[marked] == crop.label[marked]).mean() > 0.8


def test_losses_are_nothing_for_the_truth_and_large_for_its_opposite():
    crop = draw_crop(surroundings_of(a_case()), np.random.default_rng(0))
    label, weight, artery = (torch.from_numpy(a)[None] for a in (crop.label, crop.weight, crop.artery))
    vessel = torch.where(label > 0, label, artery.clamp(1, 3)).clamp(1, 3) - 1
    course = torch.where(artery == UNKNOWN, torch.zeros_like(artery), artery)
    right = {
        "vessel": torch.nn.functional.one_hot(vessel, 3).movedim(-1, 1).float() * 30,
        "artery": torch.nn.functional.one_hot(course, 5).movedim(-1, 1).float() * 30,
    }
    losses = bifurcation_losses(right, label, weight, artery)
    assert losses["calcium"] == pytest.approx(0.0, abs=1e-6)
    assert losses["course"] == pytest.approx(0.0, abs=1e-6)
    assert losses["vessel"] < 1.0  # a nearest voxel may lie on the other side of the fork
    wrong = bifurcation_losses({name: -logits for name, logits in right.items()}, label, weight, artery)
    assert wrong["calcium"] > 20
    nobody_knows = torch.full_like(artery, UNKNOWN)
    nothing = bifurcation_losses(right, torch.zeros_like(label), weight, nobody_knows)
    assert all(float(loss) == 0.0 for loss in nothing.values())


def test_gated_patients_are_drawn_twice_as_often_as_those_of_another_protocol(monkeypatch, tmp_path):
    drawn = []

    def note(around, rng):
        drawn.append(around)
        return Crops(*np.zeros((4, 1)))

    monkeypatch.setattr(bifurcation_training, "draw_crop", note)
    groups = {"spect-ctac": ["s"], "gated": ["g"], "chest": ["c"]}
    trainer = BifurcationTrainer(groups, BifurcationSettings(steps=1, patients_per_step=4000), tmp_path)
    assert trainer.batch(0).channels.shape == (4000, 1)
    assert [drawn.count(name) / 4000 for name in "gsc"] == pytest.approx([0.5, 0.25, 0.25], abs=0.03)


def test_training_learns_where_one_left_main_divides_and_goes_on_to_the_same_weights(tmp_path):
    groups = {"gated": [surroundings_of(a_case(seed)) for seed in range(3)]}

    def trainer(steps, folder):
        settings = BifurcationSettings(steps=steps, patients_per_step=2, warmup_steps=2, checkpoint_every=4, seed=1)
        return BifurcationTrainer(groups, settings, tmp_path / folder)

    losses = []
    whole = trainer(12, "whole")
    whole.run(lambda step, values: losses.append(values["vessel"] + values["calcium"]))
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])

    def stop(step, values):
        if step == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(12, "half").run(stop)
    again = trainer(12, "half")
    assert again.resume()
    assert again.step == 8
    again.run()
    other = whole.averaged().state_dict()
    for name, value in again.averaged().state_dict().items():
        torch.testing.assert_close(value, other[name], atol=1e-4, rtol=0)


def test_in_mixed_precision_a_step_is_nearly_the_same_and_weights_stay_float32(tmp_path):
    groups = {"gated": [surroundings_of(a_case())]}
    losses = []
    for mixed in (False, True):
        settings = BifurcationSettings(steps=1, patients_per_step=2, seed=1, mixed_precision=mixed)
        trainer = BifurcationTrainer(groups, settings, tmp_path)
        kinds = []
        trainer.network.fold.register_forward_hook(lambda module, given, out, kinds=kinds: kinds.append(out.dtype))
        losses.append(trainer.train(trainer.batch(0)))
        assert kinds == [torch.bfloat16 if mixed else torch.float32]
        assert {value.dtype for value in trainer.average.values()} == {torch.float32}
    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


class LeftMainNetwork(BallFinder):
    """Takes every candidate for left main, hardly surer than LAD."""

    def at_voxels(self, x, index):
        calcium = torch.tensor([-2.0, 1.0, 0.9, 0.0, -2.0]).repeat(len(index), 1)
        other = torch.zeros(len(index), 5)
        return {"calcium": calcium, "non_coronary": other, "artery": torch.zeros(len(index), 5)}


def a_bundle(folder, state=None):
    """A bundle whose second network says LCX everywhere."""
    config = BifurcationConfig(channels=(4, 6, 8, 8))
    network = BifurcationUNet(config)
    torch.nn.init.zeros_(network.vessel.weight)
    with torch.no_grad():
        network.vessel.bias.copy_(torch.tensor([0.0, 0.0, 5.0]))
    settings = {"method": NAME, "network": {"in_channels": 11, "channels": [16, 32, 64, 128]}}
    beside = network.state_dict() if state is None else state
    settings |= bifurcation_settings(config, BifurcationWeights(0.5, 1.0)) if beside else {}
    weights = with_bifurcation({"nothing": torch.zeros(1)}, beside)
    return write_bundle(folder, weights, settings=settings, metadata={"version": "0"}, card="", licence="")


def test_a_bundle_with_a_second_network_asks_it(tmp_path):
    ct = a_ct((22, 60, 50, 400))
    alone = look(ct, bundle=a_bundle(tmp_path / "alone", {}), network=LeftMainNetwork())
    both = look(ct, bundle=a_bundle(tmp_path / "both"), network=LeftMainNetwork())
    assert set(alone.calcium[:, 1:].argmax(axis=1) + 1) == {1}
    assert set(both.calcium[:, 1:].argmax(axis=1) + 1) == {3}
    np.testing.assert_allclose(both.calcium[:, 0], alone.calcium[:, 0], atol=1e-6)
    np.testing.assert_array_equal(both.network.features, alone.network.features)
    np.testing.assert_array_equal(both.network.calcium, both.calcium)


def test_the_shipped_bundle_says_where_the_left_main_divides():
    bundle = open_bundle(NAME)
    assert part_of(load_weights(bundle), "bifurcation")
    model = load_model(bundle)
    assert model is load_model(bundle)  # its file is read once
    assert model.divider.weights == BifurcationWeights.from_dict(bundle.settings["bifurcation"]["weights"])
    said = model.divider(np.zeros((2, 4, *CROP_SHAPE), np.float32))
    assert said.shape == (2, 3, *CROP_SHAPE)
    np.testing.assert_allclose(np.exp(said).sum(axis=1), 1.0, atol=1e-4)
