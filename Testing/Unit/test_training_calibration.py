from __future__ import annotations

import numpy as np
import pytest

from CACScoringLib.inference.lesions import DecisionSettings
from CACScoringLib.training.calibration import TRIED, best_settings
from CACScoringLib.training.synthetic_patients import evaluation_patients, training_patients

REFERENCE = np.array([[100.0, 0, 100, 0, 0], [0, 0, 0, 0, 0]])
"""Total, LM, LAD, LCX, RCA of a patient with calcium and one without."""
GOOD = DecisionSettings(0.7, 0.9, 0.5, 0.6)


def predicted(rows, where=None):
    """The same scores for all settings, or the reference's for all but those that ``where`` names."""
    out = np.tile(REFERENCE[:, None], (1, len(TRIED), 1))
    chosen = [n for n, settings in enumerate(TRIED) if where is None or settings == where]
    out[:, chosen] = np.asarray(rows, float)[:, None]
    return out


def test_the_settings_with_the_smallest_logarithmic_error_are_chosen():
    wrong = predicted([[50, 0, 50, 0, 0], [20, 0, 0, 0, 20]])
    wrong[:, TRIED.index(GOOD)] = [[90, 0, 90, 0, 0], [1, 0, 0, 0, 1]]
    choice = best_settings(REFERENCE, wrong)
    assert choice.settings == GOOD
    assert choice.patients == 2
    one, two = np.log(101 / 91), np.log(2)
    assert choice.error[TRIED.index(GOOD)] == pytest.approx((one + two) / 2 * (0.5 + 0.125))
    assert choice.error[0] == pytest.approx((np.log(101 / 51) + np.log(21)) / 2 * (0.5 + 0.125))


def test_calcium_in_the_wrong_vessel_is_an_error_although_the_total_is_right():
    swapped = predicted([[100, 100, 0, 0, 0], [0, 0, 0, 0, 0]])
    swapped[:, TRIED.index(GOOD)] = REFERENCE
    assert best_settings(REFERENCE, swapped).settings == GOOD


def test_among_settings_that_cannot_be_told_apart_the_left_main_decides():
    reference = np.array([[100.0, 50, 50, 0, 0], [10, 0, 10, 0, 0], [0, 0, 0, 0, 0]])
    scores = np.tile([[[100.0, 40, 60, 0, 0]], [[10, 0, 10, 0, 0]], [[0, 0, 0, 0, 0]]], (1, len(TRIED), 1))
    scores[0, TRIED.index(GOOD)] = [99, 49, 60, 0, 0]
    scores[0, TRIED.index(DecisionSettings())] = [100, 50, 49, 0, 0]
    scores[0, TRIED.index(DecisionSettings(0.6))] = [100, 50, 0, 50, 0]
    choice = best_settings(reference, scores)
    assert choice.settings == DecisionSettings()
    scores[2, TRIED.index(DecisionSettings())] = [9, 0, 9, 0, 0]
    assert best_settings(reference, scores).settings == GOOD


def test_of_equally_good_ones_the_nearest_to_the_defaults_are_chosen():
    assert best_settings(REFERENCE, predicted(REFERENCE)).settings == DecisionSettings()
    bad_default = predicted([[100, 0, 100, 0, 0], [9, 9, 0, 0, 0]], where=DecisionSettings())
    assert best_settings(REFERENCE, bad_default).settings == DecisionSettings(0.6)


def test_training_choosing_and_evaluating_never_share_a_patient():
    trained = {seed for _, seed in training_patients(5000)}
    chosen = {seed for _, seed in evaluation_patients(250, 800_000)}
    evaluated = {seed for _, seed in evaluation_patients(1000, 900_000)}
    assert not trained & chosen
    assert not trained & evaluated
    assert not chosen & evaluated
