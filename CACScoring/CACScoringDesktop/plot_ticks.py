"""Names of ticks that a chart's attributes hold, drawn on the axes of whichever plot view shows it."""

import slicer
import vtk

from CACScoringLib.mrml.cohort import chart_ticks

AXES = (vtk.vtkAxis.BOTTOM, vtk.vtkAxis.LEFT)


class PlotTicks:
    """Follows the plot views: call ``follow`` after the layout has changed, and ``stop`` at the end."""

    def __init__(self):
        self._observed = {}
        self._named = set()

    def follow(self):
        """Watch the plot views that there are now, and name the ticks of what they show."""
        manager = slicer.app.layoutManager()
        for index in range(manager.plotViewCount if manager is not None else 0):
            widget = manager.plotWidget(index)
            node = widget.mrmlPlotViewNode()
            if node.GetID() not in self._observed:
                tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_unused, shown=widget: self._name(shown))
                self._observed[node.GetID()] = (node, tag)
            self._name(widget)

    def stop(self):
        """Watch no more."""
        for node, tag in self._observed.values():
            node.RemoveObserver(tag)
        self._observed.clear()

    def _name(self, widget):
        """Name the ticks of a view; its own numbers again where the chart before had names."""
        node = widget.mrmlPlotViewNode()
        chart = node.GetPlotChartNode() if node is not None else None
        ticks = chart_ticks(chart) if chart is not None else None
        if ticks is None and node.GetID() not in self._named:
            return
        for axis, named in zip(AXES, ticks or ((), ()), strict=True):
            nameTicks(widget.plotView().chart().GetAxis(axis), named)
        if ticks is None:
            self._named.discard(node.GetID())
        else:
            self._named.add(node.GetID())
        widget.plotView().update()


def nameTicks(axis, named):
    """Write names beside an axis; its own numbers again without any."""
    if not named:
        axis.SetCustomTickPositions(None, None)
        return
    positions, names = vtk.vtkDoubleArray(), vtk.vtkStringArray()
    for position, name in named:
        positions.InsertNextValue(position)
        names.InsertNextValue(name)
    axis.SetCustomTickPositions(positions, names)
