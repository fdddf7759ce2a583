from __future__ import annotations

import math

import numpy as np
import pytest

from CACScoringLib.cohort.reliability import (
    brier_score,
    expected_calibration_error,
    flagged_by,
    reliability,
    review_limit,
)

STATED = [0.95, 0.95, 0.95, 0.95, 0.65, 0.65, 0.25]
TRUE = [True, True, True, False, True, False, False]


def test_reliability_counts_what_came_true_in_each_bin():
    table = reliability(STATED, TRUE)
    assert [(entry.low, entry.high, entry.n) for entry in table] == [(0.2, 0.3, 1), (0.6, 0.7, 2), (0.9, 1.0, 4)]
    assert [entry.observed for entry in table] == [0.0, 0.5, 0.75]
    assert [entry.stated for entry in table] == pytest.approx([0.25, 0.65, 0.95])


def test_calibration_error_of_a_known_table():
    # (1 x 0.25 + 2 x 0.15 + 4 x 0.20) / 7
    assert expected_calibration_error(STATED, TRUE) == pytest.approx(1.35 / 7)
    assert expected_calibration_error([1.0, 0.0], [True, False]) == 0.0
    assert math.isnan(expected_calibration_error([], []))


def test_a_probability_of_one_lies_in_the_last_bin():
    assert [entry.n for entry in reliability([1.0, 0.95], [True, True])] == [2]


def test_brier_score_is_zero_when_sure_and_right_and_two_when_sure_and_wrong():
    assert brier_score(np.eye(4)[[0, 1]], [0, 1]) == 0.0
    assert brier_score(np.eye(4)[[0, 1]], [1, 0]) == 2.0
    assert brier_score([[0.7, 0.3]], [0]) == pytest.approx(0.18)


def test_the_limit_flags_the_share_of_wrong_statements_that_was_asked_for():
    probability = np.array([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99])
    right = np.array([False, True, False, True, False, True, True, True])
    limit = review_limit(probability, right, sensitivity=0.9)
    # all three wrong ones are needed; the most probable one is 0.7, the next statement 0.8
    assert (limit.below, limit.sensitivity, limit.share) == pytest.approx((0.75, 1.0, 5 / 8))
    assert (limit.wrong, limit.n) == (3, 8)
    two_of_three = review_limit(probability, right, sensitivity=0.6)
    assert (two_of_three.below, two_of_three.sensitivity, two_of_three.share) == pytest.approx((0.55, 2 / 3, 3 / 8))


def test_exactly_nine_of_ten_are_enough_for_ninety_percent():
    probability = np.r_[np.linspace(0.1, 0.9, 9), 0.99, np.full(10, 0.95)]
    limit = review_limit(probability, np.arange(20) >= 10, sensitivity=0.9)
    assert limit.sensitivity == pytest.approx(0.9)
    assert limit.below == pytest.approx((0.9 + 0.95) / 2)
    assert limit.share == pytest.approx(9 / 20)


def test_without_a_wrong_statement_nothing_is_flagged():
    limit = review_limit([0.2, 0.9], [True, True])
    assert (limit.below, limit.share, limit.wrong) == (0.0, 0.0, 0)
    assert math.isnan(limit.sensitivity)


def test_a_given_limit_is_measured_on_other_statements():
    measured = flagged_by(0.7, STATED, TRUE)
    assert (measured.sensitivity, measured.share) == pytest.approx((2 / 3, 3 / 7))


def test_lists_that_do_not_match_and_impossible_probabilities_are_refused():
    with pytest.raises(ValueError, match="equally long"):
        reliability([0.5], [True, False])
    with pytest.raises(ValueError, match="between 0 and 1"):
        reliability([1.5], [True])
