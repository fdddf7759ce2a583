"""Lines, limits, correlations and paired tests against published examples and independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from CACScoringLib.cohort.agreement import bland_altman, icc_2_1, icc_3_1
from CACScoringLib.cohort.agreement_continuous import (
    concordance_index,
    limits_of_agreement,
    lin_concordance,
    linear_regression,
    paired_t,
    wilcoxon,
)
from CACScoringLib.cohort.repeatability import repeatability

# Bland and Altman, Lancet 1986;1:307-10, table: peak expiratory flow rate (l/min) of 17 subjects
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
WRIGHT_AGAIN = [490, 397, 512, 401, 470, 611, 415, 431, 638, 429, 420, 633, 275, 492, 165, 372, 421]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def cohort(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return skewed scores with zeros, and a noisy copy."""
    rng = np.random.default_rng(seed)
    truth = np.where(rng.random(n) < 0.3, 0.0, rng.lognormal(4, 1.6, n))
    return truth, np.maximum(truth * rng.normal(1.05, 0.15, n) + rng.normal(0, 3, n), 0).round(1)


def test_bland_and_altman_1986_bias_and_interval() -> None:
    # published: mean difference (Wright - mini) -2.1, SD 38.8, interval of the bias -22.0 to 17.8
    limits = bland_altman(MINI, WRIGHT)
    assert (limits.bias.value, limits.sd) == pytest.approx((-2.1, 38.8), abs=0.05)
    assert (limits.bias.low, limits.bias.high) == pytest.approx((-22.0, 17.8), abs=0.1)
    # their limits are bias -+ 2 SD, -79.7 to 75.5; ours with 1.96 SD
    assert (limits.low, limits.high) == pytest.approx((-2.1 - 1.96 * 38.8, -2.1 + 1.96 * 38.8), abs=0.1)


def test_the_intervals_of_the_limits_are_those_of_bland_and_altman() -> None:
    # 1986: standard error of a limit sqrt(3 s^2 / n) = 16.3, t = 2.12: half width 34.6; that 3 stands for 1 + z^2 / 2,
    # with z = 1.96 and n - 1: sqrt(38.77^2 (1 / 17 + 3.8415 / 32)) = 16.4
    limits = bland_altman(MINI, WRIGHT)
    half = (limits.low_interval[1] - limits.low_interval[0]) / 2
    assert half == pytest.approx(2.1199 * 38.765 * math.sqrt(1 / 17 + 3.8415 / 32), abs=0.02)
    assert half == pytest.approx(34.6, abs=0.5)
    assert sum(limits.high_interval) / 2 == pytest.approx(limits.high)


def test_limits_of_logarithms_give_ratios_and_zero_has_a_place() -> None:
    limits = limits_of_agreement([0, 1, 3], [0, 3, 7], "log")
    # ln ratios of (1 + score): 0, ln 2, ln 2
    assert math.exp(limits.bias.value) == pytest.approx(2 ** (2 / 3))
    assert limits_of_agreement([4, 9, 16], [9, 16, 36], "square-root").bias.value == pytest.approx(4 / 3)


def test_the_limits_cover_95_percent_of_new_differences() -> None:
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(200):
        truth = rng.normal(500, 100, 400)
        limits = bland_altman(truth, truth + rng.normal(3, 10, 400))
        new = rng.normal(3, 10, 400)
        inside.append(((new > limits.low) & (new < limits.high)).mean())
    assert np.mean(inside) == pytest.approx(0.95, abs=0.005)


def test_icc_is_that_of_an_analysis_of_variance_in_statsmodels() -> None:
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    a, b = cohort(40)
    long = pd.DataFrame({"score": np.r_[a, b], "case": np.tile(np.arange(40), 2), "side": np.repeat([0, 1], 40)})
    squares = anova_lm(ols("score ~ C(case) + C(side)", long).fit())
    rows, columns, error = (float(squares.loc[name, "mean_sq"]) for name in ("C(case)", "C(side)", "Residual"))
    assert icc_2_1(a, b).value == pytest.approx((rows - error) / (rows + error + 2 * (columns - error) / 40))
    assert icc_3_1(a, b).value == pytest.approx((rows - error) / (rows + error))


