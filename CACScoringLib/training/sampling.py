"""Patches from training cases: what to look at, and how to vary it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CACScoringLib.inference.grids import AIR_HU, COARSE_SPACING_MM, FINE_SPACING_MM, Grid
from CACScoringLib.inference.inputs import hu_channels
from CACScoringLib.inference.windows import WINDOW
from CACScoringLib.training.arteries import UNKNOWN
from CACScoringLib.training.cases import TrainingCase
from CACScoringLib.training.labels import LEFT_MAIN_OR_LAD
from CACScoringLib.vocabulary import NonCoronary, Vessel

CORONARY_SHARE = 0.42
"""Share of fine patches that are centred on coronary calcium, where a case has any."""
MIMIC_SHARE = 0.36
"""Share centred on other calcification."""
LEFT_MAIN_SHARE, AORTA_SHARE = 2.0, 2.5
"""How often the left main, and the aorta whose root lies beside it, are chosen against each other vessel or mimic."""
CENTRE_JITTER = 20
SCORING_MM3 = 3.0
"""An island of 1 mm2 in a 3 mm slice: smaller ones hardly score, so they weigh less."""
LEAST_WEIGHT = 0.05
ELSEWHERE_SHARE = 0.25
"""Share of coarse patches from anywhere in the body: what is no heart is learned there."""


@dataclass(frozen=True, eq=False)
class FinePatch:
    """A fine patch.

    Attributes
    ----------
    channels : ndarray of float32, shape (4, 64, 64, 64)
    label, weight, structures, arteries : ndarray, shape (64, 64, 64)
        Truth; arteries as in ``TrainingCase``.
    cells : ndarray of int, shape (m,); place : ndarray of int, shape (m, 3)
        The case's candidate cells that lie in the patch, and where.
    """

    channels: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    structures: np.ndarray
    arteries: np.ndarray
    cells: np.ndarray
    place: np.ndarray
    grid: Grid


@dataclass(frozen=True, eq=False)
class CoarsePatch:
    """A coarse patch: ``channels`` (4, 64, 64, 64) float32 and the true structures (64, 64, 64)."""

    channels: np.ndarray
    structures: np.ndarray
    grid: Grid


def crop(
    array: np.ndarray, start: np.ndarray, fill: float, shape: tuple[int, int, int] = (WINDOW, WINDOW, WINDOW)
) -> np.ndarray:
    """Return the crop of a shape whose first voxel is ``start``, filled outside the array."""
    out = np.full(shape, fill, array.dtype)
    low, high = np.maximum(start, 0), np.minimum(start + np.asarray(shape), array.shape)
    if np.all(high > low):
        source = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        target = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
        out[target] = array[source]
    return out


def vary_hu(hu: np.ndarray, rng: np.random.Generator, noise_hu: float) -> np.ndarray:
    """Vary brightness, contrast, sharpness and noise of HU (float32)."""
    out = hu.astype(np.float32)
    if rng.random() < 0.3:
        out = ndimage.gaussian_filter(out, rng.uniform(0.3, 0.9))
    if rng.random() < 0.6:
        noise = rng.standard_normal(out.shape, dtype=np.float32)
        if rng.random() < 0.5:
            noise = ndimage.gaussian_filter(noise, (0.0, 0.6, 0.6)) * 2.0
        out += noise * np.float32(rng.uniform(0, noise_hu))
    if rng.random() < 0.3:
        field = ndimage.zoom(rng.normal(0, 8, (3, 3, 3)).astype(np.float32), WINDOW / 3, order=1)
        out += field[:WINDOW, :WINDOW, :WINDOW]
    return vary_brightness(out, rng)


def vary_brightness(hu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary brightness and contrast of HU (float32)."""
    return (hu + 1000.0) * np.float32(rng.uniform(0.985, 1.015)) - 1000.0 + np.float32(rng.normal(0, 8))


