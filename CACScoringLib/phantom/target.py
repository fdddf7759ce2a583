"""Lesions whose noise-free image has the wanted Agatston score."""

from __future__ import annotations

import numpy as np

from CACScoringLib.phantom.calcium import Lesion, draw_lesions, particles_of, rescaled
from CACScoringLib.phantom.canvas import Block, Grid
from CACScoringLib.phantom.coronaries import Branch
from CACScoringLib.phantom.motion import motion_paths
from CACScoringLib.phantom.particles import Cloud, splat
from CACScoringLib.phantom.patient import PhantomOptions
from CACScoringLib.phantom.scanner import Scanner
from CACScoringLib.phantom.truth import THRESHOLD_HU, agatston
from CACScoringLib.vocabulary import Vessel

TARGET_TOLERANCE = 0.12
MOST_GROWTH = 3.5
"""Lesions that blur hides are not made larger than this to reach a score: ungated scans may miss calcium."""
OWNED_HU = 1.0
"""Contrast from which a voxel is said to belong to a label at all."""
Image = tuple[int, Block, np.ndarray]
"""A cloud's label, the block of voxels that it touches and its contrast there in HU."""


class Imager:
    """Images particle clouds on one grid with one scanner; remembers the motion of each part of the heart."""

    def __init__(self, grid: Grid, scanner: Scanner):
        self.grid, self.scanner = grid, scanner
        self._paths: dict[str, np.ndarray] = {}

    def image(self, clouds: list[Cloud]) -> list[Image]:
        """Return the images of the clouds that the scan sees."""
        out = []
        for cloud in clouds:
            if cloud.moving not in self._paths:
                self._paths[cloud.moving] = motion_paths(self.scanner, self.grid.shape[0], cloud.moving)
            found = splat(cloud, self.grid, self.scanner.fwhm, self.scanner.thickness, self._paths[cloud.moving])
            if found is not None:
                out.append((cloud.label, *found))
        return out


def reach_target(
    seed: int,
    branches: list[Branch],
    imager: Imager,
    clean: np.ndarray,
    slope: float,
    target: float,
    options: PhantomOptions,
) -> tuple[list[Lesion], list[Image]]:
    """Draw lesions and scale them until the noise-free image has the wanted score."""
    lesions = draw_lesions(seed, branches, target, options)
    images: list[Image] = []
    grown = 1.0
    for _ in range(6):
        images = imager.image([cloud for lesion in lesions for cloud in particles_of(lesion, seed, slope)])
        if not lesions:
            break
        score = quick_score(clean, images, imager.grid.spacing)
        if abs(score - target) <= TARGET_TOLERANCE * target:
            break
        factor = float(np.clip((target + 0.5) / (score + 0.5), 0.3, 2.5)) ** 0.85
        factor = round(min(factor, MOST_GROWTH / grown), 4)
        grown *= factor
        lesions = rescaled(lesions, factor)
    return lesions, images


def quick_score(clean: np.ndarray, images: list[Image], spacing: tuple[float, float, float]) -> float:
    """Return the Agatston score of coronary contrast alone on the clean image."""
    images = [image for image in images if image[0] in tuple(Vessel)]
    if not images:
        return 0.0
    low = [min(block[i].start for _, block, _ in images) for i in range(3)]
    high = [max(block[i].stop for _, block, _ in images) for i in range(3)]
    total = clean[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].copy()
    added = np.zeros_like(total)
    for _, block, contrast in images:
        added[tuple(slice(s.start - a, s.stop - a) for s, a in zip(block, low, strict=True))] += contrast
    total += added
    return agatston(total, (total >= THRESHOLD_HU) & (added > 15.0), spacing)[0]


def combine(shape: tuple[int, int, int], images: list[Image]) -> tuple[np.ndarray, np.ndarray]:
    """Return the summed contrast (float32) and the label that contributes most (uint8), all its clouds together."""
    contrast, best, owner = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    for label in sorted({label for label, _, _ in images}):
        own = [(block, added) for other, block, added in images if other == label]
        low = [min(block[i].start for block, _ in own) for i in range(3)]
        whole = tuple(slice(low[i], max(block[i].stop for block, _ in own)) for i in range(3))
        total = np.zeros(tuple(s.stop - s.start for s in whole), np.float32)
        for block, added in own:
            total[tuple(slice(s.start - a, s.stop - a) for s, a in zip(block, low, strict=True))] += added
        contrast[whole] += total
        wins = total > best[whole]
        best[whole][wins] = total[wins]
        owner[whole][wins & (total > OWNED_HU)] = label
    return contrast, owner
