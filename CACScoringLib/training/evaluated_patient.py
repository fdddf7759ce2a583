"""One synthetic patient and all methods: generated once, and for each method what the papers' tables need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.grids import Grid, ct_grid, sample_nearest
from CACScoringLib.inference.heart import coarse_volume
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.methods.score_prediction import HeartBox, ScorePrediction, compare_boxes, structure_box
from CACScoringLib.methods.six_class import SCHEME as SIX_SCHEME
from CACScoringLib.methods.slice_regression import PRESET as SCREENING_PRESET
from CACScoringLib.methods.slice_regression import SCHEME as SCREENING_SCHEME
from CACScoringLib.scoring import CalciumScore, score
from CACScoringLib.training.attention import attention_hits
from CACScoringLib.training.method_slices import slice_matrix
from CACScoringLib.training.patient_result import (
    MethodRun,
    PatientResult,
    category_of,
    judged,
    run_method,
    total_of,
)

NO_HEART = "heart-not-found"
"""Code of the finding."""


@dataclass(frozen=True)
class EvaluatedPatient:
    """What a method says of a patient, beside the truth.

    Attributes
    ----------
    method : str
    patient : PatientResult
        By the preset of the evaluation.
    screening_reference, screening_predicted : dict of str to float
        Totals by ``nlst-de-vos-2017``: ``agatston`` and ``volume_mm3``; of the true labels and of the method's, or its
        own totals where it labels nothing. What a method does not give is left out.
    screening_category, six_category : tuple of (str, str or None)
        Group of the reference and the one given in ``screening-5`` (by that preset) and in ``nguyen-6`` (by the
        preset of the evaluation).
    slices : tuple of tuple of int
        ``method_slices.slice_matrix``; empty where it is not known.
    attention_slices, attention_hits : int or None
        Calcified slices, and those where the attention is highest on calcium; None without attention.
    heart_overlap : float or None
        Intersection over union of the box round the heart with the true one, 0 where no heart was found; None where
        the method says of no heart.
    heart_found : bool
    ct_slices : int
        Slices of the scan, for its time.
    """

    method: str
    patient: PatientResult
    screening_reference: dict[str, float]
    screening_predicted: dict[str, float]
    screening_category: tuple[str, str | None]
    six_category: tuple[str, str | None]
    slices: tuple[tuple[int, ...], ...] = field(default_factory=tuple)
    attention_slices: int | None = None
    attention_hits: int | None = None
    heart_overlap: float | None = None
    heart_found: bool = True
    ct_slices: int = 0

    def as_dict(self) -> dict[str, object]:
        """Return the fields as the evaluation's files write them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entry: dict[str, object]) -> EvaluatedPatient:
        """Read what ``as_dict`` has written; other entries are passed over.

        Raises
        ------
        TypeError, KeyError
            If an entry is missing.
        """
        known = {item.name: entry[item.name] for item in fields(cls) if item.name in entry}
        return cls(
            **{
                **known,
                "patient": PatientResult.from_dict(entry["patient"]),
                "screening_category": tuple(entry["screening_category"]),
                "six_category": tuple(entry["six_category"]),
                "slices": tuple(tuple(row) for row in known.get("slices", ())),
            }
        )


def evaluate_methods(
    protocol: str, seed: int, methods: Sequence[tuple[str, str | None]], *, preset: str, scheme: str
) -> list[EvaluatedPatient]:
    """Generate a patient once and run methods on it (worker entry point).

    Parameters
    ----------
    protocol : str
    seed : int
    methods : sequence of (str, str or None)
        Name and model of each.
    preset, scheme : str
        As for ``evaluate_patient``.
    """
    from CACScoringLib.phantom import synthesize

    patient = synthesize(seed=seed, protocol=protocol)
    truth = Truth.of(patient.ct, patient.labels, patient.structures, preset)
    return [
        judged_by_tables(
            protocol, seed, method, truth, run_method(patient.ct, method, model=model, preset=preset), scheme
        )
        for method, model in methods
    ]


