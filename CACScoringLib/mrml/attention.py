"""What a score rests on as a volume of a scene, to be laid over the CT."""

from __future__ import annotations

from typing import Any

import numpy as np

from CACScoringLib.methods.score_prediction import AttentionMap
from CACScoringLib.mrml.geometry import to_vtk_matrix, volume_ijk_to_ras
from CACScoringLib.mrml.orientation import labels_on_grid_of, oriented_ct
from CACScoringLib.mrml.volume import ct_from_volume

ATTENTION_ATTRIBUTE = "CACScoring.Attention"
"""Attribute of an attention volume: the method whose score it explains."""
ATTENTION_COLORS = ((0.0, 0.0, 0.0), (0.6, 0.0, 0.2), (1.0, 0.5, 0.0), (1.0, 1.0, 0.7))
"""From no attention to the highest, evenly spaced: dark is little, and brighter is more."""
COLOR_STEPS = 256
LEAST_SHOWN = 0.05
"""Share of the highest attention below which the CT shows through untouched."""
OVERLAY_OPACITY = 0.5


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


def attention_nodes(scene: Any) -> dict[str, Any]:
    """Return the attention volumes of a scene by the method whose score they explain."""
    found = scene.GetNodesByClass("vtkMRMLScalarVolumeNode")
    nodes = [found.GetItemAsObject(index) for index in range(found.GetNumberOfItems())]
    return {
        node.GetAttribute(ATTENTION_ATTRIBUTE): node
        for node in nodes
        if node.GetAttribute(ATTENTION_ATTRIBUTE) is not None
    }


def show_attention(node: Any, opacity: float = OVERLAY_OPACITY) -> None:
    """Put an attention volume into the foreground of every slice view of its scene.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
        From ``attention_volume``.
    opacity : float
        0 hides it, 1 hides the CT below it.
    """
    for composite in _slice_views(node.GetScene()):
        composite.SetForegroundVolumeID(node.GetID())
        composite.SetForegroundOpacity(opacity)


def hide_attention(node: Any) -> None:
    """Take an attention volume out of the foreground of every slice view that shows it there."""
    for composite in _slice_views(node.GetScene()):
        if composite.GetForegroundVolumeID() == node.GetID():
            composite.SetForegroundVolumeID(None)
            composite.SetForegroundOpacity(0.0)


def _slice_views(scene: Any) -> list[Any]:
    found = scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
    return [found.GetItemAsObject(index) for index in range(found.GetNumberOfItems())]


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
