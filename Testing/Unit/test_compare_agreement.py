"""Agreement of every two methods over cases, worked out by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from CACScoringLib.cohort.method_agreement import CaseSays, method_agreement, reference_says
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.scoring.risk import SCHEMES

CASES = ("a", "b", "c", "d")


def says(agatston, scheme="spect-pet-4"):
    return {case: CaseSays(value, None, {scheme: SCHEMES[scheme].group(value)}) for case, value in agatston.items()}


def test_every_two_methods_are_compared_over_the_cases_that_both_have():
    pairs, _ = method_agreement(
        {
            "one": says({"a": 0, "b": 50, "c": 200, "d": 500}),
            "two": says({"a": 10, "b": 60, "c": 210, "x": 1}),
            "three": says({"a": 0, "b": 50, "c": 200, "d": 500}),
        }
    )
    assert [(pair.first, pair.second) for pair in pairs] == [("one", "two"), ("one", "three"), ("two", "three")]
    shifted, same, _ = pairs
    (measure,) = shifted.measures
    assert (measure.measure, measure.n) == ("agatston", 3)
    assert measure.limits.bias.value == pytest.approx(10.0)
    assert (measure.limits.low, measure.limits.high) == pytest.approx((10.0, 10.0))  # no spread
    (categories,) = shifted.categories
    assert categories.matrix.tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    # Linear weights 1 - |i - j| / 3: observed (2/3 + 1 + 1) / 3 = 8/9; rows (1,1,1,0)/3, columns (0,2,1,0)/3:
    # expected (2 x 2/3 + 1/3 + 2 x 1 + 2/3 + 2 x 2/3 + 1) / 9 = 20/27; kappa (24 - 20) / (27 - 20) = 4/7.
    assert categories.kappa["linear"].value == pytest.approx(4 / 7)
    assert same.measures[0].icc.value == 1.0
    assert same.categories[0].kappa["linear"].value == 1.0


def test_a_method_that_says_categories_only_is_compared_by_them():
    groups = {case: CaseSays(risk={"nguyen-6": ">10-100"}) for case in CASES}
    (pair,), _ = method_agreement({"one": says(dict.fromkeys(CASES, 50.0), "nguyen-6"), "two": groups})
    assert pair.measures == ()
    (entry,) = pair.categories
    assert (entry.scheme, entry.accuracy.value) == ("nguyen-6", 1.0)
    assert pair.as_dict()["categories"][0]["kappa_linear"] == {"value": None, "low": None, "high": None}


def test_groups_that_need_vessels_are_left_out():
    risk = {"cac-drs": "A1/N2", "spect-pet-4": ">0-100"}
    given = {case: CaseSays(50.0, None, risk) for case in CASES}
    (pair,), _ = method_agreement({"one": given, "two": given})
    assert [entry.scheme for entry in pair.categories] == ["spect-pet-4"]


def test_too_few_cases_say_nothing_but_that():
    (pair,), (finding,) = method_agreement({"one": says({"a": 1, "b": 2}), "two": says({"a": 1, "b": 2})})
    assert (pair.measures, pair.categories) == ((), ())
    assert finding.code == "too-few-cases"
    assert "one and two (2)" in finding.message


def test_few_cases_are_said_to_be_few():
    _, (finding,) = method_agreement({"one": says(dict.fromkeys(CASES, 5.0)), "two": says(dict.fromkeys(CASES, 5.0))})
    assert finding.code == "few-cases"


def test_a_reference_table_says_totals_volumes_and_categories():
    table = pd.DataFrame(
        {
            "patient": ["a", "b", "c", "d", "z"],
            "agatston": [0.0, 10, 401, 5, 6],
            "volume_mm3": [0.0, 12, None, 5, 6],
        }
    )
    found, findings = reference_says(table, (*CASES, "e"))
    assert set(found) == set(CASES)
    assert (found["b"].agatston, found["b"].volume_mm3, found["c"].volume_mm3) == (10.0, 12.0, None)
    assert found["c"].risk["spect-pet-4"] == ">400"
    assert "cac-drs" not in found["c"].risk
    assert {finding.code for finding in findings} == {"unmatched-case"}  # z is not compared, e has no reference


def test_a_column_can_be_named_that_names_the_case():
    table = pd.DataFrame({"scan no": ["a", "b", "c"], "id": [1, 2, 3], "agatston": [0.0, 10, 401]})
    assert set(reference_says(table, CASES, "scan no")[0]) == {"a", "b", "c"}


def test_a_reference_with_a_wrong_volume_is_refused_not_passed_over():
    table = pd.DataFrame({"case": ["a", "b", "c"], "agatston": [0.0, 1, 2], "volume_mm3": [0.0, -1, 2]})
    with pytest.raises(InputRefusedError, match="negative"):
        reference_says(table, CASES)
