"""Whole-lesion decisions: a lesion gets one label, and is split only where vessels meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CACScoringLib.inference.candidates import Candidates
from CACScoringLib.vocabulary import NonCoronary

CORONARY_PROBABILITY = 0.5
"""A lesion is coronary from this probability on."""
SPLIT_SHARE = 0.2
"""A lesion is split when another label holds at least this share of it ..."""
SPLIT_MM3 = 8.0
"""... and at least this volume."""
NON_CORONARY_LABELS = (0, *(int(v) for v in NonCoronary))


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
    coronary_probability: float = CORONARY_PROBABILITY,
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
    coronary_probability : float
    """
    mean = _island_means(calcium, candidates)
    other = _island_means(non_coronary, candidates)
    lesion_label = _label_of(mean, other, coronary_probability)
    label = lesion_label[candidates.lesion]
    voxel_label = _label_of(calcium, non_coronary, coronary_probability)
    for number in _mixed_islands(candidates, label, voxel_label, voxel_mm3):
        members = np.flatnonzero(candidates.lesion == number)
        label[members] = _split(candidates.index[members], voxel_label[members], lesion_label[number], voxel_mm3)
    return LesionDecision(label, lesion_label, _probability(mean, other, lesion_label))


def _island_means(values: np.ndarray, candidates: Candidates) -> np.ndarray:
    """Average per-voxel probabilities over each island: (count, classes)."""
    sizes = np.maximum(np.bincount(candidates.lesion, minlength=candidates.count), 1)
    columns = [np.bincount(candidates.lesion, weights=column, minlength=candidates.count) for column in values.T]
    return (np.stack(columns, axis=1) / sizes[:, None]).astype(np.float32)


def _label_of(calcium: np.ndarray, non_coronary: np.ndarray, coronary_probability: float) -> np.ndarray:
    """Turn the probabilities of rows into labels."""
    vessel = calcium[:, 1:].argmax(axis=1) + 1
    coronary = 1.0 - calcium[:, 0] >= coronary_probability
    other = np.asarray(NON_CORONARY_LABELS, np.uint8)[non_coronary.argmax(axis=1)]
    return np.where(coronary, vessel, other).astype(np.uint8)


def _probability(mean: np.ndarray, other: np.ndarray, lesion_label: np.ndarray) -> np.ndarray:
    """Return the mean probability of each island's label."""
    rows = np.arange(len(lesion_label))
    vessel = mean[rows, np.minimum(lesion_label, 4)]
    column = np.searchsorted(NON_CORONARY_LABELS, lesion_label)
    return np.where(lesion_label <= 4, vessel, other[rows, np.minimum(column, 4)]).astype(np.float32)


def _mixed_islands(candidates: Candidates, label: np.ndarray, voxel_label: np.ndarray, voxel_mm3: float) -> np.ndarray:
    """Return the islands of which a large enough part prefers another label."""
    differs = np.bincount(candidates.lesion, weights=label != voxel_label, minlength=candidates.count)
    sizes = np.maximum(np.bincount(candidates.lesion, minlength=candidates.count), 1)
    return np.flatnonzero((differs / sizes >= SPLIT_SHARE) & (differs * voxel_mm3 >= SPLIT_MM3))


def _split(index: np.ndarray, voxel_label: np.ndarray, prevailing: int, voxel_mm3: float) -> np.ndarray:
    """Split one island by its voxels' own labels; parts that are too small join the prevailing one."""
    low = index.min(axis=0)
    box = np.zeros(index.max(axis=0) - low + 1, np.uint8)
    place = tuple((index - low).T)
    out = np.full(len(index), prevailing, np.uint8)
    smallest = max(SPLIT_MM3, SPLIT_SHARE * len(index) * voxel_mm3)
    for value in np.unique(voxel_label):
        box[:] = 0
        box[place] = voxel_label == value
        parts, _ = ndimage.label(box, structure=np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel()) * voxel_mm3
        sizes[0] = 0
        out[(sizes >= smallest)[parts[place]]] = value
    return out