def test_the_line_and_its_intervals_are_those_of_statsmodels() -> None:
    import statsmodels.api as sm

    a, b = cohort()
    fit = sm.OLS(b, sm.add_constant(a)).fit()
    line = linear_regression(a, b)
    assert (line.intercept.value, line.slope.value) == pytest.approx(tuple(fit.params))
    assert (line.intercept.low, line.intercept.high) == pytest.approx(tuple(fit.conf_int()[0]))
    assert (line.slope.low, line.slope.high) == pytest.approx(tuple(fit.conf_int()[1]))
    assert (line.r_squared, line.p) == pytest.approx((fit.rsquared, fit.pvalues[1]))


def test_a_reference_that_does_not_vary_has_no_line() -> None:
    assert math.isnan(linear_regression([1, 1, 1], [1, 2, 3]).slope.value)


def test_lins_coefficient_by_hand() -> None:
    # means 2.5 and 3.5, variances (over n) 1.25, covariance 1.25: 2 * 1.25 / (1.25 + 1.25 + 1) = 5 / 7
    assert lin_concordance([1, 2, 3, 4], [2, 3, 4, 5]).value == pytest.approx(5 / 7)
    assert lin_concordance([1, 5, 9], [1, 5, 9]).value == 1
    assert math.isnan(lin_concordance([0, 0, 0], [0, 0, 0]).value)


def test_lins_interval_covers_the_truth() -> None:
    # bivariate normal, variances 1, correlation 0.9, shift 0.3: 2 * 0.9 / (2 + 0.09) = 0.86124
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(600):
        x = rng.normal(0, 1, 80)
        interval = lin_concordance(x, 0.3 + 0.9 * x + math.sqrt(1 - 0.81) * rng.normal(0, 1, 80))
        covered += interval.low < 1.8 / 2.09 < interval.high
    assert 0.92 < covered / 600 < 0.98


def test_the_concordance_index_is_that_of_lifelines_with_ties() -> None:
    from lifelines.utils import concordance_index as of_lifelines

    for seed in range(5):
        a, b = cohort(150, seed)
        a, b = a.round(-1), b.round(-1)
        assert concordance_index(a, b) == pytest.approx(of_lifelines(a, b))
    assert concordance_index([0, 1, 2], [5, 5, 5]) == 0.5
    assert math.isnan(concordance_index([1, 1, 1], [1, 2, 3]))


def test_paired_tests_are_those_of_scipy() -> None:
    a, b = cohort()
    student, ranks = paired_t(a, b), wilcoxon(a, b)
    assert (student.statistic, student.p) == pytest.approx(tuple(stats.ttest_rel(b, a)))
    assert ranks.p == pytest.approx(stats.wilcoxon(b, a, zero_method="wilcox", method="approx").pvalue)
    assert ranks.n == int((a != b).sum())


def test_wilcoxon_of_few_pairs_is_exact() -> None:
    # differences 1, 2, 3, 4, 5, all upwards: 2 * (1 / 2)^5
    assert wilcoxon([0, 0, 0, 0, 0], [1, 2, 3, 4, 5]).p == pytest.approx(0.0625)


def test_tests_of_identical_scores_are_not_defined_rather_than_wrong() -> None:
    assert math.isnan(paired_t([1, 2, 3], [1, 2, 3]).p)
    assert math.isnan(wilcoxon([1, 2, 3], [1, 2, 3]).p)


def test_repeatability_of_the_wright_meter() -> None:
    # Bland and Altman 1986: the sum of the squared differences of the two readings is 7966, so sw = sqrt(7966 / 34)
    repeat = repeatability(WRIGHT, WRIGHT_AGAIN)
    assert repeat.within_sd.value == pytest.approx(15.3, abs=0.05)
    assert repeat.coefficient.value == pytest.approx(1.959964 * math.sqrt(2) * math.sqrt(7966 / 34))
    assert repeat.within_sd.low < 15.3 < repeat.within_sd.high


def test_the_within_subject_variation_by_hand_without_the_calcium_free() -> None:
    # 10 and 20: variance 50, mean 15: 50 / 225; 30 and 30: 0; zeros do not count
    repeat = repeatability([10, 30, 0], [20, 30, 0])
    assert repeat.within_cv == pytest.approx(math.sqrt((50 / 225 + 0) / 2))
    assert repeat.cv_n == 2


def test_the_interval_of_the_within_subject_deviation_covers_the_truth() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(600):
        truth = rng.normal(100, 20, 25)
        interval = repeatability(truth + rng.normal(0, 5, 25), truth + rng.normal(0, 5, 25)).within_sd
        covered += interval.low < 5 < interval.high
    assert 0.92 < covered / 600 < 0.98
