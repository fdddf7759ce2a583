"""What a synthetic scan promises: the same for a seed, labels that an expert would draw, truth that fits the image."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from scipy import ndimage

from CACScoringLib.phantom import PROTOCOLS, PhantomOptions, SyntheticPatient, synthesize
from CACScoringLib.phantom.calcium import draw_target
from CACScoringLib.phantom.scanner import draw_scanner
from CACScoringLib.phantom.truth import MARKED_HU
from CACScoringLib.vocabulary import LABEL_BY_VALUE, Structure, Vessel

SMALL = PhantomOptions(matrix=112)
CALCIFIED = PhantomOptions(matrix=192, target_agatston=(150.0, 400.0))


@lru_cache(maxsize=8)
def scan(seed: int, protocol: str, options: PhantomOptions = SMALL) -> SyntheticPatient:
    return synthesize(seed=seed, protocol=protocol, options=options)


def digest(patient: SyntheticPatient) -> str:
    return hashlib.sha256(patient.ct.hu.tobytes() + patient.labels.tobytes() + patient.structures.tobytes()).hexdigest()


def test_same_seed_gives_the_same_bits_and_another_seed_another_scan():
    again = synthesize(seed=3, protocol="gated", options=SMALL)
    assert digest(again) == digest(scan(3, "gated"))
    assert again.truth.as_dict() == scan(3, "gated").truth.as_dict()
    assert digest(scan(4, "gated")) != digest(again)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_protocol_decides_field_of_view_voltage_and_gating(protocol):
    ct = scan(3, protocol).ct
    field = ct.spacing_mm[2] * ct.shape[2]
    limits = {
        "gated": (180, 250, {80, 100, 120}, 2.5, 3.0),
        "chest": (280, 400, {100, 120, 140}, 1.25, 3.0),
        "pet-ctac": (500, 700, {100, 120, 140}, 2.5, 5.0),
        "spect-ctac": (500, 600, {120, 130}, 2.5, 5.0),
    }[protocol]
    assert limits[0] - 0.1 <= field <= limits[1] + 0.1
    assert ct.acquisition.kvp in limits[2]
    assert limits[3] <= ct.spacing_mm[0] <= limits[4]
    assert ct.acquisition.gated is (protocol == "gated")  # nor is seed 3 of spect-ctac
    assert ct.acquisition.contrast is False
    assert ct.acquisition.increment_mm == ct.spacing_mm[0]
    assert ct.hu.dtype == np.int16
    assert ct.hu.max() <= 3071


def test_half_of_spect_ctac_is_triggered_as_in_the_paper_and_half_is_low_dose():
    drawn = [draw_scanner(seed, "spect-ctac", 512, wide=False) for seed in range(400)]
    triggered = [scanner for scanner in drawn if scanner.gated]
    assert 160 < len(triggered) < 240
    # Sartoretti 2023, CACS Imaging: 120 kVp, 25 cm, 440.5 +- 96 mA for 0.28 s, the heart at once
    assert {(s.kvp, s.fov, s.phase_step, s.protocol) for s in triggered} == {(120.0, 250.0, 0.0, "spect-ctac")}
    assert np.mean([s.mas for s in triggered]) == pytest.approx(440.5 * 0.28, rel=0.1)
    low_dose = [scanner for scanner in drawn if not scanner.gated]
    assert min(s.fov for s in low_dose) == 500.0
    assert max(s.mas for s in low_dose) <= 40.0 < min(s.mas for s in triggered)


def test_a_triggered_scan_says_so_and_covers_the_heart_in_one_turn():
    ct = scan(4, "spect-ctac", replace(SMALL, gated=True)).ct
    assert ct.acquisition.gated is True
    assert ct.shape[0] * ct.spacing_mm[0] <= 160.0 + 10.0
    assert ct.shape[2] * ct.spacing_mm[2] == pytest.approx(250.0)


def test_which_kind_of_scan_can_be_said_and_changes_nothing_where_a_protocol_has_one():
    for seed in range(12):
        assert draw_scanner(seed, "spect-ctac", 512, wide=False, gated=True).gated
        assert not draw_scanner(seed, "spect-ctac", 512, wide=False, gated=False).gated
        assert draw_scanner(seed, "chest", 512, False, gated=True) == draw_scanner(seed, "chest", 512, False)
    ct = synthesize(seed=3, protocol="spect-ctac", options=PhantomOptions(matrix=64, gated=True)).ct
    assert ct.acquisition.gated is True
    with pytest.raises(ValueError, match="gated scans are always ECG-gated"):
        synthesize(seed=3, protocol="gated", options=PhantomOptions(gated=False))


def test_unknown_protocol_is_named_in_the_error():
    with pytest.raises(ValueError, match="pet-ctac"):
        synthesize(seed=1, protocol="mri")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_structure_is_in_the_scan_at_the_hu_of_blood_or_muscle(protocol):
    patient = scan(7, protocol)
    assert set(np.unique(patient.structures)) == {0, *(int(s) for s in Structure)}
    for structure in Structure:
        inside = ndimage.binary_erosion(patient.structures == structure, iterations=1)
        if inside.sum() > 60:
            assert 20 < np.median(patient.ct.hu[inside]) < 80, structure.name


def test_structures_lie_as_in_a_body():
    patient = scan(7, "gated")
    center = {s: np.argwhere(patient.structures == s).mean(axis=0) for s in Structure}
    assert center[Structure.RIGHT_ATRIUM][2] < center[Structure.LEFT_VENTRICLE][2]
    assert center[Structure.RIGHT_VENTRICLE][1] < center[Structure.LEFT_ATRIUM][1]
    assert center[Structure.PULMONARY_ARTERY][0] > center[Structure.LEFT_VENTRICLE][0]


@pytest.mark.parametrize("protocol", ["gated", "chest"])
def test_labels_mark_only_voxels_that_some_threshold_counts(protocol):
    patient = scan(7, protocol, CALCIFIED)
    assert (patient.labels > 0).any()
    assert patient.ct.hu[patient.labels > 0].min() >= MARKED_HU
    assert MARKED_HU <= 115  # the threshold at 140 kVp
    assert set(np.unique(patient.labels)) <= {0, *LABEL_BY_VALUE}


def test_coronary_labels_lie_near_the_centreline_of_their_vessel():
    patient = scan(7, "gated", CALCIFIED)
    ct = patient.ct
    owners = {
        "LM": Vessel.LM,
        "LAD": Vessel.LAD,
        "LCX": Vessel.LCX,
        "RCA": Vessel.RCA,
        "AM": Vessel.RCA,
        "ramus": Vessel.LCX,
    }
    for vessel in Vessel:
        voxels = np.argwhere(patient.labels == vessel)
        if not len(voxels):
            continue
        places = (voxels * np.array(ct.spacing_mm))[:, ::-1] + np.array(ct.origin_mm)
        names = [
            n
            for n in patient.vessel_tree
            if owners.get(n) == vessel
            or n == "PDA"
            or (n[0] == "D" and vessel == Vessel.LAD)
            or (n[:2] == "OM" and vessel == Vessel.LCX)
        ]
        line = np.vstack([patient.vessel_tree[name] for name in names])
        distance = np.sqrt(((places[:, None] - line[None]) ** 2).sum(axis=2)).min(axis=1)
        assert np.median(distance) < 5.0
        assert distance.max() < 12.0


def test_patient_without_calcium_has_no_coronary_label():
    patient = scan(5, "gated", PhantomOptions(matrix=112, target_agatston=(0.0, 0.0)))
    assert not np.isin(patient.labels, [int(v) for v in Vessel]).any()
    assert patient.truth.total.agatston == 0.0
    assert patient.truth.lesions == ()


def test_a_third_have_no_calcium_and_every_category_is_common():
    totals = np.array([draw_target(seed, PhantomOptions()) for seed in range(600)])
    assert 0.27 < (totals == 0).mean() < 0.40
    for low, high in ((1, 101), (101, 401), (401, 1e6)):
        assert ((totals >= low) & (totals < high)).mean() > 0.10


def test_zero_fraction_and_target_range_are_kept():
    assert all(draw_target(seed, PhantomOptions(zero_fraction=0.0)) > 0 for seed in range(50))
    assert all(draw_target(seed, PhantomOptions(zero_fraction=1.0)) == 0 for seed in range(50))
    assert all(20 <= draw_target(s, PhantomOptions(target_agatston=(20, 60))) <= 60 for s in range(50))


def test_wanted_score_is_reached_in_the_noise_free_image():
    total = scan(7, "gated", CALCIFIED).truth.total
    assert 0.7 * 150 < total.agatston < 1.3 * 400


def test_total_truth_is_the_sum_of_the_vessels_and_fits_the_volume():
    truth = scan(7, "gated", CALCIFIED).truth
    assert truth.total.agatston == pytest.approx(sum(v.agatston for v in truth.vessels.values()), abs=0.01)
    assert truth.total.mass_mg == pytest.approx(sum(lesion.mass_mg for lesion in truth.lesions), abs=0.01)
    # Agatston = volume / 3 mm x a weight of 1 to 4
    assert truth.total.volume_mm3 / 3.0 <= truth.total.agatston + 0.01 <= 4.0 * truth.total.volume_mm3 / 3.0 + 0.02


def test_noisy_labels_score_about_what_the_noise_free_image_scores():
    from CACScoringLib.phantom.truth import THRESHOLD_HU, agatston

    patient = scan(7, "gated", CALCIFIED)
    coronary = (patient.labels > 0) & (patient.labels <= max(Vessel)) & (patient.ct.hu >= THRESHOLD_HU)
    score, _, _ = agatston(patient.ct.hu, coronary, patient.ct.spacing_mm)
    assert 0.7 < score / patient.truth.total.agatston < 2.0


def test_enriched_patients_have_more_mimics_than_the_population():
    from CACScoringLib.phantom.mimics import ENRICHED, prevalence

    assert prevalence("gated", True) == ENRICHED
    assert min(value for name, value in ENRICHED.items() if name != "stent") >= 0.2
    for protocol in PROTOCOLS:
        plain = prevalence(protocol, False)
        assert set(plain) == set(ENRICHED)
        assert all(ENRICHED[name] > plain[name] for name in plain)


def test_only_some_cohorts_were_treated_before():
    from CACScoringLib.phantom.mimics import prevalence

    stents = {protocol: prevalence(protocol, False)["stent"] for protocol in PROTOCOLS}
    # Sartoretti 2023, Table 1: no infarction, no bypass; Pieszko 2022, Table 2: 109 of 2,737
    assert stents["gated"] == stents["spect-ctac"] == 0.0
    assert stents["pet-ctac"] == pytest.approx(109 / 2737, abs=0.001)
