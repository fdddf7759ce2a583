from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import slicer
from mrml_samples import DIRECTIONS, a_calcified_ct, a_ct, merged, some_labels

from CACScoringLib.mrml.scene import new_scene, open_scene, save_scene
from CACScoringLib.mrml.segmentation import calcium_segments, labels_from_segmentation
from CACScoringLib.mrml.study import add_study, put_under_study, write_scene
from CACScoringLib.mrml.tables import scores_of_table
from CACScoringLib.mrml.volume import ct_from_volume, volume_from_ct
from CACScoringLib.scoring import score


def nodes_of(scene, kind):
    return [scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind))]


def reopened(path):
    working = open_scene(path, new_scene())
    (volume,) = nodes_of(working.scene, "vtkMRMLScalarVolumeNode")
    (segmentation,) = nodes_of(working.scene, "vtkMRMLSegmentationNode")
    return working, volume, segmentation, nodes_of(working.scene, "vtkMRMLTableNode")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_scene_file_holds_voxels_labels_and_geometry(tmp_path, direction):
    ct, labels = a_ct(direction), some_labels()
    path = write_scene(ct, labels, score(*a_calcified_ct()), tmp_path / "out.mrb")
    working, volume, segmentation, _ = reopened(path)
    back = ct_from_volume(volume)
    assert np.array_equal(back.hu, ct.hu)
    assert back.spacing_mm == pytest.approx(ct.spacing_mm, abs=1e-12)
    assert back.origin_mm == pytest.approx(ct.origin_mm, abs=1e-9)
    assert back.direction == pytest.approx(ct.direction, abs=1e-12)
    assert back.acquisition == ct.acquisition
    assert back.findings == ct.findings
    assert np.array_equal(labels_from_segmentation(segmentation, volume), merged(labels))
    assert calcium_segments(segmentation) == {"LM": 1, "LAD": 2, "LCX": 3, "RCA": 4, "non_coronary": 14}
    assert segmentation.GetNodeReference("referenceImageGeometryRef") is volume
    assert working.scene is volume.GetScene()


def test_a_scene_file_holds_the_tables(tmp_path):
    ct, labels = a_calcified_ct()
    result = score(ct, labels)
    _working, _, _, tables = reopened(write_scene(ct, labels, result, tmp_path / "out.mrb"))
    by_kind = {table.GetAttribute("CACScoring.Table"): table for table in tables}
    assert sorted(by_kind) == ["lesions", "scores", "summary"]
    table = by_kind["scores"]
    assert table.GetNumberOfRows() == 5
    agatston = [table.GetTable().GetValueByName(row, "agatston").ToDouble() for row in range(5)]
    assert agatston == pytest.approx([0, 3, 0, 24, 27])
    assert [table.GetCellText(row, 0) for row in range(5)] == ["LM", "LAD", "LCX", "RCA", "Total"]
    assert table.GetColumnTitle("volume_mm3") == "Volume"
    assert table.GetColumnUnitLabel("volume_mm3") == "mm3"
    assert np.isnan(table.GetTable().GetValueByName(0, "max_hu").ToDouble())
    assert by_kind["lesions"].GetNumberOfRows() == 3
    assert scores_of_table(table)["total"]["agatston"] == result.total.agatston


def test_scoring_a_reopened_scene_gives_the_scores_of_the_arrays(tmp_path):
    ct, labels = a_calcified_ct("oblique")
    result = score(ct, labels)
    _working, volume, segmentation, _ = reopened(write_scene(ct, labels, result, tmp_path / "out.mrb"))
    again = score(ct_from_volume(volume), labels_from_segmentation(segmentation, volume))
    for name, vessel in result.vessels.items():
        assert again.vessels[name].agatston == pytest.approx(vessel.agatston, rel=1e-12)
        assert again.vessels[name].mass_mg == pytest.approx(vessel.mass_mg, rel=1e-12)
    assert again.total.agatston == pytest.approx(27)
    assert again.non_coronary["other"].agatston == pytest.approx(16)  # the aorta, merged


