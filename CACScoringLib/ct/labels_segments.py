"""Named segments -> one label map: what 3D Slicer's segmentations and DICOM SEG have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from CACScoringLib.ct.labels_names import EXPECTED_NAMES, label_value
from CACScoringLib.findings import Finding, InputRefusedError, refuse, warning


@dataclass(frozen=True)
class Segment:
    """A segment as its file describes it.

    ``key`` identifies it within the file; ``codes`` are its SNOMED CT codes.
    """

    key: object
    name: str
    codes: tuple[str, ...] = ()


def map_segments(segments: Iterable[Segment]) -> tuple[dict[object, int], list[Finding]]:
    """Return the label value of every segment that has one, by key.

    Raises
    ------
    InputRefusedError
        ``mask-unknown-labels`` where no segment's name is known.
    """
    segments = list(segments)
    values = {segment.key: label_value(segment.name, segment.codes) for segment in segments}
    unknown = [segment.name for segment in segments if values[segment.key] is None]
    names = ", ".join(f"'{name}'" for name in unknown[:8]) + (", ..." if len(unknown) > 8 else "")
    known = {key: value for key, value in values.items() if value is not None}
    if not known:
        raise InputRefusedError(
            refuse(
                "mask-unknown-labels",
                f"The segments {names} are none of the expected {EXPECTED_NAMES}: rename them."
                if unknown
                else f"The segmentation holds no segments: expected are {EXPECTED_NAMES}.",
            )
        )
    if unknown:
        return known, [
            warning(
                "mask-segment-ignored",
                f"The segments {names} are not known and not scored; expected: {EXPECTED_NAMES}.",
            )
        ]
    return known, []


def overlap_finding(voxels: int) -> list[Finding]:
    """Return the warning on voxels that belong to two segments, if there are any."""
    if not voxels:
        return []
    return [
        warning(
            "mask-overlap",
            f"{voxels} voxels belong to two segments: the first counts, a coronary before a non-coronary one.",
        )
    ]
