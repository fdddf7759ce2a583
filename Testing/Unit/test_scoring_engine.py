"""Scores worked out by hand, one rule of the definition at a time."""

from __future__ import annotations

import numpy as np
import pytest

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.findings import InputRefusedError, warning
from CACScoringLib.scoring import PRESETS, score
from CACScoringLib.vocabulary import NonCoronary, Vessel

SHAPE = (6, 12, 12)


def a_ct(spacing=(3.0, 0.5, 0.5), kvp=120.0, thickness=None, shape=SHAPE, **acquisition):
    return CTVolume(
        np.full(shape, 40, dtype=np.int16),
        spacing,
        acquisition=Acquisition(kvp=kvp, slice_thickness_mm=thickness, **acquisition),
    )


def painted(ct, *lesions):
    """Set (voxels, HU, label) and return the label map."""
    labels = np.zeros(ct.shape, dtype=np.uint8)
    for where, hu, label in lesions:
        ct.hu[where] = hu
        labels[where] = label
    return labels


def codes(result):
    return [finding.code for finding in result.findings]


def test_a_scan_without_labels_scores_zero_everywhere():
    result = score(a_ct(), np.zeros(SHAPE, np.uint8))
    assert result.total.agatston == result.total.volume_mm3 == result.total.mass_mg == 0
    assert (result.total.max_hu, result.total.mean_hu, result.total.density, result.diffusivity) == (None,) * 4
    assert result.lesions == ()
    assert result.calcified_vessels == 0
    assert result.extent_z_mm == 0
    assert result.risk["spect-pet-4"] == "0"
    assert result.risk["cac-drs"] == "A0/N0"


@pytest.mark.parametrize(
    ("hu", "weight"),
    [(129, 0), (130, 1), (199, 1), (200, 2), (299, 2), (300, 3), (399, 3), (400, 4), (3000, 4)],
)
def test_weight_grows_at_130_200_300_400_inclusive(hu, weight):
    ct = a_ct()
    labels = painted(ct, (np.s_[2, 3:5, 3:5], hu, Vessel.LAD))
    # 4 pixels of 0.25 mm2 = 1 mm2, 3 mm slices
    assert score(ct, labels).total.agatston == weight


def test_score_is_area_times_weight_times_increment_over_3():
    ct = a_ct(spacing=(1.5, 0.4, 0.5))
    labels = painted(ct, (np.s_[2, 3:6, 3:6], 250, Vessel.RCA))
    result = score(ct, labels)
    # 9 pixels of 0.2 mm2, weight 2, 1.5 / 3
    assert result.vessels["RCA"].agatston == pytest.approx(9 * 0.2 * 2 * 0.5)
    assert result.vessels["RCA"].volume_mm3 == pytest.approx(9 * 0.2 * 1.5)
    assert result.total.density == 2


def test_increment_counts_and_not_slice_thickness():
    thin, thick = a_ct(thickness=3.0), a_ct(thickness=5.0)
    lesion = (np.s_[2, 3:6, 3:6], 250, Vessel.RCA)
    first = score(thin, painted(thin, lesion)).total.agatston
    assert first == score(thick, painted(thick, lesion)).total.agatston == pytest.approx(9 * 0.25 * 2)


def test_island_weight_is_its_own_maximum_not_the_lesions():
    ct = a_ct()
    labels = painted(ct, (np.s_[2, 3:5, 3:5], 150, Vessel.LAD), (np.s_[3, 3:5, 3:5], 150, Vessel.LAD))
    ct.hu[3, 3, 3] = 450
    result = score(ct, labels)
    # one lesion in two slices: 1 mm2 with weight 1, and 1 mm2 with weight 4
    assert result.total.lesions == 1
    assert result.total.agatston == 5
    assert result.total.density == 2.5


def test_two_islands_in_one_slice_have_their_own_weights():
    ct = a_ct()
    labels = painted(ct, (np.s_[2, 1:3, 1:3], 150, Vessel.LAD), (np.s_[2, 7:9, 7:9], 450, Vessel.LAD))
    assert score(ct, labels).total.agatston == 1 + 4


def test_touching_vessels_are_scored_apart():
    ct = a_ct()
    labels = painted(ct, (np.s_[2, 3:5, 2:4], 150, Vessel.LAD), (np.s_[2, 3:5, 4:6], 450, Vessel.LCX))
    result = score(ct, labels)
    # were they one island, both would have weight 4
    assert result.vessels["LAD"].agatston == 1
    assert result.vessels["LCX"].agatston == 4
    assert result.total.lesions == 2
    assert result.calcified_vessels == 2


