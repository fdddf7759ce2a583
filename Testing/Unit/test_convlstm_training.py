from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from CACScoringLib import models
from CACScoringLib.cohort.reliability import ReviewLimit
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.candidates import find_candidates
from CACScoringLib.inference.confidence import UncertaintySettings
from CACScoringLib.inference.grids import Grid, ct_grid
from CACScoringLib.inference.lesions import DecisionSettings
from CACScoringLib.methods import convlstm
from CACScoringLib.methods.evidence import Evidence
from CACScoringLib.models import open_bundle
from CACScoringLib.networks.convlstm import ConvLSTMConfig
from CACScoringLib.training.calibration import DecisionChoice
from CACScoringLib.training.convlstm_bundle import write_convlstm_bundle
from CACScoringLib.training.convlstm_cases import CASES, SequenceCase, make_case
from CACScoringLib.training.convlstm_loop import (
    ConvLSTMSettings,
    ConvLSTMTrainer,
    sequence_losses,
    starting_network,
    tensors_of,
)
from CACScoringLib.training.convlstm_sampling import (
    HeartError,
    draw_sequence,
    seen_structures,
    sequence_at,
    slice_of_interest,
)
from CACScoringLib.training.convlstm_training import groups_of, train_convlstm
from CACScoringLib.training.run_request import TrainingRequest
from CACScoringLib.training.synthetic_patients import training_patients
from CACScoringLib.training.uncertainty_fit import UncertaintyFit
from CACScoringLib.training.validation import see

SPACING = (3.0, 1.0, 1.0)
EXACT = HeartError(0.0, 0.0)
SMALL = ConvLSTMConfig(channels=(8, 16, 16))
PLANE = 64


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


def settings(steps, **values):
    values = {"slices_per_step": 6, "lengths": (3, 6), "warmup_steps": 1, "plane": PLANE} | values
    return ConvLSTMSettings(steps=steps, **values)


def trainer(a_case, folder, steps, **values):
    return ConvLSTMTrainer([a_case], [[0]], settings(steps, **values), folder, config=SMALL)


def test_a_case_keeps_every_candidate_with_its_label(a_case):
    assert a_case.spacing_mm.tolist() == [3.0, 1.5, 1.5]
    assert a_case.hu.shape[1:] == (144, 144)
    for value, mm3, slice_mm in ((2, 27.0, 60.0), (11, 48.0, 75.0)):
        here = a_case.label == value
        assert a_case.size[here].max() == pytest.approx(mm3)
        assert a_case.peak[here].max() == 400
        assert set(a_case.cell[here, 0] * 3.0 + a_case.offset_mm[0]) == {slice_mm}
        assert a_case.weight[here] == pytest.approx(1 / np.sqrt(here.sum()))
    assert a_case.peak[a_case.label == 0].max() == 140


def test_a_patient_without_a_heart_is_refused():
    ct, labels, structures = a_patient()
    with pytest.raises(ValueError, match="no heart is labelled"):
        make_case(ct, labels, structures * 0)


def test_a_saved_case_is_read_back_and_is_no_pickle(a_case, tmp_path):
    a_case.save(tmp_path / "case.npz")
    again = SequenceCase.load(tmp_path / "case.npz")
    for name, value in vars(a_case).items():
        assert value.dtype != object
        np.testing.assert_array_equal(getattr(again, name), value)
    assert list(tmp_path.iterdir()) == [tmp_path / "case.npz"]


def test_an_unvaried_sequence_shows_the_case_as_it_is(a_case):
    start = np.array([3, 40, 41])
    out = sequence_at(a_case, tuple(start), 20, None, EXACT, PLANE)
    assert out.channels.shape == (12, 20, PLANE, PLANE)
    inside = ((a_case.cell >= start) & (a_case.cell < start + np.array([20, PLANE, PLANE]))).all(axis=1)
    np.testing.assert_array_equal(out.index + start, a_case.cell[inside])
    np.testing.assert_array_equal(out.label, a_case.label[inside])
    assert set(map(tuple, np.argwhere(out.channels[1] > 0))) == set(map(tuple, out.index))
    hu = a_case.hu[3:23, 40:104, 41:105].astype(np.float32)
    np.testing.assert_allclose(out.channels[0], (np.clip(hu, -200, 300) + 200) / 250 - 1, atol=1e-5)


