"""From what the network says to calibrated probabilities: parts, the fit, the bundle, the prediction."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.inference.candidates import Candidates
from CACScoringLib.inference.confidence import MOST_SURE, UncertaintySettings, confidence, divide, features
from CACScoringLib.inference.lesion_features import FEATURES
from CACScoringLib.inference.lesions import DecisionSettings, LesionDecision
from CACScoringLib.methods.job_files import JobFileError, read_prediction, write_prediction
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.methods.uncertainty import island_confidence, scan_uncertainty
from CACScoringLib.models import open_bundle, write_bundle
from CACScoringLib.scoring.uncertainty import ScoreUncertainty, Spread, score_uncertainty
from CACScoringLib.training.calibration import choose
from CACScoringLib.training.uncertainty_fit import (
    LEAST_PATIENTS,
    JudgedPatient,
    fit_coefficients,
    fit_uncertainty,
    judge,
    out_of_fold,
)
from CACScoringLib.training.validation import SeenPatient

CT = CTVolume(np.zeros((1, 1, 1), np.int16), (3.0, 1.0, 1.0), acquisition=Acquisition(kvp=120.0))


def candidates_of(*islands):
    """Islands are (first row, pixels, HU), in rows of slice 1."""
    index, hu, lesion = [], [], []
    for number, (row, pixels, value) in enumerate(islands):
        index += [(1, row, x) for x in range(pixels)]
        hu += [value] * pixels
        lesion += [number] * pixels
    size = np.bincount(lesion, minlength=len(islands)) * CT.voxel_volume_mm3
    return Candidates(
        np.array(index, np.int32), np.array(hu, np.int16), np.array(lesion, np.int32), size.astype(np.float32)
    )


def calcium_of(candidates, *rows):
    """One row of probabilities an island."""
    return np.array(rows, np.float32)[candidates.lesion]


def test_an_island_is_divided_where_only_a_part_was_decided_to_be_coronary():
    found = candidates_of((0, 4, 200), (5, 2, 300))
    calcium = calcium_of(found, [0.4, 0, 0.6, 0, 0], [0.9, 0, 0, 0.1, 0])
    parts = divide(found, calcium, np.array([2, 2, 2, 11, 0, 0], np.uint8), CT.voxel_volume_mm3)
    assert (parts.island.tolist(), parts.coronary.tolist()) == ([0, 0, 1], [False, True, False])
    assert parts.size_mm3.tolist() == [3.0, 9.0, 6.0]
    assert parts.probability.tolist() == pytest.approx([0.6, 0.6, 0.1])
    assert parts.specks == 1  # the second island: 6 mm3


def test_the_map_that_changes_nothing_gives_the_networks_probability():
    found = candidates_of((0, 4, 200), (5, 2, 300))
    calcium = calcium_of(found, [0.4, 0, 0.6, 0, 0], [0.9, 0, 0, 0.1, 0])
    parts = divide(found, calcium, np.zeros(6, np.uint8), CT.voxel_volume_mm3)
    assert confidence(features(parts), UncertaintySettings().coefficients).tolist() == pytest.approx([0.6, 0.1])
    # odds 1.5 and 1/9, each halved by an intercept of -ln 2
    halved = confidence(features(parts), (-np.log(2), 1.0, 0.0, 0.0))
    assert halved.tolist() == pytest.approx([0.75 / 1.75, 1 / 19])


def test_nothing_is_surer_than_it_can_be():
    found = candidates_of((0, 4, 200))
    parts = divide(found, calcium_of(found, [0, 0, 1, 0, 0]), np.full(4, 2, np.uint8), CT.voxel_volume_mm3)
    assert confidence(features(parts), (0, 5.0, 0, 0)).tolist() == [1.0 - MOST_SURE]


def test_a_lesions_confidence_is_that_it_is_coronary_and_in_its_vessel():
    found = candidates_of((0, 4, 200), (5, 4, 300))
    calcium = calcium_of(found, [0.2, 0.2, 0.6, 0, 0], [0.9, 0, 0, 0.1, 0])
    label = np.array([2] * 4 + [11] * 4, np.uint8)
    decision = LesionDecision(label, np.array([2, 11], np.uint8), np.array([0.6, 0.7], np.float32))
    parts = divide(found, calcium, label, CT.voxel_volume_mm3)
    sure = island_confidence(parts, np.array([0.8, 0.1]), calcium, found, decision)
    # 0.8 x 0.6 / (0.2 + 0.6); (1 - 0.1) x 0.7
    assert sure.tolist() == pytest.approx([0.6, 0.63])


def test_category_probabilities_of_a_scan_with_two_lesions():
    # 4 mm2 x weight 2 = 8 with probability 0.6; 4 mm2 x 4 = 16 with 0.1
    found = candidates_of((0, 4, 250), (5, 4, 450))
    calcium = calcium_of(found, [0.4, 0, 0.6, 0, 0], [0.9, 0, 0, 0.1, 0])
    label = np.array([2] * 4 + [0] * 4, np.uint8)
    decision = LesionDecision(label, np.array([2, 0], np.uint8), np.array([0.6, 0.9], np.float32))
    sure, _ = scan_uncertainty(CT, found, calcium, decision, UncertaintySettings())
    five = sure.categories["clinical-5"]
    assert (five["0"], five[">0-10"], five[">10-100"]) == pytest.approx((0.36, 0.54, 0.10), abs=1e-6)
    assert sure.agatston_interval == (0.0, 8.0, 24.0)  # 0.36, 0.54, 0.04 and 0.06 for 0, 8, 16 and 24


def a_patient(rng, shift=0.0, specks=0):
    """Ten lesions whose odds to be coronary are those of the network's log-odds plus ``shift``."""
    odds = rng.normal(0, 2, 10)
    rows = np.stack([np.ones(10), odds, rng.normal(0, 1, 10), np.full(10, np.log10(1 + specks / 30))], axis=1)
    true = rng.random(10) < 1 / (1 + np.exp(-(odds + shift)))
    agatston = rng.uniform(1, 80, 10)
    stated = agatston[odds > 0].sum()
    return JudgedPatient(rows, true, agatston, float(agatston[true].sum()), float(stated))


