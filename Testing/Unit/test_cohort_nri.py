"""Categorical net reclassification against published tables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from CACScoringLib.cohort.net_reclassification import categorical_nri, nri_of_tables

# Pencina et al., Stat Med 2008;27:157-72: HDL cholesterol added to a Framingham model; below 6, 6-20, above 20 %.
# 29 of 183 with an event move up and 7 down, 173 of 3081 without one move up and 174 down.
PENCINA_EVENTS = np.array([[39, 15, 0], [4, 87, 14], [0, 3, 21]])
PENCINA_NON_EVENTS = np.array([[1959, 142, 0], [148, 703, 31], [1, 25, 72]])

# HAPIEE score, Eur Heart J 2020;41:3325-33, Table 2 (PMC7544536): tables of those who died and did not die of
# cardiovascular disease, the printed NRI and its interval.
HAPIEE = (
    ([[67, 10], [47, 214]], [[8885, 288], [2377, 2710]], 0.03, (-0.01, 0.08)),
    ([[90, 24], [16, 208]], [[10671, 591], [654, 2344]], 0.03, (-0.01, 0.07)),
    ([[60, 17], [46, 215]], [[8774, 399], [2551, 2536]], 0.07, (0.02, 0.11)),
)


def test_nri_is_that_of_pencina_2008():
    result = nri_of_tables(PENCINA_EVENTS, PENCINA_NON_EVENTS)
    assert (result.event.n, result.non_event.n, result.overall.n) == (183, 3081, 3264)
    assert result.event.value == pytest.approx((29 - 7) / 183)
    assert result.non_event.value == pytest.approx((174 - 173) / 3081)
    assert result.overall.value == pytest.approx(0.121, abs=0.0006)
    # z = 0.12054 / sqrt((29 + 7) / 183^2 + (173 + 174) / 3081^2)
    assert result.z == pytest.approx(0.1205431 / math.sqrt(36 / 183**2 + 347 / 3081**2), rel=1e-5)
    assert result.p < 0.001


@pytest.mark.parametrize(("events", "non_events", "printed", "interval"), HAPIEE)
def test_nri_and_its_interval_are_those_of_the_hapiee_score(events, non_events, printed, interval):
    overall = nri_of_tables(events, non_events).overall
    assert overall.value == pytest.approx(printed, abs=0.0075)  # the first one is 0.0370, printed as 0.03
    assert (overall.low, overall.high) == pytest.approx(interval, abs=0.0055)


def test_events_should_move_up_and_non_events_down():
    # events: 2 up, 1 down of 4; non-events: 1 up, 3 down of 5
    first = [0, 0, 1, 1, 0, 1, 1, 2, 0]
    second = [1, 2, 0, 1, 1, 0, 0, 1, 0]
    event = [True] * 4 + [False] * 5
    result = categorical_nri(first, second, event, 3)
    assert result.event.value == pytest.approx(1 / 4)
    assert result.non_event.value == pytest.approx(2 / 5)
    assert result.overall.value == pytest.approx(1 / 4 + 2 / 5)
    assert result.event_table.tolist() == [[0, 1, 1], [1, 1, 0], [0, 0, 0]]


def test_the_bootstrap_resamples_patients():
    rng = np.random.default_rng(5)
    first, second, event = rng.integers(0, 4, 300), rng.integers(0, 4, 300), rng.random(300) < 0.3
    result = categorical_nri(first, second, event, 4, seed=1)
    step = np.sign(second - first)
    drawn = rng.integers(0, 300, (4000, 300))
    moved, happened = step[drawn], event[drawn]
    index = (moved * happened).sum(1) / happened.sum(1) - (moved * ~happened).sum(1) / (~happened).sum(1)
    low, high = np.quantile(index, [0.025, 0.975])
    assert (result.overall.low, result.overall.high) == pytest.approx((low, high), abs=0.02)


def test_a_seed_gives_the_same_interval_and_another_seed_nearly_the_same():
    one, same, other = (nri_of_tables(PENCINA_EVENTS, PENCINA_NON_EVENTS, seed=seed) for seed in (3, 3, 4))
    assert one.overall == same.overall
    assert one.overall != other.overall
    assert one.overall.low == pytest.approx(other.overall.low, abs=0.01)


def test_nobody_moving_is_no_improvement_and_no_test():
    result = nri_of_tables(np.diag([3, 4]), np.diag([5, 6]))
    assert (result.overall.value, result.overall.low, result.overall.high) == (0, 0, 0)
    assert math.isnan(result.p)


def test_without_events_the_index_is_undefined_and_the_non_event_part_is_not():
    result = nri_of_tables(np.zeros((2, 2), int), [[5, 1], [2, 5]])
    assert math.isnan(result.event.value)
    assert math.isnan(result.overall.value)
    assert math.isnan(result.p)
    assert result.non_event.value == pytest.approx(1 / 13)


def test_no_patients_are_refused():
    with pytest.raises(ValueError, match="at least one patient"):
        nri_of_tables(np.zeros((2, 2), int), np.zeros((2, 2), int))
