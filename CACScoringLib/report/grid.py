"""Where a CT's voxels lie: matrices from voxel indices (i, j, k) = (x, y, z) to patient coordinates in mm."""

from __future__ import annotations

import numpy as np

from CACScoringLib.ct.volume import CTVolume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM and SimpleITK count to the left and posterior, 3D Slicer to the right and anterior."""


def ijk_to_lps(ct: CTVolume) -> np.ndarray:
    """Return the 4x4 matrix from (i, j, k) to LPS in mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(ct.direction, float).reshape(3, 3) * np.asarray(ct.spacing_mm[::-1], float)
    matrix[:3, 3] = ct.origin_mm
    return matrix


def ijk_to_ras(ct: CTVolume) -> np.ndarray:
    """Return the 4x4 matrix from (i, j, k) to RAS in mm."""
    return LPS_TO_RAS @ ijk_to_lps(ct) + 0.0
