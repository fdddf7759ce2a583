"""Everything that is mistaken for coronary calcium is in the generator: the list of the design, one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from CACScoringLib.phantom import PhantomOptions, synthesize
from CACScoringLib.phantom.anatomy import draw_anatomy
from CACScoringLib.phantom.canvas import Canvas, Grid
from CACScoringLib.phantom.coronaries import build_tree
from CACScoringLib.phantom.deposits import Site
from CACScoringLib.phantom.draws import stream
from CACScoringLib.phantom.heart import build_heart
from CACScoringLib.phantom.mimic_calcium import CLEAR_OF_ARTERY_MM, WALL_MM, aortic_root, place_on_tube
from CACScoringLib.phantom.mimics import ENRICHED, MAKERS, draw_mimics, prevalence
from CACScoringLib.phantom.noise import add_noise
from CACScoringLib.phantom.parts import nearest
from CACScoringLib.phantom.rim import SOFT_MOST_HU, add_rim
from CACScoringLib.phantom.scanner import draw_scanner
from CACScoringLib.phantom.streaks import LEAST_SIGNAL, add_streaks
from CACScoringLib.phantom.thorax import paint_thorax
from CACScoringLib.phantom.tissue import draw_tissue
from CACScoringLib.vocabulary import NonCoronary

LABELS = {
    "aortic-wall": NonCoronary.AORTA,
    "aortic-root": NonCoronary.AORTA,
    "aortic-valve": NonCoronary.AORTIC_VALVE,
    "mitral-annulus": NonCoronary.MITRAL_VALVE,
    "pericardium": NonCoronary.OTHER,
    "lymph-nodes": NonCoronary.OTHER,
    "papillary-muscle": NonCoronary.OTHER,
    "bronchi": NonCoronary.OTHER,
    "stent": NonCoronary.OTHER,
    "bypass-clips": NonCoronary.OTHER,
    "sternal-wires": NonCoronary.OTHER,
    "pacemaker-lead": NonCoronary.OTHER,
}

MUSCLE_HU = 60.0
"""Heart muscle without contrast, upper end."""


@pytest.fixture(scope="module")
def site() -> Site:
    anatomy = draw_anatomy(2, wide=False)
    heart = build_heart(anatomy)
    return Site(anatomy, heart, build_tree(anatomy, heart)[0], 1.39)


def points_of(name: str, site: Site, seeds=range(8)) -> np.ndarray:
    clouds = [cloud for seed in seeds for cloud in MAKERS[name](stream(seed, "test", name), site)]
    return np.vstack([cloud.points for cloud in clouds])


def test_every_confounder_of_the_design_can_be_drawn():
    assert set(MAKERS) == set(prevalence("chest", False)) == set(ENRICHED) == set(LABELS)


@pytest.mark.parametrize("name", LABELS)
def test_confounder_has_its_label_and_is_dense(name, site):
    clouds = [cloud for seed in range(8) for cloud in MAKERS[name](stream(seed, "test", name), site)]
    assert {cloud.label for cloud in clouds} == {LABELS[name]}
    assert all((cloud.volume > 0).all() and (cloud.contrast > 150).all() for cloud in clouds)


@pytest.mark.parametrize("name", ["aortic-wall", "aortic-root"])
def test_aortic_calcium_lies_in_the_wall(name, site):
    distance = nearest(site.heart.aorta, points_of(name, site))
    assert abs(float(np.median(distance))) < 2.5


def test_root_calcium_gathers_round_the_coronary_ostia(site):
    ostia = np.array([b.points[0] for b in site.branches if b.name in ("LM", "RCA")])
    points = points_of("aortic-root", site, range(30))
    near = np.sqrt(((points[:, None] - ostia[None]) ** 2).sum(axis=2)).min(axis=1) < 8.0
    assert 0.2 < near.mean() < 0.8


def test_place_on_tube_is_the_height_and_angle_of_a_point():
    axes = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    at = place_on_tube(np.array([0.0, 5.0, 3.0]), np.zeros(3), np.array([0.0, 0.0, 12.0]), axes)
    assert at == pytest.approx((0.25, np.pi / 2), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "structures", "within"),
    [("papillary-muscle", "left_ventricle", 4.0), ("pacemaker-lead", "right_atrium", 40.0)],
)
def test_confounder_lies_where_it_belongs(name, structures, within, site):
    parts = getattr(site.heart, structures)
    distance = nearest(parts if isinstance(parts, list) else [parts], points_of(name, site))
    assert float(np.median(distance)) < within


def test_stent_lies_round_a_coronary_artery(site):
    line = np.vstack([branch.points for branch in site.branches])
    points = points_of("stent", site)[::50]
    assert np.sqrt(((points[:, None] - line[None]) ** 2).sum(axis=2)).min(axis=1).max() < 5.0


@pytest.mark.parametrize("seed", [800035, 800122])
def test_stent_is_as_bright_as_real_ones_in_a_gated_scan(seed):
    patient = synthesize(seed=seed, protocol="gated", options=PhantomOptions(matrix=256, mimics=("stent",)))
    stent = patient.ct.hu[patient.labels == NonCoronary.OTHER]
    assert 400.0 < stent.max() < 1500.0


def test_metal_throws_bright_and_dark_streaks_far_from_itself():
    grid = Grid((1, 200, 200), (3.0, 0.5, 0.5), (0.0, 0.0, 0.0))
    image = np.zeros(grid.shape, np.float32)
    metal = np.full((1, 4, 4), 3000.0, np.float32)
    assert metal.sum() * 0.25 > LEAST_SIGNAL
    add_streaks(image, [(14, (slice(0, 1), slice(98, 102), slice(98, 102)), metal)], grid, seed=1)
    away = np.ones((200, 200), bool)
    away[80:120, 80:120] = False
    assert image[0][away].max() > 10.0
    assert image[0][away].min() < -10.0


def test_rib_cartilage_calcifies_with_age():
    def bright(age: float) -> float:
        anatomy = replace(draw_anatomy(6, wide=False), age=age)
        grid = Grid((30, 90, 170), (4.0, 2.0, 2.0), (0.0, -45.0, -170.0))
        canvas = Canvas(grid, 1.5)
        paint_thorax(canvas, anatomy, replace(draw_tissue(anatomy, 120.0, False), cartilage=100.0))
        x = grid.axis(2)
        front = canvas.hu[:, :50][:, :, (np.abs(x) > 30) & (np.abs(x) < 80)]
        return float((front > 200).sum())

    assert bright(85.0) > 2.0 * bright(45.0)


def rim(protocol: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what is added to a cylinder of 30 mm in zero HU, and the radius of each voxel."""
    canvas = Canvas(Grid((6, 120, 120), (3.0, 0.8, 0.8), (0.0, -48.0, -48.0)), 1.0, background=0.0)
    cylinder = canvas.field(lambda x, y, z: np.sqrt(x * x + y * y) - np.float32(30.0) + np.float32(0.0) * z)
    add_rim(canvas, cylinder, draw_scanner(seed, protocol, 120, wide=False))
    x, y, _ = canvas.coordinates(canvas.grid.everything)
    return canvas.hu, np.broadcast_to(np.sqrt(x * x + y * y), canvas.hu.shape)


