"""The agreement of two score tables as rows of tables and as a methods paragraph."""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from CACScoringLib import __version__
from CACScoringLib.cohort.agreement import Estimate, LimitsOfAgreement
from CACScoringLib.cohort.agreement_analysis import Agreement, ScoreAgreement
from CACScoringLib.cohort.agreement_categories import CategoryAgreement
from CACScoringLib.cohort.repeatability import Repeatability
from CACScoringLib.cohort.score_pairs import BASIS, MEASURES, ScorePairs
from CACScoringLib.scoring.risk import SCHEMES

FIELDS = ("group", "name", "statistic", "value", "low", "high", "p", "n", "note")
"""The columns of ``agreement.csv``: one statistic a row."""
CONTINUOUS = (
    "Agreement of continuous scores was assessed with two-way intraclass correlation coefficients of single "
    "measures for absolute agreement, ICC(2,1), and consistency, ICC(3,1) (Shrout and Fleiss 1979; intervals of McGraw "
    "and Wong 1996), Lin's concordance correlation coefficient, linear regression, the concordance index, and "
    "Bland-Altman analysis of plain, ln(1 + score) and square-root transformed scores, with intervals for bias and "
    "limits of agreement. Paired differences were tested with Student's paired t-test and Wilcoxon's signed-rank test."
)
CATEGORICAL = (
    "Their agreement was assessed with Cohen's kappa, unweighted and with linear and quadratic weights (large-sample "
    "intervals of Fleiss, Cohen and Everitt 1969), the share of reclassified cases, and precision, recall and F1 score "
    "of each category."
)
RESCAN = (
    "Scan-rescan reproducibility was described by the within-subject standard deviation, the repeatability coefficient "
    "(1.96 × √2 × within-subject standard deviation) and the root-mean-square within-subject coefficient of variation "
    "(Bland and Altman 1996)."
)
COVARIATES = (
    "The absolute percentage difference of the total score was modelled by a generalised linear model (Gaussian, "
    "identity link, iteratively reweighted least squares)"
)
PAIRED = "a z-test for paired proportions (exact where fewer than 25 cases were discordant)"


def rows(result: Agreement) -> Iterator[dict[str, Any]]:
    """Yield every statistic as a row of ``FIELDS``; what is not defined is None."""
    for score in result.scores:
        yield from _score_rows(score)
    for entry in result.categories:
        yield from _category_rows(entry)
    if result.repeat is not None:
        yield from _repeat_rows("scan-rescan", "total", result.repeat)
    if result.rescans is not None:
        yield from _repeat_rows("scan-rescan", "reference", result.rescans.reference)
        yield from _repeat_rows("scan-rescan", "measured", result.rescans.measured)
        test = result.rescans.difference
        yield _row("scan-rescan", "measured against reference", test.name, test.statistic, p=test.p, n=test.n)
    if result.model is not None:
        for term in result.model.terms:
            yield _estimate("covariates", term.name, "coefficient, percentage points", term.coefficient, p=term.p)
    if result.rival is not None:
        for scheme, test in result.rival.tests.items():
            yield _row("reclassification", scheme, f"rate, {result.rival.names[0]}", test.first, n=test.n[0])
            yield _row("reclassification", scheme, f"rate, {result.rival.names[1]}", test.second, n=test.n[1])
            yield _row("reclassification", scheme, f"z, {test.name}", test.z, p=test.p, n=test.n[0], note=test.note)


def _score_rows(score: ScoreAgreement) -> Iterator[dict[str, Any]]:
    name, n = score.quantity, score.n
    for side, values in (("reference", score.reference), ("measured", score.measured)):
        for what, value in zip(("mean", "SD", "median", "lower quartile", "upper quartile"), values, strict=True):
            yield _row("scores", name, f"{side} {what}", value, n=n)
    for what, value in zip(("reference", "measured", "both"), score.zeros, strict=True):
        yield _row("scores", name, f"score 0, {what}", value, n=n)
    yield _estimate("agreement", name, "ICC(2,1) absolute agreement", score.icc_agreement)
    yield _estimate("agreement", name, "ICC(3,1) consistency", score.icc_consistency)
    yield _estimate("agreement", name, "Lin's concordance correlation", score.ccc)
    yield _row("agreement", name, "concordance index", score.concordance, n=n)
    for title, line in (("measured on reference", score.line), ("reference on measured", score.line_reference)):
        yield _estimate("regression", name, f"slope, {title}", line.slope, p=line.p)
        yield _estimate("regression", name, f"intercept, {title}", line.intercept)
        yield _row("regression", name, f"R squared, {title}", line.r_squared, n=n)
    for scale, limits in score.limits.items():
        yield from _limit_rows(name, scale, limits)
    for test in score.tests:
        yield _row("tests", name, test.name, test.statistic, p=test.p, n=test.n, note=test.note)


