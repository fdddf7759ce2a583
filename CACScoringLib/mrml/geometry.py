"""Where nodes and their voxels lie, as 4x4 arrays."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_vtk_matrix(matrix: np.ndarray) -> Any:
    """Return a ``vtkMatrix4x4`` with the same elements."""
    import vtk

    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, float).ravel())
    return result


def from_vtk_matrix(matrix: Any) -> np.ndarray:
    """Return the elements of a ``vtkMatrix4x4`` as an array of shape (4, 4)."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def volume_ijk_to_ras(volume_node: Any) -> np.ndarray:
    """Return the 4x4 matrix from a volume node's voxel indices to its own RAS, parent transform aside."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    return from_vtk_matrix(matrix)


def node_to_node(source: Any, target: Any) -> np.ndarray:
    """Return the 4x4 matrix from one node's coordinates to another's by their parent transforms.

    Raises
    ------
    ValueError
        If the transforms between them are not linear.
    """
    if source.GetParentTransformNode() is target.GetParentTransformNode():
        return np.eye(4)
    import vtk

    from CACScoringLib.mrml.scene import import_slicer

    transforms = import_slicer().vtkMRMLTransformNode
    matrix = vtk.vtkMatrix4x4()
    if not transforms.GetMatrixTransformBetweenNodes(
        source.GetParentTransformNode(), target.GetParentTransformNode(), matrix
    ):
        raise ValueError("A warp lies between the segmentation and the volume: harden or remove the transform.")
    return from_vtk_matrix(matrix)
