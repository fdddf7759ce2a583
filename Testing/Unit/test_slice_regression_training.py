from __future__ import annotations

from dataclasses import replace

import evaluation_samples
import numpy as np
import pytest
import torch

from CACScoringLib.inference.grids import Grid
from CACScoringLib.methods.score_prediction import AttentionMap, ScorePrediction
from CACScoringLib.methods.slice_regression import predict_slice_regression
from CACScoringLib.networks.axis_localiser import AxisLocalisers, LocaliserConfig
from CACScoringLib.networks.slice_regression import SliceRegressionConfig, SliceRegressionNet
from CACScoringLib.scoring import score
from CACScoringLib.scoring.settings import settle
from CACScoringLib.training.attention import attention_hits
from CACScoringLib.training.run_request import TrainingRequest
from CACScoringLib.training.slice_regression import (
    RegressionSettings,
    RegressionTrainer,
    following,
    slab_on_canvas,
    slice_index,
    split_patients,
    train_slice_regression,
)
from CACScoringLib.training.slice_regression_bundle import write_slice_regression_bundle
from CACScoringLib.training.slice_regression_cases import (
    SliceCase,
    as_units,
    coronary_settings,
    make_slice_case,
    quantised,
    slice_scores,
)
from CACScoringLib.training.slice_regression_evaluation import (
    case_outputs,
    factor_of,
    measure_factors,
    measure_spread,
    spread_of,
    totals_of,
)

TINY = SliceRegressionConfig(size=64, kernels=4, dense=6, unit=1.0)
SMALL_LOCALISER = LocaliserConfig(channels=(4, 6), dense=4)
RUN = {"patients": 1, "validation_patients": 0, "experiment": "i", "steps": 1, "batch": 1, "seed": 0}


def a_patient():
    """Return CT, labels and structures of the sample patient."""
    patient = evaluation_samples.a_patient()
    return patient.ct, patient.labels, patient.structures


@pytest.fixture(scope="module")
def a_case():
    return make_slice_case(*a_patient(), size=64, field=64)


def test_the_scores_of_the_slices_add_up_to_the_scans():
    ct, labels, _ = a_patient()
    agatston, volume = slice_scores(settle(ct, preset="nlst-de-vos-2017"), labels)
    total = score(ct, labels, preset="nlst-de-vos-2017").total
    assert agatston.sum() == pytest.approx(total.agatston)
    assert volume.sum() == pytest.approx(total.volume_mm3)
    assert len(agatston) == 40


def test_acquired_slices_score_their_islands_alone():
    ct, labels, _ = a_patient()
    agatston, volume = slice_scores(settle(ct, preset="agatston-1990"), labels)
    np.testing.assert_array_equal(np.flatnonzero(agatston), [9, 10, 12])
    # 9 mm2 and 8 mm2 with the weight of 450 HU, 3 mm apart; the aorta in slice 10 does not count.
    np.testing.assert_allclose(agatston[[9, 10, 12]], [36, 36, 32])
    np.testing.assert_allclose(volume[[9, 10, 12]], [27, 27, 24])


def test_a_case_keeps_totals_and_the_slabs_round_the_heart(a_case):
    ct, labels, _ = a_patient()
    total = score(ct, labels, preset="nlst-de-vos-2017").total
    assert float(a_case.agatston) == pytest.approx(total.agatston)
    assert float(a_case.volume_mm3) == pytest.approx(total.volume_mm3)
    assert float(a_case.clinical_agatston) == 104
    assert a_case.slab_agatston.sum() == pytest.approx(total.agatston)
    assert a_case.slice_agatston.sum() == 104
    np.testing.assert_allclose(a_case.slab_spacing_mm, (1.5, 1.0, 1.0))
    assert a_case.slabs.shape[0] == len(a_case.slab_agatston)
    assert a_case.slices.shape[1:] == (64, 64)


