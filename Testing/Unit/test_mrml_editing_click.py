"""Clicks on candidates: 2-D islands and 3-D lesions to vessels and away, on real MRML nodes."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from mrml_editing_samples import LAD, LCX, LM, LONG, OTHER, RCA, SMALL, SPACING_MM, SPECK, a_scan, a_session, labelled
from mrml_samples import DIRECTIONS

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.mrml.editing.editor import LogicSegmentEditor
from CACScoringLib.mrml.editing.logic import EditingLogic
from CACScoringLib.mrml.geometry import to_vtk_matrix
from CACScoringLib.mrml.segmentation import calcium_segments, labels_from_segmentation
from CACScoringLib.mrml.volume import volume_from_ct


def box(part, label):
    labels = np.zeros((8, 24, 24), np.uint8)
    labels[part] = label
    return labels


def test_a_click_gives_the_island_of_its_slice_only(working):
    session = a_session(working)
    done = session.editing.click(session.at(4, 5, 6), label=LAD)
    assert np.array_equal(session.read(), box(np.s_[4:5, 5:7, 4:12], LAD))
    assert (done.changed, done.kept, done.message) == (16, 0, "16 voxels to LAD.")
    assert session.scores().vessels["LAD"].agatston == pytest.approx(8)
    session.editor.undo()
    assert not session.read().any()
    session.editor.redo()
    assert session.scores().vessels["LAD"].agatston == pytest.approx(8)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_click_in_3d_gives_the_whole_lesion_and_undo_takes_it_back(working, direction):
    session = a_session(working, a_scan(direction))
    assert session.editing.click(session.at(4, 5, 6), whole=True, label=RCA).changed == 48
    assert np.array_equal(session.read(), box(LONG, RCA))
    assert session.scores().total.agatston == pytest.approx(24)
    session.editor.undo()
    assert not session.read().any()
    assert session.scores().total.agatston == 0
    session.editor.redo()
    assert np.array_equal(session.read(), box(LONG, RCA))


def test_a_slice_is_the_scans_slice_in_a_volume_that_is_stored_sagittally(working):
    axial = a_scan()
    # array axes (x, z, y) of the axial scan: first to the left, then cranial, then posterior
    hu = np.ascontiguousarray(axial.hu.transpose(2, 0, 1))
    cosines = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    sagittal = CTVolume(hu, (0.5, 3.0, 0.5), axial.origin_mm, cosines, Acquisition(kvp=120.0))
    session = a_session(working, sagittal)
    session.editing.click(session.at(6, 4, 5), label=LAD)
    expected = box(np.s_[4:5, 5:7, 4:12], LAD).transpose(2, 0, 1)
    assert np.array_equal(session.read(), expected)
    assert session.scores().vessels["LAD"].agatston == pytest.approx(8)


def test_shift_click_takes_the_island_away_and_in_3d_the_lesion(working):
    session = a_session(working, labels=labelled(LAD=LONG, RCA=SMALL))
    done = session.editing.shiftClick(session.at(4, 6, 11))
    assert done.message == "16 voxels taken away."
    expected = labelled(LAD=LONG, RCA=SMALL)
    expected[4] = 0
    assert np.array_equal(session.read(), expected)
    assert session.scores().vessels["LAD"].agatston == pytest.approx(16)
    session.editor.undo()
    session.editing.shiftClick(session.at(4, 6, 11), whole=True)
    assert np.array_equal(session.read(), labelled(RCA=SMALL))
    assert session.scores().total.agatston == pytest.approx(4.5)
    session.editor.undo()
    assert np.array_equal(session.read(), labelled(LAD=LONG, RCA=SMALL))
    assert session.scores().total.agatston == pytest.approx(28.5)


def test_giving_a_lesion_to_lad_takes_it_from_lm(working):
    session = a_session(working, labels=labelled(LM=LONG, RCA=SMALL))
    session.editing.click(session.at(4, 5, 6), whole=True, label=LAD)
    assert np.array_equal(session.read(), labelled(LAD=LONG, RCA=SMALL))
    assert (session.voxels_of("LM"), session.voxels_of("LAD")) == (0, 48)
    assert session.segmentation.GetSegmentation().GetNumberOfLayers() == 1
    session.editor.undo()
    assert np.array_equal(session.read(), labelled(LM=LONG, RCA=SMALL))


def test_what_another_vessel_has_of_the_lesion_stays_unless_it_is_clicked(working):
    session = a_session(working, labels=labelled(LM=np.s_[3:6, 5:7, 4:7]))
    session.editing.click(session.at(4, 5, 9), whole=True, label=LAD)
    expected = labelled(LAD=LONG)
    expected[3:6, 5:7, 4:7] = LM
    assert np.array_equal(session.read(), expected)
    session.editing.click(session.at(4, 5, 5), whole=True, label=LCX)
    expected[expected == LM] = LCX
    assert np.array_equal(session.read(), expected)


def test_a_click_on_a_part_that_the_vessel_has_gives_it_the_rest(working):
    session = a_session(working, labels=labelled(LAD=np.s_[4:5, 5:7, 4:12]))
    assert session.editing.click(session.at(4, 5, 5), whole=True, label=LAD).changed == 32
    assert np.array_equal(session.read(), labelled(LAD=LONG))


def test_each_action_is_one_step_of_undo(working):
    session = a_session(working)
    states = [session.read()]
    session.editing.click(session.at(4, 5, 6), whole=True, label=LM)
    states.append(session.read())
    session.editing.click(session.at(2, 15, 15), label=RCA)
    states.append(session.read())
    session.editing.click(session.at(4, 5, 6), whole=True, label=LAD)  # leaves one segment, enters another
    states.append(session.read())
    for state in states[-2::-1]:
        session.editor.undo()
        assert np.array_equal(session.read(), state)
    assert not session.editor.logic.CanUndo()
    for state in states[1:]:
        session.editor.redo()
        assert np.array_equal(session.read(), state)
    assert not session.editor.logic.CanRedo()


@pytest.mark.parametrize("place", [(0, 0, 0), (4, 12, 12), (-5, 3, 3), (4, 400, 4)])
def test_a_click_beside_calcium_says_so_and_leaves_nothing_to_undo(working, place):
    session = a_session(working)
    done = session.editing.click(session.at(*place), label=LAD)
    assert not done
    assert done.message == "There is no calcium at or above 130 HU here."
    assert not session.editor.logic.CanUndo()


def test_a_click_that_changes_nothing_leaves_nothing_to_undo(working):
    session = a_session(working, labels=labelled(LAD=LONG))
    done = session.editing.click(session.at(4, 5, 6), whole=True, label=LAD)
    assert (done.changed, done.message) == (0, "Nothing had to be changed: the labels are so already.")
    assert not session.editing.shiftClick(session.at(2, 15, 15))
    assert not session.editor.logic.CanUndo()


def test_a_click_two_pixels_beside_a_candidate_means_it(working):
    session = a_session(working)
    session.editing.click(session.at(2, 15, 20), label=LAD)  # 1.5 mm beside the last pixel
    assert np.array_equal(session.read(), labelled(LAD=SMALL))
    assert not session.editing.click(session.at(2, 15, 21), label=LAD)


def test_a_click_gives_even_what_is_too_small_to_count(working):
    session = a_session(working)
    session.editing.click(session.at(6, 20, 20), label=LAD)
    assert np.array_equal(session.read(), labelled(LAD=SPECK))
    assert session.scores().total.agatston == 0


def test_keys_choose_the_vessel_that_clicks_give(working):
    session = a_session(working)
    given = {}
    for key in "12345":
        session.editing.pressKey(key)
        session.editing.click(session.at(2, 15, 15))
        given[key] = int(session.read()[2, 15, 15])
    assert given == {"1": LM, "2": LAD, "3": LCX, "4": RCA, "5": OTHER}
    assert session.node.GetSelectedSegmentID() == "non_coronary"
    assert session.editing.pressKey("6") is None
    assert session.editing.activeLabel == OTHER


def test_the_segment_that_is_selected_in_the_list_is_the_active_vessel(working):
    session = a_session(working)
    session.editing.pressKey("1")
    session.node.SetSelectedSegmentID("RCA")
    assert session.editing.activeLabel == RCA
    session.segmentation.GetSegmentation().AddEmptySegment("Heart", "Heart")
    session.node.SetSelectedSegmentID("Heart")
    assert session.editing.activeLabel == LM  # not ours: the key that was pressed last


def test_a_missing_segment_is_added_with_name_colour_and_code_and_undone_with_the_click(working):
    ct = a_scan()
    volume = volume_from_ct(working.scene, ct)
    segmentation = working.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "new")
    editor = LogicSegmentEditor(working, volume, segmentation)
    editing = EditingLogic(editor)
    ras = np.array(ct.origin_mm) + np.array([6, 5, 4]) * np.array(SPACING_MM[::-1])
    assert editing.click(ras * (-1, -1, 1), whole=True, label=LCX).changed == 48
    assert calcium_segments(segmentation) == {"LCX": LCX}
    segment = segmentation.GetSegmentation().GetSegment("LCX")
    assert segment.GetName() == "LCX"
    assert segment.GetColor() == pytest.approx((0.20, 0.60, 1.00))
    assert "57396003" in segment.GetTerminology()
    assert np.array_equal(labels_from_segmentation(segmentation, volume), labelled(LCX=LONG))
    assert segmentation.GetNodeReferenceID("referenceImageGeometryRef") == volume.GetID()
    editor.undo()
    assert not labels_from_segmentation(segmentation, volume).any()


def test_an_empty_segmentation_gets_all_our_segments_when_the_effect_is_prepared(working):
    volume = volume_from_ct(working.scene, a_scan())
    segmentation = working.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "new")
    editing = EditingLogic(LogicSegmentEditor(working, volume, segmentation))
    editing.prepare()
    assert list(calcium_segments(segmentation).values()) == [LM, LAD, LCX, RCA, OTHER]
    editing.prepare()
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 5


def test_nodes_that_were_moved_together_or_apart_are_clicked_where_they_are_seen(working):
    session = a_session(working)
    transform = working.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    turn = np.array([[0.0, -1.0, 0.0, 10.0], [1.0, 0.0, 0.0, -5.0], [0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 0.0, 1.0]])
    transform.SetMatrixTransformToParent(to_vtk_matrix(turn))
    session.volume.SetAndObserveTransformNodeID(transform.GetID())
    session.segmentation.SetAndObserveTransformNodeID(transform.GetID())
    seen = (turn @ (*session.at(4, 5, 6), 1))[:3]
    session.editing.click(seen, whole=True, label=LAD)
    assert np.array_equal(session.read(), labelled(LAD=LONG))


def test_a_volume_under_a_warp_is_not_edited(working):
    session = a_session(working)
    warp = working.scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "W")
    import vtk

    thin_plate = vtk.vtkThinPlateSplineTransform()
    warp.SetAndObserveTransformToParent(thin_plate)
    session.volume.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(ValueError, match="warp"):
        session.editing.click(session.at(4, 5, 6))


def test_candidates_follow_the_tube_voltage_and_the_preset(working):
    session = a_session(working)
    session.editing.kvp = 80.0  # calcium starts at 177 HU
    assert session.editing.scan().candidates.rules.threshold_hu == 177
    session.editing.kvp = None
    session.editing.preset = "philips"  # volume and mass from 112.5 HU
    assert session.editing.scan().candidates.rules.threshold_hu == 112.5
    session.editing.preset = "orcascore"
    rules = session.editing.scan().candidates.rules
    assert (rules.strict, rules.in_plane, rules.whole) == (True, 4, 6)


def test_preset_and_tube_voltage_come_with_the_segmentation(working):
    session = a_session(working)
    session.segmentation.SetAttribute("CACScoring.Preset", "philips")
    session.segmentation.SetAttribute("CACScoring.Kvp", "100")
    assert session.editing.scan().candidates.rules.threshold_hu == pytest.approx(112.5 * 145 / 130)
    session.segmentation.SetAttribute("CACScoring.Preset", "no such preset")
    session.segmentation.SetAttribute("CACScoring.Kvp", "a lot")
    assert session.editing.scan().candidates.rules.threshold_hu == 130


def test_candidates_are_found_once_until_the_volume_changes(working):
    session = a_session(working)
    first = session.editing.scan().candidates
    session.editing.click(session.at(4, 5, 6), label=LAD)
    assert session.editing.scan().candidates is first
    slicer.util.arrayFromVolume(session.volume)[0, 0, 0:4] = 700
    slicer.util.arrayFromVolumeModified(session.volume)
    assert session.editing.scan().candidates is not first
    session.editing.click(session.at(0, 0, 0), label=RCA)
    assert (session.read() == RCA).sum() == 4


def test_a_skeleton_is_not_given_as_a_lesion_but_its_island_in_the_slice_is(working):
    hu = np.full((8, 48, 48), 40, np.int16)
    hu[:, 1:45, 1:45] = 300  # 8 x 44 x 44 voxels of 0.75 mm3: 11.6 cm3
    session = a_session(working, CTVolume(hu, SPACING_MM, acquisition=Acquisition(kvp=120.0)))
    done = session.editing.click(session.at(4, 5, 6), whole=True, label=LAD)
    assert not done
    assert done.message.startswith("This belongs to 12 cm3 of connected voxels")
    assert session.editing.click(session.at(4, 5, 6), label=OTHER).changed == 44 * 44


def test_without_a_volume_or_segmentation_or_with_surfaces_it_is_said_what_to_do(working):
    session = a_session(working)
    session.node.SetAndObserveSourceVolumeNode(None)
    with pytest.raises(InputRefusedError, match="choose a CT"):
        session.editing.click((0, 0, 0))
    session.node.SetAndObserveSourceVolumeNode(session.volume)
    session.node.SetAndObserveSegmentationNode(None)
    with pytest.raises(InputRefusedError, match="no segmentation"):
        session.editing.click((0, 0, 0))
    surfaces = working.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    surfaces.GetSegmentation().SetSourceRepresentationName("Closed surface")
    session.node.SetAndObserveSegmentationNode(surfaces)
    with pytest.raises(InputRefusedError, match="surfaces"):
        session.editing.click((0, 0, 0))


def test_a_segmentation_on_a_finer_grid_is_edited_voxel_for_voxel(working):
    session = a_session(working)
    node = working.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "finer")
    node.SetReferenceImageGeometryParameterFromVolumeNode(session.volume)
    session.node.SetAndObserveSegmentationNode(node)
    fine = slicer.vtkOrientedImageData()
    from mrml_editing_samples import SHAPE

    fine.SetExtent(0, 2 * SHAPE[2] - 1, 0, 2 * SHAPE[1] - 1, 0, 2 * SHAPE[0] - 1)
    from CACScoringLib.mrml.geometry import volume_ijk_to_ras

    half = np.diag([0.5, 0.5, 0.5, 1.0])
    half[:3, 3] = -0.25
    fine.SetImageToWorldMatrix(to_vtk_matrix(volume_ijk_to_ras(session.volume) @ half))
    import vtk

    fine.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    fine.GetPointData().GetScalars().Fill(0)
    fine.SetScalarComponentFromDouble(0, 0, 0, 0, 1)
    segment = slicer.vtkSegment()
    segment.SetName("LAD")
    segment.AddRepresentation("Binary labelmap", fine)
    node.GetSegmentation().AddSegment(segment, "LAD")
    session.editing.click(session.at(4, 5, 6), whole=True, label=LAD)
    found = labels_from_segmentation(node, session.volume)
    found[0, 0, 0] = 0
    assert np.array_equal(found, labelled(LAD=LONG))
