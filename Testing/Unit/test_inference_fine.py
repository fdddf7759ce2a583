from __future__ import annotations

import numpy as np

from CACScoringLib.inference.candidates import find_candidates
from CACScoringLib.inference.fine import at_candidates, fine_grid_over
from CACScoringLib.inference.grids import Grid, ct_grid

SPACING = (3.0, 0.5, 0.5)
SHAPE = (10, 80, 80)


def a_lesion_beyond_its_region():
    hu = np.full(SHAPE, 40, np.int16)
    hu[5, 40, 20:60] = 300
    grid = ct_grid(SHAPE, SPACING)
    region_grid = Grid((4.0, 4.0, 4.0), (0.0, 0.0, 0.0), (8, 10, 10))
    region = np.zeros(region_grid.shape, bool)
    region[3:5, 4:6, 3:4] = True
    return find_candidates(hu, grid, region, region_grid), grid, region, region_grid


def test_the_fine_grid_covers_the_region_and_what_of_a_lesion_lies_outside_it():
    candidates, grid, region, region_grid = a_lesion_beyond_its_region()
    fine = fine_grid_over(region, region_grid, candidates, grid, margin_mm=2.0)
    low, high = np.asarray(fine.offset_mm), np.array([axis[-1] for axis in fine.axes_mm()])
    assert len(candidates.index) == 40
    assert low.tolist() == [10.0, 14.0, 9.75]
    assert np.all(high >= [18.0, 22.0, 29.75])


def test_a_candidate_takes_the_mean_of_its_cells_and_without_one_the_first_class():
    candidates, grid, _, _ = a_lesion_beyond_its_region()
    fine = Grid((3.0, 0.5, 5.0), (15.0, 20.0, 10.0), (1, 1, 2))
    cells = np.array([[0, 0, 0], [0, 0, 1]])
    values = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32)
    out = at_candidates(values, cells, candidates, grid, fine)
    x_mm = candidates.index[:, 2] * 0.5
    np.testing.assert_allclose(out[x_mm < 12.0], [[0.2, 0.8]] * int((x_mm < 12.0).sum()), rtol=1e-6)
    np.testing.assert_allclose(out[(x_mm > 13.0) & (x_mm < 17.0), 0], 0.6, rtol=1e-6)
    assert out[x_mm > 18.0].tolist() == [[1.0, 0.0]] * int((x_mm > 18.0).sum())