def test_the_slab_with_most_calcium_shows_it(a_case):
    brightest = as_units(a_case.slabs).reshape(len(a_case.slabs), -1).max(axis=1)
    assert (brightest[a_case.slab_agatston > 0] >= 1.64).all()
    assert brightest.max() == pytest.approx((450 + 200) / 200, abs=0.02)


def test_hu_are_kept_in_steps_of_4():
    units = np.array([0.0, 1.65, 5.1], np.float32)
    np.testing.assert_array_equal(quantised(units), [0, 82, 255])
    np.testing.assert_allclose(as_units(quantised(units)), units, atol=0.0101)


def test_a_case_is_read_back_without_pickle(a_case, tmp_path):
    a_case.save(tmp_path / "case.npz")
    again = SliceCase.load(tmp_path / "case.npz")
    np.testing.assert_array_equal(again.slabs, a_case.slabs)
    assert again.box == a_case.box
    assert [p.name for p in tmp_path.iterdir()] == ["case.npz"]


def test_a_patient_without_a_heart_is_refused():
    ct, labels, structures = a_patient()
    with pytest.raises(ValueError, match="no heart is labelled"):
        make_slice_case(ct, labels, structures * 0)


def test_other_settings_score_other_slices():
    ct, labels, _ = a_patient()
    stack = settle(ct, preset="agatston-1990").stack
    assert slice_scores(coronary_settings(ct, stack), labels)[0].sum() == 104
    assert coronary_settings(ct, "nlst-de-vos-2017").rules.connectivity == 26


