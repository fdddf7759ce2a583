from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from CACScoringLib.cli import main
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.methods.six_class import Aggregation, predict_six_class
from CACScoringLib.networks.axis_localiser import AxisLocalisers, LocaliserConfig
from CACScoringLib.networks.six_class import SixClassConfig, SixClassNet
from CACScoringLib.training.run_request import TrainingRequest
from CACScoringLib.training.six_class import (
    Plateau,
    SixClassSettings,
    SixClassTrainer,
    aggregation_of,
    class_weights,
    field_of,
    patient_category,
    rare_first,
    slice_labels,
    train_six_class,
)
from CACScoringLib.training.six_class_bundle import write_six_class_bundle
from CACScoringLib.training.six_class_evaluation import (
    SixClassRow,
    chosen_aggregation,
    class_report,
    cross_validate,
    evaluate_six_class,
    evaluation_of,
    patient_folds,
    review_limit,
)
from CACScoringLib.training.slice_regression_cases import SliceCase, make_slice_case

TINY = SixClassConfig(size=48, filters=(4, 6), cells=3, dense=8)
NGUYEN = [
    [240, 3, 0, 1, 0, 0],
    [0, 142, 0, 0, 0, 0],
    [0, 0, 206, 4, 5, 1],
    [0, 0, 2, 238, 0, 12],
    [1, 0, 1, 1, 227, 0],
    [0, 2, 1, 12, 0, 286],
]
"""Figure 3 of Nguyen 2025."""


def a_patient(calcified):
    """A ball of a heart in a box of a body; the given slices hold 4x4 pixels of 500 HU in the LAD."""
    hu = np.full((16, 50, 50), -1000, np.int16)
    hu[:, 2:48, 2:48] = -90
    z, y, x = np.ogrid[:16, :50, :50]
    ball = ((z - 8) * 3.0) ** 2 + (y - 25.0) ** 2 + (x - 25.0) ** 2 < 18**2
    hu[ball] = 40
    labels = np.zeros(hu.shape, np.uint8)
    labels[calcified, 20:24, 20:24] = 2
    hu[labels > 0] = 500
    return CTVolume(hu, (3.0, 1.0, 1.0)), labels, ball.astype(np.uint8)


@pytest.fixture(scope="module")
def cases():
    """Agatston 0, 64 and 192: one slice of 16 mm2 at 500 HU scores 64."""
    return [make_slice_case(*a_patient(slices), size=64, field=56) for slices in ([], [8], [7, 8, 9])]


def test_the_papers_labels_are_the_patients_and_the_others_the_slices_own(cases):
    assert [patient_category(case) for case in cases] == [0, 2, 3]
    assert set(slice_labels(cases[2], "patient")) == {3}
    own = slice_labels(cases[2], "slice")
    assert (own == 2).sum() == 3
    assert (own == 0).sum() == len(own) - 3
    with pytest.raises(ValueError, match="patient, slice"):
        slice_labels(cases[0], "lesion")


def test_rare_categories_weigh_more_and_absent_ones_nothing():
    weight = class_weights(np.array([0] * 8 + [5] * 2))
    np.testing.assert_allclose(weight, [10 / 48, 0, 0, 0, 0, 10 / 12])


def test_rare_categories_of_slices_are_drawn_more_often_and_then_as_they_are(cases, tmp_path):
    settings = SixClassSettings(steps=10, batch=400, rare_share=0.5)
    trainer = SixClassTrainer(cases, [], "slice", settings, tmp_path, TINY)
    label = np.concatenate(trainer.labels)
    calcified = float((label > 0).mean())
    early, late = (float((trainer.batch(step)[1] > 0).mean()) for step in (4, 5))
    # 4 of some 40 slices hold calcium: drawn as the square roots, 2 to 6.
    roots = np.sqrt([(label == 0).sum(), (label > 0).sum()])
    assert early == pytest.approx(roots[1] / roots.sum(), abs=0.08)
    assert late == pytest.approx(calcified, abs=0.06)
    assert early > 1.5 * late
    assert set(trainer.weights) == {1.0}
    assert rare_first(label).sum() == pytest.approx(1.0)


