"""The module file of 3D Slicer, on slicer-core and on a stand-in for the desktop."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import pytest
import slicer
from mrml_samples import a_calcified_ct
from worker_samples import ScriptedLauncher

from CACScoringLib.ct.volume import Acquisition
from CACScoringLib.installing import InstallError
from CACScoringLib.mrml.scene import new_scene
from CACScoringLib.mrml.segmentation import segmentation_from_labels
from CACScoringLib.mrml.settings import DesktopSettings, MemoryStore
from CACScoringLib.mrml.volume import set_acquisition, volume_from_ct

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "CACScoring" / "CACScoring.py"
UI = ROOT / "Resources" / "UI" / "CACScoring.ui"
HEAVY = ("torch", "monai", "pandas", "highdicom", "matplotlib", "lifelines", "statsmodels")


def loaded(name="CACScoring"):
    spec = importlib.util.spec_from_file_location(name, MODULE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_python(code, cwd):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def test_loading_the_module_imports_nothing_heavy(tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(MODULE.parent)!r})
import CACScoring
CACScoring.CACScoringLogic()
print(sorted(name for name in sys.modules if name.split('.')[0] in {HEAVY!r}))
"""
    result = run_python(code, tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_the_module_finds_its_library_from_the_module_folder_alone_and_without_doubling_the_path(tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(MODULE.parent)!r})
