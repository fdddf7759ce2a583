"""The Segment Editor effect: real MRML nodes behind stand-ins for Qt."""

from __future__ import annotations

import ast
import re
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import mrml_editing_desktop as desktop
import numpy as np
import pytest
import slicer
import vtk
from mrml_editing_samples import LAD, LM, LONG, RCA, a_session, an_axial_view, labelled, xy_of

from CACScoringLib.mrml.scene import new_scene

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    ROOT / "CACScoring" / "SegmentEditorCACScoring.py",
    *sorted((ROOT / "CACScoring" / "SegmentEditorCACScoringLib").glob("*.py")),
]
HEAVY = ("torch", "monai", "pandas", "highdicom", "matplotlib", "lifelines", "statsmodels")
PRESS, MOVE, RELEASE = (
    vtk.vtkCommand.LeftButtonPressEvent,
    vtk.vtkCommand.MouseMoveEvent,
    vtk.vtkCommand.LeftButtonReleaseEvent,
)


@pytest.fixture
def session(working, monkeypatch):
    """An effect that is active in a Segment Editor, with a view of slice 4."""
    window = desktop.Window()
    stand_ins = desktop.stand_in(monkeypatch, None, window)
    found = a_session(working)
    module = desktop.load("SegmentEditorCACScoringLib")
    effect = module.SegmentEditorEffect(desktop.ScriptedEffect(found.editor))
    view = an_axial_view(found, 4)
    slicer.app.layoutManager.return_value = SimpleNamespace(
        sliceViewNames=lambda: ["Red"], sliceWidget=lambda name: SimpleNamespace(mrmlSliceNode=lambda: view)
    )
    effect.setupOptionsFrame()
    effect.setMRMLDefaults()
    effect.activate()
    widget = SimpleNamespace(node=view)

    def send(event, y, x, key="", **modifiers):
        interactor = SimpleNamespace(
            GetEventPosition=lambda: tuple(np.rint(xy_of(found, view, y, x)).astype(int)),
            GetKeySym=lambda: key,
            **{f"Get{name}Key": lambda name=name: name in modifiers for name in ("Shift", "Control", "Alt")},
        )
        return effect.processInteractionEvents(interactor, event, widget)

    found.__dict__.update(effect=effect, view=view, widget=widget, send=send, stand_ins=stand_ins, window=window)
    yield found
    effect.cleanup()


def parameters(session, **values):
    for name, value in values.items():
        session.effect.scriptedEffect.setParameter(name, value)
    session.effect.updateGUIFromMRML()


def test_a_click_and_a_shift_click_in_a_slice_view(session):
    assert session.send(PRESS, 5, 6)
    assert np.array_equal(session.read(), labelled(LAD=np.s_[4:5, 5:7, 4:12]))
    assert session.effect.options.message.text == "16 voxels to LAD."
    parameters(session, Whole=1)
    assert session.send(PRESS, 5, 6)
    assert session.scores().vessels["LAD"].agatston == pytest.approx(24)
    assert session.send(PRESS, 5, 6, Shift=True)
    assert not session.read().any()
    for expected in (24, 8, 0):
        session.editor.undo()
        assert session.scores().total.agatston == pytest.approx(expected)


def test_a_lasso_is_drawn_in_the_view_and_applied_on_release(session):
    parameters(session, Tool="lasso")
    assert session.send(PRESS, 4.5, 3.5)
    for y, x in ((4.5, 7.5), (6.5, 7.5), (6.5, 3.5)):
        assert session.send(MOVE, y, x)
    ((widget, actor),) = session.effect.scriptedEffect.actors
    assert widget is session.widget
    assert actor.GetMapper().GetInput().GetNumberOfPoints() == 5  # closed
    assert session.send(RELEASE, 6.5, 3.5)
    assert not session.effect.scriptedEffect.actors
    assert np.array_equal(session.read(), labelled(LAD=np.s_[4:5, 5:7, 4:8]))
    session.editor.undo()
    assert not session.read().any()


