"""Candidates that no vessel has yet, as a label map that slice views show over the CT."""

from __future__ import annotations

from typing import Any

import numpy as np

from CACScoringLib.mrml.editing.scan import CandidateScan
from CACScoringLib.mrml.geometry import to_vtk_matrix, volume_ijk_to_ras

OVERLAY_NAME = "Calcium candidates"
OVERLAY_ATTRIBUTE = "CACScoring.CandidateOverlay"
"""Attribute by which the label map and its colours are known."""
CANDIDATE_COLOR = (1.0, 0.0, 1.0)
"""Magenta: no vessel has it."""
OPACITY = 0.6
"""Of the label layer: the CT shows through."""


class CandidateOverlay:
    """The label map of candidates not yet given.

    Parameters
    ----------
    scene : vtkMRMLScene
        The label map is added when it is first needed; it is neither listed nor saved.
    """

    def __init__(self, scene: Any):
        self._scene = scene
        self._node: Any = None
        self._colors: Any = None
        self._scan: CandidateScan | None = None
        self._drawn: np.ndarray | None = None
        self._former: dict[str, tuple[str | None, float]] = {}

    @property
    def node(self) -> Any:
        """Return the label map volume node, or None while there is none."""
        return self._node

    def update(self, volume_node: Any, scan: CandidateScan, free: np.ndarray) -> None:
        """Draw which candidate voxels are free; only what changed is written.

        Parameters
        ----------
        volume_node : vtkMRMLScalarVolumeNode
        scan : CandidateScan
            Its candidates.
        free : ndarray of bool, shape (n,)
            For each candidate voxel.
        """
        if self._node is None or self._node.GetScene() is None:
            self._node, self._drawn = self._new_node(), None
        if self._drawn is None or self._scan is None or self._scan.own is not scan.own:
            self._start(volume_node, scan)
        if self._node.GetTransformNodeID() != volume_node.GetTransformNodeID():
            self._node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
        changed = np.flatnonzero(free != self._drawn)
        if len(changed):
            self._values()[scan.own[changed]] = free[changed]
            self._drawn = free.copy()
            image = self._node.GetImageData()
            image.GetPointData().GetScalars().Modified()
            image.Modified()

    def show(self) -> None:
        """Put the label map into the label layer of every slice view of the scene."""
        if self._node is None:
            return
        for composite in self._composites():
            if composite.GetLabelVolumeID() != self._node.GetID():
                self._former[composite.GetID()] = (composite.GetLabelVolumeID(), composite.GetLabelOpacity())
                composite.SetLabelVolumeID(self._node.GetID())
                composite.SetLabelOpacity(OPACITY)

    def hide(self) -> None:
        """Give the slice views back what their label layer showed before."""
        for composite in self._composites():
            if composite.GetID() in self._former and self._node is not None:
                volume_id, opacity = self._former[composite.GetID()]
                if composite.GetLabelVolumeID() == self._node.GetID():
                    composite.SetLabelVolumeID(volume_id)
                    composite.SetLabelOpacity(opacity)
        self._former.clear()

    def remove(self) -> None:
        """Hide the label map and take it out of the scene."""
        self.hide()
        for node in (self._node, self._colors):
            if node is not None and node.GetScene() is not None:
                display = node.GetDisplayNode() if hasattr(node, "GetDisplayNode") else None
                node.GetScene().RemoveNode(node)
                if display is not None and display.GetScene() is not None:
                    display.GetScene().RemoveNode(display)
        self._node = self._colors = self._scan = self._drawn = None

    def _composites(self) -> list[Any]:
        found = self._scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
        return [found.GetItemAsObject(index) for index in range(found.GetNumberOfItems())]

    def _new_node(self) -> Any:
        colors = self._scene.AddNewNodeByClass("vtkMRMLColorTableNode", f"{OVERLAY_NAME} colors")
        colors.SetTypeToUser()
        colors.SetNumberOfColors(2)
        colors.SetColor(0, "background", 0.0, 0.0, 0.0, 0.0)
        colors.SetColor(1, "candidate", *CANDIDATE_COLOR, 1.0)
        node = self._scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", OVERLAY_NAME)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetAndObserveColorNodeID(colors.GetID())
        for hidden in (colors, node, display):
            hidden.SetSaveWithScene(False)
            hidden.SetHideFromEditors(True)
        node.SetAttribute(OVERLAY_ATTRIBUTE, "1")
        self._colors = colors
        return node

    def _start(self, volume_node: Any, scan: CandidateScan) -> None:
        """Begin with an empty label map on the volume's grid."""
        import vtk

        image = vtk.vtkImageData()
        image.SetDimensions(scan.own_shape[::-1])
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        image.GetPointData().GetScalars().Fill(0)
        self._node.SetIJKToRASMatrix(to_vtk_matrix(volume_ijk_to_ras(volume_node)))
        self._node.SetAndObserveImageData(image)
        self._scan, self._drawn = scan, np.zeros(len(scan.own), bool)

    def _values(self) -> np.ndarray:
        from vtk.util.numpy_support import vtk_to_numpy

        return vtk_to_numpy(self._node.GetImageData().GetPointData().GetScalars())
