"""``scores.csv``: one scan's scores as a table for spreadsheets, one row a vessel."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from CACScoringLib.report.words import labels_from
from CACScoringLib.vocabulary import CORONARY_LABELS, NON_CORONARY_LABELS

MEASURES = ("agatston", "volume_mm3", "mass_mg", "lesions", "max_hu", "mean_hu", "density")
"""The columns with numbers, as they are called in ``scores.json``."""
BASIS = ("preset", "threshold_hu", "labels_from", "warnings")
"""The columns that say what the numbers rest on: a row that is copied elsewhere keeps them."""


def score_rows(scores: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield (region, name, scores) for each vessel, the total, and what lies outside the coronaries.

    ``region`` is ``coronary``, ``total`` or ``non-coronary``; the latter only where there is calcium.
    """
    for label in CORONARY_LABELS:
        if label.name in scores["vessels"]:
            yield "coronary", label.name, scores["vessels"][label.name]
    yield "total", "total", scores["total"]
    for label in NON_CORONARY_LABELS:
        entry = scores.get("non_coronary", {}).get(label.name)
        if entry and entry.get("lesions"):
            yield "non-coronary", label.name, entry


def to_csv(scores: Mapping[str, Any]) -> str:
    """Return the text of ``scores.csv`` (comma, line feed, a header row)."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("region", "name", *MEASURES, *BASIS))
    preset = scores.get("preset", {})
    warnings = " ".join(entry["code"] for entry in scores.get("findings", []) if entry["severity"] == "warning")
    basis = (preset.get("name", ""), preset.get("threshold_hu", ""), labels_from(scores), warnings)
    for region, name, entry in score_rows(scores):
        numbers = ("" if entry.get(measure) is None else entry[measure] for measure in MEASURES)
        writer.writerow((region, name, *numbers, *basis))
    return stream.getvalue()
