"""Agreement between two ways of scoring: intraclass correlation, kappa, reclassification, limits of agreement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

KAPPA_WEIGHTS = (None, "linear", "quadratic")


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval; NaN where it is not defined.

    Attributes
    ----------
    value, low, high : float
    confidence : float
        Coverage of the interval, such as 0.95.
    n : int
        Subjects.
    """

    value: float
    low: float
    high: float
    confidence: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ({100 * self.confidence:g} % CI {self.low:.3f}-{self.high:.3f})"


@dataclass(frozen=True)
class Reclassification:
    """How many subjects change category.

    Attributes
    ----------
    n : int
        Subjects.
    up, down : int
        Subjects in a higher or a lower category than by the reference.
    by_more_than_one : int
        Those that move by more than one category.
    """

    n: int
    up: int
    down: int
    by_more_than_one: int

    @property
    def changed(self) -> int:
        """Return how many subjects change category."""
        return self.up + self.down

    @property
    def rate(self) -> float:
        """Return the share of subjects that change category; NaN without subjects."""
        return self.changed / self.n if self.n else math.nan


@dataclass(frozen=True)
class LimitsOfAgreement:
    """Bland and Altman, Lancet 1986;1:307-10.

    Attributes
    ----------
    bias : Estimate
        Mean of (measured - reference), with its interval.
    sd : float
        Standard deviation of the differences.
    low, high : float
        bias -+ 1.96 sd.
    low_interval, high_interval : tuple of float
        Their confidence intervals (Bland and Altman, Stat Methods Med Res 1999;8:135-60, section 2).
    """

    bias: Estimate
    sd: float
    low: float
    high: float
    low_interval: tuple[float, float] = (math.nan, math.nan)
    high_interval: tuple[float, float] = (math.nan, math.nan)


@dataclass(frozen=True)
class PairedTest:
    """A two-sided test of two measurements, or two scores, of the same subjects.

    Attributes
    ----------
    name : str
    statistic, p : float
        NaN where the test is not defined.
    n : int
        Subjects that count; of Wilcoxon's those that differ.
    note : str
        How it was done, or why it is not defined.
    """

    name: str
    statistic: float
    p: float
    n: int
    note: str = ""


