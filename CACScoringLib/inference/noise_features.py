"""What tells calcium from noise: HU round an island on many scales, against the noise of the scan and its other specks.

The network sees 2 x 1.25 x 1.25 mm; whether a few bright voxels are calcium is told by the CT's own voxels. Noise is
bright in one place and dark beside it, and a scan has many specks of it: how an island compares with them says how
often noise looks like that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from CACScoringLib.inference.candidates import CANDIDATE_HU, Candidates
from CACScoringLib.inference.lesions import SPECK_MM3, island_sums
from CACScoringLib.inference.matched_filter import SPOTS, matched_filter

BLURS_MM = (0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Standard deviations of the Gaussians that HU are averaged with, in the slice."""
FINE, MIDDLE, WIDE = 1, 3, 4
"""Of these: 1, 2 and 3 mm."""
REACH_MM = 14.0
"""How far round the islands anything is looked at."""
RING_MM = (3.5, 7.0)
CORE_MM = 2.5
LOWEST_HU, HIGHEST_HU = -150.0, 700.0
"""Lung and metal are told from tissue and calcium, but not by how much."""
LEAST_CALCIUM_HU = 100.0
"""HU beyond this weigh in the middle and the mass of an island."""
NEAR_MM = 25.0
"""Specks from here on are no neighbours."""
COMPARED_SPOTS = (1, 2)
"""Of ``SPOTS``: whose answers are compared with those of the other specks."""
MAD_TO_SD = 1.4826

BLUR = tuple(f"blur_{blur:g}" for blur in BLURS_MM)
SLICES = (*(f"next_{side}_{blur}" for side in ("higher", "lower") for blur in (1, 2, 3)), "second_1.5", "second_3")
RISE = ("rise_1", "rise_2", "rise_3", "next_rise_1", "next_rise_2")
GRAIN = ("grain", "slice_grain", "slice_rise", "ring_mean", "ring_spread", "ring_high")
BESIDE = ("beside", "beside_least", "diagonal", "two_away", "three_away", "along_x")
ABOVE = ("above_higher", "above_lower", "above_mean_higher", "above_mean_lower", "above_second")
MATCHED = (*(f"matched_{n}" for n in range(len(SPOTS))), *(f"matched_middle_{n}" for n in COMPARED_SPOTS))
NOISE = ("noise", "noise_x", "noise_y", "noise_z", "noise_2x", "noise_2y", "peak_in_noise", "excess")
RANK = ("brighter", "heavier", "share_brighter", "share_heavier", "near_specks", "share_near_heavier")
MATCHED_RANK = tuple(f"{what}_{n}" for n in COMPARED_SPOTS for what in ("better_matched", "share_better_matched"))
NOISE_FEATURES = (*BLUR, *SLICES, *RISE, *GRAIN, *BESIDE, *ABOVE, *MATCHED, *NOISE, *RANK, *MATCHED_RANK)
"""Columns of ``noise_features``."""

CROSS = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])
DIAGONAL = np.array([(1, 1), (1, -1), (-1, 1), (-1, -1)])
HERE = np.zeros((1, 2), int)
BLOCK = np.concatenate((HERE, CROSS, DIAGONAL))


@dataclass(frozen=True, eq=False)
class _Islands:
    """All islands of a scan, in numbers.

    Attributes
    ----------
    candidates : Candidates
    spacing : ndarray of float, shape (3,)
    """

    candidates: Candidates
    spacing: np.ndarray

    def mean_place(self, weight: np.ndarray) -> np.ndarray:
        """Return the middle of each island, its voxels weighted; float64 (count, 3), in voxels."""
        sums = island_sums(np.column_stack((self.candidates.index * weight[:, None], weight)), self.candidates)
        return sums[:, :3] / np.maximum(sums[:, 3:], 1e-9)

    @cached_property
    def brightest(self) -> np.ndarray:
        """The brightest voxel of each island; int (count,), among the candidates."""
        order = np.lexsort((-self.candidates.hu.astype(float), self.candidates.lesion))
        return order[np.searchsorted(self.candidates.lesion[order], np.arange(self.candidates.count))]

    @cached_property
    def top(self) -> np.ndarray:
        """Where that is; int (count, 3)."""
        return self.candidates.index[self.brightest].astype(np.int64)

    @cached_property
    def peak(self) -> np.ndarray:
        """The highest HU of each."""
        return self.candidates.hu[self.brightest].astype(float)

    def mass(self, from_hu: float) -> np.ndarray:
        """HU beyond a limit, times volume; of each."""
        more = self.candidates.hu.astype(float) - from_hu
        return np.bincount(self.candidates.lesion, weights=more, minlength=self.candidates.count) * self.spacing.prod()

    @cached_property
    def speck(self) -> np.ndarray:
        """Whether each is a speck."""
        return self.candidates.size_mm3 < SPECK_MM3


