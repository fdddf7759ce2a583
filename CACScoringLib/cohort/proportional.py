"""Whether hazards are proportional: scaled Schoenfeld residuals against a transform of time.

Grambsch and Therneau, Biometrika 1994;81:515-26: if a ratio does not change with time, its residuals do not either.
With s the sum of (centred transformed time) x (Schoenfeld residual) over the d events, V the covariance of the
coefficients and q the sum of squares of the centred times, one term is tested by d (V s)_k^2 / (V_kk q), and all
together by d s'V s / q, chi-square distributed with one degree of freedom and with one for each term. R's ``cox.zph``
printed these numbers until version 3.0 of its package ``survival``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    import pandas as pd

TRANSFORMS = ("rank", "km", "identity")
"""Of time: its rank, 1 - Kaplan-Meier just before it (R's default), itself."""


@dataclass(frozen=True)
class ProportionalHazards:
    """The test that no ratio of a model changes with time.

    Attributes
    ----------
    statistic : float
        Chi-square of all terms together; NaN where it is not defined.
    df : int
        Terms.
    p : float
    terms : mapping of str to float
        p of each term on its own.
    """

    statistic: float
    df: int
    p: float
    terms: Mapping[str, float]


def not_tested(terms: list[str]) -> ProportionalHazards:
    """Return what stands for a test that was not done."""
    return ProportionalHazards(math.nan, len(terms), math.nan, dict.fromkeys(terms, math.nan))


def proportional_hazards(
    fit: object, data: pd.DataFrame, time: str, event: str, transform: str = "rank"
) -> ProportionalHazards:
    """Test whether the ratios of a fitted model change with time.

    Parameters
    ----------
    fit : lifelines.CoxPHFitter
    data : DataFrame
        That it was fitted to.
    time, event : str
        Columns of the follow-up time and of the event, 0 or 1.
    transform : str
        One of ``TRANSFORMS``. Events at the same time share their mean rank.
    """
    terms = list(fit.params_.index)
    residuals = fit.compute_residuals(data, "schoenfeld")[terms]
    times = _transformed(data.loc[residuals.index, time].to_numpy(float), data, (time, event), transform)
    centred = times - times.mean()
    spread = float(centred @ centred)
    if not spread > 0:
        return not_tested(terms)
    covariance = fit.variance_matrix_.loc[terms, terms].to_numpy()
    weighted = centred @ residuals.to_numpy()
    scale = len(times) / spread
    single = scale * (covariance @ weighted) ** 2 / np.diag(covariance)
    overall = float(scale * weighted @ covariance @ weighted)
    p = dict(zip(terms, stats.chi2.sf(single, 1).astype(float).tolist(), strict=True))
    return ProportionalHazards(overall, len(terms), float(stats.chi2.sf(overall, len(terms))), p)


def _transformed(times: np.ndarray, data: pd.DataFrame, columns: tuple[str, str], transform: str) -> np.ndarray:
    if transform == "identity":
        return times
    if transform == "rank":
        return stats.rankdata(times)
    if transform != "km":
        raise ValueError(f"no transform of time: {transform}")
    from lifelines import KaplanMeierFitter

    survival = KaplanMeierFitter().fit(data[columns[0]], data[columns[1]]).survival_function_.iloc[:, 0]
    before = np.concatenate([[1.0], survival.to_numpy()[:-1]])
    return 1 - before[np.searchsorted(survival.index.to_numpy(float), times)]
