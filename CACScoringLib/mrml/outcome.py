"""The outcome of scoring as nodes to be shown: tables for a person, the lesions to jump to, and a bar for each vessel.

Methods have Slicer's camelCase names, since widgets call them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from CACScoringLib.mrml.outcome_table import set_outcome_status, update_chart_table, update_outcome_table
from CACScoringLib.mrml.scene import import_slicer
from CACScoringLib.mrml.tables import (
    LESION_COLUMNS,
    SCORE_COLUMNS,
    SCORES_ATTRIBUTE,
    fill_table,
    scores_dict,
    update_lesion_table,
    update_score_table,
)
from CACScoringLib.vocabulary import CORONARY_LABELS, Label

ROLE_ATTRIBUTE = "CACScoring.Outcome"
"""Attribute of each node of a view: its name and its part in it."""

CHART_QUANTITIES = {
    "agatston": "Agatston score",
    "volume_mm3": "Volume (mm3)",
    "mass_mg": "Mass (mg)",
}
"""What the chart can show, with the title of its axis."""

BARS_RANGE = (-0.5, 0.8)
"""Range of the chart's horizontal axis: the bars lie between -0.4 and 0.4, the legend beside them."""
BARS = tuple((0.2 * number - 0.3, label.name) for number, label in enumerate(CORONARY_LABELS))
"""Where VTK draws the bar of each vessel, and its name."""


class OutcomeView:
    """Tables and a chart of one scored scan.

    Nodes are made when they are first needed, found again in a scene that was loaded, and made anew where a person has
    deleted them.

    Parameters
    ----------
    scene : vtkMRMLScene
    name : str
        Begins the nodes' names, and tells one view from another in the same scene.
    """

    def __init__(self, scene: Any, name: str = "CAC scores"):
        self.scene = scene
        self.name = name
        self._volume: Any = None

    @property
    def outcomeTableNode(self) -> Any:
        """Return the table for a person: scores by vessel, then risk, percentiles and findings in words."""
        return self._node("outcome", "vtkMRMLTableNode", self.name)

    @property
    def scoreTableNode(self) -> Any:
        """Return the table for programs: numbers by vessel."""
        return self._node("scores", "vtkMRMLTableNode", f"{self.name} (numbers)")

    @property
    def lesionTableNode(self) -> Any:
        """Return the table with a row for each lesion."""
        return self._node("lesions", "vtkMRMLTableNode", f"{self.name}: lesions")

    @property
    def chartTableNode(self) -> Any:
        """Return the table that the chart draws."""
        return self._node("bars", "vtkMRMLTableNode", f"{self.name}: bars")

    @property
    def chartNode(self) -> Any:
        """Return the bar chart."""
        return self._node("chart", "vtkMRMLPlotChartNode", f"{self.name} by vessel", self._setUpChart)

    def seriesNode(self, vessel: str) -> Any:
        """Return the bar of LM, LAD, LCX or RCA."""
        label = next(label for label in CORONARY_LABELS if label.name == vessel)
        return self._node(
            f"series {vessel}", "vtkMRMLPlotSeriesNode", vessel, lambda node: self._setUpSeries(node, label)
        )

    def update(self, scores: Any, upToDate: bool = True, *, volumeNode: Any = None, quantity: str = "agatston") -> None:
        """Show scores.

        Parameters
        ----------
        scores : CalciumScore or dict, or None
            The dictionary is that of ``scores.json``; None empties everything.
        upToDate : bool
            Whether they are those of the segmentation as it is.
        volumeNode : vtkMRMLScalarVolumeNode, optional
            What was scored: lesions are jumped to where its parent transform shows it.
        quantity : str
            What the bars show: a key of ``CHART_QUANTITIES``.
        """
        self._volume = volumeNode
        document = None if scores is None else scores_dict(scores)
        update_outcome_table(self.outcomeTableNode, document, up_to_date=upToDate)
        if document is None:
            fill_table(self.scoreTableNode, SCORE_COLUMNS, [])
            self.scoreTableNode.SetAttribute(SCORES_ATTRIBUTE, None)
            fill_table(self.lesionTableNode, LESION_COLUMNS, [])
        else:
            update_score_table(self.scoreTableNode, document)
            update_lesion_table(self.lesionTableNode, document)
        update_chart_table(self.chartTableNode, document, quantity)
        self._updateChart(quantity)

    def setUpToDate(self, upToDate: bool) -> None:
        """Say whether the scores that are shown are those of the segmentation as it is."""
        set_outcome_status(self.outcomeTableNode, up_to_date=upToDate)

    def clear(self) -> None:
        """Show that there are no scores."""
        self.update(None)

    def lesionPosition(self, row: int) -> tuple[float, float, float] | None:
        """Return where the lesion in a row of the lesion table lies, in the scene's RAS (mm); None without one."""
        table = self.lesionTableNode
        if not 0 <= row < table.GetNumberOfRows():
            return None
        columns = (table.GetTable().GetColumnByName(name) for name in ("r_mm", "a_mm", "s_mm"))
        position = [column.GetValue(row) for column in columns]
        if self._volume is not None and self._volume.GetScene() is not None:
            self._volume.TransformPointToWorld(list(position), position)
        return tuple(position)

    def jumpToLesion(self, row: int, sliceNodes: Iterable[Any]) -> bool:
        """Move slice views to a lesion.

        Parameters
        ----------
        row : int
            Of the lesion table, from 0.
        sliceNodes : iterable of vtkMRMLSliceNode

        Returns
        -------
        bool
            Whether there is such a lesion.
        """
        position = self.lesionPosition(row)
        if position is None:
            return False
        for node in sliceNodes:
            node.JumpSlice(*position)
        return True

    def _node(self, role: str, kind: str, name: str, set_up: Callable[[Any], None] | None = None) -> Any:
        """Return the node of a role, made where the scene has none."""
        mark = f"{self.name}/{role}"
        for index in range(self.scene.GetNumberOfNodesByClass(kind)):
            node = self.scene.GetNthNodeByClass(index, kind)
            if node.GetAttribute(ROLE_ATTRIBUTE) == mark:
                return node
        node = self.scene.AddNewNodeByClass(kind, name)
        node.SetAttribute(ROLE_ATTRIBUTE, mark)
        if set_up is not None:
            set_up(node)
        return node

    def _setUpChart(self, node: Any) -> None:
        node.SetTitle("Coronary calcium by vessel")
        node.SetXAxisTitle("Coronary artery")
        node.SetXAxisTitleVisibility(True)
        node.SetYAxisTitleVisibility(True)
        node.SetLegendVisibility(True)
        node.SetGridVisibility(False)
        # Four bars side by side about 0, as wide as VTK draws them; by itself the axis would leave some out.
        node.SetXAxisRangeAuto(False)
        node.SetXAxisRange(*BARS_RANGE)

    def _setUpSeries(self, node: Any, label: Label) -> None:
        node.SetPlotType(import_slicer().vtkMRMLPlotSeriesNode.PlotTypeBar)
        node.SetYColumnName(label.name)
        node.SetColor(*label.color)

    def _updateChart(self, quantity: str) -> None:
        table, chart = self.chartTableNode, self.chartNode
        for label in CORONARY_LABELS:
            series = self.seriesNode(label.name)
            if series.GetTableNodeID() != table.GetID():
                series.SetAndObserveTableNodeID(table.GetID())
            if not chart.HasPlotSeriesNodeID(series.GetID()):
                chart.AddAndObservePlotSeriesNodeID(series.GetID())
        chart.SetYAxisTitle(CHART_QUANTITIES[quantity])
