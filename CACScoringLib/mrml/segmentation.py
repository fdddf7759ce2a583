"""Label maps as segmentation nodes, and back to the CT's grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from CACScoringLib.mrml.geometry import from_vtk_matrix, node_to_node, to_vtk_matrix, volume_ijk_to_ras
from CACScoringLib.mrml.scene import import_slicer
from CACScoringLib.report.seg_nrrd import crop, segment_extent
from CACScoringLib.report.segments import (
    LABEL_TAG,
    NonCoronaryMode,
    SegmentSpec,
    label_value_of,
    segment_specs,
    stored_labels,
)

ALIGNED_TOLERANCE_VOXELS = 0.01
"""Grids whose voxel centres agree within this are one grid: what float rounding in files can add up to."""


def segmentation_from_labels(
    scene: Any,
    labels: np.ndarray,
    volume_node: Any,
    name: str = "Calcium",
    *,
    non_coronary: str | NonCoronaryMode = NonCoronaryMode.MERGED,
) -> Any:
    """Add a segmentation with LM, LAD, LCX, RCA and non-coronary segments to the scene.

    Parameters
    ----------
    scene : vtkMRMLScene
    labels : ndarray of uint8, shape (z, y, x)
        On the grid of the volume.
    volume_node : vtkMRMLScalarVolumeNode
        The CT; its geometry becomes the reference geometry.
    name : str
    non_coronary : {"merged", "separate"}

    Returns
    -------
    vtkMRMLSegmentationNode
    """
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    update_segmentation(node, labels, volume_node, non_coronary=non_coronary)
    return node


def update_segmentation(
    node: Any,
    labels: np.ndarray,
    volume_node: Any,
    *,
    non_coronary: str | NonCoronaryMode = NonCoronaryMode.MERGED,
) -> None:
    """Replace the calcium segments of a segmentation; its other segments are not touched.

    All our segments are always there, empty or not, and share one layer.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
    labels : ndarray of uint8, shape (z, y, x)
        On the grid of the volume.
    volume_node : vtkMRMLScalarVolumeNode
    non_coronary : {"merged", "separate"}

    Raises
    ------
    ValueError
        If the labels are not on the volume's grid, or hold unknown values.
    RuntimeError
        If the scene did not take the segments.
    """
    grid = volume_node.GetImageData().GetDimensions()[::-1]
    if labels.shape != grid:
        raise ValueError(f"labels {labels.shape} are not on the volume's grid {grid}")
    specs = segment_specs(non_coronary)
    to_world = node_to_node(volume_node, node) @ volume_ijk_to_ras(volume_node)
    layer = _oriented_image(stored_labels(labels, specs), to_world)
    modifying = node.StartModify()
    try:
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
        segmentation = node.GetSegmentation()
        for segment_id in calcium_segments(node):
            segmentation.RemoveSegment(segment_id)
        first = segmentation.GetNthSegmentID(0) if segmentation.GetNumberOfSegments() else ""
        for spec in specs:
            segment_id = segmentation.GenerateUniqueSegmentID(spec.segment_id)
            if not segmentation.AddSegment(_segment(spec, layer), segment_id, first):
                raise RuntimeError(f"The segment {spec.name} could not be added: the scene is not set up.")
    finally:
        node.EndModify(modifying)


def calcium_segments(node: Any) -> dict[str, int]:
    """Return the identifiers of the segments that stand for calcium, in order, with their label values."""
    segmentation = node.GetSegmentation()
    found: dict[str, int] = {}
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        value = label_value_of(segment.GetName(), segment.GetTerminology(), _tag(segment, LABEL_TAG))
        if value is not None:
            found[segmentation.GetNthSegmentID(index)] = value
    return found


def labels_from_segmentation(node: Any, volume_node: Any) -> np.ndarray:
    """Return the calcium segments as a label map on the volume's grid.

    Segments are placed by geometry: they may have another extent than the CT, as after editing, or another
    grid, then resampled to the nearest voxel. What lies outside the CT is dropped. Where segments overlap,
    the later layer wins (the order of the segmentation's layers by their first calcium segment). Segments
    that do not stand for calcium (:func:`calcium_segments`) are ignored.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
    volume_node : vtkMRMLScalarVolumeNode

    Returns
    -------
    ndarray of uint8, shape (z, y, x)
        Values of the vocabulary.

    Raises
    ------
    ValueError
        If a warp lies between segmentation and volume, or a segment has no voxels to be read.
    """
    labels = np.zeros(volume_node.GetImageData().GetDimensions()[::-1], np.uint8)
    world_to_ijk = np.linalg.inv(node_to_node(volume_node, node) @ volume_ijk_to_ras(volume_node))
    for image, values in calcium_layers(node):
        extent = image.GetExtent()
        if extent[0] > extent[1] or extent[2] > extent[3] or extent[4] > extent[5]:
            continue
        matrix = image_matrix(image)
        voxels = recoded_voxels(image, values)
        if voxels.any():
            place_voxels(labels, voxels, extent, world_to_ijk @ matrix)
    return labels


def _segment(spec: SegmentSpec, layer: Any) -> Any:
    slicer = import_slicer()
    segment = slicer.vtkSegment()
    segment.SetName(spec.name)
    segment.SetNameAutoGenerated(False)
    segment.SetColor(*spec.color)
    segment.SetColorAutoGenerated(False)
    segment.SetLabelValue(spec.stored_value)
    for key, value in spec.tags.items():
        segment.SetTag(key, value)
    segment.AddRepresentation(_binary_labelmap(), layer)
    return segment


def _binary_labelmap() -> str:
    return import_slicer().vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


def _oriented_image(voxels: np.ndarray, to_world: np.ndarray) -> Any:
    """Return the part of the grid that holds voxels, as Slicer keeps a layer."""
    from vtk.util.numpy_support import numpy_to_vtk

    extent = segment_extent(voxels)
    image = import_slicer().vtkOrientedImageData()
    image.SetExtent(extent)
    image.SetImageToWorldMatrix(to_vtk_matrix(to_world))
    part = np.ascontiguousarray(crop(voxels, extent))
    image.GetPointData().SetScalars(numpy_to_vtk(part.ravel(), deep=True))
    return image


def _tag(segment: Any, name: str) -> str:
    import vtk

    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""


def calcium_layers(node: Any, *, convert: bool = True) -> list[tuple[Any, dict[int, int]]]:
    """Return each layer's image once, with its voxel values and the label values they mean.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
    convert : bool
        False: do not make binary labelmaps of segments that have none, as in the middle of an edit.

    Raises
    ------
    ValueError
        If a segment has no binary labelmap.
    """
    segmentation = node.GetSegmentation()
    representation = _binary_labelmap()
    layers: list[tuple[Any, dict[int, int]]] = []
    for segment_id, value in calcium_segments(node).items():
        segment = segmentation.GetSegment(segment_id)
        image = segment.GetRepresentation(representation)
        if image is None and convert and node.CreateBinaryLabelmapRepresentation():
            image = segment.GetRepresentation(representation)
        if image is None:
            raise ValueError(f"The segment {segment.GetName()} has no binary labelmap: create one in Segmentations.")
        shared = next((values for other, values in layers if other is image), None)
        if shared is None:
            shared = {}
            layers.append((image, shared))
        shared[segment.GetLabelValue()] = value
    return layers


def image_matrix(image: Any) -> np.ndarray:
    """Return the 4x4 matrix from an oriented image's voxel indices to its coordinates."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return from_vtk_matrix(matrix)


def recoded_voxels(image: Any, values: dict[int, int]) -> np.ndarray:
    """Return the layer's voxels (z, y, x) with vocabulary values, others 0."""
    from vtk.util.numpy_support import vtk_to_numpy

    shape = image.GetDimensions()[::-1]
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    if voxels.dtype == np.uint8:
        table = np.zeros(256, np.uint8)
        for stored, value in values.items():
            if 0 <= stored < table.size:
                table[stored] = value
        return table[voxels]
    recoded = np.zeros(shape, np.uint8)
    for stored, value in values.items():
        recoded[voxels == stored] = value
    return recoded


def place_voxels(labels: np.ndarray, voxels: np.ndarray, extent: tuple[int, ...], to_ijk: np.ndarray) -> None:
    """Write the non-zero voxels of a layer into the label map, by geometry."""
    start = np.asarray(extent[::2])
    shift = whole_shift(to_ijk, np.asarray(extent, float).reshape(3, 2))
    if shift is not None:
        first = (start + shift)[::-1]  # z, y, x
        low = np.maximum(first, 0)
        high = np.minimum(first + voxels.shape, labels.shape)
        if (low < high).all():
            target = tuple(slice(*pair) for pair in zip(low, high, strict=True))
            source = tuple(slice(*pair) for pair in zip(low - first, high - first, strict=True))
            np.copyto(labels[target], voxels[source], where=voxels[source] != 0)
        return
    _place_resampled(labels, voxels, start, to_ijk)


def whole_shift(to_ijk: np.ndarray, ends: np.ndarray) -> np.ndarray | None:
    """Return the shift between two grids if they differ by whole voxels only."""
    corners = np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1)
    moved = to_ijk[:3, :3] @ corners + to_ijk[:3, 3:]
    shift = np.rint(moved[:, 0] - corners[:, 0])
    if np.abs(moved - corners - shift[:, None]).max() > ALIGNED_TOLERANCE_VOXELS:
        return None
    return shift.astype(int)


