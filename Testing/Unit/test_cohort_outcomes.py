"""From a table with follow-up to statistics, figures and a report; and what bad tables get instead of numbers."""

from __future__ import annotations

import argparse
import json
import math
import re

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("lifelines")

from CACScoringLib.cohort.cox import HazardRatio, covariate_models, cox_model  # noqa: E402
from CACScoringLib.cohort.figures_outcomes import (  # noqa: E402
    category_colors,
    forest_figure,
    ratio_limits,
    save_outcome_figure,
)
from CACScoringLib.cohort.follow_up import follow_up  # noqa: E402
from CACScoringLib.cohort.number_words import p_words  # noqa: E402
from CACScoringLib.cohort.outcomes import outcomes  # noqa: E402
from CACScoringLib.cohort.outcomes_files import figures  # noqa: E402
from CACScoringLib.cohort.progression_table import ProgressionColumns, cohort_progression  # noqa: E402
from CACScoringLib.cohort.simulation import simulated_cohort  # noqa: E402
from CACScoringLib.commands import cohort_outcomes  # noqa: E402
from CACScoringLib.commands.exit_codes import UsageError  # noqa: E402
from CACScoringLib.findings import InputRefusedError  # noqa: E402


def cohort(n=60, **columns):
    """Return a table with every category and events in each; columns replace those that are there."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "case": [f"p{i}" for i in range(n)],
            "agatston": np.resize([0.0, 50.0, 200.0, 900.0], n),
            "years": np.round(rng.uniform(0.5, 5, n), 2),
            "died": (np.arange(n) % 3 == 0).astype(int),
        }
    )
    return frame.assign(**columns)


def checked(frame, **more):
    return follow_up(frame, **{"time": "years", "event": "died", **more})


def refused(frame, **more):
    with pytest.raises(InputRefusedError) as error:
        checked(frame, **more)
    return error.value.finding


def with_value(column, row, value):
    frame = cohort()
    frame[column] = frame[column].astype(object)
    frame.loc[row, column] = value
    return frame


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return the folder that one command fills, and what it said."""
    folder = tmp_path_factory.mktemp("outcomes")
    frame = simulated_cohort(4, 1200, covariates=True).assign(preset="ge-smartscore", model="m<1>", method="unet")
    frame.to_csv(folder / "cohort.csv", index=False)
    call = "--time years --event mace --event-name MACE --compare agatston_standard --covariates mfr,sds"
    run([str(folder / "cohort.csv"), *call.split(), "--output", str(folder / "out")])
    return folder / "out"


def run(arguments):
    """Call ``cacscoring cohort outcomes`` as the command line does."""
    parser = argparse.ArgumentParser()
    cohort_outcomes.add_arguments(parser)
    return cohort_outcomes.run(parser.parse_args(arguments))


# --- tables that are refused


def test_a_negative_time_names_its_row_and_case():
    finding = refused(with_value("years", 3, -1))
    assert finding.code == "negative-time"
    assert "row 5 (p3)" in finding.message


def test_a_negative_score_names_its_row():
    finding = refused(with_value("agatston", 0, -0.5))
    assert (finding.code, "row 2 (p0)" in finding.message) == ("negative-score", True)


def test_an_event_that_is_neither_zero_nor_one_names_its_row():
    finding = refused(with_value("died", 7, 2))
    assert (finding.code, "row 9 (p7)" in finding.message) == ("event-not-binary", True)


def test_text_in_a_column_of_numbers_names_its_row():
    finding = refused(with_value("years", 1, "soon"))
    assert (finding.code, "3 (soon)" in finding.message) == ("not-a-number", True)


def test_words_among_the_numbers_of_a_covariate_name_their_row():
    finding = refused(cohort(bmi=[25.0] * 59 + ["heavy"]), covariates=["bmi"])
    assert (finding.code, "61 (heavy)" in finding.message) == ("not-a-number", True)


def test_no_events_at_all_are_refused_with_the_rows():
    finding = refused(cohort(died=0))
    assert finding.code == "no-events"
    assert "rows 2 (p0), 3 (p1)" in finding.message
    assert "and 52 more" in finding.message


def test_a_case_that_is_there_twice_is_named():
    finding = refused(with_value("case", 5, "p4"))
    assert finding.code == "repeated-case"
    assert "6 (p4), 7 (p4)" in finding.message


def test_a_missing_column_says_which_there_are():
    finding = refused(cohort(), score="cac")
    assert finding.code == "column-not-found"
    assert "agatston" in finding.message


def test_follow_up_of_zero_for_everybody_is_refused():
    assert refused(cohort(years=0.0)).code == "no-follow-up"


