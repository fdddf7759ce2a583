"""One synthetic patient that was never trained on: the score of the truth beside the network's."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache

import numpy as np
from scipy import ndimage

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.methods import Prediction, predict
from CACScoringLib.methods.score_prediction import ScorePrediction
from CACScoringLib.scoring import CalciumScore, score
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.vocabulary import Vessel, is_vessel

NAMES = ("total", *(v.name for v in Vessel))


@dataclass(frozen=True)
class PatientResult:
    """Scores and lesion counts of one patient.

    Attributes
    ----------
    protocol, seed
        Which synthetic patient.
    reference, predicted : dict of str to float
        Agatston of ``total``, LM, LAD, LCX, RCA: of the true labels, and of the network's labels, on
        the same image with the same preset. A method that labels nothing has no vessels in ``predicted``,
        and no total where it gives none.
    reference_category, predicted_category : str or None
        Group of the scheme; None where the method gives none.
    lesions, lesions_found, lesions_right_vessel : int or None
        Scoring coronary lesions; those of which at least half is labelled coronary; of these,
        those whose prevailing vessel is right. None for a method that labels nothing.
    false_lesions : int or None
        Predicted coronary lesions without any true coronary voxel.
    seconds : float
        ``predict`` and ``score``, model warm, without generating or loading.
    category_probability : dict of str to float
        Of each group of the scheme; empty where the model does not say.
    agatston_interval : tuple of float
        5 % and 95 % quantile of the total; empty where the model does not say.
    needs_review : bool or None
        The flag; None where the model does not say.
    gated : bool or None
        Whether the scan was ECG-gated; None where that is not known.
    """

    protocol: str
    seed: int
    reference: dict[str, float]
    predicted: dict[str, float]
    reference_category: str
    predicted_category: str | None
    lesions: int | None
    lesions_found: int | None
    lesions_right_vessel: int | None
    false_lesions: int | None
    seconds: float
    category_probability: dict[str, float] = field(default_factory=dict)
    agatston_interval: tuple[float, ...] = ()
    needs_review: bool | None = None
    gated: bool | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the fields as the evaluation's files write them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entry: dict[str, object]) -> PatientResult:
        """Read what ``as_dict`` has written; other entries are passed over.

        Raises
        ------
        TypeError
            If an entry is missing.
        """
        known = {item.name: entry[item.name] for item in fields(cls) if item.name in entry}
        return cls(**{**known, "agatston_interval": tuple(known.get("agatston_interval", ()))})


@dataclass(frozen=True, eq=False)
class MethodRun:
    """What a method says of a scan.

    Attributes
    ----------
    prediction : Prediction or ScorePrediction
    score : CalciumScore or None
        Of its labels; None where it labels nothing.
    seconds : float
    """

    prediction: Prediction | ScorePrediction
    score: CalciumScore | None
    seconds: float


def evaluate_patient(
    protocol: str,
    seed: int,
    *,
    method: str,
    model: str | None,
    preset: str,
    scheme: str,
    mimics: tuple[str, ...] = (),
) -> PatientResult:
    """Generate a patient, who has the ``mimics`` for certain, and score the truth and the prediction.

    The patient is drawn from the generator's plain population, not from the enriched one that
    the network is trained on.
    """
    from CACScoringLib.phantom import PhantomOptions, synthesize

    patient = synthesize(seed=seed, protocol=protocol, options=PhantomOptions(mimics=mimics))
    ran = run_method(patient.ct, method, model=model, preset=preset)
    reference = score(patient.ct, patient.labels, preset=preset)
    return judged(protocol, seed, patient.ct, patient.labels, reference, ran, scheme=scheme)


def run_method(ct: CTVolume, method: str, *, model: str | None, preset: str) -> MethodRun:
    """Run a method, model warm, and score what it labels; the time is that of both."""
    _warm_up(method, model)
    started = time.perf_counter()
    prediction = predict(ct, method, model=model)
    result = None if prediction.labels is None else score(ct, prediction.labels, preset=preset)
    return MethodRun(prediction, result, time.perf_counter() - started)


def judged(
    protocol: str,
    seed: int,
    ct: CTVolume,
    truth: np.ndarray,
    reference: CalciumScore,
    ran: MethodRun,
    *,
    scheme: str,
) -> PatientResult:
    """Return how what a method says compares with the truth on the same image.

    Parameters
    ----------
    protocol, seed
        Name the case.
    ct : CTVolume
    truth : ndarray of uint8, shape (z, y, x)
    reference : CalciumScore
        Of ``truth``.
    ran : MethodRun
    scheme : str
    """
    said = ran.prediction
    if ran.score is None:
        return PatientResult(
            protocol=protocol,
            seed=seed,
            reference=agatston_of(reference),
            predicted=total_of(said),
            reference_category=reference.risk[scheme],
            predicted_category=category_of(said, scheme),
            lesions=None,
            lesions_found=None,
            lesions_right_vessel=None,
            false_lesions=None,
            seconds=ran.seconds,
            gated=ct.acquisition.gated,
        )
    result = compared(
        protocol, seed, ct, truth, said.labels, ran.score, scheme=scheme, seconds=ran.seconds, reference=reference
    )
    sure = said.uncertainty
    if sure is None:
        return result
    return replace(
        result,
        category_probability=sure.categories[scheme],
        agatston_interval=(sure.agatston_interval[0], sure.agatston_interval[2]),
        needs_review=sure.needs_review(ran.score.risk),
    )


def total_of(prediction: ScorePrediction) -> dict[str, float]:
    """Return the total of a method that labels nothing; 0 where it found no heart to look at, as where nobody looks."""
    if _saw_nothing(prediction):
        return {"total": 0.0}
    return {} if prediction.agatston is None else {"total": float(prediction.agatston)}


def category_of(prediction: ScorePrediction, scheme: str) -> str | None:
    """Return the group of a scheme that such a method gives, None if none; that of 0 where it found no heart."""
    return SCHEMES[scheme].group(0.0) if _saw_nothing(prediction) else prediction.risk().get(scheme)


def _saw_nothing(prediction: ScorePrediction) -> bool:
    return prediction.category is None and prediction.heart_box is None


def compared(
    protocol: str,
    seed: int,
    ct: CTVolume,
    truth: np.ndarray,
    labels: np.ndarray,
    predicted: CalciumScore,
    *,
    scheme: str,
    seconds: float,
    reference: CalciumScore | None = None,
) -> PatientResult:
    """Return how the labels of a method compare with the true ones on the same image, scored by the same preset.

    Parameters
    ----------
    protocol, seed
        Name the case.
    ct : CTVolume
    truth, labels : ndarray of uint8, shape (z, y, x)
    predicted : CalciumScore
        Of ``labels``.
    scheme : str
    seconds : float
        What the method took.
    reference : CalciumScore, optional
        Of ``truth``, where it is known already.
    """
    reference = reference or score(ct, truth, preset=predicted.preset.name)
    counts = match_lesions(ct, truth, labels, threshold_of(reference))
    return PatientResult(
        protocol=protocol,
        seed=seed,
        reference=agatston_of(reference),
        predicted=agatston_of(predicted),
        reference_category=reference.risk[scheme],
        predicted_category=predicted.risk[scheme],
        lesions=counts[0],
        lesions_found=counts[1],
        lesions_right_vessel=counts[2],
        false_lesions=counts[3],
        seconds=seconds,
        gated=ct.acquisition.gated,
    )


@lru_cache(maxsize=8)
def _warm_up(method: str, model: str | None) -> None:
    """Load the network once a process, so that the first patient's time is that of the others."""
    predict(CTVolume(np.full((30, 80, 80), -1000, np.int16), (3.0, 1.0, 1.0)), method, model=model)


