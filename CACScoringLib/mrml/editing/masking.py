"""Which voxels the Segment Editor's masking and visibility settings leave to be changed."""

from __future__ import annotations

from typing import Any

import numpy as np

from CACScoringLib.mrml.editing.writing import box_image, layer_values
from CACScoringLib.mrml.scene import import_slicer
from CACScoringLib.vocabulary import BACKGROUND


def is_visible(segmentation_node: Any, segment_id: str) -> bool:
    """Return whether a segment is shown; without a display node all are."""
    display = segmentation_node.GetDisplayNode()
    return display is None or bool(display.GetSegmentVisibility(segment_id))


def editable(
    segmentation_node: Any,
    volume_node: Any,
    editor_node: Any,
    segment_id: str,
    positions: np.ndarray,
    hu: np.ndarray,
) -> np.ndarray:
    """Return which voxels may be changed when a segment is edited: "editable area" and "editable intensity".

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    volume_node : vtkMRMLScalarVolumeNode
    editor_node : vtkMRMLSegmentEditorNode or None
        Holds the settings; without it everything is editable.
    segment_id : str
        The segment that is edited: it does not mask itself.
    positions : ndarray of int64, shape (n,)
        Voxels in the volume's array.
    hu : ndarray of int, shape (n,)
        Of the original volume, never of a resampled one.
    """
    allowed = np.ones(len(positions), bool)
    if editor_node is None or len(positions) == 0:
        return allowed
    if editor_node.GetSourceVolumeIntensityMask():
        low, high = editor_node.GetSourceVolumeIntensityMaskRange()
        allowed &= (hu >= low) & (hu <= high)
    mode = editor_node.GetMaskMode()
    if mode != import_slicer().vtkMRMLSegmentationNode.EditAllowedEverywhere:
        allowed &= _in_editable_area(segmentation_node, volume_node, editor_node, segment_id, positions)
    return allowed


def unprotected(
    segmentation_node: Any, editor_node: Any, segments: dict[str, int], labels: np.ndarray, *, taking: bool
) -> np.ndarray:
    """Return which voxels are not held by a hidden segment of ours.

    A hidden segment is changed only where "Modify other segments" says that all are overwritten.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    editor_node : vtkMRMLSegmentEditorNode or None
    segments : dict of str to int
        Identifiers of our segments, with their label values.
    labels : ndarray of uint8, shape (n,)
        What the voxels are labelled now.
    taking : bool
        Whether voxels are taken away rather than given: what cannot be seen is not taken away.
    """
    slicer = import_slicer()
    overwrite_all = editor_node is None or (
        editor_node.GetOverwriteMode() == slicer.vtkMRMLSegmentEditorNode.OverwriteAllSegments
    )
    if overwrite_all and not taking:
        return np.ones(len(labels), bool)
    seen = {value for segment_id, value in segments.items() if is_visible(segmentation_node, segment_id)}
    return np.isin(labels, [BACKGROUND, *seen])


def _in_editable_area(
    segmentation_node: Any, volume_node: Any, editor_node: Any, segment_id: str, positions: np.ndarray
) -> np.ndarray:
    """Return which voxels lie in the editable area, by Slicer's own mask on the box that holds them."""
    image, box = box_image(segmentation_node, volume_node, positions)
    mask = import_slicer().vtkOrientedImageData()
    display = segmentation_node.GetDisplayNode()
    if not segmentation_node.GenerateEditMask(
        mask, editor_node.GetMaskMode(), image, segment_id, editor_node.GetMaskSegmentID() or "", None, None, display
    ):
        return np.zeros(len(positions), bool)
    forbidden = layer_values(mask)
    return forbidden[box.inside(positions)] == 0