def _limit_rows(name: str, scale: str, limits: LimitsOfAgreement) -> Iterator[dict[str, Any]]:
    n = limits.bias.n
    yield _estimate("Bland-Altman", name, f"bias, {scale}", limits.bias)
    yield _row("Bland-Altman", name, f"SD, {scale}", limits.sd, n=n)
    for what, value, interval in (
        ("lower limit", limits.low, limits.low_interval),
        ("upper limit", limits.high, limits.high_interval),
    ):
        yield _row("Bland-Altman", name, f"{what}, {scale}", value, *interval, n=n)


def _category_rows(entry: CategoryAgreement) -> Iterator[dict[str, Any]]:
    group, moved = "categories", entry.moved
    for weights, kappa in entry.kappa.items():
        yield _estimate(group, entry.scheme, f"kappa, {weights}", kappa)
    yield _estimate(group, entry.scheme, "accuracy", entry.accuracy)
    for what, count in (
        ("reclassified", moved.changed),
        ("reclassified up", moved.up),
        ("reclassified down", moved.down),
        ("reclassified by more than one", moved.by_more_than_one),
    ):
        yield _row(group, entry.scheme, what, count, n=moved.n)
    yield _row(group, entry.scheme, "reclassification rate", moved.rate, n=moved.n)
    for report in (*entry.classes, entry.macro):
        for what in ("precision", "recall", "f1"):
            yield _row(group, entry.scheme, f"{what}, {report.name}", getattr(report, what), n=report.reference)
    for i, reference in enumerate(entry.categories):
        for j, measured in enumerate(entry.categories):
            yield _row(
                "confusion matrix", entry.scheme, f"reference {reference}, measured {measured}", entry.matrix[i, j]
            )


def _repeat_rows(group: str, name: str, repeat: Repeatability) -> Iterator[dict[str, Any]]:
    yield _estimate(group, name, "ICC(2,1) of both scans", repeat.icc)
    yield _estimate(group, name, "mean difference, second - first", repeat.limits.bias)
    yield _row(group, name, "SD of the differences", repeat.limits.sd, n=repeat.n)
    yield _estimate(group, name, "within-subject SD", repeat.within_sd)
    yield _estimate(group, name, "repeatability coefficient", repeat.coefficient)
    yield _row(group, name, "within-subject coefficient of variation", repeat.within_cv, n=repeat.cv_n)


def _row(group: str, name: str, statistic: str, value: Any, low: float = math.nan, high: float = math.nan, **more: Any):
    row = {"group": group, "name": name, "statistic": statistic, "value": value, "low": low, "high": high, **more}
    return {field: _plain(row.get(field)) for field in FIELDS}


def _estimate(group: str, name: str, statistic: str, value: Estimate, **more: Any) -> dict[str, Any]:
    return _row(group, name, statistic, value.value, value.low, value.high, n=value.n, **more)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; what is not defined is None."""
    if isinstance(value, str) or value is None:
        return value or None
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if not isinstance(value, float) and number.is_integer() else number


def methods_paragraph(result: Agreement) -> str:
    """Return how the numbers were made, in sentences that a paper can take over."""
    sentences = []
    if result.pairs is not None:
        sentences += [*_data_sentences(result.pairs), CONTINUOUS]
    if result.categories:
        main = result.categories[0]
        source = f" ({SCHEMES[main.scheme].source})" if main.scheme in SCHEMES else ""
        groups = ", ".join(main.categories)
        sentences.append(f"Risk categories ({groups}) were those of {main.scheme}{source}. {CATEGORICAL}")
    if result.repeat is not None or result.rescans is not None:
        sentences.append(RESCAN)
    if result.covariates:
        names = ", ".join(result.covariates)
        sentences.append(f"{COVARIATES} with {names} as predictors, in cases with a reference score above 0.")
    if result.rival is not None:
        names = " and ".join(f"'{name}'" for name in result.rival.names)
        sentences.append(f"Reclassification rates of {names} were compared by {PAIRED}.")
    return " ".join([*sentences, *_software_sentences(result)])


def _data_sentences(pairs: ScorePairs) -> list[str]:
    """Return what was compared, and what the scores rest on where the tables say so."""
    unit = MEASURES[pairs.measure]
    score = {"agatston": "Agatston scores", "volume_mm3": "Calcium volumes", "mass_mg": "Calcium masses"}[pairs.measure]
    said = [
        f"{score}{f' ({unit})' if unit else ''} of {len(pairs.cases)} cases in '{pairs.names[1]}' were compared with "
        f"those in '{pairs.names[0]}' as the reference standard, matched by case."
    ]
    for name, basis in zip(pairs.names, pairs.basis, strict=True):
        if basis:
            words = "; ".join(f"{BASIS[column]} {', '.join(values)}" for column, values in basis.items())
            said.append(f"Scores of '{name}': {words}.")
    return said


def _software_sentences(result: Agreement) -> list[str]:
    libraries = ["numpy", "scipy", *(["pandas"] if result.pairs is not None else [])]
    libraries += ["statsmodels"] if result.model is not None else []
    named = ", ".join(f"{name} {version(name)}" for name in libraries)
    return [
        f"Intervals are {100 * result.confidence:g} % confidence intervals and p values two-sided, without correction "
        f"for multiple testing.",
        f"Computed with CACScoring {__version__} ({named}).",
    ]
