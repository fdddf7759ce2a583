"""Scan-rescan reproducibility: within-subject spread of scores that were measured twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from CACScoringLib.cohort.agreement import Estimate, LimitsOfAgreement, bland_altman, icc_2_1


@dataclass(frozen=True)
class Repeatability:
    """How much two scans of the same subject differ.

    Attributes
    ----------
    n : int
        Subjects.
    icc : Estimate
        ICC(2,1) of the two scans.
    limits : LimitsOfAgreement
        Of second - first.
    within_sd : Estimate
        Within-subject standard deviation sw = sqrt(mean(d^2) / 2) (Bland and Altman, BMJ 1996;313:744).
    coefficient : Estimate
        Repeatability coefficient 1.96 sqrt(2) sw: 95 % of pairs differ by less.
    within_cv : float
        Within-subject coefficient of variation, root mean square over the subjects with calcium, as a fraction
        (Bland and Altman, BMJ 1996;313:106).
    cv_n : int
        Subjects with a mean above 0.
    """

    n: int
    icc: Estimate
    limits: LimitsOfAgreement
    within_sd: Estimate
    coefficient: Estimate
    within_cv: float
    cv_n: int


def repeatability(first: Sequence[float], second: Sequence[float], confidence: float = 0.95) -> Repeatability:
    """Return the reproducibility of two scans of each subject.

    The intervals of ``within_sd`` and ``coefficient`` are those of a variance with n degrees of freedom (chi-square).

    Parameters
    ----------
    first, second : sequence of float, shape (n,)
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    n = len(first)
    square = (first - second) ** 2
    within = math.sqrt(float(square.mean()) / 2)
    tail = (1 - confidence) / 2
    low = within * math.sqrt(n / stats.chi2.ppf(1 - tail, n))
    high = within * math.sqrt(n / stats.chi2.ppf(tail, n))
    factor = float(stats.norm.ppf(0.975)) * math.sqrt(2)
    mean = (first + second) / 2
    with_calcium = mean > 0
    cv = (
        math.sqrt(float((square[with_calcium] / 2 / mean[with_calcium] ** 2).mean()))
        if with_calcium.any()
        else math.nan
    )
    return Repeatability(
        n,
        icc_2_1(first, second, confidence),
        bland_altman(first, second, confidence),
        Estimate(within, low, high, confidence, n),
        Estimate(factor * within, factor * low, factor * high, confidence, n),
        cv,
        int(with_calcium.sum()),
    )
