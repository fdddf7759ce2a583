"""The layout of the result in ``scores.json`` and in tables."""

from __future__ import annotations

import json

import numpy as np

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.scoring import Demographics, score


def a_result(**options):
    hu = np.full((4, 8, 8), 40, np.int16)
    hu[1, 2:4, 2:4] = 450
    labels = np.zeros(hu.shape, np.uint8)
    labels[1, 2:4, 2:4] = 2
    return score(CTVolume(hu, (3.0, 0.5, 0.5), acquisition=Acquisition(kvp=100)), labels, **options)


def test_document_has_the_agreed_layout():
    document = a_result().as_dict()
    assert list(document) == [
        *("schema", "total", "vessels", "non_coronary", "risk", "patient"),
        *("preset", "acquisition", "lesions", "findings"),
    ]
    assert document["schema"] == "cacscoring/1"
    assert list(document["vessels"]) == ["LM", "LAD", "LCX", "RCA"]
    assert list(document["non_coronary"]) == ["aorta", "aortic_valve", "mitral_valve", "other"]
    assert {"agatston", "volume_mm3", "mass_mg", "lesions", "max_hu", "mean_hu", "density"} <= set(document["total"])
    assert set(document["risk"]) == {
        *("spect-pet-4", "clinical-5", "screening-5", "nguyen-6", "cac-drs", "scct-2017", "nlst-visual-4"),
    }
    assert document["acquisition"]["kvp"] == 100
    assert document["lesions"][0]["vessel"] == "LAD"


def test_document_is_plain_json_and_says_what_the_thresholds_rest_on():
    document = json.loads(json.dumps(a_result().as_dict(), allow_nan=False))
    assert document["preset"]["thresholds"]["status"] == "secondary"
    assert document["preset"]["mass_calibration"]["calibrated"] is False
    assert {"severity", "code", "message"} == set(document["findings"][0])


def test_patient_is_there_only_when_known():
    assert a_result().as_dict()["patient"] is None
    patient = a_result(demographics=Demographics(60, "M", "white")).as_dict()["patient"]
    # Agatston 4: 39.1 + 7.25 ln 5 = 50.8; Hoff, men of 60-64: below 13; MESA, White men of 55-64: 25th is 0, 50th 28
    assert round(patient["arterial_age_years"], 1) == 50.8
    assert patient["percentiles"]["hoff-2001"]["band"] == "<25"
    assert patient["percentiles"]["mesa-2006"]["band"] == "25-50"


def test_age_and_sex_of_the_header_are_used():
    hu = np.zeros((1, 2, 2), np.int16)
    ct = CTVolume(hu, (3.0, 1.0, 1.0), acquisition=Acquisition(kvp=120, patient_age_years=52, patient_sex="F"))
    result = score(ct, np.zeros(hu.shape, np.uint8))
    assert (result.demographics.age_years, result.demographics.sex) == (52, "F")


def test_table_has_a_row_for_each_vessel_and_the_total():
    rows = a_result().table_rows()
    assert [row["vessel"] for row in rows[:5]] == ["LM", "LAD", "LCX", "RCA", "total"]
    assert rows[1]["agatston"] == rows[4]["agatston"] == 4
    assert a_result().lesion_rows()[0]["agatston"] == 4