def noise_features(
    hu: np.ndarray, spacing_mm: tuple[float, float, float], candidates: Candidates, islands: np.ndarray
) -> np.ndarray:
    """Measure islands against the noise.

    Parameters
    ----------
    hu : ndarray of int16, shape (z, y, x)
        The CT.
    spacing_mm : tuple of float
    candidates : Candidates
    islands : ndarray of int, shape (k,)
        Which islands to measure.

    Returns
    -------
    ndarray of float64, shape (k, len(NOISE_FEATURES))
        In the order of ``NOISE_FEATURES``.
    """
    if not len(islands):
        return np.zeros((0, len(NOISE_FEATURES)))
    spacing = np.asarray(spacing_mm, float)
    every = _Islands(candidates, spacing)
    asked = candidates.index[np.isin(candidates.lesion, islands)]
    reach = np.ceil(REACH_MM / spacing).astype(int)
    low, high = np.maximum(asked.min(axis=0) - reach, 0), np.minimum(asked.max(axis=0) + reach + 1, hu.shape)
    box = hu[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float32)
    box = np.clip(box, LOWEST_HU, HIGHEST_HU)
    weight = np.maximum(candidates.hu.astype(float) - LEAST_CALCIUM_HU, 1.0)
    middle = every.mean_place(weight)[islands] - low
    find = matched_filter(box, spacing)
    seen = ((every.top >= low) & (every.top < high)).all(axis=1)
    specks = np.flatnonzero(seen & every.speck)
    wanted = np.union1d(islands, specks)
    answers = find(every.top[wanted] - low)
    answer, of_specks = (answers[np.searchsorted(wanted, some)] for some in (islands, specks))
    of_middle = find(np.round(middle).astype(np.int64))[:, COMPARED_SPOTS]
    same = np.tile([find.noise_hu, *find.correlation], (len(islands), 1))
    own = np.column_stack((every.peak[islands] / find.noise_hu, every.mass(CANDIDATE_HU)[islands]))
    columns = [
        np.array([_scales(box, spacing, place) for place in middle]),
        _neighbours(box, every.top[islands] - low),
        answer,
        of_middle,
        same,
        own,
        _ranks(every, islands),
        _matched_ranks(answer, of_specks, every.speck[islands]),
    ]
    return np.concatenate(columns, axis=1)


