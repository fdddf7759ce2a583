from __future__ import annotations

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.grids import Grid
from CACScoringLib.inference.heart import (
    coarse_volume,
    heart_cut,
    heart_region,
    heart_volume_ml,
    largest_heart,
    search_windows,
)
from CACScoringLib.methods.evidence import cut_findings, heart_findings

GRID = Grid((4.0, 4.0, 4.0), (0.0, 0.0, 0.0), (30, 40, 40))


def probability_of(labels):
    return np.eye(8, dtype=np.float32)[labels].transpose(3, 0, 1, 2)


def a_heart():
    labels = np.zeros(GRID.shape, np.uint8)
    labels[10:20, 15:25, 20:28] = 2
    labels[12:18, 17:23, 22:26] = 1
    labels[10:20, 15:25, 12:20] = 3
    labels[18:28, 18:24, 16:22] = 6
    return labels


def test_the_largest_heart_stays_and_islands_go():
    labels = a_heart()
    labels[2:5, 2:5, 2:5] = 4
    np.testing.assert_array_equal(largest_heart(probability_of(labels)), a_heart())


def test_what_lies_far_below_the_left_ventricle_is_liver():
    labels = a_heart()
    labels[3:10, 15:25, 12:20] = 3
    found = largest_heart(probability_of(labels))
    assert not found[:8].any()
    np.testing.assert_array_equal(found[10:], a_heart()[10:])


def test_no_heart_stays_no_heart():
    empty = np.zeros(GRID.shape, np.uint8)
    assert not largest_heart(probability_of(empty)).any()
    assert not heart_region(empty, GRID).any()


def test_the_region_reaches_14_mm_round_the_chambers_and_follows_vessels_only_nearby():
    region = heart_region(a_heart(), GRID)
    assert region[15, 20, 27 + 3]
    assert not region[15, 20, 27 + 4]
    assert region[22, 20, 18]
    assert not region[26, 20, 18]


def test_volume_is_that_of_the_voxels():
    labels = np.zeros(GRID.shape, np.uint8)
    labels[:5, :5, :5] = 1
    assert heart_volume_ml(labels, GRID) == 125 * 64 / 1000


def test_the_coarse_volume_is_the_body_where_it_lies():
    hu = np.full((30, 100, 100), -1000, np.int16)
    hu[:, 40:80, 20:90] = 30
    coarse, grid = coarse_volume(CTVolume(hu, (4.0, 2.0, 2.0)))
    assert grid.offset_mm == (0.0, 80.0, 40.0)
    assert coarse.shape == (30, 20, 35)
    np.testing.assert_allclose(coarse[:, 1:-1, 1:-1], 30, atol=1e-3)


def test_a_scan_that_fits_one_window_is_searched_once():
    assert search_windows((60, 50, 64)) == 1
    assert search_windows((60, 50, 65)) == 3


def test_a_heart_is_cut_by_as_much_of_it_as_the_end_slices_hold():
    heart = a_heart()
    assert heart_cut(heart) == (0.0, 0.0)
    assert heart_cut(heart[15:]) == (1.0, 0.0)
    assert heart_cut(heart[:15]) == (0.0, 1.0)
    assert heart_cut(heart[15:16]) == (1.0, 1.0)
    assert heart_cut(np.zeros(GRID.shape, np.uint8)) == (0.0, 0.0)


def test_the_aorta_leaving_the_scan_cuts_no_heart():
    heart = a_heart()
    heart[18:, 18:24, 16:22] = 6
    assert heart_cut(heart) == (0.0, 0.0)


def test_a_scan_that_begins_or_ends_within_the_heart_says_so():
    heart = np.repeat(np.repeat(a_heart(), 2, axis=1), 2, axis=2)
    assert heart_findings(heart, GRID) == ()
    (begins,) = heart_findings(heart[12:], GRID)
    assert begins.code == "heart-cut"
    assert "its lowest slice holds 100% of the heart's largest cross-section." in begins.message
    (ends,) = heart_findings(heart[:18], GRID)
    assert "its highest slice" in ends.message
    assert cut_findings(0.29, 0.04) == ()
    assert "lowest" in cut_findings(0.3, 0.05)[0].message
    assert "highest" in cut_findings(0.3, 0.05)[0].message
