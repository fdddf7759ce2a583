"""Whose calcium it is, where vessels divide and where they begin: geometry worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from CACScoringLib.phantom.anatomy import draw_anatomy
from CACScoringLib.phantom.calcium import Lesion, coronary_only, feeding, particles_of, paths_of
from CACScoringLib.phantom.coronaries import Branch, build_tree
from CACScoringLib.phantom.heart import build_heart
from CACScoringLib.phantom.parts import nearest
from CACScoringLib.phantom.target import combine
from CACScoringLib.vocabulary import NonCoronary, Vessel


def straight(name: str, vessel: Vessel, first, last, count: int, start: float = 0.0) -> Branch:
    return Branch(name, vessel, np.linspace(first, last, count), np.full(count, 2.0), start)


LM = straight("LM", Vessel.LM, (0, 0, 0), (10, 0, 0), 11)
LAD = straight("LAD", Vessel.LAD, (10, 0, 0), (10, -40, 0), 41, 10.0)
LCX = straight("LCX", Vessel.LCX, (10, 0, 0), (10, 40, 0), 41, 10.0)
RCA = straight("RCA", Vessel.RCA, (-20, 0, 0), (-60, 0, 0), 41)
D1 = straight("D1", Vessel.LAD, (10, -15, 0), (40, -15, 0), 31, 25.0)
OM1 = straight("OM1", Vessel.LCX, (10, 12, 0), (40, 12, 0), 31, 22.0)
TREE = [LM, LAD, LCX, RCA, D1, OM1]


def lesion(path, at: float, volume: float = 60.0) -> Lesion:
    return Lesion(0, tuple(path), at, volume, 500.0, 0.3, 1.5, False)


def by_label(clouds) -> dict[int, np.ndarray]:
    return {cloud.label: cloud.points for cloud in clouds}


@pytest.mark.parametrize(("limb", "vessel", "side"), [(LAD, Vessel.LAD, -1.0), (LCX, Vessel.LCX, 1.0)])
def test_lesion_over_the_end_of_the_left_main_is_split_where_it_divides(limb, vessel, side):
    clouds = by_label(particles_of(lesion((LM, limb), 10.0, 20.0), 1, 1.39))
    assert set(clouds) == {Vessel.LM, vessel}
    # the left main runs along x and ends at x = 10; its limb runs along y from there. Half of the lesion on each side.
    share = len(clouds[Vessel.LM]) / sum(len(points) for points in clouds.values())
    assert 0.4 < share < 0.6
    reach = 2.0 + 0.4 + 1.5  # lumen radius, half the wall, thickest lesion
    assert clouds[Vessel.LM][:, 0].max() < 10.0 + reach
    assert (side * clouds[vessel][:, 1]).min() > -reach
    assert (side * clouds[vessel][:, 1]).max() > 2.0


def test_lesion_well_inside_one_artery_has_one_label():
    assert set(by_label(particles_of(lesion((LM, LAD), 30.0, 5.0), 1, 1.39))) == {Vessel.LAD}
    assert set(by_label(particles_of(lesion((LM, LAD), 5.0, 0.5), 1, 1.39))) == {Vessel.LM}


def test_left_main_lesions_can_run_into_either_limb():
    limbs = {path[-1].name for path, _, _ in paths_of(TREE)["LM"]}
    assert limbs == {"LAD", "LCX"}


def test_diagonal_counts_as_lad_and_marginal_as_lcx_also_where_they_leave():
    for branch, vessel in ((D1, Vessel.LAD), (OM1, Vessel.LCX)):
        path, first, last = next(entry for entry in paths_of(TREE)[vessel.name] if entry[0][-1] is branch)
        # ostium to where the branch leaves: 10 mm of left main, then 15 or 12 mm of the parent
        assert first == pytest.approx(branch.start)
        assert last == pytest.approx(branch.start + 30.0)
        assert set(by_label(particles_of(lesion(path, first), 1, 1.39))) == {vessel}


def test_side_branch_hangs_on_its_parent_cut_where_it_leaves():
    trunk, parent = feeding(D1, {branch.name: branch for branch in TREE})
    assert trunk is LM
    assert parent.points[-1] == pytest.approx(D1.points[0])
    assert len(parent.points) == 16


def test_ramus_leaves_the_left_main_itself():
    ramus = straight("ramus", Vessel.LCX, (10, 0, 0), (40, 0, 0), 31, 10.0)
    assert feeding(ramus, {branch.name: branch for branch in TREE}) == (LM,)
    assert set(by_label(particles_of(lesion((LM, ramus), 10.0, 20.0), 1, 1.39))) == {Vessel.LM, Vessel.LCX}


def test_calcium_before_the_ostium_is_the_aortas_and_lies_on_its_wall():
    clouds = particles_of(lesion((RCA,), 1.0), 1, 1.39)
    labels = by_label(clouds)
    assert set(labels) == {Vessel.RCA, NonCoronary.AORTA}
    # the RCA runs to -x from x = -20: the aorta's wall there is the plane x = -20
    assert labels[NonCoronary.AORTA][:, 0] == pytest.approx(-20.0, abs=1e-3)
    assert labels[Vessel.RCA][:, 0].max() <= -19.99
    away = np.sqrt((labels[NonCoronary.AORTA][:, 1:] ** 2).sum(axis=1))
    assert away.min() >= 2.4 - 1e-3  # never in front of the opening
    assert away.max() <= 2.4 + 4.0 + 1e-3
    assert [cloud.label for cloud in coronary_only(clouds)] == [Vessel.RCA]


@pytest.mark.parametrize("seed", range(6))
def test_coronary_arteries_begin_on_the_wall_of_the_aortic_root(seed):
    anatomy = draw_anatomy(seed, wide=True)
    heart = build_heart(anatomy)
    by_name = {branch.name: branch for branch in build_tree(anatomy, heart)[0]}
    for name in ("LM", "RCA"):
        assert abs(float(nearest(heart.root, by_name[name].points[:1])[0])) < 0.2, name


@pytest.mark.parametrize("seed", range(6))
def test_left_main_ends_exactly_where_lad_and_lcx_begin(seed):
    anatomy = draw_anatomy(seed, wide=False)
    by_name = {branch.name: branch for branch in build_tree(anatomy, build_heart(anatomy))[0]}
    for limb in ("LAD", "LCX"):
        assert by_name[limb].points[0] == pytest.approx(by_name["LM"].points[-1], abs=1e-3)


def test_voxel_belongs_to_the_label_that_adds_most_in_all_its_clouds():
    block = (slice(0, 1), slice(0, 1), slice(0, 2))
    images = [
        (int(Vessel.LAD), block, np.full((1, 1, 2), 40.0, np.float32)),
        (int(Vessel.LAD), block, np.full((1, 1, 2), 40.0, np.float32)),
        (int(Vessel.LCX), block, np.array([[[60.0, 100.0]]], np.float32)),
    ]
    contrast, owner = combine((1, 1, 3), images)
    assert contrast.tolist() == [[[140.0, 180.0, 0.0]]]
    assert owner.tolist() == [[[Vessel.LAD, Vessel.LCX, 0]]]
