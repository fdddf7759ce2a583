"""The nodes of one case of a review: into the scene from files, back to files, and out of the scene."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, refuse
from CACScoringLib.mrml.scene import import_slicer, quiet_vtk
from CACScoringLib.mrml.segmentation import calcium_segments, labels_from_segmentation, segmentation_from_labels
from CACScoringLib.mrml.study import put_under_study, show_in_slice_views
from CACScoringLib.mrml.volume import volume_from_ct

STUDY_PREFIX = "Review: "
"""How a case's study is called in the subject hierarchy, before its name."""


@dataclass(eq=False)
class CaseNodes:
    """The nodes of an open case.

    Attributes
    ----------
    ct : CTVolume
        As it was loaded; the volume holds a copy of its voxels.
    volume : vtkMRMLScalarVolumeNode
    segmentation : vtkMRMLSegmentationNode
    study : int
        Their item in the subject hierarchy.
    """

    ct: CTVolume
    volume: Any
    segmentation: Any
    study: int

    @property
    def there(self) -> bool:
        """Return whether both nodes are still in a scene."""
        return self.volume.GetScene() is not None and self.segmentation.GetScene() is not None


@dataclass(eq=False)
class OpenCase:
    """The case of a work list that is open.

    Attributes
    ----------
    index : int
        Its place in the work list.
    nodes : CaseNodes or None
        None where the scan could not be opened.
    automatic : dict or None
        The automatic scores as ``scores.json`` has them; None until the network is done.
    notices : list of str
        What the reader should know about it, in sentences.
    waiting : bool
        Whether the network still runs.
    saved : str
        Fingerprint of the labels as they were opened or last saved.
    changed : bool
        Whether any segment was modified since.
    """

    index: int
    nodes: CaseNodes | None = None
    automatic: dict[str, Any] | None = None
    notices: list[str] = field(default_factory=list)
    waiting: bool = False
    saved: str = ""
    changed: bool = False

    def settle(self) -> None:
        """Take the segments as they are now for saved."""
        self.saved, self.changed = fingerprint(case_labels(self.nodes)), False


def add_case(scene: Any, ct: CTVolume, name: str, *, non_coronary: str = "merged") -> CaseNodes:
    """Add a scan with empty calcium segments to the scene, and show it in the slice views.

    Parameters
    ----------
    scene : vtkMRMLScene
    ct : CTVolume
    name : str
    non_coronary : {"merged", "separate"}
    """
    volume = volume_from_ct(scene, ct, name)
    empty = np.zeros(ct.shape, np.uint8)
    segmentation = segmentation_from_labels(scene, empty, volume, f"{name} calcium", non_coronary=non_coronary)
    study = put_under_study(scene, volume, (segmentation,), name=f"{STUDY_PREFIX}{name}")
    show_in_slice_views(scene, volume)
    return CaseNodes(ct, volume, segmentation, study)


def remove_case(scene: Any, nodes: CaseNodes) -> None:
    """Take a case's nodes out of the scene, as far as they are still there, and their study if it is empty then."""
    hierarchy = import_slicer().vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    for node in (nodes.segmentation, nodes.volume):
        remove_node(scene, node)
    if hierarchy is not None and nodes.study in _items(hierarchy, hierarchy.GetSceneItemID(), deep=True):
        name = hierarchy.GetItemName(nodes.study)  # the scene may have been replaced, the number be another item's
        if name.startswith(STUDY_PREFIX) and not _items(hierarchy, nodes.study):
            hierarchy.RemoveItem(nodes.study)


def remove_node(scene: Any, node: Any) -> None:
    """Take a node out of the scene, with its display and storage nodes."""
    if node.GetScene() is not scene:
        return
    hierarchy = import_slicer().vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = None if hierarchy is None else hierarchy.GetItemByDataNode(node)
    belonging = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    belonging.append(node.GetStorageNode())
    scene.RemoveNode(node)
    for other in belonging:
        if other is not None and other.GetScene() is scene:
            scene.RemoveNode(other)
    # the desktop removes the item with its node, slicer-core does not
    if item is not None and item in _items(hierarchy, hierarchy.GetSceneItemID(), deep=True):
        hierarchy.RemoveItem(item, False)


