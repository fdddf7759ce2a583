"""Concordance of a score with the order of events, and its difference between two scores of the same patients.

Harrell's C (Harrell, Lee and Mark, Stat Med 1996;15:361-87) is that of lifelines. Its variance is the infinitesimal
jackknife: C is a ratio of two sums over pairs of patients, and what one patient adds to it is the derivative by that
patient's weight (Therneau and Watson, Mayo Clinic Technical Report 85, 2015). Two scores of the same patients are
compared by the difference of what each patient adds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from CACScoringLib.cohort.agreement import Estimate


@dataclass(frozen=True)
class Concordance:
    """Concordance of one or two scores.

    Attributes
    ----------
    scores : tuple of Estimate
        C of each score.
    difference : Estimate or None
        Second - first.
    p : float
        Of no difference; NaN with one score, or where the two order the patients alike.
    """

    scores: tuple[Estimate, ...]
    difference: Estimate | None
    p: float


def concordance(
    time: Sequence[float], event: Sequence[bool], scores: Sequence[Sequence[float]], confidence: float = 0.95
) -> Concordance:
    """Return the concordance of one score, or of two and their difference.

    A pair of patients counts where it is known who had the event first; a higher score should have it earlier. Equal
    scores count half.

    Parameters
    ----------
    time, event : sequence, shape (n,)
    scores : sequence of one or two sequences, each of shape (n,)
        The higher, the higher the risk.
    confidence : float
    """
    time, event = np.asarray(time, dtype=float), np.asarray(event, dtype=bool)
    parts = [_value_and_influence(time, event, np.asarray(score, dtype=float)) for score in scores]
    values = tuple(_estimate(value, influence, confidence) for value, influence in parts)
    if len(parts) == 1:
        return Concordance(values, None, math.nan)
    influence = parts[1][1] - parts[0][1]
    difference = _estimate(parts[1][0] - parts[0][0], influence, confidence)
    error = math.sqrt(float((influence**2).sum()))
    p = float(2 * stats.norm.sf(abs(difference.value) / error)) if error > 0 else math.nan
    return Concordance(values, difference, p)


def _value_and_influence(time: np.ndarray, event: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray]:
    """Return C and what each patient adds to it."""
    concordant, pairs = _pairs_of_each(time, event, score)
    total = pairs.sum() / 2
    if total == 0:
        return math.nan, np.full(len(time), math.nan)
    value = concordant.sum() / 2 / total
    return float(value), (concordant - value * pairs) / total


def _pairs_of_each(time: np.ndarray, event: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each patient, the sum over his comparable pairs of 1, 1/2 or 0, and how many these are.

    A patient with an event is comparable with those who left later, and with those who left at the same time without
    an event. Sorted by time, events first, these are a tail of the list, and the patients with an event that one is
    comparable with are a head of it.
    """
    order = np.lexsort((~event, time))
    time, event = time[order], event[order]
    rank = np.unique(score[order], return_inverse=True)[1].astype(np.int64)
    group = np.r_[0, np.cumsum((np.diff(time) > 0) | (event[:-1] & ~event[1:]))]
    first = np.searchsorted(group, group)  # where patients of the same time and kind begin
    tail = np.searchsorted(group, group, side="right")
    concordant, pairs = np.zeros(len(time)), np.zeros(len(time))
    cases = np.flatnonzero(event)
    ordered = np.sort(rank)
    for weight, limit in ((0.5, rank[cases]), (0.5, rank[cases] + 1)):
        concordant[cases] += weight * (np.searchsorted(ordered, limit) - _below(rank, tail[cases], limit))
    pairs[cases] += len(time) - tail[cases]
    # the same pairs, seen from the one who left later
    same_time = np.searchsorted(time, time)
    head = np.searchsorted(cases, np.where(event, same_time, first))
    for weight, limit in ((0.5, rank), (0.5, rank + 1)):
        concordant += weight * (head - _below(rank[cases], head, limit))
    pairs += head
    back = np.argsort(order)
    return concordant[back], pairs[back]


def _below(values: np.ndarray, ends: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return how many of ``values[:end]`` lie below the limit, for each end and limit.

    A head of the list is a few blocks whose sizes are powers of two; the blocks of a size are sorted all at once.
    """
    count = np.zeros(len(ends), dtype=np.int64)
    width = int(max(values.max(initial=0), limits.max(initial=0))) + 2
    size = 1
    while size <= len(values):
        asked = (ends & size) > 0
        block = ends[asked] // size - 1
        keys = np.sort(np.arange(len(values)) // size * width + values)
        count[asked] += np.searchsorted(keys, block * width + limits[asked]) - block * size
        size *= 2
    return count


def _estimate(value: float, influence: np.ndarray, confidence: float) -> Estimate:
    half = float(stats.norm.ppf((1 + confidence) / 2)) * math.sqrt(float((influence**2).sum()))
    return Estimate(float(value), float(value - half), float(value + half), confidence, len(influence))
