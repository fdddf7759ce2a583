"""Training cases of the convolutional LSTM: a patient reduced to the slices that it sees, with the truth on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.candidates import candidate_maps, find_candidates
from CACScoringLib.inference.grids import Grid, ct_grid, resample_mean, sample_nearest
from CACScoringLib.inference.heart import HEART_MARGIN_MM, coarse_volume, heart_region
from CACScoringLib.inference.sequence import PLANE, sequence_grid
from CACScoringLib.methods.registry import candidate_threshold
from CACScoringLib.training.case_cache import CaseKind
from CACScoringLib.training.cases import brightest
from CACScoringLib.training.stored_arrays import StoredArrays

if TYPE_CHECKING:
    from CACScoringLib.phantom import SyntheticPatient

CACHE_VERSION = 1
SPARE = 16
"""Pixels along a side beyond ``PLANE``, so that training can look at the heart a little off centre."""
AROUND = 4
"""Coarse voxels round the heart that are kept."""


@dataclass(frozen=True, eq=False)
class SequenceCase(StoredArrays):
    """One patient for the convolutional LSTM.

    Attributes
    ----------
    hu : ndarray of int16, shape (z, y, x)
        Slices from the feet up, on the grid of ``inference.sequence``.
    spacing_mm, offset_mm : ndarray of float64, shape (3,)
        Of that grid.
    structures : ndarray of uint8, shape (z, y, x)
        True structures on the coarse grid, whose first voxel lies at ``structures_offset_mm``; the heart only.
    structures_spacing_mm, structures_offset_mm : ndarray of float64, shape (3,)
    cell : ndarray of int32, shape (m, 3)
        Pixels that hold a candidate.
    peak, fraction, size : ndarray of float32, shape (m,)
        As ``candidate_maps`` draws them.
    label : ndarray of uint8, shape (m,)
        Vocabulary label of the brightest candidate in the pixel.
    weight : ndarray of float32, shape (m,)
        1 / sqrt(pixels of its island): large lesions count more, not in proportion.
    """

    hu: np.ndarray
    spacing_mm: np.ndarray
    offset_mm: np.ndarray
    structures: np.ndarray
    structures_spacing_mm: np.ndarray
    structures_offset_mm: np.ndarray
    cell: np.ndarray
    peak: np.ndarray
    fraction: np.ndarray
    size: np.ndarray
    label: np.ndarray
    weight: np.ndarray


def make_case(
    ct: CTVolume, labels: np.ndarray, structures: np.ndarray, margin_mm: float = HEART_MARGIN_MM
) -> SequenceCase:
    """Reduce a labelled patient to a training case.

    Parameters
    ----------
    ct : CTVolume
    labels, structures : ndarray of uint8, shape (z, y, x)
        Truth on the CT's grid.
    margin_mm : float
        How far round the true heart candidates are kept.

    Raises
    ------
    ValueError
        If no heart is labelled.
    """
    grid = ct_grid(ct.shape, ct.spacing_mm)
    coarse = coarse_volume(ct)[1]
    true_structures = sample_nearest(structures, grid, coarse)
    region = heart_region(true_structures, coarse, margin_mm)
    if not region.any():
        raise ValueError("no heart is labelled in this patient, so it cannot be trained on")
    candidates = find_candidates(ct.hu, grid, region, coarse, candidate_threshold(ct))
    slices = sequence_grid(region, coarse, candidates, grid, PLANE + SPARE)
    maps = candidate_maps(candidates, grid, slices)
    cell = np.argwhere(maps["peak"] > 0)
    place = tuple(cell.T)
    label, island = brightest(candidates, labels, grid, slices)
    number = island[place]
    pixels_of = np.bincount(number, minlength=1)
    heart, heart_grid = _around_the_heart(true_structures, coarse)
    return SequenceCase(
        hu=np.rint(resample_mean(ct.hu, grid, slices)).astype(np.int16),
        spacing_mm=np.asarray(slices.spacing_mm),
        offset_mm=np.asarray(slices.offset_mm),
        structures=heart,
        structures_spacing_mm=np.asarray(heart_grid.spacing_mm),
        structures_offset_mm=np.asarray(heart_grid.offset_mm),
        cell=cell.astype(np.int32),
        peak=maps["peak"][place],
        fraction=maps["fraction"][place],
        size=maps["size"][place],
        label=label[place],
        weight=(1.0 / np.sqrt(pixels_of[number])).astype(np.float32) if len(cell) else np.zeros(0, np.float32),
    )


def _around_the_heart(structures: np.ndarray, coarse: Grid) -> tuple[np.ndarray, Grid]:
    """Cut the box of the structures out of the coarse grid, with a margin."""
    used = np.argwhere(structures > 0)
    low = np.maximum(used.min(axis=0) - AROUND, 0)
    high = np.minimum(used.max(axis=0) + 1 + AROUND, coarse.shape)
    box = np.ascontiguousarray(structures[tuple(slice(a, b) for a, b in zip(low, high, strict=True))])
    offset = np.asarray(coarse.offset_mm) + low * np.asarray(coarse.spacing_mm)
    return box, Grid(coarse.spacing_mm, tuple(map(float, offset)), box.shape)


def case_of_synthetic(patient: SyntheticPatient) -> SequenceCase:
    """Reduce a synthetic patient to a training case; how far round the heart it reaches follows from the seed."""
    margin = HEART_MARGIN_MM + float(np.random.default_rng(patient.truth.seed).uniform(-3, 5))
    return make_case(patient.ct, patient.labels, patient.structures, margin)


CASES = CaseKind("convlstm-", CACHE_VERSION, case_of_synthetic)
