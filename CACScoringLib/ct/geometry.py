"""The slices of one series -> an ordered stack with measured increment, or a refusal.

The increment is the distance of ImagePositionPatient along the slice normal, never
SliceThickness. A gap is never closed by interpolation: if slices are missing, the longest run
without a gap is used when it holds nearly the whole series, otherwise the scan is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from CACScoringLib.ct.headers import SliceHeader
from CACScoringLib.ct.series import MIN_SLICES, Series, axial_tilt_degrees, slice_normal
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse, warning

SAME_POSITION_MM = 0.01
"""Two slices nearer than this lie at the same place."""

UNEVEN_FRACTION = 0.05
UNEVEN_REFUSED_FRACTION = 0.25
"""A slice distance that differs from the median by more than 5 % is named, by more than 25 % refused."""

GAP_FRACTION = 1.5
"""A slice distance of more than one and a half times the median is a gap."""

ROUNDING_MM = 0.06
"""Positions are often written with one decimal (0.625 mm becomes 0.6, 0.7, ...): up to 0.05 mm off."""

RUN_FRACTION = 0.8
RUN_LENGTH_MM = 100.0
"""After a gap the longest run is used if it holds 80 % of the slices and 100 mm, the length of a heart."""

TILT_NAMED_DEGREES = 0.5
TILT_REFUSED_DEGREES = 10.0
OBLIQUE_NAMED_DEGREES = 5.0


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices from caudal to cranial with their common geometry.

    ``spacing_mm`` is (z, y, x); ``origin_mm`` the position of the first pixel of the first slice;
    ``direction`` a 3x3 matrix whose columns are the directions of x, y and z (LPS).
    """

    slices: tuple[SliceHeader, ...]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: np.ndarray
    findings: tuple[Finding, ...]


def stack_slices(series: Series) -> Stack:
    """Return the ordered stack of an axial series.

    Raises
    ------
    InputRefusedError
        ``missing-slices``, ``uneven-spacing``, ``gantry-tilt`` or ``too-few-slices``.
    """
    normal = slice_normal(series.first)
    along = np.array([float(np.dot(header.position, normal)) for header in series.slices])
    order = np.lexsort(([_instance(header) for header in series.slices], along))
    slices = [series.slices[index] for index in order]
    along = along[order]
    findings: list[Finding] = []

    slices, along, dropped = _drop_repeated(slices, along)
    dropped += series.copies
    if dropped:
        findings.append(
            warning(
                "duplicate-slices",
                f"{dropped} slices repeat the position of another and were left out: check the export.",
            )
        )
    slices, along, gap_finding = _longest_run(slices, along)
    findings.extend(gap_finding)
    if len(slices) < MIN_SLICES:
        raise InputRefusedError(
            refuse(
                "too-few-slices",
                f"Only {len(slices)} slices remain; at least {MIN_SLICES} are needed: give the whole series.",
            )
        )
    findings.extend(_uneven(along))
    findings.extend(_tilt(slices, normal))

    increment = float(along[-1] - along[0]) / (len(along) - 1)
    increment = round(increment, 6)
    row, column = _axes(slices[0])
    direction = np.column_stack([row, column, normal])
    spacing = (increment, float(slices[0].spacing[0]), float(slices[0].spacing[1]))
    return Stack(tuple(slices), spacing, tuple(slices[0].position), direction, tuple(findings))


def thickness_findings(thickness_mm: float | None, increment_mm: float) -> list[Finding]:
    """Return what is to be said about slice thickness and increment.

    ``increment-differs`` and ``overlapping-slices`` (info), ``interslice-gap`` (warning),
    ``thick-slices`` (warning beyond 5 mm, the thickest of the seed studies' scans).
    """
    found: list[Finding] = []
    if thickness_mm and abs(thickness_mm - increment_mm) > 0.01 * increment_mm:
        found.append(
            info(
                "increment-differs",
                f"Slices are {increment_mm:.4g} mm apart by their positions while SliceThickness says "
                f"{thickness_mm:.4g} mm: the measured distance is used.",
            )
        )
        if thickness_mm > increment_mm:
            found.append(
                info(
                    "overlapping-slices",
                    f"Slices of {thickness_mm:.4g} mm overlap, as they are {increment_mm:.4g} mm apart.",
                )
            )
        elif thickness_mm < 0.8 * increment_mm:
            found.append(
                warning(
                    "interslice-gap",
                    f"Slices of {thickness_mm:.4g} mm lie {increment_mm:.4g} mm apart: calcium between is not seen.",
                )
            )
    thickest = max(thickness_mm or 0.0, increment_mm)
    if thickest > 5.05:
        found.append(
            warning(
                "thick-slices",
                f"Slices of {thickest:.4g} mm blur small calcium: scores are too low; use 2.5-3 mm slices.",
            )
        )
    return found


