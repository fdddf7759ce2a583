"""Predictive value of a negative test, such as a score of zero, and its comparison between two tests of one patient.

A negative test is right where no event followed. Two scores of the same patients are compared by the generalised
score statistic of Leisenring, Alonzo and Pepe (Biometrics 2000;56:345-51), as paper 001 does, and by its weighted form
(Kosinski, Stat Med 2013;32:964-77), which keeps its error rate better where the two groups differ in size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from CACScoringLib.cohort.agreement import Estimate, PairedTest

SCORE_TEST, WEIGHTED_TEST = "generalised score", "weighted generalised score"


@dataclass(frozen=True)
class PairedPredictiveValues:
    """Negative predictive values of two tests of the same patients.

    Attributes
    ----------
    first, second : Estimate
        Wilson's interval; ``n`` counts the negative tests.
    difference : Estimate
        second - first, with the interval of the linearised variance that counts a patient once.
    score : PairedTest
        Generalised score statistic, Leisenring, Alonzo and Pepe 2000.
    weighted : PairedTest
        Weighted generalised score statistic, Kosinski 2013.
    """

    first: Estimate
    second: Estimate
    difference: Estimate
    score: PairedTest
    weighted: PairedTest


def proportion(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """Return a proportion with the interval of Wilson (J Am Stat Assoc 1927;22:209-12); NaN without subjects."""
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, confidence, 0)
    interval = stats.binomtest(int(successes), int(n)).proportion_ci(confidence, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), confidence, int(n))


def negative_predictive_value(negative: Sequence[bool], event: Sequence[bool], confidence: float = 0.95) -> Estimate:
    """Return the share of negative tests without an event.

    Parameters
    ----------
    negative : sequence of bool, shape (n,)
        Whether the test is negative, such as a score of zero.
    event : sequence of bool, shape (n,)
        Whether an event followed.
    confidence : float
    """
    negative, event = _flags(negative, event)
    return proportion(int((negative & ~event).sum()), int(negative.sum()), confidence)


def compare_negative_predictive_values(
    first: Sequence[bool], second: Sequence[bool], event: Sequence[bool], confidence: float = 0.95
) -> PairedPredictiveValues:
    """Compare the negative predictive values of two tests done in the same patients.

    Parameters
    ----------
    first, second : sequence of bool, shape (n,)
        Whether each test is negative.
    event : sequence of bool, shape (n,)
    confidence : float

    Returns
    -------
    PairedPredictiveValues
        Statistics and difference are NaN where a test is never negative, or where the two are negative in the
        same patients.
    """
    first, second, event = _flags(first, second, event)
    values = [negative_predictive_value(negative, event, confidence) for negative in (first, second)]
    n = int((first | second).sum())
    undefined = [PairedTest(name, math.nan, math.nan, n) for name in (SCORE_TEST, WEIGHTED_TEST)]
    if not (values[0].n and values[1].n):
        nothing = Estimate(math.nan, math.nan, math.nan, confidence, len(event))
        return PairedPredictiveValues(*values, nothing, *undefined)
    right = (~event).astype(float)
    difference = _difference(first, second, right, values, confidence)
    if np.array_equal(first, second):
        return PairedPredictiveValues(*values, difference, *undefined)
    return PairedPredictiveValues(
        *values, difference, _score_test(first, second, right), _weighted_score_test(first, second, right)
    )


def _score_test(first: np.ndarray, second: np.ndarray, right: np.ndarray) -> PairedTest:
    """Return the score test of the slope in a marginal regression of ``right`` on which test was negative.

    Each negative test is a record; under the null hypothesis all share one mean. A patient gives the sum over his
    records of (centred indicator of the second test) x (right - mean), and the empirical variance is the sum of
    squares of what the patients give.
    """
    records = first.astype(float) + second
    mean = (records * right).sum() / records.sum()
    share = second.sum() / records.sum()
    given = (second * (1 - share) - first * share) * (right - mean)
    return _chi_square(SCORE_TEST, given.sum() ** 2, (given**2).sum(), int((records > 0).sum()))


def _weighted_score_test(first: np.ndarray, second: np.ndarray, right: np.ndarray) -> PairedTest:
    """Return Kosinski's statistic: squared difference over its variance with the pooled value."""
    n1, n2 = first.sum(), second.sum()
    both = (first & second).astype(float)
    records = first.astype(float) + second
    mean = (records * right).sum() / records.sum()
    shared = (both * (right - mean) ** 2).sum() / (n1 + n2)
    difference = (second * right).sum() / n2 - (first * right).sum() / n1
    variance = (mean * (1 - mean) - 2 * shared) * (1 / n1 + 1 / n2)
    return _chi_square(WEIGHTED_TEST, difference**2, variance, int((records > 0).sum()))


def _difference(
    first: np.ndarray, second: np.ndarray, right: np.ndarray, values: list[Estimate], confidence: float
) -> Estimate:
    """Return second - first; a patient counts once in the variance, whichever tests were negative."""
    influence = second * (right - values[1].value) / values[1].n - first * (right - values[0].value) / values[0].n
    value = values[1].value - values[0].value
    half = float(stats.norm.ppf((1 + confidence) / 2)) * math.sqrt(float((influence**2).sum()))
    return Estimate(value, value - half, value + half, confidence, int((first | second).sum()))


def _chi_square(name: str, square: float, variance: float, n: int) -> PairedTest:
    """Return a statistic that is chi-square distributed with one degree of freedom where nothing differs."""
    if not variance > 0:
        return PairedTest(name, math.nan, math.nan, n)
    return PairedTest(name, float(square / variance), float(stats.chi2.sf(square / variance, 1)), n)


def _flags(*columns: Sequence[bool]) -> list[np.ndarray]:
    """Return equally long lists as arrays of bool."""
    flags = [np.asarray(column, dtype=bool) for column in columns]
    if any(flag.ndim != 1 or flag.shape != flags[0].shape for flag in flags):
        raise ValueError("tests and events must be equally long lists")
    return flags
