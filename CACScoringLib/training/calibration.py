"""Choose what a lesion needs to be coronary, and fit how sure that is, on patients kept for that alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from CACScoringLib.cohort.agreement import icc_2_1
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.lesion_classifier import LesionClassifier, second_look
from CACScoringLib.inference.lesions import JOINS_MM3, SPLIT_MM3, DecisionSettings, decide
from CACScoringLib.scoring.parts import vessel_agatston
from CACScoringLib.training.run_request import TrainingRequest
from CACScoringLib.training.synthetic_patients import validation_patients
from CACScoringLib.training.uncertainty_fit import UncertaintyFit, fit_uncertainty, judge
from CACScoringLib.training.validation import SeenPatient, see, see_patients
from CACScoringLib.vocabulary import Vessel

TRIED: tuple[DecisionSettings, ...] = tuple(
    DecisionSettings(*values, joins_mm3=joins, split_mm3=split)
    for joins, split in product((JOINS_MM3, 0.0), (SPLIT_MM3, SPLIT_MM3 / 2))
    for values in product((0.5, 0.6, 0.7, 0.8), (0.5, 0.7, 0.9), (0.2, 0.5, 1.0), (0.4, 0.6, 1.0))
)
EQUAL = 0.01
"""Errors that differ by at most this share count as equal."""


@dataclass(frozen=True)
class DecisionChoice:
    """The choice and what it rests on.

    Attributes
    ----------
    settings : DecisionSettings
    patients : int
    error : tuple of float
        Of each of ``TRIED``, as ``best_settings`` computes it.
    uncertainty : UncertaintyFit or None
        Under these settings; None where it was not fitted.
    network : DecisionSettings or None
        What suits the network without its lesion classifier; None where there is none.
    """

    settings: DecisionSettings
    patients: int
    error: tuple[float, ...]
    uncertainty: UncertaintyFit | None = None
    network: DecisionSettings | None = None

    def as_settings(self) -> dict[str, object]:
        """Return what a bundle keeps of the choice."""
        fitted = {} if self.uncertainty is None else {"uncertainty": self.uncertainty.as_dict()}
        alone = {} if self.network is None else {"network_decision": asdict(self.network)}
        return {**asdict(self.settings), **alone, **fitted}


def sweep_scan(
    ct: CTVolume, truth: np.ndarray, folder: Path, *, left_main_is_lad: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Score a scan with its true labels and with the network's under each of ``TRIED``.

    Parameters
    ----------
    ct : CTVolume
    truth : ndarray of uint8, shape (z, y, x)
    folder : Path
        Of the network's bundle.
    left_main_is_lad : bool
        Whether the truth labels the left main LAD; then the network's left main counts as LAD too.

    Returns
    -------
    reference : ndarray, shape (5,)
        Agatston: total, LM, LAD, LCX, RCA.
    predicted : ndarray, shape (len(TRIED), 5)
    """
    seen = see(ct, truth, folder, left_main_is_lad=left_main_is_lad)
    return seen.reference, sweep(seen, left_main_is_lad=left_main_is_lad)


def sweep(seen: SeenPatient, *, left_main_is_lad: bool = False) -> np.ndarray:
    """Return the Agatston scores of a patient under each of ``TRIED``: (len(TRIED), 5)."""
    known: dict[bytes, np.ndarray] = {}
    predicted = []
    ct, candidates = seen.ct, seen.candidates
    for settings in TRIED:
        label = decide(candidates, seen.calcium, seen.non_coronary, ct.voxel_volume_mm3, settings).label
        key = label.tobytes()
        if key not in known:
            if left_main_is_lad:
                label = np.where(label == Vessel.LM, np.uint8(Vessel.LAD), label)
            known[key] = vessel_agatston(ct, candidates.index, candidates.hu, label)
        predicted.append(known[key])
    return np.array(predicted)


def best_settings(reference: np.ndarray, predicted: np.ndarray) -> DecisionChoice:
    """Choose the settings with the smallest mean error of ln(1 + Agatston).

    The error of the total and the mean error of the four vessels count equally. The logarithm weighs a false speck in
    a calcium-free patient as a reader would: it moves the category, where the same points in a
    heavily calcified patient move nothing. Among settings within ``EQUAL`` of the smallest error, which the number of
    patients cannot tell apart, the best ICC of the left main decides, since it is the vessel with least calcium
    and most confusion; then nearness to the defaults.

    Parameters
    ----------
    reference : ndarray, shape (patients, 5)
    predicted : ndarray, shape (patients, len(TRIED), 5)
    """
    error = np.abs(np.log1p(predicted) - np.log1p(reference)[:, None]).mean(axis=0) @ [0.5, 0.125, 0.125, 0.125, 0.125]
    equal = np.flatnonzero(error <= error.min() * (1.0 + EQUAL) + 1e-9)
    agreement = {n: _agreement(reference[:, 1], predicted[:, n, 1]) for n in equal}
    chosen = max(equal, key=lambda n: (agreement[n], -_away_from_default(TRIED[n])))
    return DecisionChoice(TRIED[chosen], len(reference), tuple(float(e) for e in error))


def _agreement(reference: np.ndarray, predicted: np.ndarray) -> float:
    """Return the ICC, or -1 where there is none: one patient, or scores that do not vary."""
    if len(reference) < 2:
        return -1.0
    return float(np.nan_to_num(icc_2_1(reference, predicted).value, nan=-1.0))


def _away_from_default(settings: DecisionSettings) -> float:
    return sum(abs(a - b) for a, b in zip(astuple(settings), astuple(DecisionSettings()), strict=True))


def choose_for(
    request: TrainingRequest, folder: Path, patients: int, classifier: LesionClassifier | None = None
) -> DecisionChoice:
    """Choose as ``choose`` does, on synthetic patients of their own, as part of a training.

    Parameters
    ----------
    request : TrainingRequest
    folder : Path
        Of the bundle that was just trained, without a lesion classifier.
    patients : int
    classifier : LesionClassifier, optional
        Looks again at the lesions before anything is chosen; then what suits the network alone is chosen too.
    """
    wanted = validation_patients(patients)
    tick = request.counted("Choosing the decision:", len(wanted))
    seen = see_patients(wanted, folder, cache=request.output / "validation", workers=request.workers, tick=tick)
    if classifier is None:
        return choose(seen)
    return replace(choose([looked_again(p, classifier) for p in seen]), network=_best_of(seen).settings)


def looked_again(patient: SeenPatient, classifier: LesionClassifier) -> SeenPatient:
    """Return a patient after a lesion classifier looked at what the network alone said."""
    calcium = second_look(patient.candidates, patient.network_calcium, patient.islands, patient.features, classifier)
    return replace(patient, calcium=calcium)


def choose(patients: Sequence[SeenPatient]) -> DecisionChoice:
    """Choose the decision settings on patients, then fit the uncertainty under them.

    Parameters
    ----------
    patients : sequence of SeenPatient
        Protocols in turn, so that every fold of the fit holds all of them.
    """
    choice = _best_of(patients)
    return replace(choice, uncertainty=fit_uncertainty([judge(p, choice.settings) for p in patients]))


def _best_of(patients: Sequence[SeenPatient]) -> DecisionChoice:
    return best_settings(np.stack([p.reference for p in patients]), np.stack([sweep(p) for p in patients]))