@dataclass(frozen=True, eq=False)
class Truth:
    """A scan, its true labels and their scores.

    Attributes
    ----------
    ct : CTVolume
    labels : ndarray of uint8, shape (z, y, x)
    heart : HeartBox or None
    clinical, screening : CalciumScore
        By the preset of the evaluation, and by ``nlst-de-vos-2017``.
    """

    ct: CTVolume
    labels: np.ndarray
    heart: HeartBox | None
    clinical: CalciumScore
    screening: CalciumScore

    @classmethod
    def of(cls, ct: CTVolume, labels: np.ndarray, structures: np.ndarray, preset: str) -> Truth:
        """Score the true labels; the arrays are uint8 of shape (z, y, x)."""
        return cls(
            ct,
            labels,
            true_box(ct, structures),
            score(ct, labels, preset=preset),
            score(ct, labels, preset=SCREENING_PRESET),
        )


def judged_by_tables(
    protocol: str, seed: int, method: str, truth: Truth, ran: MethodRun, scheme: str
) -> EvaluatedPatient:
    """Return how what a method says compares with the truth, as far as it says anything."""
    said = ran.prediction
    if ran.score is None:
        screening, categories = _told_totals(said), (category_of(said, SCREENING_SCHEME), category_of(said, SIX_SCHEME))
        matrix = slice_matrix(said, truth.ct, truth.labels)
    else:
        measured = score(truth.ct, said.labels, preset=SCREENING_PRESET)
        screening, categories = _totals(measured), (measured.risk[SCREENING_SCHEME], ran.score.risk[SIX_SCHEME])
        matrix = None
    attention = None if getattr(said, "attention", None) is None else attention_hits(said, truth.ct, truth.labels)
    return EvaluatedPatient(
        method=method,
        patient=judged(protocol, seed, truth.ct, truth.labels, truth.clinical, ran, scheme=scheme),
        screening_reference=_totals(truth.screening),
        screening_predicted=screening,
        screening_category=(truth.screening.risk[SCREENING_SCHEME], categories[0]),
        six_category=(truth.clinical.risk[SIX_SCHEME], categories[1]),
        slices=() if matrix is None else tuple(tuple(int(n) for n in row) for row in matrix),
        attention_slices=None if attention is None else attention.slices,
        attention_hits=None if attention is None else attention.on_calcium,
        heart_overlap=_overlap(said, truth.heart),
        heart_found=all(finding.code != NO_HEART for finding in said.findings),
        ct_slices=int(truth.ct.shape[0]),
    )


def _totals(result: CalciumScore) -> dict[str, float]:
    return {"agatston": float(result.total.agatston), "volume_mm3": float(result.total.volume_mm3)}


def _told_totals(said: ScorePrediction) -> dict[str, float]:
    """Return the totals of a method that labels nothing; 0 where it found no heart."""
    told = total_of(said)
    if told and said.agatston is None:
        return {"agatston": 0.0, "volume_mm3": 0.0}
    out = {"agatston": told["total"]} if told else {}
    return out if said.volume_mm3 is None else out | {"volume_mm3": float(said.volume_mm3)}


def _overlap(said: Prediction | ScorePrediction, truth: HeartBox | None) -> float | None:
    """Return how much the box round the heart that a method found overlaps the true one."""
    if isinstance(said, ScorePrediction):
        box = said.heart_box
    elif said.structures is None:
        return None
    else:
        grid = Grid(said.structures_spacing_mm, said.structures_offset_mm, said.structures.shape)
        box = structure_box(said.structures, grid)
    if truth is None:
        return None
    return 0.0 if box is None else compare_boxes(box, truth).overlap


def true_box(ct: CTVolume, structures: np.ndarray) -> HeartBox | None:
    """Return the box round the heart in a structure map on the CT's grid, measured on the coarse grid."""
    _, coarse = coarse_volume(ct)
    return structure_box(sample_nearest(structures, ct_grid(ct.shape, ct.spacing_mm), coarse), coarse)
