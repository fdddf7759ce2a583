"""A segmentation saved by 3D Slicer (``.seg.nrrd``) -> a label map of vocabulary values.

Slicer writes one image of one or more layers (NRRD kind ``list``, read as components) and, for
each segment, ``SegmentN_Name``, ``SegmentN_LabelValue``, ``SegmentN_Layer`` and
``SegmentN_Tags``. The image covers only the segments; its origin says where.
"""

from __future__ import annotations

import re

import numpy as np
import SimpleITK as sitk  # noqa: N813

from CACScoringLib.ct.labels_grid import LabelGrid, merge_segment
from CACScoringLib.ct.labels_segments import Segment, map_segments, overlap_finding
from CACScoringLib.findings import Finding

_CODE = re.compile(r"\^(\d{5,})\^")


def is_slicer_segmentation(image: sitk.Image) -> bool:
    """Return whether an image carries Slicer's segment descriptions."""
    return any(re.fullmatch(r"Segment\d+_(ID|Name)", key) for key in image.GetMetaDataKeys())


def slicer_labels(image: sitk.Image) -> tuple[LabelGrid, list[Finding]]:
    """Return the labels of a Slicer segmentation on its own grid.

    Raises
    ------
    InputRefusedError
        ``mask-unknown-labels``.
    """
    indices = sorted(
        {int(match.group(1)) for key in image.GetMetaDataKeys() if (match := re.match(r"Segment(\d+)_", key))}
    )
    values, findings = map_segments(
        Segment(n, _text(image, n, "Name") or _text(image, n, "ID"), tuple(_CODE.findall(_text(image, n, "Tags"))))
        for n in indices
    )
    layers = sitk.GetArrayViewFromImage(image)
    if image.GetNumberOfComponentsPerPixel() == 1:
        layers = layers[..., np.newaxis]
    labels = np.zeros(layers.shape[:3], np.uint8)
    overlaps = 0
    for n in indices:
        if n not in values:
            continue
        # files from before layers (Slicer < 4.11): one component a segment, its value 1
        layer = _number(image, n, "Layer", default=n if layers.shape[3] > 1 else 0)
        if 0 <= layer < layers.shape[3]:
            mask = layers[..., layer] == _number(image, n, "LabelValue", default=1)
            overlaps += merge_segment(labels, mask, values[n])
    grid = LabelGrid(labels, image.GetSpacing()[::-1], image.GetOrigin(), np.reshape(image.GetDirection(), (3, 3)))
    return grid, [*findings, *overlap_finding(overlaps)]


def _text(image: sitk.Image, n: int, field: str) -> str:
    key = f"Segment{n}_{field}"
    return image.GetMetaData(key) if image.HasMetaDataKey(key) else ""


def _number(image: sitk.Image, n: int, field: str, *, default: int) -> int:
    text = _text(image, n, field).strip()
    return int(text) if re.fullmatch(r"\d{1,6}", text) else default
