"""Slice headers -> series that might be scored, and why the others cannot be.

One DICOM series may hold several stacks (a localiser with the scan, several cardiac phases,
two reconstructions): a :class:`Series` here is one stack of slices that share plane,
matrix and pixel size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from CACScoringLib.ct.headers import SliceHeader

CT_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",  # CT Image Storage
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT Image Storage
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT Image Storage
    }
)
MIN_SLICES = 8
"""Fewer slices cannot cover a heart: eight of 5 mm span 40 mm."""

MAX_AXIAL_TILT_DEGREES = 20.0
"""The Agatston score is defined on axial slices; CT gantries tilt by at most 30 degrees, cardiac scans not at all."""

_PHASE_TAGS = (
    "NominalPercentageOfCardiacPhase",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "AcquisitionNumber",
    "AcquisitionTime",
)


@dataclass(frozen=True, eq=False)
class Series:
    """One stack of images of one series.

    ``phase`` names which of several stacks of the same series it is, "" where there is only one.
    ``copies`` counts files left out because they repeat another file of the stack.
    """

    slices: tuple[SliceHeader, ...]
    phase: str = ""
    copies: int = 0

    @property
    def first(self) -> SliceHeader:
        """Return the first header."""
        return self.slices[0]

    @property
    def middle(self) -> SliceHeader:
        """Return the header in the middle of the list."""
        return self.slices[len(self.slices) // 2]

    @property
    def number(self) -> int | None:
        """Return the series number."""
        value = self.first.get("SeriesNumber")
        try:
            return None if value is None else int(value)  # type: ignore[call-overload]
        except (TypeError, ValueError):
            return None

    @property
    def name(self) -> str:
        """Return how the series is called in a message to a person."""
        number = "" if self.number is None else f" {self.number}"
        description = str(self.first.get("SeriesDescription") or "").strip()
        text = f"series{number}" + (f" '{description}'" if description else "")
        return f"{text} ({self.phase})" if self.phase else text

    @cached_property
    def positions(self) -> np.ndarray:
        """Return the sorted positions along the slice normal in mm, shape (slices,)."""
        normal = slice_normal(self.first)
        return np.sort([float(np.dot(header.position, normal)) for header in self.slices])

    @cached_property
    def increment_mm(self) -> float:
        """Return the median distance between neighbouring, distinct slices in mm."""
        steps = np.diff(self.positions)
        steps = steps[steps > 0.01]
        return float(np.median(steps)) if len(steps) else 0.0

    @property
    def extent_mm(self) -> float:
        """Return the covered length along the slice normal in mm."""
        return float(self.positions[-1] - self.positions[0]) + self.increment_mm


def slice_normal(header: SliceHeader) -> np.ndarray:
    """Return the unit normal of a slice, pointing towards the head where it can.

    Position along it orders slices from caudal to cranial.
    """
    row, column = np.reshape(header.orientation, (2, 3))
    normal = np.cross(row, column)
    length = float(np.linalg.norm(normal))
    if length < 1e-6:
        return np.array([0.0, 0.0, 1.0])
    normal = normal / length
    dominant = normal[np.argmax(np.abs(normal))]
    return normal if dominant > 0 else -normal


def axial_tilt_degrees(header: SliceHeader) -> float:
    """Return the angle between the slice normal and the body axis in degrees."""
    return float(np.degrees(np.arccos(np.clip(abs(slice_normal(header)[2]), 0.0, 1.0))))


def group_series(headers: Iterable[SliceHeader]) -> list[Series]:
    """Return the stacks among ``headers``, in the order of their series numbers."""
    groups: dict[tuple, list[SliceHeader]] = defaultdict(list)
    for header in headers:
        groups[_stack_key(header)].append(header)
    series = [part for group in groups.values() for part in _split_phases(group)]
    return sorted(series, key=lambda item: (item.number if item.number is not None else 1 << 30, item.first.series_uid))


def rejection(series: Series) -> tuple[str, str] | None:
    """Return (finding code, reason) if a series is no axial CT stack, None if it is."""
    header = series.first
    kinds = set(header.image_type)
    if header.modality != "CT":
        return "not-ct", f"is {_modality_words(header.modality)}, not CT"
    if kinds & {"LOCALIZER", "SCOUT", "TOPOGRAM"}:
        return "not-axial-ct", "is a localiser"
    if header.sop_class not in CT_CLASSES or "SCREEN SAVE" in kinds:
        return "not-axial-ct", "is a secondary capture or a report"
    if kinds & {"MIP", "MINIP", "PROJECTION IMAGE", "VOLUME RENDERING", "3D"}:
        return "not-axial-ct", "holds projections or renderings, not slices"
    if header.get("SamplesPerPixel") not in (None, 1):
        return "not-axial-ct", "is in colour"
    if (
        min(header.rows, header.columns) < 1
        or header.position is None
        or header.orientation is None
        or not _spacing_ok(header)
    ):
        return "no-geometry", "does not say where its slices lie (position, orientation or pixel spacing is missing)"
    if axial_tilt_degrees(header) > MAX_AXIAL_TILT_DEGREES:
        return "non-axial", f"is not axial: its slices are tilted by {axial_tilt_degrees(header):.0f} degrees"
    if len(series.slices) < MIN_SLICES:
        return "too-few-slices", f"has only {len(series.slices)} of the at least {MIN_SLICES} slices needed"
    return None


def _spacing_ok(header: SliceHeader) -> bool:
    return header.spacing is not None and min(header.spacing) > 0


def _modality_words(modality: str) -> str:
    words = {
        "PT": "PET",
        "MR": "MRI",
        "NM": "nuclear medicine",
        "US": "ultrasound",
        "SR": "a report",
        "SEG": "a segmentation",
    }
    return words.get(modality, f"of modality {modality}" if modality else "of unknown modality")


def _stack_key(header: SliceHeader) -> tuple:
    plane = tuple(round(item, 3) + 0.0 for item in header.orientation or ())
    pixel = tuple(round(item, 4) for item in header.spacing or ())
    localiser = bool({"LOCALIZER", "SCOUT", "TOPOGRAM"} & set(header.image_type))
    placed = header.position is not None
    return (
        *(header.series_uid, header.modality, header.sop_class, header.rows, header.columns),
        *(plane, pixel, placed, localiser),
    )


def _split_phases(group: list[SliceHeader]) -> list[Series]:
    """Split a stack whose positions repeat into its phases, where a header element tells them apart."""
    unique = list({header.sop_uid: header for header in group}.values())
    copies = len(group) - len(unique)
    if any(header.position is None or header.orientation is None for header in unique) or not _repeats(unique):
        return [Series(tuple(unique), copies=copies)]
    for keyword in _PHASE_TAGS:
        parts: dict[str, list[SliceHeader]] = defaultdict(list)
        for header in unique:
            parts[str(header.get(keyword))].append(header)
        if (
            len(parts) > 1
            and len(parts) <= len(unique) // MIN_SLICES
            and not any(_repeats(part) for part in parts.values())
        ):
            return [Series(tuple(part), phase=f"{_words(keyword)} {value}") for value, part in sorted(parts.items())]
    return [Series(tuple(unique), copies=copies)]


def _repeats(headers: list[SliceHeader]) -> bool:
    normal = slice_normal(headers[0])
    rounded = {round(float(np.dot(header.position, normal)), 2) for header in headers}
    return len(rounded) < len(headers)


def _words(keyword: str) -> str:
    return {
        "NominalPercentageOfCardiacPhase": "cardiac phase",
        "TemporalPositionIdentifier": "time point",
        "TriggerTime": "trigger time",
        "AcquisitionNumber": "acquisition",
        "AcquisitionTime": "acquired at",
    }[keyword]
