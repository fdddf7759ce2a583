"""The Segment Editor effect "CAC Scoring": passes on what happens; ``CACScoringLib.mrml.editing`` does it."""

import sys
from pathlib import Path

import qt
import slicer
import vtk
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

_HERE = Path(__file__).resolve().parent
for _root in (_HERE.parent, _HERE.parent.parent):  # installed: beside this folder; in a checkout: one folder up
    if (_root / "CACScoringLib" / "__init__.py").is_file():
        if str(_root) not in sys.path:
            sys.path.append(str(_root))
        break

from CACScoringLib.findings import InputRefusedError  # noqa: E402
from CACScoringLib.mrml.editing.gestures import CANCEL_KEY, NEXT_KEY, PREVIOUS_KEY, Gestures, Tool  # noqa: E402
from CACScoringLib.mrml.editing.lesions import LesionStop, Stops  # noqa: E402
from CACScoringLib.mrml.editing.logic import EditingLogic  # noqa: E402
from CACScoringLib.mrml.editing.result import nothing  # noqa: E402
from CACScoringLib.mrml.editing.session import KEYS  # noqa: E402
from CACScoringLib.resources import resources_dir  # noqa: E402
from CACScoringLib.vocabulary import Vessel  # noqa: E402
from SegmentEditorCACScoringLib.drawing import Outline  # noqa: E402
from SegmentEditorCACScoringLib.network import NetworkRun  # noqa: E402
from SegmentEditorCACScoringLib.options import Options, check, choose, chosen  # noqa: E402
from SegmentEditorCACScoringLib.shortcuts import Shortcuts  # noqa: E402

SHORTCUT_KEYS = (*KEYS, NEXT_KEY, PREVIOUS_KEY)
"""Escape is not among them: in the Segment Editor it leaves the effect."""