def test_beyond_the_patient_there_is_air(a_case):
    count = len(a_case.hu)
    out = sequence_at(a_case, (count - 2, 40, 40), 5, None, EXACT, PLANE)
    assert (out.channels[0, 2:] == -1.0).all()


def test_the_heart_is_laid_over_the_slices_in_mm(a_case):
    slices = Grid((3.0, 1.5, 1.5), tuple(a_case.offset_mm), a_case.hu.shape)
    exact = seen_structures(a_case, slices, None, EXACT)
    assert exact.shape == (7, *a_case.hu.shape)
    centre = (np.indices(exact[0].shape).reshape(3, -1) * exact[0].ravel()).sum(axis=1) / exact[0].sum()
    np.testing.assert_allclose(centre * slices.spacing_mm + slices.offset_mm, (60.0, 60.0, 60.0), atol=0.6)
    assert exact[1:].max() == 0


def test_the_heart_is_sometimes_lost_and_otherwise_off(a_case):
    slices = Grid((3.0, 1.5, 1.5), tuple(a_case.offset_mm), a_case.hu.shape)
    rng = np.random.default_rng(0)
    assert seen_structures(a_case, slices, rng, HeartError(0.0, 1.0)).max() == 0
    off = seen_structures(a_case, slices, rng, HeartError(5.0, 0.0))[0]
    assert 0.9 < off.max() <= 1.0 + 1e-5
    assert np.abs(off - seen_structures(a_case, slices, None, EXACT)[0]).max() > 0.1


def test_sequences_are_about_calcium_more_often_than_about_specks(a_case):
    rng = np.random.default_rng(0)
    chosen = np.array([slice_of_interest(a_case, rng) for _ in range(300)]) * 3 + a_case.offset_mm[0]
    share = {mm: np.mean(chosen == mm) for mm in (45.0, 60.0, 75.0)}
    # 42 % coronary and 36 % mimics, and the rest by the weights of all candidates.
    assert share[60.0] > 0.42
    assert share[75.0] > 0.36
    assert 0 < share[45.0] < 0.12


def test_a_drawn_sequence_depends_on_the_random_numbers_alone(a_case):
    first, second, other = (
        draw_sequence(a_case, 6, np.random.default_rng(seed), HeartError(), PLANE) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.channels, second.channels)
    assert not np.array_equal(first.channels, other.channels)
    assert first.channels.shape == (12, 6, PLANE, PLANE)


def test_the_losses_are_those_of_the_true_mask_and_vessel():
    rows = {"mask": torch.zeros(3, 3), "vessel": torch.tensor([[0.0, 0.0, 0.0, 0.0]] * 3)}
    rows["mask"][0, 1] = math.log(2.0)
    rows["vessel"][0, 2] = math.log(5.0)
    mask, vessel = sequence_losses(rows, torch.tensor([3, 13, 0]), torch.ones(3))
    # -ln(2/4), -ln(1/3) twice, all classes of one weight; LCX is the third vessel: -ln(5/8).
    assert mask.item() == pytest.approx((math.log(2) + 2 * math.log(3)) / 3, rel=1e-5)
    assert vessel.item() == pytest.approx(math.log(8 / 5), rel=1e-5)


def test_without_coronary_calcium_the_vessel_has_no_loss():
    rows = {"mask": torch.zeros(1, 3), "vessel": torch.zeros(1, 4)}
    assert sequence_losses(rows, torch.tensor([0]), torch.ones(1))[1].item() == 0.0


