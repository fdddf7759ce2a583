"""The CACScoring module of 3D Slicer: thin, everything it does is in ``CACScoringLib.mrml``."""

import sys
import unittest
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import slicer
from slicer.util import VTKObservationMixin

_HERE = Path(__file__).resolve().parent
_ROOTS = (_HERE, _HERE.parent)  # installed: beside this file; in a checkout: one folder up

for _root in _ROOTS:
    if (_root / "CACScoringLib" / "__init__.py").is_file():
        for _folder in (str(_HERE), str(_root)):
            if _folder not in sys.path:
                sys.path.append(_folder)
        break

from CACScoringLib.methods.registry import METHODS  # noqa: E402
from CACScoringLib.mrml.choices import GROUPS, SEXES, UNKNOWN, ScoringChoices  # noqa: E402
from CACScoringLib.mrml.comparison_session import ComparisonSession  # noqa: E402
from CACScoringLib.mrml.live import LiveScores  # noqa: E402
from CACScoringLib.mrml.logic import DEFAULT_METHOD, DEFAULT_PRESET, ScoringLogic  # noqa: E402
from CACScoringLib.mrml.outcome import BARS  # noqa: E402
from CACScoringLib.mrml.session import ScoringSession  # noqa: E402
from CACScoringLib.mrml.settings import DesktopSettings  # noqa: E402
from CACScoringLib.scoring.presets import PRESETS  # noqa: E402

try:
    import qt
    from slicer.i18n import tr as _
    from slicer.i18n import translate
    from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper
    from slicer.ScriptedLoadableModule import (
        ScriptedLoadableModule,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
        ScriptedLoadableModuleWidget,
    )
except ImportError:  # slicer-core: the logic works, there is no desktop
    qt = None
    ScriptedLoadableModule = object
    ScriptedLoadableModuleTest = unittest.TestCase

    def annotation(*values):
        return values

    Choice = Default = WithinRange = annotation

    class ScriptedLoadableModuleLogic:
        """Stands in for the desktop's base class."""

    class ScriptedLoadableModuleWidget:
        """Stands in for the desktop's base class."""

    def parameterNodeWrapper(wrapped):
        return wrapped

    def _(text):
        return text

    def translate(context, text):
        return text


KVP_TAG = "0018,0060"
POLL_MS = 100
"""How often the worker process is listened to."""


def resource(name):
    """Return the path of a file in Resources, installed or in a checkout; empty if there is none."""
    return next((str(root / "Resources" / name) for root in _ROOTS if (root / "Resources" / name).is_file()), "")


