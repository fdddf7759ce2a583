from __future__ import annotations

import numpy as np

from CACScoringLib.inference.candidates import BONE_MM3, Candidates, candidate_maps, find_candidates, footprint
from CACScoringLib.inference.grids import Grid, ct_grid
from CACScoringLib.methods.evidence import without_bone

SPACING = (3.0, 0.5, 0.5)


def scan(*voxels, shape=(6, 20, 20)):
    hu = np.full(shape, 40, np.int16)
    for z, y, x, value in voxels:
        hu[z, y, x] = value
    return hu, ct_grid(shape, SPACING)


def test_islands_touching_at_a_corner_across_slices_are_one_candidate():
    hu, grid = scan((2, 5, 5, 130), (3, 6, 6, 200), (2, 15, 15, 400))
    found = find_candidates(hu, grid)
    assert found.count == 2
    assert sorted(found.size_mm3) == [0.75, 1.5]


def test_the_threshold_itself_is_a_candidate_and_one_below_is_not():
    hu, grid = scan((1, 1, 1, 130), (1, 10, 10, 129))
    assert find_candidates(hu, grid).hu.tolist() == [130]
    assert find_candidates(hu, grid, threshold_hu=129).count == 2


def half_region(shape=(6, 20, 20)):
    region_grid = Grid((3.0, 2.0, 2.0), (0.0, 0.0, 0.0), (shape[0], shape[1] // 4, shape[2] // 4))
    region = np.zeros(region_grid.shape, bool)
    region[:, :, : region_grid.shape[2] // 2] = True
    return region, region_grid


def test_a_lesion_that_straddles_the_border_of_the_region_is_taken_whole():
    hu, grid = scan(*[(2, 10, x, 300) for x in range(4, 16)], (4, 2, 18, 500))
    found = find_candidates(hu, grid, *half_region())
    assert found.count == 1
    assert sorted(found.index[:, 2]) == list(range(4, 16))
    assert found.size_mm3.tolist() == [12 * 0.75]


def test_bone_is_cut_at_the_border_and_its_rests_are_candidates_of_their_own():
    hu, grid = scan(shape=(8, 60, 60))
    hu[1:7, 5:55, 20:56] = 400
    hu[1:7, 29:31, :40] = 40
    region, region_grid = half_region(hu.shape)
    found = find_candidates(hu, grid, region, region_grid)
    columns = (found.index * np.array(SPACING))[:, 2]
    assert hu[hu > 130].size * 0.75 > 3000
    assert found.count == 2
    assert columns.max() <= 13.0
    assert found.size_mm3.sum() == len(found.index) * 0.75


def test_what_is_cut_off_bone_is_known_to_be_bone():
    hu, grid = scan(shape=(20, 60, 100))
    hu[1:19, 5:55, 20:96] = 400
    hu[10, 57, 2:5] = 300
    region, region_grid = half_region(hu.shape)
    found = find_candidates(hu, grid, region, region_grid)
    assert BONE_MM3 < 18 * 50 * 76 * 0.75
    assert dict(zip(found.size_mm3.round(2).tolist(), found.of_bone.tolist(), strict=True)) == {
        3 * 0.75: False,
        round(np.count_nonzero(found.lesion == found.size_mm3.argmax()) * 0.75, 2): True,
    }


def test_a_piece_of_bone_is_no_aorta_but_may_hold_a_lesion_of_a_vessel():
    index = np.array([[1, 1, x] for x in range(4)], np.int32)
    candidates = Candidates(
        index, np.full(4, 300, np.int16), np.array([0, 0, 1, 1]), np.full(2, 1.5, np.float32), np.array([True, False])
    )
    assert without_bone(candidates, np.array([11, 2, 11, 2], np.uint8)).tolist() == [0, 2, 11, 2]
    assert without_bone(candidates, np.zeros(4, np.uint8)).dtype == np.uint8


def test_an_empty_region_and_a_clean_scan_have_no_candidates():
    hu, grid = scan((1, 1, 1, 500))
    region_grid = Grid((3.0, 2.0, 2.0), (0.0, 0.0, 0.0), (6, 5, 5))
    assert find_candidates(hu, grid, np.zeros(region_grid.shape, bool), region_grid).count == 0
    assert find_candidates(np.zeros((3, 4, 4), np.int16), ct_grid((3, 4, 4), SPACING)).count == 0


def test_maps_carry_peak_fraction_and_island_size():
    hu, grid = scan((2, 10, 9, 150), (2, 10, 10, 450))
    target = Grid((3.0, 2.0, 2.0), (0.0, 0.0, 0.0), (6, 5, 5))
    maps = candidate_maps(find_candidates(hu, grid), grid, target)
    cell = (2, 2, 2)
    assert maps["peak"][cell] == 450
    assert maps["size"][cell] == 1.5
    np.testing.assert_allclose(maps["fraction"].sum() * 3.0 * 4.0, 1.5, rtol=1e-6)


def test_a_thick_voxel_covers_all_the_cells_below_it():
    hu, grid = scan((2, 10, 10, 300))
    target = Grid((1.0, 0.5, 0.5), (-1.0, 0.0, 0.0), (18, 20, 20))
    parts = footprint(find_candidates(hu, grid).index, grid, target)
    cells = np.concatenate([p[0] for p in parts])
    assert sorted(cells[:, 0].tolist()) == [6, 7, 8]
    assert all(p[2] == 1.0 for p in parts)
