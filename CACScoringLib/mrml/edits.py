"""Who found what: the automatic score, the edited one, and who accepted which, kept with the segmentation.

The record is an attribute of the segmentation node, so it goes wherever the scene goes. Functions that Slicer code
calls have its camelCase names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.mrml.attributes import read_json, write_json
from CACScoringLib.mrml.tables import scores_dict

EDITS_ATTRIBUTE = "CACScoring.Edits"
"""Attribute of a segmentation: the record, as JSON."""

COMPARED = ("agatston", "volume_mm3", "mass_mg", "lesions", "voxels")
"""Numbers by which an edited score is told from the automatic one."""


@dataclass(frozen=True)
class Acceptance:
    """That a person found a score right.

    Attributes
    ----------
    reader : str
    when : str
        ISO 8601, with the time zone where it was recorded here.
    comment : str
    scores : dict
        What was accepted, as ``EditRecord.automatic``.
    """

    reader: str
    when: str
    comment: str
    scores: dict[str, Any]


@dataclass(frozen=True)
class EditRecord:
    """What is known about the scores of a segmentation.

    Attributes
    ----------
    automatic : dict or None
        Score of what the network found: ``total``, ``vessels`` (a dictionary of numbers each), ``risk``, ``preset``,
        ``threshold_hu``, ``kvp``, ``model`` and ``recorded_at``.
    edited : dict or None
        Score after the last edit, alike.
    acceptances : tuple of Acceptance
        In the order in which they were given; a new network run ends them.
    """

    automatic: dict[str, Any] | None = None
    edited: dict[str, Any] | None = None
    acceptances: tuple[Acceptance, ...] = ()

    @property
    def accepted(self) -> Acceptance | None:
        """Return the last acceptance."""
        return self.acceptances[-1] if self.acceptances else None

    @property
    def current(self) -> dict[str, Any] | None:
        """Return the last score that was recorded before any acceptance: the edited one, else the automatic one."""
        return self.edited or self.automatic

    @property
    def changed(self) -> bool | None:
        """Return whether the edited score differs from the automatic one; None where their rules are not the same."""
        if self.automatic is None or self.edited is None:
            return False
        return (
            None if _rules(self.automatic) != _rules(self.edited) else _numbers(self.automatic) != _numbers(self.edited)
        )

    @property
    def accepted_is_current(self) -> bool:
        """Return whether what was accepted last still is the score."""
        if self.accepted is None:
            return False
        accepted, current = self.accepted.scores, self.current
        if current is None:
            return True
        return _rules(accepted) == _rules(current) and _numbers(accepted) == _numbers(current)


def recordAutomatic(segmentationNode: Any, scores: Any) -> None:
    """Record what the network found; edits and acceptances of what was there before are forgotten.

    Parameters
    ----------
    segmentationNode : vtkMRMLSegmentationNode
    scores : CalciumScore or dict
        The dictionary is that of ``scores.json``.
    """
    _write(segmentationNode, EditRecord(automatic=score_summary(scores)))


def recordEdited(segmentationNode: Any, scores: Any) -> None:
    """Record the score after an edit; see :func:`recordAutomatic` for the parameters."""
    record = editRecord(segmentationNode)
    edited = score_summary(scores)
    known = record.edited
    if known is not None and _rules(known) == _rules(edited) and _numbers(known) == _numbers(edited):
        return  # nothing new: the time stays that of the edit
    _write(segmentationNode, EditRecord(record.automatic, edited, record.acceptances))


def accept(
    segmentationNode: Any, reader: str, scores: Any, when: datetime | str | None = None, comment: str = ""
) -> None:
    """Record that a person accepts a score.

    Parameters
    ----------
    segmentationNode : vtkMRMLSegmentationNode
    reader : str
        Name or initials.
    scores : CalciumScore or dict
    when : datetime or str, optional
        Now unless given.
    comment : str

    Raises
    ------
    InputRefusedError
        If nobody is named.
    """
    if not reader.strip():
        raise InputRefusedError(refuse("no-reader", "Who accepts the scores? Enter a name or initials."))
    record = editRecord(segmentationNode)
    accepted = Acceptance(reader.strip(), _time(when), comment.strip(), score_summary(scores))
    _write(segmentationNode, EditRecord(record.automatic, record.edited, (*record.acceptances, accepted)))


def editRecord(segmentationNode: Any) -> EditRecord:
    """Return what is recorded for a segmentation; parts that are missing or make no sense are left out."""
    written = read_json(segmentationNode, EDITS_ATTRIBUTE, dict) or {}
    acceptances = written.get("acceptances")
    return EditRecord(
        automatic=_summary(written.get("automatic")),
        edited=_summary(written.get("edited")),
        acceptances=tuple(
            Acceptance(str(entry["reader"]), str(entry.get("when", "")), str(entry.get("comment", "")), scores)
            for entry in (acceptances if isinstance(acceptances, list) else ())
            if isinstance(entry, dict) and entry.get("reader") and (scores := _summary(entry.get("scores"))) is not None
        ),
    )


def score_summary(scores: Any) -> dict[str, Any]:
    """Return the part of a score (``CalciumScore`` or dictionary) that a record keeps."""
    document = scores_dict(scores)
    preset, acquisition = document.get("preset") or {}, document.get("acquisition") or {}
    model = document.get("model") or {}
    return {
        "total": document["total"],
        "vessels": document.get("vessels") or {},
        "risk": document.get("risk") or {},
        "preset": preset.get("name"),
        "threshold_hu": preset.get("threshold_hu"),
        "kvp": (preset.get("thresholds") or {}).get("kvp") or acquisition.get("kvp"),
        "model": model.get("id"),
        "recorded_at": _time(None),
    }


def _write(node: Any, record: EditRecord) -> None:
    value = {
        "automatic": record.automatic,
        "edited": record.edited,
        "acceptances": [vars(accepted) for accepted in record.acceptances],
    }
    write_json(node, EDITS_ATTRIBUTE, value)


def _summary(value: Any) -> dict[str, Any] | None:
    """Return a recorded score, None if it is none."""
    if not isinstance(value, dict) or not isinstance(value.get("total"), dict):
        return None
    vessels = value.get("vessels")
    known = (
        {name: entry for name, entry in vessels.items() if isinstance(entry, dict)} if isinstance(vessels, dict) else {}
    )
    return {**value, "vessels": known}


def _rules(summary: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(summary.get(name) for name in ("preset", "threshold_hu"))


def _numbers(summary: Mapping[str, Any]) -> dict[str, list[Any]]:
    entries = {"total": summary["total"], **summary["vessels"]}
    return {name: [entry.get(number) for number in COMPARED] for name, entry in entries.items()}


def _time(when: datetime | str | None) -> str:
    if isinstance(when, str):
        return when
    return (when or datetime.now(timezone.utc)).isoformat(timespec="seconds")
