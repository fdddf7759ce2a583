"""The module file of 3D Slicer, on slicer-core and on a stand-in for the desktop."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import pytest
import slicer
from mrml_samples import a_calcified_ct

from CACScoringLib.mrml.scene import new_scene
from CACScoringLib.mrml.segmentation import segmentation_from_labels
from CACScoringLib.mrml.volume import volume_from_ct

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "CACScoring" / "CACScoring.py"
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
    allowed = set(sys.stdlib_module_names) | {"slicer", "vtk", "numpy", "qt", "CACScoringLib"}
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


def test_the_modules_own_test_passes_on_slicer_core(monkeypatch):
    working = new_scene()
    monkeypatch.setattr(slicer, "mrmlScene", working.scene, raising=False)
    test = loaded().CACScoringTest("test_scoresOfAHandMadeLesion")
    result = test.run()
    assert result.testsRun == 1
    assert not result.failures
    assert not result.errors


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
    monkeypatch.setitem(sys.modules, "qt", MagicMock())
    monkeypatch.setitem(sys.modules, "slicer.i18n", translation)
    monkeypatch.setitem(sys.modules, "slicer.ScriptedLoadableModule", bases)
    for name in ("qMRMLNodeComboBox", "qMRMLTableView", "app", "modules"):
        monkeypatch.setattr(slicer, name, MagicMock(), raising=False)
    monkeypatch.setattr(slicer.util, "tryWithErrorDisplay", MagicMock())
    slicer.util.tryWithErrorDisplay.return_value.__exit__.return_value = False
    return SimpleNamespace(module=loaded("CACScoringOnDesktop"), working=working)


def test_the_module_names_itself_and_loads_its_resources_after_startup(desktop):
    parent = SimpleNamespace()
    desktop.module.CACScoring(parent)
    assert parent.title == "CAC Scoring"
    assert parent.categories == ["Cardiac"]
    slicer.app.connect.assert_called_once_with("startupCompleted()", desktop.module.loadResources)
    desktop.module.loadResources()
    loaded_files = [call.args[0] for call in slicer.modules.terminologies.logic().LoadContextFromFile.call_args_list]
    assert [Path(path).name for path in loaded_files] == ["CACScoring.term.json", "CACScoringRegions.term.json"]
    assert all(Path(path).is_file() for path in loaded_files)
    (color_file, name) = slicer.modules.colors.logic().LoadColorFile.call_args.args
    assert (Path(color_file).is_file(), name) == (True, "CACScoring")


def test_the_score_button_fills_the_table_that_is_shown(desktop):
    scene = desktop.working.scene
    ct, labels = a_calcified_ct()
    volume = volume_from_ct(scene, ct)
    segmentation = segmentation_from_labels(scene, labels, volume)
    widget = desktop.module.CACScoringWidget()
    widget.layout = MagicMock()
    widget.setup()
    widget.volumeSelector = MagicMock(**{"currentNode.return_value": volume})
    widget.segmentationSelector = MagicMock(**{"currentNode.return_value": segmentation})
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "T")
    widget.tableSelector = MagicMock(**{"currentNode.return_value": None, "addNode.return_value": table})
    widget.presetSelector = MagicMock(currentText="agatston-1990")
    widget.onScore()
    assert table.GetTable().GetValueByName(4, "agatston").ToDouble() == pytest.approx(27)
    widget.tableView.setMRMLTableNode.assert_called_once_with(table)
    widget.scoreButton.connect.assert_any_call("clicked(bool)", widget.onScore)