def _scales(box: np.ndarray, spacing: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return BLUR, SLICES, RISE and GRAIN of one island, from what lies round its middle."""
    z, y, x = np.round(place).astype(int)
    rows, columns = (
        np.arange(max(at - int(REACH_MM / step), 0), min(at + int(REACH_MM / step) + 1, length))
        for at, step, length in zip((y, x), spacing[1:], box.shape[1:], strict=True)
    )
    down, across = (rows - place[1]) * spacing[1], (columns - place[2]) * spacing[2]
    slices = np.clip(np.arange(z - 2, z + 3), 0, len(box) - 1)
    around = box[slices, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(float)
    blurred = np.einsum("sy,zyx,sx->zs", _gaussians(down), around, _gaussians(across), optimize=True)
    second, own, beside = blurred[[0, 4]].mean(axis=0), blurred[2], blurred[[1, 3]]
    three = [FINE, MIDDLE, WIDE]
    slab = [beside.max(axis=0)[three], beside.min(axis=0)[three], second[[2, WIDE]]]
    rise = [(own - own[-1])[three], (beside.mean(axis=0) - own[-1])[three[:2]]]
    away = np.hypot(down[:, None], across[None, :])
    return np.concatenate((own, *slab, *rise, _grain(around, away)))


def _gaussians(away_mm: np.ndarray) -> np.ndarray:
    """Return a Gaussian of each of ``BLURS_MM`` along a line, with a sum of 1."""
    bell = np.exp(-0.5 * (away_mm / np.array(BLURS_MM)[:, None]) ** 2)
    return bell / bell.sum(axis=1, keepdims=True)


def _grain(around: np.ndarray, away_mm: np.ndarray) -> np.ndarray:
    """Return GRAIN: how rough the slice is, how it differs from its neighbours, and what lies in a ring round it.

    Parameters
    ----------
    around : ndarray of float, shape (5, y, x)
        Five slices.
    away_mm : ndarray of float, shape (y, x)
    """
    own = around[2]
    inner = own[1:-1, 1:-1]
    rough = 4.0 * inner - own[:-2, 1:-1] - own[2:, 1:-1] - own[1:-1, :-2] - own[1:-1, 2:]
    apart = own - 0.5 * (around[1] + around[3])
    ring = own[(away_mm > RING_MM[0]) & (away_mm < RING_MM[1])]
    core = apart[away_mm < CORE_MM]
    return np.array(
        [
            _robust_sd(rough[away_mm[1:-1, 1:-1] > RING_MM[0]]),
            _robust_sd(apart),
            core.mean() if core.size else 0.0,
            *((ring.mean(), ring.std(), np.percentile(ring, 90)) if ring.size else (0.0, 0.0, 0.0)),
        ]
    )


def _robust_sd(values: np.ndarray) -> float:
    """Return the standard deviation that the median deviation stands for."""
    return MAD_TO_SD * float(np.median(np.abs(values - np.median(values)))) if values.size else 0.0


def _neighbours(box: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Return BESIDE and ABOVE: the voxels next to the brightest one."""
    last = np.array(box.shape) - 1

    def at(slices: int, steps: np.ndarray) -> np.ndarray:
        moved = np.column_stack((np.full(len(steps), slices), steps))
        return box[tuple(np.clip(top[:, None] + moved, 0, last).transpose(2, 0, 1))].astype(float)

    cross = at(0, CROSS)
    above, block = (np.column_stack([at(side, steps).mean(axis=1) for side in (-1, 1)]) for steps in (HERE, BLOCK))
    second = np.column_stack([at(side, HERE) for side in (-2, 2)])
    means = [at(0, steps).mean(axis=1) for steps in (DIAGONAL, 2 * CROSS, 3 * CROSS)]
    sides = [slab for pair in (above, block) for slab in (pair.max(axis=1), pair.min(axis=1))]
    along = cross[:, :2].mean(axis=1) - cross[:, 2:].mean(axis=1)
    return np.column_stack((cross.mean(axis=1), cross.min(axis=1), *means, along, *sides, second.mean(axis=1)))


def _ranks(every: _Islands, islands: np.ndarray) -> np.ndarray:
    """Return RANK: how many of the scan's other specks are at least as bright or heavy, and how many are near."""
    specks = np.flatnonzero(every.speck)
    mass = every.mass(LEAST_CALCIUM_HU)
    place = every.mean_place(np.ones(len(every.candidates.index))) * every.spacing
    out = np.zeros((len(islands), len(RANK)))
    for n, island in enumerate(islands):
        other = specks[specks != island]
        if not len(other):
            continue
        brighter, heavier = every.peak[other] >= every.peak[island], mass[other] >= mass[island]
        near = ((place[other] - place[island]) ** 2).sum(axis=1) < NEAR_MM**2
        counts = np.log1p([brighter.sum(), heavier.sum(), near.sum()])
        out[n] = *counts[:2], brighter.mean(), heavier.mean(), counts[2], heavier[near].mean() if near.any() else 0.0
    return out


def _matched_ranks(answer: np.ndarray, specks: np.ndarray, speck: np.ndarray) -> np.ndarray:
    """Return MATCHED_RANK: how many other specks answer the filters at least as well.

    Parameters
    ----------
    answer : ndarray of float64, shape (k, len(SPOTS))
    specks : ndarray of float64, shape (n, len(SPOTS))
        Those of all specks.
    speck : ndarray of bool, shape (k,)
        Which of the k are among the n.
    """
    out = []
    others = np.maximum(len(specks) - speck, 1)
    for spot in COMPARED_SPOTS:
        better = len(specks) - np.searchsorted(np.sort(specks[:, spot]), answer[:, spot]) - speck
        better = np.maximum(better, 0)
        out += [np.log1p(better), better / others]
    return np.column_stack(out)
