"""Predictive values of a negative test against published examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from CACScoringLib.cohort.npv import compare_negative_predictive_values, negative_predictive_value, proportion

# DTComPair 1.2.6 (Stock, Hielscher and Discacciati), data set Paired1: disease, test 1, test 2 and how many patients.
PAIRED1 = (
    (0, 0, 0, 155),
    (0, 0, 1, 22),
    (0, 1, 0, 53),
    (0, 1, 1, 31),
    (1, 0, 0, 32),
    (1, 0, 1, 22),
    (1, 1, 0, 78),
    (1, 1, 1, 319),
)


def paired1():
    """Return disease and the results of the two tests, one row a patient."""
    return np.repeat([row[:3] for row in PAIRED1], [row[3] for row in PAIRED1], axis=0).astype(bool).T


def test_generalised_score_statistic_is_that_of_dtcompairs_manual():
    # reference manual of pv.gs: NPV 0.7662338 and 0.6540881, statistic 17.78567, p 2.472383e-05
    disease, first, second = paired1()
    result = compare_negative_predictive_values(~first, ~second, disease)
    assert (result.first.value, result.second.value) == pytest.approx((0.7662338, 0.6540881), abs=1e-7)
    assert result.score.statistic == pytest.approx(17.78567, abs=1e-5)
    assert result.score.p == pytest.approx(2.472383e-05, rel=1e-6)


def test_weighted_generalised_score_statistic_is_that_of_dtcompairs_manual():
    # reference manual of pv.wgs: NPV statistic 16.5354, p 4.775012e-05
    disease, first, second = paired1()
    weighted = compare_negative_predictive_values(~first, ~second, disease).weighted
    assert (weighted.statistic, weighted.p) == (pytest.approx(16.5354, abs=1e-4), pytest.approx(4.775012e-05, rel=1e-6))


def test_positive_values_come_out_by_swapping_the_signs():
    # the manual: PPV 0.8253638 and 0.8654822; gs 5.71124070, p 0.01685662; wgs 5.46588745, p 0.01939120
    disease, first, second = paired1()
    result = compare_negative_predictive_values(first, second, ~disease)
    assert (result.first.value, result.second.value) == pytest.approx((0.82536383, 0.86548223), abs=1e-8)
    assert (result.score.statistic, result.score.p) == pytest.approx((5.71124070, 0.01685662), abs=1e-8)
    assert (result.weighted.statistic, result.weighted.p) == pytest.approx((5.46588745, 0.01939120), abs=1e-8)


def test_the_score_statistic_is_the_score_test_of_a_marginal_regression():
    # An independent implementation: generalised estimating equations with independence, one record a negative test.
    statsmodels = pytest.importorskip("statsmodels.api")
    disease, first, second = paired1()
    patient = np.concatenate([np.flatnonzero(~first), np.flatnonzero(~second)])
    which = np.concatenate([np.zeros((~first).sum()), np.ones((~second).sum())])
    order = np.argsort(patient, kind="stable")
    model = statsmodels.GEE(
        (~disease)[patient][order].astype(float),
        statsmodels.add_constant(which[order]),
        groups=patient[order],
        family=statsmodels.families.Binomial(),
    )
    null = statsmodels.GEE(
        (~disease)[patient][order].astype(float),
        np.ones((len(patient), 1)),
        groups=patient[order],
        family=statsmodels.families.Binomial(),
    ).fit()
    test = model.fit().model.compare_score_test(null)
    assert test["statistic"] == pytest.approx(17.78567, rel=1e-3)


def test_two_tests_of_different_patients_reduce_to_the_ordinary_score_test():
    # Kosinski 2013, section 3: without patients negative by both tests, the weighted form is Pearson's chi-square.
    event = np.repeat([False, True, False, True], [80, 20, 45, 30])
    first = np.repeat([True, True, False, False], [80, 20, 45, 30])
    weighted = compare_negative_predictive_values(first, ~first, event).weighted
    pearson = stats.chi2_contingency([[80, 20], [45, 30]], correction=False)
    assert (weighted.statistic, weighted.p) == pytest.approx((pearson.statistic, pearson.pvalue), rel=1e-9)


def test_the_difference_counts_a_patient_once():
    # Everybody negative by both tests gives the same value twice, without any uncertainty of the difference.
    event = np.array([True, False, False, False])
    result = compare_negative_predictive_values(np.ones(4, bool), np.ones(4, bool), event)
    assert (result.difference.value, result.difference.low, result.difference.high) == (0, 0, 0)
    assert math.isnan(result.score.p)
    assert math.isnan(result.weighted.p)


def test_the_interval_of_the_difference_agrees_with_the_bootstrap():
    disease, first, second = paired1()
    difference = compare_negative_predictive_values(~first, ~second, disease).difference
    counts = np.random.default_rng(0).multinomial(712, [row[3] / 712 for row in PAIRED1], size=20000)
    right = np.array([row[0] == 0 for row in PAIRED1])
    values = [
        (counts * (negative & right)).sum(axis=1) / (counts * negative).sum(axis=1)
        for negative in (np.array([row[1] == 0 for row in PAIRED1]), np.array([row[2] == 0 for row in PAIRED1]))
    ]
    low, high = np.quantile(values[1] - values[0], [0.025, 0.975])
    assert (difference.low, difference.high) == pytest.approx((low, high), abs=0.002)


def test_negative_predictive_value_counts_negative_tests_only():
    value = negative_predictive_value([True, True, True, True, False], [False, False, False, True, True])
    assert (value.value, value.n) == (0.75, 4)


def test_wilsons_interval_is_that_of_the_literature():
    # Newcombe, Stat Med 1998;17:857-72, table I: 81 of 263 gives 0.2553 to 0.3662
    share = proportion(81, 263)
    assert (share.low, share.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_nobody_negative_is_undefined():
    result = compare_negative_predictive_values([False, False], [True, False], [True, False])
    assert math.isnan(result.first.value)
    assert math.isnan(result.difference.value)
    assert math.isnan(result.score.statistic)


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match="equally long"):
        negative_predictive_value([True], [True, False])
