"""Whether stated probabilities are kept: reliability, calibration error, and the limit for a second look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """Statements of about the same probability.

    Attributes
    ----------
    low, high : float
        Bounds of the bin.
    n : int
        Statements.
    stated : float
        Their mean probability.
    observed : float
        Share that came true.
    """

    low: float
    high: float
    n: int
    stated: float
    observed: float


@dataclass(frozen=True)
class ReviewLimit:
    """A limit below which statements are looked at again, and what it does.

    Attributes
    ----------
    below : float
        Statements less probable than this are flagged.
    sensitivity : float
        Share of the wrong statements that are flagged; NaN without any wrong one.
    share : float
        Share of all statements that are flagged.
    wrong, n : int
    """

    below: float
    sensitivity: float
    share: float
    wrong: int
    n: int


def reliability(probability: Sequence[float], came_true: Sequence[bool], bins: int = BINS) -> list[ReliabilityBin]:
    """Return the bins of equal width that hold statements.

    Parameters
    ----------
    probability : sequence of float, shape (n,)
        Stated probabilities, 0 to 1.
    came_true : sequence of bool, shape (n,)
    bins : int
    """
    p, true = _statements(probability, came_true)
    number = np.minimum((p * bins).astype(int), bins - 1)
    return [
        ReliabilityBin(k / bins, (k + 1) / bins, int(at.sum()), float(p[at].mean()), float(true[at].mean()))
        for k in range(bins)
        if (at := number == k).any()
    ]


def expected_calibration_error(probability: Sequence[float], came_true: Sequence[bool], bins: int = BINS) -> float:
    """Return the mean difference of stated and observed probability, weighted by the statements of each bin.

    Naeini, Cooper and Hauskrecht, AAAI 2015:2901-7; Guo et al., ICML 2017:1321-30.

    Examples
    --------
    >>> expected_calibration_error([0.95, 0.95, 0.65, 0.65], [True, True, True, False])
    0.1
    """
    table = reliability(probability, came_true, bins)
    n = sum(entry.n for entry in table)
    return round(sum(entry.n * abs(entry.stated - entry.observed) for entry in table) / n, 12) if n else math.nan


def brier_score(probabilities: np.ndarray, category: Sequence[int]) -> float:
    """Return the mean squared error of category probabilities: 0 is best, 2 worst (Brier, Mon Weather Rev 1950;78:1-3).

    Parameters
    ----------
    probabilities : ndarray, shape (n, categories)
    category : sequence of int, shape (n,)
        What came true.
    """
    probabilities = np.asarray(probabilities, float)
    return float(((probabilities - np.eye(probabilities.shape[1])[np.asarray(category)]) ** 2).sum(axis=1).mean())


def review_limit(probability: Sequence[float], right: Sequence[bool], sensitivity: float = 0.9) -> ReviewLimit:
    """Return the lowest limit that flags at least a share of the wrong statements.

    The limit lies midway between the most probable wrong statement that has to be flagged and the next statement above.

    Parameters
    ----------
    probability : sequence of float, shape (n,)
        Of each statement.
    right : sequence of bool, shape (n,)
        Whether it was right.
    sensitivity : float
        Share of the wrong ones to flag.
    """
    p, right = _statements(probability, right)
    wrong = np.sort(p[~right])
    if not len(wrong):
        return ReviewLimit(0.0, math.nan, 0.0, 0, len(p))
    needed = wrong[math.ceil(sensitivity * len(wrong) - 1e-9) - 1]
    above = p[p > needed]
    return flagged_by((needed + (above.min() if len(above) else 1.0)) / 2.0, p, right)


def flagged_by(below: float, probability: Sequence[float], right: Sequence[bool]) -> ReviewLimit:
    """Return what a limit does to statements."""
    p, right = _statements(probability, right)
    flagged = p < below
    wrong = int((~right).sum())
    sensitivity = float((flagged & ~right).sum() / wrong) if wrong else math.nan
    return ReviewLimit(float(below), sensitivity, float(flagged.mean()) if len(p) else math.nan, wrong, len(p))


def _statements(probability: Sequence[float], came_true: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    p, true = np.asarray(probability, float), np.asarray(came_true, bool)
    if p.ndim != 1 or p.shape != true.shape:
        raise ValueError(f"probabilities and outcomes must be equally long, not {p.shape} and {true.shape}")
    if len(p) and not (p.min() >= -1e-9 and p.max() <= 1 + 1e-9):
        raise ValueError("probabilities lie between 0 and 1")
    return p, true
