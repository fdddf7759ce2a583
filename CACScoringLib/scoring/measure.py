"""From calcified voxels to the scores of each vessel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from CACScoringLib.scoring.agatston import agatston_score, slice_scale, weights
from CACScoringLib.scoring.islands import Islands, counted_islands
from CACScoringLib.scoring.lesions import Lesion
from CACScoringLib.scoring.presets import Preset
from CACScoringLib.scoring.result import VesselScore
from CACScoringLib.scoring.stack import Stack, onto_stack
from CACScoringLib.scoring.thresholds import Thresholds
from CACScoringLib.scoring.volume import isotropic_counts
from CACScoringLib.scoring.voxels import N_LABELS, Voxels, reaches
from CACScoringLib.vocabulary import CORONARY_LABELS, LABEL_BY_VALUE, Label

ISOTROPIC_CONNECTIVITY = 8
"""In-plane connectivity of the isotropic volume for presets whose lesions are three-dimensional."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Voxels and islands that count, before they are summed by vessel.

    Attributes
    ----------
    stack : Stack
        The slices that were scored.
    scored : Voxels
        Those of the Agatston islands.
    islands : Islands
        Of ``scored``.
    weight : ndarray of int, shape (islands,)
        1 to 4.
    scale : float
        dz / 3 mm, or 1.
    counted : Voxels
        Those that count for volume and mass: ``scored``, or more where the preset has a lower threshold for them.
    isotropic_mm3 : ndarray of float, shape (256,), or None
        Isotropic volume of each label value.
    isotropic_rule : bool
        Whether that is the preset's volume.
    """

    stack: Stack
    scored: Voxels
    islands: Islands
    weight: np.ndarray
    scale: float
    counted: Voxels
    isotropic_mm3: np.ndarray | None
    isotropic_rule: bool

    @property
    def agatston_of_weighted(self) -> float:
        """Return the Agatston score of one weighted pixel."""
        return self.stack.pixel_area_mm2 * self.scale

    @property
    def weighted(self) -> np.ndarray:
        """Return pixels x weight of each island, whole numbers: a score is their sum times area and scale."""
        return self.islands.pixels * self.weight

    @property
    def voxel_weight(self) -> np.ndarray:
        """Return the weight of each voxel of ``scored``: that of its island."""
        return self.weight[self.islands.of_voxel]

    @property
    def island_label(self) -> np.ndarray:
        """Return the label value of each island."""
        return self.scored.label[self.islands.first_voxel]


def measure(
    voxels: Voxels,
    stack: Stack,
    rules: Preset,
    thresholds: Thresholds,
    mass_threshold_hu: float,
    *,
    scaled: bool,
    isotropic: bool,
) -> Measured:
    """Find the islands that count.

    Parameters
    ----------
    voxels : Voxels
        Labelled voxels of the acquired scan that reach the lower of the two thresholds.
    stack : Stack
        The slices to score.
    rules : Preset
    thresholds : Thresholds
    mass_threshold_hu : float
        From here on voxels count for volume and mass.
    scaled : bool
        Whether slices count with increment / 3 mm.
    isotropic : bool
        Whether to measure the isotropic volume although the preset does not.
    """
    voxels = onto_stack(voxels, stack)
    minimum = (
        rules.minimum_island_pixels(stack.pixel_area_mm2),
        rules.minimum_component_voxels(stack.voxel_volume_mm3),
    )
    dense = voxels.select(reaches(voxels.hu, thresholds.calcium, strict=rules.strict))
    scored, islands = counted_islands(dense, rules.connectivity, *minimum)
    counted = scored
    if mass_threshold_hu != thresholds.calcium:
        reached = voxels.select(reaches(voxels.hu, mass_threshold_hu, strict=rules.strict))
        counted, _ = counted_islands(reached, rules.connectivity, *minimum)
    isotropic_mm3 = None
    if isotropic or rules.volume_rule == "isotropic":
        connectivity = rules.connectivity if rules.in_plane else ISOTROPIC_CONNECTIVITY
        isotropic_mm3 = isotropic_counts(
            dense, stack, thresholds.calcium, connectivity, minimum[0], strict=rules.strict
        )
    return Measured(
        stack=stack,
        scored=scored,
        islands=islands,
        weight=weights(islands.max_hu, thresholds.hu),
        scale=slice_scale(stack.spacing_mm[0], scaled=scaled),
        counted=counted,
        isotropic_mm3=isotropic_mm3,
        isotropic_rule=rules.volume_rule == "isotropic",
    )


def vessel_scores(
    measured: Measured, lesions: tuple[Lesion, ...], mass_factor: float, labels: Iterable[Label]
) -> dict[str, VesselScore]:
    """Return the scores of each label, by name."""
    return {label.name: _score_of(measured, lesions, mass_factor, (label,)) for label in labels}


def total_score(
    vessels: dict[str, VesselScore], measured: Measured, lesions: tuple[Lesion, ...], mass_factor: float
) -> VesselScore:
    """Return the scores of the coronary arteries together: sums of the vessels, and HU and density over all voxels."""
    together = _score_of(measured, lesions, mass_factor, CORONARY_LABELS)
    sums = {
        name: sum(getattr(vessel, name) for vessel in vessels.values())
        for name in ("agatston", "volume_mm3", "mass_mg")
    }
    if measured.isotropic_mm3 is not None:
        sums["volume_isotropic_mm3"] = sum(vessel.volume_isotropic_mm3 for vessel in vessels.values())
    return replace(together, **sums)


def diffusivity(vessels: dict[str, VesselScore]) -> float | None:
    """Return 1 - (score of the most affected vessel / total): 0 for one vessel, 0.75 for four alike."""
    scores = [vessel.agatston for vessel in vessels.values()]
    return 1 - max(scores) / sum(scores) if sum(scores) > 0 else None


def extent_z_mm(measured: Measured) -> float:
    """Return the length along z from the lowest to the highest slice with coronary calcium, both included."""
    z = measured.counted.z[_is_one_of(measured.counted.label, CORONARY_LABELS)]
    return float((z.max() - z.min() + 1) * measured.stack.spacing_mm[0]) if len(z) else 0.0


def by_slice(measured: Measured) -> dict[int, dict[str, float]]:
    """Return the Agatston score of each label in each acquired slice (of averaged slices: the nearest) that has any."""
    z = measured.stack.acquired_z(measured.scored.z[measured.islands.first_voxel])
    nearest = np.clip(np.floor(np.asarray(z) + 0.5), 0, measured.stack.hu.shape[0] - 1).astype(np.int64)
    weighted = np.bincount(nearest * N_LABELS + measured.island_label, weights=measured.weighted)
    slices: dict[int, dict[str, float]] = {}
    for place in np.flatnonzero(weighted):
        name = LABEL_BY_VALUE[int(place) % N_LABELS].name
        slices.setdefault(int(place) // N_LABELS, {})[name] = float(weighted[place] * measured.agatston_of_weighted)
    return slices


def _score_of(
    measured: Measured, lesions: tuple[Lesion, ...], mass_factor: float, labels: tuple[Label, ...]
) -> VesselScore:
    """Return the scores of some labels together."""
    islands = _is_one_of(measured.island_label, labels)
    hu = measured.counted.hu[_is_one_of(measured.counted.label, labels)].astype(np.int64)
    pixels, weight = measured.islands.pixels[islands], measured.weight[islands]
    voxel_volume = measured.stack.voxel_volume_mm3
    values = [int(label.value) for label in labels]
    names = {label.name for label in labels}
    isotropic = None if measured.isotropic_mm3 is None else float(measured.isotropic_mm3[values].sum())
    return VesselScore(
        agatston=agatston_score(pixels, weight, measured.stack.pixel_area_mm2, measured.scale),
        volume_mm3=isotropic if measured.isotropic_rule else len(hu) * voxel_volume,
        mass_mg=float(mass_factor * int(hu.sum()) * voxel_volume),
        lesions=sum(lesion.vessel in names for lesion in lesions),
        voxels=len(hu),
        max_hu=int(hu.max()) if len(hu) else None,
        mean_hu=float(hu.mean()) if len(hu) else None,
        density=float((pixels * weight).sum() / pixels.sum()) if len(pixels) else None,
        volume_isotropic_mm3=isotropic,
    )


def _is_one_of(values: np.ndarray, labels: tuple[Label, ...]) -> np.ndarray:
    """Return where a label value is one of some labels."""
    table = np.zeros(N_LABELS, dtype=bool)
    table[[int(label.value) for label in labels]] = True
    return table[values]