def test_one_column_in_two_roles_is_refused():
    assert refused(cohort(), compare="agatston").code == "column-used-twice"


def test_an_empty_table_is_refused():
    assert refused(cohort().iloc[:0]).code == "empty-table"
    assert refused(cohort(years=None)).code == "no-complete-row"


# --- tables with a doubt


def test_rows_with_missing_values_are_left_out_and_named():
    patients = checked(with_value("agatston", 2, None))
    assert (patients.n, patients.excluded) == (59, 1)
    assert [finding.code for finding in patients.findings] == ["missing-values"]
    assert "row 4 (p2)" in patients.findings[0].message
    assert "1 of 60" in patients.findings[0].message


def test_one_category_gets_curves_but_neither_tests_nor_ratios():
    patients = checked(cohort(agatston=0.0))
    result = outcomes(patients)
    part = result.scores[0]
    assert "one-category" in [finding.code for finding in result.findings]
    assert (part.univariable, part.log_rank.pairs, len(part.curves)) == (None, (), 1)
    assert math.isnan(part.log_rank.p)
    assert math.isnan(result.concordance.p)


def test_a_category_without_events_has_no_ratio_and_is_named():
    frame = cohort()
    frame.loc[frame.agatston == 0, "died"] = 0
    patients = checked(frame)
    model, _ = cox_model(patients, patients.scores[0])
    assert model is None
    finding = next(finding for finding in patients.findings if finding.code == "category-without-events")
    assert "category 0 " in finding.message
    assert "2 (p0), 6 (p4)" in finding.message


def test_ten_rows_are_called_few_and_get_no_model():
    result = outcomes(checked(cohort(10)))
    codes = [finding.code for finding in result.findings]
    assert "few-patients" in codes
    assert {"too-few-events", "category-without-events"} & set(codes)
    assert result.scores[0].univariable is None
    assert "11 (p9)" not in result.findings[0].message  # eight rows are named, then counted
    assert "and 2 more" in result.findings[0].message


def test_events_for_each_term_decide_whether_there_is_a_model():
    # 20 events: enough for three terms of 5, with a warning; not for five terms
    patients = checked(cohort(a=np.sin(np.arange(60)), b=np.cos(np.arange(60) ** 2)), covariates=["a", "b"])
    univariable, findings = cox_model(patients, patients.scores[0])
    assert [finding.code for finding in findings] == ["few-events"]
    assert "20 events for 3 terms" in findings[0].message
    assert univariable is not None
    adjusted, findings = cox_model(patients, patients.scores[0], adjusted=True)
    assert adjusted is None
    assert "20 events for 5 terms" in findings[0].message


def test_a_constant_covariate_is_left_out_and_a_repeated_one_gets_no_model():
    patients = checked(cohort(sex="f"), covariates=["sex"])
    assert [finding.code for finding in patients.findings] == ["constant-covariate"]
    assert patients.covariates.shape == (60, 0)
    many = simulated_cohort(0, 400).assign(a=lambda frame: frame.years.rank(), b=lambda frame: 2 * frame.years.rank())
    patients = follow_up(many, time="years", event="mace", covariates=["a", "b"])
    model, findings = cox_model(patients, patients.scores[0], adjusted=True)
    assert (model, [finding.code for finding in findings]) == (None, ["collinear-covariates"])


def test_a_covariate_that_separates_events_perfectly_gets_no_ratio():
    rng = np.random.default_rng(0)
    frame = cohort(
        years=np.r_[rng.uniform(0, 1, 30), np.full(30, 5.0)], died=[1] * 30 + [0] * 30, late=[0] * 30 + [1] * 30
    )
    ratios, findings = covariate_models(checked(frame, covariates=["late"]))
    assert (ratios, [finding.code for finding in findings]) == ((), ["no-convergence"])


def test_words_become_one_column_for_each_but_the_first():
    patients = checked(cohort(sex=["f", "m", "x"] * 20), covariates=["sex"])
    assert list(patients.covariates.columns) == ["sex: m", "sex: x"]
    assert patients.covariates["sex: m"].tolist()[:3] == [0, 1, 0]


def test_yes_and_no_are_events():
    patients = checked(cohort(died=["Yes", "no", "TRUE", "0"] * 15))
    assert patients.event.tolist()[:4] == [True, False, True, False]


def test_two_scores_that_agree_are_not_compared_but_said_so():
    result = outcomes(checked(cohort().assign(manual=lambda frame: frame.agatston), compare="manual"))
    codes = {finding.code for finding in result.findings}
    assert {"zero-not-compared", "nobody-moves"} <= codes
    assert result.reclassification.overall.value == 0
    assert math.isnan(result.zero.score.p)


