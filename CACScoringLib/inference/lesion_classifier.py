"""A second look at whole lesions: boosted trees over their features, kept as plain arrays.

The network sees 2 x 1.25 x 1.25 mm and 128 mm of the chest; whether a lesion is calcium of a coronary artery also hangs
on its form as a whole and on the rest of the scan. Gradient boosting after Friedman 2001 (doi 10.1214/aos/1013203451),
fitted by scikit-learn (``training/lesion_training.py``); to ask the trees, numpy is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from scipy.special import expit, logit

from CACScoringLib.inference.candidates import Candidates
from CACScoringLib.inference.lesion_features import FEATURES

DEEPEST = 64
"""Trees that are deeper are damaged: their branches go in circles."""
MOST_SURE = 1e-6
HALVINGS = 30


@dataclass(frozen=True, eq=False)
class LesionClassifier:
    """Boosted trees: from features of islands to the probability that they are coronary.

    Attributes
    ----------
    feature : ndarray of int64, shape (nodes,)
        Column that a node asks about; -1 in a leaf.
    threshold : ndarray of float64, shape (nodes,)
        Values up to it go left.
    left, right : ndarray of int64, shape (nodes,)
        Nodes that follow.
    value : ndarray of float64, shape (nodes,)
        What a leaf adds to the log-odds.
    root : ndarray of int64, shape (trees,)
    start : ndarray of float64, shape (1,)
        Log-odds before any tree.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    root: np.ndarray
    start: np.ndarray

    def __post_init__(self):
        nodes = len(self.feature)
        inner = self.feature >= 0
        sound = (
            all(getattr(self, f.name).ndim == 1 for f in fields(self))
            and all(len(array) == nodes for array in (self.threshold, self.left, self.right, self.value))
            and self.start.shape == (1,)
            and len(self.root) > 0
            and bool(np.all(self.feature < len(FEATURES)))
            and all(bool(np.all((a >= 0) & (a < nodes))) for a in (self.left[inner], self.right[inner], self.root))
            and all(bool(np.all(np.isfinite(a))) for a in (self.threshold[inner], self.value, self.start))
        )
        if not sound:
            raise ValueError("the trees of the lesion classifier are damaged")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> LesionClassifier:
        """Build it from arrays by name.

        Raises
        ------
        ValueError
            If one is missing, or they do not make trees.
        """
        missing = [f.name for f in fields(cls) if f.name not in arrays]
        if missing:
            raise ValueError(f"the lesion classifier has no {', '.join(missing)}")
        kinds = {"threshold": np.float64, "value": np.float64, "start": np.float64}
        return cls(**{f.name: np.asarray(arrays[f.name]).astype(kinds.get(f.name, np.int64)) for f in fields(cls)})

    def as_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, as ``from_arrays`` takes them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def probability(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each island of being coronary; float64 (k,).

        Parameters
        ----------
        features : ndarray of float32, shape (k, len(FEATURES))

        Raises
        ------
        ValueError
            If the trees go in circles.
        """
        node = np.tile(self.root, (len(features), 1))
        row = np.arange(len(features))[:, None]
        for _ in range(DEEPEST):
            asked = self.feature[node]
            if np.all(asked < 0):
                return expit(self.start[0] + self.value[node].sum(axis=1))
            lower = features[row, np.maximum(asked, 0)] <= self.threshold[node]
            node = np.where(asked < 0, node, np.where(lower, self.left[node], self.right[node]))
        raise ValueError("the trees of the lesion classifier are damaged: they have no end")


def second_look(
    candidates: Candidates,
    calcium: np.ndarray,
    islands: np.ndarray,
    features: np.ndarray,
    classifier: LesionClassifier | None,
) -> np.ndarray:
    """Return the probabilities (n, 5) after the lesion classifier, where there is one, looked at the islands."""
    if classifier is None or not len(islands):
        return calcium
    return with_island_probability(candidates, calcium, islands, classifier.probability(features))


def with_island_probability(
    candidates: Candidates, calcium: np.ndarray, islands: np.ndarray, probability: np.ndarray
) -> np.ndarray:
    """Return the voxels' probabilities so that islands are coronary with another probability in the mean.

    The odds of all voxels of an island change by one factor: what tells its parts apart stays, and so does what tells
    the vessels apart.

    Parameters
    ----------
    candidates : Candidates
    calcium : ndarray of float32, shape (n, 5)
        Probabilities of background, LM, LAD, LCX, RCA.
    islands : ndarray of int, shape (k,)
    probability : ndarray of float64, shape (k,)

    Returns
    -------
    ndarray of float32, shape (n, 5)
    """
    wanted = np.full(candidates.count, np.nan)
    wanted[islands] = np.clip(probability, MOST_SURE, 1.0 - MOST_SURE)
    mine = np.flatnonzero(np.isfinite(wanted[candidates.lesion]))
    if not len(mine):
        return calcium
    lesion = candidates.lesion[mine]
    odds = logit(np.clip(1.0 - calcium[mine, 0].astype(np.float64), MOST_SURE, 1.0 - MOST_SURE))
    count = np.maximum(np.bincount(lesion, minlength=candidates.count), 1)
    low, high = np.full(candidates.count, -40.0), np.full(candidates.count, 40.0)
    for _ in range(HALVINGS):
        shift = 0.5 * (low + high)
        mean = np.bincount(lesion, weights=expit(odds + shift[lesion]), minlength=candidates.count) / count
        less = mean < wanted
        low, high = np.where(less, shift, low), np.where(less, high, shift)
    coronary = expit(odds + shift[lesion])
    vessels = calcium[mine, 1:] / np.maximum(calcium[mine, 1:].sum(axis=1, keepdims=True), 1e-12)
    out = calcium.copy()
    out[mine, 0] = 1.0 - coronary
    out[mine, 1:] = coronary[:, None] * vessels
    return out
