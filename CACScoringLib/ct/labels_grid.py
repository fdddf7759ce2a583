"""A label map on any grid -> the same labels on the CT's grid."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage

from CACScoringLib.ct.orientation import orient_to_lps
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, refuse, warning
from CACScoringLib.vocabulary import Vessel

LATTICE_TOLERANCE_VOXELS = 0.05
"""Corners of a label map may be off the CT's voxel centres by this much: headers are rounded."""

CALCIUM_HU = 130
"""What is marked as calcium reaches this at 120 kVp, and more or about as much at others."""


@dataclass(frozen=True, eq=False)
class LabelGrid:
    """Labels and where they lie: ``values`` uint8 (z, y, x), spacing (z, y, x) mm, origin LPS, direction 3x3."""

    values: np.ndarray
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: np.ndarray


def merge_segment(labels: np.ndarray, mask: np.ndarray, value: int) -> int:
    """Write one segment into ``labels`` in place; return how many voxels were already another's.

    A voxel keeps its first label, but a coronary label replaces a non-coronary one: nothing that
    was marked as coronary calcium is lost.
    """
    taken = mask & (labels > 0) & (labels != value)
    overlaps = int(np.count_nonzero(taken))
    write = mask & (labels == 0)
    if overlaps and value <= max(Vessel):
        write |= taken & (labels > max(Vessel))
    labels[write] = value
    return overlaps


def place_on_ct(grid: LabelGrid, ct: CTVolume) -> tuple[np.ndarray, list[Finding]]:
    """Return the labels on the CT's grid, uint8 (z, y, x), and what had to be done for it.

    Grids whose voxels coincide, in part or whole and in any axis order, are pasted exactly; others
    are resampled to the nearest voxel with the warning ``mask-resampled``. Where most of what is marked is no calcium
    on this CT, the warning ``mask-beside-calcium`` says so.

    Raises
    ------
    InputRefusedError
        ``mask-elsewhere`` where no labelled voxel falls on the CT.
    """
    values, spacing, origin, direction, _ = orient_to_lps(grid.values, grid.spacing_mm, grid.origin_mm, grid.direction)
    marked = int(np.count_nonzero(values))
    corners = _corners_in_ct(values.shape, spacing, origin, direction, ct)
    offset = np.rint(corners[0]).astype(int)
    expected = offset + np.array(list(product(*((0, n - 1) for n in values.shape))))
    findings: list[Finding] = []
    if np.abs(corners - expected).max() <= LATTICE_TOLERANCE_VOXELS:
        labels = _pasted(values, offset, ct.shape)
    else:
        labels = _resampled(values, spacing, origin, direction, ct)
        findings.append(
            warning(
                "mask-resampled", "The mask lies on another grid than the CT: it was resampled to the nearest voxel."
            )
        )
    placed = int(np.count_nonzero(labels))
    if marked and not placed:
        raise InputRefusedError(
            refuse(
                "mask-elsewhere",
                "No labelled voxel of the mask lies on the CT: is it the mask of another scan, or without position?",
            )
        )
    lost = marked - placed if not findings else _outside(values, spacing, origin, direction, ct)
    if lost:
        findings.append(warning("mask-outside", f"{lost} labelled voxels lie outside the CT and are not scored."))
    findings.extend(_beside_calcium(labels, ct))
    return labels, findings


def _outside(values: np.ndarray, spacing: tuple, origin: tuple, direction: np.ndarray, ct: CTVolume) -> int:
    """Return how many labelled voxels have their centre outside the CT."""
    at = _in_ct(np.argwhere(values), spacing, origin, direction, ct)
    return int(np.count_nonzero(((at < -0.5) | (at > np.array(ct.shape) - 0.5)).any(axis=1)))


def _beside_calcium(labels: np.ndarray, ct: CTVolume) -> list[Finding]:
    """Warn where most marked regions hold no voxel as bright as calcium: another scan's mask, or a shifted one."""
    box = ndimage.find_objects((labels > 0).view(np.uint8))
    if not box:
        return []
    regions, count = ndimage.label(labels[box[0]], structure=np.ones((3, 3, 3), bool))
    bright = int(np.count_nonzero(ndimage.maximum(ct.hu[box[0]], regions, np.arange(1, count + 1)) >= CALCIUM_HU))
    if 2 * bright >= count:
        return []
    many = f"{bright} of {count} regions" if count > 1 else "Nothing"
    text = f"{many} that the mask marks {'reach' if count > 1 else 'reaches'} {CALCIUM_HU} HU on this CT"
    return [
        warning("mask-beside-calcium", f"{text[0].upper()}{text[1:]}: is it the mask of another scan, or out of place?")
    ]


def _corners_in_ct(
    shape: tuple[int, ...], spacing: tuple, origin: tuple, direction: np.ndarray, ct: CTVolume
) -> np.ndarray:
    """Return the eight corner voxels of a grid as (z, y, x) indices of the CT, shape (8, 3)."""
    return _in_ct(np.array(list(product(*((0, n - 1) for n in shape)))), spacing, origin, direction, ct)


def _in_ct(index: np.ndarray, spacing: tuple, origin: tuple, direction: np.ndarray, ct: CTVolume) -> np.ndarray:
    """Return (z, y, x) indices (n, 3) of another grid as indices of the CT."""
    position = np.array(origin) + (index[:, ::-1] * np.array(spacing[::-1])) @ np.asarray(direction).T
    ct_matrix = np.reshape(ct.direction, (3, 3))
    relative = (position - np.array(ct.origin_mm)) @ np.linalg.inv(ct_matrix).T
    return (relative / np.array(ct.spacing_mm[::-1]))[:, ::-1]


def _pasted(values: np.ndarray, offset: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if tuple(offset) == (0, 0, 0) and values.shape == shape:
        return np.ascontiguousarray(values, dtype=np.uint8)
    labels = np.zeros(shape, np.uint8)
    start = np.maximum(offset, 0)
    stop = np.minimum(offset + values.shape, shape)
    if np.all(stop > start):
        target = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        source = tuple(slice(a - o, b - o) for a, b, o in zip(start, stop, offset, strict=True))
        labels[target] = values[source]
    return labels


def _resampled(values: np.ndarray, spacing: tuple, origin: tuple, direction: np.ndarray, ct: CTVolume) -> np.ndarray:
    image = sitk.GetImageFromArray(np.ascontiguousarray(values, dtype=np.uint8))
    image.SetSpacing(spacing[::-1])
    image.SetOrigin(origin)
    image.SetDirection([float(item) for item in np.ravel(direction)])
    sampler = sitk.ResampleImageFilter()
    sampler.SetInterpolator(sitk.sitkNearestNeighbor)
    sampler.SetSize(ct.shape[::-1])
    sampler.SetOutputSpacing(ct.spacing_mm[::-1])
    sampler.SetOutputOrigin(ct.origin_mm)
    sampler.SetOutputDirection(ct.direction)
    return sitk.GetArrayFromImage(sampler.Execute(image))