def test_ungated_heart_border_has_a_bright_line_inside_in_patches():
    shares = []
    for seed in range(6):
        hu, r = rim("chest", seed)
        assert hu.min() >= 0.0
        assert np.abs(hu[(r > 31.5) | (r < 22.0)]).max() == pytest.approx(0.0, abs=1e-3)
        shares.append((hu[(r < 30) & (r > 25)] > 5).mean())
    assert 0.02 < np.mean(shares) < 0.5


def test_gated_heart_border_has_no_bright_line():
    assert not rim("gated", 3)[0].any()


def test_noise_alone_makes_small_islands_over_the_threshold():
    scanner = replace(draw_scanner(1, "chest", 192, wide=False), noise_sd=32.0, fov=104.0)
    hu = np.full((6, 192, 192), 48.0, np.float32)
    add_noise(hu, scanner, np.ones((6, 8, 8), np.float32), scanner.pixel)
    sizes = np.concatenate([np.bincount(ndimage.label(plane >= 130, np.ones((3, 3)))[0].ravel())[1:] for plane in hu])
    assert len(sizes) > 60
    assert (sizes <= 2).mean() > 0.7


def test_training_patients_have_every_mimic_but_stents_in_a_fifth_of_the_cases(site):
    drawn = [draw_mimics(seed, site, "gated", enriched=True) for seed in range(60)]
    assert all(sum(name in found for found in drawn) >= 5 for name in LABELS if name != "stent")
    assert 1 <= sum("stent" in found for found in drawn) <= 8


def test_a_mimic_can_be_asked_for(site):
    assert "stent" in draw_mimics(1, site, "gated", False, certain=("stent",))
    with pytest.raises(ValueError, match="no mimic 'halo'"):
        draw_mimics(1, site, "gated", False, certain=("halo",))


def test_rims_of_soft_kernels_stay_below_the_threshold():
    sharp = [rim("chest", seed)[0].max() for seed in range(24)]
    soft = [rim("spect-ctac", seed)[0].max() for seed in range(24)]
    assert max(soft) <= SOFT_MOST_HU * 1.5 < max(sharp)
    assert MUSCLE_HU + max(soft) < 130.0


@pytest.mark.parametrize("seed", [800034, 800025, 800094, 810003, 810009])
def test_calcium_of_the_root_lies_in_its_wall_and_in_no_artery(seed):
    anatomy = draw_anatomy(seed, False)
    heart = build_heart(anatomy)
    branches, _ = build_tree(anatomy, heart)
    clouds = aortic_root(stream(seed, "mimic", "aortic-root"), Site(anatomy, heart, branches, 1.0))
    assert clouds
    for cloud in clouds:
        assert nearest(heart.root, cloud.points).max() <= WALL_MM + 0.5
        for branch in branches:
            if branch.name in ("LM", "RCA"):
                apart = np.sqrt(((cloud.points[:, None] - branch.points[None]) ** 2).sum(axis=2)) - branch.radius
                assert apart.min() > CLEAR_OF_ARTERY_MM
        assert len(cloud.volume) == len(cloud.contrast) == len(cloud.points)