def test_a_lesion_that_two_vessels_share_can_fall_below_the_minimum_in_both():
    ct = a_ct()
    labels = painted(ct, (np.s_[2, 3, 2:4], 150, Vessel.LAD), (np.s_[2, 3, 4:6], 150, Vessel.LCX))
    assert score(ct, labels).total.agatston == 0


def test_only_voxels_at_the_threshold_count_whatever_the_mask_contains():
    ct = a_ct()
    lesion = painted(ct, (np.s_[2, 3:6, 3:6], 250, Vessel.LM))
    generous = np.full(SHAPE, Vessel.LM, np.uint8)
    assert score(ct, generous).total == score(ct, lesion).total


@pytest.mark.parametrize(
    ("preset", "pixels", "counts"),
    [
        ("agatston-1990", 3, False),
        ("agatston-1990", 4, True),
        ("ge-smartscore", 3, False),
        ("philips", 1, False),
        ("philips", 2, True),
        ("siemens", 1, True),
        ("canon", 3, False),
        ("canon", 4, True),
        ("deepcac", 3, False),
        ("deepcac", 4, True),
        ("orcascore", 1, True),
    ],
)
def test_smallest_island_of_each_preset_at_a_quarter_mm2_a_pixel(preset, pixels, counts):
    ct = a_ct()
    labels = painted(ct, (np.s_[2, 3, 3 : 3 + pixels], 150, Vessel.LAD))
    assert (score(ct, labels, preset=preset).total.agatston > 0) is counts


def test_minimum_area_is_rounded_up_to_whole_pixels():
    # 0.36 mm2 a pixel: 1 mm2 needs ceil(2.78) = 3 pixels
    for pixels, expected in ((2, 0.0), (3, 3 * 0.36)):
        ct = a_ct(spacing=(3.0, 0.6, 0.6))
        labels = painted(ct, (np.s_[2, 3, 3 : 3 + pixels], 150, Vessel.LAD))
        assert score(ct, labels).total.agatston == pytest.approx(expected)


def test_minimum_is_for_each_slice_island_not_for_the_lesion():
    ct = a_ct()
    labels = painted(ct, (np.s_[2, 3:5, 3:5], 150, Vessel.LAD), (np.s_[3, 3, 3:5], 150, Vessel.LAD))
    assert score(ct, labels).total.voxels == 4


def test_diagonal_pixels_are_one_island_with_8_and_two_with_4():
    ct = a_ct()
    labels = painted(ct, (np.s_[2, 3:5, 3:5], 150, Vessel.LAD), (np.s_[2, 5:7, 5:7], 450, Vessel.LAD))
    assert score(ct, labels).total.agatston == 8 * 0.25 * 4
    assert score(ct, labels, connectivity=4).total.agatston == 1 + 4


def test_orcascore_is_strict_and_counts_the_left_main_as_lad():
    ct = a_ct()
    labels = painted(ct, (np.s_[2, 3, 3], 130, Vessel.LAD), (np.s_[2, 8, 8], 131, Vessel.LM))
    result = score(ct, labels, preset="orcascore")
    assert result.vessels["LM"].agatston == 0
    assert result.vessels["LAD"].agatston == 0.25
    assert "lm-counted-with-lad" in codes(result)


def test_orcascore_lesion_takes_its_maximum_in_the_slice_over_all_its_parts_there():
    # a horseshoe: two arms in slice 2 joined in slice 3 are one 6-connected lesion, whose maximum in slice 2 is 450
    ct = a_ct()
    labels = painted(
        ct,
        (np.s_[2, 3, 3], 150, Vessel.LAD),
        (np.s_[2, 3, 7], 450, Vessel.LAD),
        (np.s_[3, 3, 3:8], 150, Vessel.LAD),
    )
    result = score(ct, labels, preset="orcascore")
    assert result.total.agatston == pytest.approx((2 * 4 + 5 * 1) * 0.25)
    assert result.total.lesions == 1