class DesktopSegmentEditor:
    """The Segment Editor in which the effect is, as the actions see it."""

    def __init__(self, scriptedEffect):
        self._effect = scriptedEffect

    def parameterNode(self):
        return self._effect.parameterSetNode()

    def saveStateForUndo(self):
        self._effect.saveStateForUndo()


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """Gives candidates of calcium to vessels."""

    def __init__(self, scriptedEffect):
        scriptedEffect.name = "CAC Scoring"
        scriptedEffect.title = _("CAC Scoring")
        scriptedEffect.perSegment = False
        scriptedEffect.requireSegments = False
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        self.editing = EditingLogic(DesktopSegmentEditor(scriptedEffect), _scoringLogic())
        self.editing.display.schedule = _soon
        self.gestures = Gestures(self.editing)
        self.outline = Outline(scriptedEffect)
        self.shortcuts = Shortcuts(self.onKey)
        self.options = None
        self.network = None

    def clone(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        clonedEffect = effects.qSlicerSegmentEditorScriptedEffect(None)
        clonedEffect.setPythonSource(Path(__file__).resolve().as_posix())
        return clonedEffect

    def icon(self):
        path = resources_dir() / "Icons" / "SegmentEditorCACScoring.png"
        return qt.QIcon(str(path)) if path.is_file() else qt.QIcon()

    def helpText(self):
        return "<html>" + _(
            "Give coronary calcium to vessels.<br>Candidates are islands at or above the threshold of the original "
            "volume.<p><ul style='margin: 0'>"
            "<li><b>Click</b> a candidate to give it to the vessel, <b>Shift-click</b> to take it away."
            "<li><b>Lasso</b> or <b>Sphere</b>: drag around calcium; with Shift it is taken away."
            "<li><b>Split</b> a lesion by a line across it, or by a click at each end."
            "<li>Keys <b>1</b> LM, <b>2</b> LAD, <b>3</b> LCX, <b>4</b> RCA, <b>5</b> non-coronary; <b>N</b> next, "
            "<b>P</b> previous lesion."
            "</ul><p>Research use only."
        )

    # --- options

    def setupOptionsFrame(self):
        self.options = Options(self.scriptedEffect)
        self.network = NetworkRun(self.editing, self.options)
        for signal, widget, slot in self._connections():
            widget.connect(signal, slot)

    def _connections(self):
        options = self.options
        changed = [
            ("currentIndexChanged(int)", widget, self.onOption)
            for widget in (options.tool, options.second, options.stops)
        ]
        changed += [
            ("toggled(bool)", widget, self.onOption) for widget in (options.whole, options.through, options.show)
        ]
        return (
            *changed,
            ("currentIndexChanged(int)", options.vessel, self.onVessel),
            ("valueChanged(double)", options.slab, self.onOption),
            ("clicked(bool)", options.previous, self.onPrevious),
            ("clicked(bool)", options.next, self.onNext),
            ("clicked(bool)", options.network, self.onNetwork),
            ("clicked(bool)", options.cancel, self.onCancel),
        )

    def setMRMLDefaults(self):
        effect = self.scriptedEffect
        effect.setParameterDefault("Tool", Tool.CLICK.value)
        effect.setParameterDefault("Whole", 0)
        effect.setParameterDefault("SlabMm", 0.0)
        effect.setParameterDefault("Through", 0)
        effect.setParameterDefault("Second", str(int(Vessel.LAD)))
        effect.setParameterDefault("Stops", Stops.GIVEN.value)
        effect.setParameterDefault("Show", 1)

    def updateGUIFromMRML(self):
        effect, options, gestures = self.scriptedEffect, self.options, self.gestures
        tool = effect.parameter("Tool")
        if tool and gestures.tool is not Tool(tool):
            gestures.setTool(tool)
        gestures.whole = bool(effect.integerParameter("Whole"))
        through = bool(effect.integerParameter("Through"))
        gestures.slabMm = None if through else effect.doubleParameter("SlabMm")
        gestures.secondLabel = int(effect.parameter("Second") or Vessel.LAD)
        gestures.stops = Stops(effect.parameter("Stops") or Stops.GIVEN)
        if options is None:
            return
        choose(options.vessel, str(self.editing.activeLabel))
        choose(options.tool, gestures.tool.value)
        choose(options.second, str(gestures.secondLabel))
        choose(options.stops, gestures.stops.value)
        check(options.whole, gestures.whole)
        check(options.through, through)
        check(options.show, bool(effect.integerParameter("Show")))
        blocked = options.slab.blockSignals(True)
        options.slab.value = effect.doubleParameter("SlabMm")
        options.slab.blockSignals(blocked)
        options.slab.enabled = not through

    def updateMRMLFromGUI(self):
        effect, options = self.scriptedEffect, self.options
        effect.setParameter("Tool", chosen(options.tool))
        effect.setParameter("Whole", int(options.whole.checked))
        effect.setParameter("SlabMm", float(options.slab.value))
        effect.setParameter("Through", int(options.through.checked))
        effect.setParameter("Second", chosen(options.second))
        effect.setParameter("Stops", chosen(options.stops))
        effect.setParameter("Show", int(options.show.checked))

    # --- coming and going

    def activate(self):
        self.shortcuts.install(SHORTCUT_KEYS)
        if self.editing.volumeNode is not None and self.editing.segmentationNode is not None:
            self._try(self.editing.prepare)
        self.updateGUIFromMRML()
        self.showCandidates()

    def deactivate(self):
        self.shortcuts.remove(SHORTCUT_KEYS)
        self.gestures.cancel()
        self.outline.clear()
        self.editing.showCandidates(False)

    def cleanup(self):
        self.deactivate()
        if self.options is not None:
            for signal, widget, slot in self._connections():
                widget.disconnect(signal, slot)
        if self.network is not None:
            self.network.cleanup()

    def sourceVolumeNodeChanged(self):
        self._nodesChanged()

    def referenceGeometryChanged(self):
        self._nodesChanged()

    def _nodesChanged(self):
        self.gestures.cancel()
        self.outline.clear()
        if self.scriptedEffect.active():
            self.editing.showCandidates(False)
            self.showCandidates()

    def showCandidates(self):
        """Show or hide candidates as the option says; without a volume there are none."""
        shown = bool(self.scriptedEffect.integerParameter("Show"))
        ready = self.editing.volumeNode is not None and self.editing.segmentationNode is not None
        self._try(lambda: self.editing.showCandidates(shown and ready))

    # --- what the person does

    def createCursor(self, widget):
        return qt.QCursor(qt.Qt.CrossCursor)

    def processInteractionEvents(self, callerInteractor, eventId, viewWidget):
        viewNode = self.scriptedEffect.viewNode(viewWidget)
        if viewNode is None or not viewNode.IsA("vtkMRMLSliceNode"):
            return False
        xy = callerInteractor.GetEventPosition()
        if eventId == vtk.vtkCommand.LeftButtonPressEvent:
            if callerInteractor.GetControlKey() or callerInteractor.GetAltKey():
                return False
            return self._press(viewNode, viewWidget, xy, bool(callerInteractor.GetShiftKey()))
        if eventId == vtk.vtkCommand.MouseMoveEvent and self.gestures.dragging:
            if self.gestures.move(viewNode, xy):
                self.outline.draw(viewWidget, self.gestures.outline()[1])
            return True
        if eventId == vtk.vtkCommand.LeftButtonReleaseEvent and self.gestures.dragging:
            self.outline.clear()
            self._do(lambda: self.gestures.release(viewNode, xy))
            return True
        if eventId == vtk.vtkCommand.KeyPressEvent and callerInteractor.GetKeySym() == CANCEL_KEY:
            return self.onKey(CANCEL_KEY)
        return False

    def _press(self, viewNode, viewWidget, xy, shift):
        if self.scriptedEffect.confirmCurrentSegmentVisible() != self.scriptedEffect.ConfirmedWithoutDialog:
            return True  # the dialog took the release of the button: click again
        self._do(lambda: self.gestures.press(viewNode, xy, shift))
        return True

    def onKey(self, key):
        """Do what a key stands for; return whether it stands for anything."""
        if key in (NEXT_KEY, PREVIOUS_KEY):
            self._step(1 if key == NEXT_KEY else -1)
            return True
        done = self._do(lambda: self.gestures.key(key))
        self.outline.clear()
        if key in KEYS:
            self.updateGUIFromMRML()
        return done is not None

    def onOption(self, *_value):
        self.updateMRMLFromGUI()
        self.updateGUIFromMRML()
        self.showCandidates()

    def onVessel(self, *_value):
        label = int(chosen(self.options.vessel))

        def select():
            self.editing.activeLabel = label

        self._try(select)

    def onNext(self, checked=False):
        self._step(1)

    def onPrevious(self, checked=False):
        self._step(-1)

    def _step(self, step):
        self._do(lambda: self.gestures.step(step, _sliceNodes()) or nothing(_("There is nothing to step through.")))

    def onNetwork(self, checked=False):
        self.network.start()

    def onCancel(self, checked=False):
        self.network.cancel()

    def _do(self, action):
        """Do something and say in words what came of it."""
        done = self._try(action)
        if self.options is not None and done is not None:
            self.options.message.text = (
                _stopText(done) if isinstance(done, LesionStop) else getattr(done, "message", "")
            )
        return done

    def _try(self, action):
        """Do something; where it is refused, say why."""
        try:
            return action()
        except (InputRefusedError, ValueError) as error:
            if self.options is not None:
                self.options.message.text = str(error)
            return None


def _stopText(stop):
    vessel = stop.vessel or _("no vessel")
    return _("{number} of {count}: {vessel}, {volume:.1f} mm3, max {hu} HU").format(
        number=stop.number, count=stop.count, vessel=vessel, volume=stop.volume_mm3, hu=stop.max_hu
    )


def _sliceNodes():
    """Return the slice views of the layout."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return []
    return [manager.sliceWidget(name).mrmlSliceNode() for name in manager.sliceViewNames()]


def _soon(function):
    """Call a function when Slicer is back in its event loop."""
    qt.QTimer.singleShot(0, function)


def _scoringLogic():
    """Return the module's logic, which also asks the DICOM database; the library's where the module is not there."""
    try:
        from CACScoring import CACScoringLogic
    except ImportError:
        from CACScoringLib.mrml.logic import ScoringLogic

        return ScoringLogic()
    return CACScoringLogic()
