"""Everything that is said about the agreement of two score tables, in one result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CACScoringLib.cohort.agreement import (
    Estimate,
    LimitsOfAgreement,
    PairedTest,
    icc_2_1,
    icc_3_1,
)
from CACScoringLib.cohort.agreement_categories import (
    CategoryAgreement,
    ProportionTest,
    agreement_in_scheme,
    category_indices,
    paired_reclassification_test,
)
from CACScoringLib.cohort.agreement_continuous import (
    TRANSFORMS,
    Line,
    concordance_index,
    limits_of_agreement,
    lin_concordance,
    linear_regression,
    paired_t,
    wilcoxon,
)
from CACScoringLib.cohort.covariates import CovariateModel, covariate_model
from CACScoringLib.cohort.repeatability import Repeatability, repeatability
from CACScoringLib.cohort.score_pairs import FEWEST, TOTAL, ScorePairs
from CACScoringLib.cohort.tables import find_column, rows_named
from CACScoringLib.findings import Finding, InputRefusedError, refuse, warning
from CACScoringLib.scoring.risk import SCHEMES, get_scheme

MAIN_SCHEME = "spect-pet-4"


@dataclass(frozen=True)
class ScoreAgreement:
    """Agreement of one quantity: the total, or a vessel.

    Attributes
    ----------
    quantity : str
    n : int
        Cases with both scores.
    reference, measured : tuple of float
        Mean, standard deviation, median, lower and upper quartile.
    zeros : tuple of int
        Cases of score 0 by the reference, measured, and by both.
    icc_agreement, icc_consistency, ccc : Estimate
    concordance : float
    line : Line
        Measured = intercept + slope reference.
    line_reference : Line
        Reference = intercept + slope measured, as Sartoretti 2023 has it.
    limits : dict of str to LimitsOfAgreement
        By scale (``TRANSFORMS``).
    tests : tuple of PairedTest
    """

    quantity: str
    n: int
    reference: tuple[float, ...]
    measured: tuple[float, ...]
    zeros: tuple[int, int, int]
    icc_agreement: Estimate
    icc_consistency: Estimate
    ccc: Estimate
    concordance: float
    line: Line
    line_reference: Line
    limits: dict[str, LimitsOfAgreement]
    tests: tuple[PairedTest, ...]


@dataclass(frozen=True)
class Rescans:
    """Reproducibility of both sides where patients were scanned twice.

    Attributes
    ----------
    by : str
        The column that names the patient.
    reference, measured : Repeatability
        Of the total.
    difference : PairedTest
        Whether (second - first) differs between the two sides.
    """

    by: str
    reference: Repeatability
    measured: Repeatability
    difference: PairedTest


@dataclass(frozen=True)
class Rival:
    """A second measured table against the same reference, in the cases that all three have.

    Attributes
    ----------
    names : tuple of str
        The first and the second measured table.
    tests : dict of str to ProportionTest
        Reclassification rates by scheme.
    """

    names: tuple[str, str]
    tests: dict[str, ProportionTest]


@dataclass(frozen=True, eq=False)
class Agreement:
    """The agreement of two score tables.

    Attributes
    ----------
    pairs : ScorePairs or None
        None where only a confusion matrix was given.
    scores : tuple of ScoreAgreement
    categories : tuple of CategoryAgreement
        Every scheme; the main one first.
    rescans : Rescans or None
    repeat : Repeatability or None
        Of the total, where the two tables are two scans of the same patients.
    model : CovariateModel or None
    covariates : tuple of str
    rival : Rival or None
    confidence : float
    findings : tuple of Finding
    """

    pairs: ScorePairs | None
    scores: tuple[ScoreAgreement, ...] = ()
    categories: tuple[CategoryAgreement, ...] = ()
    rescans: Rescans | None = None
    repeat: Repeatability | None = None
    model: CovariateModel | None = None
    covariates: tuple[str, ...] = ()
    rival: Rival | None = None
    confidence: float = 0.95
    findings: tuple[Finding, ...] = ()

    def score(self, quantity: str) -> ScoreAgreement | None:
        """Return the agreement of one quantity, if it was compared."""
        return next((entry for entry in self.scores if entry.quantity == quantity), None)


def analyse(
    pairs: ScorePairs,
    *,
    scheme: str = MAIN_SCHEME,
    covariates: Sequence[str] = (),
    patient: str | None = None,
    rescan: bool = False,
    rival: ScorePairs | None = None,
    confidence: float = 0.95,
) -> Agreement:
    """Return the agreement of two score tables.

    Parameters
    ----------
    pairs : ScorePairs
    scheme : str
        The risk scheme that is shown first.
    covariates : sequence of str
        Columns for the model of the absolute percentage difference.
    patient : str, optional
        Column that names the patient, where patients were scanned twice.
    rescan : bool
        The two tables are two scans of the same patients by one method.
    rival : ScorePairs, optional
        Another measured table against the same reference.
    confidence : float
    """
    get_scheme(scheme)
    findings = list(pairs.findings)
    scores = tuple(
        _score_agreement(pairs, q, confidence) for q in pairs.quantities if int(pairs.has(q).sum()) >= FEWEST
    )
    categories: tuple[CategoryAgreement, ...] = ()
    if _has_categories(pairs):
        reference, measured = pairs.complete(TOTAL)
        order = [scheme, *(name for name in SCHEMES if name != scheme)]
        categories = tuple(agreement_in_scheme(name, reference, measured, confidence) for name in order)
        findings += [found for entry in categories if (found := one_category(entry, pairs))]
    model, rescans, repeat, other = None, None, None, None
    if covariates:
        model, found = covariate_model(pairs, covariates, confidence=confidence)
        findings += found
    if patient is not None:
        rescans, found = _rescans(pairs, patient, confidence)
        findings += found
    if rescan and TOTAL in pairs.quantities and int(pairs.has(TOTAL).sum()) >= FEWEST:
        repeat = repeatability(*pairs.complete(TOTAL), confidence)
    if rival is not None:
        other = compare_reclassification(pairs, rival)
        findings += rival.findings
    return Agreement(
        pairs,
        scores,
        categories,
        rescans,
        repeat,
        model,
        tuple(covariates),
        other,
        confidence,
        tuple(dict.fromkeys(findings)),
    )


def one_category(entry: CategoryAgreement, pairs: ScorePairs | None = None) -> Finding | None:
    """Return what is to be said where a scheme puts every case into the same category."""
    if not entry.one_category:
        return None
    group = entry.categories[int((entry.matrix.sum(0) + entry.matrix.sum(1)).argmax())]
    n = int(entry.matrix.sum())
    who = ""
    if pairs is not None:
        at = np.flatnonzero(pairs.has(TOTAL))
        who = f" ({rows_named([pairs.table.index[i] for i in at], [pairs.cases[i] for i in at])})"
    text = f"{entry.scheme}: all {n} cases{who} are in the category {group} by both: kappa is not defined."
    return warning("one-category", text)


def compare_reclassification(first: ScorePairs, second: ScorePairs) -> Rival:
    """Return the paired z-tests of the reclassification rates of two measured tables against one reference."""
    if not (_has_categories(first) and _has_categories(second)):
        message = "Reclassification needs total Agatston scores in all three tables."
        raise InputRefusedError(refuse("no-total", message))
    place = {case: i for i, case in enumerate(second.cases)}
    both = [(i, place[case]) for i, case in enumerate(first.cases) if case in place]
    a, b = (np.array(side, dtype=int) for side in zip(*both, strict=True)) if both else (np.zeros(0, int),) * 2
    use = first.has(TOTAL)[a] & second.has(TOTAL)[b]
    a, b = a[use], b[use]
    if not len(a):
        raise InputRefusedError(refuse("no-common-case", "No case has a score in all three tables: check --case."))
    tests = {}
    for name, scheme in SCHEMES.items():
        truth = category_indices(scheme, first.reference[TOTAL][a])
        changed = [
            category_indices(scheme, pairs.measured[TOTAL][at]) != truth for pairs, at in ((first, a), (second, b))
        ]
        tests[name] = paired_reclassification_test(*changed)
    return Rival((first.names[1], second.names[1]), tests)


def _has_categories(pairs: ScorePairs) -> bool:
    return pairs.measure == "agatston" and TOTAL in pairs.quantities and int(pairs.has(TOTAL).sum()) >= FEWEST


def _score_agreement(pairs: ScorePairs, quantity: str, confidence: float) -> ScoreAgreement:
    a, b = pairs.complete(quantity)
    return ScoreAgreement(
        quantity,
        len(a),
        _described(a),
        _described(b),
        (int((a == 0).sum()), int((b == 0).sum()), int(((a == 0) & (b == 0)).sum())),
        icc_2_1(a, b, confidence),
        icc_3_1(a, b, confidence),
        lin_concordance(a, b, confidence),
        concordance_index(a, b),
        linear_regression(a, b, confidence),
        linear_regression(b, a, confidence),
        {scale: limits_of_agreement(a, b, scale, confidence) for scale in TRANSFORMS},
        (paired_t(a, b), wilcoxon(a, b)),
    )


def _described(values: np.ndarray) -> tuple[float, ...]:
    quartiles = np.percentile(values, (50, 25, 75))
    return (float(values.mean()), float(values.std(ddof=1)), *map(float, quartiles))


def _rescans(pairs: ScorePairs, patient: str, confidence: float) -> tuple[Rescans | None, list[Finding]]:
    """Return the reproducibility of patients with exactly two complete scans, in the order of the reference's rows."""
    column = find_column(pairs.table, patient)
    if TOTAL not in pairs.quantities:
        return None, [warning("no-total", "Scan-rescan reproducibility needs a column with the total score.")]
    scans: dict[str, list[int]] = {}
    for i, (name, has) in enumerate(zip(pairs.table[column], pairs.has(TOTAL), strict=True)):
        if has and name == name and name is not None:
            scans.setdefault(str(name), []).append(i)
    twice = [at for at in scans.values() if len(at) == 2]
    other = [i for at in scans.values() if len(at) != 2 for i in at]
    found = []
    if other:
        where = rows_named([pairs.table.index[i] for i in other], [pairs.cases[i] for i in other])
        found.append(
            warning("not-two-scans", f"Not in scan-rescan, their '{column}' has not exactly two scans: {where}.")
        )
    if len(twice) < FEWEST:
        text = f"Scan-rescan needs at least {FEWEST} patients with two scans each; '{column}' gives {len(twice)}."
        return None, [*found, warning("too-few-rescans", text)]
    first, second = (np.array([at[k] for at in twice]) for k in (0, 1))
    sides = [(side[TOTAL][first], side[TOTAL][second]) for side in (pairs.reference, pairs.measured)]
    text = (
        f"{len(twice)} patients are in the agreement twice; its intervals and p values take scans as independent "
        "and are somewhat too narrow."
    )
    found.append(warning("repeated-patients", text))
    (a1, a2), (b1, b2) = sides
    rescans = Rescans(
        column, repeatability(a1, a2, confidence), repeatability(b1, b2, confidence), paired_t(a2 - a1, b2 - b1)
    )
    return rescans, found
