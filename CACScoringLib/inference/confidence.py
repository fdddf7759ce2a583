"""How sure each lesion is: the network's probability set right on patients whose truth is known.

The network was trained on far more calcium than scans hold, and a speck in a noisy scan deserves less trust than a
large lesion in a quiet one. A logistic map of a few numbers sets that right; it is fitted on validation patients for
each set of weights (``training/calibration.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
from scipy.special import expit, logit

from CACScoringLib.inference.candidates import Candidates
from CACScoringLib.inference.lesions import SPECK_MM3
from CACScoringLib.scoring.uncertainty import Spread
from CACScoringLib.vocabulary import is_vessel

SURE = 1e-6
"""Probabilities of the network are kept this far from 0 and 1 ..."""
MOST_SURE = 1e-4
"""... and those of a lesion this far from 1, and a hundredth of it from 0: specks come by the thousand."""
SMALLEST_MM3 = 0.3
SPECKS = 30.0
"""Number of specks from which a scan counts as noisy: below, ``noise`` is next to 0."""
FEATURES = ("one", "log_odds", "log_size", "noise")


@dataclass(frozen=True)
class UncertaintySettings:
    """What turns the network's probabilities into those of lesions and categories.

    Attributes
    ----------
    coefficients : tuple of float
        Of ``FEATURES``; their sum is the log-odds that a part is coronary.
    spread : Spread
    review_below : float or None
        A stated category less probable than this needs review.
    """

    coefficients: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 0.0)
    spread: Spread = field(default_factory=Spread)
    review_below: float | None = None

    @classmethod
    def from_bundle(cls, settings: Mapping[str, object]) -> UncertaintySettings | None:
        """Read them from a model bundle's settings; None where there are none, or they are another model's.

        Raises
        ------
        ValueError
            If they are damaged.
        """
        stored = settings.get("uncertainty")
        if stored is None or "tuned_from" in settings:
            return None
        try:
            coefficients = tuple(float(value) for value in stored["coefficients"])
            spread = Spread(**{name: float(stored["spread"][name]) for name in asdict(Spread())})
            below = None if stored.get("review_below") is None else float(stored["review_below"])
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"the uncertainty settings of the model are damaged ({error})") from error
        if len(coefficients) != len(FEATURES) or not all(map(math.isfinite, coefficients)):
            raise ValueError("the uncertainty settings of the model are damaged (coefficients)")
        return cls(coefficients, spread, below)

    def as_dict(self) -> dict[str, object]:
        """Return the settings as a bundle keeps them."""
        return {
            "coefficients": list(self.coefficients),
            "spread": asdict(self.spread),
            "review_below": self.review_below,
        }


@dataclass(frozen=True, eq=False)
class Parts:
    """Islands of candidates, each divided where its label says that a part is coronary and the rest is not.

    Attributes
    ----------
    of_voxel : ndarray of int64, shape (n,)
        Part of each candidate voxel.
    island : ndarray of int64, shape (count,)
        Island that each part belongs to.
    coronary : ndarray of bool, shape (count,)
        Whether it was decided to be coronary.
    probability : ndarray of float64, shape (count,)
        Mean probability of the network that the part is coronary.
    size_mm3 : ndarray of float64, shape (count,)
    specks : int
        Islands of the scan below ``SPECK_MM3``.
    """

    of_voxel: np.ndarray
    island: np.ndarray
    coronary: np.ndarray
    probability: np.ndarray
    size_mm3: np.ndarray
    specks: int

    @property
    def count(self) -> int:
        """Return the number of parts."""
        return len(self.island)


def divide(candidates: Candidates, calcium: np.ndarray, label: np.ndarray, voxel_mm3: float) -> Parts:
    """Divide the candidates into the parts that are sure or unsure as one.

    Parameters
    ----------
    candidates : Candidates
    calcium : ndarray of float32, shape (n, 5)
        Probabilities of background, LM, LAD, LCX, RCA.
    label : ndarray of uint8, shape (n,)
        As decided (``inference/lesions.py``).
    voxel_mm3 : float
    """
    coronary = is_vessel(label)
    kinds, of_voxel = np.unique(candidates.lesion.astype(np.int64) * 2 + coronary, return_inverse=True)
    voxels = np.bincount(of_voxel, minlength=len(kinds))
    mean = np.bincount(of_voxel, weights=1.0 - calcium[:, 0], minlength=len(kinds)) / np.maximum(voxels, 1)
    specks = int(np.count_nonzero(candidates.size_mm3 < SPECK_MM3))
    return Parts(of_voxel, kinds // 2, kinds % 2 == 1, mean, voxels * voxel_mm3, specks)


def features(parts: Parts) -> np.ndarray:
    """Return what the confidence of each part rests on: float64 (count, len(FEATURES))."""
    odds = logit(np.clip(parts.probability, SURE, 1.0 - SURE))
    size = np.log(np.maximum(parts.size_mm3, SMALLEST_MM3) / SPECK_MM3)
    noise = np.full(parts.count, math.log10(1.0 + parts.specks / SPECKS))
    return np.stack([np.ones(parts.count), odds, size, noise], axis=1)


def confidence(rows: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """Return the calibrated probability that each part is coronary, from its features."""
    return np.clip(expit(rows @ np.asarray(coefficients)), MOST_SURE * 0.01, 1.0 - MOST_SURE)
