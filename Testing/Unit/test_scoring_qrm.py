"""The published scores of the real QRM phantom (van Praagh et al., Med Phys 2021, doi 10.1002/mp.14912)."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.scoring import score
from CACScoringLib.scoring.qrm import insert_labels, phantom_calibration, read_inserts

DATA = Path(os.environ.get("CACSCORING_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
PHANTOM = DATA / "qrm-phantom-canon"
INSERT_SLICES = (20, 24)
PUBLISHED_FACTOR = 0.7220477104423333e-3

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not PHANTOM.is_dir(), reason="the QRM phantom scan is not there (CACSCORING_DATA)"),
]


@pytest.fixture(scope="module")
def phantom():
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(PHANTOM / "dicom")))
    image = reader.Execute()
    return CTVolume(
        SimpleITK.GetArrayFromImage(image).astype(np.int16),
        image.GetSpacing()[::-1],
        origin_mm=image.GetOrigin(),
        acquisition=Acquisition(kvp=120, slice_thickness_mm=3.0, kernel="FC12"),
    )


@pytest.fixture(scope="module")
def published():
    with (PHANTOM / "reference" / "inserts.csv").open(newline="") as stream:
        return {row["insert"]: row for row in csv.DictReader(stream) if row["center_x_px"]}


def test_seven_inserts_reproduce_the_published_scores(phantom, published):
    labels = insert_labels(phantom, read_inserts(PHANTOM / "reference" / "inserts.csv"), INSERT_SLICES)
    result = score(phantom, labels, preset="canon", calibration=PUBLISHED_FACTOR)
    found = {}
    for lesion in result.lesions:
        _, y, x = lesion.centroid_voxel
        name = min(
            published,
            key=lambda insert: np.hypot(
                y - float(published[insert]["center_y_px"]), x - float(published[insert]["center_x_px"])
            ),
        )
        assert name not in found
        found[name] = (lesion.agatston, lesion.volume_mm3, lesion.mass_mg)
    assert len(published) == 7
    assert set(found) == set(published)
    for name, row in published.items():
        expected = (float(row["agatston"]), float(row["volume_mm3"]), float(row["mass_mg"]))
        assert found[name] == pytest.approx(expected, abs=1e-4), name


def test_three_pixels_instead_of_four_do_not_reproduce_them(phantom, published):
    labels = insert_labels(phantom, read_inserts(PHANTOM / "reference" / "inserts.csv"), INSERT_SLICES)
    total = sum(float(row["agatston"]) for row in published.values())
    assert score(phantom, labels, preset="canon").total.agatston == pytest.approx(total, abs=1e-4)
    assert score(phantom, labels, preset="canon", minimum_pixels=3).total.agatston > total + 1
    assert score(phantom, labels, preset="canon", connectivity=4).total.agatston != pytest.approx(total, abs=1e-4)


def test_the_phantoms_own_calibration_is_the_published_one_within_half_a_percent(phantom):
    calibration = phantom_calibration(phantom)
    assert calibration.factor == pytest.approx(PUBLISHED_FACTOR, rel=0.005)
    assert calibration.calibrated
