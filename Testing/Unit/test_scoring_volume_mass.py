"""Isotropic volume and mass calibration by hand."""

from __future__ import annotations

import numpy as np
import pytest

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.scoring import calibration_from_rod, score
from CACScoringLib.scoring.qrm import phantom_calibration
from CACScoringLib.scoring.volume import sub_slice_offsets, sub_slices


def a_scan(hu_of_slices, label_of_slices):
    """Return a CT of 1 mm pixels and 4 mm slices, and labels; a block of 2x2 pixels has one HU and label a slice."""
    hu = np.full((len(hu_of_slices), 6, 6), -50, np.int16)
    labels = np.zeros(hu.shape, np.uint8)
    for z, (value, label) in enumerate(zip(hu_of_slices, label_of_slices, strict=True)):
        hu[z, 2:4, 2:4], labels[z, 2:4, 2:4] = value, label
    return CTVolume(hu, (4.0, 1.0, 1.0), acquisition=Acquisition(kvp=120)), labels


def isotropic(hu_of_slices, label_of_slices, **options):
    return score(*a_scan(hu_of_slices, label_of_slices), isotropic_volume=True, **options)


def test_slices_are_cut_into_the_number_that_is_closest_to_isotropic():
    assert sub_slices((3.0, 0.488, 0.488)) == 6
    assert sub_slices((4.0, 1.0, 1.0)) == 4
    assert sub_slices((0.5, 0.9, 0.9)) == 1
    assert sub_slice_offsets(4).tolist() == [-0.375, -0.125, 0.125, 0.375]


def test_interpolation_shrinks_a_faint_lesion():
    # slice 1 at 150 between 30 and 30: at 0.125 it is 135, at 0.375 only 105: 2 of 4 sub-slices of 4 mm3 each remain
    result = isotropic([30, 150, 30], [0, 2, 0])
    assert result.total.volume_mm3 == 16
    assert result.total.volume_isotropic_mm3 == 8


def test_interpolation_extends_a_bright_lesion_into_its_neighbours():
    # 1000 beside 0: 1000 (1 - t) reaches 130 up to t = 0.87, so 0.625 (375) counts and 0.875 (125) does not:
    # 4 sub-slices in the slice and one in each neighbour
    assert isotropic([0, 1000, 0], [0, 2, 0]).total.volume_isotropic_mm3 == 6 * 4


def test_a_dense_neighbour_that_is_not_labelled_stays_out():
    # the neighbour is something else, such as bone: nothing of its slice counts
    assert isotropic([1000, 1000, 0], [0, 2, 0]).total.volume_isotropic_mm3 == (4 + 1) * 4


def test_two_vessels_above_each_other_keep_their_own_slices():
    result = isotropic([500, 500], [2, 3])
    assert result.vessels["LAD"].volume_isotropic_mm3 == result.vessels["LCX"].volume_isotropic_mm3 == 16


def test_literature_preset_reports_the_isotropic_volume():
    result = isotropic([30, 150, 30], [0, 2, 0], preset="literature")
    assert result.total.volume_mm3 == result.total.volume_isotropic_mm3 == 8
    # mass stays a voxel count, and density the mean weight
    assert result.total.mass_mg == pytest.approx(0.769e-3 * 150 * 16)
    assert result.total.density == 1


def test_small_islands_of_sub_slices_do_not_count():
    assert isotropic([30, 150, 30], [0, 2, 0], minimum_pixels=5).total.volume_isotropic_mm3 == 0


def test_calibration_from_rod_and_water():
    # 0.2 mg/mm3 over 277 HU - 0 HU
    calibration = calibration_from_rod(277.0, 0.0)
    assert calibration.factor == pytest.approx(0.2 / 277)
    assert calibration.calibrated


def test_a_rod_darker_than_water_is_refused():
    with pytest.raises(InputRefusedError, match="brighter"):
        calibration_from_rod(0.0, 10.0)


def test_calibration_is_found_in_a_drawn_phantom():
    hu = np.full((9, 160, 160), 60, np.int16)
    y, x = np.ogrid[:160, :160]
    hu[3:8][:, np.hypot(y - 80, x - 90) <= 20] = 310
    hu[3:8][:, np.hypot(y - 80 + 46, x - 90) <= 16] = 5
    hu[5][np.hypot(y - 80, x - 90) <= 20] = 315
    calibration = phantom_calibration(CTVolume(hu, (3.0, 0.5, 0.5)))
    assert (calibration.rod_hu, calibration.water_hu) == (315, 5)
    assert calibration.factor == pytest.approx(0.2 / 310)


def test_a_scan_without_rod_is_refused():
    with pytest.raises(InputRefusedError, match="rod"):
        phantom_calibration(CTVolume(np.full((3, 40, 40), 40, np.int16), (3.0, 0.5, 0.5)))
