"""The table of one scored scan, as a person reads it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from CACScoringLib.commands.console import is_terminal, print_lines, print_table, rich_console
from CACScoringLib.report.scores_csv import score_rows
from CACScoringLib.report.words import (
    RESEARCH_USE_ONLY,
    acquisition_line,
    certainty_line,
    headline,
    number,
    patient_lines,
    preset_line,
    risk_shown,
)
from CACScoringLib.vocabulary import LABEL_BY_NAME

HEADER = ("", "Agatston", "Volume mm3", "Mass mg", "Lesions", "Max HU")
SEVERITY_STYLES = {"info": "dim", "warning": "yellow", "refuse": "red"}
SEVERITY_WORDS = {"info": "note", "warning": "warning", "refuse": "refused"}


def print_scores(document: Mapping[str, Any], output: Path | None = None, scene: Path | None = None) -> None:
    """Print the result of one scan to standard output.

    Parameters
    ----------
    document : mapping
        ``scores.json``.
    output, scene : Path, optional
        What was written, to be named.
    """
    stream = sys.stdout
    print_line(stream, headline(document), "bold")
    print_line(stream, acquisition_line(document), "dim")
    print_lines([""], stream)
    rows = list(score_rows(document))
    counted = [row for row in rows if row[0] != "non-coronary"]
    print_table(
        HEADER,
        [_cells(name if region == "coronary" else "Total", entry) for region, name, entry in counted],
        colors=[LABEL_BY_NAME[name].color if region == "coronary" else None for region, name, _ in counted],
        bold=(len(counted) - 1,),
        stream=stream,
    )
    elsewhere = [
        f"{LABEL_BY_NAME[name].title} {number(entry['volume_mm3'])} mm3"
        for region, name, entry in rows
        if region == "non-coronary"
    ]
    if elsewhere:
        print_lines(["", f"Not counted: {', '.join(elsewhere)}"], stream)
    _print_risk(document, stream)
    for line in patient_lines(document):
        print_lines([f"  {line}"], stream)
    print_findings(document.get("findings", []), stream)
    print_lines(["", f"Based on {preset_line(document)}"], stream)
    for what, place in (("Files", output), ("Scene", scene)):
        if place is not None:
            print_lines([f"{what} in {place}"], stream)
    print_line(stream, RESEARCH_USE_ONLY, "bold")


def _cells(name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    measures = ("agatston", "volume_mm3", "mass_mg")
    maximum = "–" if not entry.get("max_hu") else f"{entry['max_hu']:.0f}"
    lesions = "–" if entry["lesions"] is None else str(entry["lesions"])
    return (name, *(number(entry[measure]) for measure in measures), lesions, maximum)


def _print_risk(document: Mapping[str, Any], stream: TextIO) -> None:
    """Print the risk categories that are shown first."""
    shown = risk_shown(document)
    if not shown:
        return
    width = max(len(scheme) for scheme, _ in shown)
    print_lines(["", "Risk category"], stream)
    for scheme, category in shown:
        print_line(stream, f"  {scheme.ljust(width)}  {category}", "")
    certainty = certainty_line(document)
    if certainty:
        print_line(stream, f"  {certainty}", "dim")


def print_findings(findings: list[Mapping[str, str]], stream: TextIO) -> None:
    """Print every finding in words, what casts doubt first."""
    if not findings:
        return
    print_lines(["", "Findings"], stream)
    for finding in sorted(findings, key=lambda each: each["severity"] == "info"):
        severity = finding["severity"]
        print_line(stream, f"  {SEVERITY_WORDS[severity]}: {finding['message']}", SEVERITY_STYLES[severity])


def print_line(stream: TextIO, words: str, style: str) -> None:
    """Write one line, styled on a terminal."""
    if is_terminal(stream):
        rich_console(stream).print(words, style=style or None, markup=False, soft_wrap=True)
    else:
        print_lines([words], stream)