def _place_resampled(labels: np.ndarray, voxels: np.ndarray, start: np.ndarray, to_ijk: np.ndarray) -> None:
    """Give every CT voxel the value of the layer's voxel in which its centre lies."""
    from scipy.ndimage import affine_transform

    edges = np.stack([start - 0.5, start + np.asarray(voxels.shape[::-1]) - 0.5], axis=1)
    corners = np.array(np.meshgrid(*edges, indexing="ij")).reshape(3, -1)
    moved = (to_ijk[:3, :3] @ corners + to_ijk[:3, 3:])[::-1]
    low = np.maximum(np.floor(moved.min(axis=1)).astype(int), 0)
    high = np.minimum(np.ceil(moved.max(axis=1)).astype(int) + 1, labels.shape)
    if (low >= high).any():
        return
    from_ijk = np.linalg.inv(to_ijk)
    linear = from_ijk[:3, :3][::-1, ::-1]
    offset = (from_ijk[:3, 3] - start)[::-1] + linear @ low
    sampled = affine_transform(
        voxels, linear, offset, tuple(high - low), order=0, mode="grid-constant", prefilter=False
    )
    target = tuple(slice(*pair) for pair in zip(low, high, strict=True))
    np.copyto(labels[target], sampled, where=sampled != 0)
