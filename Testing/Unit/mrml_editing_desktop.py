"""Stand-ins for Qt and the Segment Editor of the desktop: widgets that keep values, an effect on real MRML nodes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar
from unittest.mock import MagicMock

import slicer

FOLDER = Path(__file__).resolve().parents[2] / "CACScoring"
PACKAGE = "SegmentEditorCACScoringLib"
MODULE = "SegmentEditorCACScoring"


class Widget:
    """Keeps what it is given; tells those connected when something changes."""

    def __init__(self, *text):
        self.text, self.enabled, self.visible, self.value, self.checked = "".join(map(str, text)), True, True, 0, False
        self.connected = []
        self.blocked = False

    def connect(self, signal, slot):
        self.connected.append((signal, slot))

    def disconnect(self, signal, slot=None):
        self.connected = [pair for pair in self.connected if pair != (signal, slot) and slot is not None]

    def blockSignals(self, blocked):
        before, self.blocked = self.blocked, blocked
        return before

    def emit(self, signal, *values):
        if not self.blocked:
            for name, slot in list(self.connected):
                if name == signal:
                    slot(*values)


class Combo(Widget):
    """A combo box with values behind its entries."""

    def __init__(self):
        super().__init__()
        self.entries, self.currentIndex = [], 0

    def addItem(self, text, value):
        self.entries.append((text, value))

    def itemData(self, index):
        return self.entries[index][1]

    def findData(self, value):
        return [data for _, data in self.entries].index(value)

    def setCurrentIndex(self, index):
        if index != self.currentIndex:
            self.currentIndex = index
            self.emit("currentIndexChanged(int)", index)


class Timer(Widget):
    """Collects what is to be called later."""

    later: ClassVar[list] = []

    def start(self):
        self.running = True

    def stop(self):
        self.running = False

    @classmethod
    def singleShot(cls, delay, function):
        cls.later.append(function)


class Shortcut(Widget):
    """A key of a window."""

    def __init__(self, key, window=None):
        super().__init__()
        self.key = SimpleNamespace(toString=lambda: key)
        self.window = window
        if window is not None:
            window.shortcuts.append(self)

    def className(self):
        return "QShortcut"

    def setParent(self, parent):
        self.window.shortcuts.remove(self)

    def deleteLater(self):
        pass


class Window:
    """A main window with the Segment Editor's own keys."""

    def __init__(self):
        self.shortcuts = []
        for key in "1234567890":
            Shortcut(key, self)

    def children(self):
        return [*self.shortcuts, SimpleNamespace(className=lambda: "QWidget")]


class ScriptedEffect:
    """The effect's other half, which is C++ on the desktop, on a real Segment Editor node and logic."""

    NotConfirmed, ConfirmedWithoutDialog, ConfirmedWithDialog = range(3)

    def __init__(self, editor):
        self.editor = editor
        self.actors = []
        self.confirmation = self.ConfirmedWithoutDialog
        self.isActive = True

    def parameterSetNode(self):
        return self.editor.parameterNode()

    def saveStateForUndo(self):
        self.editor.saveStateForUndo()

    def setParameterDefault(self, name, value):
        if self.parameter(name) == "":
            self.setParameter(name, value)

    def setParameter(self, name, value):
        self.parameterSetNode().SetAttribute(f"CAC Scoring.{name}", str(value))

    def parameter(self, name):
        return self.parameterSetNode().GetAttribute(f"CAC Scoring.{name}") or ""

    def integerParameter(self, name):
        return int(self.parameter(name))

    def doubleParameter(self, name):
        return float(self.parameter(name))

    def addOptionsWidget(self, widget):
        pass

    def addLabeledOptionsWidget(self, label, widget):
        pass

    def addActor2D(self, widget, actor):
        self.actors.append((widget, actor))

    def removeActor2D(self, widget, actor):
        self.actors.remove((widget, actor))

    def scheduleRender(self, widget):
        pass

    def viewNode(self, widget):
        return widget.node

    def confirmCurrentSegmentVisible(self):
        return self.confirmation

    def active(self):
        return self.isActive


def stand_in(monkeypatch, scene, window=None):
    """Put the stand-ins where the effect imports from; what was loaded before is loaded anew."""
    qt = MagicMock()
    for name in ("QCheckBox", "QDoubleSpinBox", "QPushButton", "QProgressBar", "QLabel"):
        setattr(qt, name, Widget)
    qt.QComboBox, qt.QTimer, qt.QShortcut = Combo, Timer, Shortcut
    qt.QKeySequence = str
    monkeypatch.setattr(Timer, "later", [])
    translation = ModuleType("slicer.i18n")
    translation.tr = lambda text: text
    translation.translate = lambda context, text: text
    bases = ModuleType("slicer.ScriptedLoadableModule")
    bases.ScriptedLoadableModule = type("ScriptedLoadableModule", (), {"__init__": lambda self, parent: None})
    for name in ("ScriptedLoadableModuleTest", "ScriptedLoadableModuleWidget", "ScriptedLoadableModuleLogic"):
        setattr(bases, name, type(name, (), {}))
    effects = ModuleType("SegmentEditorEffects")
    effects.AbstractScriptedSegmentEditorEffect = type(
        "AbstractScriptedSegmentEditorEffect",
        (),
        {"__init__": lambda self, scriptedEffect: setattr(self, "scriptedEffect", scriptedEffect)},
    )
    factory = ModuleType("qSlicerSegmentationsEditorEffectsPythonQt")
    factory.qSlicerSegmentEditorScriptedEffect = MagicMock()
    for module in (translation, bases, effects, factory):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "qt", qt)
    monkeypatch.setitem(sys.modules, "CACScoring", None)  # the module itself is not loaded: the library's logic serves
    for name in [name for name in sys.modules if name.split(".")[0] in (PACKAGE, MODULE)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(slicer, "mrmlScene", scene, raising=False)
    monkeypatch.setattr(slicer, "app", MagicMock(), raising=False)
    monkeypatch.setattr(slicer.util, "mainWindow", lambda: window, raising=False)
    return SimpleNamespace(qt=qt, factory=factory, window=window)


def load(name):
    """Import a module of the effect anew."""
    return importlib.import_module(name)