def test_nlst_preset_drops_components_below_one_and_a_half_cubic_mm():
    ct = a_ct(spacing=(1.5, 0.5, 0.5), thickness=3.0)
    # 0.375 mm3 a voxel: 4 voxels are 1.5 mm3, 3 are not
    labels = painted(ct, (np.s_[2, 3, 3:7], 150, Vessel.LAD), (np.s_[4, 9, 3:6], 150, Vessel.LAD))
    result = score(ct, labels, preset="nlst-de-vos-2017")
    assert result.total.voxels == 4
    assert result.total.agatston == pytest.approx(4 * 0.25 * 0.5)


def test_nlst_preset_averages_to_3_mm_every_1_5_mm():
    ct = a_ct(spacing=(1.5, 0.5, 0.5), thickness=1.5)
    labels = painted(ct, (np.s_[2:4, 3:6, 3:6], 240, Vessel.LAD))
    result = score(ct, labels, preset="nlst-de-vos-2017")
    # slabs of 3 mm centred on each slice: a quarter of either neighbour. Slices 2 and 3: 0.75 * 240 + 0.25 * 40 = 190;
    # their outer neighbours 0.25 * 240 + 0.75 * 40 = 90
    assert result.scored_spacing_mm == (1.5, 0.5, 0.5)
    assert (result.total.voxels, result.total.max_hu) == (18, 190)
    assert result.total.agatston == pytest.approx(18 * 0.25 * 1 * 0.5)


def test_resample_averages_contiguous_3_mm():
    ct = a_ct(spacing=(1.0, 0.5, 0.5))
    labels = painted(ct, (np.s_[0:2, 3:5, 3:5], 400, Vessel.LAD))
    result = score(ct, labels, thickness_mode="resample")
    # slab 0 holds slices 0 to 2: (400 + 400 + 40) / 3 = 280
    assert result.total.max_hu == 280
    assert result.total.agatston == 1 * 2
    assert result.total.volume_mm3 == 4 * 0.25 * 3
    assert result.lesions[0].slices == (0, 2)
    assert result.lesions[0].centroid_voxel[0] == 1.0
    assert "resampled" in codes(result)
    assert result.thickness_mode == "resample"


def test_resample_leaves_3_mm_slices_and_says_so():
    ct = a_ct()
    labels = painted(ct, (np.s_[2, 3:6, 3:6], 250, Vessel.LAD))
    result = score(ct, labels, thickness_mode="resample")
    assert result.total == score(ct, labels).total
    assert "not-resampled" in codes(result)
    assert result.thickness_mode == "scale"


def test_legacy_mode_has_no_increment_factor_and_warns():
    ct = a_ct(spacing=(1.0, 0.5, 0.5))
    labels = painted(ct, (np.s_[2, 3:5, 3:5], 150, Vessel.LAD))
    result = score(ct, labels, thickness_mode="none")
    assert result.total.agatston == 1
    assert "not-scaled" in codes(result)


def test_overlapping_slices_are_found_and_the_result_says_what_was_done():
    ct = a_ct(spacing=(1.5, 0.5, 0.5), thickness=3.0)
    labels = painted(ct, (np.s_[2, 3:5, 3:5], 150, Vessel.LAD))
    result = score(ct, labels)
    said = next(finding.message for finding in result.findings if finding.code == "overlap-handled")
    assert result.total.agatston == 0.5
    assert "1.5/3 mm" in said


def test_philips_counts_volume_and_mass_from_112_hu_and_agatston_from_130():
    ct = a_ct()
    labels = painted(ct, (np.s_[2, 3:5, 3:5], 140, Vessel.LAD), (np.s_[2, 3:5, 5], 113, Vessel.LAD))
    labels[2, 5, 3:5], ct.hu[2, 5, 3:5] = Vessel.LAD, 112
    result = score(ct, labels, preset="philips", calibration=0.8e-3)
    assert result.total.agatston == 1
    assert result.total.volume_mm3 == 6 * 0.75
    assert result.total.mass_mg == pytest.approx(0.8e-3 * (4 * 140 + 2 * 113) * 0.75)
    assert result.mass_threshold_hu == 112.5


def test_mass_is_factor_times_mean_hu_times_volume():
    ct = a_ct()
    labels = painted(ct, (np.s_[2, 3:5, 3:5], 200, Vessel.LAD))
    calibrated = score(ct, labels, calibration=0.7e-3)
    assert calibrated.total.mass_mg == pytest.approx(0.7e-3 * 200 * 3.0)
    assert "mass-uncalibrated" not in codes(calibrated)
    plain = score(ct, labels)
    assert plain.total.mass_mg == pytest.approx(0.769e-3 * 200 * 3.0)
    assert "mass-uncalibrated" in codes(plain)


