"""Calcification and metal that is not coronary, as particle clouds (SYNTHETIC numbers, section 3)."""

from __future__ import annotations

import numpy as np

from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.coronaries import Branch
from CACScoringLib.phantom.draws import chance, lognormal, normal, stream, uniform
from CACScoringLib.phantom.heart import Heart, frame
from CACScoringLib.phantom.particles import Cloud
from CACScoringLib.vocabulary import NonCoronary

PREVALENCE = {
    "aortic-wall": 0.28, "aortic-root": 0.2, "aortic-valve": 0.15, "mitral-annulus": 0.09, "pericardium": 0.02, "lymph-nodes": 0.1,
    "papillary-muscle": 0.03, "stent": 0.04, "bypass-clips": 0.03, "sternal-wires": 0.04, "pacemaker-lead": 0.03, "bronchi": 0.15,
}  # fmt: skip
ENRICHED = {
    "aortic-wall": 0.6, "aortic-root": 0.4, "aortic-valve": 0.4, "mitral-annulus": 0.35, "pericardium": 0.2, "lymph-nodes": 0.3,
    "papillary-muscle": 0.2, "stent": 0.2, "bypass-clips": 0.2, "sternal-wires": 0.2, "pacemaker-lead": 0.2, "bronchi": 0.3,
}  # fmt: skip
METAL_HU = 9000.0


def draw_mimics(
    anatomy: Anatomy, heart: Heart, branches: list[Branch], slope: float, enriched: bool
) -> dict[str, list[Cloud]]:
    """Draw which mimics a patient has, and their clouds."""
    makers = {
        "aortic-wall": aortic_wall, "aortic-root": aortic_root, "aortic-valve": aortic_valve, "mitral-annulus": mitral_annulus,
        "pericardium": pericardium, "lymph-nodes": lymph_nodes, "papillary-muscle": papillary, "stent": stent, "bypass-clips": clips,
        "sternal-wires": wires, "pacemaker-lead": lead, "bronchi": bronchi,
    }  # fmt: skip
    table = ENRICHED if enriched else PREVALENCE
    out = {}
    for name, maker in makers.items():
        rng = stream(anatomy.seed, "mimic", name)
        if chance(rng, table[name]):
            out[name] = maker(rng, anatomy, heart, branches, slope)
    return out


def shell(rng, center, axes, radii, angle, arc, height, thick, volume, contrast, label, moving="") -> Cloud:
    """Return particles on a patch of an elliptic cylinder: around ``axes[0]``, at angle +- arc/2, +- height/2 along it."""
    count = int(np.clip(volume / 0.05, 50, 2500))
    turn = angle + arc * 0.5 * (rng.random(count) + rng.random(count) - 1.0) * 1.3
    along = height * (rng.random(count) - 0.5)
    depth = thick * (rng.random(count) - 0.5)
    points = (
        center + along[:, None] * axes[0]
        + ((radii[0] + depth) * np.cos(turn))[:, None] * axes[1] + ((radii[1] + depth) * np.sin(turn))[:, None] * axes[2]
    )  # fmt: skip
    weights = 0.4 + rng.random(count)
    return Cloud(int(label), np.round(points, 4), volume * weights / weights.sum(), np.full(count, contrast), moving)


def line_cloud(
    rng, points: np.ndarray, radius: float, contrast: float, label: int, moving: str = "", step: float = 0.3
) -> Cloud:
    """Return particles along a polyline: a wire."""
    d = np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1))
    along = np.concatenate([[0.0], np.cumsum(d)])
    at = np.arange(0.0, along[-1], step)
    line = np.stack([np.interp(at, along, points[:, i]) for i in range(3)], axis=1)
    line = line + rng.normal(0, 0.35 * radius, line.shape)
    return Cloud(
        int(label), np.round(line, 4), np.full(len(at), np.pi * radius**2 * step), np.full(len(at), contrast), moving
    )


def blob(rng, center, radius: float, volume: float, contrast: float, label: int, moving: str = "") -> Cloud:
    """Return a ragged ball of particles."""
    count = int(np.clip(volume / 0.05, 40, 1500))
    points = center + rng.normal(0, 0.5, (count, 3)) * radius
    weights = rng.random(count) ** 2 + 0.1
    return Cloud(int(label), np.round(points, 4), volume * weights / weights.sum(), np.full(count, contrast), moving)


def aortic_wall(rng, anatomy, heart, branches, slope) -> list[Cloud]:
    points, radii = heart.aorta_line
    clouds = []
    for _ in range(1 + int(rng.poisson(3))):
        i = int(rng.integers(2, len(points) - 1))
        t = float(rng.random())
        center = points[i] * (1 - t) + points[i + 1] * t
        radius = float(radii[i] * (1 - t) + radii[i + 1] * t)
        axes = frame(points[i + 1] - points[i], np.array([0.2, 0.9, 0.3]))
        arc, height, thick = uniform(rng, 0.15, 1.1), uniform(rng, 2, 12), uniform(rng, 0.5, 1.4)
        volume = radius * arc * height * thick * uniform(rng, 0.4, 0.9)
        clouds.append(
            shell(rng, center, axes, (radius, radius), uniform(rng, 0, 6.28), arc, height, thick, volume,
                  lognormal(rng, 520, 0.35, 200, 1100) * slope, NonCoronary.AORTA)
        )  # fmt: skip
    return clouds


