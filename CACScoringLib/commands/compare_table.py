"""The tables of a comparison, as a person reads them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from CACScoringLib.cohort.method_agreement import PairAgreement
from CACScoringLib.commands.console import print_lines, print_table
from CACScoringLib.commands.score_table import print_findings, print_line
from CACScoringLib.findings import Finding, Severity
from CACScoringLib.report.comparison.lesions import KINDS, LesionDifference, lesion_words
from CACScoringLib.report.comparison.result import Comparison, MethodResult, category_comparisons
from CACScoringLib.report.words import RESEARCH_USE_ONLY, number
from CACScoringLib.scoring.uncertainty import REVIEW_SCHEME
from CACScoringLib.vocabulary import CORONARY_LABELS

VESSELS = tuple(label.name for label in CORONARY_LABELS)
MOST_LESIONS = 12
"""Lesions that are printed; comparison.json has all."""
NOTHING = "–"


def print_comparison(compared: Comparison, output: Path | None = None) -> None:
    """Print the comparison of methods on one scan to standard output."""
    stream = sys.stdout
    header = ("", "Agatston", "Volume mm3", *VESSELS, "own category", "review", "seconds")
    print_table(header, [_method_cells(row) for row in compared.methods], stream=stream)
    failed = [row for row in compared.methods if row.failure is not None]
    print_lines([f"  {row.name}: {row.failure.message}" for row in failed], stream)
    _print_categories(compared)
    _print_pairs(compared)
    _print_lesions(compared)
    _print_slices(compared)
    print_findings([finding.as_dict() for finding in compared.findings], stream)
    for row in compared.done:
        doubts = [finding for finding in row.findings if finding.severity is not Severity.INFO]
        if doubts:
            print_lines(["", f"{row.name} (model {row.model_id}, {(row.model_sha256 or '')[:8]})"], stream)
            print_lines([f"  {finding.severity.value}: {finding.message}" for finding in doubts], stream)
    preset = compared.preset
    print_lines(["", f"Based on preset {preset['name']}  ·  threshold {preset['threshold_hu']:.4g} HU"], stream)
    if output is not None:
        print_lines([f"Files in {output}"], stream)
    print_line(stream, RESEARCH_USE_ONLY, "bold")


def print_cohort(
    rows: Sequence[Mapping[str, Any]],
    methods: Sequence[str],
    pairs: Sequence[PairAgreement],
    findings: Sequence[Finding],
    output: Path | None = None,
) -> None:
    """Print the comparison of methods on several scans to standard output.

    Parameters
    ----------
    rows : sequence of mapping
        Of ``comparison.csv``.
    methods : sequence of str
    pairs : sequence of PairAgreement
    findings : sequence of Finding
    output : Path, optional
        What was written, to be named.
    """
    by_case: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        by_case.setdefault(row["case"], {})[row.get("method", "")] = row
    cells = [(case, *(_case_cell(entry.get(name)) for name in methods)) for case, entry in by_case.items()]
    print_lines([f"Agatston ({REVIEW_SCHEME})", ""])
    print_table(("case", *methods), cells)
    reasons = {f"{row['case']} {row.get('method', '')}".strip(): row["message"] for row in rows if row.get("message")}
    print_lines([f"  {who}: {why}" for who, why in reasons.items()])
    _print_agreement(pairs)
    print_findings([finding.as_dict() for finding in findings], sys.stdout)
    if output is not None:
        print_lines(["", f"Files in {output}"])
    print_lines([RESEARCH_USE_ONLY])


def _method_cells(row: MethodResult) -> tuple[str, ...]:
    vessels = {} if row.score is None else row.score.vessels
    category = NOTHING if row.category is None else f"{row.scheme} {row.category}"
    review = {None: NOTHING, True: "yes", False: "no"}[row.needs_review]
    return (
        row.name,
        number(row.agatston),
        number(row.volume_mm3),
        *(number(vessels[name].agatston) if name in vessels else NOTHING for name in VESSELS),
        category,
        review,
        f"{row.seconds:.1f}",
    )


def _print_categories(compared: Comparison) -> None:
    entries = category_comparisons(compared.done, fewest=1)
    if not entries:
        return
    names = [row.name for row in compared.done]
    rows = [
        (entry.scheme, *(entry.groups.get(name, NOTHING) for name in names), "" if entry.agree else "differ")
        for entry in entries
    ]
    print_lines(["", "Risk category"])
    print_table(("", *names, ""), rows, bold=[i for i, entry in enumerate(entries) if not entry.agree])


def _print_pairs(compared: Comparison) -> None:
    if not compared.pairs:
        return
    kinds = list(KINDS)
    header = ("Difference", "Agatston", "Volume mm3", *kinds, "moved")
    rows = []
    for pair in compared.pairs:
        shares = [_signed(pair.agatston_by_kind.get(kind, 0.0)) for kind in kinds]
        with_labels = pair.agatston_moved is not None
        rows.append(
            (
                f"{pair.second} - {pair.first}",
                _signed(pair.agatston),
                _signed(pair.volume_mm3),
                *(shares if with_labels else [NOTHING] * len(kinds)),
                number(pair.agatston_moved) if with_labels else NOTHING,
            )
        )
    print_lines([""])
    print_table(header, rows)
    if compared.lesions:
        words = "; ".join(f"{kind}: {text}" for kind, text in KINDS.items())
        print_lines([f"  of which lesions {words}; moved: Agatston put into different vessels"])


def _print_lesions(compared: Comparison) -> None:
    if len(compared.labelled) < 2:
        return
    names = [row.name for row in compared.labelled]
    print_lines(["", f"Lesions that are marked differently ({compared.lesions_agreed} are marked alike)"])
    if not compared.lesions:
        print_lines(["  none"])
        return
    header = ("slices", "centre LPS mm", *names, "HU", "at stake", "")
    print_table(header, [_lesion_cells(entry, names) for entry in compared.lesions[:MOST_LESIONS]])
    more = len(compared.lesions) - MOST_LESIONS
    if more > 0:
        print_lines([f"  and {more} more with less at stake: --format json or comparison.json has all"])


def _lesion_cells(entry: LesionDifference, names: Sequence[str]) -> tuple[str, ...]:
    first, last = entry.slices
    return (
        str(first) if first == last else f"{first}-{last}",
        " ".join(f"{value:.0f}" for value in entry.centroid_lps_mm),
        *(lesion_words(entry.vessels[name], entry.called[name]) for name in names),
        str(entry.max_hu),
        number(entry.at_stake),
        KINDS[entry.kind],
    )


def _print_slices(compared: Comparison) -> None:
    if not compared.slices:
        return
    rows = [
        (
            f"{entry.scored_by} - {entry.labelled_by}",
            str(entry.slice),
            f"{entry.z_mm:.1f}",
            number(entry.agatston_scored),
            number(entry.agatston_labelled),
            _signed(entry.difference),
        )
        for entry in compared.slices
    ]
    print_lines(["", "Slices that a score without labels sees otherwise (Agatston)"])
    print_table(("", "slice", "z mm", "scored", "labelled", "difference"), rows)


def _case_cell(row: Mapping[str, Any] | None) -> str:
    if row is None or row["status"] != "done":
        return NOTHING
    category = row.get(REVIEW_SCHEME)
    return f"{number(row['agatston'])} ({category or NOTHING})"


def _print_agreement(pairs: Sequence[PairAgreement]) -> None:
    from CACScoringLib.cohort.number_words import estimate

    rows = []
    for pair in pairs:
        for entry in pair.measures:
            limits = f"{entry.limits.low:.1f} to {entry.limits.high:.1f}"
            score = {"agatston": "Agatston", "volume_mm3": "Volume mm3"}[entry.measure]
            bias = f"{entry.limits.bias.value:.1f}"
            rows.append((f"{pair.second} - {pair.first}", score, str(entry.n), estimate(entry.icc), bias, limits))
    if rows:
        print_lines([""])
        print_table(("Agreement", "score", "n", "ICC(2,1)", "bias", "limits of agreement"), rows)
    kappas = []
    for pair in pairs:
        for found in pair.categories:
            n, equal = int(found.matrix.sum()), f"{found.accuracy.value:.0%}"
            linear = estimate(found.kappa["linear"])
            kappas.append((f"{pair.second} - {pair.first}", found.scheme, str(n), linear, equal))
    if kappas:
        print_lines([""])
        print_table(("Categories", "scheme", "n", "linear kappa", "equal"), kappas)


def _signed(value: float | None) -> str:
    if value is None:
        return NOTHING
    return number(value) if abs(value) < 0.05 else f"{'+' if value > 0 else '-'}{number(abs(value))}"
