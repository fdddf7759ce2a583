"""The slices that are scored: those acquired, or their averages on a new grid along z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CACScoringLib.scoring.voxels import Voxels

ROUNDING = 1e-6
"""Slack in HU and mm: an average that is a half, or two weights that are equal, but for the last bits."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices to score.

    Attributes
    ----------
    hu : ndarray of int16, shape (z, y, x)
        The acquired scan.
    spacing_mm : tuple of float
        (z, y, x) of the slices to score; z is their increment.
    acquired_mm : float
        Increment of the acquired slices.
    first : ndarray of int, shape (slabs,), or None
        First acquired slice of each slab; None where the acquired slices themselves are scored.
    share : ndarray of float, shape (slabs, k), or None
        Weight of each of the k acquired slices from ``first`` on; a row sums to 1.
    start_mm : float
        Where the first slab's own increment begins, from the lower edge of the scan.
    """

    hu: np.ndarray
    spacing_mm: tuple[float, float, float]
    acquired_mm: float
    first: np.ndarray | None = None
    share: np.ndarray | None = None
    start_mm: float = 0.0

    @property
    def n_slices(self) -> int:
        """Return the number of slices to score."""
        return self.hu.shape[0] if self.first is None else len(self.first)

    @property
    def pixel_area_mm2(self) -> float:
        """Return the area of a pixel."""
        return self.spacing_mm[1] * self.spacing_mm[2]

    @property
    def voxel_volume_mm3(self) -> float:
        """Return the volume for which a voxel stands: its area times the increment."""
        return self.pixel_area_mm2 * self.spacing_mm[0]

    def hu_at(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the HU (int32) at voxels; averages are rounded to whole HU, halves upwards, as a scanner stores."""
        if self.first is None:
            return self.hu[z, y, x].astype(np.int32)
        total = np.zeros(len(z))
        for k in range(self.share.shape[1]):
            share = self.share[z, k]
            total += share * self.hu[np.minimum(self.first[z] + k, self.hu.shape[0] - 1), y, x]
        return np.floor(total + 0.5 + ROUNDING).astype(np.int32)

    def acquired_z(self, z: np.ndarray | float) -> np.ndarray | float:
        """Return the position of slice centres in acquired slices (0 is the centre of the first)."""
        if self.first is None:
            return z
        return (self.start_mm + (np.asarray(z) + 0.5) * self.spacing_mm[0]) / self.acquired_mm - 0.5

    def acquired_range(self, low: int, high: int) -> tuple[int, int]:
        """Return the first and last acquired slice that slices ``low`` to ``high`` were made from."""
        if self.first is None:
            return low, high
        return int(self.first[low]), int(self.first[high] + np.flatnonzero(self.share[high])[-1])


def acquired_stack(hu: np.ndarray, spacing_mm: tuple[float, float, float]) -> Stack:
    """Return the acquired slices as they are."""
    return Stack(hu, spacing_mm, spacing_mm[0])


def averaged_stack(
    hu: np.ndarray, spacing_mm: tuple[float, float, float], thickness_mm: float, increment_mm: float
) -> Stack:
    """Return slabs of ``thickness_mm`` every ``increment_mm``, each the average of the slices it overlaps.

    An acquired slice stands for its increment. The new increments cover the whole scan and are centred on it; a slab
    that reaches past an end averages what there is.
    """
    n, dz = hu.shape[0], spacing_mm[0]
    total = n * dz
    count = max(1, int(np.ceil(total / increment_mm - ROUNDING)))
    start = (total - count * increment_mm) / 2
    centre = start + (np.arange(count) + 0.5) * increment_mm
    edge = np.arange(n) * dz
    overlap = np.minimum((centre + thickness_mm / 2)[:, None], edge + dz) - np.maximum(
        (centre - thickness_mm / 2)[:, None], edge
    )
    overlap = np.where(overlap > ROUNDING, overlap, 0.0)
    first = np.argmax(overlap > 0, axis=1)
    width = int((overlap > 0).sum(axis=1).max())
    columns = np.minimum(first[:, None] + np.arange(width), n - 1)
    share = np.take_along_axis(overlap, columns, axis=1)
    share[first[:, None] + np.arange(width) >= n] = 0.0
    share /= share.sum(axis=1, keepdims=True)
    return Stack(hu, (increment_mm, spacing_mm[1], spacing_mm[2]), dz, first, share, start)


def onto_stack(voxels: Voxels, stack: Stack) -> Voxels:
    """Return labelled voxels of the acquired scan on the slices that are scored.

    A voxel of a slab is labelled where any slice in it is; of several labels the one with the greatest share of the
    slab wins, of equal shares the lower value.
    """
    if stack.first is None or len(voxels) == 0:
        return voxels
    slab_of_pair, k = np.nonzero(stack.share > 0)
    slice_of_pair = stack.first[slab_of_pair] + k
    order = np.argsort(slice_of_pair, kind="stable")
    count = np.bincount(slice_of_pair, minlength=stack.hu.shape[0])
    start = np.cumsum(count) - count
    repeats = count[voxels.z]
    source = np.repeat(np.arange(len(voxels)), repeats)
    nth = np.arange(len(source)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    pair = order[start[voxels.z[source]] + nth]
    slab, share = slab_of_pair[pair], stack.share[slab_of_pair[pair], k[pair]]
    y, x, label = voxels.y[source], voxels.x[source], voxels.label[source]
    place = (slab * (voxels.y.max() + 1) + y) * (voxels.x.max() + 1) + x
    _, index, inverse = np.unique(place * (np.iinfo(np.uint8).max + 1) + label, return_index=True, return_inverse=True)
    total = np.round(np.bincount(inverse, weights=share) / ROUNDING)
    order = np.lexsort((label[index], -total, place[index]))
    winners = order[np.r_[True, np.diff(place[index][order]) > 0]]
    chosen = index[winners]
    z, y, x, label = slab[chosen], y[chosen], x[chosen], label[chosen]
    return Voxels(z, y, x, label, stack.hu_at(z, y, x))
