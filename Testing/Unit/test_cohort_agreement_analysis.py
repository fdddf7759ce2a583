"""The whole analysis of two score tables: scan-rescan, covariates, a rival table, and what cannot be said."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from CACScoringLib.cohort.agreement_analysis import analyse
from CACScoringLib.cohort.covariates import absolute_percentage_difference, covariate_model
from CACScoringLib.cohort.repeatability import repeatability
from CACScoringLib.cohort.score_pairs import ScorePairs, pair_scores
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.scoring.risk import SCHEMES


def tables(n: int = 60, seed: int = 0, **columns) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return reference and measured tables of two scans of n / 2 patients."""
    rng = np.random.default_rng(seed)
    truth = np.where(rng.random(n) < 0.2, 0.0, rng.lognormal(4, 1.5, n)).round(1)
    case = [f"p{i // 2:03d}-{i % 2 + 1}" for i in range(n)]
    reference = pd.DataFrame({"case": case, "patient": [c[:4] for c in case], "agatston": truth, **columns})
    measured = pd.DataFrame({"case": case, "agatston": (truth * rng.normal(1, 0.1, n)).round(1)})
    for table in (reference, measured):
        table.index = range(2, n + 2)
    return reference, measured


def paired(*args, **more) -> ScorePairs:
    return pair_scores(*tables(*args, **more))


def codes(findings) -> list[str]:
    return [finding.code for finding in findings]


def test_every_scheme_is_there_and_the_chosen_one_first() -> None:
    result = analyse(paired(), scheme="clinical-5")
    assert result.categories[0].scheme == "clinical-5"
    assert {entry.scheme for entry in result.categories} == set(SCHEMES)
    assert result.score("total").n == 60
    with pytest.raises(InputRefusedError):
        analyse(paired(), scheme="none-3")


def test_volumes_have_no_risk_category() -> None:
    reference, measured = (t.rename(columns={"agatston": "volume_mm3"}) for t in tables())
    result = analyse(pair_scores(reference, measured, measure="volume_mm3"))
    assert result.scores
    assert result.categories == ()


def test_one_category_only_gets_a_finding_that_names_the_rows() -> None:
    reference, measured = (t.assign(agatston=t["agatston"] % 90 + 5) for t in tables(12))
    result = analyse(pair_scores(reference, measured))
    (message,) = [f.message for f in result.findings if f.code == "one-category" and f.message.startswith("spect")]
    assert "all 12 cases (rows 2 (p000-1), " in message
    assert ">0-100" in message


def test_patients_with_two_scans_give_the_reproducibility_of_both_sides() -> None:
    pairs = paired()
    result = analyse(pairs, patient="patient")
    a, b = pairs.reference["total"], pairs.measured["total"]
    assert result.rescans.reference == repeatability(a[::2], a[1::2])
    assert result.rescans.measured == repeatability(b[::2], b[1::2])
    assert "repeated-patients" in codes(result.findings)


def test_patients_without_two_scans_are_named_and_left_out() -> None:
    reference, measured = tables(20)
    reference.loc[5, "agatston"] = np.nan
    result = analyse(pair_scores(reference, measured), patient="patient")
    (message,) = [f.message for f in result.findings if f.code == "not-two-scans"]
    assert "row 4 (p001-1)" in message
    assert result.rescans.reference.n == 9
    none = analyse(pair_scores(*tables(20)), patient="case")
    assert none.rescans is None
    assert "too-few-rescans" in codes(none.findings)


def test_two_tables_of_two_scans() -> None:
    pairs = paired()
    assert analyse(pairs, rescan=True).repeat == repeatability(pairs.reference["total"], pairs.measured["total"])
    assert analyse(pairs).repeat is None


def test_the_model_of_the_differences_finds_known_coefficients_and_those_of_ordinary_least_squares() -> None:
    rng = np.random.default_rng(4)
    n = 400
    rate, scan = rng.normal(65, 10, n), rng.choice(["first", "second"], n)
    percent = np.abs(10 + 0.2 * rate + 3.0 * (scan == "second") + rng.normal(0, 1, n))
    truth = rng.lognormal(4, 1, n)
    reference = pd.DataFrame({"case": np.arange(n), "agatston": truth, "heart rate": rate, "scan": scan})
    measured = pd.DataFrame({"case": np.arange(n), "agatston": truth * (1 + percent / 100)})
    model, findings = covariate_model(pair_scores(reference, measured), ["heart rate", "scan"])
    assert findings == ()
    terms = {term.name: term for term in model.terms}
    assert list(terms) == ["intercept", "heart rate", "scan = second"]
    assert terms["heart rate"].coefficient.low < 0.2 < terms["heart rate"].coefficient.high
    assert terms["scan = second"].coefficient.low < 3 < terms["scan = second"].coefficient.high
    design = np.column_stack([np.ones(n), rate, scan == "second"])
    expected = np.linalg.lstsq(design, percent, rcond=None)[0]
    assert [term.coefficient.value for term in model.terms] == pytest.approx(expected.tolist())
    assert model.mean == pytest.approx(percent.mean())


def test_the_percentage_difference_of_a_reference_of_zero_is_missing() -> None:
    difference = absolute_percentage_difference(np.array([0, 50, 200]), np.array([3, 60, 100]))
    assert difference[1:].tolist() == [20, 50]
    assert math.isnan(difference[0])


@pytest.mark.parametrize(
    ("covariates", "code"),
    [
        (("same",), "constant-covariate"),
        (("rate", "twice"), "collinear-covariates"),
        (("case",), "covariate-not-a-number"),
        (("rate",), "missing-covariate"),
    ],
)
def test_a_model_that_cannot_be_fitted_gives_a_finding(covariates, code) -> None:
    rate = np.arange(60.0)
    rate[3] = np.nan
    result = analyse(paired(same=1.0, rate=rate, twice=2 * rate), covariates=covariates)
    assert code in codes(result.findings)
    assert (result.model is None) == (code != "missing-covariate")


def test_too_few_cases_give_no_model() -> None:
    result = analyse(paired(4, rate=[1.0, 2.0, 3.0, 5.0]), covariates=["rate"])
    assert result.model is None
    assert "too-few-for-covariates" in codes(result.findings)


def test_a_rival_table_is_compared_in_the_cases_that_all_have() -> None:
    reference, measured = tables(100)
    worse = measured.assign(agatston=measured["agatston"] * 2).iloc[:90]
    result = analyse(pair_scores(reference, measured), rival=pair_scores(reference, worse))
    test = result.rival.tests["spect-pet-4"]
    assert test.n == (90, 90)
    assert test.second > test.first
    assert test.p < 0.05


def test_more_confidence_gives_wider_intervals_everywhere() -> None:
    narrow, wide = (analyse(paired(), confidence=c) for c in (0.8, 0.99))
    for get in (
        lambda r: r.scores[0].icc_agreement,
        lambda r: r.scores[0].line.slope,
        lambda r: r.scores[0].ccc,
        lambda r: r.categories[0].kappa["linear"],
        lambda r: r.categories[0].accuracy,
    ):
        assert get(wide).low < get(narrow).low <= get(narrow).value <= get(narrow).high < get(wide).high
