"""Agreement of risk categories: every scheme, precision and recall, and two tables' reclassification compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from CACScoringLib.cohort.agreement import (
    KAPPA_WEIGHTS,
    Estimate,
    Reclassification,
    confusion_matrix,
    kappa_of_matrix,
    reclassification,
)
from CACScoringLib.cohort.figures import wilson_interval
from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.scoring.risk import SCORE_DECIMALS, RiskScheme, get_scheme


@dataclass(frozen=True)
class ClassReport:
    """How well a category is found; NaN where nobody has or gets it.

    Attributes
    ----------
    name : str
    precision, recall, f1 : float
    reference, measured : int
        Cases that have it by the reference, and that get it.
    """

    name: str
    precision: float
    recall: float
    f1: float
    reference: int
    measured: int


@dataclass(frozen=True, eq=False)
class CategoryAgreement:
    """Agreement of two lists of categories.

    Attributes
    ----------
    scheme : str
        Name of the risk scheme, or of the table.
    categories : tuple of str
    matrix : ndarray of int, shape (categories, categories)
        Rows: reference.
    kappa : dict of str to Estimate
        ``unweighted``, ``linear`` and ``quadratic``.
    accuracy : Estimate
        Share of equal categories, with Wilson's interval.
    moved : Reclassification
    classes : tuple of ClassReport
    macro : ClassReport
        Mean over the categories that anyone has or gets.
    """

    scheme: str
    categories: tuple[str, ...]
    matrix: np.ndarray
    kappa: dict[str, Estimate]
    accuracy: Estimate
    moved: Reclassification
    classes: tuple[ClassReport, ...]
    macro: ClassReport

    @property
    def one_category(self) -> bool:
        """Return whether all cases are in one category by both: kappa is not defined then."""
        return int(((self.matrix.sum(0) + self.matrix.sum(1)) > 0).sum()) < 2


@dataclass(frozen=True)
class ProportionTest:
    """A two-sided z-test of two proportions.

    Attributes
    ----------
    name : str
    first, second : float
    z, p : float
        NaN where nothing differs.
    n : tuple of int
    note : str
    """

    name: str
    first: float
    second: float
    z: float
    p: float
    n: tuple[int, int]
    note: str = ""


def category_indices(scheme: RiskScheme, scores: Sequence[float]) -> np.ndarray:
    """Return the group of each score, counted from 0: ``scheme.index`` for many scores at once."""
    scores = np.round(np.asarray(scores, float), SCORE_DECIMALS)
    if len(scores) and not scores.min() >= 0:
        raise InputRefusedError(refuse("negative-score", "A score is negative or missing: scores are 0 or more."))
    index = np.searchsorted(scheme.bounds, scores, side="left" if scheme.upper_inclusive else "right")
    index[scores == 0] = scheme.index(0.0)
    return index


def agreement_in_scheme(
    scheme: str, reference: Sequence[float], measured: Sequence[float], confidence: float = 0.95
) -> CategoryAgreement:
    """Return the agreement of the categories of two series of total Agatston scores."""
    rules = get_scheme(scheme)
    a, b = (category_indices(rules, scores) for scores in (reference, measured))
    return category_agreement(confusion_matrix(a, b, len(rules.groups)), rules.groups, scheme, confidence)


def category_agreement(
    matrix: np.ndarray, categories: Sequence[str] = (), name: str = "categories", confidence: float = 0.95
) -> CategoryAgreement:
    """Return the agreement that a confusion matrix shows.

    Parameters
    ----------
    matrix : ndarray of int, shape (categories, categories)
        Counts; rows: reference.
    categories : sequence of str
        In rising order; numbered when absent.
    name : str

    Raises
    ------
    InputRefusedError
        ``category-table`` where it is not a square table of counts.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise _refused("a confusion matrix has as many columns as rows, at least two")
    if not (np.isfinite(matrix.astype(float)).all() and (matrix >= 0).all() and (matrix == np.round(matrix)).all()):
        raise _refused("a confusion matrix holds counts: whole numbers, 0 or more")
    if not matrix.sum():
        raise _refused("the confusion matrix counts nobody")
    categories = tuple(categories) or tuple(str(i) for i in range(len(matrix)))
    if len(categories) != len(matrix):
        raise _refused(f"{len(matrix)} rows cannot have {len(categories)} categories")
    matrix = matrix.astype(np.int64)
    n, right = int(matrix.sum()), int(np.trace(matrix))
    low, high = wilson_interval(np.array([right / n]), np.array([n]), confidence)
    classes = tuple(_class_report(matrix, i, name) for i, name in enumerate(categories))
    return CategoryAgreement(
        name,
        categories,
        matrix,
        {weights or "unweighted": kappa_of_matrix(matrix, weights, confidence) for weights in KAPPA_WEIGHTS},
        Estimate(right / n, float(low[0]), float(high[0]), confidence, n),
        reclassification(matrix),
        classes,
        _mean_report(classes, n),
    )