import CACScoring, importlib
importlib.reload(CACScoring)
import CACScoringLib
print(CACScoringLib.__file__, sys.path.count({str(ROOT)!r}))
"""
    result = run_python(code, tmp_path)
    assert result.stdout.split() == [str(ROOT / "CACScoringLib" / "__init__.py"), "1"], result.stderr


def test_at_file_scope_only_the_standard_library_slicer_and_our_own():
    allowed = set(sys.stdlib_module_names) | {"slicer", "vtk", "numpy", "qt", "CACScoringLib", "CACScoringDesktop"}
    tree = ast.parse(MODULE.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    assert names <= allowed


def test_the_logic_scores_nodes():
    working = new_scene()
    ct, labels = a_calcified_ct()
    volume = volume_from_ct(working.scene, ct)
    segmentation = segmentation_from_labels(working.scene, labels, volume)
    logic = loaded().CACScoringLogic()
    scores = logic.computeScores(volume, segmentation)
    table = working.scene.AddNewNodeByClass("vtkMRMLTableNode", "T")
    logic.updateTable(table, scores)
    assert scores.total.agatston == pytest.approx(27)
    assert table.GetCellText(4, 0) == "Total"


def test_the_tube_voltage_comes_from_the_dicom_database_where_the_node_has_none(monkeypatch):
    working = new_scene()
    ct, _ = a_calcified_ct()
    volume = volume_from_ct(working.scene, ct)
    logic = loaded().CACScoringLogic()
    values = {"file of 1.2": "100"}
    database = SimpleNamespace(
        fileForInstance=lambda uid: f"file of {uid}",
        fileValue=lambda path, tag: values[path] if tag == "0018,0060" else "",
    )
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    assert logic.acquisition(volume).kvp == 120
    volume.SetAttribute("CACScoring.Acquisition.kvp", None)
    assert logic.acquisition(volume).kvp is None
    volume.SetAttribute("DICOM.instanceUIDs", "1.2 1.3")
    assert logic.acquisition(volume).kvp == 100
    assert logic.ct(volume, kvp=80).acquisition.kvp == 80
    values["file of 1.2"] = ""
    assert logic.acquisition(volume).kvp is None


def test_the_modules_own_tests_pass_on_slicer_core(monkeypatch):
    working = new_scene()
    monkeypatch.setattr(slicer, "mrmlScene", working.scene, raising=False)
    suite = unittest.TestLoader().loadTestsFromTestCase(loaded().CACScoringTest)
    result = suite.run(unittest.TestResult())
    assert result.testsRun == 2
    assert not result.failures
    assert not result.errors
    loaded().CACScoringTest().runTest()


class Parameters:
    """A parameter node of plain attributes, with what the wrapper of the desktop adds."""

    def __init__(self, **values):
        self.volume = self.segmentation = None
        self.model, self.live, self.connected = "", True, None
        self.kvp, self.ageYears, self.sex, self.group = 0.0, 0.0, "unknown", "unknown"
        self.__dict__.update(values)

    def connectGui(self, ui):
        self.connected = ui
        return 1

    def disconnectGui(self, tag):
        self.connected = None


class Ui:
    """The widgets of a .ui file: attributes are kept, methods do nothing."""

    def __init__(self, path=UI):
        names = [element.get("name") for element in ET.parse(path).iter("widget")]
        self.__dict__.update({name: MagicMock(name=name) for name in names})
        if path == UI:
            self.lesionTableView.mrmlTableNode.return_value = None


@pytest.fixture
def desktop(monkeypatch):
    """A module loaded as on the desktop: the scene is real, Qt is a stand-in that records."""
    working = new_scene()
    monkeypatch.setattr(slicer, "mrmlScene", working.scene, raising=False)
    bases = ModuleType("slicer.ScriptedLoadableModule")
    for name in ("ScriptedLoadableModule", "ScriptedLoadableModuleWidget", "ScriptedLoadableModuleLogic"):
        setattr(bases, name, type(name, (), {"__init__": lambda self, parent=None: None, "setup": lambda self: None}))
    bases.ScriptedLoadableModuleTest = type("ScriptedLoadableModuleTest", (), {})
    translation = ModuleType("slicer.i18n")
    translation.tr = lambda text: text
    translation.translate = lambda context, text: text
    wrapper = ModuleType("slicer.parameterNodeWrapper")
    wrapper.parameterNodeWrapper = lambda wrapped: wrapped
    wrapper.Choice = wrapper.Default = wrapper.WithinRange = lambda *values: values
    qt = MagicMock()
    qt.QTimer = MagicMock(side_effect=lambda *arguments: MagicMock())
    for name, module in (
        ("qt", qt),
        ("ctk", MagicMock()),
        ("SampleData", MagicMock()),
        ("SegmentStatistics", MagicMock()),
        ("SegmentStatisticsPlugins", MagicMock(SegmentStatisticsPluginBase=object)),
        ("slicer.i18n", translation),
        ("slicer.parameterNodeWrapper", wrapper),
        ("slicer.ScriptedLoadableModule", bases),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    for name in [name for name in sys.modules if name.split(".")[0] == "CACScoringDesktop"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("qMRMLTableView", "app", "modules"):
        monkeypatch.setattr(slicer, name, MagicMock(), raising=False)
    slicer.app.userSettings.return_value = MemoryStore()
    ui = Ui()
    monkeypatch.setattr(slicer.util, "loadUI", lambda path: MagicMock(path=Path(path)), raising=False)
    monkeypatch.setattr(
        slicer.util,
        "childWidgetVariables",
        lambda widget: ui if widget.path == UI else Ui(widget.path),
        raising=False,
    )
    yield SimpleNamespace(module=loaded("CACScoringOnDesktop"), working=working, ui=ui, qt=qt)
    for name in [name for name in sys.modules if name.split(".")[0] == "CACScoringDesktop"]:
        del sys.modules[name]


@pytest.fixture
def widget(desktop, monkeypatch):
    """The module's widget, set up with a scored volume."""
    scene = desktop.working.scene
    ct, labels = a_calcified_ct()
    volume = volume_from_ct(scene, ct)
    segmentation = segmentation_from_labels(scene, labels, volume)
    parameters = Parameters(volume=volume, segmentation=segmentation)
    monkeypatch.setattr(desktop.module.CACScoringLogic, "getParameterNode", lambda self: parameters)
    widget = desktop.module.CACScoringWidget()
    widget.layout, widget.parent = MagicMock(), MagicMock()
    widget.addObserver = widget.removeObserver = lambda *arguments: None
    widget.removeObservers = lambda: None
    widget.setup()
    widget.volume, widget.segmentation = volume, segmentation
    yield widget
    widget.session.close()


