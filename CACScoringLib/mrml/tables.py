"""Scores as table nodes: a row a vessel, a row a lesion, and what the numbers rest on.

Each function takes a ``CalciumScore`` or its dictionary (``scores.json``), and replaces what the table held.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from CACScoringLib.mrml.attributes import read_json, write_json
from CACScoringLib.report.scores_csv import score_rows
from CACScoringLib.report.scores_json import plain
from CACScoringLib.report.words import RESEARCH_USE_ONLY, labels_from

SCORES_ATTRIBUTE = "CACScoring.Scores"
"""Attribute of the score table: all that is known about the result, as JSON."""

KIND_ATTRIBUTE = "CACScoring.Table"
"""Attribute of each table: ``scores``, ``lesions`` or ``summary``."""


@dataclass(frozen=True)
class Column:
    """A column of a table node: its name for programs, title for a person, unit, and type of value."""

    name: str
    title: str
    unit: str = ""
    type: type = float


SCORE_COLUMNS = (
    Column("vessel", "Vessel", type=str),
    Column("agatston", "Agatston"),
    Column("volume_mm3", "Volume", "mm3"),
    Column("mass_mg", "Mass", "mg"),
    Column("lesions", "Lesions", type=int),
    Column("max_hu", "Max", "HU"),
    Column("mean_hu", "Mean", "HU"),
    Column("density", "Density"),
)
LESION_COLUMNS = (
    Column("id", "Lesion", type=int),
    Column("vessel", "Vessel", type=str),
    Column("agatston", "Agatston"),
    Column("volume_mm3", "Volume", "mm3"),
    Column("mass_mg", "Mass", "mg"),
    Column("max_hu", "Max", "HU"),
    Column("mean_hu", "Mean", "HU"),
    Column("slices", "Slices", type=int),
    Column("voxels", "Voxels", type=int),
    Column("confidence", "Confidence"),
    Column("r_mm", "R", "mm"),
    Column("a_mm", "A", "mm"),
    Column("s_mm", "S", "mm"),
)
"""The position is the centroid's, in RAS: what the slice views can jump to."""
LESION_DIGITS = {"agatston": 1, "volume_mm3": 1, "mass_mg": 2, "max_hu": 0, "mean_hu": 0, "confidence": 2}
"""Decimals of the lesion table, which is to be read; the exact numbers are in the scores."""
SUMMARY_COLUMNS = (
    Column("kind", "Kind", type=str),
    Column("name", "Name", type=str),
    Column("value", "Value", type=str),
)


class ScoresDict(dict):
    """What :func:`scores_dict` has made, so that several tables of one score take the trouble once."""


def update_score_table(node: Any, scores: Any, *, non_coronary: bool = False) -> None:
    """Fill a table with a row for LM, LAD, LCX, RCA and the total.

    Parameters
    ----------
    node : vtkMRMLTableNode
    scores : CalciumScore or dict
    non_coronary : bool
        True: rows for calcified structures outside the coronary arteries follow the total.
    """
    document = scores_dict(scores)
    fill_table(node, SCORE_COLUMNS, vessel_rows(document, non_coronary=non_coronary))
    node.SetAttribute(KIND_ATTRIBUTE, "scores")
    write_json(node, SCORES_ATTRIBUTE, document)


def update_lesion_table(node: Any, scores: Any) -> None:
    """Fill a table with a row for each lesion.

    Parameters
    ----------
    node : vtkMRMLTableNode
    scores : CalciumScore or dict
    """
    fill_table(node, LESION_COLUMNS, [_lesion_row(lesion) for lesion in scores_dict(scores).get("lesions") or ()])
    node.SetAttribute(KIND_ATTRIBUTE, "lesions")


def update_summary_table(node: Any, scores: Any) -> None:
    """Fill a table with risk categories, extent, percentiles, what the numbers rest on, and the findings.

    Parameters
    ----------
    node : vtkMRMLTableNode
    scores : CalciumScore or dict
    """
    document = scores_dict(scores)
    rows = [("risk", str(scheme), str(group)) for scheme, group in (document.get("risk") or {}).items()]
    rows += [*_extent_rows(document["total"]), *_patient_rows(document.get("patient") or {}), *_basis_rows(document)]
    rows += [(entry["severity"], entry["code"], entry["message"]) for entry in document["findings"]]
    fill_table(node, SUMMARY_COLUMNS, [dict(zip(("kind", "name", "value"), row, strict=True)) for row in rows])
    node.SetAttribute(KIND_ATTRIBUTE, "summary")