def paired_reclassification_test(first_changed: Sequence[bool], second_changed: Sequence[bool]) -> ProportionTest:
    """Return the z-test of two reclassification rates of the same cases.

    z = (b - c) / sqrt(b + c) with the cases that only the one or only the other reclassifies (McNemar, Psychometrika
    1947;12:153-7, without continuity correction); exact binomial p where these are fewer than 25.
    """
    first, second = np.asarray(first_changed, bool), np.asarray(second_changed, bool)
    if first.shape != second.shape:
        raise ValueError("a paired test needs the same cases twice")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant, n = only_first + only_second, len(first)
    rates = (float(first.mean()), float(second.mean()))
    name = "paired z-test of reclassification"
    if discordant == 0:
        return ProportionTest(name, *rates, math.nan, math.nan, (n, n), "no case is reclassified by one of them alone")
    z = (only_first - only_second) / math.sqrt(discordant)
    if discordant < 25:
        p = float(stats.binomtest(only_first, discordant).pvalue)
        return ProportionTest(name, *rates, z, p, (n, n), f"exact p; {discordant} discordant cases")
    p = float(2 * stats.norm.sf(abs(z)))
    return ProportionTest(name, *rates, z, p, (n, n), f"{discordant} discordant cases")


def proportions_test(first: int, first_n: int, second: int, second_n: int) -> ProportionTest:
    """Return the z-test of two proportions of different cases, with pooled variance.

    Examples
    --------
    >>> round(proportions_test(15, 100, 25, 100).z, 4)
    -1.7678
    """
    a, b = first / first_n, second / second_n
    pooled = (first + second) / (first_n + second_n)
    error = math.sqrt(pooled * (1 - pooled) * (1 / first_n + 1 / second_n))
    name = "z-test of two proportions"
    if error == 0:
        return ProportionTest(name, a, b, math.nan, math.nan, (first_n, second_n), "both proportions are 0 or both 1")
    z = (a - b) / error
    return ProportionTest(name, a, b, z, float(2 * stats.norm.sf(abs(z))), (first_n, second_n))


def _class_report(matrix: np.ndarray, i: int, name: str) -> ClassReport:
    right, reference, measured = int(matrix[i, i]), int(matrix[i].sum()), int(matrix[:, i].sum())
    precision = right / measured if measured else math.nan
    recall = right / reference if reference else math.nan
    f1 = 2 * right / (reference + measured) if reference + measured else math.nan
    return ClassReport(name, precision, recall, f1, reference, measured)


def _mean_report(classes: Sequence[ClassReport], n: int) -> ClassReport:
    """Return the mean over categories; what is undefined in one counts as 0 there, as scikit-learn has it."""
    there = [entry for entry in classes if entry.reference + entry.measured]

    def mean(values: list[float]) -> float:
        return float(np.mean(np.nan_to_num(values)))

    return ClassReport(
        "macro average",
        mean([entry.precision for entry in there]),
        mean([entry.recall for entry in there]),
        mean([entry.f1 for entry in there]),
        n,
        n,
    )


def _refused(what: str) -> InputRefusedError:
    return InputRefusedError(refuse("category-table", f"The category table cannot be used: {what}."))
