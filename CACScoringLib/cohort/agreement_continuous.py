"""Agreement of two series of scores beyond the intraclass correlation: lines, limits, correlations, paired tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from CACScoringLib.cohort.agreement import Estimate, LimitsOfAgreement, PairedTest, bland_altman

TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "plain": np.asarray,
    "log": np.log1p,
    "square-root": np.sqrt,
}
"""Scales of the limits of agreement. ``log`` is ln(1 + score), as de Vos et al. 2017 have it, so that zero has a place;
the square root is that of Hokanson et al., AJR 2004;182:1327-32."""


@dataclass(frozen=True)
class Line:
    """Least squares ``y = intercept + slope x``.

    Attributes
    ----------
    slope, intercept : Estimate
        With intervals of Student's t.
    r_squared : float
    p : float
        Of a slope of 0.
    """

    slope: Estimate
    intercept: Estimate
    r_squared: float
    p: float


def linear_regression(x: Sequence[float], y: Sequence[float], confidence: float = 0.95) -> Line:
    """Return the least-squares line of ``y`` on ``x``; NaN where ``x`` does not vary."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    n = len(x)
    if n < 3 or x.min() == x.max():
        nothing = Estimate(math.nan, math.nan, math.nan, confidence, n)
        return Line(nothing, nothing, math.nan, math.nan)
    fit = stats.linregress(x, y)
    t = float(stats.t.ppf((1 + confidence) / 2, n - 2))

    def estimate(value: float, error: float) -> Estimate:
        return Estimate(float(value), float(value - t * error), float(value + t * error), confidence, n)

    r_squared = float(fit.rvalue) ** 2 if y.min() != y.max() else math.nan
    return Line(
        estimate(fit.slope, fit.stderr), estimate(fit.intercept, fit.intercept_stderr), r_squared, float(fit.pvalue)
    )


def limits_of_agreement(
    reference: Sequence[float], measured: Sequence[float], transform: str = "plain", confidence: float = 0.95
) -> LimitsOfAgreement:
    """Return bias and limits of agreement of transformed scores, in the units of the transform.

    Parameters
    ----------
    reference, measured : sequence of float, shape (n,)
        Scores, 0 or more.
    transform : str
        One of ``TRANSFORMS``. After ``log``, exp(bias) is the geometric mean of (1 + measured) / (1 + reference).
    """
    change = TRANSFORMS[transform]
    return bland_altman(change(np.asarray(reference, float)), change(np.asarray(measured, float)), confidence)


def lin_concordance(reference: Sequence[float], measured: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Return Lin's concordance correlation coefficient.

    Lin, Biometrics 1989;45:255-68, with the variance as corrected in Biometrics 2000;56:324-5; interval by Fisher's z.
    NaN where neither series varies.
    """
    x, y = np.asarray(reference, float), np.asarray(measured, float)
    n = len(x)
    vx, vy, shift = float(x.var()), float(y.var()), float(y.mean() - x.mean())
    if n < 3 or vx + vy + shift**2 == 0:
        return Estimate(math.nan, math.nan, math.nan, confidence, n)
    value = 2 * float(((x - x.mean()) * (y - y.mean())).mean()) / (vx + vy + shift**2)
    if vx == 0 or vy == 0:
        return Estimate(0.0, math.nan, math.nan, confidence, n)
    r = float(np.corrcoef(x, y)[0, 1])
    if math.isclose(abs(value), 1.0, abs_tol=1e-12):
        return Estimate(value, value, value, confidence, n)
    if r == 0:
        return Estimate(value, math.nan, math.nan, confidence, n)
    u2, c2 = shift**2 / math.sqrt(vx * vy), value**2
    spread = (1 - r**2) * c2 / ((1 - c2) * r**2)
    spread += 2 * value**3 * (1 - value) * u2 / (r * (1 - c2) ** 2) - value**4 * u2**2 / (2 * r**2 * (1 - c2) ** 2)
    half = float(stats.norm.ppf((1 + confidence) / 2)) * math.sqrt(max(spread, 0.0) / (n - 2))
    z = math.atanh(value)
    return Estimate(value, math.tanh(z - half), math.tanh(z + half), confidence, n)


def concordance_index(reference: Sequence[float], measured: Sequence[float]) -> float:
    """Return the share of pairs of subjects, different by the reference, that are in the same order when measured.

    Ties of the measured scores count half (Harrell et al., JAMA 1982;247:2543-6). It follows from Kendall's tau-b, so
    that it takes n log n steps. NaN where the reference does not vary.

    Examples
    --------
    >>> round(concordance_index([0, 10, 100, 400], [0, 20, 20, 300]), 4)
    0.9167
    """
    x, y = np.asarray(reference, float), np.asarray(measured, float)
    pairs = len(x) * (len(x) - 1) / 2
    different = pairs - _tied_pairs(x)
    if different == 0:
        return math.nan
    different_measured = pairs - _tied_pairs(y)
    if different_measured == 0:
        return 0.5
    tau = float(stats.kendalltau(x, y).statistic)
    surplus = tau * math.sqrt(different) * math.sqrt(different_measured)
    return (round(surplus) / different + 1) / 2


def paired_t(reference: Sequence[float], measured: Sequence[float]) -> PairedTest:
    """Return Student's paired t-test of measured against reference."""
    difference = np.asarray(measured, float) - np.asarray(reference, float)
    n = len(difference)
    if n < 2 or difference.min() == difference.max():
        return PairedTest("paired t", math.nan, math.nan, n, "not defined: every difference is the same")
    result = stats.ttest_1samp(difference, 0.0)
    return PairedTest("paired t", float(result.statistic), float(result.pvalue), n)


def wilcoxon(reference: Sequence[float], measured: Sequence[float]) -> PairedTest:
    """Return Wilcoxon's signed-rank test; pairs without a difference are left out, as Wilcoxon did."""
    difference = np.asarray(measured, float) - np.asarray(reference, float)
    difference = difference[difference != 0]
    n = len(difference)
    if n == 0:
        return PairedTest("Wilcoxon signed-rank", math.nan, math.nan, 0, "not defined: no pair differs")
    exact = n <= 50 and len(np.unique(np.abs(difference))) == n
    result = stats.wilcoxon(difference, method="exact" if exact else "asymptotic")
    note = "exact" if exact else "normal approximation"
    return PairedTest("Wilcoxon signed-rank", float(result.statistic), float(result.pvalue), n, note)


def _tied_pairs(values: np.ndarray) -> float:
    counts = np.unique(values, return_counts=True)[1].astype(float)
    return float((counts * (counts - 1) / 2).sum())
