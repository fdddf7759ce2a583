"""Proportional hazards: hazard ratios of the categories and of covariates, and whether they may be called that.

Cox, J R Stat Soc B 1972;34:187-220, with ties as Efron (J Am Stat Assoc 1977;72:557-65), fitted by lifelines. Whether
hazards are proportional is tested term by term and for the whole model: ``CACScoringLib.cohort.proportional``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.cohort.extras import require
from CACScoringLib.cohort.follow_up import FollowUp, Score
from CACScoringLib.cohort.number_words import p_words
from CACScoringLib.cohort.proportional import ProportionalHazards, not_tested, proportional_hazards
from CACScoringLib.findings import Finding, warning

if TYPE_CHECKING:
    import pandas as pd

EVENTS_PER_TERM = 5
"""Fewer events for each term than this: no model. Vittinghoff and McCulloch, Am J Epidemiol 2007;165:710-18."""
EVENTS_PER_TERM_SAFE = 10
"""Fewer than this: a warning. Peduzzi et al., J Clin Epidemiol 1995;48:1503-10."""
PROPORTIONAL_P = 0.05
"""Below this, hazards are called not proportional."""


@dataclass(frozen=True)
class HazardRatio:
    """Hazard ratio of a category against the reference, or of one unit of a covariate.

    Attributes
    ----------
    name : str
    ratio, low, high, p : float
        With the 95 % Wald interval. NaN for the reference category (ratio 1).
    schoenfeld_p : float
        Of the hypothesis that this ratio does not change with time.
    n, events : int or None
        Of the category; None for a covariate.
    reference : bool
    """

    name: str
    ratio: float
    low: float
    high: float
    p: float
    schoenfeld_p: float
    n: int | None = None
    events: int | None = None
    reference: bool = False


@dataclass(frozen=True)
class CoxModel:
    """A fitted model.

    Attributes
    ----------
    terms : tuple of HazardRatio
        The categories, the reference first, then the covariates.
    n, events : int
    concordance : float
        Harrell's C of the model's risk.
    likelihood_ratio_p : float
        Of the hypothesis that no term matters.
    proportional : ProportionalHazards
        Of the hypothesis that no ratio changes with time.
    """

    terms: tuple[HazardRatio, ...]
    n: int
    events: int
    concordance: float
    likelihood_ratio_p: float
    proportional: ProportionalHazards


def cox_model(
    patients: FollowUp, score: Score, *, adjusted: bool = False, check: bool = True
) -> tuple[CoxModel | None, list[Finding]]:
    """Return hazard ratios of a score's categories against the lowest one that holds a patient.

    Parameters
    ----------
    patients : FollowUp
    score : Score
    adjusted : bool
        With the covariates in the model.
    check : bool
        Test whether hazards are proportional, which takes as long as the fit.

    Returns
    -------
    CoxModel or None
        None where there are not two categories, where a category has no event, where there are fewer than
        :data:`EVENTS_PER_TERM` events for each term, or where the fit does not converge.
    list of Finding
        Why there is no model, or what casts doubt on it.
    """
    groups = patients.groups(score)
    if len(groups) < 2 or not all(patients.event[score.category == i].any() for i, _ in groups):
        return None, []  # said by follow_up, with the rows
    design = _categories(score, groups)
    if adjusted:
        design = design.join(patients.covariates)
    what = f"The {'multivariable' if adjusted else 'univariable'} model of {score.name!r}"
    findings = _enough_events(patients, design.shape[1], what)
    if any(finding.code == "too-few-events" for finding in findings):
        return None, findings
    fit, trouble = _fit(patients, design, what)
    if fit is None:
        return None, [*findings, *trouble]
    proportional = _proportional(fit, patients, design) if check else not_tested(list(design))
    terms = _terms(patients, score, groups, design, fit, proportional.terms)
    findings += _not_proportional(what, proportional)
    likelihood_ratio = fit.log_likelihood_ratio_test()
    model = CoxModel(
        tuple(terms),
        patients.n,
        int(patients.event.sum()),
        float(fit.concordance_index_),
        float(likelihood_ratio.p_value),
        proportional,
    )
    return model, findings


def covariate_models(patients: FollowUp) -> tuple[tuple[HazardRatio, ...], list[Finding]]:
    """Return the hazard ratio of each covariate on its own."""
    ratios, findings = [], []
    for name in patients.covariates.columns:
        design = patients.covariates[[name]]
        what = f"The univariable model of {name!r}"
        found = _enough_events(patients, 1, what)
        if not any(finding.code == "too-few-events" for finding in found):
            fit, trouble = _fit(patients, design, what)
            found += trouble
            if fit is not None:
                proportional = _proportional(fit, patients, design)
                found += _not_proportional(what, proportional)
                ratios.append(_ratio(name, fit.summary.loc[name], proportional.terms[name]))
        findings += found
    return tuple(ratios), findings


def _categories(score: Score, groups: Sequence[tuple[int, str]]) -> pd.DataFrame:
    """Return a column of 0 and 1 for every category but the lowest."""
    import pandas as pd

    return pd.DataFrame({f"category {name}": (score.category == i).astype(float) for i, name in groups[1:]})


def _enough_events(patients: FollowUp, terms: int, what: str) -> list[Finding]:
    events = int(patients.event.sum())
    words = f"{events} events for {terms} {'term' if terms == 1 else 'terms'}"
    if events < EVENTS_PER_TERM * terms:
        return [
            warning(
                "too-few-events",
                f"{what} is not fitted: {words}, and at least {EVENTS_PER_TERM} for each are needed; "
                "leave out covariates or choose broader categories.",
            )
        ]
    if events < EVENTS_PER_TERM_SAFE * terms:
        return [
            warning("few-events", f"{what} has {words}; with fewer than {EVENTS_PER_TERM_SAFE} for each, be careful.")
        ]
    return []


def _fit(patients: FollowUp, design: pd.DataFrame, what: str) -> tuple[object | None, list[Finding]]:
    """Return a fitted model, or None and why it could not be fitted."""
    require("lifelines")
    import warnings

    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError, ConvergenceWarning

    if np.linalg.matrix_rank(np.column_stack([np.ones(len(design)), design.to_numpy()])) <= design.shape[1]:
        return None, [warning("collinear-covariates", f"{what} is not fitted: {', '.join(design)} repeat one another.")]
    data = design.assign(_time=patients.time, _event=patients.event.astype(int))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            fit = CoxPHFitter(alpha=0.05).fit(data, "_time", "_event")
    except (ConvergenceError, ConvergenceWarning, np.linalg.LinAlgError):
        return None, [
            warning(
                "no-convergence",
                f"{what} does not converge: one of {', '.join(design)} tells events from the others perfectly, or "
                "nearly repeats another; leave it out.",
            )
        ]
    return fit, []


def _proportional(fit: object, patients: FollowUp, design: pd.DataFrame) -> ProportionalHazards:
    data = design.assign(_time=patients.time, _event=patients.event.astype(int))
    return proportional_hazards(fit, data, "_time", "_event")


def _not_proportional(what: str, proportional: ProportionalHazards) -> list[Finding]:
    """Return a warning where a term, or all together, change with time."""
    bad = {name: p for name, p in proportional.terms.items() if p < PROPORTIONAL_P}
    overall = f"{p_words(proportional.p)} for the whole model"
    if bad:
        words = ", ".join(f"{name} ({p_words(p)})" for name, p in bad.items())
        words += f"; {overall}" if proportional.df > 1 else ""
    elif proportional.p < PROPORTIONAL_P:
        words = f"the terms together ({overall}), none of them alone"
    else:
        return []
    return [
        warning(
            "hazards-not-proportional",
            f"{what}: Schoenfeld residuals depend on time for {words}. The ratio is an average over the follow-up.",
        )
    ]


def _terms(
    patients: FollowUp,
    score: Score,
    groups: Sequence[tuple[int, str]],
    design: pd.DataFrame,
    fit: object,
    schoenfeld: Mapping[str, float],
) -> list[HazardRatio]:
    terms, summary = [], fit.summary
    for place, (i, name) in enumerate(groups):
        inside = score.category == i
        counts = {"n": int(inside.sum()), "events": int(patients.event[inside].sum())}
        if place == 0:
            nothing = math.nan
            terms.append(HazardRatio(name, 1.0, nothing, nothing, nothing, nothing, **counts, reference=True))
        else:
            column = f"category {name}"
            terms.append(_ratio(name, summary.loc[column], schoenfeld[column], **counts))
    covariates = [column for column in design.columns if column in patients.covariates.columns]
    return [*terms, *(_ratio(column, summary.loc[column], schoenfeld[column]) for column in covariates)]


def _ratio(name: str, row: pd.Series, schoenfeld_p: float, **counts: int) -> HazardRatio:
    return HazardRatio(
        name,
        float(row["exp(coef)"]),
        float(row["exp(coef) lower 95%"]),
        float(row["exp(coef) upper 95%"]),
        float(row["p"]),
        float(schoenfeld_p),
        **counts,
    )
