from __future__ import annotations

import sys
import zipfile

import pytest
import slicer
import vtk

from CACScoringLib.findings import InputRefusedError
from CACScoringLib.mrml.scene import (
    SceneUnavailableError,
    import_slicer,
    load_terminology,
    new_scene,
    open_scene,
    save_scene,
    working_scene,
)
from CACScoringLib.report.segments import REGION_CONTEXT, TERMINOLOGY_CONTEXT


def names_of(logic, method):
    names = vtk.vtkStringArray()
    getattr(logic, method)(names)
    return [names.GetValue(index) for index in range(names.GetNumberOfValues())]


def test_a_new_scene_takes_segments_which_a_bare_one_does_not():
    working = new_scene()
    node = working.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "S")
    assert node.GetSegmentation().AddEmptySegment("LM", "LM") == "LM"
    assert node.GetSegmentation().GetNumberOfSegments() == 1


def test_a_new_scene_has_one_subject_hierarchy_and_default_colors():
    working = new_scene()
    assert working.scene.GetNumberOfNodesByClass("vtkMRMLSubjectHierarchyNode") == 1
    assert working.scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode") > 10


def test_setting_up_a_scene_logs_nothing(capfd):
    new_scene()
    assert capfd.readouterr().err == ""


def test_our_terminology_and_regions_are_loaded():
    logic = new_scene().logics["Terminologies"]
    assert TERMINOLOGY_CONTEXT in names_of(logic, "GetLoadedTerminologyNames")
    assert REGION_CONTEXT in names_of(logic, "GetLoadedRegionContextNames")


def test_a_missing_terminology_file_is_an_error_not_a_log_line(monkeypatch, tmp_path):
    monkeypatch.setattr("CACScoringLib.mrml.scene.terminology_dir", lambda: tmp_path)
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        with pytest.raises(RuntimeError, match=r"CACScoring\.term\.json"):
            load_terminology(slicer.vtkSlicerTerminologiesModuleLogic())
    finally:
        vtk.vtkObject.GlobalWarningDisplayOn()


def test_inside_slicer_its_own_scene_is_used_and_no_other_made(monkeypatch):
    theirs = slicer.vtkMRMLScene()
    monkeypatch.setattr(slicer, "mrmlScene", theirs, raising=False)
    assert working_scene().scene is theirs
    with pytest.raises(RuntimeError, match="own scene"):
        new_scene()


def test_without_slicer_core_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "slicer", None)
    with pytest.raises(SceneUnavailableError, match=r"pip install 'cacscoring\[scene\]'") as refused:
        import_slicer()
    assert refused.value.finding.code == "scene-unavailable"
    with pytest.raises(SceneUnavailableError):
        working_scene()


def test_a_slicer_package_without_nodes_is_not_taken_for_slicer_core(monkeypatch):
    monkeypatch.setitem(sys.modules, "slicer", type(sys)("slicer"))
    with pytest.raises(SceneUnavailableError):
        import_slicer()


def test_saving_leaves_one_file_and_nothing_else(tmp_path):
    path = save_scene(new_scene().scene, tmp_path / "out.mrb")
    assert [item.name for item in tmp_path.iterdir()] == ["out.mrb"]
    assert zipfile.is_zipfile(path)


def test_a_failed_save_keeps_the_earlier_file(tmp_path):
    class Failing:
        def WriteToMRB(self, *_):
            return False

    (tmp_path / "out.mrb").write_text("earlier")
    with pytest.raises(OSError, match="could not be written"):
        save_scene(Failing(), tmp_path / "out.mrb")
    assert [item.name for item in tmp_path.iterdir()] == ["out.mrb"]
    assert (tmp_path / "out.mrb").read_text() == "earlier"


def test_a_scene_file_has_to_be_named_mrb(tmp_path):
    with pytest.raises(ValueError, match=r"\*\.mrb"):
        save_scene(new_scene().scene, tmp_path / "out.zip")


@pytest.mark.parametrize("entry", ["../outside.mrml", "/tmp/outside.mrml", "a/../../outside.mrml", "C:\\outside.mrml"])
def test_a_bundle_that_names_files_outside_itself_is_refused(tmp_path, entry):
    with zipfile.ZipFile(tmp_path / "bad.mrb", "w") as bundle:
        bundle.writestr(entry, "<MRML></MRML>")
    with pytest.raises(InputRefusedError, match="outside itself"):
        open_scene(tmp_path / "bad.mrb", new_scene())
    assert [item.name for item in tmp_path.iterdir()] == ["bad.mrb"]


def test_files_that_are_no_scene_are_refused_in_one_sentence(tmp_path):
    (tmp_path / "text.mrb").write_text("no bundle")
    with zipfile.ZipFile(tmp_path / "empty.mrb", "w") as bundle:
        bundle.writestr("a/readme.txt", "nothing")
    for name in ("text.mrb", "empty.mrb", "absent.mrb"):
        with pytest.raises(InputRefusedError, match=f"The scene {name} cannot be opened") as refused:
            open_scene(tmp_path / name, new_scene())
        assert refused.value.finding.code == "scene-unreadable"


def test_a_bundle_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("CACScoringLib.mrml.scene.MAX_SCENE_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.mrb", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("a/a.mrml", "0" * 1001)
    with pytest.raises(InputRefusedError, match="too large"):
        open_scene(tmp_path / "bomb.mrb", new_scene())
