"""A synthetic scan with a real scanner's settings has that scan's noise: the rows a generator is accepted by."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from CACScoringLib.ct import load_ct
from CACScoringLib.phantom.realism import CASES, RealCase, level_slice, matching_patient
from CACScoringLib.phantom.texture import Texture, measure_texture
from CACScoringLib.vocabulary import Structure

DATA = Path(os.environ.get("CACSCORING_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
VENTRICLES = (Structure.LEFT_VENTRICLE, Structure.MYOCARDIUM, Structure.RIGHT_VENTRICLE)
HALF_MM = 17
REAL_BLOCKS = {  # slices, rows and columns of nearly uniform heart, placed by eye
    "nlst-101287": (slice(52, 62), slice(165, 230), slice(245, 315)),
    "acrin-petct-042": (slice(50, 57), slice(158, 205), slice(250, 300)),
}


def synthetic_texture(case: RealCase) -> Texture:
    patient = matching_patient(case)
    low, high = level_slice(patient, 0.25), level_slice(patient, 0.45)
    inside = ndimage.distance_transform_edt(np.isin(patient.structures[(low + high) // 2], VENTRICLES))
    row, column = np.unravel_index(inside.argmax(), inside.shape)
    half = int(HALF_MM / patient.ct.spacing_mm[2])
    block = patient.ct.hu[low:high, row - half : row + half, column - half : column + half]
    return measure_texture(block, patient.ct.spacing_mm)


@pytest.mark.real
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.folder)
def test_noise_of_matched_scan_is_that_of_the_real_one(case):
    if not (DATA / case.folder).is_dir():
        pytest.skip(f"the real scan {case.folder} is not at {DATA}")
    ct = load_ct(DATA / case.folder)
    real = measure_texture(ct.hu[REAL_BLOCKS[case.folder]], ct.spacing_mm)
    synthetic = synthetic_texture(case)
    assert synthetic.sd_hu == pytest.approx(real.sd_hu, rel=0.25)
    assert synthetic.acf_x_mm == pytest.approx(real.acf_x_mm, rel=0.4)
    assert synthetic.acf_y_mm == pytest.approx(real.acf_y_mm, rel=0.4)
    assert synthetic.acf_next_slice == pytest.approx(real.acf_next_slice, abs=0.2)
    assert synthetic.over_threshold_percent == pytest.approx(real.over_threshold_percent, abs=0.5)
