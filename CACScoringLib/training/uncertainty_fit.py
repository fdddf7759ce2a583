"""Fit what turns the network's probabilities into those of lesions and risk categories, on validation patients.

The map from the network's probability to that of a lesion is fitted by maximum likelihood, each patient counting with
the square root of its islands; the spread over scans and the limit for review are chosen on probabilities that the map
gave for patients it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import minimize

from CACScoringLib.cohort.reliability import ReviewLimit, expected_calibration_error, review_limit
from CACScoringLib.inference.confidence import UncertaintySettings, confidence, divide, features
from CACScoringLib.inference.lesions import DecisionSettings, decide
from CACScoringLib.methods.uncertainty import agatston_of_parts
from CACScoringLib.scoring.parts import vessel_agatston
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.scoring.uncertainty import REVIEW_SCHEME, Spread, category_probabilities, spread_distribution
from CACScoringLib.training.validation import SeenPatient
from CACScoringLib.vocabulary import is_vessel

FOLDS = 5
LEAST_PATIENTS = 20
"""With fewer patients nothing is fitted: it would follow chance."""
SENSITIVITY = 0.9
"""Share of the wrong categories that the flag is to find."""
RIDGE = 1e-5
"""Keeps the coefficients finite where every lesion is told right."""
START = UncertaintySettings().coefficients
SHIFTS = (0.0, 0.5, 1.0, 1.5)
EXTENTS = (0.01, 0.02, 0.04, 0.08)
UNFORESEEN = (0.005, 0.01, 0.02, 0.04, 0.08)
DECISION = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
"""Values tried for each part of ``Spread``. A larger shift fits a few odd patients, and makes whole scans vanish."""
FITTED_SCHEMES = (REVIEW_SCHEME, "clinical-5")


@dataclass(frozen=True, eq=False)
class JudgedPatient:
    """A validation patient reduced to what the fit needs.

    Attributes
    ----------
    rows : ndarray of float64, shape (parts, features)
    coronary : ndarray of bool, shape (parts,)
        Truth of each part.
    agatston : ndarray of float64, shape (parts,)
    reference, stated : float
        Total Agatston of the truth and as decided.
    """

    rows: np.ndarray
    coronary: np.ndarray
    agatston: np.ndarray
    reference: float
    stated: float


@dataclass(frozen=True)
class UncertaintyFit:
    """The settings, and how they do on patients that their map was not fitted on.

    Attributes
    ----------
    settings : UncertaintySettings
    patients : int
    limit : ReviewLimit
        Of the flag.
    calibration_error : float
        Expected calibration error of the stated category.
    log_loss : float
        Mean -ln(probability of the true category), of ``FITTED_SCHEMES``.
    """

    settings: UncertaintySettings
    patients: int
    limit: ReviewLimit
    calibration_error: float
    log_loss: float

    def as_dict(self) -> dict[str, object]:
        """Return settings and figures as a bundle keeps them."""
        figures = {
            "patients": self.patients,
            "wrong_categories": self.limit.wrong,
            "review_sensitivity": None if np.isnan(self.limit.sensitivity) else round(self.limit.sensitivity, 4),
            "review_share": round(self.limit.share, 4),
            "calibration_error": round(self.calibration_error, 4),
            "log_loss": round(self.log_loss, 4),
        }
        return {**self.settings.as_dict(), "validation": figures}


def judge(seen: SeenPatient, decision: DecisionSettings) -> JudgedPatient:
    """Reduce a patient under the decision settings that were chosen."""
    candidates, ct = seen.candidates, seen.ct
    label = decide(candidates, seen.calcium, seen.non_coronary, ct.voxel_volume_mm3, decision).label
    parts = divide(candidates, seen.calcium, label, ct.voxel_volume_mm3)
    true = is_vessel(seen.truth)
    share = np.bincount(parts.of_voxel, weights=true, minlength=parts.count)
    voxels = np.maximum(np.bincount(parts.of_voxel, minlength=parts.count), 1)
    return JudgedPatient(
        rows=features(parts),
        coronary=share / voxels >= 0.5,
        agatston=agatston_of_parts(ct, candidates, parts),
        reference=float(seen.reference[0]),
        stated=float(vessel_agatston(ct, candidates.index, candidates.hu, label)[0]),
    )


def fit_coefficients(patients: Sequence[JudgedPatient]) -> tuple[float, ...]:
    """Return the coefficients of the map by maximum likelihood."""
    rows = np.concatenate([p.rows for p in patients])
    true = np.concatenate([p.coronary for p in patients]).astype(float)
    weight = np.concatenate([np.full(len(p.coronary), 1.0 / np.sqrt(max(len(p.coronary), 1))) for p in patients])
    if not len(rows):
        return START
    weight /= weight.sum()

    def loss(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        odds = rows @ coefficients
        off = coefficients - START
        value = weight @ (np.logaddexp(0.0, odds) - true * odds) + RIDGE * off @ off
        slope = rows.T @ (weight * (0.5 * (1.0 + np.tanh(odds / 2.0)) - true)) + 2.0 * RIDGE * off
        return float(value), slope

    return tuple(float(c) for c in minimize(loss, START, jac=True, method="BFGS").x)


def fit_uncertainty(patients: Sequence[JudgedPatient], sensitivity: float = SENSITIVITY) -> UncertaintyFit | None:
    """Fit map, spread and limit; None with fewer than ``LEAST_PATIENTS``.

    Parameters
    ----------
    patients : sequence of JudgedPatient
    sensitivity : float
        Share of the wrong categories that the flag is to find.
    """
    if len(patients) < LEAST_PATIENTS:
        return None
    held_out = out_of_fold(patients)
    spread, log_loss = best_spread(patients, held_out)
    chance = stated_probabilities(patients, held_out, spread)
    right = _groups(REVIEW_SCHEME, [p.reference for p in patients]) == _groups(
        REVIEW_SCHEME, [p.stated for p in patients]
    )
    limit = review_limit(chance, right, sensitivity)
    settings = UncertaintySettings(fit_coefficients(patients), spread, limit.below if limit.wrong else None)
    return UncertaintyFit(settings, len(patients), limit, expected_calibration_error(chance, right), log_loss)


def out_of_fold(patients: Sequence[JudgedPatient]) -> list[np.ndarray]:
    """Return the confidence of each patient's parts from a map that was fitted without the patient."""
    out: list[np.ndarray] = [np.zeros(0)] * len(patients)
    for fold in range(FOLDS):
        coefficients = fit_coefficients([p for n, p in enumerate(patients) if n % FOLDS != fold])
        for n in range(fold, len(patients), FOLDS):
            out[n] = confidence(patients[n].rows, coefficients)
    return out


