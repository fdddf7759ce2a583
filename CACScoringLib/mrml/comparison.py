"""A comparison of methods as nodes: a table of methods, and a table of the lesions that they do not mark alike.

Each table function takes a ``report.comparison.Comparison`` or its dictionary (``comparison.json``), and replaces what
the table held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from CACScoringLib.mrml.attributes import write_json
from CACScoringLib.mrml.tables import KIND_ATTRIBUTE, Column, fill_table
from CACScoringLib.report.comparison.lesions import KINDS, lesion_words
from CACScoringLib.report.scores_json import plain
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.vocabulary import CORONARY_LABELS

COMPARISON_ATTRIBUTE = "CACScoring.Comparison"
"""Attribute of the table of methods: all that is known about the comparison, as JSON."""
_VESSELS = tuple(label.name for label in CORONARY_LABELS)
METHOD_COLUMNS = (
    Column("method", "Method", type=str),
    Column("agatston", "Agatston"),
    Column("volume_mm3", "Volume", "mm3"),
    *(Column(f"agatston_{name}", name) for name in _VESSELS),
    Column("category", "Own category", type=str),
    *(Column(scheme, scheme, type=str) for scheme in SCHEMES),
    Column("needs_review", "Needs review", type=str),
    Column("seconds", "Time", "s"),
    Column("model", "Model", type=str),
    Column("note", "Note", type=str),
)
REVIEW_WORDS = {None: "", True: "yes", False: "no"}
SHA_SHOWN = 8


def update_comparison_table(node: Any, comparison: Any) -> None:
    """Fill a table with a row for each method; why one has no result is in its note.

    Parameters
    ----------
    node : vtkMRMLTableNode
    comparison : Comparison or dict
    """
    document = _document(comparison)
    fill_table(node, METHOD_COLUMNS, [_method_row(row) for row in document["methods"]])
    node.SetAttribute(KIND_ATTRIBUTE, "comparison")
    write_json(node, COMPARISON_ATTRIBUTE, document)


def update_comparison_lesion_table(node: Any, comparison: Any) -> None:
    """Fill a table with a row for each lesion that methods do not mark alike; the largest Agatston at stake first.

    Each method that labels voxels has a column with its vessels and their scores there. The position is in RAS.

    Parameters
    ----------
    node : vtkMRMLTableNode
    comparison : Comparison or dict
    """
    document = _document(comparison)
    names = [row["name"] for row in document["methods"] if row["labels_vessels"]]
    columns = (
        Column("id", "Lesion", type=int),
        *(Column(f"by {name}", name, type=str) for name in names),
        Column("at_stake", "Agatston at stake"),
        Column("kind", "Difference", type=str),
        Column("max_hu", "Max", "HU", type=int),
        Column("first_slice", "First slice", type=int),
        Column("last_slice", "Last slice", type=int),
        Column("r_mm", "R", "mm"),
        Column("a_mm", "A", "mm"),
        Column("s_mm", "S", "mm"),
    )
    fill_table(node, columns, [_lesion_row(entry, names) for entry in document["lesions"]])
    node.SetAttribute(KIND_ATTRIBUTE, "comparison-lesions")


def _document(comparison: Any) -> dict[str, Any]:
    return dict(comparison) if isinstance(comparison, Mapping) else plain(comparison.as_dict())


def _method_row(row: Mapping[str, Any]) -> dict[str, Any]:
    model, failure = row["model"], row["failure"]
    doubts = [finding["message"] for finding in row["findings"] if finding["severity"] == "warning"]
    return {
        "method": row["name"],
        "agatston": row["agatston"],
        "volume_mm3": row["volume_mm3"],
        **{f"agatston_{name}": score["agatston"] for name, score in row["vessels"].items()},
        "category": "" if row["category"] is None else f"{row['scheme']} {row['category']}",
        **row["risk"],
        "needs_review": REVIEW_WORDS[row["needs_review"]],
        "seconds": row["seconds"],
        "model": "" if model["id"] is None else f"{model['id']} ({(model['sha256'] or '')[:SHA_SHOWN]})",
        "note": failure["message"] if failure is not None else " ".join(doubts),
    }


def _lesion_row(entry: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    left, posterior, superior = entry["centroid_lps_mm"]
    first, last = entry["slices"]
    return {
        "id": entry["id"],
        **{f"by {name}": lesion_words(entry["vessels"][name], entry["called"][name]) for name in names},
        "at_stake": round(entry["at_stake"], 1),
        "kind": KINDS[entry["kind"]],
        "max_hu": entry["max_hu"],
        "first_slice": first,
        "last_slice": last,
        "r_mm": -left,
        "a_mm": -posterior,
        "s_mm": superior,
    }
