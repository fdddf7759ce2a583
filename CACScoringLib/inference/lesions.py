"""Whole-lesion decisions: a lesion gets one label, and is split only where vessels meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from scipy import ndimage

from CACScoringLib.inference.candidates import Candidates
from CACScoringLib.vocabulary import NonCoronary, is_vessel

SPECK_MM3 = 8.0
"""Islands below this volume are specks: most of them are noise."""
LARGE_MM3 = 60.0
"""Islands from this volume on are hardly ever noise: they go by what is more probable."""
MORE_PROBABLE = 0.5
LEAVES_BELOW = 0.2
"""A part leaves a coronary lesion only below this probability: beside the aorta and in noise the network wavers over
parts of lesions that it is sure of."""
JOINS_MM3 = LARGE_MM3
"""A part joins the coronaries out of a lesion that is not coronary from this volume on: smaller ones are as often wall
of the aortic root, or noise, as calcium."""
SPECKS_OF_A_QUIET_SCAN = 300
"""Beyond this number of specks, the odds that a speck needs grow in proportion to it: most must be noise."""
SPLIT_SHARE = 0.05
"""A lesion is split when another label holds at least this share of it ..."""
SPLIT_MM3 = 8.0
"""... and at least this volume."""
NON_CORONARY_LABELS = (0, *(int(v) for v in NonCoronary))


@dataclass(frozen=True)
class DecisionSettings:
    """What a lesion needs; chosen for each set of weights on validation patients (``training/calibration.py``).

    Training shows the network far more calcium, and far more left main, than scans hold; these settings set
    the odds right again.

    Attributes
    ----------
    coronary_probability : float
        A lesion is coronary from this probability on; one of ``LARGE_MM3`` and more from one half.
    speck_probability : float
        The same for islands below ``SPECK_MM3`` in a scan without much noise.
    left_main_odds : float
        Factor on the odds of LM against what is no vessel, such as the wall of the aortic root.
    left_main_vessel_odds : float
        Factor on the odds of LM against the other vessels.
    large_mm3 : float
        Islands from this volume on go by what is more probable.
    quiet_specks : float
        Beyond this number of specks in a scan, a speck needs more.
    split_share : float
        A lesion is split when another label holds at least this share of it; above 1 never.
    split_mm3 : float
        ... and at least this volume; smaller parts go with the rest.
    leaves_below : float
        A part of a coronary lesion goes to no vessel only below this probability of being coronary.
    joins_mm3 : float
        A part of a lesion that is not coronary goes to a vessel only from this volume on.
    """

    coronary_probability: float = 0.5
    speck_probability: float = 0.5
    left_main_odds: float = 1.0
    left_main_vessel_odds: float = 1.0
    large_mm3: float = LARGE_MM3
    quiet_specks: float = SPECKS_OF_A_QUIET_SCAN
    split_share: float = SPLIT_SHARE
    split_mm3: float = SPLIT_MM3
    leaves_below: float = LEAVES_BELOW
    joins_mm3: float = JOINS_MM3

    @classmethod
    def from_bundle(cls, settings: Mapping[str, object]) -> DecisionSettings:
        """Read them from a model bundle's settings; what is not there keeps its default."""
        return cls(**{f.name: float(settings[f.name]) for f in fields(cls) if f.name in settings})

    @classmethod
    def of_network(cls, settings: Mapping[str, object]) -> DecisionSettings:
        """Read those that were chosen for the network alone, where a bundle also has a lesion classifier."""
        return cls.from_bundle(settings.get("network_decision", settings))


DEFAULT_DECISION = DecisionSettings()


@dataclass(frozen=True, eq=False)
class LesionDecision:
    """What was decided about the candidates.

    Attributes
    ----------
    label : ndarray of uint8, shape (n,)
        Label of every candidate voxel (0: nothing).
    lesion_label : ndarray of uint8, shape (count,)
        Prevailing label of each candidate island.
    probability : ndarray of float32, shape (count,)
        Mean probability of that label over the island.
    """

    label: np.ndarray
    lesion_label: np.ndarray
    probability: np.ndarray


def decide(
    candidates: Candidates,
    calcium: np.ndarray,
    non_coronary: np.ndarray,
    voxel_mm3: float,
    settings: DecisionSettings = DEFAULT_DECISION,
) -> LesionDecision:
    """Decide about every candidate island.

    Parameters
    ----------
    candidates : Candidates
    calcium : ndarray of float32, shape (n, 5)
        Probabilities of background, LM, LAD, LCX, RCA at every candidate voxel.
    non_coronary : ndarray of float32, shape (n, 5)
        Probabilities of none, aorta, aortic valve, mitral valve, other.
    voxel_mm3 : float
    settings : DecisionSettings
    """
    mean = island_means(calcium, candidates)
    other = island_means(non_coronary, candidates)
    needed = needed_probability(candidates.size_mm3, settings)
    lesion_label = _label_of(mean, other, needed, settings)
    label = lesion_label[candidates.lesion]
    # To join the coronaries out of a lesion that is not coronary, a part needs as much as that lesion does.
    part_needs = np.where(is_vessel(label), settings.leaves_below, needed[candidates.lesion])
    voxel_label = _label_of(calcium, non_coronary, part_needs, settings)
    for number in _mixed_islands(candidates, label, voxel_label, voxel_mm3, settings):
        members = np.flatnonzero(candidates.lesion == number)
        smallest = max(settings.split_mm3, settings.split_share * len(members) * voxel_mm3)
        index, wanted = candidates.index[members], voxel_label[members]
        joins = smallest if is_vessel(lesion_label[number]) else max(smallest, settings.joins_mm3)
        label[members] = _split(index, wanted, lesion_label[number], voxel_mm3, smallest, joins)
    return LesionDecision(label, lesion_label, _probability(mean, other, lesion_label))


