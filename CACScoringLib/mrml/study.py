"""One scored scan as one study of the subject hierarchy: volume, segmentation and tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.mrml.scene import import_slicer, new_scene, save_scene
from CACScoringLib.mrml.segmentation import segmentation_from_labels
from CACScoringLib.mrml.tables import update_lesion_table, update_score_table, update_summary_table
from CACScoringLib.mrml.volume import volume_from_ct
from CACScoringLib.report.segments import NonCoronaryMode

if TYPE_CHECKING:
    from CACScoringLib.methods.score_prediction import AttentionMap

MAX_NAME_LENGTH = 64
"""DICOM's longest series description; nodes' file names are made of it."""

SLICE_VIEWS = ("Red", "Yellow", "Green")


@dataclass(frozen=True)
class StudyNodes:
    """The nodes of one scored scan.

    Attributes
    ----------
    item : int
        The study's item in the subject hierarchy.
    volume : vtkMRMLScalarVolumeNode
    segmentation : vtkMRMLSegmentationNode or None
        None where the scan was scored without labels.
    scores, lesions, summary : vtkMRMLTableNode
    """

    item: int
    volume: Any
    segmentation: Any
    scores: Any
    lesions: Any
    summary: Any


def write_scene(
    ct: CTVolume,
    labels: np.ndarray | None,
    scores: Any,
    path: str | Path,
    *,
    name: str | None = None,
    non_coronary: str | NonCoronaryMode = NonCoronaryMode.MERGED,
    attention: AttentionMap | None = None,
) -> Path:
    """Write a scored scan as a scene file that 3D Slicer opens.

    Parameters
    ----------
    ct : CTVolume
    labels : ndarray of uint8, shape (z, y, x), or None
        None where the scan was scored without labels.
    scores : CalciumScore or dict
        The dictionary is that of ``scores.json``.
    path : path
        Ends with ``.mrb``.
    name : str, optional
        Of the study.
    non_coronary : {"merged", "separate"}
    attention : AttentionMap, optional
        What a score without labels rests on; becomes a volume in front of the scan.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    SceneUnavailableError
        If slicer-core is not installed.
    """
    working = new_scene()
    nodes = add_study(working.scene, ct, labels, scores, name=name, non_coronary=non_coronary)
    show_in_slice_views(working.scene, nodes.volume)
    if attention is not None:
        from CACScoringLib.mrml.attention import attention_volume, show_attention

        heat = attention_volume(working.scene, nodes.volume, attention, str(dict(scores["model"])["method"]))
        put_under_study(working.scene, nodes.volume, (heat,))
        show_attention(heat)
    return save_scene(working.scene, path)


def add_study(
    scene: Any,
    ct: CTVolume,
    labels: np.ndarray | None,
    scores: Any,
    *,
    name: str | None = None,
    non_coronary: str | NonCoronaryMode = NonCoronaryMode.MERGED,
) -> StudyNodes:
    """Add a scored scan to a scene: see :func:`write_scene` for the parameters."""
    title = _printable(name or ct.acquisition.series_description or "") or "CT"
    volume = volume_from_ct(scene, ct, title)
    segmentation = None
    if labels is not None:
        segmentation = segmentation_from_labels(scene, labels, volume, f"{title} calcium", non_coronary=non_coronary)
    tables = [
        scene.AddNewNodeByClass("vtkMRMLTableNode", f"{title} {what}") for what in ("scores", "lesions", "summary")
    ]
    update_score_table(tables[0], scores)
    update_lesion_table(tables[1], scores)
    update_summary_table(tables[2], scores)
    added = (*(() if segmentation is None else (segmentation,)), *tables)
    item = put_under_study(scene, volume, added, name=f"Calcium scoring: {title}")
    hierarchy = import_slicer().vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    for node_item, uid in (
        (item, ct.acquisition.study_uid),
        (hierarchy.GetItemByDataNode(volume), ct.acquisition.series_uid),
    ):
        if uid:
            hierarchy.SetItemUID(node_item, _dicom_uid_name(), uid)
    return StudyNodes(item, volume, segmentation, *tables)


def put_under_study(scene: Any, volume_node: Any, nodes: tuple[Any, ...], name: str = "Calcium scoring") -> int:
    """Put nodes beside a volume in the subject hierarchy, under a new study unless the volume has one.

    Returns
    -------
    int
        The study's item.

    Raises
    ------
    RuntimeError
        If the scene has no subject hierarchy.
    """
    slicer = import_slicer()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if hierarchy is None:
        raise RuntimeError("The scene has no subject hierarchy.")
    nothing = hierarchy.GetInvalidItemID()
    constants = slicer.vtkMRMLSubjectHierarchyConstants
    study, existing = nothing, hierarchy.GetItemByDataNode(volume_node)
    if existing != nothing:
        study = hierarchy.GetItemAncestorAtLevel(existing, constants.GetDICOMLevelStudy())
    if study == nothing:
        study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), name)
    for node in (volume_node, *nodes):
        item = hierarchy.GetItemByDataNode(node)
        if item == nothing:
            hierarchy.CreateItem(study, node)
        elif node is not volume_node or hierarchy.GetItemParent(item) == hierarchy.GetSceneItemID():
            hierarchy.SetItemParent(item, study)
    return study


def show_in_slice_views(scene: Any, volume_node: Any) -> None:
    """Have Slicer show the volume in its slice views when it opens the scene."""
    for view in SLICE_VIEWS:
        composite = scene.GetSingletonNode(view, "vtkMRMLSliceCompositeNode")
        if composite is None:
            composite = import_slicer().vtkMRMLSliceCompositeNode()
            composite.SetSingletonTag(view)
            composite.SetLayoutName(view)
            composite = scene.AddNode(composite)
        composite.SetBackgroundVolumeID(volume_node.GetID())


def _dicom_uid_name() -> str:
    return import_slicer().vtkMRMLSubjectHierarchyConstants.GetDICOMUIDName()


def _printable(text: str) -> str:
    """Return a name without what MRML writes badly (quotes, brackets, separators), and of bearable length."""
    words = re.sub(r"[^\w .,()+=#-]", " ", text).split()
    return " ".join(words)[:MAX_NAME_LENGTH].strip()