def test_the_walls_of_a_slab_vary_in_training_and_not_in_evaluation(a_case):
    number = np.array([len(a_case.slabs) // 2])
    fixed = slab_on_canvas(a_case, number, 64, None)
    np.testing.assert_array_equal(fixed, slab_on_canvas(a_case, number, 64, None))
    filled = {int((slab_on_canvas(a_case, number, 64, np.random.default_rng(n)) > 0).sum()) for n in range(8)}
    assert fixed.shape == (1, 64, 64)
    assert len(filled) > 3


def test_a_batch_is_the_slabs_with_their_scores(a_case, tmp_path):
    settings = RegressionSettings(batch=60, vary_walls=False)
    trainer = RegressionTrainer([a_case], [], "volume", TINY, settings, tmp_path)
    x, voxel, scores = trainer.batch(3)
    assert x.shape == (60, 1, 64, 64)
    np.testing.assert_allclose(voxel, np.tile([1.5, 1.0, 1.0], (60, 1)))
    assert set(scores) <= set(a_case.slab_volume)
    # Calcium (450 HU) is seen where there is a volume; the aorta's lesion lies in slabs of the LAD's.
    assert ((x.max(axis=(1, 2, 3)) > 1.65) >= (scores > 0)).all()
    again = trainer.batch(3)
    np.testing.assert_array_equal(again[0], x)


def test_half_of_the_slices_hold_calcium_at_first_and_they_come_as_they_are_later(a_case, tmp_path):
    settings = RegressionSettings(steps=10, batch=200, vary_walls=False)
    trainer = RegressionTrainer([a_case], [], "agatston", TINY, settings, tmp_path)
    natural = float((a_case.slab_agatston > 0).mean())
    assert 0.0 < natural < 0.3
    assert [(trainer.batch(step)[2] > 0).mean() for step in (0, 5)] == [0.5, 0.5]
    later = np.mean([(trainer.batch(step)[2] > 0).mean() for step in (6, 7, 8, 9)])
    assert later == pytest.approx(natural, abs=0.06)


def test_every_slab_of_every_patient_can_be_drawn(a_case):
    index = slice_index([a_case, a_case])
    assert len(index) == 2 * len(a_case.slabs)
    assert index.max(axis=0).tolist() == [1, len(a_case.slabs) - 1]


def test_patients_that_choose_the_weights_are_not_learned_from():
    learn, held = split_patients(30, 1 / 3, seed=1)
    assert len(held) == 10
    assert sorted(learn + held) == list(range(30))
    assert split_patients(30, 1 / 3, seed=1) == (learn, held)
    assert split_patients(1, 0.5, seed=1) == ([0], [])


def test_an_unknown_target_or_experiment_is_refused(a_case, tmp_path):
    with pytest.raises(ValueError, match="agatston, volume"):
        RegressionTrainer([a_case], [], "mass", TINY, RegressionSettings(), tmp_path)
    with pytest.raises(ValueError, match="i, ii, iii, iv"):
        train_slice_regression(TrainingRequest(tmp_path, 4, 1), experiment="v")


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(a_case, tmp_path):
    def trainer(steps, folder):
        settings = RegressionSettings(steps=steps, batch=6, warmup_steps=1, validate_every=2, checkpoint_every=1)
        return RegressionTrainer([a_case], [a_case], "agatston", TINY, settings, tmp_path / folder)

    whole = trainer(4, "whole")
    whole.run()
    first = trainer(4, "parts")
    for step in range(2):
        first.train(first.batch(step))
        first.step += 1
        first.after_step()
    first.save()
    second = trainer(4, "parts")
    assert second.resume()
    assert second.step == 2
    assert second.best_error == first.best_error
    second.run()
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(second.network.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    for name, value in whole.best.items():
        torch.testing.assert_close(second.best[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("log", "shared"), [(False, False), (True, True)])
def test_training_lowers_the_error_on_a_patient_it_can_memorise(a_case, tmp_path, log, shared):
    config = replace(TINY, kernels=8, log_target=log, shared_kernels=shared, unit=1.0 if log else 10.0)
    settings = RegressionSettings(steps=60, batch=24, warmup_steps=2, averaging=0.8, checkpoint_every=99)
    seen = []
    trainer = RegressionTrainer([a_case], [a_case], "agatston", config, settings, tmp_path)
    trainer.run(lambda step, losses: seen.append(losses["loss"]))
    assert np.mean(seen[-10:]) < 0.7 * np.mean(seen[:10])
    assert trainer.best_error < np.inf


class CountsBright:
    """Half an Agatston point for every pixel at 400 HU or more, or what is given."""

    config = TINY

    def __init__(self, points=0.5):
        self.points = points

    def __call__(self, x, voxel):
        return self.points * (x >= 3.0).sum(dim=(1, 2, 3)).float()


def test_a_cases_total_is_the_sum_over_the_slabs_of_its_box(a_case):
    bright = 0.5 * (as_units(a_case.slabs) >= 3.0).sum()
    networks = {"agatston": CountsBright()}
    assert totals_of(case_outputs(a_case, networks), networks) == {"agatston": pytest.approx(bright)}


def test_the_factor_is_what_totals_of_patients_with_calcium_lack(a_case):
    networks = {"agatston": CountsBright(2.0), "volume": CountsBright(2.0)}
    outputs = case_outputs(a_case, networks)
    said = totals_of(outputs, networks)
    calcified = [a_case] * 10
    assert min(float(a_case.agatston), said["agatston"]) >= 10
    factors = measure_factors(calcified, [outputs] * 10, networks)
    assert factors == pytest.approx(
        {"agatston": float(a_case.agatston) / said["agatston"], "volume": float(a_case.volume_mm3) / said["volume"]}
    )
    assert totals_of(outputs, networks, factors)["agatston"] == pytest.approx(float(a_case.agatston))
    assert measure_factors(calcified[:9], [outputs] * 9, networks) == {"agatston": 1.0, "volume": 1.0}
    assert factor_of([0.0, 300.0] * 10, [9.0, 200.0] * 10) == 1.5
    spread = measure_spread([a_case] * 20, [outputs] * 20, networks, factors)
    assert spread.spread == pytest.approx(1e-3)


def test_the_spread_is_that_of_the_logarithm_and_flags_what_was_wrong():
    reference = [0.0, 20.0, 120.0, 500.0]
    predicted = [0.0, 20.0, 90.0, 500.0]
    found = spread_of(reference, predicted)
    assert found.spread == pytest.approx(np.log(121 / 91) / 2)
    # 90 lies below 100 with ln(101 / 91) = 0.104: a probability of the wrong category of 0.768.
    assert found.review_below == pytest.approx(0.768, abs=0.001)
    assert spread_of(reference, reference).review_below is None


def test_attention_hits_are_slices_whose_maximum_lies_on_coronary_calcium():
    ct, labels, _ = a_patient()
    values = np.zeros(ct.shape, np.float32)
    values[9, 21, 31] = 1
    values[10, 31, 21] = 1
    grid = Grid(ct.spacing_mm, (0.0, 0.0, 0.0), ct.shape)
    prediction = ScorePrediction("m", "", "", "screening-5", attention=AttentionMap(values, grid))
    # Slice 9: on the LAD. Slice 10: on the aorta. Slice 12: no attention at all.
    hits = attention_hits(prediction, ct, labels)
    assert (hits.slices, hits.on_calcium) == (3, 1)


def test_a_written_bundle_runs_and_gives_what_its_networks_give(tmp_path):
    torch.manual_seed(0)
    networks = {"agatston": SliceRegressionNet(TINY).eval(), "volume": SliceRegressionNet(TINY).eval()}
    localisers = AxisLocalisers(SMALL_LOCALISER).eval()
    for axis in localisers.axes.values():
        torch.nn.init.ones_(axis.head[-1].bias)
        torch.nn.init.zeros_(axis.head[-1].weight)
    bundle = write_slice_regression_bundle(tmp_path / "b", localisers, networks, run=RUN)
    out = predict_slice_regression(a_patient()[0], bundle=bundle)
    assert out.model_sha256 == bundle.sha256
    assert out.agatston == pytest.approx(out.slice_agatston.sum())
    assert out.attention.values.shape[1:] == (16, 16)
    assert "experiment i: plain target, separate kernels" in bundle.card
    assert "Uncertainty: not measured" in bundle.card
    assert "taken as the networks say them" in bundle.card
    factors = {"agatston": 1.5, "volume": 1.0}
    scaled = write_slice_regression_bundle(tmp_path / "s", localisers, networks, run=RUN, factors=factors)
    assert scaled.settings["factors"] == factors
    assert "multiplied by 1.50 (agatston), 1.00 (volume)" in scaled.card


def test_the_second_target_starts_from_the_first_ones_weights(a_case, tmp_path):
    settings = RegressionSettings(steps=8, batch=4)
    first = RegressionTrainer([a_case], [], "agatston", TINY, settings, tmp_path / "first")
    first.run()
    second = RegressionTrainer([a_case], [], "volume", TINY, following(settings), tmp_path / "second", first.chosen())
    assert second.settings.steps == 2
    assert second.settings.learning_rate == pytest.approx(settings.learning_rate / 4)
    for name, value in first.chosen().state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value)
    second.run()
    assert not torch.equal(second.network.kernels[0], first.chosen().kernels[0])


def test_one_call_trains_everything_and_writes_a_bundle_that_goes_on_when_called_again(a_case, tmp_path, monkeypatch):
    from CACScoringLib.training import slice_regression

    monkeypatch.setattr(slice_regression, "load_cases", lambda *_: [a_case] * 3)
    monkeypatch.setitem(slice_regression.EXPERIMENTS, "iv", replace(TINY, log_target=True, shared_kernels=True))
    told = []

    def train(steps):
        request = TrainingRequest(tmp_path, 3, steps, tell=lambda *what: told.append(what))
        return train_slice_regression(request, experiment="iv", localiser_steps=2, batch=4)

    bundle = train(2)
    assert bundle.folder == tmp_path / "bundle" / "slice-regression"
    assert bundle.settings["networks"]["volume"]["shared_kernels"] is True
    assert "spread" not in bundle.settings
    assert "3 synthetic patients" in bundle.card
    # The network of the volume starts from the other one and takes a quarter of the steps.
    assert [what[1:] for what in told] == [(1, 2), (2, 2)] * 2 + [(1, 1)]
    told.clear()
    train(6)
    assert [what[1:] for what in told] == [(n, 6) for n in (3, 4, 5, 6)] + [(2, 2)]
