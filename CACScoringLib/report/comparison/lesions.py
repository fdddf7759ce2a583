"""Lesion by lesion: where methods that label voxels mark different calcium, or put it into different vessels.

A place of calcium is a 26-connected set of voxels that at least one method calls coronary and that reach the threshold.
Every lesion of every method's table lies in one place, so the differences of the places add up to that of the totals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.report.words import number
from CACScoringLib.scoring.islands import components
from CACScoringLib.scoring.lesions import Lesion, patient_positions
from CACScoringLib.scoring.result import CalciumScore
from CACScoringLib.scoring.voxels import Voxels, labelled_voxels
from CACScoringLib.vocabulary import CORONARY_LABELS, LABEL_BY_NAME, LABEL_BY_VALUE

CORONARY, VESSEL, EXTENT = "coronary", "vessel", "extent"
KINDS = {
    CORONARY: "called coronary by some only",
    VESSEL: "put into different vessels",
    EXTENT: "marked more or less far",
}
"""How methods differ about a place, in words."""
CONNECTIVITY = 26
LEAST_AGATSTON = 1e-6
"""Differences below this are those of rounding."""


@dataclass(frozen=True)
class LesionDifference:
    """A place of calcium that methods do not mark alike.

    Attributes
    ----------
    id : int
        1, 2, ... in the order of ``Comparison.lesions``.
    kind : str
        One of ``KINDS``, over all methods.
    called : dict of str to tuple of str
        By method: its vessels there, the largest score first; where it counts no coronary lesion, the label outside
        the coronary arteries that prevails there, or nothing.
    vessels : dict of str to dict of str to float
        By method: the Agatston score of each vessel there, from its lesion table.
    volume_mm3 : dict of str to float
        By method, of its coronary lesions there.
    centroid_voxel : tuple of float
        (z, y, x) in voxels of the CT, of all voxels that any method calls coronary.
    centroid_lps_mm : tuple of float
        Patient coordinates (x, y, z).
    slices : tuple of int
        First and last slice.
    voxels, max_hu : int
        Of the place.
    """

    id: int
    kind: str
    called: dict[str, tuple[str, ...]]
    vessels: dict[str, dict[str, float]]
    volume_mm3: dict[str, float]
    centroid_voxel: tuple[float, float, float]
    centroid_lps_mm: tuple[float, float, float]
    slices: tuple[int, int]
    voxels: int
    max_hu: int

    @property
    def agatston(self) -> dict[str, float]:
        """Return what the place adds to each method's total."""
        return {name: float(sum(scores.values())) for name, scores in self.vessels.items()}

    @property
    def at_stake(self) -> float:
        """Return the largest Agatston that two methods differ by here, in the total or between vessels."""
        pairs = combinations(self.vessels, 2)
        return max((max(abs(self.difference(a, b)), self.moved(a, b)) for a, b in pairs), default=0.0)

    def difference(self, first: str, second: str) -> float:
        """Return what the place adds to the difference of two totals, second minus first."""
        return self.agatston[second] - self.agatston[first]

    def moved(self, first: str, second: str) -> float:
        """Return the Agatston that both call coronary, but put into different vessels."""
        a, b = self.vessels[first], self.vessels[second]
        by_vessel = sum(abs(b.get(vessel, 0.0) - a.get(vessel, 0.0)) for vessel in {*a, *b})
        return max(0.0, (by_vessel - abs(self.difference(first, second))) / 2)

    def kind_between(self, first: str, second: str) -> str | None:
        """Return how two methods differ here; None where they do not."""
        a, b = self.vessels[first], self.vessels[second]
        if bool(a) != bool(b):
            return CORONARY
        if self.moved(first, second) > LEAST_AGATSTON:
            return VESSEL
        if set(a) != set(b) or abs(self.difference(first, second)) > LEAST_AGATSTON:
            return VESSEL if not set(a) & set(b) else EXTENT
        return None

    def as_dict(self) -> dict[str, object]:
        """Return the place as ``comparison.json`` writes it."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        called = {name: list(names) for name, names in self.called.items()}
        return {**plain, "called": called, "agatston": self.agatston, "at_stake": self.at_stake}


def lesion_words(vessels: Mapping[str, float], called: Sequence[str]) -> str:
    """Return what a method says of a place: its vessels with their scores, or what else it calls it.

    >>> lesion_words({"LAD": 16.0, "LM": 3.0}, ["LAD", "LM"]), lesion_words({}, ["aortic_valve"]), lesion_words({}, [])
    ('LAD 16.0, LM 3.0', 'aortic valve', 'nothing')
    """
    if vessels:
        return ", ".join(f"{vessel} {number(value)}" for vessel, value in vessels.items())
    return ", ".join(name.replace("_", " ") for name in called) or "nothing"


def lesion_differences(
    ct: CTVolume, labels: Mapping[str, np.ndarray], scores: Mapping[str, CalciumScore]
) -> tuple[tuple[LesionDifference, ...], int]:
    """Return the places that methods mark differently, and the number of those that they mark alike.

    Parameters
    ----------
    ct : CTVolume
    labels : mapping of str to ndarray of uint8, shape (z, y, x)
        By method.
    scores : mapping of str to CalciumScore
        Of these labels, all by the same rules.
    """
    if not labels:
        return (), 0
    voxels = _coronary_voxels(ct, labels, scores)
    place_of_voxel, count = components(voxels, CONNECTIVITY)
    found: list[dict[str, list[Lesion]]] = [{name: [] for name in labels} for _ in range(count)]
    coronary = {label.name for label in CORONARY_LABELS}
    for name, score in scores.items():
        for lesion in score.lesions:
            if lesion.vessel in coronary:
                found[place_of_voxel[_nearest(voxels, lesion.peak_voxel, ct.shape)]][name].append(lesion)
    differing, agreed = [], 0
    for place, lesions in enumerate(found):
        if not any(lesions.values()):
            continue  # too small to count, for all of them
        entry = _described(ct, labels, voxels.select(place_of_voxel == place), lesions)
        kinds = [entry.kind_between(a, b) for a, b in combinations(labels, 2)]
        kind = next((kind for kind in KINDS if kind in kinds), None)
        if kind is None:
            agreed += 1
        else:
            differing.append(replace(entry, kind=kind))
    differing.sort(key=lambda entry: (-entry.at_stake, entry.centroid_voxel))
    return tuple(replace(entry, id=number) for number, entry in enumerate(differing, start=1)), agreed


def _coronary_voxels(ct: CTVolume, labels: Mapping[str, np.ndarray], scores: Mapping[str, CalciumScore]) -> Voxels:
    """Return the voxels that at least one method calls coronary and that can count."""
    last = max(int(label.value) for label in CORONARY_LABELS)
    union = np.zeros(ct.shape, np.uint8)
    for given in labels.values():
        union |= ((given >= 1) & (given <= last)).astype(np.uint8)
    lowest = min(min(score.thresholds.calcium, score.mass_threshold_hu) for score in scores.values())
    averaged = any(score.scored_spacing_mm[0] != ct.spacing_mm[0] for score in scores.values())
    # An averaged slice can reach the threshold where one of its acquired slices does not.
    return labelled_voxels(ct.hu, union, float(np.iinfo(np.int16).min) if averaged else lowest)[0]


def _nearest(voxels: Voxels, peak: Sequence[int], shape: tuple[int, int, int]) -> int:
    """Return the number of the voxel at a lesion's peak; of averaged slices, the one nearest to it."""
    flat = voxels.flat_index(shape)
    wanted = (peak[0] * shape[1] + peak[1]) * shape[2] + peak[2]
    at = int(np.searchsorted(flat, wanted))
    if at < len(flat) and flat[at] == wanted:
        return at
    distance = (voxels.z - peak[0]) ** 2 + (voxels.y - peak[1]) ** 2 + (voxels.x - peak[2]) ** 2
    return int(distance.argmin())


