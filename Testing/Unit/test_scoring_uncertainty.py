"""Probabilities of the risk categories, worked out by hand for a few lesions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.report.words import certainty_line
from CACScoringLib.scoring import score
from CACScoringLib.scoring.parts import part_agatston, vessel_agatston
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.scoring.uncertainty import (
    REVIEW,
    ScoreUncertainty,
    Spread,
    category_probabilities,
    score_uncertainty,
    spread_distribution,
    total_distribution,
)

FOUR = SCHEMES["spect-pet-4"]


def test_two_lesions_give_the_four_sums_that_are_possible():
    values, chance = total_distribution([60.0, 350.0], [0.5, 0.2])
    assert values.tolist() == [0, 60, 350, 410]
    assert chance.tolist() == pytest.approx([0.4, 0.4, 0.1, 0.1])
    assert category_probabilities(values, chance, FOUR).tolist() == pytest.approx([0.4, 0.4, 0.1, 0.1])
    # 60 + 350 in clinical-5: 0, none up to 10, 60, 350, 410
    five = category_probabilities(values, chance, SCHEMES["clinical-5"])
    assert five.tolist() == pytest.approx([0.4, 0.0, 0.4, 0.1, 0.1])


def test_a_scan_without_candidates_is_zero_for_sure():
    values, chance = total_distribution(np.zeros(0), np.zeros(0))
    assert (values.tolist(), chance.tolist()) == ([0.0], [1.0])


def test_lesions_that_add_nothing_change_nothing():
    values, chance = total_distribution([0.0, 5.0], [0.9, 0.5])
    assert (values.tolist(), chance.tolist()) == ([0.0, 5.0], [0.5, 0.5])


def test_a_thousand_specks_keep_the_exact_probability_of_zero():
    values, chance = total_distribution(np.full(1000, 1.5), np.full(1000, 0.001))
    assert chance[values == 0].sum() == pytest.approx(0.999**1000)
    assert (values * chance).sum() == pytest.approx(1.5, rel=0.02)


def test_forty_lesions_sum_to_their_mean_and_spread():
    points, p = np.linspace(1, 40, 40), np.linspace(0.05, 0.95, 40)
    values, chance = total_distribution(points, p)
    assert chance.sum() == pytest.approx(1.0)
    mean = (values * chance).sum()
    assert mean == pytest.approx((points * p).sum(), rel=1e-6)
    assert ((values - mean) ** 2 * chance).sum() == pytest.approx((points**2 * p * (1 - p)).sum(), rel=1e-4)


def test_an_uncertain_extent_moves_scores_near_a_bound_over_it():
    # ln(400 / 396) = 0.01005 is half a standard deviation of 0.0201
    share = category_probabilities(np.array([396.0]), np.array([1.0]), FOUR, extent=0.0201)
    assert share[3] == pytest.approx(norm.sf(0.5), abs=0.001)
    assert share.sum() == pytest.approx(1.0)


def test_what_is_unforeseen_is_spread_evenly_and_the_decision_adds_to_the_odds():
    # (1 - 0.2) x (0.5, 0.5, 0, 0) + 0.05 each = 0.45, 0.45, 0.05, 0.05; the first one's odds times 3
    share = Spread(unforeseen=0.2, decision=np.log(3)).apply(np.array([0.5, 0.5, 0.0, 0.0]), 0)
    assert share.tolist() == pytest.approx([1.35 / 1.9, 0.45 / 1.9, 0.05 / 1.9, 0.05 / 1.9])
    assert Spread(unforeseen=0.2).apply(np.array([0.5, 0.5, 0.0, 0.0]), 0).tolist() == [0.45, 0.45, 0.05, 0.05]


def test_a_shift_of_the_scan_makes_lesions_rise_and_fall_together():
    alone = spread_distribution([10.0, 10.0], [0.5, 0.5], 0.0)
    shifted = spread_distribution([10.0, 10.0], [0.5, 0.5], 2.0)
    both = [chance[values == 20].sum() for values, chance in (alone, shifted)]
    one = [chance[values == 10].sum() for values, chance in (alone, shifted)]
    assert (both[0], one[0]) == pytest.approx((0.25, 0.5))
    assert both[1] > 0.25
    assert both[1] + one[1] / 2 == pytest.approx(0.5)  # each lesion by itself keeps its probability


def test_interval_and_categories_of_a_sure_scan():
    sure = score_uncertainty(np.array([250.0]), np.array([1.0]), stated=250.0)
    assert sure.agatston_interval == (250.0, 250.0, 250.0)
    assert sure.categories["spect-pet-4"] == {"0": 0.0, ">0-100": 0.0, ">100-400": 1.0, ">400": 0.0}
    assert sure.needs_review({"spect-pet-4": ">100-400"}) is None  # no limit was chosen


def test_the_interval_holds_what_it_says_of_totals_that_are_drawn():
    rng, extent = np.random.default_rng(4), 0.1
    agatston, probability = np.array([20.0, 60.0, 150.0]), np.array([0.5, 0.9, 0.3])
    sure = score_uncertainty(agatston, probability, Spread(extent=extent))
    drawn = (rng.random((200_000, 3)) < probability) @ agatston * np.exp(extent * rng.standard_normal(200_000))
    low, middle, high = sure.agatston_interval
    assert [(drawn <= each).mean() for each in (low, middle, high)] == pytest.approx([0.05, 0.5, 0.95], abs=0.005)


def test_the_interval_of_a_sure_lesion_is_that_of_its_extent():
    sure = score_uncertainty(np.array([250.0]), np.array([1.0]), Spread(extent=0.08))
    assert sure.agatston_interval == pytest.approx([250 * np.exp(0.08 * n) for n in (-1.64485, 0, 1.64485)], rel=1e-5)
    none = score_uncertainty(np.array([5.0]), np.array([0.02]), Spread(extent=0.08))
    assert none.agatston_interval == (0.0, 0.0, 0.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 600), st.floats(0, 1)), max_size=30), st.floats(0, 2), st.floats(0, 0.1))
def test_probabilities_add_up_to_one_in_every_scheme(lesions, shift, extent):
    agatston, probability = np.array(lesions).reshape(-1, 2).T
    sure = score_uncertainty(agatston, probability, Spread(shift, extent, 0.01, 1.0), stated=5.0)
    for groups in sure.categories.values():
        assert sum(groups.values()) == pytest.approx(1.0, abs=1e-6)
        assert min(groups.values()) >= -1e-9
    assert list(sure.agatston_interval) == sorted(sure.agatston_interval)


def a_scan():
    """Three blocks of 2 x 2 pixels of 0.25 mm2 (1 mm2) in two slices; the third touches the second."""
    hu = np.full((4, 20, 20), 40, np.int16)
    labels = np.zeros(hu.shape, np.uint8)
    for z, y, x, value, label in ((1, 2, 2, 450, 2), (2, 10, 10, 250, 3), (2, 10, 12, 350, 1)):
        hu[z, y : y + 2, x : x + 2] = value
        labels[z, y : y + 2, x : x + 2] = label
    return CTVolume(hu, (3.0, 0.5, 0.5), acquisition=Acquisition(kvp=120.0)), labels


def test_parts_add_what_the_score_of_each_alone_is():
    ct, labels = a_scan()
    index = np.argwhere(labels > 0)
    hu, label = ct.hu[tuple(index.T)], labels[tuple(index.T)]
    part = np.array([{2: 0, 3: 1, 1: 1}[value] for value in label])
    # 450 HU: weight 4; 250 and 350 HU in one island: 2 mm2 x weight 3
    assert part_agatston(ct, index, hu, part, 2).tolist() == [4.0, 6.0]
    # kept apart: 1 x 2 and 1 x 3
    assert part_agatston(ct, index, hu, part, 2, group=label).tolist() == [4.0, 5.0]
    assert part_agatston(ct, index[:0], hu[:0], part[:0], 3).tolist() == [0, 0, 0]


def test_scores_of_listed_voxels_are_those_of_the_label_map():
    ct, labels = a_scan()
    index = np.argwhere(ct.hu > 100)
    at = tuple(index.T)
    result = score(ct, labels)
    expected = [result.total.agatston, *(result.vessels[name].agatston for name in ("LM", "LAD", "LCX", "RCA"))]
    assert expected == [9.0, 3.0, 4.0, 2.0, 0.0]
    assert vessel_agatston(ct, index, ct.hu[at], labels[at]).tolist() == expected


def doubtful(below):
    groups = {"0": 0.3, ">0-100": 0.6, ">100-400": 0.1, ">400": 0.0}
    return ScoreUncertainty({"spect-pet-4": groups}, (0.0, 9.0, 120.0), below)


def test_a_category_in_doubt_is_a_warning_that_names_the_next_one():
    ct, labels = a_scan()
    result = score(ct, labels).with_uncertainty(doubtful(0.8))
    (finding,) = [f for f in result.findings if f.code == REVIEW]
    assert finding.severity.value == "warning"
    assert "60.0%" in finding.message
    assert "next: 0, 30.0%" in finding.message
    assert "synthetic patients only" in finding.message
    document = result.as_dict()["uncertainty"]
    assert document["needs_review"] is True
    assert document["stated_probability"] == 0.6
    assert document["agatston_interval"] == {"p5": 0.0, "p50": 9.0, "p95": 120.0}


def test_a_sure_category_and_labels_without_a_method_carry_no_warning():
    ct, labels = a_scan()
    result = score(ct, labels)
    assert "uncertainty" not in result.as_dict()
    assert [f.code for f in result.with_uncertainty(doubtful(0.5)).findings if f.code == REVIEW] == []
    other = score(ct, labels, preset="ge-smartscore")
    assert other.with_uncertainty(doubtful(0.8)) is other  # the probabilities are those of the default preset
    doubted = result.with_uncertainty(doubtful(0.8))
    assert REVIEW not in [f.code for f in doubted.with_uncertainty(replace(doubtful(0.5))).findings]


def test_the_line_for_a_person_names_probability_interval_and_what_it_rests_on():
    ct, labels = a_scan()
    line = certainty_line(score(ct, labels).with_uncertainty(doubtful(0.8)).as_dict())
    assert line.split("  ·  ") == [
        "spect-pet-4 >0-100: probability 60%",
        "Agatston 90 % interval 0 to 120",
        "calibrated on synthetic patients only",
    ]
    assert certainty_line(score(ct, labels).as_dict()) == ""
