"""The parts of the page about the agreement of two score tables."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from CACScoringLib.cohort import report_html as html
from CACScoringLib.cohort.agreement import PairedTest
from CACScoringLib.cohort.agreement_analysis import Agreement, ScoreAgreement
from CACScoringLib.cohort.agreement_categories import CategoryAgreement, ClassReport
from CACScoringLib.cohort.agreement_continuous import TRANSFORMS
from CACScoringLib.cohort.agreement_words import methods_paragraph
from CACScoringLib.cohort.number_words import DASH, estimate, fixed, interval, p_words
from CACScoringLib.cohort.repeatability import Repeatability
from CACScoringLib.cohort.score_pairs import TOTAL

BY_SCORE_ALONE = (
    "All groups follow from the total score alone: without the percentile of scct-2017 and the number of vessels of "
    "cac-drs."
)


def sections(result: Agreement, pictures: dict[str, Path]) -> list[html.Section]:
    """Return the parts of the report.

    Parameters
    ----------
    result : Agreement
    pictures : dict of str to Path
        Files of ``figures_of``, by name.
    """
    parts = [html.Section("", [html.KeyNumbers(_key_numbers(result))]), _findings_section(result)]
    if result.scores:
        parts += [_score_section(result, pictures), _difference_section(result, pictures)]
    if result.categories:
        parts.append(_category_section(result, pictures))
    if result.repeat is not None or result.rescans is not None:
        parts.append(_rescan_section(result))
    if result.model is not None:
        parts.append(_covariate_section(result))
    if result.rival is not None:
        parts.append(_rival_section(result))
    text = [
        html.Paragraph("Ready to be edited into a paper:", "note"),
        html.Paragraph(methods_paragraph(result), "quote"),
    ]
    return [*parts, html.Section("Methods", text)]


def _findings_section(result: Agreement) -> html.Section:
    return html.Section("What to know before reading on", [html.Findings(result.findings)])


def _score_section(result: Agreement, pictures: dict[str, Path]) -> html.Section:
    head = ("", "n", "reference", "measured", "ICC(2,1) absolute", "ICC(3,1) consistency", "Lin's CCC", "C-index")
    table = html.Table(
        head,
        [
            (
                quantity_title(s.quantity),
                f"{s.n:,}",
                f"{s.reference[0]:.1f} ± {s.reference[1]:.1f}",
                f"{s.measured[0]:.1f} ± {s.measured[1]:.1f}",
                estimate(s.icc_agreement),
                estimate(s.icc_consistency),
                estimate(s.ccc),
                fixed(s.concordance),
            )
            for s in result.scores
        ],
        f"Scores (mean ± SD) and their agreement, with {_percent(result)} confidence intervals",
        name="Agreement of scores",
    )
    zeros = html.Table(
        (
            "",
            "0 by reference",
            "0 measured",
            "0 by both",
            "median (quartiles), reference",
            "median (quartiles), measured",
        ),
        [
            (quantity_title(s.quantity), *(f"{z:,}" for z in s.zeros), _median(s.reference), _median(s.measured))
            for s in result.scores
        ],
        "Scores of zero, and medians",
        name="Zeros and medians",
    )
    lines = html.Table(
        ("", "slope", "intercept", "R²", "slope, reversed", "intercept, reversed"),
        [
            (
                quantity_title(s.quantity),
                estimate(s.line.slope),
                estimate(s.line.intercept, 1),
                fixed(s.line.r_squared),
                estimate(s.line_reference.slope),
                estimate(s.line_reference.intercept, 1),
            )
            for s in result.scores
        ],
        "Linear regression of measured on reference scores, and reversed: of reference on measured scores",
        name="Linear regression",
    )
    shown = [
        html.Figure(pictures[name], caption)
        for name, caption in (
            ("scatter", "Measured against reference scores, with the identity (dashed) and the regression line."),
            ("vessels", "Scores of each vessel on logarithmic axes; larger points are several cases."),
        )
        if name in pictures
    ]
    return html.Section("Agreement of scores", [table, *shown[:1], lines, zeros, *shown[1:]])


def _difference_section(result: Agreement, pictures: dict[str, Path]) -> html.Section:
    limits = html.Table(
        ("", "bias", "lower limit", "upper limit", "ratio", "lower", "upper", "bias, √", "lower, √", "upper, √"),
        [_limits_row(score) for score in result.scores],
        "Bland-Altman: bias and 95 % limits of agreement of measured - reference; ratio of (1 + measured) to (1 + "
        "reference) from logarithms; difference of square roots",
        name="Bland-Altman",
    )
    tests = html.Table(
        ("", "t", "p", "W", "p", "pairs that differ", ""),
        [(quantity_title(s.quantity), *_tests_row(s.tests)) for s in result.scores],
        "Paired t-test and Wilcoxon's signed-rank test",
        text_columns=(6,),
        name="Paired tests",
    )
    captions = {
        "bland-altman": "Difference over the mean score; bands: confidence intervals of bias and limits.",
        "bland-altman-log": "The same as ratios.",
        "bland-altman-square-root": "The same for square roots.",
    }
    shown = [html.Figure(pictures[name], caption) for name, caption in captions.items() if name in pictures]
    return html.Section("Differences", [limits, *shown[:1], html.Grid(shown[1:]), tests])


def _limits_row(score: ScoreAgreement) -> tuple[str, ...]:
    plain, log, root = (score.limits[scale] for scale in TRANSFORMS)
    ratios = (math.exp(value) for value in (log.bias.value, log.low, log.high))
    return (
        quantity_title(score.quantity),
        estimate(plain.bias, 1),
        interval(plain.low, *plain.low_interval, 1),
        interval(plain.high, *plain.high_interval, 1),
        *(fixed(value, 2) for value in ratios),
        *(fixed(value, 2) for value in (root.bias.value, root.low, root.high)),
    )


def _tests_row(tests: tuple[PairedTest, ...]) -> tuple[str, ...]:
    student, ranks = tests
    note = "; ".join(dict.fromkeys(test.note for test in tests if test.note))
    return (
        fixed(student.statistic, 2),
        p_words(student.p, name=False),
        fixed(ranks.statistic, 1),
        p_words(ranks.p, name=False),
        f"{ranks.n:,}",
        note,
    )


def _category_section(result: Agreement, pictures: dict[str, Path]) -> html.Section:
    head = (
        "scheme",
        "kappa",
        "linear kappa",
        "quadratic kappa",
        "accuracy",
        "reclassified",
        "up",
        "down",
        "by > 1",
        "macro F1",
    )
    overview = html.Table(
        head,
        [_category_row(entry) for entry in result.categories],
        f"Agreement of risk categories of {result.categories[0].moved.n:,} cases, with {_percent(result)} confidence "
        "intervals",
        name="Risk categories",
    )
    main, others = result.categories[0], result.categories[1:]
    picture = pictures.get(f"confusion-{figure_name(main.scheme)}")
    caption = f"{main.scheme}: cases, and their share of the reference category."
    blocks: list[html.Block] = [overview]
    blocks.append(html.Grid([html.Figure(picture, caption) if picture else _matrix_table(main), _class_table(main)]))
    if others:
        blocks.append(html.Grid([_matrix_table(entry) for entry in others]))
        blocks.append(html.Paragraph(BY_SCORE_ALONE, "note"))
    return html.Section("Risk categories", blocks)


def _category_row(entry: CategoryAgreement) -> tuple[str, ...]:
    moved = entry.moved
    return (
        entry.scheme,
        *(estimate(kappa) for kappa in entry.kappa.values()),
        estimate(entry.accuracy),
        f"{moved.changed:,} ({100 * moved.rate:.1f} %)",
        f"{moved.up:,}",
        f"{moved.down:,}",
        f"{moved.by_more_than_one:,}",
        fixed(entry.macro.f1),
    )


def _class_table(entry: CategoryAgreement) -> html.Table:
    def row(report: ClassReport) -> tuple[str, ...]:
        return (report.name, *(fixed(v) for v in (report.precision, report.recall, report.f1)), f"{report.reference:,}")

    body = [row(report) for report in (*entry.classes, entry.macro)]
    title = f"{entry.scheme}: each category"
    return html.Table(("category", "precision", "recall", "F1", "n"), body, title, name=title)


def _matrix_table(entry: CategoryAgreement) -> html.Table:
    share = entry.matrix / np.maximum(entry.matrix.sum(axis=1, keepdims=True), 1)
    body = [(name, *(f"{count:,}" for count in row)) for name, row in zip(entry.categories, entry.matrix, strict=True)]
    title, name = f"{entry.scheme}: rows reference, columns measured", f"Confusion matrix, {entry.scheme}"
    return html.Table(("", *entry.categories), body, title, shade=share.tolist(), name=name)


def _rescan_section(result: Agreement) -> html.Section:
    entries = [("total", result.repeat)] if result.repeat is not None else []
    notes = []
    if result.rescans is not None:
        entries += [("reference", result.rescans.reference), ("measured", result.rescans.measured)]
        test = result.rescans.difference
        notes.append(f"Differences between the scans, measured against reference: paired t-test {p_words(test.p)}.")
    table = html.Table(
        ("", "n", "second - first", "ICC(2,1)", "within-subject SD", "repeatability coefficient", "within-subject CV"),
        [(name, *_repeat_row(repeat)) for name, repeat in entries],
        "Total score of two scans of each patient",
        name="Scan-rescan reproducibility",
    )
    return html.Section("Scan-rescan reproducibility", [table, *map(html.Paragraph, notes)])


def _repeat_row(repeat: Repeatability) -> tuple[str, ...]:
    difference = f"{repeat.limits.bias.value:.1f} ± {repeat.limits.sd:.1f}"
    cv = DASH if math.isnan(repeat.within_cv) else f"{100 * repeat.within_cv:.1f} % (n = {repeat.cv_n})"
    return (
        f"{repeat.n:,}",
        difference,
        estimate(repeat.icc),
        estimate(repeat.within_sd, 1),
        estimate(repeat.coefficient, 1),
        cv,
    )


def _covariate_section(result: Agreement) -> html.Section:
    model = result.model
    table = html.Table(
        ("", "coefficient", "p"),
        [(term.name, estimate(term.coefficient, 2), p_words(term.p, name=False)) for term in model.terms],
        f"Absolute percentage difference of the total score (mean {model.mean:.1f} %, n = {model.n:,}): "
        "change for one unit",
        name="Covariates of the difference",
    )
    return html.Section("What the differences depend on", [table])


def _rival_section(result: Agreement) -> html.Section:
    first, second = result.rival.names
    table = html.Table(
        ("scheme", first, second, "z", "p", "n", ""),
        [
            (
                name,
                *(f"{100 * rate:.1f} %" for rate in (t.first, t.second)),
                fixed(t.z, 2),
                p_words(t.p, name=False),
                f"{t.n[0]:,}",
                t.note,
            )
            for name, t in result.rival.tests.items()
        ],
        "Share of reclassified cases, compared in the cases that all tables have",
        text_columns=(6,),
        name="Two measured tables compared",
    )
    return html.Section("Two measured tables compared", [table])


def _key_numbers(result: Agreement) -> list[tuple[str, str]]:
    numbers = []
    if result.scores:
        first = result.scores[0]
        icc, limits = first.icc_agreement, first.limits["plain"]
        interval_words = "" if math.isnan(icc.low) else f" ({_percent(result)} CI {icc.low:.3f} to {icc.high:.3f})"
        numbers += [
            (f"{first.n:,}", "cases compared"),
            (fixed(icc.value), f"ICC(2,1), {quantity_title(first.quantity).lower()} score{interval_words}"),
            (f"{limits.bias.value:+.1f}", f"bias; limits of agreement {limits.low:.1f} to {limits.high:.1f}"),
        ]
    if result.categories:
        main = result.categories[0]
        if not result.scores:
            numbers.append((f"{main.moved.n:,}", "cases"))
        numbers += [
            (fixed(main.kappa["quadratic"].value), f"quadratic kappa, {main.scheme}"),
            (f"{100 * main.moved.rate:.1f} %", f"reclassified ({main.moved.up} up, {main.moved.down} down)"),
        ]
    return numbers


def report_lead(result: Agreement) -> str:
    """Return what was compared, in one line."""
    if result.pairs is None:
        return "From a given table of categories; rows are the reference."
    reference, measured = result.pairs.names
    return f"{measured} against {reference} as the reference."


def _median(values: tuple[float, ...]) -> str:
    return f"{values[2]:,.1f} ({values[3]:,.1f} to {values[4]:,.1f})"


def quantity_title(quantity: str) -> str:
    """Return what a quantity is called above tables and figures."""
    return "Total" if quantity == TOTAL else quantity


def _percent(result: Agreement) -> str:
    return f"{100 * result.confidence:g} %"


def figure_name(text: str) -> str:
    """Return a text as part of a file's name."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text)[:60] or "table"
