"""From calcified voxels to the scores of each vessel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np

from CACScoringLib.scoring.agatston import agatston_score, weights
from CACScoringLib.scoring.islands import counted_islands
from CACScoringLib.scoring.lesions import LesionRows, find_lesions
from CACScoringLib.scoring.result import VesselScore
from CACScoringLib.scoring.settings import Settings
from CACScoringLib.scoring.volume import isotropic_counts, sub_slice_voxel_mm3
from CACScoringLib.scoring.voxels import N_LABELS, Voxels, reaches
from CACScoringLib.vocabulary import CORONARY_LABELS, LABEL_BY_VALUE, Label

ISOTROPIC_CONNECTIVITY = 8
"""In-plane connectivity of the isotropic volume for presets whose lesions are three-dimensional."""


@dataclass(frozen=True, eq=False)
class IslandRows:
    """Agatston islands that count.

    Attributes
    ----------
    key : ndarray of int64, shape (n,)
        Flat index of each island's first voxel on the slices that were scored.
    label : ndarray of uint8, shape (n,)
    z : ndarray of int64, shape (n,)
        Slice, of those that were scored.
    pixels : ndarray of int64, shape (n,)
    weight : ndarray of int64, shape (n,)
        1 to 4.
    """

    key: np.ndarray
    label: np.ndarray
    z: np.ndarray
    pixels: np.ndarray
    weight: np.ndarray

    @property
    def weighted(self) -> np.ndarray:
        """Return pixels x weight of each island, whole numbers: a score is their sum times area and scale."""
        return self.pixels * self.weight

    def select(self, keep: np.ndarray) -> IslandRows:
        """Return the islands where ``keep`` (bool, shape (n,)) is True."""
        return IslandRows(*(getattr(self, item.name)[keep] for item in fields(self)))

    def joined(self, other: IslandRows) -> IslandRows:
        """Return these islands and others."""
        pairs = ((getattr(self, item.name), getattr(other, item.name)) for item in fields(self))
        return IslandRows(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True, eq=False)
class Measured:
    """What counts, before it is summed by vessel: whole numbers, so that parts add up in any order.

    Attributes
    ----------
    islands : IslandRows
    lesions : LesionRows
    isotropic : ndarray of int64, shape (256,), or None
        Sub-slice voxels of each label value, where the isotropic volume is wanted.
    """

    islands: IslandRows
    lesions: LesionRows
    isotropic: np.ndarray | None

    def joined(self, other: Measured) -> Measured:
        """Return what was measured in two sets of voxels that do not touch within a label."""
        isotropic = None if self.isotropic is None else self.isotropic + other.isotropic
        return Measured(self.islands.joined(other.islands), self.lesions.joined(other.lesions), isotropic)


def measure(voxels: Voxels, settings: Settings) -> Measured:
    """Find the islands and lesions that count.

    Everything found belongs to one 26-connected component of a label: whole components can be measured one by one.

    Parameters
    ----------
    voxels : Voxels
        Labelled voxels of the slices to score, in their order, that reach the lower of the two thresholds.
    settings : Settings
    """
    rules, minima = settings.rules, settings.minima
    dense = dense_voxels(voxels, settings)
    scored, islands = counted_islands(dense, rules.connectivity, *minima)
    counted = scored
    if settings.mass_threshold_hu != settings.thresholds.calcium:
        reached = voxels.select(reaches(voxels.hu, settings.mass_threshold_hu, strict=rules.strict))
        counted, _ = counted_islands(reached, rules.connectivity, *minima)
    weight = weights(islands.max_hu, settings.thresholds.hu)
    first = islands.first_voxel
    rows = IslandRows(
        key=scored.flat_index(settings.ct.shape)[first],
        label=scored.label[first],
        z=scored.z[first],
        pixels=islands.pixels,
        weight=weight,
    )
    lesions = find_lesions(counted, scored, weight[islands.of_voxel], settings)
    return Measured(rows, lesions, measure_isotropic(dense, settings))


def measure_isotropic(dense: Voxels, settings: Settings) -> np.ndarray | None:
    """Return the sub-slice voxels of each label value (shape (256,)), or None where nobody asks for them."""
    if not settings.isotropic:
        return None
    rules = settings.rules
    connectivity = rules.connectivity if rules.in_plane else ISOTROPIC_CONNECTIVITY
    threshold = settings.thresholds.calcium
    return isotropic_counts(dense, settings.stack, threshold, connectivity, settings.minima[0], strict=rules.strict)


def dense_voxels(voxels: Voxels, settings: Settings) -> Voxels:
    """Return the voxels that reach the Agatston threshold."""
    return voxels.select(reaches(voxels.hu, settings.thresholds.calcium, strict=settings.rules.strict))


def vessel_scores(measured: Measured, settings: Settings, labels: Iterable[Label]) -> dict[str, VesselScore]:
    """Return the scores of each label, by name."""
    return {label.name: _score_of(measured, settings, (label,)) for label in labels}


def total_score(vessels: dict[str, VesselScore], measured: Measured, settings: Settings) -> VesselScore:
    """Return the scores of the coronary arteries together: sums of the vessels, and HU and density over all voxels."""
    together = _score_of(measured, settings, CORONARY_LABELS)
    sums = {
        name: sum(getattr(vessel, name) for vessel in vessels.values())
        for name in ("agatston", "volume_mm3", "mass_mg")
    }
    if measured.isotropic is not None:
        sums["volume_isotropic_mm3"] = sum(vessel.volume_isotropic_mm3 for vessel in vessels.values())
    return replace(together, **sums)


def diffusivity(vessels: dict[str, VesselScore]) -> float | None:
    """Return 1 - (score of the most affected vessel / total): 0 for one vessel, 0.75 for four alike."""
    scores = [vessel.agatston for vessel in vessels.values()]
    return 1 - max(scores) / sum(scores) if sum(scores) > 0 else None


def extent_z_mm(measured: Measured, settings: Settings) -> float:
    """Return the length along z from the lowest to the highest slice with coronary calcium, both included."""
    coronary = _is_one_of(measured.lesions.label, CORONARY_LABELS)
    if not coronary.any():
        return 0.0
    slices = measured.lesions.high[coronary].max() - measured.lesions.low[coronary].min() + 1
    return float(slices * settings.stack.spacing_mm[0])


def by_slice(measured: Measured, settings: Settings) -> dict[int, dict[str, float]]:
    """Return the Agatston score of each label in each acquired slice (of averaged slices: the nearest) that has any."""
    islands = measured.islands
    z = settings.stack.acquired_z(islands.z)
    nearest = np.clip(np.floor(np.asarray(z) + 0.5), 0, settings.ct.shape[0] - 1).astype(np.int64)
    weighted = np.bincount(nearest * N_LABELS + islands.label, weights=islands.weighted)
    unit = settings.agatston_of_weighted
    slices: dict[int, dict[str, float]] = {}
    for place in np.flatnonzero(weighted).tolist():
        name = LABEL_BY_VALUE[place % N_LABELS].name
        slices.setdefault(place // N_LABELS, {})[name] = float(weighted[place] * unit)
    return slices


def _score_of(measured: Measured, settings: Settings, labels: tuple[Label, ...]) -> VesselScore:
    """Return the scores of some labels together."""
    islands = measured.islands.select(_is_one_of(measured.islands.label, labels))
    lesions, mine = measured.lesions, _is_one_of(measured.lesions.label, labels)
    voxels, hu_sum = int(lesions.voxels[mine].sum()), int(lesions.hu_sum[mine].sum())
    voxel_volume = settings.stack.voxel_volume_mm3
    values = [int(label.value) for label in labels]
    isotropic = None
    if measured.isotropic is not None:
        isotropic = float((measured.isotropic[values] * sub_slice_voxel_mm3(settings.stack)).sum())
    pixels = int(islands.pixels.sum())
    return VesselScore(
        agatston=agatston_score(islands.pixels, islands.weight, settings.stack.pixel_area_mm2, settings.scale),
        volume_mm3=isotropic if settings.rules.volume_rule == "isotropic" else voxels * voxel_volume,
        mass_mg=float(settings.calibration.factor * hu_sum * voxel_volume),
        lesions=int(mine.sum()),
        voxels=voxels,
        max_hu=int(lesions.max_hu[mine].max()) if voxels else None,
        mean_hu=hu_sum / voxels if voxels else None,
        density=int(islands.weighted.sum()) / pixels if pixels else None,
        volume_isotropic_mm3=isotropic,
    )


def _is_one_of(values: np.ndarray, labels: tuple[Label, ...]) -> np.ndarray:
    """Return where a label value is one of some labels."""
    table = np.zeros(N_LABELS, dtype=bool)
    table[[int(label.value) for label in labels]] = True
    return table[values]
