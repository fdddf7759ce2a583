"""Calcification outside the coronary arteries: aorta, valves, pericardium, nodes, airways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from CACScoringLib.phantom.deposits import Site, blob, patch, turn_of
from CACScoringLib.phantom.draws import chance, lognormal, normal, uniform
from CACScoringLib.phantom.heart import frame
from CACScoringLib.phantom.particles import Cloud
from CACScoringLib.phantom.parts import nearest
from CACScoringLib.vocabulary import NonCoronary

BACK = np.array([0.0, 1.0, 0.0])
WALL_MM = 1.0
"""Calcium of the root lies in its wall: no further outside than this ..."""
CLEAR_OF_ARTERY_MM = 1.5
"""... and this far from the lumen of a coronary artery: what lies within an artery is coronary, whoever reads it."""
AT_OSTIUM = 0.4
"""Share of the root's calcification that lies round a coronary ostium, where it is most easily taken for coronary."""


def aortic_wall(rng: np.random.Generator, site: Site) -> list[Cloud]:
    """Return thin arcs in the wall of the ascending aorta, arch and descending aorta."""
    points, radii = site.heart.aorta_line
    clouds = []
    for _ in range(1 + int(rng.poisson(3))):
        i, t = int(rng.integers(2, len(points) - 1)), float(rng.random())
        radius = float(radii[i] * (1 - t) + radii[i + 1] * t)
        clouds.append(
            patch(
                rng,
                points[i] * (1 - t) + points[i + 1] * t,
                frame(points[i + 1] - points[i], np.array([0.2, 0.9, 0.3])),
                (radius, radius),
                angle=turn_of(rng),
                arc=uniform(rng, 0.15, 1.1),
                height=uniform(rng, 2, 12),
                thick=uniform(rng, 0.5, 1.4),
                filled=uniform(rng, 0.4, 0.9),
                contrast=site.calcium(rng, 520, 0.35),
                label=NonCoronary.AORTA,
            )
        )
    return clouds


def aortic_root(rng: np.random.Generator, site: Site) -> list[Cloud]:
    """Return arcs in the wall of the sinuses and the sinotubular junction, near the coronary ostia."""
    sinus, junction = site.heart.aorta_line[0][:2]
    axes = frame(junction - sinus, BACK)
    clouds = []
    for _ in range(1 + int(rng.integers(3))):
        t, angle = uniform(rng, -0.2, 1.6), turn_of(rng)
        if chance(rng, AT_OSTIUM):
            artery = ("LM", "RCA")[int(rng.integers(2))]
            ostium = next(branch for branch in site.branches if branch.name == artery).points[0]
            t, angle = place_on_tube(ostium + np.clip(rng.normal(0, 2.5, 3), -5, 5), sinus, junction, axes)
        radius = float(site.heart.aorta_line[1][0]) * (1.0 - 0.08 * t)
        cloud = patch(
            rng,
            sinus + t * (junction - sinus),
            axes,
            (radius, radius),
            angle=angle,
            arc=uniform(rng, 0.2, 1.0),
            height=uniform(rng, 2, 9),
            thick=uniform(rng, 0.6, 2.0),
            filled=uniform(rng, 0.3, 0.9),
            contrast=site.calcium(rng, 600),
            label=NonCoronary.AORTA,
            moving="root",
        )
        clouds.append(in_the_wall(cloud, site))
    return [cloud for cloud in clouds if len(cloud.points)]


def in_the_wall(cloud: Cloud, site: Site) -> Cloud:
    """Move a cloud onto the aortic root where it lies outside, and leave out what would lie in an artery."""
    outside = nearest(site.heart.root, cloud.points)
    middle = site.heart.aorta_line[0][0]
    inward = middle - cloud.points
    inward /= np.sqrt((inward * inward).sum(axis=1, keepdims=True))
    moved = np.round(cloud.points + np.maximum(outside - WALL_MM, 0.0)[:, None] * inward, 4)
    kept = nearest(site.heart.root, moved) <= WALL_MM + 0.5
    for branch in site.branches:
        if branch.name not in ("LM", "RCA"):
            continue
        for start in range(0, len(branch.points), 64):
            line, radius = branch.points[start : start + 64], branch.radius[start : start + 64]
            apart = np.sqrt(((moved[:, None] - line[None]) ** 2).sum(axis=2)) - radius[None]
            kept &= apart.min(axis=1) > CLEAR_OF_ARTERY_MM
    return replace(cloud, points=moved[kept], volume=cloud.volume[kept], contrast=cloud.contrast[kept])


def place_on_tube(point: np.ndarray, start: np.ndarray, end: np.ndarray, axes: np.ndarray) -> tuple[float, float]:
    """Return the height of a point along a tube (0 at ``start``, 1 at ``end``) and its angle in the tube's axes."""
    out = point - start
    along = float((out * (end - start)).sum() / ((end - start) ** 2).sum())
    return round(along, 4), round(float(np.arctan2((out * axes[2]).sum(), (out * axes[1]).sum())), 4)


