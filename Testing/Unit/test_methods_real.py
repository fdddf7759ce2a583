"""The shipped network on two real scans: what it must find, and where it must not mark anything.

Two scans without an expert's score say nothing about accuracy. They say whether a network that saw synthetic
patients only makes sense of a real CT.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from CACScoringLib import load_ct, predict, score
from CACScoringLib.vocabulary import Structure

DATA = Path(os.environ.get("CACSCORING_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
SCANS = ("acrin-petct-042", "nlst-101287")
BONE_HU = 150
BONE_MM3 = 3000.0

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not all((DATA / s).is_dir() for s in SCANS), reason="the real scans are not there"),
]


@lru_cache(maxsize=2)
def read(name):
    """Return CT and prediction; index z counts from caudal to cranial, as the data's README does."""
    ct = load_ct(DATA / name)
    return ct, predict(ct)


def coronary_mm3(name, z, y, x):
    """Return the volume labelled LM, LAD, LCX or RCA in a box, its labels, and the box's voxels."""
    ct, prediction = read(name)
    found = prediction.labels[z[0] : z[1] + 1, y[0] : y[1] + 1, x[0] : x[1] + 1]
    coronary = found[(found >= 1) & (found <= 4)]
    return len(coronary) * ct.voxel_volume_mm3, set(coronary.tolist())


@pytest.mark.parametrize("name", SCANS)
def test_the_scans_are_read_caudal_to_cranial(name):
    ct, _ = read(name)
    assert ct.direction[8] * ct.spacing_mm[0] > 0
    assert ct.shape == {"acrin-petct-042": (135, 512, 512), "nlst-101287": (143, 512, 512)}[name]


def test_the_heavy_left_coronary_calcium_of_the_pet_ct_is_found():
    """561 mm3 in z 64-67 around (288, 196): at least nine tenths, as a left vessel."""
    volume, vessels = coronary_mm3("acrin-petct-042", (62, 69), (180, 215), (270, 310))
    assert volume >= 500
    assert vessels <= {1, 2, 3}


def test_the_lesion_that_reaches_beyond_the_heart_region_is_marked_whole():
    ct, prediction = read("acrin-petct-042")
    islands, _ = ndimage.label(ct.hu[60:72, 160:240, 260:330] >= 130, np.ones((3, 3, 3)))
    labels = prediction.labels[60:72, 160:240, 260:330]
    lesion = islands == islands[66 - 60, 196 - 160, 288 - 260]
    assert islands[66 - 60, 196 - 160, 288 - 260] > 0
    assert np.mean((labels[lesion] >= 1) & (labels[lesion] <= 3)) == 1.0


def test_the_calcium_of_the_aortic_root_of_the_pet_ct_is_not_coronary():
    """1466 mm3 in z 61-66 around (249, 184), at the right ostium: most of it lies in the root's wall."""
    ct, prediction = read("acrin-petct-042")
    box = (slice(61, 67), slice(170, 200), slice(232, 268))
    dense = ct.hu[box] >= 130
    labels = prediction.labels[box][dense]
    assert np.mean((labels == 11) | (labels == 12)) > 0.75


def test_the_pale_right_coronary_lesion_of_the_pet_ct_is_found_whole():
    """90 mm3 in z 59-61 around (232, 159), in the right atrioventricular groove."""
    ct, _ = read("acrin-petct-042")
    volume, vessels = coronary_mm3("acrin-petct-042", (59, 61), (154, 164), (225, 240))
    dense = np.count_nonzero(ct.hu[59:62, 154:165, 225:241] >= 130) * ct.voxel_volume_mm3
    assert volume == pytest.approx(90, abs=2)
    assert volume > 0.9 * dense
    assert vessels == {4}


@pytest.mark.parametrize(("x", "y"), [(305, 215), (320, 208)])
def test_the_two_small_left_lesions_of_the_screening_ct_are_found(x, y):
    volume, vessels = coronary_mm3("nlst-101287", (71, 74), (y - 6, y + 6), (x - 6, x + 6))
    assert volume >= 20
    assert vessels <= {1, 2, 3}


def test_valve_and_annulus_of_the_screening_ct_are_not_coronary():
    for z, y, x in (((70, 79), (205, 241), (243, 275)), ((53, 58), (240, 254), (294, 307))):
        volume, _ = coronary_mm3("nlst-101287", z, y, x)
        assert volume < 10


@pytest.mark.parametrize("name", SCANS)
def test_nothing_is_marked_in_bone_or_table(name):
    ct, prediction = read(name)
    parts, _ = ndimage.label(ct.hu >= BONE_HU, np.ones((3, 3, 3)))
    size = np.bincount(parts.ravel()) * ct.voxel_volume_mm3
    size[0] = 0
    bone = (size > BONE_MM3)[parts]
    assert np.count_nonzero(bone) * ct.voxel_volume_mm3 > 100_000
    assert not np.any(prediction.labels[bone])


@pytest.mark.parametrize("name", SCANS)
def test_everything_that_is_marked_lies_by_the_heart(name):
    """Within 5 cm of a chamber that the network itself found, which has the volume of an adult heart."""
    ct, prediction = read(name)
    chambers = (prediction.structures > 0) & (prediction.structures < Structure.AORTA)
    assert 150 < np.count_nonzero(chambers) * np.prod(prediction.structures_spacing_mm) / 1000 < 1200
    away = ndimage.distance_transform_edt(~chambers, sampling=prediction.structures_spacing_mm)
    marked = np.argwhere(prediction.labels > 0) * np.asarray(ct.spacing_mm)
    index = np.rint((marked - prediction.structures_offset_mm) / prediction.structures_spacing_mm).astype(int)
    assert away[tuple(np.clip(index, 0, np.array(away.shape) - 1).T)].max() < 50


@pytest.mark.parametrize(("name", "low", "high"), [("acrin-petct-042", 300, 1500), ("nlst-101287", 30, 250)])
def test_the_total_is_of_the_size_that_the_calcium_in_sight_gives(name, low, high):
    ct, prediction = read(name)
    assert low < score(ct, prediction.labels).total.agatston < high
