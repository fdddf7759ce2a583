from __future__ import annotations

import numpy as np
import pytest

from CACScoringLib.inference.candidates import Candidates, find_candidates
from CACScoringLib.inference.grids import ct_grid
from CACScoringLib.inference.lesions import SPECK_MM3
from CACScoringLib.inference.noise_features import BLURS_MM, NEAR_MM, NOISE_FEATURES, noise_features

SPACING = (3.0, 1.0, 1.0)
SHAPE = (12, 80, 80)


def measured(hu):
    """Return the features of every island by name, in reading order."""
    candidates = find_candidates(hu, ct_grid(hu.shape, SPACING))
    table = noise_features(hu, SPACING, candidates, np.arange(candidates.count))
    assert table.shape == (candidates.count, len(NOISE_FEATURES))
    assert np.isfinite(table).all()
    return [dict(zip(NOISE_FEATURES, row.tolist(), strict=True)) for row in table]


def flat(level=40):
    return np.full(SHAPE, level, np.int16)


def noisy(seed=0, sd=15.0):
    return (40.0 + sd * np.random.default_rng(seed).standard_normal(SHAPE)).round().clip(-100, 125).astype(np.int16)


def test_every_column_has_a_name_of_its_own():
    assert len(set(NOISE_FEATURES)) == len(NOISE_FEATURES)


def test_nothing_is_measured_where_nothing_is_asked():
    none = Candidates(np.zeros((0, 3), np.int32), np.zeros(0, np.int16), np.zeros(0, np.int32), np.zeros(0, np.float32))
    assert noise_features(flat(), SPACING, none, np.zeros(0, np.int64)).shape == (0, len(NOISE_FEATURES))


def test_a_single_voxel_is_averaged_with_gaussians():
    hu = flat()
    hu[6, 40, 40] = 240  # 200 above what it lies in
    (row,) = measured(hu)
    for blur in (1.0, 2.0, 3.0):
        expected = 40 + 200 / (2 * np.pi * blur**2)
        assert row[f"blur_{blur:g}"] == pytest.approx(expected, rel=0.02)
    assert row["rise_1"] == pytest.approx(row["blur_1"] - row[f"blur_{BLURS_MM[-1]:g}"])
    assert row["next_higher_1"] == pytest.approx(40.0)
    assert (row["beside"], row["above_higher"], row["ring_mean"]) == (40.0, 40.0, 40.0)
    assert row["excess"] == pytest.approx((240 - 130) * 3.0)


def test_a_blurred_spot_differs_from_a_lone_voxel_of_the_same_peak():
    lone, blurred = noisy(), noisy()
    blurred[6, 39:42, 39:42] += 60
    blurred[[5, 7], 40, 40] += 50
    blurred = blurred.clip(-100, 129)
    lone[6, 40, 40] = blurred[6, 40, 40] = 150
    (one,), (other,) = measured(lone), measured(blurred)
    assert other["matched_1"] > one["matched_1"] + 3.0
    assert other["beside"] > one["beside"] + 30.0
    assert other["above_higher"] > one["above_higher"]


def test_other_specks_say_how_rare_an_island_is():
    hu = noisy()
    places = [(2, 10, 10), (4, 30, 60), (8, 60, 20), (10, 70, 70)]
    for place, peak in zip(places, (135, 140, 150, 180), strict=True):
        hu[place] = peak
    hu[10, 69:72, 69:72] = np.maximum(hu[10, 69:72, 69:72], 120)
    rows = measured(hu)
    assert [round(np.expm1(row["brighter"])) for row in rows] == [3, 2, 1, 0]
    assert [row["share_heavier"] for row in rows] == pytest.approx([1.0, 2 / 3, 1 / 3, 0.0])
    assert [row["near_specks"] for row in rows] == [0.0] * 4
    assert rows[3]["better_matched_1"] == 0.0
    assert max(row["share_better_matched_1"] for row in rows) == 1.0


def test_each_of_many_specks_has_a_rank_of_its_own_whichever_are_asked_about():
    hu = noisy(seed=3, sd=28.0)
    hu[np.random.default_rng(5).random(SHAPE) < 0.004] = 131
    candidates = find_candidates(hu, ct_grid(hu.shape, SPACING))
    column = NOISE_FEATURES.index("better_matched_1")
    every = noise_features(hu, SPACING, candidates, np.arange(candidates.count))[:, column]
    ranks = np.expm1(every[candidates.size_mm3 < SPECK_MM3])
    assert len(ranks) > 100
    np.testing.assert_allclose(np.sort(ranks), np.arange(len(ranks)), atol=1e-6)
    some = np.array([0, *range(1, candidates.count, 7), candidates.count - 1])
    np.testing.assert_allclose(noise_features(hu, SPACING, candidates, some)[:, column], every[some])


def test_neighbours_are_counted_within_their_reach():
    hu = flat()
    hu[6, 40, 20] = hu[6, 40, 20 + int(NEAR_MM) - 1] = 150
    hu[6, 40, 20 + 2 * int(NEAR_MM)] = 140
    first, second, _ = measured(hu)
    assert np.expm1(first["near_specks"]) == pytest.approx(1.0)
    assert np.expm1(second["near_specks"]) == pytest.approx(1.0)
    assert first["share_near_heavier"] == 1.0


def test_an_island_at_the_border_is_measured():
    hu = flat()
    hu[0, 0, 0] = hu[-1, -1, -1] = 200
    first, last = measured(hu)
    assert first["blur_3"] == pytest.approx(last["blur_3"])
    assert first["above_second"] == 120.0  # beyond the border its own slice goes on


def test_what_lies_far_from_the_islands_does_not_matter():
    near, far = noisy(), noisy()
    near[2, 20, 20] = far[2, 20, 20] = 160
    far[8:, 60:, 60:] = -900
    (one,), (other,) = measured(near), measured(far)
    assert one == other
