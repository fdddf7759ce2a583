"""A DICOM Segmentation object -> a label map of vocabulary values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import iter_pixels

from CACScoringLib.ct.headers import number_of, numbers_of, value_of
from CACScoringLib.ct.labels_grid import LabelGrid, merge_segment
from CACScoringLib.ct.labels_segments import Segment, map_segments, overlap_finding
from CACScoringLib.ct.pixels import check_size
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, refuse, warning

SEGMENTATION_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
"""Segmentation Storage and Label Map Segmentation Storage."""

_CODED = ("SegmentedPropertyTypeCodeSequence", "AnatomicRegionSequence", "PrimaryAnatomicStructureSequence")
_PLANE_TOLERANCE = 0.05


def dicom_labels(path: Path, ct: CTVolume) -> tuple[LabelGrid, list[Finding]]:
    """Return the labels of a DICOM SEG (binary, fractional from one half, or label map) on its own grid.

    Raises
    ------
    InputRefusedError
        ``mask-unreadable`` or ``mask-unknown-labels``.
    """
    try:
        dataset = dcmread(path, force=True)
        if str(value_of(dataset, "SOPClassUID")) not in SEGMENTATION_CLASSES:
            raise InputRefusedError(
                refuse(
                    "mask-unreadable", f"{path.name} is DICOM, but not a segmentation: give a DICOM SEG or a label map."
                )
            )
        values, findings = map_segments(_segments(dataset))
        grid, overlaps = _label_grid(dataset, path, values, ct.spacing_mm[0])
    except InputRefusedError:
        raise
    except Exception as error:
        raise InputRefusedError(
            refuse("mask-unreadable", f"The segmentation {path.name} could not be read (truncated or damaged).")
        ) from error
    frame = str(value_of(dataset, "FrameOfReferenceUID") or "")
    if frame and ct.acquisition.frame_of_reference_uid and frame != ct.acquisition.frame_of_reference_uid:
        findings.append(
            warning(
                "mask-frame-of-reference",
                "The segmentation was made in another frame of reference than the CT: check where it lies.",
            )
        )
    return grid, [*findings, *overlap_finding(overlaps)]


def _segments(dataset: Dataset) -> list[Segment]:
    segments = []
    for item in dataset.get("SegmentSequence") or ():
        number = int(item.SegmentNumber)
        if number == 0:
            continue  # the background of a label map
        codes = tuple(str(value_of(code, "CodeValue")) for sequence in _CODED for code in item.get(sequence) or ())
        segments.append(Segment(number, str(value_of(item, "SegmentLabel") or number), codes))
    return segments


def _label_grid(dataset: Dataset, path: Path, values: dict[object, int], ct_increment: float) -> tuple[LabelGrid, int]:
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    frames = list(dataset.PerFrameFunctionalGroupsSequence)
    orientation = numbers_of(_group(frames[0], shared, "PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    measures = _group(frames[0], shared, "PixelMeasuresSequence")
    spacing = numbers_of(measures, "PixelSpacing", 2)
    positions = [
        numbers_of(_group(frame, shared, "PlanePositionSequence"), "ImagePositionPatient", 3) for frame in frames
    ]
    if orientation is None or spacing is None or any(position is None for position in positions):
        raise ValueError("no geometry")
    row, column = (np.array(part) for part in np.reshape(orientation, (2, 3)))
    normal = np.cross(row, column)
    along = np.asarray(positions) @ normal
    step = _step(along, number_of(measures, "SpacingBetweenSlices"), ct_increment)
    planes = np.rint((along - along.min()) / step).astype(int)

    shape = (int(planes.max()) + 1, int(dataset.Rows), int(dataset.Columns))
    check_size(shape)
    labels = np.zeros(shape, np.uint8)
    overlaps = 0
    label_map = str(value_of(dataset, "SegmentationType") or "BINARY").upper() == "LABELMAP"
    for frame, plane, pixels in zip(frames, planes, _frame_pixels(dataset, path), strict=True):
        if label_map:
            for number, value in values.items():
                overlaps += merge_segment(labels[plane], pixels == number, value)
            continue
        number = int(_group(frame, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        if number in values:
            overlaps += merge_segment(labels[plane], pixels > 0, values[number])
    first = positions[int(np.argmin(along))]
    return LabelGrid(labels, (step, *spacing), first, np.column_stack([row, column, normal])), overlaps


def _group(frame: Dataset, shared: Dataset, name: str) -> Dataset:
    items = frame.get(name) or shared.get(name)
    return items[0] if items else Dataset()


def _step(along: np.ndarray, declared: float | None, ct_increment: float) -> float:
    """Return the distance between planes: only planes with something on them need be stored."""
    distances = np.diff(np.unique(np.round(along, 3)))
    nearest = float(distances.min()) if len(distances) else ct_increment
    for step in (declared, ct_increment, nearest):
        if step and step > 0:
            planes = (along - along.min()) / step
            if np.abs(planes - np.rint(planes)).max() <= _PLANE_TOLERANCE:
                return float(step)
    raise ValueError("unevenly spaced planes")


def _frame_pixels(dataset: Dataset, path: Path) -> Iterator[np.ndarray]:
    """Yield each frame as an array (rows, columns): 0 or 1, or segment numbers."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    frames = int(dataset.NumberOfFrames)
    fractional = str(value_of(dataset, "SegmentationType") or "").upper() == "FRACTIONAL"
    half = (int(dataset.get("MaximumFractionalValue") or 255) + 1) // 2
    if int(dataset.BitsAllocated) == 1 and not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        data = np.frombuffer(dataset.PixelData, np.uint8)
        count = rows * columns
        if len(data) * 8 < frames * count:
            raise ValueError("pixel data are shorter than the header says")
        for index in range(frames):  # frames follow each other bit by bit, least significant bit first
            start = index * count
            bits = np.unpackbits(data[start // 8 : (start + count + 7) // 8], bitorder="little")
            yield bits[start % 8 : start % 8 + count].reshape(rows, columns)
        return
    for pixels in iter_pixels(path, raw=True):
        yield (pixels >= half).astype(np.uint8) if fractional else pixels
