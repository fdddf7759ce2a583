from __future__ import annotations

import numpy as np
import pytest

from CACScoringLib.inference.candidates import find_candidates
from CACScoringLib.inference.grids import Grid, ct_grid
from CACScoringLib.inference.sequence import PLANE, join_channels, sequence_channels, sequence_grid, slices_joined

COARSE = Grid((4.0, 4.0, 4.0), (0.0, 0.0, 0.0), (40, 50, 50))


def a_region():
    """A box whose middle lies at (78, 98, 98) mm, 80 mm high."""
    region = np.zeros(COARSE.shape, bool)
    region[10:30, 15:35, 15:35] = True
    return region


def none_on(grid):
    return find_candidates(np.zeros(grid.shape, np.int16), grid)


@pytest.mark.parametrize(
    ("increment", "joined"), [(5.0, 1), (3.27, 1), (2.5, 1), (2.0, 1), (1.5, 2), (1.25, 2), (1.0, 2), (0.6, 4)]
)
def test_only_slices_thinner_than_two_millimetres_are_joined(increment, joined):
    assert slices_joined(increment) == joined


def test_the_sequence_is_the_cts_own_slices_round_the_region():
    grid = ct_grid((60, 200, 200), (3.0, 1.0, 1.0))
    slices = sequence_grid(a_region(), COARSE, none_on(grid), grid)
    # The region reaches from 38 to 118 mm; with 4 mm beyond, slices 12 (36 mm) to 40 (120 mm).
    assert slices.spacing_mm == (3.0, 1.5, 1.5)
    assert slices.offset_mm[0] == 36.0
    assert slices.shape == (29, PLANE, PLANE)
    middle = np.asarray(slices.offset_mm[1:]) + (PLANE - 1) / 2 * 1.5
    np.testing.assert_allclose(middle, (98.0, 98.0))


def test_the_sequence_ends_where_the_scan_ends():
    grid = ct_grid((20, 200, 200), (5.0, 1.0, 1.0))
    slices = sequence_grid(a_region(), COARSE, none_on(grid), grid)
    assert slices.offset_mm[0] == 35.0
    assert slices.shape[0] == 13


def test_thin_slices_are_averaged_in_pairs():
    grid = ct_grid((160, 50, 50), (1.0, 4.0, 4.0))
    hu = np.zeros(grid.shape, np.int16)
    hu[50], hu[51] = 100, 60
    found = none_on(grid)
    slices = sequence_grid(a_region(), COARSE, found, grid)
    assert slices.spacing_mm[0] == 2.0
    assert slices.offset_mm[0] == 34.5
    channels = sequence_channels(hu, grid, found, np.zeros((8, *COARSE.shape), np.float32), COARSE, slices)
    # (80 + 200) / 250 - 1 in the soft-tissue window; slices 50 and 51 are one slice of the sequence, the ninth.
    np.testing.assert_allclose(channels[0, 8, 64, 64], 0.12, atol=1e-4)
    np.testing.assert_allclose(channels[0, [7, 9], 64, 64], -0.2, atol=1e-4)


def test_a_candidate_beyond_the_plane_widens_it():
    grid = ct_grid((60, 240, 240), (3.0, 1.0, 1.0))
    hu = np.zeros(grid.shape, np.int16)
    hu[5, 10, 98] = 300
    found = find_candidates(hu, grid)
    slices = sequence_grid(a_region(), COARSE, found, grid)
    # 98 - 9.5 = 88.5 mm to one side are 118 pixels in all: no wider. 207.5 - 98 mm to the other are 146: 152.
    assert slices.shape == (36, PLANE, PLANE)
    assert slices.offset_mm[0] == 15.0
    hu[5, 207, 98] = 300
    wide = sequence_grid(a_region(), COARSE, find_candidates(hu, grid), grid)
    assert wide.shape == (36, 152, PLANE)


def test_a_candidate_is_seen_in_its_own_slice_with_its_own_hu():
    grid = ct_grid((60, 200, 200), (3.0, 0.75, 0.75))
    hu = np.zeros(grid.shape, np.int16)
    hu[20, 130:132, 130:132] = 480
    found = find_candidates(hu, grid)
    slices = sequence_grid(a_region(), COARSE, found, grid)
    structures = np.zeros((8, *COARSE.shape), np.float32)
    structures[3, a_region()] = 1.0
    channels = sequence_channels(hu, grid, found, structures, COARSE, slices)
    assert channels.shape == (12, 29, PLANE, PLANE)
    assert set(np.argwhere(channels[1] > 0)[:, 0]) == {20 - 12}
    assert channels[1].max() == pytest.approx(480 / 400)
    assert channels[2].sum() == pytest.approx(1.0, rel=1e-5)
    assert channels[3].max() == pytest.approx(np.log1p(4 * 3.0 * 0.75**2) / 5, rel=1e-5)
    assert (channels[4] == np.float32(0.6)).all()
    assert channels[7, 14, 64, 64] == 1.0
    assert channels[[5, 6, 8, 9, 10, 11]].max() == 0.0


def test_channels_come_in_one_order():
    slices = Grid((2.5, 1.5, 1.5), (0.0, 0.0, 0.0), (2, 8, 8))
    out = join_channels(np.full((4, 2, 8, 8), 7.0, np.float32), np.full((7, 2, 8, 8), 9.0, np.float32), slices)
    assert out[:, 0, 0, 0].tolist() == [7.0] * 4 + [0.5] + [9.0] * 7
