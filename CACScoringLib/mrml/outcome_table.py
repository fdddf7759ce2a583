"""The outcome table: the whole result on one page for a person, and the bars of its chart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from CACScoringLib.mrml.tables import KIND_ATTRIBUTE, SCORE_COLUMNS, Column, fill_table, scores_dict, vessel_rows
from CACScoringLib.report.words import (
    RESEARCH_USE_ONLY,
    acquisition_line,
    certainty_line,
    labels_from,
    number,
    preset_line,
)
from CACScoringLib.vocabulary import CORONARY_LABELS

OUTCOME_COLUMNS = (
    *(Column(column.name, column.title, column.unit, str) for column in SCORE_COLUMNS if column.name != "mean_hu"),
    Column("notes", "Notes", type=str),
)
CHART_VESSELS = tuple(label.name for label in CORONARY_LABELS)

UP_TO_DATE_ATTRIBUTE = "CACScoring.UpToDate"
"""Attribute of an outcome table: ``true`` or ``false``."""
STATUS = "Status"
UP_TO_DATE = "Up to date with the segmentation"
OUT_OF_DATE = "OUT OF DATE: the segmentation or the volume has changed since"
WITHOUT_LABELS = "Of the CT itself: the segmentation has no part in it"
NOT_SCORED = "Not scored"
OUTCOME_SCHEMES = {"clinical-5": "Risk category", "spect-pet-4": "Risk category (SPECT/PET)", "cac-drs": "CAC-DRS"}
"""The schemes of the outcome table, with their titles."""
SEVERITY_TITLES = {"refuse": "Refused", "warning": "Warning", "info": "Note"}


def update_outcome_table(node: Any, scores: Any, *, up_to_date: bool = True) -> None:
    """Fill a table with the whole outcome for a person: scores by vessel, then what they mean, in words.

    Numbers are written as people do, with a dash for what is not there. After LM, LAD, LCX, RCA and the total, each row
    has its title in the first column and its words in the last one: whether the scores are up to date, risk category,
    CAC-DRS, percentiles and arterial age where the patient is known, the findings, and what the numbers rest on.

    Parameters
    ----------
    node : vtkMRMLTableNode
    scores : CalciumScore or dict, or None while there are none
    up_to_date : bool
        Whether the scores are those of the segmentation as it is.
    """
    document = None if scores is None else scores_dict(scores)
    rows = [] if document is None else [_outcome_row(row) for row in vessel_rows(document)]
    rows.append({"vessel": STATUS, "notes": _status(document, up_to_date)})
    if document is not None:
        rows += [{"vessel": title, "notes": words} for title, words in _outcome_words(document)]
    fill_table(node, OUTCOME_COLUMNS, rows)
    node.SetAttribute(KIND_ATTRIBUTE, "outcome")
    node.SetAttribute(UP_TO_DATE_ATTRIBUTE, "true" if document is not None and up_to_date else "false")


def set_outcome_status(node: Any, *, up_to_date: bool) -> None:
    """Say in an outcome table whether its scores are up to date, without filling it again."""
    for row in range(node.GetNumberOfRows()):
        if node.GetCellText(row, 0) == STATUS:
            node.SetCellText(row, len(OUTCOME_COLUMNS) - 1, UP_TO_DATE if up_to_date else OUT_OF_DATE)
            node.SetAttribute(UP_TO_DATE_ATTRIBUTE, "true" if up_to_date else "false")
            return


def update_chart_table(node: Any, scores: Any, quantity: str = "agatston") -> None:
    """Fill a table with one row and a column for each coronary artery: what a bar chart draws.

    Parameters
    ----------
    node : vtkMRMLTableNode
    scores : CalciumScore or dict, or None for bars of 0
    quantity : str
        Column of the score table.
    """
    vessels = {} if scores is None else scores_dict(scores).get("vessels") or {}
    columns = [Column(label.name, label.title) for label in CORONARY_LABELS]
    fill_table(node, columns, [{name: (vessels.get(name) or {}).get(quantity) or 0.0 for name in CHART_VESSELS}])
    node.SetAttribute(KIND_ATTRIBUTE, "chart")


def _outcome_row(row: Mapping[str, Any]) -> dict[str, str]:
    """Return a vessel's row in words."""
    texts = {name: number(row.get(name)) for name in ("agatston", "volume_mm3", "mass_mg", "density")}
    maximum = row.get("max_hu")
    texts["max_hu"] = number(None) if maximum is None else f"{maximum:.0f}"
    lesions = number(None) if "lesions" in row and row["lesions"] is None else str(row.get("lesions") or 0)
    return {"vessel": str(row["vessel"]), "lesions": lesions, **texts}


def _status(document: Mapping[str, Any] | None, up_to_date: bool) -> str:
    if document is None:
        return NOT_SCORED
    if document.get("category") is not None:
        return WITHOUT_LABELS
    return UP_TO_DATE if up_to_date else OUT_OF_DATE


def _outcome_words(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows below the scores: titles and words."""
    risk = document.get("risk") or {}
    rows = [(title, str(risk[scheme])) for scheme, title in OUTCOME_SCHEMES.items() if scheme in risk]
    own = document.get("category")
    if own is not None and own["scheme"] not in OUTCOME_SCHEMES:
        rows.insert(0, (f"Risk category ({own['scheme']})", str(own["group"])))
    certainty = certainty_line(document)
    if certainty:
        rows.append(("Certainty", certainty))
    patient = document.get("patient") or {}
    who = f"{patient['age_years']:g} years, {patient['sex']}" if patient else ""
    for table, place in (patient.get("percentiles") or {}).items():
        group = f", {patient['ethnicity']}" if table.startswith("mesa") and patient.get("ethnicity") else ""
        rows.append(("Percentile", f"{place['band']} ({table}: {who}{group})"))
    if patient.get("arterial_age_years") is not None:
        rows.append(("Arterial age", f"{patient['arterial_age_years']:.0f} years (patient: {who})"))
    order = list(SEVERITY_TITLES)
    findings = [entry for entry in document["findings"] if entry.get("severity") in SEVERITY_TITLES]
    for entry in sorted(findings, key=lambda entry: order.index(entry["severity"])):
        rows.append((SEVERITY_TITLES[entry["severity"]], str(entry.get("message", ""))))
    labels = labels_from(document) if document.get("model") else "this segmentation"
    basis = preset_line({**document, "model": None}).rsplit("  ·  ", 1)[0]
    rows.append(("Rests on", "  ·  ".join((basis, labels, acquisition_line(document)))))
    return [*rows, ("Use", RESEARCH_USE_ONLY)]
