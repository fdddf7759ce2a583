"""Connected components of labelled voxels, and the islands they form in each slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from CACScoringLib.scoring.presets import IN_PLANE
from CACScoringLib.scoring.voxels import Voxels, voxel_keys

_FORWARD_ROWS: dict[int, tuple[tuple[int, int], ...]] = {
    4: ((0, 1),),
    8: ((0, 1),),
    6: ((0, 1), (1, 0)),
    26: ((0, 1), (1, -1), (1, 0), (1, 1)),
}
"""Rows (z, y) whose runs touch those of a row: half of them, the others are found from the other side."""
_DIAGONAL = (8, 26)
"""Connectivities in which runs touch that only meet at a corner."""


@dataclass(frozen=True, eq=False)
class Islands:
    """What each lesion is in each slice.

    Attributes
    ----------
    of_voxel : ndarray of int, shape (n,)
        Island of each voxel.
    first_voxel : ndarray of int, shape (islands,)
        Index of the first voxel of each island.
    pixels : ndarray of int, shape (islands,)
    max_hu : ndarray of int, shape (islands,)
        Maximum of the island itself, never of the lesion it belongs to.
    """

    of_voxel: np.ndarray
    first_voxel: np.ndarray
    pixels: np.ndarray
    max_hu: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)


def components(voxels: Voxels, connectivity: int) -> tuple[np.ndarray, int]:
    """Return the component of each voxel and the number of components.

    Only voxels of the same label are neighbours: two vessels that touch stay two lesions. Voxels of one label side by
    side in a row form a run; runs are joined with those of the neighbouring rows.

    Parameters
    ----------
    voxels : Voxels
        In (z, y, x) order.
    connectivity : int
        4 or 8 in the slice, 6 or 26 in the volume.

    Returns
    -------
    component : ndarray of int, shape (n,)
        Values 0 to count - 1, in the order of each component's first voxel.
    count : int
    """
    if len(voxels) == 0:
        return np.zeros(0, dtype=np.int64), 0
    keys, (plane, row) = voxel_keys(voxels)
    begins = np.r_[True, (np.diff(keys) != 1) | (np.diff(voxels.label) != 0)]
    first = np.flatnonzero(begins)
    last = np.r_[first[1:], len(voxels)] - 1
    edges = [
        _touching_runs(keys[first], keys[last], dz * plane + dy * row, int(connectivity in _DIAGONAL))
        for dz, dy in _FORWARD_ROWS[connectivity]
    ]
    start, end = (np.concatenate(part) for part in zip(*edges, strict=True))
    same = voxels.label[first[start]] == voxels.label[first[end]]
    start, end = start[same], end[same]
    graph = coo_matrix((np.ones(len(start), dtype=bool), (start, end)), shape=(len(first), len(first)))
    count, of_run = connected_components(graph, directed=False)
    return of_run.astype(np.int64)[np.cumsum(begins) - 1], int(count)


def _touching_runs(first_key: np.ndarray, last_key: np.ndarray, step: int, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs (run, other run) where the other one lies ``step`` keys further and touches it.

    Parameters
    ----------
    first_key, last_key : ndarray of int, shape (runs,)
        Keys of the first and the last voxel of each run, in order.
    step : int
        From one row to the other.
    reach : int
        1 where corners touch, 0 where not.
    """
    low = np.searchsorted(last_key, first_key + (step - reach))
    high = np.searchsorted(first_key, last_key + (step + reach), side="right")
    count = np.maximum(high - low, 0)
    run = np.repeat(np.arange(len(first_key)), count)
    return run, np.arange(len(run)) + np.repeat(low - (np.cumsum(count) - count), count)


def find_islands(voxels: Voxels, component: np.ndarray, *, in_plane: bool) -> Islands:
    """Return the part of each component in each slice, with its size and its own maximum.

    Parameters
    ----------
    voxels : Voxels
    component : ndarray of int, shape (n,)
    in_plane : bool
        Whether each component lies in one slice.
    """
    if in_plane:
        present = np.bincount(component) > 0
        of_voxel = (np.cumsum(present) - 1)[component]
        count = int(present.sum())
    else:
        n_slices = int(voxels.z.max(initial=0)) + 1
        kinds, of_voxel = np.unique(component * n_slices + voxels.z, return_inverse=True)
        count = len(kinds)
    first = np.zeros(count, dtype=np.int64)
    first[of_voxel[::-1]] = np.arange(len(voxels))[::-1]
    max_hu = np.full(count, np.iinfo(np.int32).min, dtype=np.int32)
    np.maximum.at(max_hu, of_voxel, voxels.hu)
    return Islands(of_voxel, first, np.bincount(of_voxel, minlength=count), max_hu)


def counted_islands(
    voxels: Voxels, connectivity: int, minimum_pixels: int = 1, minimum_voxels: int = 1
) -> tuple[Voxels, Islands]:
    """Return the voxels and islands that are large enough to count.

    Parameters
    ----------
    voxels : Voxels
        Those at or above the threshold.
    connectivity : int
    minimum_pixels : int
        Smallest island in its slice.
    minimum_voxels : int
        Smallest component of ``connectivity``.
    """
    in_plane = connectivity in IN_PLANE
    component, count = components(voxels, connectivity)
    if minimum_voxels > 1:
        keep = (np.bincount(component, minlength=count) >= minimum_voxels)[component]
        voxels, component = voxels.select(keep), component[keep]
    islands = find_islands(voxels, component, in_plane=in_plane)
    keep = (islands.pixels >= minimum_pixels)[islands.of_voxel]
    if keep.all():
        return voxels, islands
    voxels = voxels.select(keep)
    return voxels, find_islands(voxels, component[keep], in_plane=in_plane)
