"""Calcium of any one segment, whoever made it and whatever it is called: Agatston score, volume and mass.

What Segment Statistics shows beside its own columns. A vessel's segment gets the scores of its row in the score table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from CACScoringLib.findings import Finding, InputRefusedError, refuse
from CACScoringLib.mrml.geometry import node_to_node, volume_ijk_to_ras
from CACScoringLib.mrml.logic import DEFAULT_PRESET, ScoringLogic
from CACScoringLib.mrml.orientation import orient_labels, oriented_ct
from CACScoringLib.mrml.scene import import_slicer
from CACScoringLib.mrml.segmentation import image_matrix, place_voxels, recoded_voxels
from CACScoringLib.vocabulary import Code, Vessel

SCORED_AS = Vessel.LAD
"""The label under which a segment is scored: in every preset a label of its own, unlike LM."""


@dataclass(frozen=True)
class Measurement:
    """A number that is given for each segment.

    Attributes
    ----------
    key : str
        Field of :class:`SegmentCalcium`.
    title, unit : str
    quantity, unit_code : Code
        DICOM codes.
    method : Code or None
    """

    key: str
    title: str
    unit: str
    quantity: Code
    unit_code: Code
    method: Code | None = None


MEASUREMENTS = (
    Measurement(
        *("agatston", "Agatston score", ""),
        Code("DCM", "112058", "Calcium score"),
        Code("UCUM", "1", "no units"),
        Code("DCM", "112055", "Agatston scoring method"),
    ),
    Measurement(
        *("volume_mm3", "Calcium volume", "mm3"),
        Code("DCM", "122660", "Calcium Volume"),
        Code("UCUM", "mm3", "cubic millimeter"),
    ),
    Measurement(
        *("mass_mg", "Calcium mass", "mg"),
        Code("DCM", "122661", "Calcium Mass"),
        Code("UCUM", "mg", "milligram"),
    ),
)
"""Codes: DICOM PS3.16."""


@dataclass(frozen=True)
class SegmentCalcium:
    """The calcium of one segment.

    Attributes
    ----------
    agatston : float
    volume_mm3, mass_mg : float
    lesions : int
    preset : str
    threshold_hu : float
        HU from which voxels of the segment count.
    findings : tuple of Finding
    """

    agatston: float
    volume_mm3: float
    mass_mg: float
    lesions: int
    preset: str
    threshold_hu: float
    findings: tuple[Finding, ...] = ()


def segment_calcium(
    segmentation_node: Any,
    segment_id: str,
    volume_node: Any,
    *,
    preset: str = DEFAULT_PRESET,
    kvp: float | None = None,
    logic: ScoringLogic | None = None,
) -> SegmentCalcium:
    """Return the calcium of one segment, scored on the volume's own voxels.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    segment_id : str
        Of any segment: a vessel's, or one that is not ours, such as a plaque or a phantom's insert.
    volume_node : vtkMRMLScalarVolumeNode
    preset : str
    kvp : float, optional
        Tube voltage in kV instead of what the volume says.
    logic : ScoringLogic, optional
        Knows how the volume was acquired.

    Returns
    -------
    SegmentCalcium

    Raises
    ------
    InputRefusedError
        If there is no such segment or volume, the segment has no voxels to be read, or the preset is unknown.
    """
    from CACScoringLib.scoring import score

    ct = (logic or ScoringLogic()).ct(volume_node, kvp)
    labels = segment_mask(segmentation_node, segment_id, volume_node)
    labels *= np.uint8(SCORED_AS)
    result = score(oriented_ct(ct), orient_labels(labels, ct), preset=preset, kvp=kvp)
    found = result.vessels[SCORED_AS.name]
    return SegmentCalcium(
        *(found.agatston, found.volume_mm3, found.mass_mg, found.lesions),
        *(result.preset.name, result.thresholds.calcium, result.findings),
    )


def segment_mask(segmentation_node: Any, segment_id: str, volume_node: Any) -> np.ndarray:
    """Return one segment on the volume's grid, as the scored labels are placed.

    Returns
    -------
    ndarray of uint8, shape (z, y, x)
        1 inside.

    Raises
    ------
    InputRefusedError
        See :func:`segment_calcium`.
    """
    if volume_node is None or volume_node.GetImageData() is None:
        raise _refused("no-volume", "There is no volume: choose a CT.")
    segment = None if segmentation_node is None else segmentation_node.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        raise _refused("no-segment", f"The segmentation has no segment '{segment_id}': choose one that is there.")
    representation = import_slicer().vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    image = segment.GetRepresentation(representation)
    if image is None and segmentation_node.CreateBinaryLabelmapRepresentation():
        image = segment.GetRepresentation(representation)
    if image is None:
        message = f"The segment {segment.GetName()} has no binary labelmap: create one in Segmentations."
        raise _refused("no-labelmap", message)
    mask = np.zeros(volume_node.GetImageData().GetDimensions()[::-1], np.uint8)
    extent = image.GetExtent()
    if extent[0] > extent[1] or extent[2] > extent[3] or extent[4] > extent[5]:
        return mask
    try:
        to_world = node_to_node(volume_node, segmentation_node) @ volume_ijk_to_ras(volume_node)
    except ValueError as error:
        raise _refused("warped-segmentation", str(error)) from error
    voxels = recoded_voxels(image, {segment.GetLabelValue(): 1})
    place_voxels(mask, voxels, extent, np.linalg.inv(to_world) @ image_matrix(image))
    return mask


def _refused(code: str, message: str) -> InputRefusedError:
    return InputRefusedError(refuse(code, message))
