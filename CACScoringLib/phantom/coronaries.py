"""The coronary tree: centrelines on the heart's surface, projected there from measured control points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.draws import chance, normal, stream, uniform
from CACScoringLib.phantom.heart import Heart
from CACScoringLib.phantom.parts import nearest
from CACScoringLib.vocabulary import Vessel

STEP_MM = 1.0
WALL_MM = 0.8
OSTIUM_SEARCH_MM = 40.0


@dataclass(frozen=True, eq=False)
class Branch:
    """One branch of the tree.

    Attributes
    ----------
    name : such as "LAD", "D1", "PDA"
    vessel : the label it counts under (diagonals LAD; marginals and ramus LCX; PDA the artery that feeds it)
    points : (n, 3) centreline x, y, z in mm, about 1 mm apart
    radius : (n,) lumen radius in mm
    start : distance of the first point from the ostium in mm
    """

    name: str
    vessel: Vessel
    points: np.ndarray
    radius: np.ndarray
    start: float


def smooth_line(controls: np.ndarray, step: float = STEP_MM) -> np.ndarray:
    """Return a Catmull-Rom curve through control points (n, 3), resampled to ``step`` mm."""
    padded = np.vstack([2 * controls[0] - controls[1], controls, 2 * controls[-1] - controls[-2]])
    t = (np.arange(16) / 16.0)[:, None]
    pieces = []
    for p0, p1, p2, p3 in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
        pieces.append(
            0.5
            * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t * t + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
        )
    return resample(np.vstack([*pieces, controls[-1:]]), step)


def resample(points: np.ndarray, step: float) -> np.ndarray:
    """Return points at equal distances along a polyline."""
    lengths = arc_length(points)
    count = max(int(lengths[-1] / step), 2)
    at = np.linspace(0.0, lengths[-1], count + 1)
    return np.stack([np.interp(at, lengths, points[:, i]) for i in range(3)], axis=1)


def arc_length(points: np.ndarray) -> np.ndarray:
    """Return the distance of each point from the first along the line."""
    d = np.diff(points, axis=0)
    return np.concatenate([[0.0], np.cumsum(np.sqrt((d * d).sum(axis=1)))])


def settle(points: np.ndarray, heart: Heart, low: float, high: float, hold: int = 0) -> np.ndarray:
    """Move points onto the heart: to between ``low`` and ``high`` mm outside muscle; the first ``hold`` stay."""
    out = points.copy()
    h = 1.5
    for _ in range(6):
        around = np.concatenate([out, *(out + h * sign * step for step in np.eye(3) for sign in (1.0, -1.0))])
        d, *sides = heart.surface(around).astype(np.float64).reshape(7, len(out))
        gradient = np.stack([sides[0] - sides[1], sides[2] - sides[3], sides[4] - sides[5]], axis=1)
        gradient /= np.sqrt((gradient * gradient).sum(axis=1, keepdims=True)) + 1e-6
        wanted = np.clip(d, low, high)
        move = 0.7 * (wanted - d)[:, None] * gradient
        move[:hold] = 0.0
        out = out + move
        out[1:-1] = 0.25 * out[:-2] + 0.5 * out[1:-1] + 0.25 * out[2:]
    return out


def build_tree(anatomy: Anatomy, heart: Heart) -> tuple[list[Branch], dict[str, float | str]]:
    """Return the branches and what was drawn (dominance, lengths)."""
    rng = stream(anatomy.seed, "coronaries")
    draw = rng.random()
    dominance = "right" if draw < 0.83 else "codominant" if draw < 0.91 else "left"
    u = anatomy.unit * (1.0 if anatomy.sex == "M" else 0.95)

    def line(controls, spread: float = 0.03, hold: int = 1, low: float = 2.2, high: float = 5.5) -> np.ndarray:
        drift, fractions = rng.normal(0, spread, 3), np.array(controls, dtype=float)
        noise = drift + rng.normal(0, 0.6 * spread, fractions.shape)
        noise[:hold] *= 0.0
        points = np.array([anatomy.box(*row) for row in fractions + np.clip(noise, -0.08, 0.08)])
        return points, low, high, hold

    def finish(points: np.ndarray, low: float, high: float, hold: int, wiggle: float) -> np.ndarray:
        curve = settle(smooth_line(points), heart, low, high, hold)
        n = len(curve)
        waves = rng.normal(0, 1, (max(n // 9, 2), 3))
        at = np.linspace(0, len(waves) - 1, n)
        bend = np.stack([np.interp(at, np.arange(len(waves)), waves[:, i]) for i in range(3)], axis=1)
        bend *= wiggle * np.minimum(np.arange(n) / 12.0, 1.0)[:, None]
        curve = settle(resample(curve + bend, STEP_MM), heart, low, high, hold)
        return np.round(resample(curve, STEP_MM), 3)

    sinus = heart.points["sinus"]

    def ostium(azimuth: float, height: float) -> np.ndarray:
        angle = np.deg2rad(azimuth)
        heading = np.round([np.cos(angle), -np.sin(angle), 0.0], 6)
        return ostium_on(heart, sinus + np.array([0.0, 0.0, height]), heading)

    branches: list[Branch] = []

    def add(name: str, vessel: Vessel, points: np.ndarray, first: float, last: float, start: float) -> Branch:
        radius = np.round(np.linspace(first, last, len(points)) * 0.5 * u, 3)
        branches.append(Branch(name, vessel, points, radius, round(start, 3)))
        return branches[-1]

    lm_start = ostium(normal(rng, -24, 8), normal(rng, 4, 3))
    lad1, lcx1 = anatomy.box(0.64, 0.59, 0.71), anatomy.box(0.63, 0.68, 0.68)
    lm_length = normal(rng, 10.5, 4.5, 3, 22)
    heading = 0.5 * (lad1 + lcx1) - lm_start
    fork = lm_start + heading * (lm_length / np.sqrt((heading * heading).sum()))
    lm = finish(np.vstack([lm_start, 0.5 * (lm_start + fork) + rng.normal(0, 0.5, 3), fork]), 0.5, 8.0, 1, 0.2)
    add("LM", Vessel.LM, lm, 4.6, 4.3, 0.0)
    fork = lm[-1]
    start = float(arc_length(lm)[-1])
    lad_points, low, high, _ = line(
        [
            (0.68, 0.53, 0.69),
            (0.755, 0.44, 0.63),
            (0.74, 0.28, 0.53),
            (0.73, 0.19, 0.43),
            (0.78, 0.17, 0.28),
            (0.90, 0.25, 0.10),
        ],
        hold=0,
    )
    lad = finish(np.vstack([fork, lad_points]), low, high, 1, 1.2)
    lad = lad[: int(uniform(rng, 100, 135) * anatomy.unit)]
    add("LAD", Vessel.LAD, lad, 3.7, 1.8, start)
    lcx_controls = [(0.68, 0.71, 0.66), (0.75, 0.77, 0.57), (0.71, 0.85, 0.45)]
    if dominance == "right":
        lcx_controls.append((0.64, 0.88, 0.36))
    else:
        lcx_controls += [(0.60, 0.84, 0.30), (0.42, 0.70, 0.23)]
    lcx_points, low, high, _ = line(lcx_controls, hold=0)
    lcx = finish(np.vstack([fork, lcx_points]), low, high, 1, 0.8)
    add("LCX", Vessel.LCX, lcx, 4.2 if dominance == "left" else 3.4, 1.8, start)
    rca_start = ostium(normal(rng, 106, 7), normal(rng, 5, 3))
    rca_controls = [(0.25, 0.36, 0.64), (0.17, 0.34, 0.57), (0.13, 0.33, 0.47), (0.09, 0.35, 0.36), (0.07, 0.42, 0.25)]
    rca_controls += [] if dominance == "left" else [(0.17, 0.55, 0.19), (0.36, 0.66, 0.21)]
    rca_points, low, high, _ = line(rca_controls, hold=0)
    rca = finish(np.vstack([rca_start, rca_points]), low, high, 1, 1.0)
    add("RCA", Vessel.RCA, rca, 2.8 if dominance == "left" else 3.9, 2.6 if dominance != "left" else 1.6, 0.0)
    feeder, name = (lcx, Vessel.LCX) if dominance == "left" else (rca, Vessel.RCA)
    pda_points, low, high, _ = line([(0.50, 0.55, 0.12), (0.66, 0.44, 0.05)], hold=0)
    pda = finish(np.vstack([feeder[-1], pda_points]), low, high, 1, 0.8)
    add("PDA", name, pda, 2.3, 1.3, float(arc_length(feeder)[-1]))
    add_side_branches(branches, anatomy, rng, finish, line, start)
    drawn = {
        "dominance": dominance,
        "lm_length_mm": round(start, 2),
        "lad_length_mm": round(float(arc_length(lad)[-1]), 1),
    }
    drawn |= {
        "lcx_length_mm": round(float(arc_length(lcx)[-1]), 1),
        "rca_length_mm": round(float(arc_length(rca)[-1]), 1),
    }
    return branches, drawn


def ostium_on(heart: Heart, start: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Return where a ray from inside the aortic root leaves it: there a coronary artery begins and the aorta ends."""
    at = np.arange(0.0, OSTIUM_SEARCH_MM, 0.1)
    outside = np.flatnonzero(nearest(heart.root, start + at[:, None] * heading) >= 0.0)
    return start + float(at[outside[0]] if outside.size else at[-1]) * heading


