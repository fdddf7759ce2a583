from __future__ import annotations

import argparse

import numpy as np
import pytest

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.training.commands import add_train_arguments, evaluation_patients, training_patients
from CACScoringLib.training.evaluation import as_markdown, summarize
from CACScoringLib.training.patient_result import PatientResult, match_lesions

SPACING = (3.0, 0.5, 0.5)


def a_scan(*blocks):
    """Blocks are (z, y, x, HU, truth, predicted), 3x3 pixels each: 2.25 mm2."""
    hu = np.full((8, 40, 40), 40, np.int16)
    truth, predicted = np.zeros(hu.shape, np.uint8), np.zeros(hu.shape, np.uint8)
    for z, y, x, value, is_label, said in blocks:
        box = (z, slice(y, y + 3), slice(x, x + 3))
        hu[box], truth[box], predicted[box] = value, is_label, said
    return CTVolume(hu, SPACING, acquisition=Acquisition(kvp=120.0)), truth, predicted


def test_lesions_are_found_missed_misplaced_and_invented():
    ct, truth, predicted = a_scan(
        (1, 5, 5, 300, 2, 2),
        (1, 20, 5, 300, 3, 2),
        (3, 5, 20, 300, 4, 0),
        (5, 30, 30, 300, 0, 1),
        (6, 5, 5, 300, 11, 0),
    )
    assert match_lesions(ct, truth, predicted, 130) == (3, 2, 1, 1)


def test_lesions_that_cannot_score_are_not_counted():
    ct, truth, predicted = a_scan((1, 5, 5, 129, 2, 2), (1, 20, 20, 129, 0, 3))
    assert match_lesions(ct, truth, predicted, 130) == (0, 0, 0, 0)
    ct.hu[1, 5, 5:8] = 200
    assert match_lesions(ct, truth, predicted, 130) == (0, 0, 0, 0)
    ct.hu[1, 6, 5] = 200
    assert match_lesions(ct, truth, predicted, 130) == (1, 1, 1, 0)


def test_non_coronary_labels_are_no_coronary_lesions():
    ct, truth, predicted = a_scan((1, 5, 5, 300, 2, 11), (3, 5, 5, 300, 12, 2))
    assert match_lesions(ct, truth, predicted, 130) == (1, 0, 0, 1)


def a_result(seed, reference, predicted, groups=("0", ">0-100"), protocol="gated"):
    vessels = {"LM": 0.0, "LCX": 0.0, "RCA": 0.0}
    return PatientResult(
        protocol=protocol,
        seed=seed,
        reference={"total": reference, **vessels, "LAD": reference},
        predicted={"total": predicted, **vessels, "LAD": predicted},
        reference_category=groups[reference > 0],
        predicted_category=groups[predicted > 0],
        lesions=4,
        lesions_found=3,
        lesions_right_vessel=2,
        false_lesions=1,
        seconds=0.5 + seed,
    )


def test_the_summary_counts_as_by_hand():
    results = [a_result(0, 0.0, 0.0), a_result(1, 0.0, 5.0), a_result(2, 50.0, 48.0), a_result(3, 80.0, 0.0)]
    out = summarize(results)
    assert set(out) == {"all", "gated"}
    group = out["all"]
    assert group["patients"] == 4
    assert (group["reclassified"], group["reclassified_up"], group["reclassified_down"]) == (0.5, 1, 1)
    assert group["lesion_sensitivity"] == 0.75
    assert group["right_vessel"] == pytest.approx(2 / 3)
    assert group["false_lesions_per_scan"] == 1.0
    assert (group["zero_patients"], group["zero_scored_zero"]) == (2, 1)
    assert (group["seconds_mean"], group["seconds_max"]) == (2.0, 3.5)
    assert group["kappa_linear"] == pytest.approx(0.0)


def test_a_perfect_method_agrees_perfectly():
    results = [a_result(n, v, v) for n, v in enumerate((0.0, 0.0, 20.0, 70.0))]
    group = summarize(results)["all"]
    assert group["icc"]["total"]["value"] == pytest.approx(1.0)
    assert group["kappa_linear"] == pytest.approx(1.0)


def test_one_patient_has_no_agreement_and_is_still_summarised():
    group = summarize([a_result(0, 20.0, 18.0)])["all"]
    assert group["icc"]["total"] == {"value": None, "low": None, "high": None}
    assert group["patients"] == 1


def test_the_page_says_that_patients_are_synthetic():
    page = as_markdown(summarize([a_result(0, 0.0, 0.0), a_result(1, 9.0, 8.0)]), {"method": "multibranch-unet"})
    assert "Synthetic patients only" in page
    assert "| patients | 2 | 2 |" in page


def test_no_evaluation_patient_was_trained_on_and_protocols_share_no_seed():
    trained = {seed for _, seed in training_patients(5000)}
    evaluated = evaluation_patients(100, 900_000)
    seeds = [seed for _, seed in evaluated]
    assert not trained & set(seeds)
    assert len(set(seeds)) == len(seeds) == 400
    assert sorted({p for p, _ in evaluated}) == ["chest", "gated", "pet-ctac", "spect-ctac"]


@pytest.mark.parametrize("arguments", [["--patients", "0"], ["--steps", "-1"], ["--workers", "two"]])
def test_impossible_numbers_are_usage_errors(arguments, capsys):
    parser = argparse.ArgumentParser()
    add_train_arguments(parser)
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["multibranch-unet", "--output", "x", *arguments])
    assert end.value.code == 2
    assert arguments[0] in capsys.readouterr().err