def best_spread(patients: Sequence[JudgedPatient], parts: Sequence[np.ndarray]) -> tuple[Spread, float]:
    """Return the spread under which the true categories are most probable, and their mean -ln(probability)."""
    best, least = Spread(), np.inf
    true = {name: _groups(name, [p.reference for p in patients]) for name in FITTED_SCHEMES}
    stated = {name: _groups(name, [p.stated for p in patients]) for name in FITTED_SCHEMES}
    rows = np.arange(len(patients))
    for shift in SHIFTS:
        sums = [spread_distribution(p.agatston, chance, shift) for p, chance in zip(patients, parts, strict=True)]
        for extent in EXTENTS:
            shares = {name: _shares(sums, name, extent) for name in FITTED_SCHEMES}
            for unforeseen, decision in product(UNFORESEEN, DECISION):
                spread = Spread(shift, extent, unforeseen, decision)
                chance = [spread.apply(shares[name], stated[name])[rows, true[name]] for name in FITTED_SCHEMES]
                loss = float(-np.log(chance).mean())
                if loss < least:
                    best, least = spread, loss
    return best, least


def stated_probabilities(
    patients: Sequence[JudgedPatient], parts: Sequence[np.ndarray], spread: Spread, scheme: str = REVIEW_SCHEME
) -> np.ndarray:
    """Return the probability of each patient's stated category."""
    stated = _groups(scheme, [p.stated for p in patients])
    sums = [spread_distribution(p.agatston, c, spread.scan_shift) for p, c in zip(patients, parts, strict=True)]
    return spread.apply(_shares(sums, scheme, spread.extent), stated)[np.arange(len(patients)), stated]


def _groups(scheme: str, agatston: Sequence[float]) -> np.ndarray:
    return np.array([SCHEMES[scheme].index(score) for score in agatston])


def _shares(sums: Sequence[tuple[np.ndarray, np.ndarray]], name: str, extent: float) -> np.ndarray:
    """Return the probabilities of the groups of a scheme by the lesions alone: (patients, groups)."""
    return np.stack([category_probabilities(*each, SCHEMES[name], extent) for each in sums])