def add_side_branches(
    branches: list[Branch], anatomy: Anatomy, rng: np.random.Generator, finish, line, start: float
) -> None:
    """Add diagonals, marginals, a ramus and an acute marginal (section 2)."""
    by_name = {branch.name: branch for branch in branches}
    ends = {
        "D": [(0.93, 0.52, 0.42), (0.94, 0.42, 0.26), (0.92, 0.36, 0.2)],
        "OM": [(0.93, 0.68, 0.36), (0.88, 0.76, 0.26), (0.80, 0.80, 0.22)],
    }

    def side(name: str, vessel: Vessel, parent: Branch, distance: float, end, width: float) -> None:
        index = min(int(distance), len(parent.points) - 2)
        target, low, high, _ = line([end], spread=0.04, hold=0)
        origin = parent.points[index]
        middle = 0.5 * (origin + target[0])
        points = finish(np.vstack([origin, middle, target[0]]), low, high, 1, 0.9)
        points = points[: max(int(uniform(rng, 30, 65) * anatomy.unit), 5)]
        radius = np.round(np.linspace(width, 0.6 * width, len(points)) * 0.5, 3)
        branches.append(Branch(name, vessel, points, radius, round(parent.start + distance, 3)))

    for i in range(1 + int(rng.random() < 0.75) + int(rng.random() < 0.3)):
        side(f"D{i + 1}", Vessel.LAD, by_name["LAD"], 16.0 + 20.0 * i + uniform(rng, 0, 14), ends["D"][i], 2.2)
    for i in range(1 + int(rng.random() < 0.7) + int(rng.random() < 0.2)):
        side(f"OM{i + 1}", Vessel.LCX, by_name["LCX"], 12.0 + 16.0 * i + uniform(rng, 0, 12), ends["OM"][i], 2.2)
    if chance(rng, 0.25):
        side("ramus", Vessel.LCX, by_name["LCX"], 0.0, (0.94, 0.62, 0.44), 2.4)
    side("AM", Vessel.RCA, by_name["RCA"], uniform(rng, 35, 70), (0.45, 0.08, 0.20), 1.8)
