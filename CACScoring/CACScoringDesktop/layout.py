"""Tables, charts and slice views of Slicer's layout."""

import slicer
import vtk

from CACScoringDesktop.plot_ticks import nameTicks


def showTable(tableNode):
    """Show a table in the layout, which gets a place for tables where it has none."""
    manager = slicer.app.layoutManager()
    if manager is None or tableNode is None:
        return
    manager.setLayout(slicer.modules.tables.logic().GetLayoutWithTable(manager.layout))
    slicer.app.applicationLogic().GetSelectionNode().SetActiveTableID(tableNode.GetID())
    slicer.app.applicationLogic().PropagateTableSelection()


def showChart(chartNode, bars=()):
    """Show a chart in the layout; ``bars`` (position, name) are written below the axis in place of numbers."""
    if chartNode is None:
        return
    slicer.modules.plots.logic().ShowChartInLayout(chartNode)
    manager = slicer.app.layoutManager()
    for index in range(manager.plotViewCount if manager is not None else 0):
        widget = manager.plotWidget(index)
        shown = widget.mrmlPlotViewNode().GetPlotChartNodeID() == chartNode.GetID()
        nameTicks(widget.plotView().chart().GetAxis(vtk.vtkAxis.BOTTOM), bars if shown else ())


COHORT_LAYOUT = 58062
"""Number of our layout; Slicer's own are below 1000."""
COHORT_LAYOUT_XML = """
<layout type="vertical" split="true">
 <item splitSize="620"><view class="vtkMRMLPlotViewNode" singletontag="PlotView1">
  <property name="viewlabel" action="default">P</property></view></item>
 <item splitSize="380"><view class="vtkMRMLTableViewNode" singletontag="TableView1">
  <property name="viewlabel" action="default">T</property></view></item>
</layout>
"""


def showResult(node):
    """Show a chart or a table of a cohort in a layout that has a place for both, and none for scans."""
    manager = slicer.app.layoutManager()
    if manager is None or node is None:
        return
    layoutNode = manager.layoutLogic().GetLayoutNode()
    if not layoutNode.IsLayoutDescription(COHORT_LAYOUT):
        layoutNode.AddLayoutDescription(COHORT_LAYOUT, COHORT_LAYOUT_XML)
    manager.setLayout(COHORT_LAYOUT)
    logic, selection = slicer.app.applicationLogic(), slicer.app.applicationLogic().GetSelectionNode()
    if node.IsA("vtkMRMLPlotChartNode"):
        selection.SetActivePlotChartID(node.GetID())
        logic.PropagatePlotChartSelection()
    else:
        selection.SetActiveTableID(node.GetID())
        logic.PropagateTableSelection()


def showVolume(volumeNode):
    """Show a volume in the slice views."""
    if slicer.app.layoutManager() is not None:
        slicer.util.setSliceViewerLayers(background=volumeNode, fit=True)


def sliceNodes():
    """Return the nodes of the slice views that are shown."""
    manager = slicer.app.layoutManager()
    return [] if manager is None else [manager.sliceWidget(name).mrmlSliceNode() for name in manager.sliceViewNames()]


def snapToSlices():
    """Move each slice view onto the nearest slice of its volume, so that nothing seen is between two."""
    manager = slicer.app.layoutManager()
    for name in manager.sliceViewNames() if manager is not None else ():
        manager.sliceWidget(name).sliceLogic().SnapSliceOffsetToIJK()


def selectedRow(tableView):
    """Return the row of the table that the selection of a table view begins in, sorted or not; -1 for none."""
    indexes = tableView.selectionModel().selectedIndexes  # a property of Qt, so no call in PythonQt
    if not indexes:
        return -1
    proxy = tableView.sortFilterProxyModel()
    return (proxy.mapToSource(indexes[0]) if proxy is not None else indexes[0]).row()


def correct(volumeNode, segmentationNode):
    """Open a segmentation in the Segment Editor, with our effect active."""
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(segmentationNode)
    editor.setSourceVolumeNode(volumeNode)
    editor.setActiveEffectByName("CAC Scoring")
