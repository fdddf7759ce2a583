from __future__ import annotations

import numpy as np
import pytest

from CACScoringLib.training.calibration import PROBABILITIES, best_probability
from CACScoringLib.training.commands import evaluation_patients, training_patients


def predicted(**columns):
    """Scores of two patients for every probability; 100 and 0 where nothing else is said."""
    out = np.tile([[100.0], [0.0]], (1, len(PROBABILITIES)))
    for name, values in columns.items():
        out[:, PROBABILITIES.index(float(name.replace("p", "0.")))] = values
    return out


def test_the_probability_with_the_smallest_logarithmic_error_is_chosen():
    wrong = np.tile([[50.0], [20.0]], (1, len(PROBABILITIES)))
    wrong[:, PROBABILITIES.index(0.7)] = [90.0, 1.0]
    choice = best_probability(np.array([100.0, 0.0]), wrong)
    assert choice.probability == 0.7
    assert choice.patients == 2
    assert choice.error[PROBABILITIES.index(0.7)] == pytest.approx((np.log(101 / 91) + np.log(2)) / 2)
    assert choice.error[0] == pytest.approx((np.log(101 / 51) + np.log(21)) / 2)


def test_of_equally_good_ones_the_nearest_to_one_half_is_chosen():
    assert best_probability(np.array([100.0, 0.0]), predicted()).probability == 0.5
    assert best_probability(np.array([100.0, 0.0]), predicted(p5=[100, 3], p55=[100, 1])).probability == 0.45


def test_a_false_speck_in_a_calcium_free_patient_weighs_more_than_the_same_points_in_a_heavy_one():
    speck = best_probability(np.array([1000.0, 0.0]), predicted() * [[10.0], [1.0]] + [[0.0], [8.0]]).error[0]
    heavy = best_probability(np.array([1000.0, 0.0]), predicted() * [[10.0], [1.0]] + [[8.0], [0.0]]).error[0]
    assert speck > 100 * heavy


def test_training_choosing_and_evaluating_never_share_a_patient():
    trained = {seed for _, seed in training_patients(5000)}
    chosen = {seed for _, seed in evaluation_patients(250, 800_000)}
    evaluated = {seed for _, seed in evaluation_patients(1000, 900_000)}
    assert not trained & chosen
    assert not trained & evaluated
    assert not chosen & evaluated
