"""Coronary lesions: where on the tree, how large and dense, and as particle clouds (SYNTHETIC numbers, section 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from CACScoringLib.phantom.coronaries import WALL_MM, Branch, arc_length
from CACScoringLib.phantom.draws import chance, lognormal, stream, uniform
from CACScoringLib.phantom.particles import Cloud
from CACScoringLib.phantom.patient import PhantomOptions
from CACScoringLib.vocabulary import NonCoronary, Vessel

CATEGORY_EDGES = (1.0, 10.0, 100.0, 400.0, 2500.0)
CATEGORY_WEIGHTS = (0.13, 0.32, 0.29, 0.26)
SHARES = {"LM": 0.08, "LAD": 0.44, "LCX": 0.18, "RCA": 0.30}
ENRICHED_SHARES = {"LM": 0.16, "LAD": 0.36, "LCX": 0.22, "RCA": 0.26}
AGATSTON_PER_MG = 5.0
"""First guess for a mg of hydroxyapatite; the sizes are then scaled until the image has the wanted score."""
MOST_LESIONS = 45
OSTIAL_COLLAR_MM = 4.0
"""How far a lesion that begins before the ostium spreads on the aorta's wall."""


@dataclass(frozen=True, eq=False)
class Lesion:
    """A calcified patch of a vessel wall along a path from the ostium.

    ``path`` is a chain of branches; ``at`` the distance of its centre along it in mm; ``turn`` in radians;
    ``volume`` in mm3; ``density`` in mg/ml.
    """

    index: int
    path: tuple[Branch, ...]
    at: float
    volume: float
    density: float
    turn: float
    elongation: float
    spotty: bool


def draw_target(seed: int, options: PhantomOptions) -> float:
    """Draw the wanted total Agatston score; 0 for none."""
    rng = stream(seed, "target")
    if options.target_agatston is not None:
        low, high = options.target_agatston
        return (
            float(low)
            if high <= low
            else round(float(np.exp(rng.uniform(np.log(max(low, 0.5)), np.log(max(high, 1.0))))), 3)
        )
    if chance(rng, options.zero_fraction):
        return 0.0
    category = int(rng.choice(len(CATEGORY_WEIGHTS), p=np.array(CATEGORY_WEIGHTS)))
    low, high = CATEGORY_EDGES[category : category + 2]
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))), 3)


def paths_of(branches: list[Branch]) -> dict[str, list[tuple[tuple[Branch, ...], float, float]]]:
    """Return for each vessel its paths: branches from the ostium, first and last distance where its lesions centre."""
    by = {branch.name: branch for branch in branches}
    lm = float(arc_length(by["LM"].points)[-1])

    def ends(branch: Branch, before: float) -> tuple[float, float]:
        return before, before + float(arc_length(branch.points)[-1])

    out = {
        "LM": [((by["LM"], by["LAD"]), 0.5, lm), ((by["LM"], by["LCX"]), 0.5, lm)],
        "LAD": [((by["LM"], by["LAD"]), *ends(by["LAD"], lm))],
        "LCX": [((by["LM"], by["LCX"]), *ends(by["LCX"], lm))],
        "RCA": [((by["RCA"],), *ends(by["RCA"], 0.0))],
    }
    for branch in branches:
        if branch.name not in ("LM", "LAD", "LCX", "RCA"):
            before = feeding(branch, by)
            start = sum(float(arc_length(part.points)[-1]) for part in before)
            out[Vessel(branch.vessel).name].append(((*before, branch), *ends(branch, start)))
    return out


def feeding(branch: Branch, by: dict[str, Branch]) -> tuple[Branch, ...]:
    """Return the branches from the ostium to where a side branch leaves; the last one is cut there."""
    parent = by[Vessel(branch.vessel).name]
    gap = parent.points - branch.points[0]
    leaves = int(np.argmin((gap * gap).sum(axis=1)))
    trunk = () if parent.vessel == Vessel.RCA else (by["LM"],)
    if leaves == 0:
        return trunk
    return *trunk, replace(parent, points=parent.points[: leaves + 1], radius=parent.radius[: leaves + 1])


def draw_lesions(seed: int, branches: list[Branch], target: float, options: PhantomOptions) -> list[Lesion]:
    """Draw lesions until their guessed scores add up to the target."""
    if target <= 0.0:
        return []
    rng = stream(seed, "lesions")
    shares = ENRICHED_SHARES if options.enriched else SHARES
    names = list(shares)
    weights = np.array([shares[name] for name in names])
    single = chance(rng, 0.65 if target < 15 else 0.25 if target < 100 else 0.03)
    if single:
        vessel_weights = np.zeros(4)
        vessel_weights[int(rng.choice(4, p=np.array([0.08, 0.58, 0.13, 0.21])))] = 1.0
    else:
        vessel_weights = rng.dirichlet(weights * 4.0 + 0.05)
    paths = paths_of(branches)
    median = (1.4 if options.enriched else 2.2) * float(np.clip((target / 50.0) ** 0.3, 0.5, 3.0))
    lesions: list[Lesion] = []
    guessed = 0.0
    while guessed < target and len(lesions) < MOST_LESIONS:
        name = names[int(rng.choice(4, p=vessel_weights))]
        choices = paths[name]
        main = len(choices) == 1 or chance(rng, 0.85)
        path, first, last = choices[0] if main else choices[1 + int(rng.integers(len(choices) - 1))]
        at = place(rng, name, main, first, last)
        volume = lognormal(rng, median, 1.15, 0.25, 260.0)
        density = lognormal(rng, 520.0, 0.42, 180.0, 1250.0)
        volume = min(volume, max(1.6 * (target - guessed) / (AGATSTON_PER_MG * density * 1e-3), 0.25))
        lesions.append(
            Lesion(
                len(lesions),
                path,
                at,
                volume,
                density,
                uniform(rng, 0, 6.283),
                lognormal(rng, 1.0, 0.3, 0.5, 2.2),
                chance(rng, 0.55),
            )
        )
        guessed += AGATSTON_PER_MG * volume * density * 1e-3
    return lesions


