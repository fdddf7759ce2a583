"""The result of a cohort as real MRML nodes: what is in them, and that a new result takes their place."""

from __future__ import annotations

import json
import math

import pytest
import slicer

pd = pytest.importorskip("pandas")
pytest.importorskip("lifelines")

from CACScoringLib.cohort.agreement_analysis import analyse  # noqa: E402
from CACScoringLib.cohort.agreement_views import agreement_views  # noqa: E402
from CACScoringLib.cohort.follow_up import follow_up  # noqa: E402
from CACScoringLib.cohort.outcomes import outcomes  # noqa: E402
from CACScoringLib.cohort.outcomes_views import outcomes_views  # noqa: E402
from CACScoringLib.cohort.score_pairs import pair_scores  # noqa: E402
from CACScoringLib.cohort.views import (  # noqa: E402
    DASHED,
    POINTS,
    ChartView,
    CohortViews,
    SeriesView,
    TableView,
    ViewsError,
    views_from_json,
    views_to_json,
)
from CACScoringLib.mrml.cohort import CohortNodes, chart_ticks  # noqa: E402
from CACScoringLib.mrml.scene import open_scene, save_scene  # noqa: E402

SERIES = slicer.vtkMRMLPlotSeriesNode


@pytest.fixture(scope="module")
def agreed():
    """Six cases: measured = 1.1 reference + 1, so 12 + 11 + 21 + 31 + 111 + 501."""
    reference = pd.DataFrame({"case": list("abcdef"), "agatston": [0.0, 10, 20, 100, 400, 500]})
    measured = pd.DataFrame({"case": list("fedcba"), "agatston": [551.0, 441, 111, 23, 12, 1]})
    return agreement_views(analyse(pair_scores(reference, measured)))


@pytest.fixture(scope="module")
def followed():
    """Forty patients, half with a score of 0 and a late event, half above 400 and an early one, some censored."""
    rows = range(40)
    table = pd.DataFrame(
        {
            "case": [f"p{i}" for i in rows],
            "agatston": [0.0 if i % 2 else 900.0 for i in rows],
            "years": [1 + (i % 4) + (1 if i % 2 else 0) for i in rows],
            "event": [0 if i % 5 == 0 else 1 for i in rows],
        }
    )
    return outcomes_views(outcomes(follow_up(table, time="years", event="event")), "MACE")


def chart(results, title):
    return next(result.node for result in results if result.isChart and result.title == title)


def table(results, title):
    return next(result.node for result in results if not result.isChart and result.title == title)


def series(node):
    """The series of a chart by name: the node, and its points that are drawn."""
    found = {}
    for index in range(node.GetNumberOfPlotSeriesNodes()):
        one = node.GetNthPlotSeriesNode(index)
        data = one.GetTableNode().GetTable()
        columns = [data.GetColumnByName(name) for name in (one.GetXColumnName(), one.GetYColumnName())]
        points = [tuple(column.GetValue(row) for column in columns) for row in range(data.GetNumberOfRows())]
        found[one.GetName()] = (one, [point for point in points if not math.isnan(point[0])])
    return found


def cells(node):
    return [
        [node.GetCellText(row, column) for column in range(node.GetNumberOfColumns())]
        for row in range(node.GetNumberOfRows())
    ]


def test_a_scatter_has_its_points_the_identity_and_the_regression_line(working, agreed):
    results = CohortNodes(working.scene).show("agreement", agreed)
    node = chart(results, "Total: measured against reference")
    drawn = series(node)
    assert list(drawn) == ["identity", "n = 6", "y = 1.100 x + 1.0"]
    points, line = drawn["n = 6"], drawn["y = 1.100 x + 1.0"]
    assert points[1] == [(0, 1), (10, 12), (20, 23), (100, 111), (400, 441), (500, 551)]
    top = 551 * 1.05
    assert [value for point in line[1] for value in point] == pytest.approx([0, 1, top, 1.1 * top + 1])
    assert drawn["identity"][1] == [(0, 0), (top, top)]
    assert points[0].GetLineStyle() == SERIES.LineStyleNone
    assert points[0].GetMarkerStyle() == SERIES.MarkerStyleCircle
    assert line[0].GetMarkerStyle() == SERIES.MarkerStyleNone
    assert drawn["identity"][0].GetLineStyle() == SERIES.LineStyleDash
    assert (node.GetXAxisTitle(), node.GetYAxisTitle()) == ("Reference Agatston", "Measured Agatston")