def icc_2_1(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Return the intraclass correlation of two raters: two-way, absolute agreement, single measure.

    Shrout and Fleiss (Psychol Bull 1979;86:420-8) call it ICC(2,1), McGraw and Wong (Psychol Methods 1996;1:30-46)
    ICC(A,1); the estimate is the same for random and for mixed raters.

    Parameters
    ----------
    a, b : sequence of float, shape (n,)
        Scores of the same subjects.
    confidence : float

    Returns
    -------
    Estimate
    """
    return icc_agreement(_paired(a, b), confidence)


def icc_3_1(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Return the intraclass correlation of two raters: two-way, consistency, single measure (ICC(3,1), ICC(C,1))."""
    return icc_consistency(_paired(a, b), confidence)


def icc_agreement(ratings: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Return ICC(A,1) of ratings (subjects, raters), with the F-based interval of McGraw and Wong 1996, table 7."""
    n, k, rows, columns, error = _mean_squares(ratings)
    spread = rows + (k - 1) * error + k * (columns - error) / n
    if spread <= 0:
        return Estimate(math.nan, math.nan, math.nan, confidence, n)
    value = (rows - error) / spread
    if value == 1:
        return Estimate(1.0, 1.0, 1.0, confidence, n)
    if rows == error == 0:  # raters differ by a constant on subjects that do not: the interval is not defined
        return Estimate(0.0, math.nan, math.nan, confidence, n)
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    v = (a * columns + b * error) ** 2 / ((a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1)))
    quantile = (1 + confidence) / 2
    f_low, f_high = stats.f.ppf(quantile, n - 1, v), stats.f.ppf(quantile, v, n - 1)
    raters = k * columns + (k * n - k - n) * error
    low = n * (rows - f_low * error) / (f_low * raters + n * rows)
    high = n * (f_high * rows - error) / (raters + n * f_high * rows)
    return Estimate(float(value), float(low), float(high), confidence, n)


def icc_consistency(ratings: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Return ICC(C,1) of ratings (subjects, raters), with the F-based interval of McGraw and Wong 1996, table 7."""
    n, k, rows, _, error = _mean_squares(ratings)
    if rows + (k - 1) * error <= 0:
        return Estimate(math.nan, math.nan, math.nan, confidence, n)
    value = (rows - error) / (rows + (k - 1) * error)
    if error == 0:
        return Estimate(1.0, 1.0, 1.0, confidence, n)
    freedom = (n - 1) * (k - 1)
    quantile = (1 + confidence) / 2
    f_low = rows / error / stats.f.ppf(quantile, n - 1, freedom)
    f_high = rows / error * stats.f.ppf(quantile, freedom, n - 1)
    low, high = (f_low - 1) / (f_low + k - 1), (f_high - 1) / (f_high + k - 1)
    return Estimate(float(value), float(low), float(high), confidence, n)


def confusion_matrix(reference: Sequence[int], measured: Sequence[int], categories: int) -> np.ndarray:
    """Return counts (rows: reference, columns: measured) of categories 0 to ``categories - 1``."""
    reference, measured = np.asarray(reference, dtype=np.int64), np.asarray(measured, dtype=np.int64)
    if reference.shape != measured.shape:
        raise ValueError(f"two lists of categories must be equally long, not {reference.shape} and {measured.shape}")
    if len(reference) and not (
        0 <= min(reference.min(), measured.min()) <= max(reference.max(), measured.max()) < categories
    ):
        raise ValueError(f"categories must lie between 0 and {categories - 1}")
    return np.bincount(reference * categories + measured, minlength=categories**2).reshape(categories, categories)


def cohen_kappa(
    reference: Sequence[int],
    measured: Sequence[int],
    weights: str | None = None,
    categories: int | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return Cohen's kappa of two lists of categories 0, 1, 2, ...; see :func:`kappa_of_matrix`."""
    if categories is None:
        categories = int(max(np.max(reference), np.max(measured))) + 1
    return kappa_of_matrix(confusion_matrix(reference, measured, categories), weights, confidence)


def kappa_of_matrix(matrix: np.ndarray, weights: str | None = None, confidence: float = 0.95) -> Estimate:
    """Return Cohen's kappa of a confusion matrix.

    Cohen, Educ Psychol Meas 1960;20:37-46 and Psychol Bull 1968;70:213-20; large-sample interval of Fleiss, Cohen and
    Everitt, Psychol Bull 1969;72:323-7.

    Parameters
    ----------
    matrix : ndarray, shape (categories, categories)
        Counts.
    weights : None, ``linear`` or ``quadratic``
        How much less a disagreement by several categories agrees than one by one.
    confidence : float

    Returns
    -------
    Estimate
        NaN where every subject is in one and the same category; its interval where this is so for one of the two.
    """
    matrix = np.asarray(matrix, dtype=float)
    n = round(matrix.sum())
    w = agreement_weights(len(matrix), weights)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, confidence, 0)
    p = matrix / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, expected = float((w * p).sum()), float((w * np.outer(rows, columns)).sum())
    if math.isclose(expected, 1.0):
        return Estimate(math.nan, math.nan, math.nan, confidence, n)
    value = (observed - expected) / (1 - expected)
    if max(rows.max(), columns.max()) == 1:  # one of the two knows a single category: no spread to estimate from
        return Estimate(value, math.nan, math.nan, confidence, n)
    mean_weight = (w @ columns)[:, None] + (w.T @ rows)[None, :]
    spread = (p * (w * (1 - expected) - mean_weight * (1 - observed)) ** 2).sum()
    variance = (spread - (observed * expected - 2 * expected + observed) ** 2) / (n * (1 - expected) ** 4)
    half = stats.norm.ppf((1 + confidence) / 2) * math.sqrt(max(variance, 0.0))
    return Estimate(value, value - half, min(value + half, 1.0), confidence, n)


def agreement_weights(categories: int, weights: str | None) -> np.ndarray:
    """Return the agreement (1 on the diagonal) that each cell of a confusion matrix counts for."""
    if weights not in KAPPA_WEIGHTS:
        raise ValueError(f"weights must be None, 'linear' or 'quadratic', not {weights!r}")
    if weights is None:
        return np.eye(categories)
    steps = np.abs(np.subtract.outer(np.arange(categories), np.arange(categories))) / max(1, categories - 1)
    return 1 - steps ** (1 if weights == "linear" else 2)


def reclassification(matrix: np.ndarray) -> Reclassification:
    """Return how many subjects a confusion matrix (rows: reference) moves up and down."""
    matrix = np.asarray(matrix)
    return Reclassification(
        n=int(matrix.sum()),
        up=int(np.triu(matrix, 1).sum()),
        down=int(np.tril(matrix, -1).sum()),
        by_more_than_one=int(np.triu(matrix, 2).sum() + np.tril(matrix, -2).sum()),
    )


def bland_altman(reference: Sequence[float], measured: Sequence[float], confidence: float = 0.95) -> LimitsOfAgreement:
    """Return bias and 95 % limits of agreement of ``measured - reference``."""
    pairs = _paired(reference, measured)
    difference = pairs[:, 1] - pairs[:, 0]
    n = len(difference)
    if n < 2:
        raise ValueError("limits of agreement need at least two subjects")
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    t = float(stats.t.ppf((1 + confidence) / 2, n - 1))
    half = t * sd / math.sqrt(n)
    z = float(stats.norm.ppf(0.975))
    reach, around = z * sd, t * sd * math.sqrt(1 / n + z**2 / (2 * (n - 1)))
    low, high = bias - reach, bias + reach
    return LimitsOfAgreement(
        Estimate(bias, bias - half, bias + half, confidence, n),
        sd,
        low,
        high,
        (low - around, low + around),
        (high - around, high + around),
    )


def _paired(a: Sequence[float], b: Sequence[float]) -> np.ndarray:
    """Return two lists of scores as (subjects, 2)."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"two lists of scores must be equally long, not {a.shape} and {b.shape}")
    return np.stack([a, b], axis=1)


def _mean_squares(ratings: np.ndarray) -> tuple[int, int, float, float, float]:
    """Return subjects, raters and the mean squares of rows, columns and error of a two-way table."""
    x = np.asarray(ratings, dtype=float)
    n, k = x.shape
    if n < 2 or k < 2:
        raise ValueError("an intraclass correlation needs at least two subjects and two raters")
    row, column, mean = x.mean(axis=1, keepdims=True), x.mean(axis=0, keepdims=True), x.mean()
    rows = k * float(((row - mean) ** 2).sum()) / (n - 1)
    columns = n * float(((column - mean) ** 2).sum()) / (k - 1)
    error = float(((x - row - column + mean) ** 2).sum()) / ((n - 1) * (k - 1))
    return n, k, rows, columns, error