def aortic_root(rng, anatomy, heart, branches, slope) -> list[Cloud]:
    sinus, stj = heart.aorta_line[0][0], heart.aorta_line[0][1]
    axes = frame(stj - sinus, np.array([0.0, 1.0, 0.0]))
    clouds = []
    for _ in range(1 + int(rng.integers(3))):
        t = uniform(rng, -0.2, 1.6)
        radius = float(heart.aorta_line[1][0]) * (1.0 - 0.08 * t)
        arc, height, thick = uniform(rng, 0.2, 1.0), uniform(rng, 2, 9), uniform(rng, 0.6, 2.0)
        volume = radius * arc * height * thick * uniform(rng, 0.3, 0.9)
        clouds.append(
            shell(rng, sinus + t * (stj - sinus), axes, (radius, radius), uniform(rng, 0, 6.28), arc, height, thick, volume,
                  lognormal(rng, 600, 0.4, 200, 1200) * slope, NonCoronary.AORTA, "root")
        )  # fmt: skip
    return clouds


def aortic_valve(rng, anatomy, heart, branches, slope) -> list[Cloud]:
    center = 0.5 * (heart.points["annulus"] + heart.points["sinus"])
    axes = frame(heart.points["sinus"] - heart.points["annulus"], np.array([0.0, 1.0, 0.0]))
    clouds = []
    for _ in range(1 + int(rng.poisson(2.5))):
        angle, distance = uniform(rng, 0, 6.28), uniform(rng, 1, 11)
        spot = center + axes[0] * uniform(rng, -3, 4) + distance * (np.cos(angle) * axes[1] + np.sin(angle) * axes[2])
        volume = lognormal(rng, 12, 1.1, 1, 300)
        clouds.append(
            blob(
                rng,
                spot,
                1.1 * volume ** (1 / 3),
                volume,
                lognormal(rng, 600, 0.4, 200, 1300) * slope,
                NonCoronary.AORTIC_VALVE,
                "root",
            )
        )
    return clouds


def mitral_annulus(rng, anatomy, heart, branches, slope) -> list[Cloud]:
    center, axes = heart.points["mitral"], heart.lv_axes
    radius = 17.0 * anatomy.unit
    middle = np.arctan2(axes[2][1], axes[1][1]) + normal(rng, 0, 0.4)
    arc = lognormal(rng, 1.2, 0.6, 0.2, 3.4)
    clouds = []
    for piece in range(1 + int(rng.integers(3))):
        span = arc * uniform(rng, 0.3, 1.0) if piece else arc
        thick = uniform(rng, 1.0, 4.0)
        height = uniform(rng, 2, 7)
        volume = radius * span * height * thick * uniform(rng, 0.3, 0.8)
        at = middle + (uniform(rng, -0.5, 0.5) * arc if piece else 0.0)
        clouds.append(
            shell(rng, center + axes[0] * uniform(rng, -2, 2), axes, (radius * 1.1, radius), at, span, height, thick, volume,
                  lognormal(rng, 550, 0.4, 200, 1200) * slope, NonCoronary.MITRAL_VALVE, "mitral")
        )  # fmt: skip
    return clouds


def pericardium(rng, anatomy, heart, branches, slope) -> list[Cloud]:
    axes = heart.lv_axes
    center = heart.points["lv"]
    clouds = []
    for _ in range(1 + int(rng.integers(3))):
        radius = 37.0 * anatomy.unit
        arc, height = uniform(rng, 0.2, 0.9), uniform(rng, 4, 22)
        thick = uniform(rng, 0.8, 2.2)
        clouds.append(
            shell(rng, center + axes[0] * uniform(rng, -15, 10), axes, (radius, radius), uniform(rng, 0, 6.28), arc, height, thick,
                  radius * arc * height * thick * 0.5, lognormal(rng, 550, 0.4, 200, 1100) * slope, NonCoronary.OTHER, "heart")
        )  # fmt: skip
    return clouds


def lymph_nodes(rng, anatomy, heart, branches, slope) -> list[Cloud]:
    spots = [(0.42, 0.95, 1.08), (0.12, 0.98, 0.95), (0.80, 1.05, 0.9), (0.5, 0.98, 0.95), (0.25, 0.75, 1.3)]
    clouds = []
    for _ in range(1 + int(rng.integers(4))):
        spot = anatomy.box(*spots[int(rng.integers(len(spots)))]) + np.clip(rng.normal(0, 4, 3), -9, 9)
        volume = lognormal(rng, 60, 0.9, 4, 450)
        clouds.append(
            blob(
                rng,
                spot,
                0.9 * volume ** (1 / 3),
                volume,
                lognormal(rng, 500, 0.5, 150, 1200) * slope,
                NonCoronary.OTHER,
            )
        )
    return clouds


