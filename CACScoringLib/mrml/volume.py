"""A CT as a scalar volume node, and back without loss."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse
from CACScoringLib.mrml.attributes import read_findings, read_json, write_findings, write_json
from CACScoringLib.mrml.geometry import to_vtk_matrix
from CACScoringLib.report.grid import LPS_TO_RAS

ACQUISITION_PREFIX = "CACScoring.Acquisition."
"""Attributes of the volume node: this and the field's name, the value as JSON."""

WINDOW_HU, LEVEL_HU = 800.0, 130.0
"""Display of a new volume: soft tissue and calcium apart, centred on the Agatston threshold at 120 kVp."""


def volume_from_ct(scene: Any, ct: CTVolume, name: str = "CT") -> Any:
    """Add a CT to the scene.

    Parameters
    ----------
    scene : vtkMRMLScene
    ct : CTVolume
    name : str

    Returns
    -------
    vtkMRMLScalarVolumeNode
        With its own copy of the voxels, and the acquisition and findings as attributes.
    """
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAndObserveImageData(_image(ct.hu))
    # separately rather than by the matrix, whose columns would be normalised with rounding
    node.SetSpacing(ct.spacing_mm[::-1])
    node.SetOrigin((LPS_TO_RAS[:3, :3] @ np.asarray(ct.origin_mm, float) + 0.0).tolist())
    directions = np.eye(4)
    directions[:3, :3] = LPS_TO_RAS[:3, :3] @ np.asarray(ct.direction, float).reshape(3, 3) + 0.0
    node.SetIJKToRASDirectionMatrix(to_vtk_matrix(directions))
    set_acquisition(node, ct.acquisition)
    write_findings(node, ct.findings)
    if node.AddDefaultStorageNode():  # else a left-handed grid would come back from a scene file turned over
        node.GetStorageNode().SetForceRightHandedIJKCoordinateSystem(False)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    if display is not None:
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(WINDOW_HU, LEVEL_HU)
    return node


def ct_from_volume(node: Any, *, copy: bool = True, acquisition: Acquisition | None = None) -> CTVolume:
    """Return the CT of a scalar volume node, of ours or of any other origin.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
        A parent transform is ignored: calcium is scored on the acquired grid.
    copy : bool
        False: int16 voxels stay those of the node (a read-only view), for speed.
    acquisition : Acquisition, optional
        Instead of what the node's attributes say.

    Raises
    ------
    InputRefusedError
        If the node holds no scalar volume.
    """
    hu, findings = _hounsfield(node, copy)
    directions = _directions(node)
    return CTVolume(
        hu=hu,
        spacing_mm=tuple(float(length) for length in node.GetSpacing()[::-1]),
        origin_mm=tuple((LPS_TO_RAS[:3, :3] @ np.asarray(node.GetOrigin(), float) + 0.0).tolist()),
        direction=tuple((LPS_TO_RAS[:3, :3] @ directions + 0.0).ravel().tolist()),
        acquisition=acquisition or acquisition_of(node),
        findings=(*read_findings(node), *findings),
    )


def set_acquisition(node: Any, acquisition: Acquisition) -> None:
    """Write the acquisition into the node's attributes; unknown values leave none."""
    for name, value in acquisition.as_dict().items():
        write_json(node, ACQUISITION_PREFIX + name, value)


def acquisition_of(node: Any) -> Acquisition:
    """Return the acquisition that the node's attributes hold; what is not there or not readable is None."""
    known: dict[str, Any] = {}
    for item in fields(Acquisition):
        value = read_json(node, ACQUISITION_PREFIX + item.name, _kind(str(item.type)))
        if value is not None:
            known[item.name] = value
    return Acquisition(**known)


def _kind(annotation: str) -> type | tuple[type, ...]:
    if "float" in annotation:
        return (int, float)
    return bool if "bool" in annotation else str


def _image(voxels: np.ndarray) -> Any:
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    image.SetDimensions(voxels.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(voxels).ravel(), deep=True))
    return image


def _directions(node: Any) -> np.ndarray:
    rows = [[0.0, 0.0, 0.0] for _ in range(3)]
    node.GetIJKToRASDirections(rows)
    return np.asarray(rows, float)


def _hounsfield(node: Any, copy: bool) -> tuple[np.ndarray, tuple[Finding, ...]]:
    from vtk.util.numpy_support import vtk_to_numpy

    image = node.GetImageData() if node is not None else None
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None or scalars.GetNumberOfComponents() != 1:
        raise InputRefusedError(refuse("volume-not-scalar", "The volume has no CT voxels: choose a scalar volume."))
    voxels = vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1])
    if voxels.dtype == np.int16:
        if copy:
            return voxels.copy(), ()
        view = voxels.view()
        view.flags.writeable = False
        return view, ()
    if not np.isfinite(voxels).all():
        raise InputRefusedError(refuse("volume-not-finite", "The volume holds values that are no numbers: reload it."))
    limits = np.iinfo(np.int16)
    hu = np.clip(np.rint(voxels), limits.min, limits.max).astype(np.int16)
    if np.array_equal(hu, voxels):
        return hu, ()
    note = f"The volume's {voxels.dtype} voxels were rounded to whole Hounsfield units for scoring."
    return hu, (info("hu-rounded", note),)
