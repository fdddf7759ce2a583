"""Tables, charts and slice views of Slicer's layout."""

import slicer


def showTable(tableNode):
    """Show a table in the layout, which gets a place for tables where it has none."""
    manager = slicer.app.layoutManager()
    if manager is None or tableNode is None:
        return
    manager.setLayout(slicer.modules.tables.logic().GetLayoutWithTable(manager.layout))
    slicer.app.applicationLogic().GetSelectionNode().SetActiveTableID(tableNode.GetID())
    slicer.app.applicationLogic().PropagateTableSelection()


def showChart(chartNode):
    """Show a chart in the layout."""
    if chartNode is not None:
        slicer.modules.plots.logic().ShowChartInLayout(chartNode)


def showVolume(volumeNode):
    """Show a volume in the slice views."""
    if slicer.app.layoutManager() is not None:
        slicer.util.setSliceViewerLayers(background=volumeNode, fit=True)


def sliceNodes():
    """Return the nodes of the slice views that are shown."""
    manager = slicer.app.layoutManager()
    return [] if manager is None else [manager.sliceWidget(name).mrmlSliceNode() for name in manager.sliceViewNames()]


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
