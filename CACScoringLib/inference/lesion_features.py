"""What a candidate lesion looks like as a whole: size, shape, density, surroundings, place, and what the network says.

After the features of Isgum 2012 (doi 10.1109/TMI.2012.2216889): size, shape, intensity and position of an island, for a
classifier of whole lesions. Here the network's probabilities are features too, and so is the rest of the scan: how many
specks it has, and how much other calcium. They are measured on the CT's own voxels, which are finer than
the network's.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial import KDTree
from scipy.special import logit

from CACScoringLib.inference.candidates import CANDIDATE_HU, Candidates
from CACScoringLib.inference.grids import Grid
from CACScoringLib.inference.heart import CHAMBERS
from CACScoringLib.inference.lesions import SPECK_MM3, island_means
from CACScoringLib.inference.noise_features import NOISE_FEATURES, noise_features

LOOKED_AT = 0.03
"""Islands that the network gives less than this are not looked at again: noise and bone, by the thousand."""
SURE = 1e-4
"""Probabilities are kept this far from 0 and 1."""
SECTION_MM = 3.0
"""Length of the sections that a lesion is cut into along its longest axis."""
AROUND_MM = 5.0
"""How far in the slice, and one slice up and down, the surroundings of a lesion reach."""
TISSUE_HU = 40.0
"""What a lesion lies in: blood and vessel wall."""
ALONE_MM3 = 40.0
"""Of islands from this volume on it is not told how much other calcium there is, and how near."""
NOWHERE_MM = 400.0
"""What stands for the distance of another lesion where there is none."""

SIZE = ("size", "voxels", "long_axis", "middle_axis", "short_axis", "elongation", "length", "filled")
DENSITY = ("peak", "high", "mean", "spread", "inner_minus_outer")
SECTIONS = ("section_mean", "section_variation", "section_peak_variation", "ends")
VESSELS = ("lm", "lad", "lcx", "rca")
ELSEWHERE = ("none", "aorta", "aortic_valve", "mitral_valve", "other")
SAID = ("log_odds", "least_sure", "most_sure", *VESSELS, *ELSEWHERE)
ARTERIES = ("no_artery", "in_lm", "in_lad", "in_lcx", "in_rca")
CHAMBER = ("left_ventricle", "myocardium", "right_ventricle", "left_atrium", "right_atrium")
PLACE = (*CHAMBER, "aortic_root", "pulmonary_artery", "up", "back", "left")
AROUND = ("around_mean", "around_low", "around_high", "around_spread")
SCAN = ("specks", "other_lesions", "other_specks", "largest_other", "nearest_lesion", "thickness", "pixel", "kvp")
FEATURES = (*SIZE, *DENSITY, *SECTIONS, *SAID, *ARTERIES, *PLACE, *AROUND, *SCAN, *NOISE_FEATURES)
"""Columns of ``lesion_features``."""


@dataclass(frozen=True, eq=False)
class CandidateRows:
    """What the network says about every candidate voxel.

    Attributes
    ----------
    calcium, non_coronary : ndarray of float32, shape (n, 5)
        Probabilities, as ``decide`` takes them.
    artery : ndarray of float32, shape (n, 5)
        Probabilities of no artery, LM, LAD, LCX, RCA there.
    structure : ndarray of float32, shape (n, 7)
        Probabilities of the coarse pass: four chambers and myocardium, aorta, pulmonary artery.
    """

    calcium: np.ndarray
    non_coronary: np.ndarray
    artery: np.ndarray
    structure: np.ndarray


def islands_to_look_at(candidates: Candidates, calcium: np.ndarray) -> np.ndarray:
    """Return the numbers of the islands that the network gives ``LOOKED_AT`` or more; int64."""
    return np.flatnonzero(1.0 - island_means(calcium, candidates)[:, 0] >= LOOKED_AT)


def lesion_features(
    hu: np.ndarray,
    spacing_mm: tuple[float, float, float],
    kvp: float | None,
    candidates: Candidates,
    rows: CandidateRows,
    structures: np.ndarray,
    coarse: Grid,
    islands: np.ndarray,
) -> np.ndarray:
    """Measure islands.

    Parameters
    ----------
    hu : ndarray of int16, shape (z, y, x)
        The CT.
    spacing_mm : tuple of float
    kvp : float or None
        Tube voltage; None: not known, taken for 120.
    candidates : Candidates
    rows : CandidateRows
    structures : ndarray of uint8, shape (z, y, x)
        Labels of the heart on the ``coarse`` grid.
    islands : ndarray of int, shape (k,)
        Which islands to measure.

    Returns
    -------
    ndarray of float32, shape (k, len(FEATURES))
        In the order of ``FEATURES``.
    """
    if not len(islands):
        return np.zeros((0, len(FEATURES)), np.float32)
    spacing = np.asarray(spacing_mm, float)
    order, starts = _voxels_of(candidates, islands)
    counts = np.diff(starts)
    points = candidates.index[order] * spacing
    density = candidates.hu[order].astype(float)
    shape, along, length, centre = _shape(points, starts, spacing, candidates.size_mm3[islands])
    columns = [
        np.column_stack((np.log(candidates.size_mm3[islands]), counts, shape)),
        _density(density, points, along, centre, starts),
        _sections(density, along, length, starts, float(np.prod(spacing))),
        _said(rows, candidates, islands, order, starts),
        island_means(rows.artery, candidates)[islands],
        island_means(rows.structure, candidates)[islands],
        _position(centre, structures, coarse),
        np.array([_around(hu, candidates.index[order[a:b]], spacing) for a, b in pairwise(starts)]),
        _scan(spacing, kvp, candidates, rows.calcium, islands),
        noise_features(hu, spacing_mm, candidates, islands),
    ]
    return np.concatenate([c.reshape(len(islands), -1) for c in columns], axis=1).astype(np.float32)


def _voxels_of(candidates: Candidates, islands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the candidate voxels of the islands, one island after the other, and where each begins (k + 1,)."""
    rank = np.full(candidates.count, -1)
    rank[islands] = np.arange(len(islands))
    mine = np.flatnonzero(rank[candidates.lesion] >= 0)
    order = mine[np.argsort(rank[candidates.lesion[mine]], kind="stable")]
    return order, np.searchsorted(rank[candidates.lesion[order]], np.arange(len(islands) + 1))


