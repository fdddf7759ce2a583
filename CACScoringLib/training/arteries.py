"""Where the coronary arteries run, as a map on the fine grid: what the artery branch learns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.grids import Grid

ARTERY_REACH_MM = 4.0
"""How far from an artery's centreline its calcium may lie: lumen, wall and a blurred margin."""
UNKNOWN = 255
"""Where nobody said whether an artery runs."""


def artery_map(
    tree: Mapping[str, np.ndarray],
    vessels: Mapping[str, int],
    ct: CTVolume,
    fine: Grid,
    reach_mm: float = ARTERY_REACH_MM,
) -> np.ndarray:
    """Return the vessel of the nearest centreline within reach; uint8, the grid's shape, 0 where none is.

    Parameters
    ----------
    tree : mapping of str to ndarray, shape (n, 3)
        Centrelines of branches as x, y, z in mm in the CT's frame, whose axes are the grid's; about 1 mm a point.
    vessels : mapping of str to int
        The vessel that each branch counts under.
    ct : CTVolume
    fine : Grid
        From the centre of the CT's first voxel.
    """
    out = np.zeros(fine.shape, np.uint8)
    for name, points in tree.items():
        cell = np.rint((points[:, ::-1] - ct.origin_mm[::-1] - fine.offset_mm) / fine.spacing_mm).astype(np.int64)
        inside = ((cell >= 0) & (cell < fine.shape)).all(axis=1)
        out[tuple(cell[inside].T)] = vessels[name]
    if not out.any():
        return out
    distance, nearest = ndimage.distance_transform_edt(out == 0, sampling=fine.spacing_mm, return_indices=True)
    return np.where(distance <= ARTERY_REACH_MM, out[tuple(nearest)], 0).astype(np.uint8)
