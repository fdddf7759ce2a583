"""Sequences of slices from training cases: which slices to look at, and how to vary them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CACScoringLib.inference.grids import AIR_HU, Grid, resample_linear
from CACScoringLib.inference.inputs import hu_channels
from CACScoringLib.inference.sequence import PLANE, join_channels
from CACScoringLib.training.convlstm_cases import SequenceCase
from CACScoringLib.training.sampling import (
    AORTA_SHARE,
    CORONARY_SHARE,
    LEAST_WEIGHT,
    LEFT_MAIN_SHARE,
    MIMIC_SHARE,
    SCORING_MM3,
    crop,
    vary_brightness,
)
from CACScoringLib.vocabulary import NonCoronary, Structure, Vessel

NOISE_HU = 20.0
"""Highest noise that is added."""
BLUR_PIXELS = (0.3, 0.8)
SOFTNESS = (0.5, 1.2)
"""Coarse voxels by which the true structures are softened: the structure branch works at 8 mm."""


@dataclass(frozen=True)
class HeartError:
    """How wrong the heart segmentation is made that the network is given in training.

    Attributes
    ----------
    shift_mm : float
        Standard deviation along each axis.
    lost : float
        Share of sequences without any heart segmentation.
    """

    shift_mm: float = 2.5
    lost: float = 0.08


@dataclass(frozen=True, eq=False)
class Sequence:
    """Consecutive slices of a patient.

    Attributes
    ----------
    channels : ndarray of float32, shape (12, T, y, x)
    index : ndarray of int64, shape (n, 3)
        Pixels that hold a candidate.
    label : ndarray of uint8, shape (n,)
        Values of the vocabulary.
    weight : ndarray of float32, shape (n,)
    """

    channels: np.ndarray
    index: np.ndarray
    label: np.ndarray
    weight: np.ndarray


def draw_sequence(
    case: SequenceCase, count: int, rng: np.random.Generator, error: HeartError, plane: int = PLANE
) -> Sequence:
    """Draw ``count`` consecutive slices round a lesion, a mimic or any candidate, and vary them."""
    middle = int(slice_of_interest(case, rng)) + rng.integers(-count // 3, count // 3 + 1)
    spare = np.asarray(case.hu.shape[1:]) - plane
    centre = spare // 2
    row, column = (int(c + rng.integers(-min(c, 8), min(c, 8) + 1)) if c > 0 else int(c) for c in centre)
    first = int(np.clip(middle - count // 2, min(0, len(case.hu) - count), max(0, len(case.hu) - count)))
    return sequence_at(case, (first, row, column), count, rng, error, plane)


def sequence_at(
    case: SequenceCase,
    start: tuple[int, int, int],
    count: int,
    rng: np.random.Generator | None,
    error: HeartError,
    plane: int = PLANE,
) -> Sequence:
    """Cut the sequence whose first pixel is ``start``; varied when ``rng`` is given."""
    shape = (count, plane, plane)
    hu = crop(case.hu, np.asarray(start), AIR_HU, shape)
    hu = vary_hu(hu, rng) if rng is not None else hu.astype(np.float32)
    place = case.cell - np.asarray(start)
    inside = ((place >= 0) & (place < shape)).all(axis=1)
    index = place[inside].astype(np.int64)
    gain = float(rng.uniform(0.93, 1.07)) if rng is not None else 1.0
    values = {"peak": case.peak[inside] * gain, "fraction": case.fraction[inside], "size": case.size[inside]}
    maps = {name: np.zeros(shape, np.float32) for name in values}
    for name, value in values.items():
        maps[name][tuple(index.T)] = value
    offset = case.offset_mm + np.asarray(start) * case.spacing_mm
    slices = Grid(tuple(map(float, case.spacing_mm)), tuple(map(float, offset)), shape)
    channels = join_channels(hu_channels(hu, maps), seen_structures(case, slices, rng, error), slices)
    weight = case.weight[inside] * np.clip(case.size[inside] / SCORING_MM3, LEAST_WEIGHT, 1.0)
    return Sequence(channels, index, case.label[inside], weight.astype(np.float32))


def seen_structures(case: SequenceCase, slices: Grid, rng: np.random.Generator | None, error: HeartError) -> np.ndarray:
    """Return the true structures as a segmentation might show them: soft, shifted, sometimes missing.

    Parameters
    ----------
    case : SequenceCase
    slices : Grid
    rng : Generator, optional
        Exact structures without.
    error : HeartError

    Returns
    -------
    ndarray of float32, shape (7, z, y, x)
    """
    if rng is not None and rng.random() < error.lost:
        return np.zeros((len(Structure), *slices.shape), np.float32)
    onehot = np.stack([case.structures == int(value) for value in Structure]).astype(np.float32)
    offset = case.structures_offset_mm
    if rng is not None:
        softness = rng.uniform(*SOFTNESS)
        onehot = np.stack([ndimage.gaussian_filter(one, softness, mode="nearest", truncate=3.0) for one in onehot])
        offset = offset + rng.normal(0, error.shift_mm, 3)
    spacing = tuple(map(float, case.structures_spacing_mm))
    return resample_linear(onehot, Grid(spacing, tuple(map(float, offset)), case.structures.shape), slices)


def vary_hu(hu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary brightness, contrast, sharpness and noise of slices (float32)."""
    out = hu.astype(np.float32)
    if rng.random() < 0.3:
        sigma = rng.uniform(*BLUR_PIXELS)
        out = ndimage.gaussian_filter(out, (0.0, sigma, sigma), truncate=3.0)
    if rng.random() < 0.6:
        noise = rng.standard_normal(out.shape, dtype=np.float32)
        if rng.random() < 0.5:
            noise = ndimage.gaussian_filter(noise, (0.0, 0.6, 0.6), truncate=3.0) * 2.0
        out += noise * np.float32(rng.uniform(0, NOISE_HU))
    return vary_brightness(out, rng)


def slice_of_interest(case: SequenceCase, rng: np.random.Generator) -> int:
    """Choose the slice that a sequence is about, as ``sampling.fine_patch`` chooses what a patch is about."""
    draw = rng.random()
    if draw < CORONARY_SHARE:
        kinds = {int(v): LEFT_MAIN_SHARE if v == Vessel.LM else 1.0 for v in Vessel}
    elif draw < CORONARY_SHARE + MIMIC_SHARE:
        kinds = {int(v): AORTA_SHARE if v == NonCoronary.AORTA else 1.0 for v in NonCoronary}
    else:
        kinds = {}
    present = [value for value in kinds if np.any(case.label == value)]
    if present:
        share = np.array([kinds[value] for value in present])
        members = np.flatnonzero(case.label == rng.choice(present, p=share / share.sum()))
    elif len(case.cell):
        members = np.arange(len(case.cell))
    else:
        return int(rng.integers(len(case.hu)))
    p = case.weight[members].astype(np.float64)
    return int(case.cell[rng.choice(members, p=p / p.sum()), 0])
