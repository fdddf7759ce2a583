"""One synthetic patient that was never trained on: the score of the truth beside the network's."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache

import numpy as np
from scipy import ndimage

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.methods import predict
from CACScoringLib.scoring import CalciumScore, score
from CACScoringLib.vocabulary import Vessel

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
        the same image with the same preset.
    lesions, lesions_found, lesions_right_vessel : int
        Scoring coronary lesions; those of which at least half is labelled coronary; of these,
        those whose prevailing vessel is right.
    false_lesions : int
        Predicted coronary lesions without any true coronary voxel.
    seconds : float
        ``predict`` and ``score``, model warm, without generating or loading.
    category_probability : dict of str to float
        Of each group of the scheme; empty where the model does not say.
    agatston_interval : tuple of float
        5 % and 95 % quantile of the total; empty where the model does not say.
    needs_review : bool or None
        The flag; None where the model does not say.
    """

    protocol: str
    seed: int
    reference: dict[str, float]
    predicted: dict[str, float]
    reference_category: str
    predicted_category: str
    lesions: int
    lesions_found: int
    lesions_right_vessel: int
    false_lesions: int
    seconds: float
    category_probability: dict[str, float] = field(default_factory=dict)
    agatston_interval: tuple[float, ...] = ()
    needs_review: bool | None = None

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


def evaluate_patient(
    protocol: str, seed: int, *, method: str, model: str | None, preset: str, scheme: str
) -> PatientResult:
    """Generate a patient, score the truth and the prediction.

    The patient is drawn from the generator's plain population, not from the enriched one that
    the network is trained on.
    """
    from CACScoringLib.phantom import synthesize

    patient = synthesize(seed=seed, protocol=protocol)
    _warm_up(method, model)
    started = time.perf_counter()
    prediction = predict(patient.ct, method, model=model)
    predicted = score(patient.ct, prediction.labels, preset=preset)
    sure = prediction.uncertainty
    seconds = time.perf_counter() - started
    result = compared(
        protocol, seed, patient.ct, patient.labels, prediction.labels, predicted, scheme=scheme, seconds=seconds
    )
    if sure is None:
        return result
    return replace(
        result,
        category_probability=sure.categories[scheme],
        agatston_interval=(sure.agatston_interval[0], sure.agatston_interval[2]),
        needs_review=sure.needs_review(predicted.risk),
    )


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
    """
    reference = score(ct, truth, preset=predicted.preset.name)
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
    )


@lru_cache(maxsize=4)
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
        seen = seen[(seen >= 1) & (seen <= 4)]
        if 2 * len(seen) >= len(members[0]):
            found += 1
            right += int(np.bincount(seen).argmax() == np.bincount(truth[members]).argmax())
    for members in _islands(ct, predicted, threshold_hu, smallest_mm2):
        true = truth[members]
        false += int(not np.any((true >= 1) & (true <= 4)))
    return lesions, found, right, false


def _islands(
    ct: CTVolume, labels: np.ndarray, threshold_hu: float, smallest_mm2: float
) -> list[tuple[np.ndarray, ...]]:
    """Return the voxel indices of each coronary lesion that scores."""
    index = np.argwhere((labels >= 1) & (labels <= 4))
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
