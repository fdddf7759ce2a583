"""Training cases of the methods that score slices: a patient's slices with their true scores, no labels.

One case serves the localisers, ``slice-regression`` and ``six-class``, since generating the patient costs most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.grids import ct_grid, sample_nearest
from CACScoringLib.inference.heart import coarse_volume, heart_region
from CACScoringLib.methods.score_prediction import HeartBox, box_of_region, heart_box
from CACScoringLib.methods.six_class import cut_field, scored_stack
from CACScoringLib.methods.slice_regression import (
    BOX_MARGIN_MM,
    PRESET,
    UNIT_HU,
    cut_slices,
    kvp_factor,
    network_units,
)
from CACScoringLib.scoring import score
from CACScoringLib.scoring.engine import known_voxels, relabelled
from CACScoringLib.scoring.measure import measure
from CACScoringLib.scoring.presets import DEFAULT_PRESET
from CACScoringLib.scoring.settings import Settings, settle
from CACScoringLib.scoring.stack import Stack, onto_stack
from CACScoringLib.scoring.voxels import labelled_voxels
from CACScoringLib.training.case_cache import CaseKind
from CACScoringLib.training.stored_arrays import StoredArrays
from CACScoringLib.vocabulary import Vessel

if TYPE_CHECKING:
    from CACScoringLib.phantom import SyntheticPatient

CACHE_VERSION = 1
STEP_HU = 4.0
"""Slices are kept in steps of this: far below the noise of any scan, and half the memory."""
JITTER_MM = 8.0
"""How far round the box slices are kept, beyond the margin of inference: boxes that are found are not exact."""
SLICE_SIZE = 256
FIELD_SIZE, FIELD_JITTER = 192, 16
"""Pixels of a slice of ``six-class``, and how many more are kept."""


@dataclass(frozen=True, eq=False)
class SliceCase(StoredArrays):
    """One patient for the slice methods.

    Attributes
    ----------
    coarse_hu : ndarray of int16, shape (z, y, x)
        On the coarse grid.
    heart_z, heart_y, heart_x : ndarray of bool
        In which of its slices the heart is.
    box_mm : ndarray of float64, shape (2, 3)
        Walls of the true heart box, from the centre of the CT's first voxel.
    slabs : ndarray of uint8, shape (n, rows, columns)
        Slices of 3.0 mm every 1.5 mm, ``quantised``, in the true box and some way round it.
    slab_spacing_mm, slab_offset_mm : ndarray of float64, shape (3,)
        Their grid.
    slab_agatston, slab_volume : ndarray of float32, shape (n,)
        What coronary calcium adds to the totals in each.
    agatston, volume_mm3 : ndarray of float64, shape ()
        Totals of the scan on these slices.
    slices : ndarray of uint8, shape (m, size, size)
        As ``six-class`` sees the scan, with a margin.
    slice_agatston : ndarray of float32, shape (m,)
    clinical_agatston : ndarray of float64, shape ()
        Total of the scan with the default preset on the acquired slices.
    """

    coarse_hu: np.ndarray
    heart_z: np.ndarray
    heart_y: np.ndarray
    heart_x: np.ndarray
    box_mm: np.ndarray
    slabs: np.ndarray
    slab_spacing_mm: np.ndarray
    slab_offset_mm: np.ndarray
    slab_agatston: np.ndarray
    slab_volume: np.ndarray
    agatston: np.ndarray
    volume_mm3: np.ndarray
    slices: np.ndarray
    slice_agatston: np.ndarray
    clinical_agatston: np.ndarray

    @property
    def box(self) -> HeartBox:
        """Return the true heart box."""
        return heart_box(self.box_mm[0], self.box_mm[1])

    @property
    def presence(self) -> dict[str, np.ndarray]:
        """Return in which coarse slices the heart is, by axis."""
        return {"z": self.heart_z, "y": self.heart_y, "x": self.heart_x}


def quantised(units: np.ndarray) -> np.ndarray:
    """Return network units in steps of 4 HU: uint8."""
    return np.rint(units * (UNIT_HU / STEP_HU)).astype(np.uint8)


def as_units(steps: np.ndarray) -> np.ndarray:
    """Return the network units that ``quantised`` has kept: float32."""
    return steps.astype(np.float32) * np.float32(STEP_HU / UNIT_HU)


def coronary_settings(ct: CTVolume, stack_or_preset: str | Stack) -> Settings:
    """Return the scoring settings of a scan by a preset's name, or by the default preset on other slices."""
    from dataclasses import replace

    if isinstance(stack_or_preset, str):
        return settle(ct, preset=stack_or_preset)
    return replace(settle(ct, preset=DEFAULT_PRESET), stack=stack_or_preset)