def papillary(rng, anatomy, heart, branches, slope) -> list[Cloud]:
    axes = heart.lv_axes
    angle = uniform(rng, 0, 6.28)
    spot = (
        heart.points["lv"] + axes[0] * 12.0 + 15.0 * anatomy.unit * (np.cos(angle) * axes[1] + np.sin(angle) * axes[2])
    )
    volume = lognormal(rng, 8, 0.8, 1, 60)
    return [
        blob(
            rng,
            spot,
            0.9 * volume ** (1 / 3),
            volume,
            lognormal(rng, 450, 0.4, 200, 900) * slope,
            NonCoronary.OTHER,
            "heart",
        )
    ]


def stent(rng, anatomy, heart, branches, slope) -> list[Cloud]:
    main = [branch for branch in branches if branch.name in ("LAD", "LCX", "RCA")]
    branch = main[int(rng.integers(len(main)))]
    length = int(uniform(rng, 8, 32))
    first = int(uniform(rng, 2, max(min(60, len(branch.points) - length - 2), 3)))
    line = branch.points[first : first + length]
    if len(line) < 4:
        return []
    count = 60 * len(line)
    s = rng.random(count) * (len(line) - 1)
    center = np.stack([np.interp(s, np.arange(len(line)), line[:, i]) for i in range(3)], axis=1)
    axes = frame(line[-1] - line[0], np.array([0.2, 0.4, 0.9]))
    turn, radius = rng.random(count) * 2 * np.pi, uniform(rng, 1.3, 2.0)
    points = center + radius * (np.cos(turn)[:, None] * axes[1] + np.sin(turn)[:, None] * axes[2])
    volume = 2 * np.pi * radius * len(line) * 0.09 * uniform(rng, 0.15, 0.3)
    return [
        Cloud(
            int(NonCoronary.OTHER),
            np.round(points, 4),
            np.full(count, volume / count),
            np.full(count, METAL_HU),
            branch.name,
        )
    ]


def clips(rng, anatomy, heart, branches, slope) -> list[Cloud]:
    start, end = anatomy.box(0.66, 0.02, 1.2), anatomy.box(0.72, 0.12, 0.45)
    clouds = []
    for i in range(3 + int(rng.integers(8))):
        spot = start + (end - start) * ((i + float(rng.random())) / 11.0) + np.clip(rng.normal(0, 3, 3), -6, 6)
        tip = spot + 0.5 * uniform(rng, 2.5, 5.0) * frame(rng.normal(size=3), np.array([0.1, 0.2, 1.0]))[0]
        clouds.append(line_cloud(rng, np.stack([2 * spot - tip, tip]), 0.45, METAL_HU, NonCoronary.OTHER, step=0.15))
    return clouds


def wires(rng, anatomy, heart, branches, slope) -> list[Cloud]:
    turn = np.linspace(0, 2 * np.pi, 40)
    clouds = []
    for i in range(4 + int(rng.integers(3))):
        z = (0.25 + 0.24 * i) * anatomy.box_size[2] + normal(rng, 0, 4)
        lean = anatomy.chest_tilt * max(z - 0.5 * anatomy.box_size[2], 0.0)
        x, y = 15.0 * np.cos(turn), -6.5 + lean + 8.0 * np.sin(turn)
        clouds.append(
            line_cloud(
                rng, np.stack([x, y, z + 2.0 * np.cos(turn + i)], axis=1), 0.45, METAL_HU, NonCoronary.OTHER, step=0.2
            )
        )
    return clouds


def lead(rng, anatomy, heart, branches, slope) -> list[Cloud]:
    points = np.stack(
        [
            anatomy.box(*p)
            for p in (
                (0.30, 0.2, 2.1),
                (0.10, 0.60, 1.5),
                (0.10, 0.62, 1.0),
                (0.17, 0.55, 0.5),
                (0.32, 0.50, 0.34),
                (0.66, 0.30, 0.16),
            )
        ]
    )
    return [line_cloud(rng, points, 0.7, METAL_HU * 0.7, NonCoronary.OTHER, "heart", step=0.25)]


def bronchi(rng, anatomy, heart, branches, slope) -> list[Cloud]:
    top, carina = anatomy.box(0.38, 0.80, 2.1), anatomy.box(0.42, 0.92, 1.22)
    axes = frame(carina - top, np.array([0.0, 1.0, 0.0]))
    clouds = []
    for _ in range(2 + int(rng.integers(5))):
        t = float(rng.random())
        clouds.append(
            shell(rng, top + t * (carina - top), axes, (9.0, 9.0), uniform(rng, 0, 6.28), uniform(rng, 0.4, 2.5), 3.0, 0.8,
                  lognormal(rng, 15, 0.6, 3, 60), 260.0 * slope, NonCoronary.OTHER)
        )  # fmt: skip
    return clouds