def aortic_valve(rng: np.random.Generator, site: Site) -> list[Cloud]:
    """Return lumps on the cusps between annulus and sinuses."""
    annulus, sinus = site.heart.points["annulus"], site.heart.points["sinus"]
    axes = frame(sinus - annulus, BACK)
    clouds = []
    for _ in range(1 + int(rng.poisson(2.5))):
        angle, distance = turn_of(rng), uniform(rng, 1, 11)
        spot = 0.5 * (annulus + sinus) + axes[0] * uniform(rng, -3, 4)
        spot = spot + distance * (np.cos(angle) * axes[1] + np.sin(angle) * axes[2])
        volume = lognormal(rng, 12, 1.1, 1, 300)
        clouds.append(blob(rng, spot, volume, site.calcium(rng, 600), NonCoronary.AORTIC_VALVE, "root"))
    return clouds


def mitral_annulus(rng: np.random.Generator, site: Site) -> list[Cloud]:
    """Return a C round the back of the mitral annulus, from a dot to half a ring."""
    center, axes = site.heart.points["mitral"], site.heart.lv_axes
    radius = 17.0 * site.anatomy.unit
    middle = float(np.arctan2(axes[2][1], axes[1][1])) + normal(rng, 0, 0.4)
    arc = lognormal(rng, 1.2, 0.6, 0.2, 3.4)
    clouds = []
    for piece in range(1 + int(rng.integers(3))):
        clouds.append(
            patch(
                rng,
                center + axes[0] * uniform(rng, -2, 2),
                axes,
                (radius * 1.1, radius),
                angle=middle + (uniform(rng, -0.5, 0.5) * arc if piece else 0.0),
                arc=arc * (uniform(rng, 0.3, 1.0) if piece else 1.0),
                height=uniform(rng, 2, 7),
                thick=uniform(rng, 1.0, 4.0),
                filled=uniform(rng, 0.3, 0.8),
                contrast=site.calcium(rng, 550),
                label=NonCoronary.MITRAL_VALVE,
                moving="mitral",
            )
        )
    return clouds


def pericardium(rng: np.random.Generator, site: Site) -> list[Cloud]:
    """Return plates on the free wall of the ventricles, where the pericardium is."""
    heart, clouds = site.heart, []
    for _ in range(1 + int(rng.integers(3))):
        along, radius, angle = uniform(rng, -15, 10), 36.0 * site.anatomy.unit, 0.0
        center = heart.points["lv"] + heart.lv_axes[0] * along
        for _ in range(20):
            angle = turn_of(rng)
            outward = np.cos(angle) * heart.lv_axes[1] + np.sin(angle) * heart.lv_axes[2]
            spots = center + np.array([[radius], [radius + 8.0]]) * outward
            near, far = (float(d) for d in heart.surface(spots))
            if 2.0 < near < 9.0 and far > near + 6.0:
                break
        else:
            continue
        clouds.append(
            patch(
                rng,
                center,
                heart.lv_axes,
                (radius, radius),
                angle=angle,
                arc=uniform(rng, 0.2, 0.8),
                height=uniform(rng, 4, 22),
                thick=uniform(rng, 0.8, 2.2),
                filled=0.5,
                contrast=site.calcium(rng, 550),
                label=NonCoronary.OTHER,
                moving="heart",
            )
        )
    return clouds


def lymph_nodes(rng: np.random.Generator, site: Site) -> list[Cloud]:
    """Return calcified nodes below the carina and at the hila."""
    spots = ((0.42, 0.95, 1.08), (0.12, 0.98, 0.95), (0.80, 1.05, 0.90), (0.50, 0.98, 0.95), (0.25, 0.75, 1.30))
    clouds = []
    for _ in range(1 + int(rng.integers(4))):
        spot = site.anatomy.box(*spots[int(rng.integers(len(spots)))]) + np.clip(rng.normal(0, 4, 3), -9, 9)
        volume = lognormal(rng, 45, 0.9, 4, 350)
        clouds.append(blob(rng, spot, volume, site.calcium(rng, 450, 0.5), NonCoronary.OTHER))
    return clouds


def papillary_muscle(rng: np.random.Generator, site: Site) -> list[Cloud]:
    """Return a calcified tip of a papillary muscle inside the left ventricle."""
    axes, angle = site.heart.lv_axes, turn_of(rng)
    across = np.cos(angle) * axes[1] + np.sin(angle) * axes[2]
    spot = site.heart.points["lv"] + axes[0] * 12.0 + 14.0 * site.anatomy.unit * across
    return [blob(rng, spot, lognormal(rng, 8, 0.8, 1, 60), site.calcium(rng, 450), NonCoronary.OTHER, "heart")]


def bronchi(rng: np.random.Generator, site: Site) -> list[Cloud]:
    """Return calcified cartilage rings of trachea and main bronchi."""
    box = site.anatomy.box
    carina = box(0.42, 0.92, 1.22)
    pieces = ((box(0.38, 0.80, 2.1), 9.0), (box(0.22, 0.96, 1.08), 7.2), (box(0.62, 0.98, 1.02), 6.8))
    clouds = []
    for _ in range(2 + int(rng.integers(5))):
        end, radius = pieces[int(rng.integers(len(pieces)))]
        clouds.append(
            patch(
                rng,
                carina + float(rng.random()) * (end - carina),
                frame(carina - end, BACK),
                (radius, radius),
                angle=turn_of(rng),
                arc=uniform(rng, 0.4, 2.5),
                height=3.0,
                thick=0.8,
                filled=uniform(rng, 0.3, 0.8),
                contrast=260.0 * site.slope,
                label=NonCoronary.OTHER,
            )
        )
    return clouds
