from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from CACScoringLib.inference.candidates import find_candidates
from CACScoringLib.inference.grids import ct_grid
from CACScoringLib.inference.lesions import DecisionSettings, decide, needed_probability

SPACING = (1.0, 1.0, 1.0)


def candidates_of(mask):
    hu = np.where(mask, 300, 0).astype(np.int16)
    return find_candidates(hu, ct_grid(mask.shape, SPACING))


def sure(labels, classes=5, p=0.9):
    rows = np.full((len(labels), classes), (1 - p) / (classes - 1), np.float32)
    rows[np.arange(len(labels)), labels] = p
    return rows


def bar(length=40):
    mask = np.zeros((3, 4, length + 4), bool)
    mask[1, 1:3, 2 : length + 2] = True
    return mask


def test_a_lesion_is_labelled_as_a_whole_although_a_few_voxels_disagree():
    c = candidates_of(bar())
    vessels = np.where(c.index[:, 2] < 5, 1, 2)
    out = decide(c, sure(vessels), sure(np.zeros(len(vessels), int)), 1.0)
    assert set(out.label) == {2}
    assert out.lesion_label.tolist() == [2]


def test_a_lesion_is_split_where_two_vessels_meet():
    c = candidates_of(bar())
    vessels = np.where(c.index[:, 2] < 17, 1, 2)
    out = decide(c, sure(vessels), sure(np.zeros(len(vessels), int)), 1.0)
    np.testing.assert_array_equal(out.label, vessels)


def test_scattered_disagreement_does_not_split():
    c = candidates_of(bar())
    vessels = np.where(c.index[:, 2] % 4 == 0, 4, 2)
    out = decide(c, sure(vessels), sure(np.zeros(len(vessels), int)), 1.0)
    assert set(out.label) == {2}


@pytest.mark.parametrize(("length", "labels"), [(1, {2}), (2, {1, 2}), (4, {1, 2})])
def test_the_smallest_part_that_is_split_off_is_a_setting(length, labels):
    c = candidates_of(bar())
    vessels = np.where(c.index[:, 2] < 2 + length, 1, 2)
    volume = float(np.count_nonzero(vessels == 1))

    def labels_with(split_mm3):
        settings = DecisionSettings(split_mm3=split_mm3, split_share=0.02)
        return set(decide(c, sure(vessels), sure(np.zeros(len(vessels), int)), 1.0, settings).label)

    assert labels_with(4.0) == labels
    assert labels_with(volume) == {1, 2}
    assert labels_with(volume + 0.5) == {2}


def test_what_is_not_coronary_gets_the_other_branchs_label_or_none():
    mask = np.zeros((3, 8, 20), bool)
    mask[1, 2:4, 2:5] = True
    mask[1, 2:4, 12:15] = True
    c = candidates_of(mask)
    other = np.where(c.index[:, 2] < 8, 2, 0)
    out = decide(c, sure(np.zeros(len(other), int)), sure(other), 1.0)
    assert sorted(out.lesion_label.tolist()) == [0, 12]
    np.testing.assert_allclose(out.probability, 0.9, atol=1e-6)


def test_coronary_is_the_sum_over_vessels():
    c = candidates_of(bar(4))
    rows = np.tile(np.array([0.4, 0.2, 0.2, 0.1, 0.1], np.float32), (len(c.index), 1))
    none = sure(np.zeros(len(c.index), int))
    assert decide(c, rows, none, 1.0).label.max() == 1
    assert decide(c, rows, none, 1.0, DecisionSettings(coronary_probability=0.7)).label.max() == 0


def test_specks_need_more_than_lesions_and_still_more_where_noise_makes_thousands_of_them():
    settings = DecisionSettings(coronary_probability=0.6, speck_probability=0.8)
    quiet = np.array([2.0, 7.9, 8.0, 59.0, 60.0, 500.0])
    assert needed_probability(quiet, settings).round(6).tolist() == [0.8, 0.8, 0.6, 0.6, 0.5, 0.5]
    noisy = np.concatenate((np.full(3000, 1.0), [30.0]))
    needed = needed_probability(noisy, settings)
    assert needed[0] == pytest.approx(40 / 41)
    assert needed[-1] == 0.6


