"""``results.csv``: one row a scan, valid at every moment of a batch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from CACScoringLib.report.staging import write_text
from CACScoringLib.report.words import RISK_SHOWN
from CACScoringLib.vocabulary import CORONARY_LABELS

RESULTS = "results.csv"
DONE, REFUSED, FAILED = "done", "refused", "failed"

_VESSELS = tuple(label.name for label in CORONARY_LABELS)
COLUMNS: tuple[str, ...] = (
    "case",
    "input",
    "status",
    "code",
    "message",
    "agatston",
    *(f"agatston_{name}" for name in _VESSELS),
    "volume_mm3",
    *(f"volume_mm3_{name}" for name in _VESSELS),
    "mass_mg",
    *(f"mass_mg_{name}" for name in _VESSELS),
    "lesions",
    *RISK_SHOWN,
    "own_scheme",
    "own_category",
    "preset",
    "threshold_hu",
    "kvp",
    "increment_mm",
    "series_uid",
    "method",
    "model",
    "model_sha256",
    "mask",
    "warnings",
    "seconds",
    "version",
    "identity",
    "settings",
)
"""The columns of ``results.csv``. ``own_*`` hold the category that a method without labels gives, in its own scheme;
``identity`` and ``settings`` tell a resumed run what is still valid."""


def scored_row(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row says about a scored scan, from its ``scores.json``."""
    total, vessels = document["total"], document["vessels"]
    row: dict[str, Any] = {"status": DONE, "lesions": total["lesions"]}
    for measure in ("agatston", "volume_mm3", "mass_mg"):
        row[measure] = total[measure]
        row.update({f"{measure}_{name}": vessels[name][measure] for name in _VESSELS if name in vessels})
    row.update({scheme: document["risk"].get(scheme) for scheme in RISK_SHOWN})
    own = document.get("category") or {}
    row.update(own_scheme=own.get("scheme"), own_category=own.get("group"))
    preset, acquisition, model = document["preset"], document["acquisition"], document["model"]
    row.update(preset=preset.get("name"), threshold_hu=preset.get("threshold_hu"))
    row.update({key: acquisition.get(key) for key in ("kvp", "increment_mm", "series_uid")})
    row.update(method=model.get("method"), model=model.get("id"), model_sha256=model.get("sha256"))
    row["mask"] = model.get("mask")
    row["warnings"] = " ".join(entry["code"] for entry in document["findings"] if entry["severity"] == "warning")
    row["version"] = document["software"]["version"]
    return row


def not_scored_row(status: str, code: str, message: str) -> dict[str, Any]:
    """Return what a row says about a scan that was refused or failed."""
    return {"status": status, "code": code, "message": " ".join(message.split())}


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the complete rows of an earlier table; none where there is no table of ours."""
    if not path.is_file():
        return []
    text = path.read_bytes().decode("utf-8", errors="replace")
    complete = text[: text.rfind("\n") + 1]  # a row that was being written when the machine stopped is dropped
    rows = list(csv.DictReader(io.StringIO(complete, newline="")))
    return [row for row in rows if set(row) == set(COLUMNS) and None not in row.values()]


def text_of(rows: Iterable[Mapping[str, Any]], header: bool = True) -> str:
    """Return rows as ``results.csv`` has them."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n", extrasaction="ignore")
    if header:
        writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    return stream.getvalue()


class ResultsTable:
    """A table on disk that grows by whole rows.

    Parameters
    ----------
    path : Path
        Replaced at once by a table with ``rows``.
    rows : iterable of mapping
        Rows to keep from an earlier run.
    """

    def __init__(self, path: Path, rows: Iterable[Mapping[str, Any]] = ()):
        self.path = path
        self.rows: list[dict[str, Any]] = [dict(row) for row in rows]
        write_text(path, text_of(self.rows))

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row in a single write."""
        full = {column: row.get(column) for column in COLUMNS}
        self.rows.append(full)
        with self.path.open("ab", buffering=0) as file:
            file.write(text_of([full], header=False).encode("utf-8"))

    def finish(self, order: Iterable[str]) -> None:
        """Rewrite the table at once, in the order of the case names."""
        place = {name: i for i, name in enumerate(order)}
        self.rows.sort(key=lambda row: place.get(str(row["case"]), len(place)))
        write_text(self.path, text_of(self.rows))