def _instance(header: SliceHeader) -> int:
    try:
        return int(header.get("InstanceNumber") or 0)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return 0


def _axes(header: SliceHeader) -> tuple[np.ndarray, np.ndarray]:
    row, column = (np.array(part, dtype=float) for part in np.reshape(header.orientation, (2, 3)))
    row = row / np.linalg.norm(row)
    column = column - np.dot(column, row) * row
    return row, column / np.linalg.norm(column)


def _drop_repeated(slices: list[SliceHeader], along: np.ndarray) -> tuple[list[SliceHeader], np.ndarray, int]:
    keep = np.concatenate([[True], np.diff(along) > SAME_POSITION_MM])
    return [item for item, kept in zip(slices, keep, strict=True) if kept], along[keep], int((~keep).sum())


def _longest_run(slices: list[SliceHeader], along: np.ndarray) -> tuple[list[SliceHeader], np.ndarray, list[Finding]]:
    """Return the longest run without a gap, with a warning, or refuse."""
    steps = np.diff(along)
    if len(steps) == 0:
        return slices, along, []
    median = float(np.median(steps))
    gaps = np.flatnonzero(steps > GAP_FRACTION * median)
    if len(gaps) == 0:
        return slices, along, []
    missing = int(sum(max(1, round(steps[gap] / median) - 1) for gap in gaps))
    where = ", ".join(f"{along[gap]:.1f} to {along[gap + 1]:.1f} mm" for gap in gaps[:4]) + (
        ", ..." if len(gaps) > 4 else ""
    )
    plural = "slices are" if missing != 1 else "slice is"
    bounds = [0, *(gaps + 1), len(slices)]
    start, stop = max(pairwise(bounds), key=lambda run: run[1] - run[0])
    length = (stop - start) * median
    if stop - start < RUN_FRACTION * len(slices) or length < RUN_LENGTH_MM:
        raise InputRefusedError(
            refuse(
                "missing-slices", f"{missing} {plural} missing at table positions {where}: give the complete series."
            )
        )
    finding = warning(
        "missing-slices",
        f"{missing} {plural} missing at table positions {where}: only the {stop - start} slices "
        f"from {along[start]:.1f} to {along[stop - 1]:.1f} mm are scored; check that they cover the heart.",
    )
    return slices[start:stop], along[start:stop], [finding]


def _uneven(along: np.ndarray) -> list[Finding]:
    steps = np.diff(along)
    median = float(np.median(steps))
    worst = float(np.max(np.abs(steps - median)))
    index = np.arange(len(along))
    off_line = float(np.max(np.abs(along - np.polyval(np.polyfit(index, along, 1), index))))
    if worst <= UNEVEN_FRACTION * median or off_line <= ROUNDING_MM:
        return []
    text = f"The distance between slices varies from {steps.min():.4g} to {steps.max():.4g} mm"
    if worst > UNEVEN_REFUSED_FRACTION * median:
        raise InputRefusedError(
            refuse("uneven-spacing", f"{text}: a score needs evenly spaced slices; give one reconstruction.")
        )
    return [warning("uneven-spacing", f"{text}: their mean of {np.mean(steps):.4g} mm is used.")]


def _tilt(slices: list[SliceHeader], normal: np.ndarray) -> list[Finding]:
    """Return findings on a sheared stack (gantry tilt) and on slices that are oblique to the body."""
    path = np.subtract(slices[-1].position, slices[0].position)
    length = float(np.linalg.norm(path))
    shear = float(np.degrees(np.arccos(np.clip(abs(np.dot(path, normal)) / length, 0.0, 1.0))))
    if shear > TILT_REFUSED_DEGREES:
        raise InputRefusedError(
            refuse(
                "gantry-tilt",
                f"The gantry was tilted by {shear:.1f} degrees: give a scan or reconstruction without tilt.",
            )
        )
    if shear > TILT_NAMED_DEGREES:
        return [
            warning(
                "gantry-tilt",
                f"The gantry was tilted by {shear:.1f} degrees: areas are right, but slices are shifted.",
            )
        ]
    oblique = axial_tilt_degrees(slices[0])
    if oblique > OBLIQUE_NAMED_DEGREES:
        return [
            warning(
                "oblique-slices",
                f"Slices are tilted by {oblique:.1f} degrees from axial: scores may differ from axial ones.",
            )
        ]
    return []
