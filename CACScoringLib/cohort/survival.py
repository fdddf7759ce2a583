"""Event-free survival by category: Kaplan-Meier curves with numbers at risk, and log-rank tests.

The estimates are those of lifelines: Kaplan and Meier (J Am Stat Assoc 1958;53:457-81) with the log-log interval of
Kalbfleisch and Prentice, and the log-rank test (Mantel, Cancer Chemother Rep 1966;50:163-70).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from CACScoringLib.cohort.agreement import Estimate
from CACScoringLib.cohort.extras import require
from CACScoringLib.cohort.follow_up import FollowUp, Score


@dataclass(frozen=True)
class SurvivalCurve:
    """Event-free survival of one category.

    Attributes
    ----------
    category : int
    name : str
    n, events : int
    time, survival, low, high : ndarray, shape (steps,)
        Right-continuous step function with its 95 % interval, from time 0.
    exits : ndarray, shape (n,)
        Sorted times at which patients leave.
    """

    category: int
    name: str
    n: int
    events: int
    time: np.ndarray
    survival: np.ndarray
    low: np.ndarray
    high: np.ndarray
    exits: np.ndarray

    def at_risk(self, times: Sequence[float]) -> np.ndarray:
        """Return how many are still followed, without an event, just before each time."""
        return self.n - np.searchsorted(self.exits, times, side="left")

    def at(self, time: float) -> Estimate:
        """Return the survival at a time; NaN where nobody is followed so long."""
        at_risk = int(self.at_risk([time])[0])
        if at_risk == 0:
            return Estimate(math.nan, math.nan, math.nan, 0.95, 0)
        step = int(np.searchsorted(self.time, time, side="right")) - 1
        return Estimate(float(self.survival[step]), float(self.low[step]), float(self.high[step]), 0.95, at_risk)


@dataclass(frozen=True)
class LogRank:
    """Log-rank tests between categories; NaN and empty where there is one category only.

    Attributes
    ----------
    statistic, p : float
        Of all categories at once, with (categories - 1) degrees of freedom.
    pairs : tuple of (str, str, float, float)
        Two categories, the p of their own test, and that p adjusted for the number of pairs by Holm
        (Scand J Stat 1979;6:65-70).
    """

    statistic: float
    p: float
    pairs: tuple[tuple[str, str, float, float], ...]


def kaplan_meier(patients: FollowUp, score: Score) -> tuple[SurvivalCurve, ...]:
    """Return the event-free survival in every category of a score that holds a patient."""
    require("lifelines")
    from lifelines import KaplanMeierFitter

    curves = []
    for category, name in patients.groups(score):
        inside = score.category == category
        time, event = patients.time[inside], patients.event[inside]
        fit = KaplanMeierFitter(alpha=0.05).fit(time, event)
        band = fit.confidence_interval_survival_function_.to_numpy()
        curves.append(
            SurvivalCurve(
                category=category,
                name=name,
                n=len(time),
                events=int(event.sum()),
                time=fit.survival_function_.index.to_numpy(dtype=float),
                survival=fit.survival_function_.iloc[:, 0].to_numpy(),
                low=band[:, 0],
                high=band[:, 1],
                exits=np.sort(time),
            )
        )
    return tuple(curves)


def log_rank(patients: FollowUp, score: Score) -> LogRank:
    """Return the log-rank tests between the categories of a score: all at once, and each pair."""
    require("lifelines")
    from lifelines.statistics import logrank_test, multivariate_logrank_test

    groups = patients.groups(score)
    if len(groups) < 2:
        return LogRank(math.nan, math.nan, ())
    overall = multivariate_logrank_test(patients.time, score.category, patients.event)
    raw = []
    for (i, _), (j, _) in combinations(groups, 2):
        a, b = score.category == i, score.category == j
        if not patients.event[a | b].any():
            raw.append(math.nan)
            continue
        test = logrank_test(patients.time[a], patients.time[b], patients.event[a], patients.event[b])
        raw.append(float(test.p_value))
    names = [(first, second) for (_, first), (_, second) in combinations(groups, 2)]
    adjusted = holm(raw)
    pairs = tuple((*names[k], raw[k], adjusted[k]) for k in range(len(raw)))
    return LogRank(float(overall.test_statistic), float(overall.p_value), pairs)


def holm(p: Sequence[float]) -> list[float]:
    """Return p values adjusted by Holm; NaN stays NaN and does not count."""
    require("statsmodels")
    from statsmodels.stats.multitest import multipletests

    values = np.asarray(p, dtype=float)
    known = np.isfinite(values)
    if known.any():
        values[known] = multipletests(values[known], method="holm")[1]
    return values.tolist()


def median_follow_up(patients: FollowUp) -> tuple[float, float, float]:
    """Return median and quartiles of the observed follow-up time."""
    low, middle, high = np.quantile(patients.time, [0.25, 0.5, 0.75])
    return float(middle), float(low), float(high)
