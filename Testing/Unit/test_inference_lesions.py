from __future__ import annotations

import numpy as np

from CACScoringLib.inference.candidates import find_candidates
from CACScoringLib.inference.grids import ct_grid
from CACScoringLib.inference.lesions import decide

SPACING = (1.0, 1.0, 1.0)


def candidates_of(mask):
    hu = np.where(mask, 300, 0).astype(np.int16)
    return find_candidates(hu, ct_grid(mask.shape, SPACING))


def sure(labels, classes=5, p=0.9):
    rows = np.full((len(labels), classes), (1 - p) / (classes - 1), np.float32)
    rows[np.arange(len(labels)), labels] = p
    return rows


def bar(length=40):
    mask = np.zeros((3, 4, length + 4), bool)
    mask[1, 1:3, 2 : length + 2] = True
    return mask


def test_a_lesion_is_labelled_as_a_whole_although_a_few_voxels_disagree():
    c = candidates_of(bar())
    vessels = np.where(c.index[:, 2] < 5, 1, 2)
    out = decide(c, sure(vessels), sure(np.zeros(len(vessels), int)), 1.0)
    assert set(out.label) == {2}
    assert out.lesion_label.tolist() == [2]


def test_a_lesion_is_split_where_two_vessels_meet():
    c = candidates_of(bar())
    vessels = np.where(c.index[:, 2] < 17, 1, 2)
    out = decide(c, sure(vessels), sure(np.zeros(len(vessels), int)), 1.0)
    np.testing.assert_array_equal(out.label, vessels)


def test_scattered_disagreement_does_not_split():
    c = candidates_of(bar())
    vessels = np.where(c.index[:, 2] % 4 == 0, 4, 2)
    out = decide(c, sure(vessels), sure(np.zeros(len(vessels), int)), 1.0)
    assert set(out.label) == {2}


def test_what_is_not_coronary_gets_the_other_branchs_label_or_none():
    mask = np.zeros((3, 8, 20), bool)
    mask[1, 2:4, 2:5] = True
    mask[1, 2:4, 12:15] = True
    c = candidates_of(mask)
    other = np.where(c.index[:, 2] < 8, 2, 0)
    out = decide(c, sure(np.zeros(len(other), int)), sure(other), 1.0)
    assert sorted(out.lesion_label.tolist()) == [0, 12]
    np.testing.assert_allclose(out.probability, 0.9, atol=1e-6)


def test_coronary_is_the_sum_over_vessels():
    c = candidates_of(bar(4))
    rows = np.tile(np.array([0.4, 0.2, 0.2, 0.1, 0.1], np.float32), (len(c.index), 1))
    none = sure(np.zeros(len(c.index), int))
    assert decide(c, rows, none, 1.0).label.max() == 1
    assert decide(c, rows, none, 1.0, coronary_probability=0.7).label.max() == 0
