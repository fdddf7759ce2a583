"""The imaging chain's pieces against values that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from CACScoringLib.phantom import sdf
from CACScoringLib.phantom.anatomy import draw_anatomy
from CACScoringLib.phantom.canvas import Canvas, Grid
from CACScoringLib.phantom.coronaries import arc_length, build_tree
from CACScoringLib.phantom.heart import build_heart
from CACScoringLib.phantom.noise import amplitude
from CACScoringLib.phantom.particles import Cloud, slice_profile, splat
from CACScoringLib.phantom.scanner import draw_scanner
from CACScoringLib.phantom.texture import measure_texture
from CACScoringLib.phantom.tissue import calcium_slope
from CACScoringLib.phantom.truth import agatston, expert_labels


def test_ellipsoid_distance_is_zero_on_the_surface_and_exact_for_a_sphere():
    x = np.array([3.0, 0.0, 0.0, 10.0], np.float32)
    y = np.array([0.0, 2.0, 0.0, 0.0], np.float32)
    z = np.array([0.0, 0.0, 1.0, 0.0], np.float32)
    assert sdf.ellipsoid(x[:3], y[:3], z[:3], (0, 0, 0), np.eye(3), (3, 2, 1)) == pytest.approx([0, 0, 0], abs=1e-5)
    assert sdf.ellipsoid(x, y, z, (0, 0, 0), np.eye(3), (4, 4, 4))[3] == pytest.approx(6.0, abs=1e-4)


def test_capsule_distance_to_a_point_beside_its_axis():
    distance = sdf.capsule(np.float32(5.0), np.float32(0.0), np.float32(5.0), (0, 0, 0), (0, 0, 10), 2.0, 2.0)
    assert float(distance) == pytest.approx(3.0, abs=1e-5)


def test_edge_covers_half_at_the_surface():
    cover = sdf.alpha(np.array([-9.0, 0.0, 9.0], np.float32), 1.5)
    assert cover == pytest.approx([1.0, 0.5, 0.0])


def test_field_reproduces_a_linear_function():
    fine = Grid((5, 20, 30), (3.0, 0.7, 0.7), (0.0, 0.0, 0.0))
    canvas = Canvas(fine, 1.0)
    field = canvas.field(lambda x, y, z: x + 2 * y - z)
    x, y, z = canvas.coordinates(fine.everything)
    assert np.abs(field(fine.everything) - (x + 2 * y - z)).max() < 1e-3


def test_painted_ball_has_its_volume():
    grid = Grid((40, 60, 60), (1.0, 0.8, 0.8), (-20.0, -24.0, -24.0))
    canvas = Canvas(grid, 1.0, background=0.0)
    canvas.paint((-12, -12, -12), (12, 12, 12), lambda x, y, z: sdf.sphere(x, y, z, (0, 0, 0), 12.0), 1.0)
    assert canvas.hu.sum() * 0.64 == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.02)


def test_slice_profile_has_unit_area_and_its_nominal_width():
    z = np.linspace(-6, 6, 4801)
    profile = slice_profile(z, 3.0)
    assert profile.sum() * (z[1] - z[0]) == pytest.approx(1.0, rel=1e-3)
    assert np.ptp(z[profile >= 0.5 * profile.max()]) == pytest.approx(3.0, abs=0.02)


def test_blur_and_partial_volume_keep_the_calcium_signal():
    grid = Grid((9, 64, 64), (3.0, 0.4, 0.4), (-12.0, -12.8, -12.8))
    cloud = Cloud(2, np.tile([0.1, 0.2, 0.7], (50, 1)), np.full(50, 0.2), np.full(50, 500.0))
    _, image = splat(cloud, grid, 1.5, 3.0, np.zeros((9, 1, 3)))
    assert image.sum() * 0.4 * 0.4 * 3.0 == pytest.approx(50 * 0.2 * 500.0, rel=0.01)


def test_motion_lowers_the_peak_and_keeps_the_signal():
    grid = Grid((9, 64, 64), (3.0, 0.4, 0.4), (-12.0, -12.8, -12.8))
    cloud = Cloud(2, np.zeros((50, 3)), np.full(50, 0.2), np.full(50, 500.0))
    path = np.zeros((9, 5, 3))
    path[:, :, 0] = np.linspace(-3, 3, 5)
    _, still = splat(cloud, grid, 1.5, 3.0, np.zeros((9, 1, 3)))
    _, moved = splat(cloud, grid, 1.5, 3.0, path)
    assert moved.max() < 0.6 * still.max()
    assert moved.sum() == pytest.approx(still.sum(), rel=0.01)


def test_calcium_contrast_rises_as_voltage_falls():
    assert calcium_slope(120) == 1.39  # measured on the QRM rods
    assert calcium_slope(80) > calcium_slope(100) > calcium_slope(120) > calcium_slope(140)


def test_agatston_of_two_squares_by_hand():
    hu = np.zeros((2, 10, 10), np.int16)
    hu[0, 1:3, 1:3] = 250  # 4 pixels of 1 mm2, weight 2
    hu[1, 5:8, 5:8] = 420  # 9 pixels, weight 4
    score, volume, islands = agatston(hu, hu >= 130, (3.0, 1.0, 1.0))
    assert (score, volume, islands) == (4 * 2 + 9 * 4, 39.0, 2)


def test_label_reaches_faint_voxels_only_where_they_touch_clear_calcium():
    hu = np.full((1, 5, 9), 140, np.int16)
    hu[0, :, 4] = 0
    contrast = np.full((1, 5, 9), 10.0, np.float32)
    contrast[0, 2, 1] = 100.0
    owner = np.full((1, 5, 9), 2, np.uint8)
    labels = expert_labels(hu, contrast, owner)
    assert (labels[0, :, :4] == 2).all()
    assert (labels[0, :, 4:] == 0).all()


def test_noise_has_the_drawn_sd_and_peak_frequency():
    scanner = draw_scanner(2, "gated", 256, wide=False)
    shaped = amplitude(scanner, (256, 256), 0.45)
    rng = np.random.default_rng(0)
    white = np.fft.fft2(rng.standard_normal((6, 256, 256)))
    noise = np.real(np.fft.ifft2(white * shaped)) * 20.0
    measured = measure_texture(noise, (3.0, 0.45, 0.45))
    assert measured.sd_hu == pytest.approx(20.0, rel=0.08)
    assert measured.nps_peak == pytest.approx(scanner.noise_peak, abs=0.08)


@pytest.mark.parametrize("seed", range(4))
def test_coronary_arteries_lie_on_the_heart_and_have_published_lengths(seed):
    anatomy = draw_anatomy(seed, wide=False)
    heart = build_heart(anatomy)
    branches, drawn = build_tree(anatomy, heart)
    by_name = {branch.name: branch for branch in branches}
    assert {"LM", "LAD", "LCX", "RCA", "PDA", "D1", "OM1"} <= set(by_name)
    assert np.allclose(by_name["LM"].points[-1], by_name["LAD"].points[0], atol=0.6)
    for name in ("LAD", "RCA", "LCX"):
        outside = heart.surface(by_name[name].points[8:])
        assert np.median(outside) > 1.0, name
        assert np.percentile(outside, 95) < 9.0, name
    assert 60 < arc_length(by_name["LAD"].points)[-1] < 170
    assert 60 < arc_length(by_name["RCA"].points)[-1] < 180
    assert drawn["dominance"] in ("right", "left", "codominant")
