"""Training cases: a patient reduced to what the network sees, with the truth on the same grids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.candidates import Candidates, candidate_maps, find_candidates, footprint
from CACScoringLib.inference.fine import fine_grid_over
from CACScoringLib.inference.grids import Grid, ct_grid, resample_mean, sample_nearest
from CACScoringLib.inference.heart import HEART_MARGIN_MM, coarse_volume, heart_region
from CACScoringLib.methods.registry import candidate_threshold
from CACScoringLib.training.arteries import UNKNOWN, artery_map
from CACScoringLib.training.case_cache import CaseKind
from CACScoringLib.training.stored_arrays import StoredArrays

if TYPE_CHECKING:
    from CACScoringLib.phantom import SyntheticPatient

CACHE_VERSION = 3


@dataclass(frozen=True, eq=False)
class TrainingCase(StoredArrays):
    """One patient for the multi-branch network.

    Attributes
    ----------
    coarse_hu : ndarray of int16; coarse_structures : ndarray of uint8
        (z, y, x) on the coarse grid, whose first voxel lies at ``coarse_offset_mm``.
    fine_hu : ndarray of int16; fine_structures : ndarray of uint8
        (z, y, x) on the fine grid, whose first voxel lies at ``fine_offset_mm``.
    fine_arteries : ndarray of uint8
        (z, y, x) on the fine grid: the vessel near whose centreline a voxel lies, 0 or ``arteries.UNKNOWN``.
    cell : ndarray of int32, shape (m, 3)
        Fine voxels that hold a candidate.
    peak, fraction, size : ndarray of float32, shape (m,)
        As ``candidate_maps`` draws them.
    label : ndarray of uint8, shape (m,)
        Vocabulary label of the brightest candidate in the voxel.
    weight : ndarray of float32, shape (m,)
        1 / sqrt(fine voxels of its island): large lesions count more, not in proportion.
    """

    coarse_hu: np.ndarray
    coarse_structures: np.ndarray
    coarse_offset_mm: np.ndarray
    fine_hu: np.ndarray
    fine_structures: np.ndarray
    fine_offset_mm: np.ndarray
    fine_arteries: np.ndarray
    cell: np.ndarray
    peak: np.ndarray
    fraction: np.ndarray
    size: np.ndarray
    label: np.ndarray
    weight: np.ndarray


def make_case(
    ct: CTVolume,
    labels: np.ndarray,
    structures: np.ndarray,
    margin_mm: float = HEART_MARGIN_MM,
    arteries: Callable[[Grid], np.ndarray] | None = None,
) -> TrainingCase:
    """Reduce a labelled patient to a training case.

    Parameters
    ----------
    ct : CTVolume
    labels, structures : ndarray of uint8, shape (z, y, x)
        Truth on the CT's grid.
    margin_mm : float
        How far round the true heart candidates are kept.
    arteries : callable, optional
        Returns ``fine_arteries`` on a grid; unknown without.

    Raises
    ------
    ValueError
        If no heart is labelled.
    """
    grid = ct_grid(ct.shape, ct.spacing_mm)
    coarse_hu, coarse = coarse_volume(ct)
    coarse_structures = sample_nearest(structures, grid, coarse)
    region = heart_region(coarse_structures, coarse, margin_mm)
    if not region.any():
        raise ValueError("no heart is labelled in this patient, so it cannot be trained on")
    candidates = find_candidates(ct.hu, grid, region, coarse, candidate_threshold(ct))
    fine = fine_grid_over(region, coarse, candidates, grid)
    maps = candidate_maps(candidates, grid, fine)
    cell = np.argwhere(maps["peak"] > 0)
    place = tuple(cell.T)
    truth, island = brightest(candidates, labels, grid, fine)
    number = island[place]
    cells_of = np.bincount(number, minlength=1)
    return TrainingCase(
        coarse_hu=np.rint(coarse_hu).astype(np.int16),
        coarse_structures=coarse_structures,
        coarse_offset_mm=np.asarray(coarse.offset_mm),
        fine_hu=np.rint(resample_mean(ct.hu, grid, fine)).astype(np.int16),
        fine_structures=sample_nearest(structures, grid, fine),
        fine_offset_mm=np.asarray(fine.offset_mm),
        fine_arteries=np.full(fine.shape, UNKNOWN, np.uint8) if arteries is None else arteries(fine),
        cell=cell.astype(np.int32),
        peak=maps["peak"][place],
        fraction=maps["fraction"][place],
        size=maps["size"][place],
        label=truth[place],
        weight=(1.0 / np.sqrt(cells_of[number])).astype(np.float32) if len(cell) else np.zeros(0, np.float32),
    )


def brightest(candidates: Candidates, labels: np.ndarray, grid: Grid, target: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return label (uint8) and island number (int32) of the brightest candidate in every voxel of a target grid."""
    label, island = np.zeros(target.shape, np.uint8), np.zeros(target.shape, np.int32)
    if not candidates.count:
        return label, island
    parts = footprint(candidates.index, grid, target)
    cell, voxel = (np.concatenate([part[n] for part in parts]) for n in (0, 1))
    by_hu = np.argsort(candidates.hu[voxel], kind="stable")  # of several written to one place, the last stays
    place, voxel = tuple(cell[by_hu].T), voxel[by_hu]
    label[place] = labels[tuple(candidates.index[voxel].T)]
    island[place] = candidates.lesion[voxel]
    return label, island


def case_of_synthetic(patient: SyntheticPatient) -> TrainingCase:
    """Reduce a synthetic patient to a training case; how far round the heart it reaches follows from the seed."""
    margin = HEART_MARGIN_MM + float(np.random.default_rng(patient.truth.seed).uniform(-3, 5))
    arteries = partial(artery_map, patient.vessel_tree, patient.branch_vessels, patient.ct)
    return make_case(patient.ct, patient.labels, patient.structures, margin, arteries)


CASES = CaseKind("", CACHE_VERSION, case_of_synthetic)
