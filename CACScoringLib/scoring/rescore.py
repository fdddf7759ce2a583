"""Score the same scan again and again while its labels are edited: only the lesions near an edit are measured anew.

Everything that is measured belongs to one 26-connected component of a label on the slices that are scored
(:func:`~CACScoringLib.scoring.measure.measure`). So the components that reach the box round all changed voxels, or
touch it, are taken out and measured again; whole numbers are kept for the rest, and the result is that of
:func:`~CACScoringLib.scoring.engine.score` to the last bit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.scoring.engine import conclude, known_voxels, relabelled
from CACScoringLib.scoring.islands import components
from CACScoringLib.scoring.measure import Measured, dense_voxels, measure, measure_isotropic
from CACScoringLib.scoring.result import CalciumScore
from CACScoringLib.scoring.settings import settle
from CACScoringLib.scoring.stack import onto_stack
from CACScoringLib.scoring.voxels import N_LABELS, Voxels, no_voxels, nonzero_index, reaches
from CACScoringLib.vocabulary import Vessel

NEIGHBOURS = 26
"""Connectivity that none of the scoring rules exceeds."""

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""First and last voxel along z, y and x, both included."""


class Rescorer:
    """Scores of one scan under one set of rules, for labels that change a little at a time.

    Parameters
    ----------
    ct : CTVolume
        Its voxels must not change.
    **options
        As ``score`` takes them: preset, kvp, demographics, ...

    Examples
    --------
    >>> ct = CTVolume(np.full((2, 4, 4), 250, np.int16), (3.0, 1.0, 1.0))
    >>> rescorer = Rescorer(ct, kvp=120)
    >>> rescorer.update(np.array([0, 1]), np.array([2, 2], np.uint8)).total.agatston
    4.0
    >>> rescorer.update(np.array([0, 1, 31]), np.array([2, 2, 4], np.uint8)).total.agatston
    6.0
    >>> rescorer.recomputed_voxels
    1
    """

    def __init__(self, ct: CTVolume, **options: Any):
        self.settings = settle(ct, **options)
        self.scores: CalciumScore | None = None
        """Of the last labels that were given."""
        self.recomputed_voxels = 0
        """Calcified voxels that the last update measured anew."""
        self._index, self._label = np.zeros(0, np.int64), np.zeros(0, np.uint8)
        rules, stack = self.settings.rules, self.settings.stack
        self._keeps_acquired = rules.lm_with_lad or stack.first is not None
        self._acquired = no_voxels()  # known labels at or above the threshold, as the label map has them, where needed
        self._scored = no_voxels()  # the same on the slices that are scored, labels as the preset counts them
        self._component = np.zeros(0, np.int64)  # of _scored; numbers are never used twice
        self._next_component = 0
        self._measured: Measured = measure(self._scored, self.settings)

    def update_labels(self, labels: np.ndarray) -> CalciumScore:
        """Return the scores of a label map (uint8, shape (z, y, x)) on the scan's grid."""
        index = nonzero_index(labels)
        return self.update(index, labels.reshape(-1)[index])

    def update(self, index: np.ndarray, label: np.ndarray) -> CalciumScore:
        """Return the scores of labelled voxels.

        Parameters
        ----------
        index : ndarray of int64, shape (n,)
            Flat (C order) indices into the scan, ascending, each once: all labelled voxels, not only changed ones.
        label : ndarray of uint8, shape (n,)
            Their values, none 0.

        Returns
        -------
        CalciumScore
            The same object as before where no label changed.
        """
        box = self._changed_box(index, label)
        if box is None and self.scores is not None:
            return self.scores
        self.recomputed_voxels = 0
        if box is not None:
            self._index, self._label = index, label
            fresh = self._calcified_in(box)
            if self._keeps_acquired:
                self._acquired = self._acquired.select(~_inside(self._acquired, box)).joined(fresh)
            self._replace(*self._on_scored_slices(box, fresh))
        self.scores = conclude(
            self.settings,
            self._measured,
            np.flatnonzero(np.bincount(label, minlength=N_LABELS)),
            left_main=bool((self._acquired.label == Vessel.LM).any()),
        )
        return self.scores

    def _changed_box(self, index: np.ndarray, label: np.ndarray) -> Box | None:
        """Return the smallest box with all voxels whose label changed, None if there are none."""
        before, after = self._index, index
        shorter = min(len(before), len(after))
        same = (before[:shorter] == after[:shorter]) & (self._label[:shorter] == label[:shorter])
        head = shorter if same.all() else int(np.argmin(same))
        if head == len(before) == len(after):
            return None
        rest = shorter - head
        ends = [slice(len(part) - rest, len(part)) for part in (before, after)]
        same = (before[ends[0]] == after[ends[1]]) & (self._label[ends[0]] == label[ends[1]])
        tail = rest if same.all() else int(np.argmin(same[::-1]))
        changed = np.setxor1d(
            *(
                places[head : len(places) - tail] * N_LABELS + values[head : len(places) - tail]
                for places, values in ((before, self._label), (after, label))
            ),
            assume_unique=True,
        )
        corners = np.unravel_index(changed // N_LABELS, self.settings.ct.shape)
        return tuple((int(axis.min()), int(axis.max())) for axis in corners)

    def _calcified_in(self, box: Box) -> Voxels:
        """Return the labelled voxels in a box that reach the threshold, in order."""
        _, rows, columns = shape = self.settings.ct.shape
        first, last = box[0]
        part = slice(*np.searchsorted(self._index, (first * rows * columns, (last + 1) * rows * columns)).tolist())
        index = self._index[part]
        z, y, x = np.unravel_index(index, shape)
        hu = self.settings.ct.hu.reshape(-1)[index].astype(np.int32)
        voxels = Voxels(z, y, x, self._label[part], hu)
        calcified = reaches(hu, self.settings.mass_threshold_hu, strict=self.settings.rules.strict)
        return known_voxels(voxels.select(calcified & _inside(voxels, box)))

    def _on_scored_slices(self, box: Box, fresh: Voxels) -> tuple[Box, Voxels]:
        """Return the box and its voxels on the slices that are scored, in order."""
        settings = self.settings
        if settings.stack.first is None:
            return box, relabelled(fresh, settings.rules)
        # each column of an average depends on that column alone, but on all of its slices
        columns = ((0, max(settings.ct.shape[0], settings.stack.n_slices)), *box[1:])
        voxels = self._acquired.select(_inside(self._acquired, columns)).ordered(settings.ct.shape)
        return columns, onto_stack(relabelled(voxels, settings.rules), settings.stack)

    def _replace(self, box: Box, fresh: Voxels) -> None:
        """Put new voxels in a box, and measure every component again that reaches or touches it."""
        shape = self.settings.ct.shape
        near = _inside(self._scored, tuple((low - 1, high + 1) for low, high in box))
        touched = np.isin(self._component, np.unique(self._component[near]))
        gone = self._scored.select(touched)
        again = gone.select(~_inside(gone, box)).joined(fresh).ordered(shape)
        component, count = components(again, NEIGHBOURS)
        self._measured = self._without(gone.ordered(shape)).joined(measure(again, self.settings))
        self._scored = self._scored.select(~touched).joined(again)
        self._component = np.concatenate([self._component[~touched], component + self._next_component])
        self._next_component += count
        self.recomputed_voxels = len(again)

    def _without(self, gone: Voxels) -> Measured:
        """Return what was measured without some complete components, in order."""
        keys = gone.flat_index(self.settings.ct.shape)
        islands, lesions, isotropic = self._measured.islands, self._measured.lesions, self._measured.isotropic
        if isotropic is not None:
            isotropic = isotropic - measure_isotropic(dense_voxels(gone, self.settings), self.settings)
        return replace(
            self._measured,
            islands=islands.select(~np.isin(islands.key, keys)),
            lesions=lesions.select(~np.isin(lesions.key, keys)),
            isotropic=isotropic,
        )


def _inside(voxels: Voxels, box: Box) -> np.ndarray:
    """Return which voxels lie in a box."""
    within = np.ones(len(voxels), dtype=bool)
    for axis, (low, high) in zip((voxels.z, voxels.y, voxels.x), box, strict=True):
        within &= (axis >= low) & (axis <= high)
    return within