def _shape(
    points: np.ndarray, starts: np.ndarray, spacing: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return SIZE from ``long_axis`` on, each voxel's place along its island's longest axis, lengths and centres."""
    first, counts = starts[:-1], np.diff(starts)
    centre = np.add.reduceat(points, first) / counts[:, None]
    away = points - np.repeat(centre, counts, axis=0)
    scatter = np.add.reduceat(away[:, :, None] * away[:, None, :], first) / counts[:, None, None]
    values, vectors = np.linalg.eigh(scatter + np.diag(spacing**2 / 12.0))
    axes = np.sqrt(12.0 * values)[:, ::-1]
    along = np.einsum("ij,ij->i", away, np.repeat(vectors[:, :, -1], counts, axis=0))
    length = np.maximum.reduceat(along, first) - np.minimum.reduceat(along, first) + spacing.min()
    shape = np.column_stack((axes, axes[:, 0] / axes[:, 1], length, size / axes.prod(axis=1)))
    return shape, along, length, centre


def _density(
    density: np.ndarray, points: np.ndarray, along: np.ndarray, centre: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    """Return DENSITY. What lies near the longest axis is inner: in a stent it is darker than what lies round it."""
    first, counts = starts[:-1], np.diff(starts)
    mean = np.add.reduceat(density, first) / counts
    spread = np.sqrt(np.maximum(np.add.reduceat(density**2, first) / counts - mean**2, 0.0))
    away = ((points - np.repeat(centre, counts, axis=0)) ** 2).sum(axis=1) - along**2
    middle = np.repeat(_quantile(away, starts, 0.5), counts)
    inner, outer = (
        np.add.reduceat(density * side, first) / np.add.reduceat(side.astype(float), first)
        for side in (away <= middle, away >= middle)
    )
    return np.column_stack(
        (np.maximum.reduceat(density, first), _quantile(density, starts, 0.9), mean, spread, inner - outer)
    )


def _quantile(values: np.ndarray, starts: np.ndarray, share: float) -> np.ndarray:
    """Return the value of each island that ``share`` of its voxels do not exceed."""
    counts = np.diff(starts)
    island = np.repeat(np.arange(len(counts)), counts)
    ordered = values[np.lexsort((values, island))]
    return ordered[starts[:-1] + np.round((counts - 1) * share).astype(int)]


def _sections(
    density: np.ndarray, along: np.ndarray, length: np.ndarray, starts: np.ndarray, voxel: float
) -> np.ndarray:
    """Return SECTIONS: how even a lesion is along its longest axis, as a stent is; and how abruptly it ends."""
    first, counts = starts[:-1], np.diff(starts)
    number = np.maximum((length / SECTION_MM).astype(int), 1)
    begin = np.concatenate(([0], np.cumsum(number)))
    low = np.repeat(np.minimum.reduceat(along, first), counts)
    step = np.repeat(length / number, counts)
    mine = np.minimum(((along - low) / step).astype(int), np.repeat(number, counts) - 1) + np.repeat(begin[:-1], counts)
    mass = np.bincount(mine, weights=density - TISSUE_HU, minlength=begin[-1])
    mass *= voxel / np.repeat(length / number, number)
    peak = np.zeros(begin[-1])
    np.maximum.at(peak, mine, density)
    out = np.empty((len(number), 4))
    for n, (a, b) in enumerate(pairwise(begin)):
        inside = slice(a + 1, b - 1) if b - a > 3 else slice(a, b)
        mean, highest = max(float(mass[inside].mean()), 1.0), max(float(peak[inside].mean()), 1.0)
        ends = 0.5 * (mass[a] + mass[b - 1])
        out[n] = mean, mass[inside].std() / mean, peak[inside].std() / highest, ends / mean
    return out


def _said(
    rows: CandidateRows, candidates: Candidates, islands: np.ndarray, order: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    """Return SAID."""
    calcium = island_means(rows.calcium, candidates)[islands]
    coronary = 1.0 - calcium[:, 0]
    each = 1.0 - rows.calcium[order, 0].astype(float)
    least, most = (_quantile(each, starts, share) for share in (0.1, 0.9))
    odds = logit(np.clip(coronary, SURE, 1.0 - SURE))
    vessels = calcium[:, 1:] / np.maximum(coronary, SURE)[:, None]
    return np.column_stack((odds, least, most, vessels, island_means(rows.non_coronary, candidates)[islands]))


def _position(centre: np.ndarray, structures: np.ndarray, coarse: Grid) -> np.ndarray:
    """Return where islands lie in the box of the chambers: 0..1 from below, from the front and from the right."""
    chambers = np.argwhere(np.isin(structures, CHAMBERS)) * np.asarray(coarse.spacing_mm) + np.asarray(coarse.offset_mm)
    if not len(chambers):
        return np.full_like(centre, 0.5)
    low, high = chambers.min(axis=0), chambers.max(axis=0)
    return (centre - low) / np.maximum(high - low, 1.0)


def _around(hu: np.ndarray, index: np.ndarray, spacing: np.ndarray) -> tuple[float, float, float, float]:
    """Return AROUND: the HU of what lies round an island and is no candidate."""
    reach = np.array([1, *np.maximum(np.round(AROUND_MM / spacing[1:]), 1)], int)
    low, high = np.maximum(index.min(axis=0) - reach, 0), np.minimum(index.max(axis=0) + reach + 1, hu.shape)
    box = hu[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    box = box[box < CANDIDATE_HU]
    if not len(box):
        return (CANDIDATE_HU, CANDIDATE_HU, CANDIDATE_HU, 0.0)
    low, high = np.percentile(box, (10, 90))
    return float(box.mean()), float(low), float(high), float(box.std())


def _scan(
    spacing: np.ndarray, kvp: float | None, candidates: Candidates, calcium: np.ndarray, islands: np.ndarray
) -> np.ndarray:
    """Return SCAN: what the rest of the scan makes likely.

    How many other lesions there are is told of small islands only. A speck is more often calcium where there is more of
    it; but that a large lesion is alone says nothing against it.
    """
    amount = (1.0 - island_means(calcium, candidates)[:, 0]) * np.sqrt(candidates.size_mm3)
    speck = candidates.size_mm3 < SPECK_MM3
    first, second = ([*np.sort(amount)[::-1], 0.0, 0.0])[:2]
    mine, small = amount[islands], candidates.size_mm3[islands] < ALONE_MM3
    lesions = amount[~speck].sum() - np.where(speck[islands], 0.0, mine)
    specks = amount[speck].sum() - np.where(speck[islands], mine, 0.0)
    largest = np.where(mine >= first, second, first)
    number = np.log1p(np.count_nonzero(speck))
    told = (np.where(small, np.log1p(np.maximum(lesions, 0.0)), 0.0), np.log1p(np.maximum(specks, 0.0)))
    same = np.tile([spacing[0], spacing[2], 120.0 if kvp is None else kvp], (len(islands), 1))
    nearest = np.where(small, np.log1p(_nearest_lesion(candidates, spacing, islands)), 0.0)
    return np.column_stack((np.full(len(islands), number), *told, np.where(small, largest, 0.0), nearest, same))


def _nearest_lesion(candidates: Candidates, spacing: np.ndarray, islands: np.ndarray) -> np.ndarray:
    """Return how far the nearest other island is that is no speck, from middle to middle; mm, (k,)."""
    middle = island_means(candidates.index, candidates) * spacing
    lesions = np.flatnonzero(candidates.size_mm3 >= SPECK_MM3)
    if not len(lesions):
        return np.full(len(islands), NOWHERE_MM)
    away, which = KDTree(middle[lesions]).query(middle[islands], k=[1, 2])
    other = np.where(lesions[np.minimum(which[:, 0], len(lesions) - 1)] == islands, away[:, 1], away[:, 0])
    return np.minimum(other, NOWHERE_MM)