def _described(
    ct: CTVolume, labels: Mapping[str, np.ndarray], place: Voxels, lesions: Mapping[str, Sequence[Lesion]]
) -> LesionDifference:
    """Return a place with what each method says of it; neither numbered nor judged yet."""
    index = np.stack([place.z, place.y, place.x], axis=1).astype(float)
    vessels: dict[str, dict[str, float]] = {}
    for name, mine in lesions.items():
        scores: dict[str, float] = {}
        for lesion in mine:
            scores[lesion.vessel] = scores.get(lesion.vessel, 0.0) + lesion.agatston
        vessels[name] = dict(sorted(scores.items(), key=lambda item: (-item[1], LABEL_BY_NAME[item[0]].value)))
    centroid = index.mean(axis=0)
    return LesionDifference(
        id=0,
        kind="",
        called={name: tuple(vessels[name]) or _elsewhere(given, place) for name, given in labels.items()},
        vessels=vessels,
        volume_mm3={name: float(sum(lesion.volume_mm3 for lesion in mine)) for name, mine in lesions.items()},
        centroid_voxel=tuple(centroid.tolist()),
        centroid_lps_mm=tuple(patient_positions(ct, centroid[None])[0].tolist()),
        slices=(int(place.z.min()), int(place.z.max())),
        voxels=len(place),
        max_hu=int(place.hu.max()),
    )


def _elsewhere(labels: np.ndarray, place: Voxels) -> tuple[str, ...]:
    """Return the label outside the coronary arteries that prevails in a place; nothing where there is none."""
    counts = np.bincount(labels[place.z, place.y, place.x], minlength=1)
    counts[0] = 0
    best = LABEL_BY_VALUE.get(int(counts.argmax())) if counts.any() else None
    return () if best is None or best.coronary else (best.name,)