def agatston_of(result: object) -> dict[str, float]:
    """Return total and per-vessel Agatston of a ``CalciumScore``."""
    values = {"total": float(result.total.agatston)}
    return values | {name: float(result.vessels[name].agatston) for name in NAMES[1:]}


def threshold_of(result: object) -> float:
    """Return the HU threshold that a score was computed with."""
    return float(result.thresholds.hu[0])


def match_lesions(
    ct: CTVolume, truth: np.ndarray, predicted: np.ndarray, threshold_hu: float, smallest_mm2: float = 1.0
) -> tuple[int, int, int, int]:
    """Count true lesions, those found, those in the right vessel, and false lesions.

    A lesion is a 26-connected 3-D island of coronary voxels at or above the threshold that fills at least
    ``smallest_mm2`` in one slice, so that it scores.

    Parameters
    ----------
    ct : CTVolume
    truth, predicted : ndarray of uint8, shape (z, y, x)
    threshold_hu : float
    smallest_mm2 : float

    Returns
    -------
    tuple of int
        lesions, found, right vessel, false.
    """
    lesions = found = right = false = 0
    for members in _islands(ct, truth, threshold_hu, smallest_mm2):
        lesions += 1
        seen = predicted[members]
        seen = seen[is_vessel(seen)]
        if 2 * len(seen) >= len(members[0]):
            found += 1
            right += int(np.bincount(seen).argmax() == np.bincount(truth[members]).argmax())
    for members in _islands(ct, predicted, threshold_hu, smallest_mm2):
        true = truth[members]
        false += int(not np.any(is_vessel(true)))
    return lesions, found, right, false


def _islands(
    ct: CTVolume, labels: np.ndarray, threshold_hu: float, smallest_mm2: float
) -> list[tuple[np.ndarray, ...]]:
    """Return the voxel indices of each coronary lesion that scores."""
    index = np.argwhere(is_vessel(labels))
    index = index[ct.hu[tuple(index.T)] >= threshold_hu]
    if not len(index):
        return []
    low = index.min(axis=0)
    box = np.zeros(index.max(axis=0) - low + 1, bool)
    box[tuple((index - low).T)] = True
    parts, count = ndimage.label(box, structure=np.ones((3, 3, 3)))
    number = parts[tuple((index - low).T)]
    smallest = int(np.ceil(smallest_mm2 / ct.pixel_area_mm2))
    out = []
    for value in range(1, count + 1):
        members = index[number == value]
        if np.bincount(members[:, 0] - low[0]).max() >= smallest:
            out.append(tuple(members.T))
    return out