def test_the_module_names_itself_and_does_the_rest_after_startup(desktop):
    parent = SimpleNamespace()
    module = desktop.module.CACScoring(parent)
    assert parent.title == "CAC Scoring"
    assert parent.categories == ["Cardiac"]
    assert Path(module.resourcePath("UI/CACScoring.ui")) == UI
    slicer.app.connect.assert_called_once_with("startupCompleted()", desktop.module.onStartup)
    slicer.app.commandOptions.return_value.noMainWindow = False
    desktop.module.onStartup()
    loaded_files = [call.args[0] for call in slicer.modules.terminologies.logic().LoadContextFromFile.call_args_list]
    assert [Path(path).name for path in loaded_files] == ["CACScoring.term.json", "CACScoringRegions.term.json"]
    (color_file, name) = slicer.modules.colors.logic().LoadColorFile.call_args.args
    assert (Path(color_file).is_file(), name) == (True, "CACScoring")
    sample = sys.modules["SampleData"].SampleDataLogic.registerCustomSampleDataSource.call_args.kwargs
    assert sample["sampleName"] == "CACScoring synthetic gated CT"
    assert Path(sample["thumbnailFileName"]).is_file()
    assert slicer.app.settingsDialog().addPanel.call_args.args[0] == "CAC Scoring"


def test_without_a_window_no_settings_panel_is_made(desktop):
    slicer.app.commandOptions.return_value.noMainWindow = True
    desktop.module.onStartup()
    slicer.app.settingsDialog.assert_not_called()


def test_the_widget_shows_the_scores_of_what_the_scene_has_chosen(widget):
    ui = widget.ui
    assert widget.parameters.connected is ui
    assert ui.statusLabel.text == "The scores are up to date."
    assert ui.headlineLabel.text.startswith("Agatston 27.0")
    assert ui.scoreButton.enabled
    assert not ui.cancelButton.enabled
    assert ui.kvpSpinBox.enabled is False
    assert widget.parameters.kvp == 120
    ui.lesionTableView.setMRMLTableNode.assert_called_with(widget.session.outcome.lesionTableNode)


def test_every_button_is_connected_to_a_method_of_the_widget(widget):
    for name in ("score", "cancel", "rescore", "edit", "table", "chart", "accept"):
        signal, slot = getattr(widget.ui, f"{name}Button").connect.call_args.args
        assert signal == "clicked(bool)"
        assert slot.__self__ is widget


def test_score_starts_the_network_and_the_timer_listens_until_it_has_ended(widget, monkeypatch):
    monkeypatch.setattr("CACScoringLib.mrml.logic._check", lambda ct, allow: ())
    launcher = ScriptedLauncher()
    widget.session.job._launcher = launcher
    widget.session.installer = SimpleNamespace(ensure=lambda wheels: None)
    widget.onScore()
    widget.timer.start.assert_called_once_with()
    assert not widget.ui.scoreButton.enabled
    assert widget.ui.cancelButton.enabled
    launcher.processes[0].say("progress", fraction=0.42, text="Finding the heart")
    widget.onTimer()
    assert (widget.ui.progressBar.value, widget.ui.statusLabel.text) == (42, "Finding the heart")
    launcher.processes[0].succeed()
    widget.onTimer()
    widget.timer.stop.assert_called_once_with()
    assert widget.ui.scoreButton.enabled
    assert widget.parameters.segmentation is widget.segmentation
    slicer.modules.tables.logic().GetLayoutWithTable.assert_called()


