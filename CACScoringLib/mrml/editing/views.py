"""What is drawn in a slice view, in patient space."""

from __future__ import annotations

from typing import Any

import numpy as np

from CACScoringLib.mrml.editing.regions import Lasso
from CACScoringLib.mrml.editing.scan import SAME_SLICE, CandidateScan
from CACScoringLib.mrml.geometry import from_vtk_matrix


def view_to_ras(slice_node: Any, xy: Any) -> np.ndarray:
    """Return the world RAS (n, 3) in mm of points (n, 2) of a slice view, in its pixels; (3,) for one point (2,)."""
    matrix = from_vtk_matrix(slice_node.GetXYToRAS())
    points = np.atleast_2d(np.asarray(xy, float))
    ras = points @ matrix[:3, :2].T + matrix[:3, 3]
    return ras[0] if np.ndim(xy) == 1 else ras


def towards_viewer(slice_node: Any) -> np.ndarray:
    """Return the direction (3,) from a slice view to who looks at it, of length 1, in RAS.

    The third axis of a slice node may point away: axial views are seen from the feet.
    """
    axes = from_vtk_matrix(slice_node.GetSliceToRAS())[:3]
    normal = np.cross(axes[:, 0], axes[:, 1])
    return normal / np.linalg.norm(normal)


def lasso_of_view(slice_node: Any, xy: Any, scan: CandidateScan, *, slab_mm: float | None = 0.0) -> Lasso:
    """Return the lasso drawn in a slice view.

    Parameters
    ----------
    slice_node : vtkMRMLSliceNode
    xy : sequence of (float, float)
        Corners in pixels of the view.
    scan : CandidateScan
        Says how thick a slice is.
    slab_mm : float or None
        Thickness of the slab around the view; 0 for the one slice that is seen, None for the whole scan.
    """
    plane_to_ras = from_vtk_matrix(slice_node.GetSliceToRAS())
    inverse = np.linalg.inv(plane_to_ras)
    polygon = (view_to_ras(slice_node, np.atleast_2d(xy)) @ inverse[:3, :3].T + inverse[:3, 3])[:, :2]
    half = None
    if slab_mm is not None:
        half = max(scan.half_thickness_mm(towards_viewer(slice_node)) * SAME_SLICE, slab_mm / 2)
    return Lasso(plane_to_ras, polygon, half)