def test_bland_altman_has_bias_and_limits_as_lines(working, agreed):
    """Differences 1, 2, 3, 11, 41, 51: sum 109, sum of squares 4417, so the variance is (4417 - 109^2 / 6) / 5."""
    drawn = series(chart(CohortNodes(working.scene).show("agreement", agreed), "Total: Bland-Altman"))
    assert drawn["n = 6"][1][2] == (21.5, 3)
    bias, sd = 109 / 6, math.sqrt((4417 - 109**2 / 6) / 5)
    levels = [points[0][1] for name, (_node, points) in drawn.items() if name != "n = 6"]
    assert levels == pytest.approx([bias + 1.96 * sd, bias, bias - 1.96 * sd], rel=1e-4)
    assert list(drawn)[1:] == ["+1.96 SD +61.4", "bias +18.2", "-1.96 SD -25.1"]


def test_a_logarithmic_scatter_names_its_ticks(working, agreed):
    node = chart(CohortNodes(working.scene).show("agreement", agreed), "Total: logarithmic axes")
    x, y = chart_ticks(node)
    assert x == y
    assert [name for _, name in x] == ["0", "10", "100"]
    assert [at for at, _ in x] == pytest.approx([0, math.log(11), math.log(101)])
    node.SetAttribute("CACScoring.Ticks", '{"x": 3}')
    assert chart_ticks(node) is None


def test_the_confusion_matrix_is_a_table(working, agreed):
    """0 -> 1 moves up by one; 100 -> 111 and 400 -> 441 too: in spect-pet-4 groups end at 100 and 400."""
    node = table(CohortNodes(working.scene).show("agreement", agreed), "Confusion matrix, spect-pet-4")
    assert cells(node) == [
        ["0", "0", "1", "0", "0"],
        [">0-100", "0", "2", "1", "0"],
        [">100-400", "0", "0", "0", "1"],
        [">400", "0", "0", "0", "1"],
    ]
    assert node.GetDescription() == "spect-pet-4: rows reference, columns measured"
    tests = table(CohortNodes(working.scene).results("agreement"), "Paired tests")
    assert [tests.GetColumnTitle(tests.GetColumnName(i)) for i in range(5)] == [" ", "t", "p", "W", "p"]


def test_survival_falls_in_steps(working, followed):
    """Of 20 patients with a score above 400, p0, p10, p20, p30 are censored; times are 1 and 3 years, ten each.

    At 1 year 8 of 20 have an event (2 are censored), at 3 years 8 of 10: 100, 60 and 60 x 0.2 = 12 %.
    """
    node = chart(CohortNodes(working.scene).show("outcomes", followed), followed.charts[0].title)
    assert node.GetTitle().startswith("agatston: MACE-free survival, log-rank p ")
    points = series(node)["CAC >400"][1]
    assert [x for x, _ in points] == [0, 1, 1, 3, 3]
    assert [y for _, y in points] == pytest.approx([100, 100, 60, 60, 12])
    risk = table(CohortNodes(working.scene).results("outcomes"), "Numbers at risk: agatston")
    by_name = {row[0]: row[1:] for row in cells(risk)}
    header = [risk.GetColumnTitle(risk.GetColumnName(i)) for i in range(1, risk.GetNumberOfColumns())]
    assert by_name[">400"][header.index("0")] == "20"
    assert by_name[">400"][header.index("2")] == "10"


