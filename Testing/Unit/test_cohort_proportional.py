"""Whether hazards are proportional, against numbers that R printed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

pd = pytest.importorskip("pandas")
lifelines = pytest.importorskip("lifelines")

from CACScoringLib.cohort.proportional import not_tested, proportional_hazards  # noqa: E402


@pytest.fixture(scope="module")
def rossi():
    """432 men released from prison (Rossi, Berk and Lenihan 1980): the model of Fox and Weisberg's example."""
    from lifelines.datasets import load_rossi

    data = load_rossi()[["week", "arrest", "fin", "age", "prio"]]
    return lifelines.CoxPHFitter().fit(data, "week", "arrest"), data


def test_every_number_of_a_published_output_of_cox_zph(rossi):
    """Fox and Weisberg, Cox proportional-hazards regression for survival data in R (2011), cox.zph(mod.allison.4):

    fin 0.00507, p 0.9433; age 6.54147, p 0.0105; prio 0.77288, p 0.3793; GLOBAL 7.13046, p 0.0679.
    """
    test = proportional_hazards(*rossi, "week", "arrest", "km")
    assert test.statistic == pytest.approx(7.13046, abs=5e-6)
    assert test.df == 3
    assert test.p == pytest.approx(0.0679, abs=5e-5)
    single = {name: stats.chi2.isf(p, 1) for name, p in test.terms.items()}
    assert single == pytest.approx({"fin": 0.00507, "age": 6.54147, "prio": 0.77288}, abs=5e-6)


def test_terms_agree_with_lifelines_where_time_is_not_transformed(rossi):
    from lifelines.statistics import proportional_hazard_test

    theirs = proportional_hazard_test(*rossi, time_transform="identity")
    ours = proportional_hazards(*rossi, "week", "arrest", "identity")
    assert [ours.terms[name] for name in theirs.name] == pytest.approx(list(theirs.p_value), rel=1e-9)


def test_a_single_term_is_tested_as_the_whole_model(rossi):
    data = rossi[1][["week", "arrest", "age"]]
    test = proportional_hazards(lifelines.CoxPHFitter().fit(data, "week", "arrest"), data, "week", "arrest")
    assert test.df == 1
    assert test.p == pytest.approx(test.terms["age"], rel=1e-12)


def test_the_order_of_patients_with_events_at_the_same_time_does_not_matter(rossi):
    fit, data = rossi
    shuffled = data.sample(frac=1, random_state=2)
    again = proportional_hazards(fit, shuffled, "week", "arrest")
    assert again.statistic == pytest.approx(proportional_hazards(fit, data, "week", "arrest").statistic, rel=1e-9)


def test_events_all_at_one_time_say_nothing():
    data = pd.DataFrame({"t": np.ones(40), "e": np.tile([1, 0], 20), "x": np.resize([0.0, 1.0, 3.0], 40)})
    data.loc[data.e == 0, "t"] = 2.0
    test = proportional_hazards(lifelines.CoxPHFitter().fit(data, "t", "e"), data, "t", "e")
    assert math.isnan(test.statistic)
    assert math.isnan(test.p)
    assert math.isnan(not_tested(["x"]).terms["x"])