def test_a_speck_is_dropped_where_a_lesion_of_the_same_probability_is_kept():
    mask = bar()
    mask[1, 1, 0] = True
    c = candidates_of(mask)
    rows = sure(np.full(len(c.index), 2), p=0.7)
    out = decide(c, rows, sure(np.zeros(len(rows), int)), 1.0, DecisionSettings(0.5, speck_probability=0.95))
    assert out.label[c.index[:, 2] == 0].tolist() == [0]
    assert set(out.label[c.index[:, 2] > 0]) == {2}


def test_left_main_has_odds_against_the_other_vessels_and_odds_against_everything_else():
    c = candidates_of(bar())
    none = sure(np.zeros(len(c.index), int))

    def label(row, **odds):
        rows = np.tile(np.array(row, np.float32), (len(c.index), 1))
        return set(decide(c, rows, none, 1.0, DecisionSettings(**odds)).label)

    between_vessels, at_the_ostium = [0.1, 0.5, 0.3, 0.1, 0.0], [0.4, 0.6, 0.0, 0.0, 0.0]
    assert label(between_vessels) == {1}
    assert label(between_vessels, left_main_vessel_odds=0.5) == {2}
    assert label(between_vessels, left_main_odds=0.5) == {1}
    assert label(at_the_ostium) == {1}
    assert label(at_the_ostium, left_main_vessel_odds=0.5) == {1}
    assert label(at_the_ostium, left_main_odds=0.5) == {0}
    assert label([0.4, 0.0, 0.6, 0.0, 0.0], left_main_odds=0.5) == {2}


def test_a_part_in_doubt_stays_with_its_coronary_lesion_and_does_not_leave_a_valve_for_a_vessel():
    c = candidates_of(bar())
    far = (c.index[:, 2] >= 27)[:, None]
    needs_much = DecisionSettings(coronary_probability=0.8)
    doubt, lad, no = [0.4, 0.0, 0.6, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]
    valve = sure(np.full(len(c.index), 2))
    coronary = decide(c, np.where(far, doubt, lad).astype(np.float32), valve, 1.0, needs_much)
    assert set(coronary.label) == {2}
    small = replace(needs_much, large_mm3=1e9)
    assert set(decide(c, np.where(far, doubt, no).astype(np.float32), valve, 1.0, small).label) == {12}
    # A part of a large island needs what the large island does, one half, and has to be large itself.
    rows, size = np.where(far, doubt, no).astype(np.float32), float(np.count_nonzero(far))
    assert set(decide(c, rows, valve, 1.0, needs_much).label) == {12}
    assert set(decide(c, rows, valve, 1.0, replace(needs_much, joins_mm3=size + 1)).label) == {12}
    parted = decide(c, rows, valve, 1.0, replace(needs_much, joins_mm3=size))
    np.testing.assert_array_equal(parted.label, np.where(far[:, 0], 2, 12))
    # Between what is no vessel, and out of a coronary lesion, smaller parts may leave.
    other = decide(c, sure(np.zeros(len(rows), int)), sure(np.where(far[:, 0], 1, 2)), 1.0)
    assert set(other.label) == {11, 12}
    assert set(decide(c, np.where(far, no, lad).astype(np.float32), valve, 1.0).label) == {2, 12}


@pytest.mark.parametrize(("probability", "label"), [(0.15, 12), (0.25, 2), (0.45, 2)])
def test_a_part_leaves_its_coronary_lesion_only_when_it_is_hardly_coronary(probability, label):
    c = candidates_of(bar())
    far = c.index[:, 2] >= 27
    part = [1 - probability, 0.0, probability, 0.0, 0.0]
    calcium = np.where(far[:, None], part, [0.0, 0.0, 1.0, 0.0, 0.0]).astype(np.float32)
    out = decide(c, calcium, sure(np.full(len(c.index), 2)), 1.0)
    assert set(out.label[far]) == {label}
    assert set(out.label[~far]) == {2}
    stays = decide(c, calcium, sure(np.full(len(c.index), 2)), 1.0, DecisionSettings(leaves_below=0.1))
    assert set(stays.label) == {2}


def test_settings_are_read_from_a_bundle_and_missing_ones_keep_their_default():
    assert DecisionSettings.from_bundle({"coronary_probability": 0.7, "network": {}}) == DecisionSettings(0.7)