def vessel_rows(document: Mapping[str, Any], *, non_coronary: bool = False) -> list[dict[str, Any]]:
    """Return the rows of a score table: LM, LAD, LCX, RCA, the total, and on request what is not coronary."""
    return [
        {"vessel": "Total" if region == "total" else name, **entry}
        for region, name, entry in score_rows(document)
        if non_coronary or region != "non-coronary"
    ]


def scores_dict(scores: Any) -> dict[str, Any]:
    """Return a score as the plain dictionary of ``scores.json``; numbers that do not exist are None."""
    if isinstance(scores, ScoresDict):
        return scores
    document = plain(scores if isinstance(scores, Mapping) else scores.as_dict())
    findings = [entry for entry in document.get("findings") or () if isinstance(entry, Mapping)]
    return ScoresDict({**document, "findings": findings})


def scores_of_table(node: Any) -> dict[str, Any] | None:
    """Return the scores that a score table was filled from, or None if it does not say."""
    return read_json(node, SCORES_ATTRIBUTE, dict)


def fill_table(node: Any, columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace a table's contents; values that are not there are empty text, or NaN in number columns.

    Parameters
    ----------
    node : vtkMRMLTableNode
    columns : sequence of Column
    rows : iterable of mapping
        By column name.
    """
    rows = list(rows)
    modifying = node.StartModify()
    try:
        node.RemoveAllColumns()
        for column in columns:
            node.AddColumn(_array(column, rows))
            node.SetColumnTitle(column.name, column.title)  # the view adds the unit
            if column.unit:
                node.SetColumnUnitLabel(column.name, column.unit)
        node.SetUseColumnTitleAsColumnHeader(True)
        node.SetUseFirstColumnAsRowHeader(False)
        node.SetLocked(True)
    finally:
        node.EndModify(modifying)


def _lesion_row(lesion: Mapping[str, Any]) -> dict[str, Any]:
    left, posterior, superior = lesion["centroid_lps_mm"]
    first, last = lesion["slices"]
    row = {**lesion, "slices": last - first + 1, "r_mm": -left, "a_mm": -posterior, "s_mm": superior}
    rounded = {name: round(row[name], digits) for name, digits in LESION_DIGITS.items() if row.get(name) is not None}
    return {**row, **rounded}


def _array(column: Column, rows: list[Mapping[str, Any]]) -> Any:
    import vtk

    array = {float: vtk.vtkDoubleArray, int: vtk.vtkIntArray, str: vtk.vtkStringArray}[column.type]()
    array.SetName(column.name)
    for row in rows:
        value = row.get(column.name)
        if column.type is float:
            array.InsertNextValue(math.nan if value is None else float(value))
        elif column.type is int:
            array.InsertNextValue(0 if value is None else int(value))
        else:
            array.InsertNextValue("" if value is None else str(value))
    return array


def _extent_rows(total: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    names = {
        "calcified_vessels": "calcified vessels",
        "diffusivity": "diffusivity index",
        "extent_z_mm": "calcified extent along z (mm)",
    }
    return [("extent", title, _known(total[name])) for name, title in names.items() if name in total]


def _patient_rows(patient: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    if not patient:
        return []
    rows = [("patient", "arterial age (years)", _known(patient.get("arterial_age_years")))]
    for table, percentile in (patient.get("percentiles") or {}).items():
        rows.append(("patient", f"percentile {table}", f"{percentile['band']} ({percentile['status']})"))
    return rows


def _basis_rows(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    preset, acquisition = document.get("preset") or {}, document.get("acquisition") or {}
    calibrated = (preset.get("mass_calibration") or {}).get("calibrated")
    return [
        ("basis", "preset", str(preset.get("name", "unknown"))),
        ("basis", "threshold (HU)", _known(preset.get("threshold_hu"))),
        ("basis", "tube voltage (kV)", _known(acquisition.get("kvp"))),
        ("basis", "mass", "calibrated" if calibrated else "not calibrated"),
        ("basis", "labels", labels_from(document) if document.get("model") else "this segmentation"),
        ("basis", "use", RESEARCH_USE_ONLY),
    ]


def _known(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
