"""A comparison of methods as nodes: a table of methods, a table of lesions, attention as a volume over the CT.

Each table function takes a ``report.comparison.Comparison`` or its dictionary (``comparison.json``), and replaces what
the table held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from CACScoringLib.methods.score_prediction import AttentionMap
from CACScoringLib.mrml.attributes import write_json
from CACScoringLib.mrml.geometry import to_vtk_matrix, volume_ijk_to_ras
from CACScoringLib.mrml.orientation import labels_on_grid_of, oriented_ct
from CACScoringLib.mrml.tables import KIND_ATTRIBUTE, Column, fill_table
from CACScoringLib.mrml.volume import ct_from_volume
from CACScoringLib.report.comparison.lesions import KINDS, lesion_words
from CACScoringLib.report.scores_json import plain
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.vocabulary import CORONARY_LABELS

COMPARISON_ATTRIBUTE = "CACScoring.Comparison"
"""Attribute of the table of methods: all that is known about the comparison, as JSON."""
ATTENTION_ATTRIBUTE = "CACScoring.Attention"
"""Attribute of an attention volume: the method whose score it explains."""
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
ATTENTION_COLORS = ((0.0, 0.0, 0.0), (0.6, 0.0, 0.2), (1.0, 0.5, 0.0), (1.0, 1.0, 0.7))
"""From no attention to the highest, evenly spaced: dark is little, and brighter is more."""
COLOR_STEPS = 256
LEAST_SHOWN = 0.05
"""Share of the highest attention below which the CT shows through untouched."""
OVERLAY_OPACITY = 0.5


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


def attention_volume(
    scene: Any, volume_node: Any, attention: AttentionMap, method: str = "", *, node: Any = None
) -> Any:
    """Put an attention map into a scalar volume on the voxels of a CT, ready to be shown over it.

    Parameters
    ----------
    scene : vtkMRMLScene
    volume_node : vtkMRMLScalarVolumeNode
        The CT that was scored; the volume follows its parent transform.
    attention : AttentionMap
        On the grid of ``oriented_ct`` of that CT.
    method : str
        Whose score it explains.
    node : vtkMRMLScalarVolumeNode, optional
        Filled anew instead of a new one.

    Returns
    -------
    vtkMRMLScalarVolumeNode
        float32. Put it into the foreground of slice views (``show_attention``) with the CT in the background: what is
        below ``LEAST_SHOWN`` of the highest attention is transparent.
    """
    own = ct_from_volume(volume_node, copy=False)
    turned = oriented_ct(own)
    values = labels_on_grid_of(attention.on_ct(turned.shape, turned.spacing_mm), own)
    if node is None or node.GetScene() is None:
        node = scene.AddNewNodeByClass(
            "vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(f"Attention of {method}".strip())
        )
    node.SetAndObserveImageData(_image(values))
    node.SetIJKToRASMatrix(to_vtk_matrix(volume_ijk_to_ras(volume_node)))
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    node.SetAttribute(ATTENTION_ATTRIBUTE, method)
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    highest = float(values.max(initial=0.0)) or 1.0
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(_colors(scene).GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(highest, highest / 2)
    display.SetAutoThreshold(False)
    display.SetThreshold(LEAST_SHOWN * highest, 2 * highest)
    display.SetApplyThreshold(True)
    return node


def show_attention(node: Any, opacity: float = OVERLAY_OPACITY) -> None:
    """Put an attention volume into the foreground of every slice view of its scene.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
        From ``attention_volume``.
    opacity : float
        0 hides it, 1 hides the CT below it.
    """
    found = node.GetScene().GetNodesByClass("vtkMRMLSliceCompositeNode")
    for index in range(found.GetNumberOfItems()):
        composite = found.GetItemAsObject(index)
        composite.SetForegroundVolumeID(node.GetID())
        composite.SetForegroundOpacity(opacity)


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


def _image(values: np.ndarray) -> Any:
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    image.SetDimensions(values.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(values, np.float32).ravel(), deep=True))
    return image


def _colors(scene: Any) -> Any:
    """Return the colour table of attention, which a scene has once."""
    found = scene.GetNodesByClass("vtkMRMLColorTableNode")
    for index in range(found.GetNumberOfItems()):
        if found.GetItemAsObject(index).GetAttribute(ATTENTION_ATTRIBUTE) is not None:
            return found.GetItemAsObject(index)
    node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", "CACScoring attention")
    node.SetTypeToUser()
    node.SetNumberOfColors(COLOR_STEPS)
    at = np.linspace(0.0, 1.0, COLOR_STEPS)
    stops = np.linspace(0.0, 1.0, len(ATTENTION_COLORS))
    shades = np.stack([np.interp(at, stops, channel) for channel in np.transpose(ATTENTION_COLORS)], axis=1)
    for index, shade in enumerate(shades.tolist()):
        node.SetColor(index, f"{index}", *shade, 1.0)
    node.SetAttribute(ATTENTION_ATTRIBUTE, "colors")
    return node
