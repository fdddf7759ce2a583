"""``results-previous.csv``: rows that were finished before, kept when a new run begins its table."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

from CACScoringLib.batch.table import COLUMNS, DONE, RESULTS, read_rows, scored_row, text_of
from CACScoringLib.report.staging import write_text

PREVIOUS = "results-previous.csv"
"""The last row of each scan that earlier runs wrote, one that is done before one that is not."""

Row = dict[str, str]


def earlier_rows(output: Path) -> list[Row]:
    """Return the last row of each scan, from ``results.csv`` and from what it replaced.

    A row that is done is never given up for one that is not: its files are still there.
    """
    rows = {row["case"]: row for row in _readable(output / RESULTS)}
    for old in _readable(output / PREVIOUS):
        new = rows.get(old["case"])
        if new is None or (old["status"] == DONE and new["status"] != DONE):
            rows[old["case"]] = old
    return list(rows.values())


def keep_earlier_rows(output: Path) -> None:
    """Write :func:`earlier_rows` to ``results-previous.csv``; a table that is not of our columns is copied first."""
    rows = earlier_rows(output)
    for name in (RESULTS, PREVIOUS) if rows else (RESULTS,):
        if not _is_ours(output / name):
            shutil.copyfile(output / name, _free_name(output))
    if rows:
        write_text(output / PREVIOUS, text_of(rows))


def finished_rows(output: Path) -> dict[str, Row]:
    """Return the rows that are done and whose files are there, by the name of the case.

    A row of a table that was replaced counts only where ``scores.json`` says the same: a run that was stopped may
    have written other files and no row.
    """
    current = {row["case"]: row for row in _readable(output / RESULTS)}
    finished = {}
    for row in earlier_rows(output):
        scores = output / row["case"] / "scores.json"
        if row["status"] == DONE and scores.is_file() and (row == current.get(row["case"]) or _says(scores, row)):
            finished[row["case"]] = row
    return finished


def _says(scores: Path, row: Row) -> bool:
    """Return whether ``scores.json`` is what a row was made from."""
    try:
        made = scored_row(json.loads(scores.read_text(encoding="utf-8")))
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return all(_same(value, row[column]) for column, value in made.items())


def _same(value: Any, text: str) -> bool:
    try:
        return math.isclose(float(value), float(text), rel_tol=1e-6, abs_tol=1e-3)
    except (TypeError, ValueError):
        return ("" if value is None else str(value)) == text


def _readable(path: Path) -> list[Row]:
    """Return the rows of a table; none where it is damaged."""
    try:
        return read_rows(path)
    except csv.Error:
        return []


def _is_ours(path: Path) -> bool:
    """Return whether nothing is lost with a table but the rows that can be read from it."""
    if not path.is_file() or not path.stat().st_size:
        return True
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = list(csv.reader(file))
    except csv.Error:
        return False
    torn = len(rows[-1]) < len(COLUMNS)  # a row that was being written when the machine stopped
    return set(rows[0]) == set(COLUMNS) and len(_readable(path)) == len(rows) - 1 - torn


def _free_name(output: Path) -> Path:
    """Return ``results-other-1.csv`` or the first number that is free."""
    number = 1
    while (output / f"results-other-{number}.csv").exists():
        number += 1
    return output / f"results-other-{number}.csv"