def test_a_line_splits_between_the_vessels_of_the_options(session):
    session.send(PRESS, 5, 6)
    parameters(session, Tool="split-line", Second=str(RCA))
    session.send(PRESS, 9, 6.5)
    session.send(MOVE, 2, 6.5)
    session.send(RELEASE, 2, 6.5)
    assert (session.read()[4, 5:7, 4:7] == LAD).all()
    assert (session.read()[4, 5:7, 7:12] == RCA).all()


def test_other_buttons_keys_and_views_are_left_to_slicer(session):
    assert not session.send(MOVE, 5, 6)
    assert not session.send(RELEASE, 5, 6)
    assert not session.send(PRESS, 5, 6, Control=True)
    assert not session.send(vtk.vtkCommand.KeyPressEvent, 5, 6, key="a")
    session.widget.node = session.working.scene.AddNewNodeByClass("vtkMRMLViewNode")
    assert not session.send(PRESS, 5, 6)
    assert not session.read().any()


def test_a_hidden_segment_is_confirmed_before_anything_is_written(session):
    effect = session.effect.scriptedEffect
    for answer in (effect.NotConfirmed, effect.ConfirmedWithDialog):
        effect.confirmation = answer
        assert session.send(PRESS, 5, 6)
        assert not session.read().any()


def test_keys_choose_vessels_while_the_effect_is_active_and_then_effects_again(session):
    keys = {shortcut.key.toString(): shortcut for shortcut in session.window.shortcuts[10:]}
    assert sorted(keys) == ["1", "2", "3", "4", "5", "n", "p"]
    editors = session.window.shortcuts[:10]
    assert [shortcut.enabled for shortcut in editors] == [False] * 5 + [True] * 5
    keys["1"].emit("activated()")
    assert session.effect.options.vessel.currentIndex == 0
    parameters(session, Whole=1)
    session.send(PRESS, 5, 6)
    assert (session.read() == LM).sum() == 48
    keys["n"].emit("activated()")
    assert session.effect.options.message.text == "1 of 1: LM, 36.0 mm3, max 250 HU"
    session.effect.deactivate()
    assert session.window.shortcuts == editors
    assert all(shortcut.enabled for shortcut in editors)


def test_the_vessel_chosen_in_the_options_is_the_selected_segment_and_the_other_way_round(session):
    options = session.effect.options
    options.vessel.setCurrentIndex(3)
    assert session.node.GetSelectedSegmentID() == "RCA"
    session.node.SetSelectedSegmentID("LM")
    session.effect.updateGUIFromMRML()
    assert options.vessel.currentIndex == 0


def test_options_are_kept_in_the_segment_editors_node(session):
    options, effect = session.effect.options, session.effect.scriptedEffect
    options.tool.setCurrentIndex(2)
    options.whole.checked = options.through.checked = True
    options.slab.value = 12.0
    options.whole.emit("toggled(bool)", True)
    assert (effect.parameter("Tool"), effect.integerParameter("Whole"), effect.doubleParameter("SlabMm")) == (
        "sphere",
        1,
        12.0,
    )
    gestures = session.effect.gestures
    assert (gestures.tool.value, gestures.whole, gestures.slabMm) == ("sphere", True, None)
    parameters(session, Through=0)
    assert gestures.slabMm == 12.0
    assert not options.through.checked


def test_the_buttons_step_through_lesions_and_move_the_views(session):
    options = session.effect.options
    options.next.emit("clicked(bool)", False)
    assert options.message.text == "There is nothing to step through."  # no lesion is marked yet
    parameters(session, Stops="candidates")
    options.next.emit("clicked(bool)", False)
    options.next.emit("clicked(bool)", False)
    assert options.message.text == "2 of 2: no vessel, 4.5 mm3, max 350 HU"
    assert session.view.GetSliceToRAS().GetElement(2, 3) == pytest.approx(session.at(2, 15, 15)[2])
    options.previous.emit("clicked(bool)", False)
    assert options.message.text.startswith("1 of 2")


