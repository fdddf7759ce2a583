"""Candidates of a volume node, with their places in the volume and in the world; found once for a volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.mrml.editing.candidates import Candidates, find_candidates, rules_for
from CACScoringLib.mrml.geometry import from_vtk_matrix, volume_ijk_to_ras
from CACScoringLib.mrml.orientation import oriented_ct
from CACScoringLib.report.grid import ijk_to_ras
from CACScoringLib.scoring.presets import get_preset
from CACScoringLib.scoring.thresholds import choose_thresholds

if TYPE_CHECKING:
    from CACScoringLib.mrml.logic import ScoringLogic


SAME_SLICE = 1 + 1e-6
"""Slack for voxels that lie half a slice from a plane."""
MARGIN_VOXELS = 0.5
"""Slack of a search box against rounding."""


@dataclass(frozen=True, eq=False)
class CandidateScan:
    """Candidates of a volume node.

    They are found on the scan as it is scored: slices from caudal to cranial, however the node stores them.

    Attributes
    ----------
    candidates : Candidates
    own : ndarray of int64, shape (n,)
        Position of each candidate voxel in the volume's own array.
    own_shape : tuple of int
        (z, y, x) of that array.
    to_world : ndarray, shape (4, 4)
        From (x, y, z) indices of the scan to world RAS in mm.
    """

    candidates: Candidates
    own: np.ndarray
    own_shape: tuple[int, int, int]
    to_world: np.ndarray

    def world(self, which: np.ndarray) -> np.ndarray:
        """Return the centres (n, 3) of candidate voxels given by number, in world RAS and mm."""
        xyz = self.candidates.zyx(which)[:, ::-1]
        return xyz @ self.to_world[:3, :3].T + self.to_world[:3, 3]

    def near(self, points: np.ndarray, reach_mm: float = 0.0) -> np.ndarray:
        """Return the numbers of the candidate voxels in the box around points (n, 3), and a reach beyond it."""
        inverse = np.linalg.inv(self.to_world)
        zyx = (points @ inverse[:3, :3].T + inverse[:3, 3])[:, ::-1]
        beyond = reach_mm * np.linalg.norm(inverse[:3, :3], axis=1)[::-1] + MARGIN_VOXELS
        low, high = zyx.min(axis=0) - beyond, zyx.max(axis=0) + beyond
        limit = np.asarray(self.candidates.shape)
        return self.candidates.in_box(np.clip(np.floor(low), 0, limit), np.clip(np.ceil(high), -1, limit))

    @property
    def diagonal_mm(self) -> float:
        """Return the length of the scan's diagonal."""
        return float(np.linalg.norm(self.to_world[:3, :3] @ np.asarray(self.candidates.shape[::-1], float)))

    def voxel_of(self, ras: Any) -> tuple[int, int, int]:
        """Return the voxel (z, y, x) of the scan in which a point lies; it may be outside the scan."""
        inverse = np.linalg.inv(self.to_world)
        xyz = inverse[:3, :3] @ np.asarray(ras, float) + inverse[:3, 3]
        x, y, z = np.floor(xyz + 0.5).astype(int).tolist()
        return z, y, x

    def half_thickness_mm(self, direction: Any) -> float:
        """Return half of what one voxel measures along a direction in world RAS: half a slice, if along its axis."""
        unit = np.asarray(direction, float) / np.linalg.norm(direction)
        return 0.5 * float(np.abs(self.to_world[:3, :3].T @ unit).sum())


class ScanCache:
    """Finds the candidates of a volume once, and again when volume or rules have changed.

    Parameters
    ----------
    logic : ScoringLogic
        Says how a volume was acquired.
    """

    def __init__(self, logic: ScoringLogic):
        self._logic = logic
        self._found: tuple[Any, ...] | None = None

    def clear(self) -> None:
        """Forget the last volume."""
        self._found = None

    def scan(self, volume_node: Any, preset: str, kvp: float | None = None) -> CandidateScan:
        """Return the candidates of a volume.

        Raises
        ------
        InputRefusedError
            If there is no volume, or it cannot be scored.
        ValueError
            If the volume lies under a warp.
        """
        if volume_node is None or volume_node.GetImageData() is None:
            raise InputRefusedError(refuse("no-volume", "There is no volume: choose a CT."))
        image, acquisition = volume_node.GetImageData(), self._logic.acquisition(volume_node)
        key = (volume_node, image, image.GetMTime(), volume_ijk_to_ras(volume_node).tobytes(), acquisition, preset, kvp)
        if self._found is None or self._found[0] != key:
            self._found = (key, *self._find(volume_node, preset, kvp))
        _, candidates, own, own_shape, to_ras = self._found
        return CandidateScan(candidates, own, own_shape, to_world(volume_node) @ to_ras)

    def _find(
        self, volume_node: Any, preset: str, kvp: float | None
    ) -> tuple[Candidates, np.ndarray, tuple[int, int, int], np.ndarray]:
        ct = self._logic.ct(volume_node, kvp)
        turned = oriented_ct(ct)
        thresholds, _ = choose_thresholds(turned.acquisition, kvp)
        rules = rules_for(get_preset(preset), thresholds, turned.spacing_mm)
        candidates = find_candidates(turned.hu, turned.spacing_mm, rules)
        turned_to_own = np.rint(np.linalg.inv(ijk_to_ras(ct)) @ ijk_to_ras(turned))
        return candidates, _own_positions(candidates, turned_to_own, ct.shape), ct.shape, ijk_to_ras(turned)


def to_world(node: Any) -> np.ndarray:
    """Return the 4x4 matrix from a node's coordinates to world RAS.

    Raises
    ------
    ValueError
        If the transform is not linear.
    """
    import vtk

    transform = node.GetParentTransformNode()
    matrix = vtk.vtkMatrix4x4()
    if transform is not None and not transform.GetMatrixTransformToWorld(matrix):
        raise ValueError(f"{node.GetName()} lies under a warp: harden or remove the transform.")
    return from_vtk_matrix(matrix)


def _own_positions(candidates: Candidates, turned_to_own: np.ndarray, own_shape: tuple[int, int, int]) -> np.ndarray:
    if np.array_equal(turned_to_own, np.eye(4)):
        return candidates.flat
    voxels = candidates.voxels
    xyz = np.stack([voxels.x, voxels.y, voxels.z])
    i, j, k = (turned_to_own[:3, :3] @ xyz + turned_to_own[:3, 3:]).astype(np.int64)
    return np.ravel_multi_index((k, j, i), own_shape)
