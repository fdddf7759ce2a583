"""The result of a cohort as nodes: a table node for each table, a chart with its series and their table for each chart.

Methods have Slicer's camelCase names, since widgets call them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from CACScoringLib.cohort.views import DASHED, POINTS, ChartView, CohortViews, SeriesView, TableView
from CACScoringLib.mrml.attributes import read_json, write_json
from CACScoringLib.mrml.scene import import_slicer
from CACScoringLib.mrml.tables import KIND_ATTRIBUTE, Column, fill_table

COHORT_ATTRIBUTE = "CACScoring.Cohort"
"""Attribute of each node of a cohort: what was asked, and the node's part in the answer."""
ORDER_ATTRIBUTE = "CACScoring.CohortOrder"
"""Attribute of the nodes that are listed: their place."""
TITLE_ATTRIBUTE = "CACScoring.CohortTitle"
TICKS_ATTRIBUTE = "CACScoring.Ticks"
"""Attribute of a chart: names of the ticks of its axes; ``layout`` of the desktop draws them."""
TABLE_CLASS, CHART_CLASS, SERIES_CLASS = "vtkMRMLTableNode", "vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode"
MANY_POINTS = 2000
"""More points than this are drawn smaller."""
MARKER_SIZE, SMALL_MARKER_SIZE, ONE_MARKER_SIZE, LINE_WIDTH = 7.0, 3.0, 12.0, 2.0
POINT_OPACITY = 0.7
AXIS_FONT_SIZE = 14


@dataclass(frozen=True)
class CohortResult:
    """A node that is listed.

    Attributes
    ----------
    title : str
    node : vtkMRMLTableNode or vtkMRMLPlotChartNode
    """

    title: str
    node: Any

    @property
    def isChart(self) -> bool:
        """Return whether it is a chart."""
        return bool(self.node.IsA(CHART_CLASS))


class CohortNodes:
    """The nodes of the last answer of each kind: a new answer takes their place.

    Nodes are found again by their attributes, in a scene that was loaded too.

    Parameters
    ----------
    scene : vtkMRMLScene
    """

    def __init__(self, scene: Any):
        self.scene = scene

    def show(self, kind: str, views: CohortViews) -> list[CohortResult]:
        """Make the nodes of an answer; those of the last answer of that kind are filled anew or removed.

        Parameters
        ----------
        kind : str
            ``agreement`` or ``outcomes``: begins the nodes' names.
        views : CohortViews

        Returns
        -------
        list of CohortResult
            Charts first.
        """
        before = {self._mark(node): node for node in self._nodes(kind)}
        kept: set[str] = set()

        def node(role: str, node_class: str, name: str) -> Any:
            mark = f"{kind}/{role}"
            kept.add(mark)
            found = before.get(mark)
            if found is None:
                found = self.scene.AddNewNodeByClass(node_class, name)
                found.SetAttribute(COHORT_ATTRIBUTE, mark)
            found.SetName(name)
            return found

        prefix = kind.capitalize()
        for place, entry in enumerate((*views.charts, *views.tables)):
            part = "chart" if isinstance(entry, ChartView) else "table"
            shown = node(
                f"{part}/{entry.key}", CHART_CLASS if part == "chart" else TABLE_CLASS, f"{prefix}: {entry.title}"
            )
            shown.SetAttribute(ORDER_ATTRIBUTE, str(place))
            shown.SetAttribute(TITLE_ATTRIBUTE, entry.title)
            if isinstance(entry, ChartView):
                data = node(f"data/{entry.key}", TABLE_CLASS, f"{prefix}: {entry.title} (data)")
                _fill_data(data, entry)
                series = [node(f"series/{entry.key}/{i}", SERIES_CLASS, one.name) for i, one in enumerate(entry.series)]
                _fill_chart(shown, entry, data, series)
            else:
                _fill_words(shown, entry)
        for mark, old in before.items():
            if mark not in kept:
                self.scene.RemoveNode(old)
        return self.results(kind)

    def results(self, kind: str) -> list[CohortResult]:
        """Return what the scene holds of the last answer of a kind, in order."""
        listed = [node for node in self._nodes(kind) if node.GetAttribute(ORDER_ATTRIBUTE)]
        listed.sort(key=lambda node: int(node.GetAttribute(ORDER_ATTRIBUTE)))
        return [CohortResult(node.GetAttribute(TITLE_ATTRIBUTE) or node.GetName(), node) for node in listed]

    def clear(self, kind: str) -> None:
        """Remove the nodes of a kind."""
        for node in list(self._nodes(kind)):
            self.scene.RemoveNode(node)

    def _nodes(self, kind: str) -> Iterator[Any]:
        for node_class in (CHART_CLASS, SERIES_CLASS, TABLE_CLASS):
            nodes = [
                self.scene.GetNthNodeByClass(i, node_class)
                for i in range(self.scene.GetNumberOfNodesByClass(node_class))
            ]
            yield from (node for node in nodes if self._mark(node).startswith(f"{kind}/"))

    @staticmethod
    def _mark(node: Any) -> str:
        return node.GetAttribute(COHORT_ATTRIBUTE) or ""


