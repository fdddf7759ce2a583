"""Candidates against a second, slower way of finding them; no nodes here."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from CACScoringLib.mrml.editing.candidates import CandidateRules, find_candidates, rules_for
from CACScoringLib.scoring.presets import PRESETS
from CACScoringLib.scoring.thresholds import thresholds_for_kvp

SPACING_MM = (3.0, 0.5, 0.5)


def noise(seed):
    return np.random.default_rng(seed).normal(90, 50, (7, 15, 16)).astype(np.int16)


def neighbours(connectivity):
    if connectivity in (4, 8):
        structure = np.zeros((3, 3, 3), bool)
        structure[1] = ndimage.generate_binary_structure(2, 1 if connectivity == 4 else 2)
        return structure
    return ndimage.generate_binary_structure(3, 1 if connectivity == 6 else 3)


def same_parts(one, other):
    """Whether two numberings divide the voxels alike."""
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("in_plane", "whole"), [(8, 26), (4, 6)])
def test_islands_and_lesions_are_the_connected_components(seed, in_plane, whole):
    hu = noise(seed)
    found = find_candidates(hu, SPACING_MM, CandidateRules(in_plane=in_plane, whole=whole))
    mask = hu >= 130
    assert np.array_equal(found.flat, np.flatnonzero(mask))
    for numbers, connectivity in ((found.island, in_plane), (found.lesion, whole)):
        expected = ndimage.label(mask, structure=neighbours(connectivity))[0]
        assert same_parts(numbers, expected[mask])
    assert found.lesion_voxels.sum() == mask.sum()


@pytest.mark.parametrize("seed", range(4))
def test_a_piece_is_what_is_connected_through_its_own_label_or_none(seed):
    hu = noise(seed)
    found = find_candidates(hu, SPACING_MM, CandidateRules())
    labels = np.random.default_rng(seed + 50).choice([0, 0, 1, 2], hu.shape).astype(np.uint8)
    labels[hu < 130] = 0
    for number in range(0, len(found), 17):
        z, y, x = found.zyx(np.array([number]))[0]
        for whole in (False, True):
            fits = (hu >= 130) & ((labels == 0) | (labels == labels[z, y, x]))
            part = ndimage.label(fits, structure=neighbours(26 if whole else 8))[0]
            expected = np.flatnonzero(part == part[z, y, x])
            piece = found.piece(number, labels.reshape(-1)[found.flat], whole=whole)
            assert np.array_equal(found.flat[piece], expected)


def test_the_threshold_itself_counts_unless_the_preset_is_strict():
    hu = np.array([[[129, 130, 131]]], np.int16)
    assert len(find_candidates(hu, SPACING_MM, CandidateRules())) == 2
    assert len(find_candidates(hu, SPACING_MM, CandidateRules(strict=True))) == 1


def test_small_islands_count_with_the_lesion_they_belong_to():
    hu = np.zeros((4, 8, 8), np.int16)
    hu[1, 2, 2:6], hu[2, 2, 2], hu[2, 7, 7] = 300, 300, 300
    rules = rules_for(PRESETS["agatston-1990"], thresholds_for_kvp(120), SPACING_MM)
    assert (rules.minimum_pixels, rules.in_plane, rules.whole) == (4, 8, 26)  # 1 mm2 of 0.25 mm2 pixels
    found = find_candidates(hu, SPACING_MM, rules)
    assert found.countable.tolist() == [True] * 5 + [False]
    assert np.array_equal(found.shown, found.countable)


def test_each_presets_rules_are_its_own():
    rules = {name: rules_for(preset, thresholds_for_kvp(120), SPACING_MM) for name, preset in PRESETS.items()}
    assert rules["siemens"].minimum_pixels == 1
    assert rules["canon"].minimum_pixels == 4
    assert rules["philips"].threshold_hu == 112.5
    assert (rules["nlst-de-vos-2017"].minimum_voxels, rules["nlst-de-vos-2017"].in_plane) == (2, 8)
    assert (rules["orcascore"].in_plane, rules["orcascore"].whole, rules["orcascore"].strict) == (4, 6, True)
    assert rules_for(PRESETS["philips"], thresholds_for_kvp(100), SPACING_MM).threshold_hu == pytest.approx(
        112.5 * 145 / 130
    )


def test_a_scan_without_calcium_has_no_candidates():
    found = find_candidates(np.zeros((3, 4, 5), np.int16), SPACING_MM, CandidateRules())
    assert len(found) == 0
    assert found.at((1, 1, 1)) is None
    assert found.nearest((1, 1, 1), 5.0) is None
    assert len(found.in_box(np.zeros(3), np.full(3, 9))) == 0
    assert not found.shown.any()


def test_a_box_of_voxels_includes_its_ends():
    hu = np.full((4, 5, 6), 200, np.int16)
    found = find_candidates(hu, SPACING_MM, CandidateRules())
    inside = found.in_box(np.array([1, 2, 3]), np.array([2, 2, 5]))
    assert found.zyx(inside).tolist() == [[z, 2, x] for z in (1, 2) for x in (3, 4, 5)]
    assert len(found.in_box(np.array([-3, -3, -3]), np.array([99, 99, 99]))) == hu.size
    assert len(found.in_box(np.array([9, 0, 0]), np.array([12, 4, 5]))) == 0
