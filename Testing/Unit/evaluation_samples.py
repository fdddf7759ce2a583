"""Tiny patients and stand-in methods for the evaluation of all methods."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.inference.grids import Grid
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.methods.score_prediction import AttentionMap, ScorePrediction, heart_box
from CACScoringLib.training.evaluated_patient import EvaluatedPatient
from CACScoringLib.training.patient_result import PatientResult

FOUR = ("0", ">0-100", ">100-400", ">400")
FIVE = ("<1", "1-10", "10-100", "100-400", ">=400")
SIX = ("0", ">0-10", ">10-100", ">100-400", ">400-1000", ">1000")
BOX = heart_box(np.array([6.0, 10.0, 10.0]), np.array([54.0, 50.0, 50.0]))


@dataclass(frozen=True, eq=False)
class APatient:
    """What the generator gives, as far as it is used."""

    ct: CTVolume
    labels: np.ndarray
    structures: np.ndarray


def a_patient():
    """A ball of a heart; 450 HU in the LAD (9 mm2 in two slices: 72), the RCA (8 mm2 in one: 32) and the aorta."""
    hu = np.full((20, 60, 60), -1000, np.int16)
    hu[:, 4:56, 4:56] = -90
    z, y, x = np.ogrid[:20, :60, :60]
    ball = ((z - 10) * 3.0) ** 2 + (y - 30.0) ** 2 + (x - 30.0) ** 2 < 20**2
    hu[ball] = 40
    labels = np.zeros(hu.shape, np.uint8)
    labels[9:11, 20:23, 30:33] = 2
    labels[12, 40:42, 30:34] = 4
    labels[10, 30:33, 20:23] = 11
    hu[labels > 0] = 450
    ct = CTVolume(hu, (3.0, 1.0, 1.0), acquisition=Acquisition(kvp=120.0, slice_thickness_mm=3.0))
    return APatient(ct, labels, ball.astype(np.uint8))


def labelling(ct):
    """Labels everything but the RCA."""
    labels = np.where(a_patient().labels == 4, 0, a_patient().labels).astype(np.uint8)
    return Prediction("labels", "labels", "", labels=labels[: ct.shape[0], : ct.shape[1], : ct.shape[2]])


def regressing(ct):
    """Gives totals, and an attention that lies on the calcium of slice 9 and on the aorta in slice 10."""
    values = np.zeros(ct.shape, np.float32)
    values[9, 21, 31] = values[10, 31, 21] = 1
    grid = Grid(ct.spacing_mm, (0.0, 0.0, 0.0), ct.shape)
    return ScorePrediction(
        "totals",
        "totals",
        "",
        "screening-5",
        category="10-100",
        agatston=96.0,
        volume_mm3=70.0,
        heart_box=BOX,
        attention=AttentionMap(values, grid),
    )


def classifying(ct):
    """Puts the patient into >10-100, and the slices 9 to 12 into >10-100, >10-100, 0 and >0-10."""
    probability = np.zeros((4, 6), np.float32)
    probability[range(4), (2, 2, 0, 1)] = 1
    return ScorePrediction(
        "classes",
        "classes",
        "",
        "nguyen-6",
        category=">10-100",
        slice_z_mm=np.array([27.0, 30.0, 33.0, 36.0]),
        slice_category_probability=probability,
        heart_box=BOX,
    )


METHODS = {"labels": labelling, "totals": regressing, "classes": classifying}


def a_result(
    method="m",
    protocol="gated",
    seed=0,
    *,
    reference=0.0,
    predicted=0.0,
    four=None,
    five=("<1", "<1"),
    six=("0", "0"),
    **more,
):
    """A result whose calcium is all in the LAD; ``predicted`` may be None, or a dict that says it all."""
    vessels = {"LM": 0.0, "LCX": 0.0, "RCA": 0.0}
    if not isinstance(predicted, dict):
        predicted = {} if predicted is None else {"total": predicted, **vessels, "LAD": predicted}
    labels = "LAD" in predicted
    screening = {key: more.pop(key) for key in ("screening_reference", "screening_predicted") if key in more}
    patient = PatientResult(
        protocol=protocol,
        seed=seed,
        reference={"total": reference, **vessels, "LAD": reference},
        predicted=predicted,
        reference_category=four[0] if four else FOUR[int(reference > 0)],
        predicted_category=four[1] if four else FOUR[int(predicted.get("total", 0) > 0)],
        lesions=1 if labels else None,
        lesions_found=1 if labels else None,
        lesions_right_vessel=1 if labels else None,
        false_lesions=0 if labels else None,
        seconds=more.pop("seconds", 0.5),
    )
    return EvaluatedPatient(
        method=method,
        patient=patient,
        screening_reference=screening.get("screening_reference", {"agatston": reference, "volume_mm3": reference}),
        screening_predicted=screening.get(
            "screening_predicted", {"agatston": predicted["total"]} if "total" in predicted else {}
        ),
        screening_category=five,
        six_category=six,
        **more,
    )


class HereAndNow:
    """Runs what is handed over at once, in this process."""

    def __init__(self, **_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def submit(self, function, *args, **options):
        future = Future()
        future.set_result(function(*args, **options))
        return future