def chart_ticks(node: Any) -> tuple[list[tuple[float, str]], list[tuple[float, str]]] | None:
    """Return the named ticks of the horizontal and the vertical axis of a chart; None where it names none."""
    ticks = read_json(node, TICKS_ATTRIBUTE, dict)
    if ticks is None:
        return None
    try:
        x, y = ([(float(at), str(name)) for at, name in ticks[axis]] for axis in ("x", "y"))
    except (KeyError, TypeError, ValueError):
        return None
    return x, y


def _fill_words(node: Any, table: TableView) -> None:
    """Fill a table node with words; columns of the same title keep apart by number."""
    columns = [Column(f"{number} {title}".strip(), title or " ", type=str) for number, title in enumerate(table.header)]
    names = [column.name for column in columns]
    fill_table(node, columns, [dict(zip(names, row, strict=True)) for row in table.rows])
    node.SetDescription(table.note)
    node.SetAttribute(KIND_ATTRIBUTE, "cohort")


def _fill_data(node: Any, chart: ChartView) -> None:
    """Fill a table with two columns for each series; shorter ones end in NaN, which is not drawn."""
    columns = []
    for number, series in enumerate(chart.series):
        columns += [Column(f"{axis}{number}", f"{series.name}, {axis}") for axis in "xy"]
    longest = max((len(series.x) for series in chart.series), default=0)
    rows: list[dict[str, float]] = [{} for _ in range(longest)]
    for number, series in enumerate(chart.series):
        for row, x, y in zip(rows, series.x, series.y, strict=False):
            row[f"x{number}"], row[f"y{number}"] = x, y
    fill_table(node, columns, rows)
    node.SetAttribute(KIND_ATTRIBUTE, "cohort-data")


def _fill_chart(node: Any, chart: ChartView, data: Any, series_nodes: list[Any]) -> None:
    modifying = node.StartModify()
    try:
        node.SetTitle(chart.title)
        node.SetXAxisTitle(chart.x_title)
        node.SetYAxisTitle(chart.y_title)
        node.SetXAxisTitleVisibility(bool(chart.x_title))
        node.SetYAxisTitleVisibility(bool(chart.y_title))
        node.SetXAxisRangeAuto(False)
        node.SetXAxisRange(*chart.x_range)
        node.SetYAxisRangeAuto(False)
        node.SetYAxisRange(*chart.y_range)
        node.SetGridVisibility(False)
        node.SetAxisLabelFontSize(AXIS_FONT_SIZE)
        node.SetLegendVisibility(not chart.y_ticks or bool(chart.y_title))
        ticks = {"x": list(chart.x_ticks), "y": list(chart.y_ticks)}
        write_json(node, TICKS_ATTRIBUTE, ticks if chart.x_ticks or chart.y_ticks else None)
        node.RemoveAllPlotSeriesNodeIDs()
        for number, (series_node, series) in enumerate(zip(series_nodes, chart.series, strict=True)):
            _fill_series(series_node, series, number, data)
            node.AddAndObservePlotSeriesNodeID(series_node.GetID())
    finally:
        node.EndModify(modifying)


def _fill_series(node: Any, series: SeriesView, number: int, data: Any) -> None:
    kinds = import_slicer().vtkMRMLPlotSeriesNode
    points = series.style == POINTS
    node.SetAndObserveTableNodeID(data.GetID())
    node.SetPlotType(kinds.PlotTypeScatter)
    node.SetXColumnName(f"x{number}")
    node.SetYColumnName(f"y{number}")
    node.SetColor(*series.color)
    node.SetOpacity(POINT_OPACITY if points and len(series.x) > 1 else 1.0)
    node.SetMarkerStyle(kinds.MarkerStyleCircle if points else kinds.MarkerStyleNone)
    sizes = {len(series.x) > MANY_POINTS: SMALL_MARKER_SIZE, len(series.x) == 1: ONE_MARKER_SIZE}
    node.SetMarkerSize(sizes.get(True, MARKER_SIZE))
    node.SetLineWidth(LINE_WIDTH)
    line = kinds.LineStyleDash if series.style == DASHED else kinds.LineStyleSolid
    node.SetLineStyle(kinds.LineStyleNone if points else line)