def test_a_forest_has_a_point_and_an_interval_for_each_ratio(working, followed):
    results = CohortNodes(working.scene).show("outcomes", followed)
    node = chart(results, "agatston: hazard ratios, univariable")
    drawn = series(node)
    model = {row[0]: row[2] for row in cells(table(results, "Cox model, univariable: agatston"))}
    ratio, low, high = (
        float(word) for word in model[">400"].replace("(", " ").replace(")", "").replace("–", " ").split()
    )
    assert drawn[f">400: {model['>400']}"][1][0] == pytest.approx((math.log10(ratio), 0), abs=0.01)
    interval = drawn[">400: 95 % interval"][1]
    assert [point[0] for point in interval] == pytest.approx([math.log10(low), math.log10(high)], abs=0.01)
    assert drawn["0: 1 (reference)"][1] == [(0, 1)]
    x, y = chart_ticks(node)
    assert (0.0, "1") in x
    assert [name for _, name in y] == ["0: 1 (reference)", f">400: {model['>400']}"]


def simple(*keys, rows=1):
    points = SeriesView("points", (1.0, 2.0), (3.0, 4.0), (1.0, 0.0, 0.0), POINTS)
    line = SeriesView("line", (0.0,), (0.0,), (0.0, 0.0, 1.0), DASHED)
    charts = tuple(ChartView(key, f"Chart {key}", "x", "y", (points, line), (0, 2), (0, 4)) for key in keys)
    return CohortViews("All well", charts, (TableView("t", "Words", ("a", "a"), (("1", "2"),) * rows),))


def counts(scene):
    return [scene.GetNumberOfNodesByClass(f"vtkMRML{name}Node") for name in ("PlotChart", "PlotSeries", "Table")]


def test_a_new_result_takes_the_place_of_the_last_one_of_its_kind(working):
    nodes = CohortNodes(working.scene)
    first = nodes.show("agreement", simple("A", "B"))
    assert counts(working.scene) == [2, 4, 3]
    again = nodes.show("agreement", simple("A", rows=3))
    assert counts(working.scene) == [1, 2, 2]
    assert again[0].node is first[0].node
    assert table(again, "Words").GetNumberOfRows() == 3
    nodes.show("outcomes", simple("A"))
    assert counts(working.scene) == [2, 4, 4]
    assert [result.title for result in nodes.results("agreement")] == ["Chart A", "Words"]
    other = working.scene.AddNewNodeByClass("vtkMRMLTableNode", "A person's own")
    nodes.clear("agreement")
    nodes.clear("outcomes")
    assert counts(working.scene) == [0, 0, 1]
    assert other.GetScene() is working.scene


def test_results_are_found_again_in_a_scene_that_was_saved(working, tmp_path, agreed):
    CohortNodes(working.scene).show("agreement", agreed)
    save_scene(working.scene, tmp_path / "cohort.mrb")
    again = open_scene(tmp_path / "cohort.mrb")
    results = CohortNodes(again.scene).results("agreement")
    assert [result.title for result in results[:3]] == [
        "Total: measured against reference",
        "Total: logarithmic axes",
        "Total: Bland-Altman",
    ]
    assert len(series(results[0].node)["n = 6"][1]) == 6
    assert chart_ticks(results[1].node) is not None
    before = counts(again.scene)
    CohortNodes(again.scene).show("agreement", agreed)
    assert counts(again.scene) == before


def test_views_are_the_same_after_a_way_through_text(agreed, followed):
    for views in (agreed, followed, simple("A")):
        assert views_from_json(views_to_json(views)) == views


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "else"},
        {"charts": None},
        {"tables": [{"key": "t", "title": "T", "header": ["a"], "rows": [["1", "2"]], "note": ""}]},
        {"charts": [{"key": "c"}]},
    ],
)
def test_text_that_is_no_result_is_refused(change):
    document = {**json.loads(views_to_json(simple("A"))), **change}
    with pytest.raises(ViewsError):
        views_from_json(json.dumps(document))


def test_a_number_that_is_not_finite_is_refused():
    text = views_to_json(simple("A")).replace("3.0", "NaN")
    with pytest.raises(ViewsError, match="not finite"):
        views_from_json(text)
