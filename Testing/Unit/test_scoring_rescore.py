"""Rescoring after edits equals scoring from scratch, to the last bit, and measures only what an edit reaches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.scoring import PRESETS, Demographics, score
from CACScoringLib.scoring.rescore import Rescorer

SHAPE = (9, 12, 13)
VALUES_HU = np.array([-50, 40, 112, 113, 129, 130, 131, 199, 200, 300, 400, 900], np.int16)
OBLIQUE = (np.cos(0.3), -np.sin(0.3), 0.0, np.sin(0.3), np.cos(0.3), 0.0, 0.0, 0.0, 1.0)


def a_scan(rng, spacing=(3.0, 0.5, 0.5)):
    hu = rng.choice(VALUES_HU, SHAPE)
    return CTVolume(hu, spacing, (1.5, -3.25, 7.0), OBLIQUE, acquisition=Acquisition(kvp=120.0))


def an_edit(rng, labels):
    """Paint, erase or relabel a random box, or one voxel."""
    edited = labels.copy()
    low = [int(rng.integers(0, size)) for size in SHAPE]
    size = 1 if rng.random() < 0.3 else 4
    box = tuple(slice(start, start + int(rng.integers(1, size + 1))) for start in low)
    value = int(rng.choice([0, 0, 1, 2, 3, 4, 11, 14, 77]))
    where = rng.random(edited[box].shape) < rng.choice([0.4, 1.0])
    edited[box] = np.where(where, value, edited[box])
    return edited


def assert_same(result, expected):
    assert result.as_dict() == expected.as_dict()
    assert result.slices == expected.slices
    assert result.findings == expected.findings


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(sorted(PRESETS)),
    st.sampled_from([(3.0, 0.5, 0.5), (1.25, 0.4, 0.7), (0.6, 0.4, 0.4)]),
    st.sampled_from(["scale", "resample", "none"]),
    st.booleans(),
)
def test_any_row_of_edits_scores_as_from_scratch(seed, preset, spacing, mode, isotropic):
    rng = np.random.default_rng(seed)
    ct = a_scan(rng, spacing)
    options = {"preset": preset, "thickness_mode": mode, "isotropic_volume": isotropic}
    rescorer = Rescorer(ct, **options)
    labels = rng.choice(np.array([0, 0, 0, 1, 2, 3, 4, 14], np.uint8), SHAPE)
    for _ in range(4):
        assert_same(rescorer.update_labels(labels), score(ct, labels, **options))
        labels = an_edit(rng, labels)


@pytest.mark.parametrize("preset", ["agatston-1990", "orcascore", "literature", "nlst-de-vos-2017", "philips"])
def test_twenty_edits_and_their_undoing_score_as_from_scratch(preset):
    rng = np.random.default_rng(7)
    ct = a_scan(rng, (1.25, 0.4, 0.4))
    states = [rng.choice(np.array([0, 0, 0, 0, 0, 1, 2, 4, 14], np.uint8), SHAPE)]
    for _ in range(10):
        states.append(an_edit(rng, states[-1]))
    rescorer = Rescorer(ct, preset=preset, demographics=Demographics(61, "F"))
    for labels in [*states, *states[::-1]]:
        expected = score(ct, labels, preset=preset, demographics=Demographics(61, "F"))
        assert_same(rescorer.update_labels(labels), expected)


def test_no_labels_at_all_score_zero_before_and_after_an_edit():
    ct = a_scan(np.random.default_rng(1))
    nothing = np.zeros(SHAPE, np.uint8)
    rescorer = Rescorer(ct)
    assert_same(rescorer.update_labels(nothing), score(ct, nothing))
    full = np.full(SHAPE, 2, np.uint8)
    assert_same(rescorer.update_labels(full), score(ct, full))
    assert_same(rescorer.update_labels(nothing), score(ct, nothing))


def two_far_lesions():
    hu = np.full((10, 40, 40), 40, np.int16)
    labels = np.zeros(hu.shape, np.uint8)
    for z, y, x in ((2, 5, 5), (7, 30, 30)):
        hu[z, y : y + 3, x : x + 3], labels[z, y : y + 3, x : x + 3] = 250, 2
    return CTVolume(hu, (3.0, 1.0, 1.0), acquisition=Acquisition(kvp=120.0)), labels


def test_only_the_lesion_that_an_edit_reaches_is_measured_again():
    ct, labels = two_far_lesions()
    rescorer = Rescorer(ct)
    assert rescorer.update_labels(labels).total.agatston == 2 * 9 * 2
    assert rescorer.recomputed_voxels == 18
    labels[2, 5, 5] = 0
    assert rescorer.update_labels(labels).total.agatston == 8 * 2 + 9 * 2
    assert rescorer.recomputed_voxels == 8


def test_a_lesion_is_measured_again_when_the_edit_only_touches_its_corner():
    ct, labels = two_far_lesions()
    ct.hu[3, 8, 8] = 450
    rescorer = Rescorer(ct)
    assert rescorer.update_labels(labels).total.lesions == 2
    labels[3, 8, 8] = 2  # 26-connected to the voxel (2, 7, 7)
    result = rescorer.update_labels(labels)
    assert result.total.lesions == 2
    assert result.lesions[0].voxels == 10
    assert rescorer.recomputed_voxels == 10


def test_the_same_labels_give_the_same_object():
    ct, labels = two_far_lesions()
    rescorer = Rescorer(ct)
    assert rescorer.update_labels(labels) is rescorer.update_labels(labels.copy())


def test_a_label_that_means_nothing_is_a_finding_as_soon_as_it_is_painted():
    ct, labels = two_far_lesions()
    rescorer = Rescorer(ct)
    rescorer.update_labels(labels)
    labels[0, 0, 0] = 77
    codes = [finding.code for finding in rescorer.update_labels(labels).findings]
    assert "unknown-labels" in codes
    labels[0, 0, 0] = 0
    assert "unknown-labels" not in [finding.code for finding in rescorer.update_labels(labels).findings]
