"""Candidates: every voxel that can count, its island in the slice and its lesion in the volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CACScoringLib.scoring.islands import components
from CACScoringLib.scoring.presets import Preset
from CACScoringLib.scoring.thresholds import AGATSTON_HU, Thresholds
from CACScoringLib.scoring.voxels import Voxels, reaches
from CACScoringLib.vocabulary import BACKGROUND

LARGEST_LESION_MM3 = 10_000.0
"""Connected voxels beyond this volume are bone, contrast or metal rather than a lesion: they are not shown as
candidates, and not given as a whole. Far above the largest coronary lesions (3000 mm3 bound the network's)."""


@dataclass(frozen=True)
class CandidateRules:
    """What is a candidate.

    Attributes
    ----------
    threshold_hu : float
        Lowest HU that counts for any of the scores.
    strict : bool
        Above the threshold instead of at or above it.
    in_plane : int
        Connectivity of islands in a slice: 4 or 8.
    whole : int
        Connectivity of lesions in the volume: 6 or 26.
    minimum_pixels, minimum_voxels : int
        Smallest island of a slice, and smallest lesion, that can count.
    largest_mm3 : float
        See :data:`LARGEST_LESION_MM3`.
    """

    threshold_hu: float = AGATSTON_HU[0]
    strict: bool = False
    in_plane: int = 8
    whole: int = 26
    minimum_pixels: int = 1
    minimum_voxels: int = 1
    largest_mm3: float = LARGEST_LESION_MM3


def rules_for(preset: Preset, thresholds: Thresholds, spacing_mm: tuple[float, float, float]) -> CandidateRules:
    """Return the candidates that a preset can count.

    Parameters
    ----------
    preset : Preset
    thresholds : Thresholds
        Those of the scan's tube voltage.
    spacing_mm : tuple of float
        (z, y, x).
    """
    lowest = thresholds.calcium
    if preset.mass_threshold_hu is not None:  # follows the tube voltage as 130 HU does, as in the scoring
        lowest = min(lowest, preset.mass_threshold_hu * thresholds.calcium / AGATSTON_HU[0])
    in_plane = {6: 4, 26: 8}.get(preset.connectivity, preset.connectivity)
    area = spacing_mm[1] * spacing_mm[2]
    return CandidateRules(
        threshold_hu=lowest,
        strict=preset.strict,
        in_plane=in_plane,
        whole=preset.lesion_connectivity,
        minimum_pixels=preset.minimum_island_pixels(area),
        minimum_voxels=preset.minimum_component_voxels(area * spacing_mm[0]),
    )


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidate voxels of a scan, in the order (z, y, x).

    Attributes
    ----------
    rules : CandidateRules
    shape : tuple of int
        (z, y, x) of the scan.
    spacing_mm : tuple of float
        (z, y, x).
    voxels : Voxels
        Their labels are all 0.
    flat : ndarray of int64, shape (n,)
        Positions in the scan, increasing.
    island : ndarray of int64, shape (n,)
        Island in the slice.
    lesion : ndarray of int64, shape (n,)
        Lesion in the volume.
    lesion_voxels : ndarray of int64, shape (lesions,)
    counts : ndarray of bool, shape (lesions,)
        Lesions that are large enough to count.
    """

    rules: CandidateRules
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    voxels: Voxels
    flat: np.ndarray
    island: np.ndarray
    lesion: np.ndarray
    lesion_voxels: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.flat)

    @property
    def voxel_mm3(self) -> float:
        """Return the volume of one voxel."""
        return float(np.prod(self.spacing_mm))

    @property
    def countable(self) -> np.ndarray:
        """Return which voxels (bool, shape (n,)) belong to lesions that are large enough to count."""
        return self.counts[self.lesion]

    @property
    def shown(self) -> np.ndarray:
        """Return which voxels (bool, shape (n,)) belong to lesions that can count and are not too large."""
        fits = self.lesion_voxels * self.voxel_mm3 <= self.rules.largest_mm3
        return (self.counts & fits)[self.lesion]

    def zyx(self, which: np.ndarray) -> np.ndarray:
        """Return the indices (n, 3) = (z, y, x) of candidate voxels given by number."""
        voxels = self.voxels
        return np.stack([voxels.z[which], voxels.y[which], voxels.x[which]], axis=1)

    def at(self, zyx: tuple[int, int, int]) -> int | None:
        """Return the number of the candidate voxel at (z, y, x), or None."""
        if any(not 0 <= index < size for index, size in zip(zyx, self.shape, strict=True)):
            return None
        flat = int(np.ravel_multi_index(zyx, self.shape))
        found = int(np.searchsorted(self.flat, flat))
        return found if found < len(self.flat) and self.flat[found] == flat else None

    def nearest(self, zyx: tuple[int, int, int], reach_mm: float) -> int | None:
        """Return the number of the candidate voxel of the same slice that is nearest, within a reach in mm."""
        z, y, x = zyx
        exact = self.at(zyx)
        if exact is not None or not 0 <= z < self.shape[0]:
            return exact
        plane = self.shape[1] * self.shape[2]
        low, high = np.searchsorted(self.flat, (z * plane, (z + 1) * plane))
        dy = (self.voxels.y[low:high] - y) * self.spacing_mm[1]
        dx = (self.voxels.x[low:high] - x) * self.spacing_mm[2]
        distance = dy**2 + dx**2
        if len(distance) == 0 or distance.min() > reach_mm**2:
            return None
        return int(low + np.argmin(distance))

    def in_box(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return the numbers of the voxels from ``low`` to ``high``, both (z, y, x) and included."""
        plane = self.shape[1] * self.shape[2]
        first, last = np.clip([low[0], high[0] + 1], 0, self.shape[0]).astype(np.int64) * plane
        part = slice(*np.searchsorted(self.flat, (first, last)).tolist())
        y, x = self.voxels.y[part], self.voxels.x[part]
        inside = (y >= low[1]) & (y <= high[1]) & (x >= low[2]) & (x <= high[2])
        return part.start + np.flatnonzero(inside)

    def too_large(self, number: int) -> bool:
        """Return whether the lesion of a voxel is larger than a lesion can be."""
        return bool(self.lesion_voxels[self.lesion[number]] * self.voxel_mm3 > self.rules.largest_mm3)

    def piece(
        self, number: int, labels: np.ndarray, *, whole: bool, also: tuple[int, ...] = (BACKGROUND,)
    ) -> np.ndarray:
        """Return the voxels that belong with one of them.

        Those are connected to it, within its island (or lesion), through voxels that have its own label or none:
        what was already given to another vessel stays apart.

        Parameters
        ----------
        number : int
            Of the voxel.
        labels : ndarray of uint8, shape (n,)
            Label of each candidate voxel, 0 for none.
        whole : bool
            The lesion in the volume instead of the island in the slice.
        also : tuple of int
            Labels that belong to it besides its own.

        Returns
        -------
        ndarray of int64
            Numbers of voxels, increasing.
        """
        groups = self.lesion if whole else self.island
        members = np.flatnonzero(groups == groups[number])
        label = labels[members]
        members = members[np.isin(label, (labels[number], *also))]
        component, _ = components(picked(self.voxels, members), self.rules.whole if whole else self.rules.in_plane)
        return members[component == component[np.searchsorted(members, number)]]


def find_candidates(hu: np.ndarray, spacing_mm: tuple[float, float, float], rules: CandidateRules) -> Candidates:
    """Find all islands and lesions at or above the threshold.

    Parameters
    ----------
    hu : ndarray of int16, shape (z, y, x)
    spacing_mm : tuple of float
        (z, y, x).
    rules : CandidateRules
    """
    flat = np.flatnonzero(reaches(hu, rules.threshold_hu, strict=rules.strict))
    z, rest = np.divmod(flat, hu.shape[1] * hu.shape[2])
    y, x = np.divmod(rest, hu.shape[2])
    values = hu.reshape(-1)[flat].astype(np.int32)
    voxels = Voxels(z, y, x, np.zeros(len(flat), np.uint8), values)
    island, islands = components(voxels, rules.in_plane)
    lesion, lesions = components(voxels, rules.whole)
    pixels = np.bincount(island, minlength=islands)
    size = np.bincount(lesion, minlength=lesions)
    counts = np.zeros(lesions, bool)
    counts[lesion[pixels[island] >= rules.minimum_pixels]] = True
    counts &= size >= rules.minimum_voxels
    return Candidates(rules, hu.shape, spacing_mm, voxels, flat, island, lesion, size, counts)


def picked(voxels: Voxels, which: np.ndarray, labels: np.ndarray | None = None) -> Voxels:
    """Return voxels given by number, with labels (n,) of theirs instead of none."""
    label = voxels.label[which] if labels is None else labels
    return Voxels(voxels.z[which], voxels.y[which], voxels.x[which], label, voxels.hu[which])
