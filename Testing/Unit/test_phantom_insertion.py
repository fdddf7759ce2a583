"""Synthetic calcium in a given scan: it lies in that scan's heart, is imaged as there, and the rest stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from CACScoringLib.ct import Acquisition, CTVolume
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.phantom import PhantomOptions, synthesize, synthesize_into
from CACScoringLib.phantom.insertion import heart_box
from CACScoringLib.phantom.truth import MARKED_HU
from CACScoringLib.vocabulary import Structure, Vessel

CALCIFIED = PhantomOptions(target_agatston=(150.0, 300.0))
BOX = ((-60.0, 20.0, 10.0), (55.0, 125.0, 105.0))


@pytest.fixture(scope="module")
def background() -> CTVolume:
    """Uniform fat of 200 x 200 x 120 mm, away from the origin, with padding in a corner."""
    hu = np.full((40, 200, 200), -80, np.int16)
    hu[:, :5, :5] = -2000
    known = Acquisition(kvp=120.0, slice_thickness_mm=3.0, gated=True, source="made here")
    return CTVolume(hu=hu, spacing_mm=(3.0, 1.0, 1.0), origin_mm=(-100.0, -30.0, 0.0), acquisition=known)


@pytest.fixture(scope="module")
def filled(background):
    return synthesize_into(background, seed=4, protocol="gated", box=BOX, options=CALCIFIED, fwhm_mm=1.5)


def test_calcium_and_its_labels_lie_inside_the_heart_box(filled):
    voxels = np.argwhere(filled.labels > 0)
    assert len(voxels) > 10
    places = (voxels * np.array(filled.ct.spacing_mm))[:, ::-1] + np.array(filled.ct.origin_mm)
    assert (places > np.array(BOX[0]) - 8.0).all()
    assert (places < np.array(BOX[1]) + 8.0).all()
    assert filled.ct.hu[filled.labels > 0].min() >= MARKED_HU
    assert set(np.unique(filled.labels)) - {0, 11} <= {int(v) for v in Vessel}


def test_labels_lie_on_the_vessel_tree_in_the_frame_of_the_scan(filled):
    line = np.vstack(list(filled.vessel_tree.values()))
    voxels = np.argwhere(np.isin(filled.labels, [int(v) for v in Vessel]))
    places = (voxels * np.array(filled.ct.spacing_mm))[:, ::-1] + np.array(filled.ct.origin_mm)
    distance = np.sqrt(((places[:, None] - line[None]) ** 2).sum(axis=2)).min(axis=1)
    assert distance.max() < 8.0
    for lesion in filled.truth.lesions:
        assert np.sqrt(((line - np.array(lesion.center_mm)) ** 2).sum(axis=1)).min() < 5.0


def test_wanted_score_is_reached_and_far_voxels_stay_as_they_were(background, filled):
    assert 0.7 * 150 < filled.truth.total.agatston < 1.3 * 300
    assert (filled.ct.hu[:, :5, :5] == -2000).all()
    assert (filled.ct.hu[:, 170:] == background.hu[:, 170:]).all()
    assert filled.ct.origin_mm == background.origin_mm


def test_arteries_are_soft_tissue_cords_in_fat_and_can_be_left_out(background, filled):
    start = filled.vessel_tree["RCA"][30]
    z, y, x = np.rint((start - np.array(background.origin_mm))[::-1] / np.array(background.spacing_mm)).astype(int)
    bare = PhantomOptions(target_agatston=(0.0, 0.0))
    cords = synthesize_into(background, seed=4, protocol="gated", box=BOX, options=bare, fwhm_mm=1.5)
    assert cords.ct.hu[z, y, x] > 0
    assert not cords.labels.any()
    without = synthesize_into(background, seed=4, protocol="gated", box=BOX, options=bare, vessels=False)
    assert (without.ct.hu == background.hu).all()


def test_no_calcium_is_put_into_lung(background):
    lung = replace(background, hu=np.full(background.shape, -850, np.int16))
    patient = synthesize_into(lung, seed=4, protocol="gated", box=BOX, options=CALCIFIED)
    assert not patient.labels.any()
    assert patient.truth.total.agatston == 0.0


def test_extra_noise_has_the_wanted_sd_and_the_seed_gives_the_same_bits(background):
    bare = PhantomOptions(target_agatston=(0.0, 0.0))

    def noisy() -> np.ndarray:
        return synthesize_into(background, seed=5, box=BOX, options=bare, extra_noise_hu=12.0, vessels=False).ct.hu

    hu = noisy()
    assert (hu[:, 20:] - background.hu[:, 20:]).std() == pytest.approx(12.0, rel=0.1)
    assert (hu == noisy()).all()


def test_labels_of_the_background_are_kept(background):
    known = np.zeros(background.shape, np.uint8)
    known[2, 190, 190] = 11
    patient = synthesize_into(background, seed=4, protocol="gated", box=BOX, options=CALCIFIED, background_labels=known)
    assert patient.labels[2, 190, 190] == 11


def test_heart_box_of_a_structure_map_in_mm():
    ct = CTVolume(np.zeros((50, 60, 70), np.int16), (2.0, 2.0, 2.0), (10.0, 20.0, 30.0))
    structures = np.zeros(ct.shape, np.uint8)
    structures[5:46, 10:51, 20:61] = Structure.LEFT_VENTRICLE
    low, high = heart_box(structures, ct)
    assert low == pytest.approx((50.0, 40.0, 40.0), abs=1.0)
    assert high == pytest.approx((130.0, 120.0, 120.0), abs=1.0)


def test_structure_map_of_a_synthetic_patient_places_the_tree_on_his_heart():
    empty = synthesize(seed=21, protocol="gated", options=PhantomOptions(matrix=128, target_agatston=(0.0, 0.0)))
    patient = synthesize_into(empty.ct, seed=8, protocol="gated", structures=empty.structures, options=CALCIFIED)
    gap = {
        name: np.sqrt(((patient.vessel_tree[name][:, None] - empty.vessel_tree[name][None]) ** 2).sum(axis=2)).min(
            axis=1
        )
        for name in ("LM", "LAD", "RCA")
    }
    assert all(np.median(distance) < 20.0 for distance in gap.values())
    assert (patient.structures == empty.structures).all()


def test_impossible_or_missing_box_and_tilted_scans_are_refused(background):
    with pytest.raises(InputRefusedError, match="heart"):
        synthesize_into(background, seed=1)
    with pytest.raises(InputRefusedError, match="20 x 20 x 20 mm"):
        synthesize_into(background, seed=1, box=((0, 0, 0), (20, 20, 20)))
    tilted = replace(background, direction=(0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    with pytest.raises(InputRefusedError, match="axial"):
        synthesize_into(tilted, seed=1, box=BOX)
