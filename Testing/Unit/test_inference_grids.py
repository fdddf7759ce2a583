from __future__ import annotations

import numpy as np
import pytest

from CACScoringLib.inference.grids import Grid, covering_grid, resample_linear, resample_mean, sample_nearest


def grid(spacing, offset, shape):
    return Grid(tuple(spacing), tuple(offset), tuple(shape))


def test_a_linear_ramp_is_resampled_exactly():
    source = grid((2.0, 1.0, 1.0), (0, 0, 0), (10, 20, 20))
    z, y, x = np.meshgrid(*source.axes_mm(), indexing="ij")
    target = grid((1.5, 0.7, 0.7), (3.0, 2.0, 4.0), (6, 9, 9))
    tz, ty, tx = np.meshgrid(*target.axes_mm(), indexing="ij")
    out = resample_linear(z + 2 * y - x, source, target)
    np.testing.assert_allclose(out, tz + 2 * ty - tx, atol=1e-4)


def test_block_means_keep_a_ramp_in_place_when_the_target_is_coarser():
    source = grid((1.0, 0.4, 0.4), (0, 0, 0), (30, 90, 90))
    z, y, x = np.meshgrid(*source.axes_mm(), indexing="ij")
    target = grid((4.0, 4.0, 4.0), (6.0, 8.0, 8.0), (4, 5, 5))
    tz, ty, tx = np.meshgrid(*target.axes_mm(), indexing="ij")
    np.testing.assert_allclose(resample_mean(z + y + 3 * x, source, target), tz + ty + 3 * tx, atol=1e-3)


def test_block_means_average_noise():
    rng = np.random.default_rng(0)
    source = grid((1.0, 0.5, 0.5), (0, 0, 0), (32, 128, 128))
    noise = rng.normal(0, 40, source.shape)
    target = grid((4.0, 4.0, 4.0), (4, 4, 4), (6, 14, 14))
    assert resample_mean(noise, source, target).std() < 6


def test_outside_the_source_is_filled():
    source = grid((1, 1, 1), (0, 0, 0), (4, 4, 4))
    out = resample_mean(np.full((4, 4, 4), 50.0), source, grid((1, 1, 1), (-3, 0, 0), (8, 4, 4)), fill=-1024)
    assert (out[:3] == -1024).all()
    assert (out[3:7] == 50).all()
    assert (out[7:] == -1024).all()


def test_a_target_beside_the_source_is_all_fill():
    source = grid((1, 1, 1), (0, 0, 0), (4, 4, 4))
    assert (resample_mean(np.ones((4, 4, 4)), source, grid((1, 1, 1), (50, 0, 0), (2, 2, 2))) == -1024).all()


def test_nearest_keeps_labels_and_is_zero_outside():
    source = grid((1, 1, 1), (0, 0, 0), (3, 3, 3))
    labels = np.full((3, 3, 3), 4, np.uint8)
    out = sample_nearest(labels, source, grid((0.5, 1, 1), (-2, 0, 0), (12, 3, 3)))
    assert out.dtype == np.uint8
    assert set(np.unique(out)) == {0, 4}
    assert (out[:3] == 0).all()
    assert (out[4:9] == 4).all()


def test_covering_grid_holds_both_corners():
    g = covering_grid(np.array([1.0, 2.0, 3.0]), np.array([10.0, 9.0, 20.0]), (4.0, 2.0, 1.5), multiple=4)
    for axis, high in zip(g.axes_mm(), (10.0, 9.0, 20.0), strict=True):
        assert axis[-1] >= high
        assert len(axis) % 4 == 0
    assert g.offset_mm == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("point", [(0.0, 0.0, 0.0), (7.9, 4.1, 3.0)])
def test_index_of_is_the_nearest_voxel(point):
    g = grid((2.0, 1.25, 1.25), (1.0, -1.0, 0.5), (6, 9, 9))
    index = g.index_of(np.array([point]))[0]
    centre = [a[i] for a, i in zip(g.axes_mm(), index, strict=True)]
    assert np.all(np.abs(np.array(centre) - point) <= np.array(g.spacing_mm) / 2 + 0.5)