def test_everything_lies_under_one_study_with_its_uids(tmp_path):
    path = write_scene(a_ct(), some_labels(), score(*a_calcified_ct()), tmp_path / "out.mrb", name="Case 7")
    working, volume, segmentation, tables = reopened(path)
    (hierarchy,) = nodes_of(working.scene, "vtkMRMLSubjectHierarchyNode")
    study = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(volume))
    assert hierarchy.GetItemLevel(study) == "Study"
    assert hierarchy.GetItemName(study) == "Calcium scoring: Case 7"
    assert hierarchy.GetItemUID(study, "DICOM") == "1.2.3"
    assert hierarchy.GetItemUID(hierarchy.GetItemByDataNode(volume), "DICOM") == "1.2.3.4"
    for node in (segmentation, *tables):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
    assert hierarchy.GetNumberOfItemChildren(study) == 5


def test_nodes_join_the_study_that_the_volume_is_already_in():
    scene = new_scene().scene
    volume = volume_from_ct(scene, a_ct())
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    study = hierarchy.CreateStudyItem(patient, "From DICOM")
    hierarchy.CreateItem(study, volume)
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "T")
    hierarchy.CreateItem(hierarchy.GetSceneItemID(), table)
    assert put_under_study(scene, volume, (table,)) == study
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(table)) == study
    assert put_under_study(scene, volume, (table,)) == study  # a second time changes nothing
    assert hierarchy.GetNumberOfItemChildren(study) == 2


def test_slicer_shows_the_volume_when_it_opens_the_scene(tmp_path):
    path = write_scene(a_ct(), some_labels(), score(*a_calcified_ct()), tmp_path / "out.mrb")
    working, volume, _, _ = reopened(path)
    views = nodes_of(working.scene, "vtkMRMLSliceCompositeNode")
    assert sorted(view.GetLayoutName() for view in views) == ["Green", "Red", "Yellow"]
    assert {view.GetBackgroundVolumeID() for view in views} == {volume.GetID()}


def test_two_studies_of_one_scene_stay_apart(tmp_path):
    working = new_scene()
    ct, labels = a_calcified_ct()
    for name in ("first", "second"):
        add_study(working.scene, ct, labels, score(ct, labels), name=name)
    scene = open_scene(save_scene(working.scene, tmp_path / "two.mrb"), new_scene()).scene
    assert scene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 6
    names = sorted(node.GetName() for node in nodes_of(scene, "vtkMRMLSegmentationNode"))
    assert names == ["first calcium", "second calcium"]


def test_writing_a_scene_leaves_one_file_that_names_no_other(tmp_path):
    path = write_scene(a_ct(), some_labels(), score(*a_calcified_ct()), tmp_path / "out.mrb")
    assert [item.name for item in tmp_path.iterdir()] == ["out.mrb"]
    with zipfile.ZipFile(path) as bundle:
        (description,) = [name for name in bundle.namelist() if name.endswith(".mrml")]
        assert str(tmp_path) not in bundle.read(description).decode()


@pytest.mark.parametrize(
    ("description", "shown"),
    [('Ca/Score: 3.0 <B35f> | "x" & ü%?*', "Ca Score 3.0 B35f x ü"), ("x" * 300, "x" * 64), ("&<>", "CT"), ("", "CT")],
)
def test_odd_series_descriptions_do_not_spoil_the_scene_file(tmp_path, description, shown):
    ct = a_ct()
    ct = replace(ct, acquisition=replace(ct.acquisition, series_description=description))
    working, volume, segmentation, tables = reopened(
        write_scene(ct, some_labels(), score(*a_calcified_ct()), tmp_path / "out.mrb")
    )
    assert volume.GetName() == shown
    assert np.array_equal(labels_from_segmentation(segmentation, volume), merged(some_labels()))
    assert len(tables) == 3
    assert ct_from_volume(volume).acquisition.series_description == (description or "")
    assert working.scene is volume.GetScene()