def test_a_refusal_is_shown_and_starts_no_timer(widget):
    widget.session.installer = SimpleNamespace(ensure=MagicMock(side_effect=InstallError("x", "No network.")))
    widget.onScore()
    widget.timer.start.assert_not_called()
    assert widget.ui.statusLabel.text == "No network."


def test_cancel_reaches_the_session(widget):
    widget.session.cancel = MagicMock()
    widget.onCancel()
    widget.session.cancel.assert_called_once_with()


def test_the_tube_voltage_can_be_entered_where_the_scan_is_silent(widget):
    set_acquisition(widget.volume, Acquisition())
    widget.session.setNodes(None, None)
    widget.onParametersChanged()
    assert widget.ui.kvpSpinBox.enabled is True
    assert "enter it" in widget.ui.kvpNote.text


def test_what_was_entered_for_one_patient_is_not_used_for_the_next(widget, desktop):
    widget.parameters.ageYears, widget.parameters.sex, widget.parameters.group = 70.0, "M", "white"
    widget.onParametersChanged()
    assert widget.session.scores.demographics.age_years == 70
    other = volume_from_ct(desktop.working.scene, a_calcified_ct()[0])
    set_acquisition(other, Acquisition(patient_age_years=50.0, patient_sex="F"))
    widget.parameters.volume = other
    widget.onParametersChanged()
    parameters = widget.parameters
    assert (parameters.kvp, parameters.ageYears, parameters.sex, parameters.group) == (0.0, 50.0, "F", "unknown")
    assert widget.session.scores.demographics.age_years == 50
    assert widget.session.volumeNode is other


def test_a_selected_lesion_moves_the_slice_views(widget):
    index = MagicMock()
    view = widget.ui.lesionTableView
    view.selectionModel().selectedIndexes = (index,)
    view.sortFilterProxyModel().mapToSource(index).row.return_value = 1
    widget.session.jumpTo = MagicMock()
    slicer.app.layoutManager().sliceViewNames.return_value = ["Red"]
    widget.onLesionSelected()
    widget.session.jumpTo.assert_called_once_with(1, [slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()])
    view.selectionModel().selectedIndexes = ()
    widget.onLesionSelected()
    widget.session.jumpTo.assert_called_once()


def test_table_and_chart_are_shown_in_the_layout(widget):
    widget.onTable()
    selection = slicer.app.applicationLogic().GetSelectionNode()
    selection.SetActiveTableID.assert_called_with(widget.session.outcome.outcomeTableNode.GetID())
    widget.onChart()
    slicer.modules.plots.logic().ShowChartInLayout.assert_called_with(widget.session.outcome.chartNode)


def test_a_model_that_was_imported_can_be_chosen(widget):
    widget.settings.models = lambda: (("multibranch-unet", False), ("site", True))
    widget.fillModels()
    widget.ui.modelSelector.addItems.assert_called_with(["The method's own", "site"])
    widget.onModel(1)
    assert widget.parameters.model == "site"


def test_closing_the_scene_and_the_module_lets_go_of_everything(widget):
    parameters = widget.parameters
    widget.onSceneStartClose(None, None)
    assert parameters.connected is None
    assert widget.session.volumeNode is None
    parameters.volume = parameters.segmentation = None
    widget.parent.isEntered = True
    widget.onSceneEndClose(None, None)
    assert parameters.connected is widget.ui
    widget.cleanup()
    assert parameters.connected is None


def test_reload_loads_the_library_again(widget, monkeypatch):
    monkeypatch.setattr(sys, "modules", {**sys.modules, "CACScoringLib.pretended": ModuleType("pretended")})
    base = MagicMock()
    monkeypatch.setattr(widget.onReload.__globals__["ScriptedLoadableModuleWidget"], "onReload", base, raising=False)
    widget.onReload()
    base.assert_called_once_with(widget)
    assert not [name for name in sys.modules if name.split(".")[0] == "CACScoringLib"]