def test_many_who_left_early_are_mentioned_beside_predictive_values():
    frame = simulated_cohort(0, 600)
    result = outcomes(follow_up(frame, time="years", event="mace"))
    middle = frame.years.median()
    early = ((frame.years < middle) & (frame.mace == 0)).sum()
    finding = next(finding for finding in result.findings if finding.code == "censored-early")
    assert finding.message.startswith(f"{early} of 600 patients")


def test_groups_by_percentile_are_named_for_the_score_alone():
    patients = checked(cohort(), scheme="scct-2017")
    assert patients.scheme.groups[-1] == ">=300"
    assert [finding.code for finding in patients.findings] == ["percentile-not-used"]


# --- the command


def test_one_command_writes_the_report_the_numbers_and_the_figures(written):
    assert sorted(path.name for path in written.iterdir()) == [
        "forest-1.png",
        "forest-1.svg",
        "forest-2.png",
        "forest-2.svg",
        "outcomes.html",
        "outcomes.json",
        "outcomes.png",
        "outcomes.svg",
    ]


def test_the_report_holds_everything_and_points_nowhere(written):
    page = (written / "outcomes.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page
    assert "m&lt;1&gt;" in page
    assert "m<1>" not in page
    for words in ("Leisenring", "Schoenfeld", "Holm", "seed 0", "spect-pet-4", "lifelines", "ge-smartscore", "Methods"):
        assert words in page


def test_the_numbers_are_those_of_the_python_interface(written):
    document = json.loads((written / "outcomes.json").read_text(encoding="utf-8"))
    frame = simulated_cohort(4, 1200, covariates=True)
    patients = follow_up(frame, time="years", event="mace", compare="agatston_standard", covariates=["mfr", "sds"])
    result = outcomes(patients)
    assert (document["patients"], document["events"]) == (1200, int(frame.mace.sum()))
    term = document["scores"]["agatston"]["univariable"]["terms"][3]
    assert (term["name"], term["ratio"]) == (">400", pytest.approx(result.scores[0].univariable.terms[3].ratio))
    assert document["scores"]["agatston"]["univariable"]["terms"][0]["p"] is None
    assert document["net_reclassification"]["overall"]["low"] == result.reclassification.overall.low
    assert document["predictive_values_of_zero"]["score"]["p"] == pytest.approx(result.zero.score.p)
    assert document["concordance"]["scores"][0]["value"] == pytest.approx(result.concordance.scores[0].value)


def test_the_terminal_gets_the_tables_and_the_findings(tmp_path, capsys):
    frame = simulated_cohort(5, 300)
    frame.loc[0, "agatston"] = np.nan
    frame.to_csv(tmp_path / "cohort.csv", index=False)
    assert run([str(tmp_path / "cohort.csv"), "--time", "years", "--event", "mace"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("299 patients, ")
    assert "Cox model, univariable: agatston" in said.out
    assert "Adjusted by Holm for 6 comparisons." in said.out
    assert "row 2 (s000001)" in said.err


def test_the_same_seed_gives_the_same_files(tmp_path):
    simulated_cohort(6, 300, covariates=True).to_csv(tmp_path / "cohort.csv", index=False)
    call = ["--time", "years", "--event", "mace", "--compare", "agatston_standard", "--seed", "7", "--output"]
    for name in ("a", "b"):
        run([str(tmp_path / "cohort.csv"), *call, str(tmp_path / name)])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--output", "cohort.csv"], "The output folder 'cohort.csv' cannot be made: 'cohort.csv' is a file."),
        (["--seed", "-1"], "A seed is a whole number from 0."),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_table_is_read(words, says, tmp_path, monkeypatch):
    (tmp_path / "cohort.csv").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("CACScoringLib.cohort.tables.read_table", lambda path: pytest.fail("the table was read"))
    with pytest.raises(UsageError) as refused:
        run(["cohort.csv", "--time", "years", "--event", "died", *words])
    assert str(refused.value) == says


def test_progression_needs_all_its_columns(tmp_path):
    cohort().to_csv(tmp_path / "cohort.csv", index=False)
    with pytest.raises(UsageError, match="--volume, --repeat-volume, --date, --repeat-date"):
        run([str(tmp_path / "cohort.csv"), "--time", "years", "--event", "died", "--repeat-score", "again"])


# --- figures


def test_the_figure_has_curves_numbers_at_risk_and_ratios_for_each_score():
    frame = simulated_cohort(2, 800, covariates=True)
    result = outcomes(follow_up(frame, time="years", event="mace", compare="agatston_standard"))
    figure = figures(result, "MACE")[0][2]
    curves, table, ratios = figure.axes[:3]
    assert len(figure.axes) == 6
    assert (curves.get_xlabel(), curves.get_ylabel()) == ("Time (years)", "MACE-free survival")
    assert [text.get_text() for text in curves.get_legend().get_texts()] == ["0", ">0-100", ">100-400", ">400"]
    words = [text.get_text() for text in table.texts]
    assert words[0] == "Number at risk"
    assert words[1] == f"{(frame.agatston == 0).sum()}"
    assert [label.get_text() for label in table.get_yticklabels()] == ["0", ">0-100", ">100-400", ">400"]
    assert "1 (reference)" in [text.get_text() for text in ratios.texts]
    assert ratios.get_xlabel() == "Hazard ratio"
    assert ratios.get_xlim() == figure.axes[5].get_xlim()


def test_a_category_keeps_its_colour_where_another_is_empty():
    frame = cohort(agatston=np.resize([0.0, 900.0], 60))
    figure = figures(outcomes(checked(frame)))[0][2]
    colors = [line.get_color() for line in figure.axes[0].get_lines()]
    assert colors == [category_colors(4)[0], category_colors(4)[3]]


def test_a_forest_plot_writes_what_it_draws(tmp_path):
    terms = [HazardRatio("age", 1.5, 1.2, 1.9, 0.0004, 0.3), HazardRatio("sex: m", 0.9, 0.6, 1.3, 0.52, 0.8)]
    figure = forest_figure(terms, "Model")
    words = [text.get_text() for text in figure.axes[0].texts]
    assert {"age", "1.50 (1.20–1.90)", "< 0.001", "0.90 (0.60–1.30)", "0.52"} <= set(words)
    low, high = ratio_limits(terms)
    assert low < 0.6
    assert high > 1.9
    paths = save_outcome_figure(figure, tmp_path / "forest")
    assert [path.name for path in paths] == ["forest.png", "forest.svg"]
    assert paths[0].read_bytes()[:4] == b"\x89PNG"
    assert b"<svg" in paths[1].read_bytes()


def test_p_values_in_words():
    assert p_words(0.00099) == "p < 0.001"
    assert p_words(0.0999) == "p = 0.100"
    assert p_words(0.5, name=False) == "0.50"
    assert p_words(math.nan, name=False) == "–"


# --- progression

COLUMNS = ProgressionColumns("agatston", "again", "volume", "volume_again", "date", "date_again")


def two_scans(**columns):
    frame = pd.DataFrame(
        {
            "agatston": [0.0, 100.0, 100.0, 0.0],
            "again": [0.0, 150.0, 120.0, 12.0],
            "volume": [0.0, 100.0, 100.0, 0.0],
            "volume_again": [0.0, 156.25, 121.0, 9.0],
            "date": ["2020-01-01"] * 4,
            "date_again": ["2022-01-01"] * 4,
        }
    )
    return frame.assign(**columns).set_axis(range(2, 6))


def test_progression_of_a_cohort_by_hand():
    # square roots grow by 0, 2.5, 1 and 3 mm^1.5: two of four progress; one of two zeros gets calcium
    result = cohort_progression(two_scans(), COLUMNS)
    assert [patient.progressed for patient in result.patients] == [False, True, False, True]
    assert (result.progressed.value, result.progressed.n) == (0.5, 4)
    assert (result.new_calcium.value, result.new_calcium.n) == (0.5, 2)
    years = 731 / 365.25
    assert result.years == pytest.approx((years, years, years))
    assert result.percent_per_year[1] == pytest.approx(35 / years)


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"date_again": ["2022-01-01", "2019-05-05", "2022-01-01", "2022-01-01"]}, "follow-up-not-later"),
        ({"date": ["2020-01-01", "Easter", "2020-01-01", "2020-01-01"]}, "not-a-date"),
        ({"again": [0.0, -1.0, 1.0, 1.0]}, "negative-score"),
    ],
)
def test_bad_scans_name_their_row(columns, code):
    with pytest.raises(InputRefusedError) as error:
        cohort_progression(two_scans(**columns), COLUMNS)
    assert error.value.finding.code == code
    assert "row 3" in error.value.finding.message


def test_patients_without_a_second_scan_are_named_and_left_out():
    result = cohort_progression(two_scans(again=[0.0, None, 120.0, 12.0]), COLUMNS)
    assert result.rows == (2, 4, 5)
    assert "row 3" in result.findings[0].message