def test_the_papers_labels_are_drawn_as_they_come_with_its_weights(cases, tmp_path):
    trainer = SixClassTrainer(cases, [], "patient", SixClassSettings(steps=1), tmp_path, TINY)
    assert trainer.rare_first is None
    np.testing.assert_array_equal(trainer.weights, class_weights(np.concatenate(trainer.labels)))


def test_first_weights_let_a_slice_through_to_the_last_layer():
    torch.manual_seed(3)
    network = SixClassNet().eval()
    slices = torch.from_numpy(np.random.default_rng(4).normal(0.0, 1.0, (2, 1, 192, 192)).astype(np.float32))
    with torch.inference_mode():
        deep = network.body(slices)
        assert 0.1 < float(deep.std()) < 30
        assert float(torch.softmax(network(slices), dim=1).min()) > 0.02


def test_the_means_of_the_categories_are_those_of_the_training_slices(cases):
    how = aggregation_of(cases, "slice")
    assert how.slice_agatston == (0.0, 0.0, 64.0, 64.0, 64.0, 64.0)
    assert aggregation_of(cases, "patient") == Aggregation("patient")


def test_the_learning_rate_is_halved_after_two_epochs_without_gain_down_to_the_lowest():
    plateau = Plateau(rate=1e-4, lowest=4e-5, patience=2)
    assert [plateau.update(loss) for loss in (1.0, 0.9, 0.95)] == [True, True, False]
    assert plateau.rate == 1e-4
    assert not plateau.update(0.91)
    assert plateau.rate == 5e-5
    for _ in range(2):
        plateau.update(0.95)
    assert plateau.rate == 4e-5
    assert (SixClassSettings().batch, SixClassSettings().patience, SixClassSettings().lowest_rate) == (32, 2, 1e-6)


def test_the_field_is_the_middle_or_moved(cases):
    case = cases[1]
    assert field_of(case.slices, 48, None).shape == (len(case.slices), 48, 48)
    np.testing.assert_array_equal(field_of(case.slices, 48, None), case.slices[:, 4:52, 4:52] * np.float32(0.02))
    moved = [field_of(case.slices, 48, np.random.default_rng(n)) for n in range(6)]
    assert len({m.tobytes() for m in moved}) > 3


