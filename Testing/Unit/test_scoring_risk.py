"""Risk groups, percentiles, arterial age, ten-year risk and progression against published values."""

from __future__ import annotations

import pytest

from CACScoringLib.findings import InputRefusedError
from CACScoringLib.scoring.arterial_age import arterial_age
from CACScoringLib.scoring.mesa_risk import RiskFactors, mesa_ten_year_risk
from CACScoringLib.scoring.percentiles import HOFF, MESA, Demographics, hoff_percentile, mesa_percentile, percentiles
from CACScoringLib.scoring.progression import change, progression
from CACScoringLib.scoring.risk import SCHEMES, implied_groups, risk_groups, risk_index

BOUNDARIES = [
    ("spect-pet-4", {0: "0", 0.5: ">0-100", 100: ">0-100", 100.1: ">100-400", 400: ">100-400", 400.1: ">400"}),
    ("clinical-5", {0: "0", 0.1: ">0-10", 10: ">0-10", 10.1: ">10-100", 100: ">10-100", 400: ">100-400", 401: ">400"}),
    ("screening-5", {0: "<1", 0.99: "<1", 1: "1-10", 10: "10-100", 99.9: "10-100", 100: "100-400", 400: ">=400"}),
    ("nguyen-6", {0: "0", 10: ">0-10", 100: ">10-100", 400: ">100-400", 1000: ">400-1000", 1000.5: ">1000"}),
    ("cac-drs", {0: "A0", 0.5: "A1", 1: "A1", 99.9: "A1", 100: "A2", 299.9: "A2", 300: "A3"}),
    ("scct-2017", {0: "0", 0.5: "1-99", 99.5: "1-99", 100: "100-299", 300: ">=300 or >=75th percentile"}),
    ("nlst-visual-4", {0: "0", 0.5: "1-100", 100: "1-100", 100.5: "101-1000", 1000: "101-1000", 1001: ">1000"}),
]


@pytest.mark.parametrize(("scheme", "expected"), BOUNDARIES)
def test_boundaries(scheme, expected):
    assert {score: SCHEMES[scheme].group(score) for score in expected} == expected


def test_every_scheme_is_tested():
    assert {scheme for scheme, _ in BOUNDARIES} == set(SCHEMES)


def test_the_last_bits_of_a_sum_do_not_move_a_patient():
    assert risk_index("spect-pet-4", 0.1 * 3 * 1000 / 3 + 1e-12) == 1


def test_cac_drs_carries_the_number_of_vessels():
    assert risk_groups(150, 3)["cac-drs"] == "A2/N3"
    assert risk_groups(0, 0)["cac-drs"] == "A0/N0"


def test_scct_lifts_a_score_at_the_75th_percentile():
    assert risk_groups(50, 1, percentile=75)["scct-2017"] == ">=300 or >=75th percentile"
    assert risk_groups(50, 1, percentile=50)["scct-2017"] == "1-99"
    assert risk_groups(0, 0, percentile=90)["scct-2017"] == "0"


@pytest.mark.parametrize("score", [-1, float("nan")])
def test_what_is_no_score_is_refused(score):
    with pytest.raises(InputRefusedError):
        risk_index("clinical-5", score)


def test_unknown_scheme_is_refused():
    with pytest.raises(InputRefusedError, match="choose one of"):
        risk_index("none", 1)


@pytest.mark.parametrize("score", [0, 3, 10, 100, 100.5, 400, 401, 1000, 1001])
def test_a_group_implies_those_of_coarser_schemes_of_the_same_rule(score):
    implied = implied_groups("nguyen-6", SCHEMES["nguyen-6"].group(score))
    assert set(implied) == {"nguyen-6", "spect-pet-4", "clinical-5", "nlst-visual-4"}
    assert implied == {name: SCHEMES[name].group(score) for name in implied}


def test_a_coarse_group_implies_no_finer_scheme():
    assert implied_groups("spect-pet-4", ">400") == {"spect-pet-4": ">400"}


def test_arterial_age_of_250_is_79():
    assert arterial_age(250) == pytest.approx(79.2, abs=0.1)
    assert arterial_age(0) == pytest.approx(39.1)