class CACScoring(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    settingsPanel = None

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("CAC Scoring")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Cardiac")]
        parent.dependencies = ["Segmentations", "Tables", "Plots", "Terminologies"]
        parent.contributors = ["CACScoring contributors"]
        parent.helpText = _(
            "Scores coronary artery calcium in non-contrast CT for each vessel: Agatston, volume and mass. "
            "Research use only."
        )
        parent.acknowledgementText = ""
        if qt is not None:
            parent.icon = qt.QIcon(resource("Icons/CACScoring.png"))
            slicer.app.connect("startupCompleted()", onStartup)

    def resourcePath(self, filename):
        """Return the path of a resource: beside the module once installed, one folder up in a checkout."""
        return resource(filename)


def onStartup():
    """Load resources, offer the sample scan, the statistics plugin and the settings, once Slicer has started."""
    from CACScoringDesktop import sample_data, segment_statistics_plugin, settings_panel

    loadResources()
    settings = DesktopSettings(slicer.app.userSettings())
    settings.apply()
    sample_data.register(resource("Screenshots/overview.png") or resource("Icons/CACScoring.png"))
    segment_statistics_plugin.register(CACScoringLogic)
    if not slicer.app.commandOptions().noMainWindow:
        CACScoring.settingsPanel = settings_panel.addPanel(settings)


def loadResources():
    """Load the terminology and the colour table."""
    from CACScoringLib.mrml.scene import load_terminology

    load_terminology(slicer.modules.terminologies.logic())
    slicer.modules.colors.logic().LoadColorFile(resource("Colors/CACScoring.ctbl"), "CACScoring")


@parameterNodeWrapper
class CACScoringParameterNode:
    """What a person chose, kept in the scene; ``ScoringChoices`` says what each value means."""

    volume: slicer.vtkMRMLScalarVolumeNode
    segmentation: slicer.vtkMRMLSegmentationNode
    method: Annotated[str, Choice(list(METHODS)), Default(DEFAULT_METHOD)]
    preset: Annotated[str, Choice(list(PRESETS)), Default(DEFAULT_PRESET)]
    model: str
    kvp: Annotated[float, WithinRange(0, 200)]
    ageYears: Annotated[float, WithinRange(0, 120)]
    sex: Annotated[str, Choice(list(SEXES)), Default(UNKNOWN)]
    group: Annotated[str, Choice(list(GROUPS)), Default(UNKNOWN)]
    separateNonCoronary: bool
    allowContrast: bool
    live: Annotated[bool, Default(True)]


class CACScoringLogic(ScriptedLoadableModuleLogic, ScoringLogic):
    """Segment, score and tabulate: see ``ScoringLogic`` for the methods."""

    def __init__(self, predictor=None, scorer=None):
        ScriptedLoadableModuleLogic.__init__(self)
        ScoringLogic.__init__(self, predictor=predictor, scorer=scorer)

    def getParameterNode(self):
        """Return the typed parameter node of the scene."""
        return CACScoringParameterNode(super().getParameterNode())

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


class CACScoringWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Shows a ``ScoringSession`` and calls its methods."""

    def __init__(self, parent=None):
        self.logic = self.session = self.parameters = self.review = self.cohort = self.compare = None
        self._connection = None
        self._adopting = False
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def resourcePath(self, filename):
        """Return the path of a resource: beside the module once installed, one folder up in a checkout."""
        return resource(filename)

    def setup(self):
        """Build the widget when it is shown first."""
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/CACScoring.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = CACScoringLogic()
        self.settings = DesktopSettings(slicer.app.userSettings())
        live = LiveScores(self.logic, schedule=lambda refresh: qt.QTimer.singleShot(0, refresh))
        self.session = ScoringSession(self.logic, settings=self.settings, live=live)
        self.session.addListener(self.update)
        self.timer = qt.QTimer()
        self.timer.interval = POLL_MS
        self.timer.connect("timeout()", self.onTimer)
        self._connectButtons()
        self._addReview()
        self._addCohort()
        self._addCompare()
        for event, slot in (
            ("StartCloseEvent", self.onSceneStartClose),
            ("EndCloseEvent", self.onSceneEndClose),
            ("EndImportEvent", self.onSceneEndImport),
        ):
            self.addObserver(slicer.mrmlScene, getattr(slicer.mrmlScene, event), slot)
        self.ui.readerLineEdit.text = self.settings.reader
        self.fillModels()
        self.connectParameters()

    def _connectButtons(self):
        for name, slot in (
            ("scoreButton", self.onScore),
            ("cancelButton", self.onCancel),
            ("rescoreButton", self.onRescore),
            ("editButton", self.onEdit),
            ("tableButton", self.onTable),
            ("chartButton", self.onChart),
            ("acceptButton", self.onAccept),
        ):
            getattr(self.ui, name).connect("clicked(bool)", slot)
        self.ui.modelSelector.connect("currentIndexChanged(int)", self.onModel)
        self.ui.lesionTableView.connect("selectionChanged()", self.onLesionSelected)

    def _addReview(self):
        from CACScoringDesktop.review_panel import ReviewPanel

        self.review = ReviewPanel(
            self.logic, self.settings, self.session.reviewSettings, self.session.backgroundNetwork, self.onCaseOpened
        )
        self.ui.reviewSection.layout().addWidget(self.review.widget)

    def _addCohort(self):
        from CACScoringDesktop.cohort_panel import CohortPanel

        self.cohort = CohortPanel(self.resourcePath("UI/CACScoringCohort.ui"), lambda: self.settings.wheelsFolder)
        self.ui.cohortSection.layout().addWidget(self.cohort.widget)

    def _addCompare(self):
        from CACScoringDesktop.compare_panel import ComparePanel

        session = ComparisonSession(self.logic, settings=self.settings, installer=self.session.installer)
        self.compare = ComparePanel(self.ui, session, self.scanToCompare)

    def scanToCompare(self):
        """Return the volume and the options of a comparison, as they are chosen now."""
        choices = self.session.choices
        options = {"kvp": self.session.kvp(), "preset": choices.preset, "allowContrast": choices.allowContrast}
        return self.session.volumeNode, options

    def onCaseOpened(self, volumeNode, segmentationNode):
        """Score the case of a review that was opened, with the preset and the tube voltage of the review."""
        if self.parameters is None:
            return
        review = self.review.session if volumeNode is not None else None
        if review is not None:
            self.parameters.preset = review.workList.settings.preset
        self.parameters.volume, self.parameters.segmentation = volumeNode, segmentationNode
        kvp = review.kvp() if review is not None else None
        if kvp is not None:
            self.parameters.kvp = kvp

    def cleanup(self):
        """End what runs, when the module is closed or reloaded."""
        self.timer.stop()
        self.review.cleanup()
        self.cohort.cleanup()
        self.compare.cleanup()
        self.disconnectParameters()
        self.removeObservers()
        self.session.close()

    def enter(self):
        """Show what has changed while the module was not shown."""
        if self.parameters is None:
            self.connectParameters()
        self.fillModels()
        self.compare.refresh()

    def exit(self):
        """Keep what is chosen; the network goes on, and so does the table."""

    def onReload(self):
        """Load the library's files again too, when the module is reloaded."""
        names = ("CACScoringLib", "CACScoringDesktop")
        for name in [name for name in sys.modules if name.split(".")[0] in names]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    # The parameter node

    def connectParameters(self):
        """Have the widget show what the scene's parameter node holds, and the other way round."""
        self.disconnectParameters()
        self.parameters = self.logic.getParameterNode()
        if not self.parameters.volume:
            node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if node:
                self.parameters.volume = node
        self._connection = self.parameters.connectGui(self.ui)
        self.addObserver(self.parameters, ModifiedEvent(), self.onParametersChanged)
        self.onParametersChanged()

    def disconnectParameters(self):
        """Let the parameter node go."""
        if self.parameters is not None:
            self.parameters.disconnectGui(self._connection)
            self.removeObserver(self.parameters, ModifiedEvent(), self.onParametersChanged)
        self.parameters = self._connection = None

    def onParametersChanged(self, caller=None, event=None):
        """Hand what was chosen to the session."""
        if self.parameters is None or self._adopting:
            return
        volume = self.parameters.volume
        newVolume = volume is not self.session.volumeNode
        if newVolume:
            self._adopting = True
            try:
                for name, value in self.session.valuesFor(volume, self.parameters).items():
                    setattr(self.parameters, name, value)
            finally:
                self._adopting = False
            self.session.setNodes(None, None)
        self.session.setChoices(ScoringChoices.of(self.parameters))
        self.session.setNodes(volume, self.parameters.segmentation)
        if newVolume:
            self.showVoltage()

    def showVoltage(self):
        """Say where the tube voltage comes from; where the scan says none, it can be entered."""
        known = self.session.knownKvp()
        self.ui.kvpSpinBox.enabled = known is None and self.session.volumeNode is not None
        if known is not None:
            self.ui.kvpNote.text = _("The scan says its tube voltage.")
        else:
            self.ui.kvpNote.text = _("The scan does not say its tube voltage: enter it, 120 kVp is assumed otherwise.")
        self.ui.kvpNote.visible = self.session.volumeNode is not None

    def fillModels(self):
        """Offer the models that there are."""
        selector = self.ui.modelSelector
        blocked = selector.blockSignals(True)
        selector.clear()
        self.models = ["", *(name for name, imported in self.settings.models() if imported)]
        selector.addItems([_("The method's own"), *self.models[1:]])
        chosen = self.parameters.model if self.parameters is not None else ""
        selector.currentIndex = self.models.index(chosen) if chosen in self.models else 0
        selector.blockSignals(blocked)

    def onModel(self, index):
        """Choose the weights."""
        if self.parameters is not None and 0 <= index < len(self.models):
            self.parameters.model = self.models[index]

    def onSceneStartClose(self, caller, event):
        """Let go of nodes that are about to be deleted."""
        self.disconnectParameters()
        self.session.reset()
        self.compare.sceneClosed()

    def onSceneEndClose(self, caller, event):
        """Begin again in the empty scene."""
        self.cohort.sceneChanged()
        if self.parent.isEntered:
            self.connectParameters()

    def onSceneEndImport(self, caller, event):
        """Read the parameter node anew: a scene that is loaded changes it behind its wrapper's back."""
        self.cohort.sceneChanged()
        self.disconnectParameters()
        if self.parent.isEntered:
            self.connectParameters()

    # Buttons

    def onScore(self, checked=False):
        """Run the network, then score."""
        if self.session.start():
            self.timer.start()
            self._showSegmentation()
        self.update()

    def onTimer(self):
        """Listen to the network."""
        self.session.poll()
        if not self.session.running:
            self.timer.stop()
            self._showSegmentation()
            if self.session.document() is not None:
                self.onTable()
                self._showLargestLesion()

    def _showLargestLesion(self):
        from CACScoringDesktop.layout import sliceNodes, snapToSlices

        if self.session.jumpToLargest(sliceNodes()):
            snapToSlices()

    def onCancel(self, checked=False):
        """Stop the network."""
        self.session.cancel()

    def onRescore(self, checked=False):
        """Score what is marked now."""
        if self.session.score():
            self.onTable()

    def onEdit(self, checked=False):
        """Correct the segmentation by hand."""
        from CACScoringDesktop.layout import correct

        correct(self.session.volumeNode, self.session.segmentationNode)

    def onTable(self, checked=False):
        """Show the scores in the layout."""
        from CACScoringDesktop.layout import showTable

        if self.session.outcome is not None:
            showTable(self.session.outcome.outcomeTableNode)

    def onChart(self, checked=False):
        """Show the chart in the layout."""
        from CACScoringDesktop.layout import showChart

        if self.session.outcome is not None:
            showChart(self.session.outcome.chartNode, BARS)

    def onLesionSelected(self):
        """Move the slice views to the selected lesion."""
        from CACScoringDesktop.layout import selectedRow, sliceNodes, snapToSlices

        row = selectedRow(self.ui.lesionTableView)
        if row >= 0 and self.session.jumpTo(row, sliceNodes()):
            snapToSlices()

    def onAccept(self, checked=False):
        """Record who accepts the scores."""
        self.session.accept(self.ui.readerLineEdit.text, self.ui.commentLineEdit.text)

    # What is shown

    def update(self, session=None):
        """Show how things stand."""
        session, ui = self.session, self.ui
        running, scored = session.running, session.scores is not None
        shown = session.document() is not None
        ui.scoreButton.enabled = session.volumeNode is not None and not running
        ui.cancelButton.enabled = ui.progressBar.visible = running
        ui.progressBar.value = round(100 * session.job.fraction)
        ui.statusLabel.text = session.status()
        ui.rescoreButton.enabled = ui.editButton.enabled = session.segmentationNode is not None
        ui.tableButton.enabled = shown
        ui.chartButton.enabled = ui.acceptButton.enabled = scored
        ui.headlineLabel.text, ui.findingsBrowser.plainText = session.headline(), session.findingsText()
        if self.compare is not None:
            self.compare.update()
        if session.outcome is not None and ui.lesionTableView.mrmlTableNode() is not session.outcome.lesionTableNode:
            ui.lesionTableView.setMRMLTableNode(session.outcome.lesionTableNode)

    def _showSegmentation(self):
        if self.parameters is not None and self.parameters.segmentation is not self.session.segmentationNode:
            self.parameters.segmentation = self.session.segmentationNode


def ModifiedEvent():
    """Return VTK's event for a changed object."""
    import vtk

    return vtk.vtkCommand.ModifiedEvent


class CACScoringTest(ScriptedLoadableModuleTest):
    """Runs in Slicer's own test runner, and on slicer-core."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run every test, as the button ``Reload and Test`` does."""
        for name in unittest.TestLoader().getTestCaseNames(type(self)):
            self.setUp()
            getattr(self, name)()

    def lesion(self):
        """Return a volume and a segmentation: 3 x 2 pixels of 250 HU in one 3 mm slice of 0.5 mm pixels, as LAD."""
        import numpy as np

        from CACScoringLib.ct.volume import Acquisition, CTVolume
        from CACScoringLib.mrml.segmentation import segmentation_from_labels
        from CACScoringLib.mrml.volume import volume_from_ct

        hu = np.full((8, 16, 16), 40, np.int16)
        labels = np.zeros(hu.shape, np.uint8)
        hu[4, 5:7, 6:9], labels[4, 5:7, 6:9] = 250, 2
        volume = volume_from_ct(slicer.mrmlScene, CTVolume(hu, (3.0, 0.5, 0.5), acquisition=Acquisition(kvp=120.0)))
        return volume, segmentation_from_labels(slicer.mrmlScene, labels, volume)

    def test_scoresOfAHandMadeLesion(self):
        """6 pixels x 0.25 mm2 x weight 2 = 3."""
        volume, segmentation = self.lesion()
        scores = CACScoringLogic().computeScores(volume, segmentation)
        assert abs(scores.vessels["LAD"].agatston - 3.0) < 1e-9
        assert abs(scores.total.agatston - 3.0) < 1e-9
        table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Scores")
        CACScoringLogic().updateTable(table, scores)
        assert table.GetNumberOfRows() == 5
        assert table.GetCellText(1, 0) == "LAD"

    def test_scoresFollowAnEdit(self):
        """Without its LAD segment the scan scores 0, and the table says so at once."""
        volume, segmentation = self.lesion()
        session = ScoringSession(CACScoringLogic())
        session.setNodes(volume, segmentation)
        assert abs(session.scores.total.agatston - 3.0) < 1e-9
        segmentation.GetSegmentation().RemoveSegment("LAD")
        assert session.scores.total.agatston == 0
        assert session.upToDate
        total = session.outcome.scoreTableNode.GetTable().GetValueByName(4, "agatston").ToDouble()
        assert total == 0
        session.close()
