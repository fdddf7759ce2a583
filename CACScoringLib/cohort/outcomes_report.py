"""The report on a cohort's outcomes: figures, tables, what to be careful about, and the methods, on one page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from CACScoringLib.cohort.outcomes import Outcomes
from CACScoringLib.cohort.outcomes_words import WordTable
from CACScoringLib.cohort.report_html import Figure, Findings, KeyNumbers, Paragraph, Section, Table
from CACScoringLib.findings import Finding


def outcome_sections(
    result: Outcomes,
    figures: Sequence[tuple[Path, str]],
    tables: Sequence[WordTable],
    findings: Sequence[Finding],
    methods: str,
) -> list[Section]:
    """Return the page for :func:`CACScoringLib.cohort.report_html.page`.

    Parameters
    ----------
    result : Outcomes
    figures : sequence of (Path, str)
        PNG files and their captions; they become part of the page.
    tables : sequence of WordTable
    findings : sequence of Finding
    methods : str
    """
    top = [KeyNumbers(key_numbers(result)), *(Figure(path, caption) for path, caption in figures)]
    if findings:
        top.insert(1, Findings(findings))
    made = [Section("", top)]
    for table in tables:
        blocks: list[Paragraph | Table] = [Table(table.header, table.rows)]
        if table.note:
            blocks.append(Paragraph(table.note, "note"))
        made.append(Section(table.title, blocks))
    made.append(Section("Methods", [Paragraph(methods, "quote")]))
    return made


def key_numbers(result: Outcomes) -> list[tuple[str, str]]:
    """Return the few numbers that a reader looks for first."""
    first = result.scores[0]
    numbers = [
        (f"{result.patients.n:,}", "patients"),
        (f"{int(result.patients.event.sum()):,}", "events"),
    ]
    if first.univariable:
        highest = [term for term in first.univariable.terms if term.n is not None][-1]
        interval = f"95 % CI {highest.low:.2f} to {highest.high:.2f}"
        what = f"hazard ratio of {highest.name} against {first.univariable.terms[0].name} ({interval})"
        numbers.append((f"{highest.ratio:.2f}", what))
    if first.zero.n:
        zero = first.zero
        interval = f"95 % CI {100 * zero.low:.1f} to {100 * zero.high:.1f}"
        what = f"negative predictive value of {first.score.name} = 0 ({interval})"
        numbers.append((f"{100 * zero.value:.1f} %", what))
    if result.reclassification and math.isfinite(result.reclassification.overall.value):
        moved = result.reclassification.overall
        what = f"net reclassification improvement (95 % CI {moved.low:.2f} to {moved.high:.2f})"
        numbers.append((f"{moved.value:+.2f}", what))
    return numbers
