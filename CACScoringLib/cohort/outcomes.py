"""What scores say about outcomes: all of paper 001's statistics of one cohort, in one result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from CACScoringLib.cohort.concordance import Concordance, concordance
from CACScoringLib.cohort.cox import CoxModel, HazardRatio, covariate_models, cox_model
from CACScoringLib.cohort.follow_up import FollowUp, Score
from CACScoringLib.cohort.net_reclassification import NetReclassification, categorical_nri
from CACScoringLib.cohort.npv import (
    PairedPredictiveValues,
    compare_negative_predictive_values,
    negative_predictive_value,
)
from CACScoringLib.cohort.survival import LogRank, SurvivalCurve, kaplan_meier, log_rank, median_follow_up
from CACScoringLib.findings import Finding, info, warning

if TYPE_CHECKING:
    from CACScoringLib.cohort.agreement import Estimate

SHORT_FOLLOW_UP = 0.1
"""More patients than this who left without an event before the median follow-up get a note beside predictive values."""


@dataclass(frozen=True)
class ScoreOutcomes:
    """Statistics of one score.

    Attributes
    ----------
    score : Score
    curves : tuple of SurvivalCurve
    log_rank : LogRank
    univariable, multivariable : CoxModel or None
    zero : Estimate
        Negative predictive value of a score of zero, for an event during the observed follow-up.
    """

    score: Score
    curves: tuple[SurvivalCurve, ...]
    log_rank: LogRank
    univariable: CoxModel | None
    multivariable: CoxModel | None
    zero: Estimate


@dataclass(frozen=True)
class Outcomes:
    """Statistics of a cohort.

    Attributes
    ----------
    patients : FollowUp
    follow_up : tuple of float
        Median and quartiles of the observed time.
    scores : tuple of ScoreOutcomes
        One, or two that are compared.
    covariates : tuple of HazardRatio
        Each covariate on its own.
    concordance : Concordance
        Of the continuous scores.
    reclassification : NetReclassification or None
        Of the second score over the first.
    zero : PairedPredictiveValues or None
        Predictive values of zero of the two scores.
    findings : tuple of Finding
    """

    patients: FollowUp
    follow_up: tuple[float, float, float]
    scores: tuple[ScoreOutcomes, ...]
    covariates: tuple[HazardRatio, ...]
    concordance: Concordance
    reclassification: NetReclassification | None
    zero: PairedPredictiveValues | None
    findings: tuple[Finding, ...]


def outcomes(patients: FollowUp, *, seed: int = 0) -> Outcomes:
    """Return the statistics of a cohort; what cannot be said is absent, and a finding says why.

    Parameters
    ----------
    patients : FollowUp
        From :func:`CACScoringLib.cohort.follow_up.follow_up`.
    seed : int
        Of the bootstrap of the net reclassification.
    """
    findings = [*patients.findings, *_short_follow_up(patients)]
    scores = []
    for score in patients.scores:
        part, found = _of_score(patients, score)
        scores.append(part)
        findings += found
    covariates, found = covariate_models(patients)
    findings += found
    measured = concordance(patients.time, patients.event, [score.value for score in patients.scores])
    reclassification = zero = None
    if len(patients.scores) == 2:
        first, second = patients.scores
        groups = len(patients.scheme.groups)
        reclassification = categorical_nri(first.category, second.category, patients.event, groups, seed=seed)
        zero = compare_negative_predictive_values(first.value == 0, second.value == 0, patients.event)
        findings += _not_compared(zero, reclassification)
    return Outcomes(
        patients,
        median_follow_up(patients),
        tuple(scores),
        covariates,
        measured,
        reclassification,
        zero,
        tuple(dict.fromkeys(findings)),
    )


def _of_score(patients: FollowUp, score: Score) -> tuple[ScoreOutcomes, list[Finding]]:
    univariable, findings = cox_model(patients, score)
    multivariable = None
    if patients.covariates.shape[1]:
        multivariable, found = cox_model(patients, score, adjusted=True)
        findings += found
    zero = negative_predictive_value(score.value == 0, patients.event)
    if not zero.n:
        findings.append(info("no-zero-scores", f"No patient has {score.name!r} = 0: zero predicts nothing."))
    curves = kaplan_meier(patients, score)
    return ScoreOutcomes(score, curves, log_rank(patients, score), univariable, multivariable, zero), findings


def _short_follow_up(patients: FollowUp) -> list[Finding]:
    """Return a note where many left early without an event: predictive values count them as free of events."""
    middle = median_follow_up(patients)[0]
    early = int(((patients.time < middle) & ~patients.event).sum())
    if early <= SHORT_FOLLOW_UP * patients.n:
        return []
    return [
        info(
            "censored-early",
            f"{early} of {patients.n} patients left without an event before the median follow-up of {middle:.3g} "
            f"{patients.unit}: predictive values and net reclassification count them as free of events, the "
            "Kaplan-Meier estimates do not.",
        )
    ]


def _not_compared(zero: PairedPredictiveValues, moved: NetReclassification) -> list[Finding]:
    findings = []
    if not math.isfinite(zero.score.p):
        findings.append(
            warning(
                "zero-not-compared",
                "The predictive values of zero are not compared: zero by one score is too rare, or the same as by the "
                "other.",
            )
        )
    if not math.isfinite(moved.z):
        findings.append(warning("nobody-moves", "No patient changes category between the two scores."))
    return findings
