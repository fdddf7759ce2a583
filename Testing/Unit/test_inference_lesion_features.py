from __future__ import annotations

import numpy as np
import pytest

from CACScoringLib.inference.candidates import find_candidates
from CACScoringLib.inference.grids import Grid, ct_grid
from CACScoringLib.inference.lesion_features import (
    ALONE_MM3,
    FEATURES,
    NOWHERE_MM,
    CandidateRows,
    islands_to_look_at,
    lesion_features,
)
from CACScoringLib.inference.noise_features import MATCHED, MATCHED_RANK, NOISE

SPACING = (2.0, 0.5, 0.5)
COARSE = Grid((4.0, 4.0, 4.0), (0.0, 0.0, 0.0), (10, 10, 20))


def a_scan():
    """Blood of 40 HU, 40 mm high, 40 mm deep and 80 mm wide."""
    return np.full((20, 80, 160), 40, np.int16)


def measured(hu, coronary=0.5, kvp=120.0, structures=None):
    """Return the features of every island by name, one island after the other in reading order."""
    candidates = find_candidates(hu, ct_grid(hu.shape, SPACING))
    share = np.broadcast_to(coronary, len(candidates.index)).astype(np.float32)
    calcium = np.zeros((len(share), 5), np.float32)
    calcium[:, 0], calcium[:, 2] = 1.0 - share, share
    even = np.full((len(share), 5), 0.2, np.float32)
    rows = CandidateRows(calcium, even, even, np.full((len(share), 7), 1 / 7, np.float32))
    islands = islands_to_look_at(candidates, calcium)
    if structures is None:
        structures = np.ones(COARSE.shape, np.uint8)
    table = lesion_features(hu, SPACING, kvp, candidates, rows, structures, COARSE, islands)
    assert table.dtype == np.float32
    assert table.shape == (len(islands), len(FEATURES))
    assert np.isfinite(table).all()
    return [dict(zip(FEATURES, row.tolist(), strict=True)) for row in table]


def test_a_block_is_measured_in_millimetres():
    hu = a_scan()
    hu[10, 40:42, 20:60] = 300  # 2 x 1 x 20 mm
    (row,) = measured(hu)
    assert row["size"] == pytest.approx(np.log(40.0))
    assert row["voxels"] == 80
    axes = [row["long_axis"], row["middle_axis"], row["short_axis"]]
    assert axes == pytest.approx([20.0, 2.0, 1.0], rel=1e-3)
    assert row["elongation"] == pytest.approx(10.0, rel=1e-3)
    assert row["length"] == pytest.approx(20.0)
    assert row["filled"] == pytest.approx(1.0, rel=1e-2)
    assert (row["peak"], row["high"], row["mean"], row["spread"]) == (300, 300, 300, 0)
    assert row["log_odds"] == pytest.approx(0.0, abs=1e-5)
    assert (row["lad"], row["rca"]) == pytest.approx((1.0, 0.0))
    assert (row["up"], row["back"], row["left"]) == pytest.approx((20 / 36, 20.25 / 36, 19.75 / 76), rel=1e-3)
    assert (row["thickness"], row["pixel"], row["kvp"]) == (2.0, 0.5, 120.0)
    assert row["around_mean"] == 40.0


def test_an_even_tube_differs_from_an_uneven_one_of_the_same_mean():
    even, uneven = a_scan(), a_scan()
    even[10, 40:44, 20:80] = 400
    uneven[10, 40:44, 20:80] = 200
    uneven[10, 40:44, 40:60] = 800
    (one,), (other,) = measured(even), measured(uneven)
    assert one["mean"] == other["mean"] == 400
    assert one["section_variation"] == pytest.approx(0.0, abs=0.05)
    assert other["section_variation"] > 0.3
    assert one["ends"] == pytest.approx(1.0, abs=0.05)
    assert other["ends"] < 0.5


def test_a_hollow_tube_is_darker_inside():
    hollow, solid = a_scan(), a_scan()
    hollow[6:13, 36:46, 20:80] = 500
    hollow[8:11, 39:43, 20:80] = 150
    solid[6:13, 36:46, 20:80] = 500
    (one,), (other,) = measured(hollow), measured(solid)
    assert one["inner_minus_outer"] < -50
    assert other["inner_minus_outer"] == 0


def test_how_much_other_calcium_there_is_is_told_of_small_islands_only():
    hu = a_scan()
    hu[10, 10:14, 10:70] = 300  # 120 mm3
    hu[10, 40, 40] = 300  # 0.5 mm3
    large, speck = measured(hu)
    assert np.exp(large["size"]) > ALONE_MM3
    assert (large["other_lesions"], large["largest_other"]) == (0, 0)
    assert speck["other_lesions"] == pytest.approx(np.log1p(0.5 * np.sqrt(120.0)))
    assert speck["largest_other"] == pytest.approx(0.5 * np.sqrt(120.0))
    assert speck["other_specks"] == 0
    assert large["other_specks"] == pytest.approx(np.log1p(0.5 * np.sqrt(0.5)))
    assert large["specks"] == speck["specks"] == pytest.approx(np.log(2.0))
    hu[10, 10:14, 10:70] = 40
    (alone,) = measured(hu)
    assert (alone["other_lesions"], alone["largest_other"]) == (0, 0)


def test_what_the_network_hardly_believes_is_not_looked_at():
    hu = a_scan()
    hu[10, 10, 10] = hu[10, 40, 40] = 300
    assert len(measured(hu, coronary=np.array([0.02, 0.04]))) == 1
    assert measured(hu, coronary=0.01) == []


def test_without_a_heart_and_without_a_tube_voltage_there_are_still_numbers():
    hu = a_scan()
    hu[10, 10:14, 10:14] = 300
    (row,) = measured(hu, kvp=None, structures=np.zeros(COARSE.shape, np.uint8))
    assert row["kvp"] == 120.0
    assert (row["up"], row["back"], row["left"]) == (0.5, 0.5, 0.5)


def test_an_island_that_fills_the_scan_has_no_surroundings():
    hu = np.full((3, 20, 20), 300, np.int16)
    (row,) = measured(hu)
    assert (row["around_mean"], row["around_spread"]) == (130.0, 0.0)


def test_islands_are_measured_alike_alone_and_together():
    hu = a_scan()
    hu[5, 10:14, 10:30] = 500
    alone = measured(hu)[0]
    hu[15, 60:64, 100:130] = 250
    together = measured(hu)[0]
    of_scan = {"specks", "other_lesions", "other_specks", "largest_other", *MATCHED, *MATCHED_RANK, *NOISE}
    assert {k: v for k, v in alone.items() if k not in of_scan} == pytest.approx(
        {k: v for k, v in together.items() if k not in of_scan}
    )


def test_small_islands_are_told_how_near_another_lesion_is():
    hu = a_scan()
    hu[10, 40, 20:22] = 200  # a speck
    hu[10, 40, 60:80] = 300  # a lesion of 10 mm3, 24.5 mm away
    speck, lesion = measured(hu)
    assert np.expm1(speck["nearest_lesion"]) == pytest.approx(24.5)
    assert np.expm1(lesion["nearest_lesion"]) == pytest.approx(NOWHERE_MM)
    hu[10, 38:46, 60:80] = 300
    large, _ = measured(hu)
    assert large["nearest_lesion"] == 0.0
