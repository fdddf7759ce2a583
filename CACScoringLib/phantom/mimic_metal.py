"""Metal in and near the heart: stents, clips, wires and leads."""

from __future__ import annotations

import numpy as np

from CACScoringLib.phantom.deposits import Site, wire
from CACScoringLib.phantom.draws import normal, uniform
from CACScoringLib.phantom.heart import frame
from CACScoringLib.phantom.particles import Cloud
from CACScoringLib.vocabulary import NonCoronary

METAL_HU = 9000.0
"""Contrast of solid steel; what the image shows is set by partial volume."""
STENT_HU = 31_000.0
"""Steel or cobalt-chromium at 70 keV, the mean of a 120 kVp beam; thin struts harden the beam little."""


def stent(rng: np.random.Generator, site: Site) -> list[Cloud]:
    """Return a stent of 8 to 32 mm in a proximal artery: a thin mesh of 2.6 to 4 mm."""
    main = [branch for branch in site.branches if branch.name in ("LAD", "LCX", "RCA")]
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
    points = np.round(center + radius * (np.cos(turn)[:, None] * axes[1] + np.sin(turn)[:, None] * axes[2]), 4)
    volume = 2 * np.pi * radius * len(line) * 0.09 * uniform(rng, 0.15, 0.3)
    spread = np.full(count, volume / count)
    return [Cloud(int(NonCoronary.OTHER), points, spread, np.full(count, STENT_HU), branch.name)]


def bypass_clips(rng: np.random.Generator, site: Site) -> list[Cloud]:
    """Return a row of clips from beside the sternum to the front of the heart."""
    start, end = site.anatomy.box(0.66, 0.02, 1.2), site.anatomy.box(0.74, 0.24, 0.5)
    clouds = []
    for i in range(3 + int(rng.integers(8))):
        spot = start + (end - start) * ((i + float(rng.random())) / 11.0) + np.clip(rng.normal(0, 3, 3), -6, 6)
        tip = spot + 0.5 * uniform(rng, 2.5, 5.0) * frame(rng.normal(size=3), np.array([0.1, 0.2, 1.0]))[0]
        clouds.append(wire(rng, np.stack([2 * spot - tip, tip]), 0.45, METAL_HU, NonCoronary.OTHER))
    return clouds


def sternal_wires(rng: np.random.Generator, site: Site) -> list[Cloud]:
    """Return four to six loops round the sternum."""
    anatomy = site.anatomy
    turn = np.linspace(0, 2 * np.pi, 40)
    clouds = []
    for i in range(4 + int(rng.integers(3))):
        z = (0.25 + 0.24 * i) * anatomy.box_size[2] + normal(rng, 0, 4)
        lean = anatomy.chest_tilt * max(z - 0.5 * anatomy.box_size[2], 0.0)
        x, y = 15.0 * np.cos(turn), -6.5 + lean + 8.0 * np.sin(turn)
        loop = np.stack([x, y, z + 2.0 * np.cos(turn + i)], axis=1)
        clouds.append(wire(rng, loop, 0.45, METAL_HU, NonCoronary.OTHER))
    return clouds


def pacemaker_lead(rng: np.random.Generator, site: Site) -> list[Cloud]:
    """Return a lead through the superior vena cava and right atrium to the apex of the right ventricle."""
    course = (
        (0.30, 0.20, 2.10),
        (0.10, 0.60, 1.50),
        (0.10, 0.62, 1.00),
        (0.17, 0.55, 0.50),
        (0.32, 0.50, 0.34),
        (0.66, 0.30, 0.16),
    )
    points = np.stack([site.anatomy.box(*place) for place in course])
    return [wire(rng, points, 0.7, 0.7 * METAL_HU, NonCoronary.OTHER, "heart")]