def test_non_coronary_calcium_is_in_no_total():
    ct = a_ct()
    labels = painted(
        ct,
        *((np.s_[z, 3:5, 3:5], 450, value) for z, value in enumerate(NonCoronary)),
        (np.s_[5, 3:5, 3:5], 150, Vessel.RCA),
    )
    result = score(ct, labels)
    assert result.total.agatston == 1
    assert result.total.lesions == 1
    assert result.extent_z_mm == 3
    assert {name: entry.agatston for name, entry in result.non_coronary.items()} == dict.fromkeys(
        ("aorta", "aortic_valve", "mitral_valve", "other"), 4.0
    )


def test_diffusivity_and_number_of_vessels():
    ct = a_ct()
    labels = painted(
        ct,
        (np.s_[0, 3:5, 3:5], 450, Vessel.LM),
        (np.s_[2, 3:5, 3:5], 150, Vessel.LAD),
        (np.s_[4, 3:5, 3:5], 350, Vessel.RCA),
    )
    result = score(ct, labels)
    assert result.calcified_vessels == 3
    assert result.diffusivity == pytest.approx(1 - 4 / 8)
    assert result.extent_z_mm == 15
    assert result.risk["cac-drs"] == "A1/N3"


def test_scores_of_a_slice_are_listed_by_acquired_slice():
    ct = a_ct()
    labels = painted(ct, (np.s_[1, 3:5, 3:5], 150, Vessel.LAD), (np.s_[4, 3:5, 3:5], 450, Vessel.RCA))
    assert score(ct, labels).slices == {1: {"LAD": 1.0}, 4: {"RCA": 4.0}}


def test_lesion_table_gives_place_and_scores():
    ct = CTVolume(
        np.full(SHAPE, 40, np.int16), (3.0, 0.5, 0.5), origin_mm=(-10.0, -20.0, 100.0), acquisition=Acquisition(kvp=120)
    )
    labels = painted(ct, (np.s_[1:3, 4:6, 6:8], 150, Vessel.RCA), (np.s_[5, 1:3, 1:3], 250, Vessel.LM))
    ct.hu[2, 5, 7] = 300
    left_main, right = score(ct, labels).lesions
    assert (left_main.id, left_main.vessel, right.id, right.vessel) == (1, "LM", 2, "RCA")
    assert right.centroid_voxel == (1.5, 4.5, 6.5)
    assert right.centroid_lps_mm == (-10 + 3.25, -20 + 2.25, 100 + 4.5)
    assert (right.slices, right.peak_voxel, right.voxels) == ((1, 2), (2, 5, 7), 8)
    assert right.agatston == 1 * 1 + 1 * 3
    assert right.volume_mm3 == 8 * 0.75
    assert (right.max_hu, right.mean_hu) == (300, (7 * 150 + 300) / 8)


def test_lesions_touching_by_a_corner_in_the_next_slice_are_one():
    ct = a_ct()
    labels = painted(ct, (np.s_[1, 2:4, 2:4], 150, Vessel.RCA), (np.s_[2, 4:6, 4:6], 150, Vessel.RCA))
    assert score(ct, labels).total.lesions == 1
    labels = painted(ct, (np.s_[1, 2:4, 2:4], 150, Vessel.RCA), (np.s_[3, 4:6, 4:6], 150, Vessel.RCA))
    assert score(ct, labels).total.lesions == 2


def test_confidence_of_a_method_reaches_its_lesion():
    ct = a_ct()
    labels = painted(ct, (np.s_[1, 3:5, 3:5], 150, Vessel.LAD), (np.s_[4, 3:5, 3:5], 450, Vessel.RCA))
    index = np.zeros(SHAPE, np.int32)
    index[4, 3:5, 3:5] = 1
    judged = score(ct, labels).with_confidence(index, np.array([0.9]))
    assert [lesion.confidence for lesion in judged.lesions] == [None, 0.9]


def test_minimum_overrides_replace_the_presets_rule():
    ct = a_ct()
    labels = painted(ct, (np.s_[2, 3, 3:5], 150, Vessel.LAD))
    assert score(ct, labels, minimum_pixels=1).total.agatston == 0.5
    assert score(ct, labels, minimum_area_mm2=0.5).total.agatston == 0.5
    assert score(ct, labels, preset="siemens", minimum_area_mm2=0.51).total.agatston == 0
    assert score(ct, labels, minimum_pixels=1).preset.minimum_area_mm2 is None