def test_hoff_table_by_age_and_sex():
    assert hoff_percentile(410, Demographics(62, "M")).reached == 75
    assert hoff_percentile(409, Demographics(62, "male")).band == "50-75"
    assert hoff_percentile(12, Demographics(62, "M")).band == "<25"
    assert hoff_percentile(710, Demographics(90, "F")).band == ">=90"
    assert hoff_percentile(14, Demographics(39.9, "M")).reached == 90
    assert hoff_percentile(14, Demographics(40, "M")).band == "75-90"


def test_score_zero_reaches_no_percentile():
    zero = hoff_percentile(0, Demographics(50, "F"))
    assert (zero.reached, zero.band, zero.estimate) == (0, "<=50", None)
    assert hoff_percentile(0, Demographics(80, "M")).band == "<25"


def test_percentile_between_table_values_is_interpolated():
    # men of 60-64: 50th 113, 75th 410
    assert hoff_percentile((113 + 410) / 2, Demographics(60, "M")).estimate == pytest.approx(62.5)


def test_mesa_table_by_age_sex_and_group():
    assert mesa_percentile(540, Demographics(70, "M", "White")).reached == 75
    assert mesa_percentile(203, Demographics(74, "F", "hispanic")).reached == 90
    assert mesa_percentile(655, Demographics(84, "F", "chinese")).band == "90-95"
    assert mesa_percentile(100, Demographics(44, "M", "white")) is None
    assert mesa_percentile(100, Demographics(85, "M", "white")) is None
    assert mesa_percentile(100, Demographics(60, "M")) is None


def test_both_tables_are_given_where_they_cover_the_patient():
    assert set(percentiles(100, Demographics(60, "F", "black"))) == {"hoff-2001", "mesa-2006"}
    assert set(percentiles(100, Demographics(40, "F", "black"))) == {"hoff-2001"}


@pytest.mark.parametrize("table", [HOFF, MESA])
def test_percentile_tables_grow_with_percentile(table):
    for rows in table.values():
        for row in rows:
            assert list(row) == sorted(row)


@pytest.mark.parametrize("who", [(200, "M", None), (50, "x", None), (50, "M", "martian")])
def test_implausible_patients_are_refused(who):
    with pytest.raises(InputRefusedError):
        Demographics(*who)


def test_mesa_ten_year_risk_of_the_published_example_is_3_06_percent():
    factors = RiskFactors(systolic_mmhg=130, cholesterol_mg_dl=190, hdl_mg_dl=50, bp_medication=True)
    risk = mesa_ten_year_risk(0, Demographics(70, "M", "hispanic"), factors)
    assert 100 * risk == pytest.approx(3.06, abs=0.005)
    assert mesa_ten_year_risk(300, Demographics(70, "M", "hispanic"), factors) > 3 * risk


def test_mesa_ten_year_risk_is_refused_outside_the_cohorts_ages():
    with pytest.raises(InputRefusedError, match="45 to 85"):
        mesa_ten_year_risk(0, Demographics(40, "M"), RiskFactors(130, 190, 50))


def test_progression_by_hand():
    grown = progression(
        baseline_agatston=100,
        follow_up_agatston=130,
        baseline_volume_mm3=64,
        follow_up_volume_mm3=110.25,
        years=1.5,
    )
    assert (grown.agatston.absolute, grown.agatston.percent) == (30, 30)
    assert (grown.agatston.per_year, grown.agatston.percent_per_year) == (20, 20)
    # sqrt(110.25) - sqrt(64) = 10.5 - 8
    assert grown.square_root_difference == 2.5
    assert grown.progressed


def test_progression_below_the_repeatability_is_not_called():
    same = progression(baseline_agatston=100, follow_up_agatston=120, baseline_volume_mm3=100, follow_up_volume_mm3=155)
    assert same.square_root_difference < 2.5
    assert not same.progressed
    assert same.agatston.per_year is None


def test_growth_from_zero_has_no_percentage():
    assert change(0, 12, 2).percent is None
    assert change(0, 12, 2).per_year == 6


def test_follow_up_before_baseline_is_refused():
    with pytest.raises(InputRefusedError, match="after the baseline"):
        change(1, 2, -1)
