"""The CACScoring module of 3D Slicer: thin, everything it does is in ``CACScoringLib.mrml``."""

import sys
from dataclasses import replace
from pathlib import Path

import slicer

_HERE = Path(__file__).resolve().parent
_ROOTS = (_HERE, _HERE.parent)  # installed: beside this file; in a checkout: one folder up

for _root in _ROOTS:
    if (_root / "CACScoringLib" / "__init__.py").is_file():
        if str(_root) not in sys.path:
            sys.path.append(str(_root))
        break

from CACScoringLib.mrml.logic import DEFAULT_METHOD, DEFAULT_PRESET, ScoringLogic  # noqa: E402

try:
    import qt
    from slicer.i18n import tr as _
    from slicer.i18n import translate
    from slicer.ScriptedLoadableModule import (
        ScriptedLoadableModule,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
        ScriptedLoadableModuleWidget,
    )
except ImportError:  # slicer-core: the logic works, there is no desktop
    import unittest

    qt = None
    ScriptedLoadableModule = ScriptedLoadableModuleWidget = object
    ScriptedLoadableModuleTest = unittest.TestCase

    class ScriptedLoadableModuleLogic:
        """Stands in for the desktop's base class."""

    def _(text):
        return text

    def translate(context, text):
        return text


KVP_TAG = "0018,0060"


def resource(name):
    """Return the path of a file in Resources, installed or in a checkout; empty if there is none."""
    return next((str(root / "Resources" / name) for root in _ROOTS if (root / "Resources" / name).is_file()), "")


class CACScoring(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("CAC Scoring")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Cardiac")]
        parent.dependencies = ["Segmentations", "Tables", "Terminologies"]
        parent.contributors = ["CACScoring contributors"]
        parent.helpText = _(
            "Scores coronary artery calcium in non-contrast CT for each vessel: Agatston, volume and mass. "
            "Research use only."
        )
        parent.acknowledgementText = ""
        if qt is not None:
            parent.icon = qt.QIcon(resource("Icons/CACScoring.png"))
            slicer.app.connect("startupCompleted()", loadResources)


def loadResources():
    """Load the terminology and the colour table, once Slicer has started."""
    from CACScoringLib.mrml.scene import load_terminology

    load_terminology(slicer.modules.terminologies.logic())
    slicer.modules.colors.logic().LoadColorFile(resource("Colors/CACScoring.ctbl"), "CACScoring")


class CACScoringLogic(ScriptedLoadableModuleLogic, ScoringLogic):
    """Segment, score and tabulate: see ``ScoringLogic`` for the methods."""

    def __init__(self, predictor=None, scorer=None):
        ScriptedLoadableModuleLogic.__init__(self)
        ScoringLogic.__init__(self, predictor=predictor, scorer=scorer)

    def acquisition(self, volumeNode):
        """Return how the volume was acquired; the tube voltage from the DICOM database where the node has none."""
        known = ScoringLogic.acquisition(self, volumeNode)
        database = getattr(slicer, "dicomDatabase", None)
        instances = (volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split()
        if known.kvp is not None or database is None or not instances:
            return known
        value = database.fileValue(database.fileForInstance(instances[0]), KVP_TAG)
        try:
            return replace(known, kvp=float(value))
        except (TypeError, ValueError):
            return known


class CACScoringWidget(ScriptedLoadableModuleWidget):
    """Chooses a volume, segmentation and preset, and shows the scores."""

    def __init__(self, parent=None):
        self.logic = None
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self):
        from CACScoringLib.scoring.presets import PRESETS

        ScriptedLoadableModuleWidget.setup(self)
        self.logic = CACScoringLogic()
        form = qt.QFormLayout()
        self.layout.addLayout(form)
        self.volumeSelector = self._selector("vtkMRMLScalarVolumeNode", create=False)
        self.segmentationSelector = self._selector("vtkMRMLSegmentationNode", create=True)
        self.tableSelector = self._selector("vtkMRMLTableNode", create=True)
        self.presetSelector = qt.QComboBox()
        self.presetSelector.addItems(list(PRESETS))
        self.presetSelector.setCurrentText(DEFAULT_PRESET)
        self.segmentButton = qt.QPushButton(_("Find calcium"))
        self.scoreButton = qt.QPushButton(_("Score"))
        self.tableView = slicer.qMRMLTableView()
        self.tableView.setMRMLScene(slicer.mrmlScene)
        form.addRow(_("CT:"), self.volumeSelector)
        form.addRow(_("Segmentation:"), self.segmentationSelector)
        form.addRow(_("Table:"), self.tableSelector)
        form.addRow(_("Preset:"), self.presetSelector)
        form.addRow(self.segmentButton)
        form.addRow(self.scoreButton)
        self.layout.addWidget(self.tableView)
        self.layout.addStretch(1)
        self.segmentButton.connect("clicked(bool)", self.onSegment)
        self.scoreButton.connect("clicked(bool)", self.onScore)

    def onSegment(self, checked=False):
        """Find the calcium, then score it."""
        with slicer.util.tryWithErrorDisplay(_("The calcium could not be found."), waitCursor=True):
            segmentation = self._chosen(self.segmentationSelector)
            self.logic.segment(self.volumeSelector.currentNode(), segmentation, DEFAULT_METHOD)
            self.onScore()

    def onScore(self, checked=False):
        """Score the segmentation as it is."""
        with slicer.util.tryWithErrorDisplay(_("The calcium could not be scored."), waitCursor=True):
            volume, segmentation = self.volumeSelector.currentNode(), self.segmentationSelector.currentNode()
            scores = self.logic.computeScores(volume, segmentation, self.presetSelector.currentText)
            table = self._chosen(self.tableSelector)
            self.logic.updateTable(table, self.logic.document(volume, segmentation, scores))
            self.tableView.setMRMLTableNode(table)

    def _selector(self, nodeType, create):
        selector = slicer.qMRMLNodeComboBox()
        selector.nodeTypes = [nodeType]
        selector.addEnabled = selector.renameEnabled = create
        selector.removeEnabled = False
        selector.noneEnabled = create
        selector.setMRMLScene(slicer.mrmlScene)
        return selector

    def _chosen(self, selector):
        return selector.currentNode() or selector.addNode()


class CACScoringTest(ScriptedLoadableModuleTest):
    """Runs in Slicer's own test runner."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_scoresOfAHandMadeLesion(self):
        """A 3 x 2 pixel lesion of 250 HU in one 3 mm slice of 0.5 mm pixels: 6 x 0.25 mm2 x weight 2 = 3."""
        import numpy as np

        from CACScoringLib.ct.volume import Acquisition, CTVolume
        from CACScoringLib.mrml.segmentation import segmentation_from_labels
        from CACScoringLib.mrml.volume import volume_from_ct

        hu = np.full((8, 16, 16), 40, np.int16)
        labels = np.zeros(hu.shape, np.uint8)
        hu[4, 5:7, 6:9], labels[4, 5:7, 6:9] = 250, 2
        volume = volume_from_ct(slicer.mrmlScene, CTVolume(hu, (3.0, 0.5, 0.5), acquisition=Acquisition(kvp=120.0)))
        segmentation = segmentation_from_labels(slicer.mrmlScene, labels, volume)
        scores = CACScoringLogic().computeScores(volume, segmentation)
        assert abs(scores.vessels["LAD"].agatston - 3.0) < 1e-9
        assert abs(scores.total.agatston - 3.0) < 1e-9
        table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Scores")
        CACScoringLogic().updateTable(table, scores)
        assert table.GetNumberOfRows() == 5
        assert table.GetCellText(1, 0) == "LAD"
