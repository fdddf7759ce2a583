"""A scene with a scored scan and Slicer's own editor logic, for the tests of live scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from mrml_samples import a_calcified_ct
from vtk.util.numpy_support import numpy_to_vtk

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.mrml.geometry import to_vtk_matrix, volume_ijk_to_ras
from CACScoringLib.mrml.segmentation import segmentation_from_labels
from CACScoringLib.mrml.volume import volume_from_ct


def a_labelmap(voxels: np.ndarray, volume: Any, start: tuple[int, int, int] = (0, 0, 0)) -> Any:
    """An oriented image of voxels (z, y, x) on the volume's grid whose extent begins at ``start`` (x, y, z)."""
    image = slicer.vtkOrientedImageData()
    depth, height, width = voxels.shape
    x, y, z = start
    image.SetExtent(x, x + width - 1, y, y + height - 1, z, z + depth - 1)
    image.SetImageToWorldMatrix(to_vtk_matrix(volume_ijk_to_ras(volume)))
    scalars = numpy_to_vtk(np.ascontiguousarray(voxels, dtype=np.uint8).ravel(), deep=True)
    image.GetPointData().SetScalars(scalars)
    return image


@dataclass
class Desk:
    """A volume, its segmentation, and the logic that every Segment Editor effect writes through."""

    volume: Any
    segmentation: Any
    editor: Any
    ct: CTVolume
    labels: np.ndarray

    def paint(self, segment: str, where: tuple[slice, ...] | np.ndarray, mode: str = "Add") -> None:
        """Change a segment as an effect does: one undo state, then the labelmap."""
        stroke = np.zeros(self.ct.shape, np.uint8)
        stroke[where] = 1
        self.editor.SaveStateForUndo()
        kind = getattr(self.editor, f"ModificationMode{mode}")
        self.editor.ModifySegmentByLabelmap(
            self.segmentation, segment, a_labelmap(stroke, self.volume), kind, True, False
        )


def a_desk(
    working: Any, direction: str = "axial", ct: CTVolume | None = None, labels: np.ndarray | None = None
) -> Desk:
    """A scored scan with the editor logic set up; of ``a_calcified_ct`` unless given."""
    if ct is None:
        ct, labels = a_calcified_ct(direction)
    volume = volume_from_ct(working.scene, ct)
    segmentation = segmentation_from_labels(working.scene, labels, volume)
    node = working.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor = slicer.vtkSlicerSegmentEditorLogic()
    editor.SetMRMLApplicationLogic(working.logics["Application"])
    editor.SetMRMLScene(working.scene)
    editor.SetSegmentEditorNode(node)
    editor.SetSegmentationNode(segmentation)
    editor.SetSourceVolumeNode(volume)
    editor.SetMaximumNumberOfUndoStates(20)
    return Desk(volume, segmentation, editor, ct, labels)
