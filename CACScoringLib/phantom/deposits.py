"""Building blocks of calcification and metal: patches, ragged balls and wires as particle clouds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.coronaries import Branch
from CACScoringLib.phantom.draws import lognormal, uniform
from CACScoringLib.phantom.heart import Heart
from CACScoringLib.phantom.particles import Cloud


@dataclass(frozen=True, eq=False)
class Site:
    """Where deposits can lie: the patient's anatomy, and HU per mg of hydroxyapatite per ml."""

    anatomy: Anatomy
    heart: Heart
    branches: list[Branch]
    slope: float

    def calcium(self, rng: np.random.Generator, median: float, log_sd: float = 0.4) -> float:
        """Draw the contrast in HU of calcium with a median density in mg/ml."""
        return lognormal(rng, median, log_sd, 150.0, 1250.0) * self.slope


def weights(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return uneven particle weights of sum 1."""
    drawn = 0.4 + rng.random(count)
    return drawn / drawn.sum()


def patch(
    rng: np.random.Generator,
    center: np.ndarray,
    axes: np.ndarray,
    radii: tuple[float, float],
    *,
    angle: float,
    arc: float,
    height: float,
    thick: float,
    filled: float,
    contrast: float,
    label: int,
    moving: str = "",
) -> Cloud:
    """Return a patch of an elliptic cylinder along ``axes[0]``.

    Parameters
    ----------
    radii : semi-axes in mm along ``axes[1]`` and ``axes[2]``
    angle, arc : middle and extent in radians
    height, thick : extent along the cylinder and across its wall in mm
    filled : share of that volume which is calcified
    contrast : HU above the tissue
    """
    volume = 0.5 * (radii[0] + radii[1]) * arc * height * thick * filled
    count = int(np.clip(volume / 0.05, 50, 2500))
    turn = angle + arc * 0.5 * (rng.random(count) + rng.random(count) - 1.0) * 1.3
    along = height * (rng.random(count) - 0.5)
    depth = thick * (rng.random(count) - 0.5)
    ring = ((radii[0] + depth) * np.cos(turn))[:, None] * axes[1] + ((radii[1] + depth) * np.sin(turn))[:, None] * axes[
        2
    ]
    points = np.round(center + along[:, None] * axes[0] + ring, 4)
    return Cloud(int(label), points, volume * weights(rng, count), np.full(count, contrast), moving)


def blob(
    rng: np.random.Generator, center: np.ndarray, volume: float, contrast: float, label: int, moving: str = ""
) -> Cloud:
    """Return a ragged ball of ``volume`` mm3, its particles spread over about one and a half times its radius."""
    count = int(np.clip(volume / 0.05, 40, 1500))
    points = np.round(center + rng.normal(0, 0.5, (count, 3)) * volume ** (1.0 / 3.0), 4)
    drawn = rng.random(count) ** 2 + 0.1
    return Cloud(int(label), points, volume * drawn / drawn.sum(), np.full(count, contrast), moving)


def wire(
    rng: np.random.Generator, points: np.ndarray, radius: float, contrast: float, label: int, moving: str = ""
) -> Cloud:
    """Return a wire of ``radius`` mm along a polyline (n, 3)."""
    step = 0.2
    d = np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1))
    along = np.concatenate([[0.0], np.cumsum(d)])
    at = np.arange(0.0, along[-1], step)
    line = np.stack([np.interp(at, along, points[:, i]) for i in range(3)], axis=1)
    line = np.round(line + rng.normal(0, 0.35 * radius, line.shape), 4)
    return Cloud(int(label), line, np.full(len(at), np.pi * radius**2 * step), np.full(len(at), contrast), moving)


def turn_of(rng: np.random.Generator) -> float:
    """Draw an angle in radians."""
    return uniform(rng, 0.0, 6.2832)