def test_training_learns_the_slices_of_patients_it_can_memorise(cases, tmp_path):
    settings = SixClassSettings(
        steps=120, batch=16, learning_rate=1e-2, averaging=0.8, epoch_steps=40, move=False, rare_share=1.0
    )
    seen = []
    trainer = SixClassTrainer(cases, cases, "slice", settings, tmp_path, TINY)
    trainer.run(lambda step, losses: seen.append(losses))
    assert np.mean([s["loss"] for s in seen[-5:]]) < 0.5 * np.mean([s["loss"] for s in seen[:5]])
    assert [n + 1 for n, s in enumerate(seen) if "validation" in s] == [40, 80, 120]
    found = evaluate_six_class(trainer.chosen(), cases, aggregation_of(cases, "slice"))
    assert found.slices.recall[2] > 0.5


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(cases, tmp_path):
    def trainer(folder):
        settings = SixClassSettings(steps=4, batch=4, epoch_steps=2, learning_rate=1e-3, checkpoint_every=1)
        return SixClassTrainer(cases, cases, "patient", settings, tmp_path / folder, TINY)

    whole = trainer("whole")
    whole.run()
    first = trainer("parts")
    for step in range(2):
        first.train(first.batch(step))
        first.step += 1
        first.after_step()
    first.save()
    second = trainer("parts")
    assert second.resume()
    assert second.plateau == first.plateau
    second.run()
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(second.network.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_the_report_gives_the_figures_of_the_papers_matrix():
    report = class_report(np.array(NGUYEN))
    assert report.precision[0] == pytest.approx(240 / 241)
    assert report.recall[2] == pytest.approx(206 / 216)
    assert report.f1[5] == pytest.approx(2 * 286 / (299 + 301))
    assert report.accuracy == pytest.approx(1339 / 1385)
    assert report.kappa.value == pytest.approx(0.960, abs=5e-4)
    assert report.means == pytest.approx((0.967, 0.970, 0.968), abs=2e-3)


def test_a_category_that_never_occurs_does_not_count():
    report = class_report(np.diag([4, 0, 2, 0, 0, 0]))
    assert np.isnan(report.recall[1])
    assert report.means == (1, 1, 1)


def test_validation_patients_choose_from_which_probability_a_slice_counts(cases, monkeypatch):
    """Empty slices look calcified with 0.6, calcified ones with 0.9: any limit between is right."""

    def said(network, slices, device):
        out = np.tile([0.4, 0.0, 0.6, 0.0, 0.0, 0.0], (len(slices), 1))
        case = next(
            c
            for c in cases
            if len(c.slices) == len(slices) and slices.tobytes() == field_of(c.slices, 48, None).tobytes()
        )
        out[case.slice_agatston > 0] = [0.1, 0.0, 0.9, 0.0, 0.0, 0.0]
        return out

    monkeypatch.setattr("CACScoringLib.training.six_class_evaluation.classify_slices", said)
    how = aggregation_of(cases, "slice")
    chosen = chosen_aggregation(AlwaysTwo(), cases, how)
    assert 0.6 < chosen.calcified_from <= 0.9
    assert chosen.slice_agatston == how.slice_agatston
    # of the limits that are right the one nearest to one half
    assert chosen.calcified_from == 0.65
    assert chosen_aggregation(AlwaysTwo(), [], how) == how
    assert chosen_aggregation(AlwaysTwo(), cases, Aggregation("patient")) == Aggregation("patient")


class AlwaysTwo:
    config = TINY

    def __call__(self, x):
        return 9.0 * torch.nn.functional.one_hot(torch.full((len(x),), 2), 6).float()


def test_both_labellings_are_measured_by_one_function(cases):
    paper = evaluate_six_class(AlwaysTwo(), cases, Aggregation("patient"))
    own = evaluate_six_class(AlwaysTwo(), cases, aggregation_of(cases, "slice"))
    assert paper.patients.accuracy == pytest.approx(1 / 3)
    assert paper.slices.recall[2] == 1
    assert paper.slices.matrix[3, 2] == len(cases[2].slices)
    # Slice-wise: every slice adds 64, so each patient has 64 for each of its slices.
    assert {row.predicted for row in own.rows} == {4}
    assert own.slices.matrix[0, 2] == sum((slice_labels(c, "slice") == 0).sum() for c in cases)
    assert [row.truth for row in own.rows] == [row.truth for row in paper.rows] == [0, 2, 3]


def test_folds_spread_every_category_and_hold_every_patient_once():
    categories = np.array([0] * 10 + [3] * 5 + [5] * 6)
    fold = patient_folds(categories)
    assert sorted(np.bincount(fold)) == [4, 4, 4, 4, 5]
    for category, least in ((0, 2), (3, 1), (5, 1)):
        assert np.bincount(fold[categories == category], minlength=5).min() >= least
    with pytest.raises(ValueError, match="5 folds of 3 patients"):
        patient_folds([0, 1, 2])


def test_cross_validation_never_tests_on_a_patient_that_it_learned_or_chose_by(cases, tmp_path, monkeypatch):
    five = [cases[0], cases[1], cases[2], replace(cases[1]), replace(cases[2])]
    used = []
    original = SixClassTrainer.__init__

    def spy(self, training, validation, *rest):
        used.append(({id(c) for c in training}, {id(c) for c in validation}))
        original(self, training, validation, *rest)

    monkeypatch.setattr(SixClassTrainer, "__init__", spy)
    settings = SixClassSettings(steps=1, batch=2, epoch_steps=1)
    found = cross_validate(five, tmp_path, "patient", settings, config=TINY)
    assert [row.truth for row in found.rows] == [0, 2, 3, 2, 3]
    assert len(used) == 5
    everyone = {id(c) for c in five}
    tested = [everyone - training - validation for training, validation in used]
    assert all(not training & validation for training, validation in used)
    assert [len(t) for t in tested] == [1] * 5
    assert set().union(*tested) == everyone
    assert len(list(tmp_path.iterdir())) == 5


def test_a_cross_validation_is_written_beside_the_papers_figures(cases, tmp_path, monkeypatch):
    rows = [SixClassRow(0, 0, np.eye(6)[0], np.array([0, 0]), np.array([0, 2]))] * 2
    found = evaluation_of([*rows, SixClassRow(3, 0, np.eye(6)[0], np.array([3]), np.array([0]))], "patient")
    asked = {}

    def folds(given, folder, labelling, settings, *, folds, resume, tick):
        asked.update(patients=len(given), steps=settings.steps, seed=settings.seed, folds=folds, resume=resume)
        tick(2, 7, {"loss": 0.5})
        return found

    monkeypatch.setattr("CACScoringLib.training.six_class_folds.cross_validate", folds)
    monkeypatch.setattr("CACScoringLib.training.six_class_folds.load_cases", lambda *_: cases)
    words = ["train", "six-class", "--output", str(tmp_path), "--patients", "6", "--steps", "9", "--folds", "5"]
    assert main([*words, "--seed", "3"]) == 0
    assert asked == {"patients": 3, "steps": 9, "seed": 3, "folds": 5, "resume": True}
    document = json.loads((tmp_path / "cross-validation-patient.json").read_text())
    assert document["patients"]["accuracy"] == pytest.approx(2 / 3, abs=1e-3)
    assert document["slices"]["accuracy"] == pytest.approx(2 / 5)
    assert document["slices"]["matrix"][0] == [2, 0, 2, 0, 0, 0]
    table = (tmp_path / "cross-validation-patient.md").read_text()
    assert "| kappa | " in table
    assert "| 0.962 |" in table
    assert "| 0 | 2 | 0 | 0 | 0 | 0 | 0 |" in table


@pytest.mark.parametrize(
    ("method", "folds", "patients", "words"),
    [
        ("convlstm", "5", "9", "for six-class"),
        ("six-class", "2", "9", "3 folds"),
        ("six-class", "5", "4", "a patient for each"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(method, folds, patients, words, tmp_path, capsys):
    output = tmp_path / "x"
    assert main(["train", method, "--output", str(output), "--folds", folds, "--patients", patients]) != 0
    assert words in capsys.readouterr().err
    assert not output.exists()


def test_the_limit_for_review_flags_the_wrong_patients_seen():
    def row(truth, predicted, p):
        share = np.full(6, (1 - p) / 5)
        share[predicted] = p
        return SixClassRow(truth, predicted, share, np.array([truth]), np.array([predicted]))

    rows = [row(0, 0, 0.9)] * 18 + [row(1, 0, 0.5), row(2, 1, 0.6)]
    limit = review_limit(evaluation_of(rows, "patient"))
    assert limit > 0.6
    assert limit == pytest.approx(0.6)
    assert review_limit(evaluation_of(rows[:18] + rows[:2], "patient")) is None
    assert review_limit(evaluation_of(rows[-2:], "patient")) is None


def test_a_written_bundle_runs(tmp_path):
    torch.manual_seed(0)
    localisers = AxisLocalisers(LocaliserConfig(channels=(4, 6), dense=4)).eval()
    for axis in localisers.axes.values():
        torch.nn.init.ones_(axis.head[-1].bias)
        torch.nn.init.zeros_(axis.head[-1].weight)
    run = {"patients": 3, "validation_patients": 1, "steps": 1, "batch": 2, "seed": 0}
    how = Aggregation("slice", (0.0, 5.0, 64.0, 64.0, 64.0, 64.0))
    bundle = write_six_class_bundle(tmp_path / "b", localisers, SixClassNet(TINY).eval(), how, run=run)
    out = predict_six_class(a_patient([8])[0], bundle=bundle)
    np.testing.assert_allclose(out.slice_category_probability.sum(axis=1), 1.0, rtol=1e-5)
    assert out.agatston is not None
    assert out.model_sha256 == bundle.sha256
    assert "category of its own Agatston score" in bundle.card


def test_an_unknown_labelling_is_refused_before_anything_is_generated(tmp_path):
    with pytest.raises(ValueError, match="patient, slice"):
        train_six_class(TrainingRequest(tmp_path, 4, 1), labelling="voxel")
    assert list(tmp_path.iterdir()) == []


def test_cases_are_shared_with_slice_regression(cases, tmp_path):
    cases[2].save(tmp_path / "case.npz")
    np.testing.assert_array_equal(SliceCase.load(tmp_path / "case.npz").slice_agatston, cases[2].slice_agatston)
