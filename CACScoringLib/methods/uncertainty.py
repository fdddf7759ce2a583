"""How sure a prediction is of its lesions and of its risk category."""

from __future__ import annotations

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.candidates import Candidates
from CACScoringLib.inference.confidence import Parts, UncertaintySettings, confidence, divide, features
from CACScoringLib.inference.lesions import LesionDecision, island_sums
from CACScoringLib.scoring.parts import part_agatston
from CACScoringLib.scoring.uncertainty import ScoreUncertainty, score_uncertainty
from CACScoringLib.vocabulary import is_vessel


def scan_uncertainty(
    ct: CTVolume, candidates: Candidates, calcium: np.ndarray, decision: LesionDecision, settings: UncertaintySettings
) -> tuple[ScoreUncertainty, np.ndarray]:
    """Return how sure the score of a scan is, and how sure each island's label is.

    The total is that of the default preset on the acquired slices.

    Parameters
    ----------
    ct : CTVolume
    candidates : Candidates
    calcium : ndarray of float32, shape (n, 5)
    decision : LesionDecision
    settings : UncertaintySettings

    Returns
    -------
    uncertainty : ScoreUncertainty
    island_confidence : ndarray of float32, shape (candidates.count,)
    """
    parts = divide(candidates, calcium, decision.label, ct.voxel_volume_mm3)
    probability = confidence(features(parts), settings.coefficients)
    agatston = agatston_of_parts(ct, candidates, parts)
    stated = float(agatston[parts.coronary].sum())
    uncertainty = score_uncertainty(
        agatston, probability, settings.spread, stated=stated, review_below=settings.review_below
    )
    return uncertainty, island_confidence(parts, probability, calcium, candidates, decision)


def agatston_of_parts(ct: CTVolume, candidates: Candidates, parts: Parts) -> np.ndarray:
    """Return what each part adds to the total if it is coronary: float64 (parts.count,)."""
    group = 1 + parts.coronary[parts.of_voxel].astype(np.uint8)
    return part_agatston(ct, candidates.index, candidates.hu, parts.of_voxel, parts.count, group=group)


def island_confidence(
    parts: Parts, probability: np.ndarray, calcium: np.ndarray, candidates: Candidates, decision: LesionDecision
) -> np.ndarray:
    """Return the probability of each island's label.

    Of a coronary one: that it is coronary, times the share of its vessel among the vessels. Of any other: that it is
    not coronary, times the network's probability of its label among those.
    """
    coronary = is_vessel(decision.lesion_label)
    chosen = coronary[parts.island] == parts.coronary
    sure = np.where(coronary, 0.0, 1.0)
    sure[parts.island[chosen]] = probability[chosen]
    sums = island_sums(calcium, candidates)
    vessel = sums[np.arange(candidates.count), np.where(coronary, decision.lesion_label, 1)]
    share = vessel / np.maximum(sums[:, 1:].sum(axis=1), 1e-6)
    return np.where(coronary, sure * share, (1.0 - sure) * decision.probability).astype(np.float32)
