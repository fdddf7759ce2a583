"""What each rule of the decision buys, on patients small enough to work out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from CACScoringLib.inference.candidates import find_candidates
from CACScoringLib.inference.grids import ct_grid
from CACScoringLib.inference.lesion_features import FEATURES
from CACScoringLib.inference.lesions import DecisionSettings
from CACScoringLib.training.ablation import NETWORK, SHIPPED, VOXELWISE, ablate, as_markdown, summarized, variants
from CACScoringLib.training.validation import SeenPatient

SPACING = (3.0, 1.0, 1.0)


def patient(length=40, split_at=17, unlike=()):
    """A bar of 2 x ``length`` voxels of 300 HU (weight 3): LM up to a column, LAD from there on.

    Voxels whose column is in ``unlike`` look like RCA to the network.
    """
    mask = np.zeros((3, 4, length + 4), bool)
    mask[1, 1:3, 2 : length + 2] = True
    found = find_candidates(np.where(mask, 300, 0).astype(np.int16), ct_grid(mask.shape, SPACING))
    column = found.index[:, 2]
    truth = np.where(column < split_at, 1, 2)
    seen = np.where(np.isin(column, unlike), 4, truth)
    calcium = np.full((len(truth), 5), 0.025, np.float32)
    calcium[np.arange(len(truth)), seen] = 0.9
    other = np.tile(np.array([1, 0, 0, 0, 0], np.float32), (len(truth), 1))
    left_main = 2.0 * max(split_at - 2, 0) * 3
    reference = np.array([2.0 * length * 3, left_main, 2.0 * length * 3 - left_main, 0, 0])
    return SeenPatient(
        np.array(SPACING), np.array(120.0), found.index, found.hu, found.lesion, found.size_mm3, calcium, other,
        calcium, np.zeros(0, np.int64), np.zeros((0, len(FEATURES)), np.float32), truth.astype(np.uint8), reference,
    )  # fmt: skip


def by_title(patients):
    return {row.title: row for row in ablate(patients, DecisionSettings())}


def test_the_rule_that_splits_lesions_is_what_finds_the_left_main():
    rows = by_title([patient(40, 17), patient(40, 30), patient(30, 2)])
    assert rows[SHIPPED].error == pytest.approx(0.0, abs=1e-6)
    assert rows[SHIPPED].icc["LM"] == pytest.approx(1.0)
    # never split: 17 of 40 columns LM become LAD; 28 of 40 LM take the whole; errors of ln(1 + score) by hand
    first = np.log(91) + np.log(241) - np.log(151)
    second = np.log(241) - np.log(169) + np.log(73)
    unsplit = rows["lesions are never split"]
    assert unsplit.error == pytest.approx(0.125 * (first + second) / 3)
    assert unsplit.reclassified == 0.0


def test_whole_lesions_are_what_keeps_single_voxels_from_other_vessels():
    rows = by_title([patient(40, 2, unlike=(5, 12, 19, 26, 33)), patient(30, 2)])
    assert rows[SHIPPED].icc["LAD"] == pytest.approx(1.0)
    lost = np.log(241) - np.log(211)  # 5 columns of 2 voxels of weight 3
    # islands of two pixels beside each other score for the RCA: 5 x 2 x 3
    assert rows[VOXELWISE].error == pytest.approx(0.125 * (lost + np.log(31)) / 2)


def test_categories_and_calcium_free_patients_are_counted():
    reference = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [50, 0, 50, 0, 0], [500, 0, 500, 0, 0.0]])
    predicted = reference.copy()
    predicted[0, 0] = 5.0
    row = summarized("x", reference, predicted)
    assert row.reclassified == 0.25
    assert row.zero_share == 0.5
    # linear kappa of 0,0,1,3 against 1,0,1,3 with four groups: mean distances observed 1/12, expected 20/48
    assert row.kappa_linear == pytest.approx(1 - (1 / 12) / (20 / 48))


def test_every_variant_differs_from_what_is_shipped_and_stands_in_the_table():
    settings = DecisionSettings(0.8, 0.7, 0.2, 0.6)
    tried = variants(settings)
    assert len(set(tried.values())) == len(tried)
    rows = ablate([patient(40, 17), patient(30, 2)], settings)
    text = as_markdown(rows, 2)
    assert all(f"| {row.title} |" in text for row in rows)
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def test_the_network_alone_is_a_variant_where_a_classifier_looked_again():
    once = patient(40, 17)
    doubtful = np.where([True, False, False, False, False], 0.9, 0.025).astype(np.float32)
    seen = replace(once, network_calcium=np.tile(doubtful, (len(once.index), 1)))
    assert NETWORK not in {row.title for row in ablate([seen, seen], DecisionSettings())}
    strict, lenient = DecisionSettings(), DecisionSettings(0.05, large_mm3=1e9, leaves_below=0.05)
    rows = {row.title: row for row in ablate([seen, patient(30, 2)], DecisionSettings(), strict)}
    assert rows[SHIPPED].error == pytest.approx(0.0, abs=1e-6)
    assert rows[NETWORK].error > 1.0
    lenient_rows = {row.title: row for row in ablate([seen, patient(30, 2)], DecisionSettings(), lenient)}
    assert lenient_rows[NETWORK].error < rows[NETWORK].error