def slice_scores(settings: Settings, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what coronary calcium adds to the Agatston score and to the volume in every slice that is scored.

    Their sums are the totals that ``score`` gives with the same settings.

    Parameters
    ----------
    settings : Settings
    labels : ndarray of uint8, shape (z, y, x)

    Returns
    -------
    agatston, volume_mm3 : ndarray of float64, shape (slices,)
    """
    rules, stack = settings.rules, settings.stack
    voxels, _ = labelled_voxels(settings.ct.hu, labels, settings.mass_threshold_hu, strict=rules.strict)
    voxels = relabelled(known_voxels(voxels), rules)
    islands = measure(onto_stack(voxels, stack), settings).islands
    coronary = np.isin(islands.label, [int(vessel) for vessel in Vessel])
    z, pixels = islands.z[coronary].astype(np.int64), islands.pixels[coronary]
    weighted = np.bincount(z, weights=pixels * islands.weight[coronary], minlength=stack.n_slices)
    counted = np.bincount(z, weights=pixels, minlength=stack.n_slices)
    return weighted * settings.agatston_of_weighted, counted * stack.voxel_volume_mm3


def make_slice_case(
    ct: CTVolume,
    labels: np.ndarray,
    structures: np.ndarray,
    *,
    size: int = SLICE_SIZE,
    field: int = FIELD_SIZE + FIELD_JITTER,
) -> SliceCase:
    """Reduce a labelled patient to slices with their scores.

    Parameters
    ----------
    ct : CTVolume
    labels, structures : ndarray of uint8, shape (z, y, x)
        Truth on the CT's grid.
    size : int
        Largest side of a slab in pixels.
    field : int
        Side of a slice of ``six-class`` in pixels.

    Raises
    ------
    ValueError
        If no heart is labelled.
    """
    coarse_hu, coarse = coarse_volume(ct)
    region = heart_region(sample_nearest(structures, ct_grid(ct.shape, ct.spacing_mm), coarse), coarse, margin_mm=0.0)
    box = box_of_region(region, coarse)
    if box is None:
        raise ValueError("no heart is labelled in this patient, so it cannot be trained on")
    settings = settle(ct, preset=PRESET)
    agatston, volume = slice_scores(settings, labels)
    slabs = cut_slices(ct, settings.stack, box.grown(BOX_MARGIN_MM + JITTER_MM), size)
    clinical = coronary_settings(ct, scored_stack(ct))
    slices, number = cut_field(ct, clinical.stack, box, field)
    factor = kvp_factor(ct)
    return SliceCase(
        coarse_hu=np.rint(coarse_hu).astype(np.int16),
        heart_z=region.any(axis=(1, 2)),
        heart_y=region.any(axis=(0, 2)),
        heart_x=region.any(axis=(0, 1)),
        box_mm=np.array([box.low_mm, box.high_mm]),
        slabs=quantised(network_units(slabs.hu, factor)),
        slab_spacing_mm=np.asarray(slabs.grid.spacing_mm, float),
        slab_offset_mm=np.asarray(slabs.grid.offset_mm, float),
        slab_agatston=agatston[slabs.number].astype(np.float32),
        slab_volume=volume[slabs.number].astype(np.float32),
        agatston=np.asarray(agatston.sum()),
        volume_mm3=np.asarray(volume.sum()),
        slices=quantised(network_units(slices, factor)),
        slice_agatston=slice_scores(clinical, labels)[0][number].astype(np.float32),
        clinical_agatston=np.asarray(float(score(ct, labels).total.agatston)),
    )


def case_of_synthetic(patient: SyntheticPatient) -> SliceCase:
    """Reduce a synthetic patient to slices with their scores."""
    return make_slice_case(patient.ct, patient.labels, patient.structures)


SLICE_CASES = CaseKind("slices-", CACHE_VERSION, case_of_synthetic)