def test_the_fit_finds_how_far_the_network_is_off():
    rng = np.random.default_rng(3)
    found = fit_coefficients([a_patient(rng, shift=-1.0) for _ in range(400)])
    assert found == pytest.approx((-1.0, 1.0, 0.0, 0.0), abs=0.12)


def test_a_patient_is_judged_by_a_map_that_never_saw_it():
    rng = np.random.default_rng(4)
    patients = [a_patient(rng) for _ in range(25)]
    whole = confidence(patients[7].rows, fit_coefficients(patients))
    without = confidence(patients[7].rows, fit_coefficients([p for n, p in enumerate(patients) if n % 5 != 2]))
    assert out_of_fold(patients)[7].tolist() == without.tolist() != whole.tolist()


def test_the_limit_reaches_the_sensitivity_that_was_asked_for():
    rng = np.random.default_rng(5)
    fit = fit_uncertainty([a_patient(rng) for _ in range(60)], sensitivity=0.9)
    assert fit.limit.wrong > 5
    assert fit.limit.sensitivity >= 0.9
    assert fit.limit.share < 1.0
    assert fit.settings.review_below == fit.limit.below
    assert fit.calibration_error < 0.2
    stored = fit.as_dict()
    assert stored["validation"]["patients"] == 60
    assert UncertaintySettings.from_bundle({"uncertainty": json.loads(json.dumps(stored))}) == fit.settings


def test_with_few_patients_nothing_is_fitted():
    rng = np.random.default_rng(6)
    assert fit_uncertainty([a_patient(rng) for _ in range(LEAST_PATIENTS - 1)]) is None


def seen_patient(probability, truth):
    """One lesion of 8 points, and its truth."""
    found = candidates_of((0, 4, 250))
    calcium = calcium_of(found, [1 - probability, 0, probability, 0, 0]).astype(np.float32)
    other = np.tile(np.array([1, 0, 0, 0, 0], np.float32), (4, 1))
    reference = np.array([8.0, 0, 8, 0, 0]) if truth else np.zeros(5)
    return SeenPatient(
        np.array(CT.spacing_mm), np.array(120.0), found.index, found.hu, found.lesion, found.size_mm3, calcium, other,
        calcium, np.zeros(0, np.int64), np.zeros((0, len(FEATURES)), np.float32),
        np.full(4, 2 if truth else 0, np.uint8), reference,
    )  # fmt: skip