def test_a_step_is_decided_by_its_number_and_fills_its_slices(a_case, tmp_path):
    one, two = trainer(a_case, tmp_path, 2), trainer(a_case, tmp_path, 2)
    seen = set()
    for step in range(6):
        batch, again = one.batch(step), two.batch(step)
        np.testing.assert_array_equal(batch[0].channels, again[0].channels)
        assert sum(sequence.channels.shape[1] for sequence in batch) == 6
        seen.add(len(batch))
    assert seen == {1, 2}


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(a_case, tmp_path):
    whole = trainer(a_case, tmp_path / "whole", 2)
    whole.run()
    first = trainer(a_case, tmp_path / "parts", 2)
    first.train(first.batch(0))
    first.step = 1
    first.save()
    second = trainer(a_case, tmp_path / "parts", 2)
    assert second.resume()
    assert second.step == 1
    second.run()
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(second.network.state_dict()[name], value, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(second.average[name], whole.average[name], rtol=1e-4, atol=1e-5)


def test_training_lowers_the_loss_on_a_patient_it_can_memorise(a_case, tmp_path):
    whole = sequence_at(a_case, (0, 40, 40), len(a_case.hu), None, EXACT, PLANE)
    x, index, label, weight = tensors_of([whole])

    def loss():
        with torch.inference_mode():
            return sequence_losses(run.network.at_pixels(x, index), label, weight)[0].item()

    run = ConvLSTMTrainer(
        [a_case],
        [[0]],
        settings(40, learning_rate=5e-3, lengths=(16,), slices_per_step=16, checkpoint_every=99),
        tmp_path,
        config=SMALL,
    )
    before = loss()
    run.run()
    assert loss() < 0.5 * before


def test_the_protocols_that_it_is_made_for_are_drawn_twice_as_often():
    wanted = [("gated", 1), ("spect-ctac", 2), ("pet-ctac", 3), ("gated", 4)]
    assert groups_of(wanted) == [[0, 3], [1], [1], [2], [2]]


def test_the_card_says_how_sure_the_categories_are(a_case, tmp_path):
    limit = ReviewLimit(below=0.8, sensitivity=0.9, share=0.1, wrong=10, n=40)
    fit = UncertaintyFit(UncertaintySettings(review_below=0.8), 40, limit, calibration_error=0.05, log_loss=0.7)
    choice = DecisionChoice(DecisionSettings(speck_probability=0.9), 40, (0.3,), fit)
    bundle = write_convlstm_bundle(tmp_path / "bundle", trainer(a_case, tmp_path, 1), patients=1, choice=choice)
    assert "less probable than 0.80: that flagged 90% of the 10 wrong" in " ".join(bundle.card.split())
    assert bundle.settings["speck_probability"] == 0.9
    assert UncertaintySettings.from_bundle(bundle.settings) == fit.settings


def test_a_bundle_brings_the_averaged_weights_back(a_case, tmp_path):
    run = trainer(a_case, tmp_path, 1)
    run.average = {name: torch.full_like(value, 0.5) for name, value in run.average.items()}
    bundle = write_convlstm_bundle(tmp_path / "bundle", run, patients=1)
    assert bundle.method == "convlstm"
    assert bundle.settings["heart_model"] == "multibranch-unet"
    assert "synthetic patients only" in bundle.card
    for value in starting_network(bundle).state_dict().values():
        assert (value == 0.5).all()


def test_training_goes_from_cached_patients_to_a_bundle(a_case, tmp_path):
    for protocol, seed in training_patients(2):
        path = CASES.path(tmp_path / "cache", protocol, seed)
        path.parent.mkdir(exist_ok=True)
        a_case.save(path)
    seen = []
    request = TrainingRequest(tmp_path, 2, 1, tell=lambda text, done, total: seen.append((done, total)))
    bundle = train_convlstm(request, validation_patients=0, settings=settings(9))
    assert seen == [(1, 1)]
    assert bundle.sha256 == open_bundle(tmp_path / "bundle" / "convlstm").sha256


def test_what_the_network_says_is_kept_with_the_truth(monkeypatch, tmp_path):
    ct, labels, _ = a_patient()
    found = find_candidates(ct.hu, ct_grid(ct.shape, ct.spacing_mm))
    rows = np.full((len(found.index), 5), 0.2, np.float32)

    def look(ct, *, bundle, threshold_hu):
        assert (bundle.id, threshold_hu) == ("convlstm", 130.0)
        return Evidence(None, None, found, rows, rows, {})

    monkeypatch.setattr(convlstm, "look", look)
    bundle = SimpleNamespace(id="convlstm", settings={"method": "convlstm"})
    monkeypatch.setattr(models, "open_bundle", lambda folder: bundle)
    seen = see(ct, labels, tmp_path)
    # Nine pixels of 1 mm2 at 400 HU in one slice of 3 mm: 9 x 4, in the LAD.
    assert seen.reference.tolist() == [36.0, 0.0, 36.0, 0.0, 0.0]
    assert sorted(np.unique(seen.truth)) == [0, 2, 11]
    assert np.count_nonzero(seen.truth == 11) == 16
