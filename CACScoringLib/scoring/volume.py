"""Calcium volume: voxels counted as they are, or after interpolation to (nearly) isotropic voxels.

The isotropic volume (Callister et al., Radiology 1998;208:807-14; FQM's ``literature`` preset) interpolates linearly
between neighbouring slices and applies the threshold again. Here each slice is cut into a whole number of sub-slices,
the number that brings them closest to the in-plane pixel size, spread evenly over the slice's increment: so the volume
does not depend on where the scan begins or which way it runs.
"""

from __future__ import annotations

import numpy as np

from CACScoringLib.scoring.islands import counted_islands
from CACScoringLib.scoring.stack import Stack
from CACScoringLib.scoring.voxels import N_LABELS, Voxels, reaches

TOLERANCE_HU = 1e-6
"""An interpolated value this close to the threshold counts as on it."""


def sub_slices(spacing_mm: tuple[float, float, float]) -> int:
    """Return into how many sub-slices a slice is cut: its increment by the pixel size, rounded."""
    return max(1, round(spacing_mm[0] / float(np.sqrt(spacing_mm[1] * spacing_mm[2]))))


def sub_slice_offsets(count: int) -> np.ndarray:
    """Return the centres of sub-slices in increments from the slice's centre, between -0.5 and 0.5."""
    return (np.arange(count) + 0.5) / count - 0.5


def isotropic_voxels(voxels: Voxels, stack: Stack, threshold_hu: float, *, strict: bool = False) -> Voxels:
    """Return the calcified voxels of the sub-slices.

    Between two slices a sub-slice belongs to the nearer one. Where that one is not labelled and below the threshold,
    the label of the farther one holds as far as the interpolated value reaches the threshold; where it is dense but
    not labelled, it is something else and stays out.

    Parameters
    ----------
    voxels : Voxels
        Labelled voxels that reach the threshold, on the slices of ``stack``.
    stack : Stack
    threshold_hu : float
    strict : bool

    Returns
    -------
    Voxels
        With ``z`` counting sub-slices; ``hu`` is that of the slice's own voxel.
    """
    offsets = sub_slice_offsets(sub_slices(stack.spacing_mm))
    limit = threshold_hu + TOLERANCE_HU if strict else threshold_hu - TOLERANCE_HU
    parts = [_facing(voxels, voxels.hu, 0, offsets, limit)]
    for side in (-1, 1):
        z = np.clip(voxels.z + side, 0, stack.n_slices - 1)
        beside = stack.hu_at(z, voxels.y, voxels.x)
        parts.append(_facing(voxels, beside, side, offsets, limit))
        empty = (z != voxels.z) & ~reaches(beside, threshold_hu, strict=strict)
        across = Voxels(z[empty], voxels.y[empty], voxels.x[empty], voxels.label[empty], beside[empty])
        parts.append(_facing(across, voxels.hu[empty], -side, offsets, limit))
    z, y, x, label, hu = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort((z * (y.max(initial=0) + 1) + y) * (x.max(initial=0) + 1) + x)
    return Voxels(z[order], y[order], x[order], label[order], hu[order])


def isotropic_counts(
    voxels: Voxels, stack: Stack, threshold_hu: float, connectivity: int, minimum_pixels: int, *, strict: bool = False
) -> np.ndarray:
    """Return how many sub-slice voxels of each label value count (shape (256,)); small islands do not."""
    if len(voxels) == 0:
        return np.zeros(N_LABELS, dtype=np.int64)
    counted, _ = counted_islands(
        isotropic_voxels(voxels, stack, threshold_hu, strict=strict), connectivity, minimum_pixels
    )
    return np.bincount(counted.label, minlength=N_LABELS)


def sub_slice_voxel_mm3(stack: Stack) -> float:
    """Return the volume of one voxel of a sub-slice."""
    return stack.voxel_volume_mm3 / sub_slices(stack.spacing_mm)


def _facing(
    voxels: Voxels, beside_hu: np.ndarray, side: int, offsets: np.ndarray, limit: float
) -> tuple[np.ndarray, ...]:
    """Return (z, y, x, label, hu) of the sub-slices of ``voxels`` that reach the limit, on one side of their centres.

    Parameters
    ----------
    voxels : Voxels
    beside_hu : ndarray of int, shape (n,)
        HU in the slice on that side.
    side : int
        -1 below the centre, 1 above it, 0 the centre itself (where the number of sub-slices is odd).
    offsets : ndarray of float
    limit : float
    """
    found = [(voxels.z[:0], voxels.y[:0], voxels.x[:0], voxels.label[:0], voxels.hu[:0])]
    for j in np.flatnonzero(np.sign(offsets) == side):
        keep = voxels.select(voxels.hu + abs(offsets[j]) * (beside_hu - voxels.hu) >= limit)
        found.append((keep.z * len(offsets) + j, keep.y, keep.x, keep.label, keep.hu))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))