def test_candidates_are_shown_while_the_effect_is_active(session):
    node = session.effect.editing.overlayNode
    assert slicer.util.arrayFromVolume(node).sum() == 54
    session.send(PRESS, 5, 6)
    assert slicer.util.arrayFromVolume(node).sum() == 38
    session.editor.undo()
    later = desktop.Timer.later
    assert len(later) == 1  # when Slicer is back in its event loop
    later.pop()()
    assert slicer.util.arrayFromVolume(node).sum() == 54
    parameters(session, Show=0)
    session.effect.showCandidates()
    assert session.effect.editing.overlayNode is None
    parameters(session, Show=1)
    session.effect.showCandidates()
    session.effect.deactivate()
    assert session.effect.editing.overlayNode is None


def test_another_volume_is_taken_up_and_none_is_no_error(session):
    other = a_session(session.working, labels=labelled(LAD=LONG))
    session.node.SetAndObserveSegmentationNode(other.segmentation)
    session.node.SetAndObserveSourceVolumeNode(other.volume)
    session.effect.sourceVolumeNodeChanged()
    assert slicer.util.arrayFromVolume(session.effect.editing.overlayNode).sum() == 6
    session.node.SetAndObserveSourceVolumeNode(None)
    session.effect.sourceVolumeNodeChanged()
    assert session.effect.editing.overlayNode is None
    assert session.send(PRESS, 5, 6)
    assert session.effect.options.message.text == "There is no source volume: choose a CT."


def test_everything_is_disconnected_on_cleanup(session):
    session.effect.cleanup()
    options = session.effect.options
    assert not any(widget.connected for widget in vars(options).values())
    assert session.window.shortcuts == session.window.shortcuts[:10]


def test_the_network_runs_in_a_job_that_fills_through_the_editor(session, monkeypatch):
    import CACScoringLib.installing
    import CACScoringLib.mrml.job

    asked, started = [], []

    class Job:
        def __init__(self, logic):
            self.logic, self.running, self.fraction, self.text = logic, False, 0.0, ""
            self.finding, self.state = None, SimpleNamespace(value="done")

        def start(self, volume, segmentation, method, **options):
            started.append((volume, segmentation, method, options["model"], options["nonCoronary"].value))
            self.running, self.fraction, self.text = True, 0.25, "Heart"

        def poll(self):
            self.running = False

        def cancel(self):
            self.running, self.state = False, SimpleNamespace(value="cancelled")

        def cleanup(self):
            pass

    monkeypatch.setattr(CACScoringLib.mrml.job, "ScoringJob", Job)
    monkeypatch.setattr(
        CACScoringLib.installing, "Installer", lambda: SimpleNamespace(ensure=lambda wheels: asked.append(wheels))
    )
    slicer.app.userSettings.return_value.value.side_effect = {"CACScoring/wheelsFolder": "wheels"}.get
    chosen = SimpleNamespace(method="multibranch-unet", model="mine", separateNonCoronary=True)
    module = SimpleNamespace(CACScoringLogic=lambda: SimpleNamespace(getParameterNode=lambda: chosen))
    monkeypatch.setitem(sys.modules, "CACScoring", module)
    monkeypatch.setattr(slicer.util, "tryWithErrorDisplay", lambda *args, **options: _Nothing(), raising=False)
    options = session.effect.options
    options.network.emit("clicked(bool)", False)
    assert asked == [Path("wheels")]
    assert started == [(session.volume, session.segmentation, "multibranch-unet", "mine", "separate")]
    assert (options.network.enabled, options.cancel.enabled, options.progress.value) == (False, True, 25)
    assert options.message.text == "Heart"
    session.effect.network.poll()
    assert (options.network.enabled, options.message.text) == (True, "Done.")
    options.network.emit("clicked(bool)", False)
    options.cancel.emit("clicked(bool)", False)
    assert options.message.text == "Cancelled."
    assert session.effect.network._job.logic._editing is session.effect.editing


class _Nothing:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False