def test_a_patient_survives_its_file(tmp_path):
    patient = seen_patient(0.9, True)
    patient.save(tmp_path / "gated-800000.npz")
    again = SeenPatient.load(tmp_path / "gated-800000.npz")
    assert again.ct.acquisition.kvp == 120.0
    assert again.candidates.count == 1
    assert np.array_equal(again.calcium, patient.calcium)
    assert [path.name for path in tmp_path.iterdir()] == ["gated-800000.npz"]


def test_a_patient_is_judged_by_the_decision_settings():
    judged = judge(seen_patient(0.7, True), DecisionSettings())
    assert (judged.reference, judged.stated, judged.agatston.tolist()) == (8.0, 8.0, [8.0])
    assert judged.coronary.tolist() == [True]
    assert judge(seen_patient(0.7, True), DecisionSettings(coronary_probability=0.8)).stated == 0.0


def test_decision_and_uncertainty_are_chosen_together():
    patients = [seen_patient(0.95, True), seen_patient(0.05, False), seen_patient(0.9, True), seen_patient(0.1, False)]
    choice = choose(patients * 5)
    assert choice.uncertainty.patients == 20
    assert choice.uncertainty.limit.wrong == 0
    assert choice.uncertainty.settings.review_below is None
    assert choice.as_settings()["coronary_probability"] == 0.5
    assert choice.as_settings()["uncertainty"]["validation"]["review_sensitivity"] is None
    assert "uncertainty" not in choose(patients).as_settings()


def test_damaged_settings_are_said_to_be_damaged():
    good = UncertaintySettings((0.1, 1, 0, -1), Spread(1, 0.02, 0.01, 1), 0.8).as_dict()
    assert UncertaintySettings.from_bundle({"uncertainty": good}).spread.decision == 1.0
    for change in ({"coefficients": [1, 2]}, {"spread": {}}, {"coefficients": [1, 2, 3, float("nan")]}):
        with pytest.raises(ValueError, match="damaged"):
            UncertaintySettings.from_bundle({"uncertainty": good | change})


def test_the_uncertainty_of_other_weights_is_not_used():
    good = UncertaintySettings().as_dict()
    assert UncertaintySettings.from_bundle({}) is None
    assert UncertaintySettings.from_bundle({"uncertainty": good, "tuned_from": {"id": "multibranch-unet"}}) is None


def test_settings_survive_the_bundle(tmp_path):
    stored = {"method": "multibranch-unet", "uncertainty": UncertaintySettings(review_below=0.9).as_dict()}
    write_bundle(tmp_path / "m", {"w": torch.zeros(1)}, settings=stored, metadata={}, card="", licence="")
    assert UncertaintySettings.from_bundle(open_bundle(tmp_path / "m").settings).review_below == 0.9


def a_prediction(uncertainty):
    labels = np.zeros((2, 3, 3), np.uint8)
    return Prediction("multibranch-unet", "m1", "ab12", labels, uncertainty=uncertainty)


def test_the_uncertainty_survives_the_files_of_a_worker(tmp_path):
    sure = score_uncertainty(np.array([50.0]), np.array([0.75]), review_below=0.8)
    write_prediction(tmp_path, a_prediction(sure))
    again = read_prediction(tmp_path, (2, 3, 3)).uncertainty
    assert isinstance(again, ScoreUncertainty)
    assert again == sure
    write_prediction(tmp_path, a_prediction(None))
    assert read_prediction(tmp_path, (2, 3, 3)).uncertainty is None


def test_a_damaged_uncertainty_is_refused(tmp_path):
    write_prediction(tmp_path, a_prediction(score_uncertainty(np.array([50.0]), np.array([0.75]))))
    path = tmp_path / "prediction.json"
    for damage in ({"categories": {}}, {"agatston_interval": [1]}, {"categories": {"spect-pet-4": {"0": "x"}}}, "x"):
        document = json.loads(path.read_text(encoding="utf-8"))
        whole = document["uncertainty"]
        document["uncertainty"] = damage if isinstance(damage, str) else whole | damage
        path.write_text(json.dumps(document), encoding="utf-8")
        with pytest.raises(JobFileError, match="cannot be read"):
            read_prediction(tmp_path, (2, 3, 3))
        document["uncertainty"] = whole
        path.write_text(json.dumps(document), encoding="utf-8")
