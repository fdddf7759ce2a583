"""Agreement statistics against published worked examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cohort_samples import NGUYEN, SARTORETTI

from CACScoringLib.cohort.agreement import (
    agreement_weights,
    bland_altman,
    cohen_kappa,
    confusion_matrix,
    icc_2_1,
    icc_3_1,
    icc_agreement,
    icc_consistency,
    kappa_of_matrix,
    reclassification,
)

SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])


def test_icc_agreement_is_that_of_shrout_and_fleiss_1979():
    icc = icc_agreement(SHROUT_FLEISS)
    assert icc.value == pytest.approx(0.29, abs=0.005)
    assert (icc.low, icc.high) == pytest.approx((0.02, 0.76), abs=0.005)


def test_icc_consistency_is_that_of_shrout_and_fleiss_1979():
    icc = icc_consistency(SHROUT_FLEISS)
    assert icc.value == pytest.approx(0.71, abs=0.005)
    assert (icc.low, icc.high) == pytest.approx((0.34, 0.95), abs=0.005)


def test_agreement_punishes_a_constant_offset_and_consistency_does_not():
    a, b = [1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0]
    # rows: variance of the subject means 5/3, times 2 = 10/3; columns: 4 * (1 + 1) = 8; error 0
    # absolute: (10/3) / (10/3 + 2 * 8 / 4) = 10 / 22
    assert icc_2_1(a, b).value == pytest.approx(10 / 22)
    assert icc_3_1(a, b).value == 1


def test_icc_of_identical_scores_is_one_and_of_constant_scores_undefined():
    assert icc_2_1([1, 5, 9], [1, 5, 9]).value == 1
    assert math.isnan(icc_2_1([0, 0, 0], [0, 0, 0]).value)


def test_icc_interval_widens_with_confidence_and_covers_the_value():
    rng = np.random.default_rng(1)
    truth = rng.lognormal(4, 2, 60)
    a, b = truth, truth * rng.normal(1, 0.1, 60)
    narrow, wide = icc_2_1(a, b, confidence=0.8), icc_2_1(a, b, confidence=0.99)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high < 1


def test_icc_refuses_lists_of_different_length():
    with pytest.raises(ValueError, match="equally long"):
        icc_2_1([1, 2], [1, 2, 3])


def test_kappa_of_sartoretti_table_2_is_quadratic():
    assert kappa_of_matrix(SARTORETTI, "quadratic").value == pytest.approx(0.977, abs=0.0005)
    assert kappa_of_matrix(SARTORETTI, "linear").value != pytest.approx(0.977, abs=0.0005)


def test_reclassification_of_sartoretti_table_2_is_4_of_112():
    moved = reclassification(SARTORETTI)
    assert (moved.n, moved.changed, moved.up, moved.down, moved.by_more_than_one) == (112, 4, 3, 1, 0)
    assert moved.rate == pytest.approx(0.036, abs=0.0005)


def test_kappa_of_nguyen_figure_3_is_unweighted_and_its_errors_are_46():
    assert kappa_of_matrix(NGUYEN).value == pytest.approx(0.960, abs=0.0005)
    assert reclassification(NGUYEN).changed == 46


def test_kappa_interval_is_the_large_sample_one():
    # p = [[0.4, 0.1], [0.2, 0.3]], n = 50: observed 0.7, expected 0.5, kappa 0.4; variance of Fleiss et al. by hand:
    # A = 0.4 (1 - 1.1 * 0.6)^2 + 0.3 (1 - 0.9 * 0.6)^2 = 0.10972
    # B = 0.6^2 (0.1 * 1.1^2 + 0.2 * 0.9^2) = 0.10188, C = (0.4 - 0.5 * 0.6)^2 = 0.01
    # variance = (A + B - C) / (0.5^2 * 50) = 0.016128
    kappa = kappa_of_matrix(np.array([[20, 5], [10, 15]]))
    half = 1.959964 * math.sqrt(0.016128)
    assert kappa.value == pytest.approx(0.4)
    assert (kappa.low, kappa.high) == pytest.approx((0.4 - half, 0.4 + half), abs=1e-6)


def test_kappa_from_lists_equals_kappa_of_their_matrix():
    reference, measured = [0, 0, 1, 2, 3, 3], [0, 1, 1, 2, 3, 2]
    matrix = confusion_matrix(reference, measured, 4)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    assert cohen_kappa(reference, measured, "linear", 4) == kappa_of_matrix(matrix, "linear")


def test_perfect_kappa_is_one_and_a_single_category_is_undefined():
    assert kappa_of_matrix(np.diag([3, 4, 5]), "linear").value == 1
    assert math.isnan(kappa_of_matrix(np.array([[5, 0], [0, 0]])).value)


def test_weights_fall_with_distance():
    assert agreement_weights(3, "linear")[0].tolist() == [1, 0.5, 0]
    assert agreement_weights(3, "quadratic")[0].tolist() == [1, 0.75, 0]
    with pytest.raises(ValueError, match="quadratic"):
        agreement_weights(3, "cubic")


def test_categories_outside_the_matrix_are_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        confusion_matrix([0, 2], [0, 1], 2)


def test_bland_altman_by_hand():
    # differences 1, 3, 5: mean 3, sd 2, limits 3 -+ 1.96 * 2, interval of the mean 3 -+ 4.3027 * 2 / sqrt(3)
    limits = bland_altman([0, 0, 0], [1, 3, 5])
    assert (limits.bias.value, limits.sd) == (3, 2)
    assert (limits.low, limits.high) == pytest.approx((-0.91993, 6.91993), abs=1e-5)
    assert (limits.bias.low, limits.bias.high) == pytest.approx((-1.96828, 7.96828), abs=1e-4)