def needed_probability(size_mm3: np.ndarray, settings: DecisionSettings) -> np.ndarray:
    """Return the probability from which each island is coronary; float64 (count,).

    Parameters
    ----------
    size_mm3 : ndarray, shape (count,)
    settings : DecisionSettings
    """
    specks = size_mm3 < SPECK_MM3
    odds = settings.speck_probability / (1.0 - settings.speck_probability)
    odds *= max(np.count_nonzero(specks) / settings.quiet_specks, 1.0)
    lesions = np.where(size_mm3 >= settings.large_mm3, MORE_PROBABLE, settings.coronary_probability)
    return np.where(specks, odds / (1.0 + odds), lesions)


def island_means(values: np.ndarray, candidates: Candidates) -> np.ndarray:
    """Average per-voxel probabilities over each island: (count, classes)."""
    sizes = np.maximum(np.bincount(candidates.lesion, minlength=candidates.count), 1)
    return (island_sums(values, candidates) / sizes[:, None]).astype(np.float32)


def island_sums(values: np.ndarray, candidates: Candidates) -> np.ndarray:
    """Add per-voxel values (n, classes) over each island: float64 (count, classes)."""
    columns = [np.bincount(candidates.lesion, weights=column, minlength=candidates.count) for column in values.T]
    return np.stack(columns, axis=1)


def _label_of(
    calcium: np.ndarray, non_coronary: np.ndarray, needed: np.ndarray | float, settings: DecisionSettings
) -> np.ndarray:
    """Turn the probabilities of rows into labels."""
    against_vessels = _with_left_main_odds(calcium, settings.left_main_vessel_odds)
    vessel = against_vessels[:, 1:].argmax(axis=1) + 1
    calcium = _with_left_main_odds(calcium, settings.left_main_odds)
    coronary = 1.0 - calcium[:, 0] >= needed
    other = np.asarray(NON_CORONARY_LABELS, np.uint8)[non_coronary.argmax(axis=1)]
    return np.where(coronary, vessel, other).astype(np.uint8)


def _with_left_main_odds(calcium: np.ndarray, odds: float) -> np.ndarray:
    """Scale the odds of LM in rows that add up to 1."""
    rows = calcium * np.array([1.0, odds, 1.0, 1.0, 1.0], np.float32)
    return rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-6)


def _probability(mean: np.ndarray, other: np.ndarray, lesion_label: np.ndarray) -> np.ndarray:
    """Return the mean probability of each island's label."""
    rows = np.arange(len(lesion_label))
    vessel = mean[rows, np.minimum(lesion_label, 4)]
    column = np.searchsorted(NON_CORONARY_LABELS, lesion_label)
    return np.where(lesion_label <= 4, vessel, other[rows, np.minimum(column, 4)]).astype(np.float32)


def voxelwise(calcium: np.ndarray, non_coronary: np.ndarray, settings: DecisionSettings) -> np.ndarray:
    """Return what each candidate voxel would be by itself: what whole lesions are compared with; uint8 (n,)."""
    return _label_of(calcium, non_coronary, settings.coronary_probability, settings)


def _mixed_islands(
    candidates: Candidates, label: np.ndarray, voxel_label: np.ndarray, voxel_mm3: float, settings: DecisionSettings
) -> np.ndarray:
    """Return the islands of which a large enough part prefers another label."""
    differs = np.bincount(candidates.lesion, weights=label != voxel_label, minlength=candidates.count)
    sizes = np.maximum(np.bincount(candidates.lesion, minlength=candidates.count), 1)
    return np.flatnonzero((differs / sizes >= settings.split_share) & (differs * voxel_mm3 >= settings.split_mm3))


def _split(
    index: np.ndarray, voxel_label: np.ndarray, prevailing: int, voxel_mm3: float, smallest: float, joins: float
) -> np.ndarray:
    """Split one island by its voxels' own labels.

    Parts below ``smallest`` (mm3), or of a coronary artery below ``joins``, get the prevailing one.
    """
    low = index.min(axis=0)
    box = np.zeros(index.max(axis=0) - low + 1, np.uint8)
    place = tuple((index - low).T)
    out = np.full(len(index), prevailing, np.uint8)
    for value in np.unique(voxel_label):
        box[:] = 0
        box[place] = voxel_label == value
        parts, _ = ndimage.label(box, structure=np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel()) * voxel_mm3
        sizes[0] = 0
        out[(sizes >= (joins if is_vessel(value) else smallest))[parts[place]]] = value
    return out