def place(rng: np.random.Generator, name: str, main: bool, first: float, last: float) -> float:
    """Return a distance along a path: decaying from the ostium in LAD and LCX (scale about 28 mm), flat in the RCA."""
    length = last - first
    if name == "LM" or not main:
        return round(first + length * float(rng.random()), 4)
    if name == "RCA":
        return round(first + length * float(rng.random()) ** 1.15, 4)
    distance = float(rng.exponential(28.0))
    return round(first + (distance if distance < length else length * float(rng.random())), 4)


def particles_of(lesion: Lesion, seed: int, slope: float, scale: float = 1.0) -> list[Cloud]:
    """Return the clouds of one lesion, one for each vessel that it touches: it is split where vessels divide.

    What would lie before the ostium spreads on the wall of the aorta instead, round the ostium, and is the aorta's.
    """
    rng = stream(seed, "particles", str(lesion.index))
    volume = lesion.volume * scale
    line = np.vstack([lesion.path[0].points, *(branch.points[1:] for branch in lesion.path[1:])])
    radius = np.concatenate([lesion.path[0].radius, *(branch.radius[1:] for branch in lesion.path[1:])])
    owner = np.concatenate([np.full(len(b.points) - (i > 0), int(b.vessel)) for i, b in enumerate(lesion.path)])
    along = arc_length(line)
    reach = float(np.interp(lesion.at, along, radius)) + 0.5 * WALL_MM
    length = (1.25 if lesion.spotty else 2.2) * lesion.elongation * volume**0.42
    section = volume / length
    thick = float(np.clip(0.75 * np.sqrt(section), 0.25, 1.5))
    arc = section / thick / reach
    if arc > 4.2:
        length, arc = length * arc / 4.2, 4.2
    count = int(np.clip(volume / 0.03, 60, 1600))
    s = lesion.at + length * 0.5 * (rng.random(count) + rng.random(count) - 1.0) * 1.35
    angle = lesion.turn + arc * (rng.random(count) - 0.5) + 0.25 * (s - lesion.at) / max(length, 1.0)
    distance = reach + thick * (rng.random(count) - 0.35)
    aortic = s < 0.0
    distance = np.where(aortic, reach + np.minimum(-s, OSTIAL_COLLAR_MM), distance)
    s = np.clip(s, 0.0, along[-1])
    center = np.stack([np.interp(s, along, line[:, i]) for i in range(3)], axis=1)
    ahead = np.stack([np.interp(np.clip(s + 1.0, 0, along[-1]), along, line[:, i]) for i in range(3)], axis=1)
    behind = np.stack([np.interp(np.clip(s - 1.0, 0, along[-1]), along, line[:, i]) for i in range(3)], axis=1)
    tangent = ahead - behind
    tangent /= np.sqrt((tangent * tangent).sum(axis=1, keepdims=True)) + 1e-9
    side = np.cross(tangent, np.array([0.31, 0.52, 0.80]))
    side /= np.sqrt((side * side).sum(axis=1, keepdims=True)) + 1e-9
    up = np.cross(tangent, side)
    points = center + distance[:, None] * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * up)
    points = np.round(points, 4)
    weights = 0.5 + rng.random(count)
    volumes = volume * weights / weights.sum()
    vessel = owner[np.searchsorted(along, s).clip(0, len(owner) - 1)]
    vessel = np.where(aortic, int(NonCoronary.AORTA), vessel)
    contrast = np.full(count, lesion.density * slope)
    return [
        Cloud(int(v), points[vessel == v], volumes[vessel == v], contrast[vessel == v], motion_of(int(v)), lesion.index)
        for v in np.unique(vessel)
    ]


def motion_of(label: int) -> str:
    """Return the motion that the calcium of a label takes part in."""
    return "root" if label == NonCoronary.AORTA else Vessel(label).name


def coronary_only(clouds: list[Cloud]) -> list[Cloud]:
    """Return the clouds that count for a vessel."""
    return [cloud for cloud in clouds if cloud.label in tuple(Vessel)]


def rescaled(lesions: list[Lesion], factor: float) -> list[Lesion]:
    """Return the lesions with their volumes multiplied."""
    return [replace(lesion, volume=round(min(max(lesion.volume * factor, 0.1), 450.0), 5)) for lesion in lesions]
