"""What a method says of single slices, beside what they truly hold."""

from __future__ import annotations

import numpy as np

from CACScoringLib.cohort.agreement import confusion_matrix
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.methods.score_prediction import ScorePrediction, counted
from CACScoringLib.methods.six_class import SCHEME, scored_stack, slice_centers_mm
from CACScoringLib.methods.slice_regression import PRESET
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.training.slice_regression_cases import coronary_settings, slice_scores

GROUPS = len(SCHEMES[SCHEME].groups)
NEAR_MM = 1e-3
"""Slices whose centres are this close are the same."""


def slice_categories(prediction: ScorePrediction) -> np.ndarray | None:
    """Return the category of ``nguyen-6`` of every slice that was looked at: int64 (n,); None where none is told.

    The most probable one, or that of the slice's own score where the method gives scores.
    """
    if prediction.slice_category_probability is not None:
        return np.asarray(prediction.slice_category_probability).argmax(axis=1)
    if prediction.slice_agatston is not None:
        scheme = SCHEMES[SCHEME]
        return np.array([scheme.index(counted(float(v))) for v in prediction.slice_agatston], np.int64)
    return None


def true_slice_agatston(ct: CTVolume, labels: np.ndarray, z_mm: np.ndarray) -> np.ndarray | None:
    """Return the Agatston score that coronary calcium truly adds in given slices: float64 (n,).

    The slices are those of ``slice-regression`` (3.0 mm every 1.5 mm) or of ``six-class``, whichever holds them; None
    where they belong to neither.

    Parameters
    ----------
    ct : CTVolume
    labels : ndarray of uint8, shape (z, y, x)
        Truth.
    z_mm : ndarray, shape (n,)
        Centres, from the centre of the CT's first slice; neighbours follow each other.
    """
    for stack in (PRESET, scored_stack(ct)):
        settings = coronary_settings(ct, stack)
        centers = slice_centers_mm(settings.stack)
        first = int(np.abs(centers - z_mm[0]).argmin())
        here = centers[first : first + len(z_mm)]
        if len(here) == len(z_mm) and np.abs(here - z_mm).max() < NEAR_MM:
            return slice_scores(settings, labels)[0][first : first + len(z_mm)]
    return None


def slice_matrix(prediction: ScorePrediction, ct: CTVolume, labels: np.ndarray) -> np.ndarray | None:
    """Return the counts (rows: true category of its own score, columns: said) of the slices that were looked at.

    None where the method says nothing of slices, or of slices whose truth is not known.

    Parameters
    ----------
    prediction : ScorePrediction
    ct : CTVolume
    labels : ndarray of uint8, shape (z, y, x)
        Truth.
    """
    said = slice_categories(prediction)
    if said is None or not len(said):
        return None
    scores = true_slice_agatston(ct, labels, np.asarray(prediction.slice_z_mm, float))
    if scores is None:
        return None
    return confusion_matrix([SCHEMES[SCHEME].index(float(score)) for score in scores], said, GROUPS)
