"""The review of one scan as plain values, and of many as one CSV. Nothing here needs 3D Slicer."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any

import CACScoringLib
from CACScoringLib.report.words import RISK_SHOWN
from CACScoringLib.vocabulary import CORONARY_LABELS

MEASURES = ("agatston", "volume_mm3", "mass_mg")
VESSELS = tuple(label.name for label in CORONARY_LABELS)
SCORE_KEYS: tuple[str, ...] = (
    *(name for measure in MEASURES for name in (measure, *(f"{measure}_{vessel}" for vessel in VESSELS))),
    "lesions",
    *RISK_SHOWN,
)
"""What is kept of a score, twice in the CSV: as ``automatic_...`` and as ``reviewed_...``."""
BASIS_KEYS = (
    *("preset", "threshold_hu", "kvp", "increment_mm", "series_uid"),
    *("method", "model", "model_sha256", "mask", "warnings", "findings"),
)
"""What the scores rest on, once in the CSV: of the reviewed score, else of the automatic one."""
COLUMNS: tuple[str, ...] = (
    *("case", "input", "status", "comment", "reader", "reviewed_at", "message"),
    *(f"automatic_{key}" for key in SCORE_KEYS),
    *(f"reviewed_{key}" for key in SCORE_KEYS),
    "difference_agatston",
    *BASIS_KEYS,
    *("segmentation", "open_edits", "version"),
)
"""The columns of the exported CSV. ``message`` says why a scan could not be opened or scored automatically;
``open_edits`` is ``yes`` where there are edits that nobody decided on yet."""


class Status(str, Enum):
    """How far the review of a scan is."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    """The automatic labels are right as they are."""
    EDITED = "edited"
    """The labels were corrected, and are right now."""
    REJECTED = "rejected"
    """The scan cannot be used; it has no reviewed score."""
    FAILED = "failed"
    """It could not be opened or scored; opening it tries again."""

    @property
    def decided(self) -> bool:
        """Return whether a reader has decided."""
        return self in (Status.ACCEPTED, Status.EDITED, Status.REJECTED)


@dataclass(frozen=True)
class ReviewSettings:
    """How the scans of a review are scored; the same for all of them.

    Attributes
    ----------
    method : str
        Who finds the calcium where no segmentation is at hand.
    preset : str
        Scoring preset.
    kvp : float or None
        Tube voltage in kV of scans that do not say it; a scan's own one counts before it.
    thickness_mode : str
        ``scale``, ``resample`` or ``none``.
    mass_factor : float or None
        Calibration factor in mg/mm3/HU.
    allow_contrast : bool
        Whether contrast-enhanced scans are scored.
    non_coronary : str
        ``merged`` or ``separate``.
    """

    method: str = "multibranch-unet"
    preset: str = "agatston-1990"
    kvp: float | None = None
    thickness_mode: str = "scale"
    mass_factor: float | None = None
    allow_contrast: bool = False
    non_coronary: str = "merged"


@dataclass(frozen=True)
class CaseReview:
    """What is known about the review of one scan.

    Attributes
    ----------
    name : str
        Unique in the work list: the name of its folder.
    source : str
        Path of the scan.
    mask : str or None
        Labels that were given with the scan, reviewed instead of the network's.
    status : Status
    comment, reader : str
    reviewed_at : str
        When it was decided, ISO 8601 in UTC; empty before.
    problem : str
        Why the scan could not be opened or scored automatically, in one sentence; empty if it could.
    kvp : float or None
        Tube voltage in kV that the reader entered for this scan, whatever it says.
    automatic, reviewed : dict or None
        Scores as :func:`score_summary` gives them.
    automatic_labels, reviewed_labels : str
        Fingerprint of the labels that were scored.
    revision : int
        Counts how often this was written.
    """

    name: str
    source: str
    mask: str | None = None
    status: Status = Status.PENDING
    comment: str = ""
    reader: str = ""
    reviewed_at: str = ""
    problem: str = ""
    kvp: float | None = None
    automatic: dict[str, Any] | None = None
    reviewed: dict[str, Any] | None = None
    automatic_labels: str = ""
    reviewed_labels: str = ""
    revision: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as they are saved."""
        return {**asdict(self), "status": self.status.value}

    def with_saved(self, saved: Mapping[str, Any]) -> CaseReview:
        """Return the review as it was saved for the same scan; what is no value of its field is left out.

        Raises
        ------
        ValueError
            If the status is unknown.
        """
        known = {**self.as_dict(), "status": Status(saved.get("status"))}
        for item in fields(self):
            value = saved.get(item.name)
            if item.name not in ("name", "source", "mask", "status") and isinstance(value, _KINDS[item.name]):
                known[item.name] = value
        return CaseReview(**known)


_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("comment", "reader", "reviewed_at", "problem", "automatic_labels", "reviewed_labels"), str),
    **dict.fromkeys(("automatic", "reviewed"), dict),
    "kvp": (int, float),
    "revision": int,
}


def score_summary(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a review keeps of ``scores.json``: scores for each vessel and in all, and what they rest on."""
    total, vessels = document["total"], document["vessels"]
    summary: dict[str, Any] = {"lesions": total["lesions"]}
    for measure in MEASURES:
        summary[measure] = total[measure]
        summary.update({f"{measure}_{name}": vessels[name][measure] for name in VESSELS if name in vessels})
    summary.update({scheme: document["risk"].get(scheme) for scheme in RISK_SHOWN})
    preset, acquisition, model = document["preset"], document["acquisition"], document["model"]
    summary.update(preset=preset.get("name"), threshold_hu=preset.get("threshold_hu"))
    summary.update({key: acquisition.get(key) for key in ("kvp", "increment_mm", "series_uid")})
    summary.update(method=model.get("method"), model=model.get("id"), model_sha256=model.get("sha256"))
    warnings = [entry for entry in document["findings"] if entry["severity"] == "warning"]
    summary.update(mask=model.get("mask"), warnings=" ".join(entry["code"] for entry in warnings))
    summary["findings"] = " ".join(entry["message"] for entry in document["findings"])
    return summary


def review_row(review: CaseReview, *, segmentation: str = "", open_edits: bool = False) -> dict[str, Any]:
    """Return the row of the CSV for one scan.

    Parameters
    ----------
    review : CaseReview
    segmentation : str
        The file with the labels that the reviewed scores belong to.
    open_edits : bool
        Whether there are edits that nobody decided on yet.
    """
    automatic, reviewed = review.automatic or {}, review.reviewed or {}
    row: dict[str, Any] = {
        **{key: getattr(review, key) for key in ("comment", "reader", "reviewed_at")},
        **{"case": review.name, "input": review.source, "status": review.status.value, "message": review.problem},
        **{f"automatic_{key}": automatic.get(key) for key in SCORE_KEYS},
        **{f"reviewed_{key}": reviewed.get(key) for key in SCORE_KEYS},
        **{key: (reviewed or automatic).get(key) for key in BASIS_KEYS},
        **{"segmentation": segmentation, "open_edits": "yes" if open_edits else "no"},
        "version": CACScoringLib.__version__,
    }
    if row["mask"] is None:
        row["mask"] = review.mask
    before, after = automatic.get("agatston"), reviewed.get("agatston")
    if before is not None and after is not None:
        row["difference_agatston"] = round(after - before, 6)
    return row


def to_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of the CSV (comma, line feed, a header row); what is not known is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _cell(row.get(column)) for column in COLUMNS} for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return " ".join(value.split()) if isinstance(value, str) else value  # a row stays one line
