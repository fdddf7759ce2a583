"""The lesion table: connected components of each vessel's counted voxels, with their own scores."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.scoring.islands import components
from CACScoringLib.scoring.stack import Stack
from CACScoringLib.scoring.voxels import Voxels
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
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def find_lesions(
    counted: Voxels,
    connectivity: int,
    scored: Voxels,
    weight: np.ndarray,
    agatston_of_weighted: float,
    stack: Stack,
    ct: CTVolume,
    mass_factor: float,
) -> tuple[Lesion, ...]:
    """Return the lesions of all vessels.

    Parameters
    ----------
    counted : Voxels
        Voxels that count for volume and mass.
    connectivity : int
        6 or 26.
    scored : Voxels
        Voxels of the Agatston islands, all of them among ``counted``.
    weight : ndarray of int, shape (n,)
        Weight of each voxel of ``scored``: that of its island.
    agatston_of_weighted : float
        Agatston score of one weighted pixel: its area times the slice scale.
    stack : Stack
    ct : CTVolume
        For the patient coordinates.
    mass_factor : float
        mg / (mm3 HU).
    """
    component, count = components(counted, connectivity)
    if count == 0:
        return ()
    index = np.arange(len(counted))
    first, last = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    first[component[::-1]], last[component] = index[::-1], index
    by_brightness = np.lexsort((-counted.hu, component))
    peak = by_brightness[np.r_[True, np.diff(component[by_brightness]) > 0]]
    voxels = np.bincount(component)
    hu_sum = np.bincount(component, weights=counted.hu)
    centroid = np.stack([np.bincount(component, weights=axis) for axis in (counted.z, counted.y, counted.x)], axis=1)
    centroid /= voxels[:, None]
    centroid[:, 0] = stack.acquired_z(centroid[:, 0])
    peak_z = np.clip(np.floor(np.asarray(stack.acquired_z(counted.z[peak])) + 0.5), 0, ct.shape[0] - 1).astype(int)
    position = patient_positions(ct, centroid)
    scores = np.bincount(component[_where(scored, counted)], weights=weight, minlength=count) * agatston_of_weighted
    table_order = {int(label.value): place for place, label in enumerate(LABELS)}
    order = sorted(range(count), key=lambda i: (table_order[int(counted.label[first[i]])], first[i]))
    return tuple(
        Lesion(
            id=number,
            vessel=LABEL_BY_VALUE[int(counted.label[first[i]])].name,
            centroid_voxel=tuple(centroid[i].tolist()),
            centroid_lps_mm=tuple(position[i].tolist()),
            peak_voxel=(int(peak_z[i]), int(counted.y[peak[i]]), int(counted.x[peak[i]])),
            slices=stack.acquired_range(int(counted.z[first[i]]), int(counted.z[last[i]])),
            agatston=float(scores[i]),
            volume_mm3=float(voxels[i] * stack.voxel_volume_mm3),
            mass_mg=float(mass_factor * hu_sum[i] * stack.voxel_volume_mm3),
            max_hu=int(counted.hu[peak[i]]),
            mean_hu=float(hu_sum[i] / voxels[i]),
            voxels=int(voxels[i]),
        )
        for number, i in enumerate(order, start=1)
    )


def patient_positions(ct: CTVolume, voxels: np.ndarray) -> np.ndarray:
    """Return LPS positions (n, 3) = (x, y, z) in mm of voxels (n, 3) = (z, y, x)."""
    steps = (voxels * ct.spacing_mm)[:, ::-1]
    return np.asarray(ct.origin_mm) + steps @ np.asarray(ct.direction).reshape(3, 3).T


def _where(some: Voxels, among: Voxels) -> np.ndarray:
    """Return the position in ``among`` of the voxels ``some``, which are all in it."""
    if some is among:
        return np.arange(len(some))
    row = int(among.x.max()) + 1
    plane = row * (int(among.y.max()) + 1)
    return np.searchsorted(among.z * plane + among.y * row + among.x, some.z * plane + some.y * row + some.x)