def test_thresholds_follow_the_tube_voltage_unless_told_otherwise():
    ct = a_ct(kvp=100.0)
    labels = painted(ct, (np.s_[2, 3:5, 3:5], 144, Vessel.LAD), (np.s_[4, 3:5, 3:5], 222, Vessel.RCA))
    result = score(ct, labels)
    # 100 kVp: 145 / 222 / 334 / 446
    assert result.vessels["LAD"].agatston == 0
    assert result.vessels["RCA"].agatston == 2
    assert score(ct, labels, kvp=120).vessels["LAD"].agatston == 1
    fixed = score(ct, labels, adapt_kvp=False)
    assert fixed.vessels["LAD"].agatston == 1
    assert "kvp-not-adapted" in codes(fixed)


def test_findings_of_the_scan_and_of_the_caller_are_carried_once():
    ct = a_ct(kvp=None).with_findings(warning("unknown-kvp", "From the loader."))
    result = score(ct, np.zeros(SHAPE, np.uint8), findings=(warning("low-confidence", "From the method."),))
    assert codes(result).count("unknown-kvp") == 1
    assert "low-confidence" in codes(result)
    assert "unknown-kvp" not in codes(score(ct, np.zeros(SHAPE, np.uint8), kvp=120))


def test_unknown_label_values_are_not_scored_and_named():
    ct = a_ct()
    labels = painted(ct, (np.s_[2, 3:5, 3:5], 450, 7))
    result = score(ct, labels)
    assert result.total.agatston == 0
    assert "label 7" in next(finding.message for finding in result.findings if finding.code == "unknown-labels")


def test_a_scan_of_many_chunks_scores_as_one(monkeypatch):
    ct = a_ct()
    labels = painted(ct, (np.s_[1:5, 3:6, 3:6], 250, Vessel.LAD))
    whole = score(ct, labels)
    monkeypatch.setattr("CACScoringLib.scoring.voxels._CHUNK", 2 * 12 * 12)
    assert score(ct, labels).lesions == whole.lesions


def test_the_order_of_axes_in_memory_does_not_matter():
    ct = a_ct(shape=(5, 11, 13))
    labels = painted(ct, (np.s_[2, 3:6, 3:6], 250, Vessel.LAD))
    assert score(ct, np.asfortranarray(labels)).total == score(ct, labels).total
    assert score(ct, labels.astype(np.int64)).total == score(ct, labels).total


@pytest.mark.parametrize(
    ("labels", "options", "code"),
    [
        (np.zeros((1, 2, 3), np.uint8), {}, "labels-on-another-grid"),
        (np.zeros(SHAPE), {}, "labels-not-integer"),
        (np.full(SHAPE, -1), {}, "labels-out-of-range"),
        (np.zeros(SHAPE, np.uint8), {"preset": "agatston"}, "unknown-preset"),
        (np.zeros(SHAPE, np.uint8), {"thickness_mode": "auto"}, "unknown-thickness-mode"),
        (np.zeros(SHAPE, np.uint8), {"connectivity": 7}, "unknown-connectivity"),
        (np.zeros(SHAPE, np.uint8), {"kvp": 12}, "implausible-kvp"),
        (np.zeros(SHAPE, np.uint8), {"calibration": 0.72}, "implausible-mass-factor"),
        (np.zeros(SHAPE, np.uint8), {"minimum_pixels": 1, "minimum_area_mm2": 1.0}, "two-minimum-areas"),
        (np.zeros(SHAPE, np.uint8), {"minimum_pixels": -1}, "negative-minimum-area"),
    ],
)
def test_senseless_input_is_refused_with_one_sentence(labels, options, code):
    with pytest.raises(InputRefusedError) as refused:
        score(a_ct(), labels, **options)
    assert refused.value.finding.code == code
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_names_its_numbers_and_source(preset):
    ct = a_ct()
    document = score(ct, painted(ct, (np.s_[2, 3:6, 3:6], 250, Vessel.LAD)), preset=preset).as_dict()["preset"]
    assert document["name"] == preset
    assert document["source"]
    assert document["status"] in ("verified", "secondary")
    assert document["threshold_hu"] == 130
    assert document["thresholds"]["hu"] == [130, 200, 300, 400]
