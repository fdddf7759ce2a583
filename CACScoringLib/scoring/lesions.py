"""The lesion table: connected components of each vessel's counted voxels, with their own scores."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.scoring.islands import components
from CACScoringLib.scoring.settings import Settings
from CACScoringLib.scoring.voxels import N_LABELS, Voxels
from CACScoringLib.vocabulary import LABEL_BY_VALUE, LABELS


@dataclass(frozen=True)
class Lesion:
    """One calcified lesion of one vessel.

    Attributes
    ----------
    id : int
        1, 2, ... by vessel, then from caudal to cranial.
    vessel : str
        Name of the label.
    centroid_voxel : tuple of float
        (z, y, x) in voxels of the CT.
    centroid_lps_mm : tuple of float
        Patient coordinates (x, y, z) of the centroid.
    peak_voxel : tuple of int
        (z, y, x) of the brightest voxel (of averaged slices: of the acquired slice nearest to it).
    slices : tuple of int
        First and last acquired slice.
    agatston, volume_mm3, mass_mg : float
    max_hu, mean_hu : float
    voxels : int
    confidence : float or None
        Probability of the label, where a method gave one.
    """

    id: int
    vessel: str
    centroid_voxel: tuple[float, float, float]
    centroid_lps_mm: tuple[float, float, float]
    peak_voxel: tuple[int, int, int]
    slices: tuple[int, int]
    agatston: float
    volume_mm3: float
    mass_mg: float
    max_hu: int
    mean_hu: float
    voxels: int
    confidence: float | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the lesion as ``scores.json`` writes it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}


@dataclass(frozen=True, eq=False)
class LesionRows:
    """Lesions in no order and without numbers, with the whole numbers that their vessel's scores are made of.

    Attributes
    ----------
    items : tuple of Lesion
        With 0 for a number.
    key : ndarray of int64, shape (n,)
        Flat index of each lesion's first voxel on the slices that were scored.
    label : ndarray of uint8, shape (n,)
    voxels, hu_sum, max_hu : ndarray of int64, shape (n,)
    low, high : ndarray of int64, shape (n,)
        First and last of the slices that were scored.
    """

    items: tuple[Lesion, ...]
    key: np.ndarray
    label: np.ndarray
    voxels: np.ndarray
    hu_sum: np.ndarray
    max_hu: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __len__(self) -> int:
        return len(self.items)

    def select(self, keep: np.ndarray) -> LesionRows:
        """Return the lesions where ``keep`` (bool, shape (n,)) is True."""
        arrays = (getattr(self, name)[keep] for name in _ARRAYS)
        return LesionRows(tuple(self.items[i] for i in np.flatnonzero(keep)), *arrays)

    def joined(self, other: LesionRows) -> LesionRows:
        """Return these lesions and others."""
        arrays = (np.concatenate([getattr(self, name), getattr(other, name)]) for name in _ARRAYS)
        return LesionRows(self.items + other.items, *arrays)


_ARRAYS = tuple(item.name for item in fields(LesionRows) if item.name != "items")


def find_lesions(counted: Voxels, scored: Voxels, weight: np.ndarray, settings: Settings) -> LesionRows:
    """Return the lesions of all vessels.

    Parameters
    ----------
    counted : Voxels
        Voxels that count for volume and mass.
    scored : Voxels
        Voxels of the Agatston islands, all of them among ``counted``.
    weight : ndarray of int, shape (n,)
        Weight of each voxel of ``scored``: that of its island.
    settings : Settings
    """
    component, count = components(counted, settings.rules.lesion_connectivity)
    if count == 0:
        nothing = np.zeros(0, dtype=np.int64)
        return LesionRows((), nothing, nothing.astype(np.uint8), *[nothing] * 5)
    index = np.arange(len(counted))
    first, last = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    first[component[::-1]], last[component] = index[::-1], index
    by_brightness = np.lexsort((-counted.hu, component))
    peak = by_brightness[np.r_[True, np.diff(component[by_brightness]) > 0]]
    voxels = np.bincount(component)
    hu_sum = np.bincount(component, weights=counted.hu)
    centroid = np.stack([np.bincount(component, weights=axis) for axis in (counted.z, counted.y, counted.x)], axis=1)
    centroid /= voxels[:, None]
    weighted = np.bincount(component[_where(scored, counted)], weights=weight, minlength=count)
    items = _lesions(counted, first, last, peak, voxels, hu_sum, centroid, weighted, settings)
    return LesionRows(
        items,
        counted.flat_index(settings.ct.shape)[first],
        counted.label[first],
        voxels,
        hu_sum.astype(np.int64),
        counted.hu[peak].astype(np.int64),
        counted.z[first],
        counted.z[last],
    )


def numbered_lesions(rows: LesionRows) -> tuple[Lesion, ...]:
    """Return the lesions by vessel, then from caudal to cranial, with the numbers 1, 2, ..."""
    place = np.zeros(N_LABELS, dtype=np.int64)
    place[[int(label.value) for label in LABELS]] = np.arange(len(LABELS))
    order = np.lexsort((rows.key, place[rows.label])).tolist()
    return tuple(Lesion(**{**vars(rows.items[i]), "id": number}) for number, i in enumerate(order, start=1))


def _lesions(
    counted: Voxels,
    first: np.ndarray,
    last: np.ndarray,
    peak: np.ndarray,
    voxels: np.ndarray,
    hu_sum: np.ndarray,
    centroid: np.ndarray,
    weighted: np.ndarray,
    settings: Settings,
) -> tuple[Lesion, ...]:
    """Return the lesions of these voxels: arrays of shape (n,), the centroid (n, 3) = (z, y, x) in scored slices."""
    stack, ct = settings.stack, settings.ct
    centroid[:, 0] = stack.acquired_z(centroid[:, 0])
    peak_z = np.clip(np.floor(np.asarray(stack.acquired_z(counted.z[peak])) + 0.5), 0, ct.shape[0] - 1).astype(int)
    columns = (
        [LABEL_BY_VALUE[int(value)].name for value in counted.label[first]],
        map(tuple, centroid.tolist()),
        map(tuple, patient_positions(ct, centroid).tolist()),
        zip(peak_z.tolist(), counted.y[peak].tolist(), counted.x[peak].tolist(), strict=True),
        [stack.acquired_range(*ends) for ends in zip(counted.z[first].tolist(), counted.z[last].tolist(), strict=True)],
        (weighted * settings.agatston_of_weighted).tolist(),
        (voxels * stack.voxel_volume_mm3).tolist(),
        (settings.calibration.factor * hu_sum * stack.voxel_volume_mm3).tolist(),
        counted.hu[peak].tolist(),
        (hu_sum / voxels).tolist(),
        voxels.tolist(),
    )
    return tuple(Lesion(0, *row) for row in zip(*columns, strict=True))


def patient_positions(ct: CTVolume, voxels: np.ndarray) -> np.ndarray:
    """Return LPS positions (n, 3) = (x, y, z) in mm of voxels (n, 3) = (z, y, x)."""
    x, y, z = ((voxels * ct.spacing_mm)[:, ::-1]).T
    rows = np.asarray(ct.direction).reshape(3, 3)  # summed by hand: the same to the last bit for one lesion or many
    moved = np.stack([row[0] * x + row[1] * y + row[2] * z for row in rows], axis=1)
    return np.asarray(ct.origin_mm) + moved


def _where(some: Voxels, among: Voxels) -> np.ndarray:
    """Return the position in ``among`` of the voxels ``some``, which are all in it."""
    if some is among:
        return np.arange(len(some))
    row = int(among.x.max()) + 1
    plane = row * (int(among.y.max()) + 1)
    return np.searchsorted(among.z * plane + among.y * row + among.x, some.z * plane + some.y * row + some.x)