def _items(hierarchy: Any, parent: int, deep: bool = False) -> list[int]:
    import vtk

    found = vtk.vtkIdList()
    hierarchy.GetItemChildren(parent, found, deep)
    return [found.GetId(index) for index in range(found.GetNumberOfIds())]


def read_segmentation(nodes: CaseNodes, path: Path) -> None:
    """Replace the case's segments by those of a file, the reader's own ones included.

    Parameters
    ----------
    nodes : CaseNodes
    path : Path
        A ``.seg.nrrd``.

    Raises
    ------
    InputRefusedError
        If the file is damaged or holds no calcium segments; the segments stay as they were.
    """
    from CACScoringLib.ct.image_file import read_image

    read_image(path)  # Slicer's own reader ends the whole program at a damaged file
    scene = nodes.segmentation.GetScene()
    loaded = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "CACScoring loading")
    try:
        storage = import_slicer().vtkMRMLSegmentationStorageNode()
        storage.SetFileName(str(path))
        with quiet_vtk():
            read = storage.ReadData(loaded)
        if not read or not calcium_segments(loaded):
            message = f"The segmentation {path.name} holds no LM, LAD, LCX or RCA segment."
            raise InputRefusedError(refuse("mask-unreadable", message))
        nodes.segmentation.GetSegmentation().DeepCopy(loaded.GetSegmentation())
    finally:
        remove_node(scene, loaded)
    nodes.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(nodes.volume)


def write_segmentation(nodes: CaseNodes, path: Path) -> None:
    """Write all segments of a case as ``.seg.nrrd``, the reader's own ones included.

    Raises
    ------
    OSError
        If Slicer could not write it.
    """
    storage = import_slicer().vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    if not storage.WriteData(nodes.segmentation) or not path.is_file():
        raise OSError("the segmentation could not be written")


def fingerprint(labels: np.ndarray) -> str:
    """Return what tells label maps apart: equal for equal labels, on every machine.

    Parameters
    ----------
    labels : ndarray of uint8, shape (z, y, x)
    """
    marked = np.flatnonzero(labels)
    digest = hashlib.sha256(repr(labels.shape).encode())
    digest.update(marked.astype("<i8").tobytes())
    digest.update(labels.ravel()[marked].tobytes())
    return digest.hexdigest()


def has_other_segments(nodes: CaseNodes) -> bool:
    """Return whether the reader has segments besides those of calcium."""
    return nodes.segmentation.GetSegmentation().GetNumberOfSegments() > len(calcium_segments(nodes.segmentation))


def case_labels(nodes: CaseNodes) -> np.ndarray:
    """Return the calcium labels of a case on its volume's grid, uint8 (z, y, x).

    Raises
    ------
    InputRefusedError
        If they cannot be read.
    """
    try:
        return labels_from_segmentation(nodes.segmentation, nodes.volume)
    except ValueError as error:
        raise InputRefusedError(refuse("segmentation-unreadable", str(error))) from error


def load_scan(path: str, *, allow_contrast: bool) -> CTVolume:
    """Load a scan; whatever is wrong with it is one sentence.

    Raises
    ------
    InputRefusedError
    """
    from CACScoringLib.ct import load_ct

    try:
        return load_ct(path, allow_contrast=allow_contrast)
    except InputRefusedError:
        raise
    except Exception as error:  # a review goes on whatever one scan does
        message = f"The scan could not be read ({_one_line(error)}): check that it is a complete, undamaged CT."
        raise InputRefusedError(refuse("unreadable", message)) from error


def load_mask(path: Path, nodes: CaseNodes) -> tuple[np.ndarray, tuple[Finding, ...]]:
    """Load labels for a case, as ``load_labels`` does; whatever is wrong with them is one sentence.

    Raises
    ------
    InputRefusedError
    """
    from CACScoringLib.ct import load_labels

    try:
        return load_labels(path, nodes.ct)
    except InputRefusedError:
        raise
    except Exception as error:  # as above
        message = f"The labels {path.name} could not be read ({_one_line(error)}): check the file."
        raise InputRefusedError(refuse("mask-unreadable", message)) from error


def _one_line(error: Exception) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 160 else words[:159] + "…"