def test_the_module_registers_the_effect_after_startup(working, monkeypatch):
    stand_ins = desktop.stand_in(monkeypatch, working.scene)
    module = desktop.load("SegmentEditorCACScoring")
    parent = SimpleNamespace()
    module.SegmentEditorCACScoring(parent)
    assert parent.hidden
    slicer.app.connect.assert_called_once_with("startupCompleted()", module.registerEffect)
    module.registerEffect()
    created = stand_ins.factory.qSlicerSegmentEditorScriptedEffect
    created.assert_called_once_with(None)
    (source,) = created.return_value.setPythonSource.call_args.args
    assert source.endswith("CACScoring/SegmentEditorCACScoringLib/SegmentEditorEffect.py")
    assert Path(source).is_file()
    created.return_value.self.return_value.register.assert_called_once_with()
    # Slicer takes the class of the file's name from the package of the folder's name
    assert isinstance(sys.modules["SegmentEditorCACScoringLib"].SegmentEditorEffect, type)


def test_the_effect_names_itself_and_clones(session):
    effect = session.effect.scriptedEffect
    assert (effect.name, effect.title, effect.perSegment, effect.requireSegments) == (
        "CAC Scoring",
        "CAC Scoring",
        False,
        False,
    )
    clone = session.effect.clone()
    assert clone is session.stand_ins.factory.qSlicerSegmentEditorScriptedEffect.return_value
    session.effect.icon()
    (path,) = session.stand_ins.qt.QIcon.call_args.args
    assert Path(path).name == "SegmentEditorCACScoring.png"
    assert "Research use only" in session.effect.helpText()


def test_the_modules_own_test_passes_on_slicer_core(monkeypatch):
    monkeypatch.setattr(slicer, "mrmlScene", new_scene().scene, raising=False)
    monkeypatch.syspath_prepend(str(ROOT / "CACScoring"))
    monkeypatch.delitem(sys.modules, "SegmentEditorCACScoring", raising=False)
    module = desktop.load("SegmentEditorCACScoring")
    monkeypatch.setattr(module.SegmentEditorCACScoringTest, "setUp", lambda self: None)
    found = module.SegmentEditorCACScoringTest("test_aClickGivesALesionAndUndoTakesItBack").run()
    assert (found.testsRun, found.failures, found.errors) == (1, [], [])
    monkeypatch.delitem(sys.modules, "SegmentEditorCACScoring")


def test_the_icon_is_a_png_with_its_drawing_beside_it():
    icons = ROOT / "Resources" / "Icons"
    data = (icons / "SegmentEditorCACScoring.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert width == height >= 21
    assert ET.parse(icons / "SegmentEditorCACScoring.svg").getroot().get("viewBox") == f"0 0 {width} {height}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_at_file_scope_only_what_a_bare_slicer_has(path):
    allowed = set(sys.stdlib_module_names) | {
        "slicer",
        "vtk",
        "numpy",
        "qt",
        "CACScoringLib",
        "CACScoring",
        "SegmentEditorCACScoringLib",
        "SegmentEditorEffects",
        "qSlicerSegmentationsEditorEffectsPythonQt",
    }
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "Slicer loads the file under another name: absolute imports only"
            names.add(node.module.split(".")[0])
    assert names <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_texts_for_a_person_are_literals_that_can_be_translated(path):
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "_":
            assert isinstance(call.args[0], ast.Constant), f"line {call.lineno}"


def test_loading_the_effect_and_its_logic_imports_nothing_heavy(tmp_path):
    code = f"""
import sys
from types import ModuleType
from unittest.mock import MagicMock
sys.path[:0] = [{str(ROOT / "CACScoring")!r}]
sys.modules["qt"] = MagicMock()
translation = ModuleType("slicer.i18n"); translation.tr = str; translation.translate = str
sys.modules["slicer.i18n"] = translation
effects = ModuleType("SegmentEditorEffects"); effects.AbstractScriptedSegmentEditorEffect = object
sys.modules["SegmentEditorEffects"] = effects
import SegmentEditorCACScoringLib
print(SegmentEditorCACScoringLib.SegmentEditorEffect.__name__)
print(sorted(name for name in sys.modules if name.split(".")[0] in {HEAVY!r}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["SegmentEditorEffect", "[]"]


def test_the_build_tests_the_effects_module():
    text = (ROOT / "CACScoring" / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(r"slicer_add_python_unittest\(SCRIPT SegmentEditor\$\{MODULE_NAME\}\.py\)", text)
