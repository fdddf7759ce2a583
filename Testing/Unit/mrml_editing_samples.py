"""A small scan to edit, with the Segment Editor's own logic; every number in it is written out here."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from mrml_samples import DIRECTIONS, ORIGIN_MM
from vtk.util.numpy_support import vtk_to_numpy

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.mrml.editing.editor import LogicSegmentEditor
from CACScoringLib.mrml.editing.logic import EditingLogic
from CACScoringLib.mrml.geometry import from_vtk_matrix, volume_ijk_to_ras
from CACScoringLib.mrml.segmentation import labels_from_segmentation, segmentation_from_labels
from CACScoringLib.mrml.volume import volume_from_ct

LM, LAD, LCX, RCA, OTHER = 1, 2, 3, 4, 14
SHAPE = (8, 24, 24)
SPACING_MM = (3.0, 0.5, 0.5)

LONG = np.s_[3:6, 5:7, 4:12]
"""2 x 8 pixels of 250 HU in three slices: Agatston 16 x 0.25 mm2 x weight 2 = 8 in each slice, 24 in all."""
SMALL = np.s_[2:3, 15:17, 15:18]
"""2 x 3 pixels of 350 HU in one slice: 6 x 0.25 x 3 = 4.5."""
SPECK = np.s_[6:7, 20:21, 20:21]
"""One pixel of 500 HU: 0.25 mm2, too small to count."""


def a_scan(direction: str = "axial") -> CTVolume:
    """Tissue of 40 HU with one long lesion, a small one and a speck."""
    hu = np.full(SHAPE, 40, np.int16)
    hu[LONG], hu[SMALL], hu[SPECK] = 250, 350, 500
    cosines = tuple(float(value) for value in DIRECTIONS[direction].ravel())
    return CTVolume(hu, SPACING_MM, ORIGIN_MM, cosines, Acquisition(kvp=120.0))


def labelled(**parts) -> np.ndarray:
    """Labels of boxes: ``labelled(LAD=LONG)``."""
    labels = np.zeros(SHAPE, np.uint8)
    for name, box in parts.items():
        labels[box] = {"LM": LM, "LAD": LAD, "LCX": LCX, "RCA": RCA, "OTHER": OTHER}[name]
    return labels


def a_session(working, ct: CTVolume | None = None, labels: np.ndarray | None = None) -> SimpleNamespace:
    """A volume and segmentation in the Segment Editor, and the editing logic on them."""
    ct = a_scan() if ct is None else ct
    volume = volume_from_ct(working.scene, ct)
    start = np.zeros(ct.shape, np.uint8) if labels is None else labels
    segmentation = segmentation_from_labels(working.scene, start, volume)
    editor = LogicSegmentEditor(working, volume, segmentation)
    editing = EditingLogic(editor)

    def at(z, y, x):
        """World RAS of a voxel of the volume."""
        return (volume_ijk_to_ras(volume) @ (x, y, z, 1))[:3]

    def read():
        return labels_from_segmentation(segmentation, volume)

    def scores():
        return editing.logic.computeScores(volume, segmentation)

    def voxels_of(segment_id):
        """How many voxels Slicer sees in a segment."""
        import slicer

        image = slicer.vtkOrientedImageData()
        segmentation.GetBinaryLabelmapRepresentation(segment_id, image)
        scalars = image.GetPointData().GetScalars()
        return 0 if scalars is None else int(np.count_nonzero(vtk_to_numpy(scalars)))

    return SimpleNamespace(
        working=working,
        ct=ct,
        volume=volume,
        segmentation=segmentation,
        editor=editor,
        node=editor.parameterNode(),
        editing=editing,
        at=at,
        read=read,
        scores=scores,
        voxels_of=voxels_of,
    )


def an_axial_view(session, z):
    """A slice view of 200 x 100 pixels over 20 x 10 mm, at slice z, centred on voxel (y, x) = (10, 10)."""
    view = session.working.scene.AddNewNodeByClass("vtkMRMLSliceNode")
    view.SetLayoutName(f"Test{view.GetID()}")
    view.SetOrientationToAxial()
    view.SetDimensions(200, 100, 1)
    view.SetFieldOfView(20, 10, 1)
    view.JumpSliceByCentering(*session.at(z, 10, 10))
    return view


def xy_of(session, view, y, x):
    """Where voxel (y, x) of the view's slice is seen, in pixels of the view."""
    matrix = from_vtk_matrix(view.GetXYToRAS())
    return (np.linalg.inv(matrix) @ (*session.at(0, y, x), 1))[:2]
