"""A comparison as files: ``comparison.json`` for programs, ``comparison.csv`` with one row a method."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding
from CACScoringLib.report.comparison.result import Comparison, MethodResult
from CACScoringLib.report.scores_json import plain, software, to_json
from CACScoringLib.report.words import RESEARCH_USE_ONLY
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.vocabulary import CORONARY_LABELS

SCHEMA = "cacscoring-comparison/1"
JSON, CSV, PICTURE = "comparison.json", "comparison.csv", "comparison.png"
FILES = (JSON, CSV, PICTURE)
DONE, FAILED = "done", "failed"
_VESSELS = tuple(label.name for label in CORONARY_LABELS)
COLUMNS = (
    "case",
    "input",
    "method",
    "status",
    "agatston",
    *(f"agatston_{name}" for name in _VESSELS),
    "volume_mm3",
    *(f"volume_mm3_{name}" for name in _VESSELS),
    "own_scheme",
    "own_category",
    *SCHEMES,
    "needs_review",
    "seconds",
    "preset",
    "threshold_hu",
    "model",
    "model_sha256",
    "warnings",
    "code",
    "message",
)
"""The columns of ``comparison.csv``; the preset is empty where a score does not follow it."""


def comparison_document(compared: Comparison, input_path: str | None = None) -> dict[str, Any]:
    """Return ``comparison.json`` as a dictionary of plain values."""
    return plain(
        {
            "schema": SCHEMA,
            "note": RESEARCH_USE_ONLY,
            "input": input_path,
            **compared.as_dict(),
            "software": software(),
        }
    )


def method_rows(compared: Comparison, case: str = "", input_path: str = "") -> list[dict[str, Any]]:
    """Return the rows of ``comparison.csv``, one a method."""
    return [_row(row, compared.preset) | {"case": case, "input": input_path} for row in compared.methods]


def case_failed_row(case: str, input_path: str, finding: Finding) -> dict[str, Any]:
    """Return the row of a scan on which no method could be run."""
    return {"case": case, "input": input_path, "status": FAILED, **_reason(finding)}


def to_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of ``comparison.csv``."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    return stream.getvalue()


def write_comparison(
    folder: Path, ct: CTVolume, compared: Comparison, *, case: str = "", input_path: str = "", picture: bool = True
) -> None:
    """Write a comparison into an existing folder.

    Parameters
    ----------
    folder : Path
        See :func:`CACScoringLib.report.staging.staged_folder`, with ``FILES``.
    ct : CTVolume
    compared : Comparison
    case, input_path : str
        What was compared.
    picture : bool
        Whether to draw ``comparison.png``; it needs a method with a result.
    """
    from CACScoringLib.report.comparison.picture import write_comparison_picture

    if picture and compared.done:
        write_comparison_picture(folder / PICTURE, ct, compared)
    (folder / CSV).write_text(to_csv(method_rows(compared, case, input_path)), encoding="utf-8")
    (folder / JSON).write_text(to_json(comparison_document(compared, input_path)), encoding="utf-8")


def _row(row: MethodResult, preset: Mapping[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "method": row.name,
        "status": DONE if row.failure is None else FAILED,
        "agatston": row.agatston,
        "volume_mm3": row.volume_mm3,
        "own_scheme": row.scheme,
        "own_category": row.category,
        **{scheme: row.risk.get(scheme) for scheme in SCHEMES},
        "needs_review": row.needs_review,
        "seconds": round(row.seconds, 3),
        "model": row.model_id,
        "model_sha256": row.model_sha256,
        "warnings": " ".join(row.warnings()),
        **({} if row.failure is None else _reason(row.failure)),
    }
    if row.score is not None:
        for name, vessel in row.score.vessels.items():
            entry[f"agatston_{name}"], entry[f"volume_mm3_{name}"] = vessel.agatston, vessel.volume_mm3
        entry |= {"preset": preset["name"], "threshold_hu": preset["threshold_hu"]}
    return entry


def _reason(finding: Finding) -> dict[str, str]:
    return {"code": finding.code, "message": " ".join(finding.message.split())}