def coarse_patch(case: TrainingCase, rng: np.random.Generator, vary: bool = True) -> CoarsePatch:
    """Cut a coarse patch round the heart."""
    inside = np.argwhere(case.coarse_structures > 0)
    centre = inside.mean(axis=0) + (rng.uniform(-22, 22, 3) if vary else 0)
    if vary and rng.random() < ELSEWHERE_SHARE:
        centre = rng.uniform(0, case.coarse_hu.shape)
    start = _clip_start(np.rint(centre).astype(int) - WINDOW // 2, case.coarse_hu.shape)
    hu = crop(case.coarse_hu, start, AIR_HU)
    hu = vary_hu(hu, rng, 12.0) if vary else hu.astype(np.float32)
    offset = case.coarse_offset_mm + start * np.asarray(COARSE_SPACING_MM)
    grid = Grid(COARSE_SPACING_MM, tuple(map(float, offset)), (WINDOW,) * 3)
    return CoarsePatch(hu_channels(hu), crop(case.coarse_structures, start, 0), grid)


def fine_patch(
    case: TrainingCase,
    rng: np.random.Generator,
    vary: bool = True,
    about: np.ndarray | None = None,
    balanced: bool = True,
) -> FinePatch:
    """Cut a fine patch round a cell that is given, or a lesion, a mimic or any candidate.

    Not ``balanced``: round any candidate, however rare its vessel is.
    """
    centre = _fine_centre(case, rng, balanced) if about is None else about
    centre = centre + rng.integers(-CENTRE_JITTER, CENTRE_JITTER + 1, 3)
    start = _clip_start(centre - WINDOW // 2, case.fine_hu.shape)
    return fine_patch_at(case, start, rng if vary else None)


def fine_patch_at(case: TrainingCase, start: np.ndarray, rng: np.random.Generator | None) -> FinePatch:
    """Cut the fine patch whose first voxel is ``start``; varied when ``rng`` is given."""
    hu = crop(case.fine_hu, start, AIR_HU)
    hu = vary_hu(hu, rng, 25.0) if rng is not None else hu.astype(np.float32)
    place = case.cell - start
    inside = ((place >= 0) & (place < WINDOW)).all(axis=1)
    at = tuple(place[inside].T)
    gain = float(rng.uniform(0.93, 1.07)) if rng is not None else 1.0
    maps = {name: np.zeros((WINDOW,) * 3, np.float32) for name in ("peak", "fraction", "size", "weight")}
    label = np.zeros((WINDOW,) * 3, np.uint8)
    maps["peak"][at] = case.peak[inside] * gain
    maps["fraction"][at] = case.fraction[inside]
    maps["size"][at] = case.size[inside]
    scores = np.clip(case.size[inside] / SCORING_MM3, LEAST_WEIGHT, 1.0)
    maps["weight"][at] = case.weight[inside] * scores
    label[at] = case.label[inside]
    offset = case.fine_offset_mm + start * np.asarray(FINE_SPACING_MM)
    grid = Grid(FINE_SPACING_MM, tuple(map(float, offset)), (WINDOW,) * 3)
    structures, arteries = crop(case.fine_structures, start, 0), crop(case.fine_arteries, start, UNKNOWN)
    cells, weight = np.flatnonzero(inside), maps["weight"]
    return FinePatch(hu_channels(hu, maps), label, weight, structures, arteries, cells, place[inside], grid)


def _clip_start(start: np.ndarray, shape: tuple[int, ...], beyond: int = 6) -> np.ndarray:
    """Keep a window on its array, up to a few voxels beyond."""
    last = np.maximum(np.asarray(shape) - WINDOW, 0)
    return np.clip(start, -beyond, last + beyond)


def _fine_centre(case: TrainingCase, rng: np.random.Generator, balanced: bool) -> np.ndarray:
    """Choose what a fine patch is about."""
    draw = rng.random() if balanced else 1.0
    if draw < CORONARY_SHARE:
        label = np.where(case.label == LEFT_MAIN_OR_LAD, Vessel.LAD, case.label)
        vessels = [v for v in Vessel if np.any(label == v)]
        if vessels:
            share = np.array([LEFT_MAIN_SHARE if v == Vessel.LM else 1.0 for v in vessels])
            chosen = vessels[rng.choice(len(vessels), p=share / share.sum())]
            return _one_of(case, np.flatnonzero(label == chosen), rng)
    elif draw < CORONARY_SHARE + MIMIC_SHARE:
        kinds = [kind for kind in NonCoronary if np.any(case.label == kind)]
        if kinds:
            share = np.array([AORTA_SHARE if kind == NonCoronary.AORTA else 1.0 for kind in kinds])
            chosen = kinds[rng.choice(len(kinds), p=share / share.sum())]
            return _one_of(case, np.flatnonzero(case.label == chosen), rng)
    if len(case.cell) and rng.random() < 0.8:
        return _one_of(case, np.arange(len(case.cell)), rng)
    inside = np.argwhere(case.fine_structures > 0)
    return inside[rng.integers(len(inside))]


def _one_of(case: TrainingCase, members: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a candidate voxel with its island weight."""
    p = case.weight[members].astype(np.float64)
    return case.cell[rng.choice(members, p=p / p.sum())].astype(int)
