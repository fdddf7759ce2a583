from __future__ import annotations

import numpy as np
import pytest
import torch

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.grids import Grid
from CACScoringLib.training.cases import TrainingCase, make_case
from CACScoringLib.training.loop import Batch, Trainer, TrainingSettings, fine_input
from CACScoringLib.training.sampling import coarse_patch, fine_patch, fine_patch_at
from CACScoringLib.training.trainer import schedule

SPACING = (3.0, 1.0, 1.0)


def a_patient():
    """A ball of a heart in a box of a body, with one lesion in the LAD and one in the aorta."""
    hu = np.full((40, 120, 120), -1000, np.int16)
    hu[:, 10:110, 10:110] = -90
    z, y, x = np.ogrid[:40, :120, :120]
    ball = ((z - 20) * 3.0) ** 2 + (y - 60.0) ** 2 + (x - 60.0) ** 2 < 35**2
    hu[ball] = 40
    structures = np.where(ball, 1, 0).astype(np.uint8)
    labels = np.zeros(hu.shape, np.uint8)
    labels[20, 40:43, 60:63] = 2
    labels[25, 80:84, 60:64] = 11
    hu[labels > 0] = 400
    hu[15, 60, 60] = 140
    return CTVolume(hu, SPACING), labels, structures


@pytest.fixture(scope="module")
def a_case():
    return make_case(*a_patient())


def test_a_case_keeps_every_candidate_with_its_label(a_case):
    assert set(np.unique(a_case.label)) == {0, 2, 11}
    for value, mm3 in ((2, 27.0), (11, 48.0)):
        here = a_case.label == value
        np.testing.assert_allclose(a_case.size[here].max(), mm3)
        assert a_case.peak[here].max() == 400
    assert a_case.peak[a_case.label == 0].max() == 140


def test_a_lesion_lies_where_the_patient_has_it(a_case):
    centre = a_case.cell[a_case.label == 2].mean(axis=0) * (2.0, 1.25, 1.25) + a_case.fine_offset_mm
    np.testing.assert_allclose(centre, (60.0, 41.0, 61.0), atol=1.3)


def test_island_weights_follow_the_square_root_of_size(a_case):
    for value in (0, 2, 11):
        here = a_case.label == value
        np.testing.assert_allclose(a_case.weight[here], 1 / np.sqrt(here.sum()), rtol=1e-5)


def test_a_patient_without_a_heart_is_refused():
    ct, labels, structures = a_patient()
    with pytest.raises(ValueError, match="no heart is labelled"):
        make_case(ct, labels, structures * 0)


def test_a_saved_case_is_read_back(a_case, tmp_path):
    a_case.save(tmp_path / "case.npz")
    again = TrainingCase.load(tmp_path / "case.npz")
    np.testing.assert_array_equal(again.fine_hu, a_case.fine_hu)
    np.testing.assert_array_equal(again.cell, a_case.cell)
    assert list(tmp_path.iterdir()) == [tmp_path / "case.npz"]


def test_an_unvaried_patch_shows_the_case_as_it_is(a_case):
    start = np.array([2, 3, 4])
    patch = fine_patch_at(a_case, start, None)
    lad = np.argwhere(patch.label == 2) + start
    np.testing.assert_array_equal(np.unique(lad, axis=0), np.unique(a_case.cell[a_case.label == 2], axis=0))
    assert patch.channels[1].max() == pytest.approx(1.0)
    assert ((patch.channels[1] > 0) == (patch.weight > 0)).all()


def test_patches_have_the_networks_shape_wherever_they_are_cut(a_case):
    rng = np.random.default_rng(0)
    for _ in range(20):
        fine, coarse = fine_patch(a_case, rng), coarse_patch(a_case, rng)
        assert fine.channels.shape == coarse.channels.shape == (4, 64, 64, 64)
        assert np.isfinite(fine.channels).all()
        assert fine.label[fine.weight == 0].max() == 0


def test_context_is_laid_over_the_fine_patch_in_mm(a_case):
    rng = np.random.default_rng(0)
    coarse, fine = coarse_patch(a_case, rng, vary=False), fine_patch_at(a_case, np.zeros(3, int), None)
    onehot = np.eye(8, dtype=np.float32)[coarse.structures].transpose(3, 0, 1, 2)
    truth = onehot.reshape(8, 32, 2, 32, 2, 32, 2).mean(axis=(2, 4, 6))[None]
    batch = Batch([0], [coarse], [fine], np.zeros((1, 3)), np.array([False]), np.zeros(3, int))
    stacked = fine_input(batch, truth)
    inside = fine.structures == 1
    assert stacked.shape == (1, 11, 64, 64, 64)
    laid = stacked[0, 4]
    assert laid[inside].mean() > 0.8
    assert laid[~inside].mean() < 0.1
    axes = np.indices(laid.shape).reshape(3, -1)
    centre = (axes * laid.ravel()).sum(axis=1) / laid.sum()
    np.testing.assert_allclose(centre, np.argwhere(inside).mean(axis=0), atol=0.5)
    lost = fine_input(Batch([0], [coarse], [fine], np.zeros((1, 3)), np.array([True]), np.zeros(3, int)), truth)
    assert lost[0, 4:].max() == 0


def test_the_learning_rate_warms_up_and_ends_near_nothing():
    s = TrainingSettings(steps=1000, warmup_steps=100)
    assert schedule(0, s) == pytest.approx(0.01)
    assert schedule(100, s) == pytest.approx(1.0)
    assert schedule(999, s) == pytest.approx(0.01, abs=1e-3)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(a_case, tmp_path):
    def trainer(steps, folder):
        settings = TrainingSettings(steps=steps, patients_per_step=1, warmup_steps=1, checkpoint_every=1)
        return Trainer([a_case], [[0]], settings, tmp_path / folder)

    whole = trainer(2, "whole")
    whole.run()
    first = trainer(2, "parts")
    first.settings = TrainingSettings(steps=2, patients_per_step=1, warmup_steps=1, checkpoint_every=1)
    batch = first.batch(0)
    first.train(batch)
    first.step = 1
    first.save()
    second = trainer(2, "parts")
    assert second.resume()
    assert second.step == 1
    second.run()
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(second.network.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_training_lowers_the_loss_on_a_patient_it_can_memorise(a_case, tmp_path):
    settings = TrainingSettings(steps=12, patients_per_step=1, warmup_steps=2, learning_rate=3e-3, checkpoint_every=99)
    seen = []
    Trainer([a_case], [[0]], settings, tmp_path).run(lambda step, losses: seen.append(losses["structure_fine"]))
    assert np.mean(seen[-3:]) < 0.8 * np.mean(seen[:3])


def test_a_grid_is_shared_by_sampling_and_inference(a_case):
    patch = fine_patch_at(a_case, np.array([1, 1, 1]), None)
    assert isinstance(patch.grid, Grid)
    np.testing.assert_allclose(np.subtract(patch.grid.offset_mm, a_case.fine_offset_mm), (2.0, 1.25, 1.25))