def test_the_settings_panel_shows_settings_and_its_buttons_do_what_they_say(desktop, tmp_path):
    from CACScoringDesktop.settings_panel import SettingsPanel

    settings = DesktopSettings(MemoryStore(device="cpu"))
    panel = SettingsPanel(MagicMock(), settings, dialogs=MagicMock())
    panel.deviceSelector.setCurrentText.assert_called_once_with("cpu")
    settings.models = lambda: (("multibranch-unet", False), ("site", True))
    panel.update()
    panel.onModelSelected(0)
    assert panel.removeButton.enabled is False
    panel.onModelSelected(1)
    assert panel.removeButton.enabled is True
    panel.actions = MagicMock()
    panel.modelList.currentRow = 1
    for slot, action in (
        (panel.onImportFolder, "importModelFolder"),
        (panel.onImportFile, "importModelFile"),
        (panel.onModelsFolder, "chooseModelsFolder"),
        (panel.onWheelsFolder, "chooseWheelsFolder"),
        (panel.onInstall, "installPackages"),
    ):
        slot()
        getattr(panel.actions, action).assert_called_once_with()
    panel.onRemove()
    panel.actions.removeModel.assert_called_once_with("site")


# The .ui file


def test_every_parameter_has_one_widget_of_the_kind_that_its_connector_wants():
    tree = ET.parse(UI)
    kinds = {}
    for element in tree.iter("widget"):
        for child in element.findall("property"):
            if child.get("name") == "SlicerParameterName":
                assert child.get("stdset") == "0"
                assert child.find("string").text not in kinds
                kinds[child.find("string").text] = element.get("class")
    fields = set(loaded().CACScoringParameterNode.__annotations__)
    assert set(kinds) == fields - {"model"}  # models come and go: filled by hand
    wanted = {"volume": "qMRMLNodeComboBox", "segmentation": "qMRMLNodeComboBox", "kvp": "QDoubleSpinBox"}
    wanted |= {"ageYears": "QDoubleSpinBox", **dict.fromkeys(("method", "preset", "sex", "group"), "QComboBox")}
    wanted |= dict.fromkeys(("separateNonCoronary", "allowContrast", "live"), "QCheckBox")
    assert kinds == wanted


def test_every_widget_that_the_code_names_is_in_the_file_and_names_are_unique():
    names = [element.get("name") for element in ET.parse(UI).iter("widget")]
    assert len(names) == len(set(names))
    source = MODULE.read_text(encoding="utf-8")
    used = set(re.findall(r"\bui\.(\w+)", source)) - {"ui"}
    assert used <= set(names), used - set(names)
    assert ET.parse(UI).getroot().find("class").text == "CACScoring"


def test_selectors_of_nodes_and_the_table_get_the_scene():
    tree = ET.parse(UI)
    receivers = {each.find("receiver").text for each in tree.iter("connection")}
    scene_users = {
        e.get("name") for e in tree.iter("widget") if e.get("class") in ("qMRMLNodeComboBox", "qMRMLTableView")
    }
    assert receivers == scene_users
    assert {each.find("sender").text for each in tree.iter("connection")} == {"CACScoring"}


def test_the_parameter_nodes_fields_are_the_choices_of_a_session():
    from dataclasses import fields

    from CACScoringLib.mrml.choices import ScoringChoices

    named = set(loaded().CACScoringParameterNode.__annotations__)
    assert named == {item.name for item in fields(ScoringChoices)} | {"volume", "segmentation"}


@pytest.mark.parametrize("path", sorted((ROOT / "CACScoring").rglob("*.py")), ids=lambda path: path.name)
def test_texts_for_translation_are_literals(path):
    """``_`` takes a literal, filled in by ``format`` afterwards: else the translators never see it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "translate"):
            for argument in node.args:
                assert isinstance(argument, ast.Constant), f"{path.name}:{node.lineno}"
