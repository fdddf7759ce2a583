"""The overlay of candidates, stepping through lesions, and the network's result, on real MRML nodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
from mrml_editing_samples import LAD, LCX, LM, LONG, RCA, SMALL, SPECK, a_scan, a_session, an_axial_view, labelled

from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.mrml.editing.lesions import Stops
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.scene import new_scene, open_scene, save_scene
from CACScoringLib.mrml.segmentation import calcium_segments


def shown(session):
    return slicer.util.arrayFromVolume(session.editing.overlayNode)


def test_candidates_are_shown_until_a_vessel_has_them_and_again_after_undo(working):
    session = a_session(working)
    session.editing.showCandidates()
    everything = (labelled(LAD=LONG) + labelled(LAD=SMALL)) > 0  # not the speck: it cannot count
    assert np.array_equal(shown(session) > 0, everything)
    session.editing.click(session.at(4, 5, 6), label=LAD)
    expected = everything.copy()
    expected[4, 5:7, 4:12] = False
    assert np.array_equal(shown(session) > 0, expected)
    session.editor.undo()
    assert np.array_equal(shown(session) > 0, everything)
    session.editor.redo()
    assert np.array_equal(shown(session) > 0, expected)


def test_the_overlay_follows_what_other_effects_and_modules_do(working):
    session = a_session(working, labels=labelled(LAD=LONG))
    session.editing.showCandidates()
    assert np.array_equal(shown(session) > 0, labelled(LAD=SMALL) > 0)
    session.segmentation.GetSegmentation().RemoveSegment("LAD")
    assert shown(session).sum() == 54
    session.segmentation.GetSegmentation().GetSegment("RCA").SetName("Bone")
    session.segmentation.GetSegmentation().GetSegment("RCA").SetTerminology("")


@pytest.mark.parametrize("direction", ["axial", "oblique", "head first reversed"])
def test_the_overlay_lies_on_the_volume(working, direction):
    session = a_session(working, a_scan(direction))
    session.editing.showCandidates()
    node = session.editing.overlayNode
    for name in ("GetSpacing", "GetOrigin"):
        assert getattr(node, name)() == pytest.approx(getattr(session.volume, name)())
    assert np.array_equal(shown(session) > 0, (session.ct.hu >= 130) & (session.ct.hu != 500))


def test_redrawing_is_put_off_where_there_is_an_event_loop(working):
    session = a_session(working)
    session.editing.click(session.at(4, 5, 6), whole=True, label=LAD)
    session.editing.showCandidates()
    waiting = []
    session.editing.display.schedule = waiting.append
    session.editor.undo()
    assert len(waiting) == 1  # though every segment was reported
    assert shown(session).sum() == 6
    waiting[0]()
    assert shown(session).sum() == 54


def test_the_overlay_goes_when_the_segmentation_turns_into_surfaces(working):
    session = a_session(working)
    session.editing.showCandidates()
    session.segmentation.GetSegmentation().SetSourceRepresentationName("Closed surface")
    session.segmentation.GetSegmentation().GetSegment("LAD").SetName("LAD again")
    assert session.editing.overlayNode is None


def test_slice_views_show_the_overlay_and_get_back_what_they_showed(working):
    session = a_session(working)
    composite = working.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    other = working.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "theirs")
    composite.SetLabelVolumeID(other.GetID())
    composite.SetLabelOpacity(0.3)
    session.editing.showCandidates()
    overlay = session.editing.overlayNode
    assert composite.GetLabelVolumeID() == overlay.GetID()
    color = [0.0] * 4
    overlay.GetDisplayNode().GetColorNode().GetColor(1, color)
    assert color == [1.0, 0.0, 1.0, 1.0]
    count = working.scene.GetNumberOfNodes()
    session.editing.showCandidates(False)
    assert composite.GetLabelVolumeID() == other.GetID()
    assert composite.GetLabelOpacity() == pytest.approx(0.3)
    assert session.editing.overlayNode is None
    assert overlay.GetScene() is None
    assert working.scene.GetNumberOfNodes() == count - 3  # label map, its display, its colours


def test_the_overlay_is_neither_listed_nor_saved(tmp_path):
    own = new_scene()
    session = a_session(own)
    session.editing.showCandidates()
    assert session.editing.overlayNode.GetHideFromEditors()
    save_scene(own.scene, tmp_path / "scene.mrb")
    reopened = open_scene(tmp_path / "scene.mrb", new_scene())
    assert reopened.scene.GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeNode") == 0
    assert reopened.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1


def test_the_overlay_goes_when_the_volume_does_and_follows_another_segmentation(working):
    session = a_session(working, labels=labelled(LAD=LONG))
    session.editing.showCandidates()
    second = a_session(working, labels=labelled(RCA=SMALL))
    session.node.SetAndObserveSegmentationNode(second.segmentation)
    session.editing.refreshCandidates()
    assert np.array_equal(shown(session) > 0, labelled(LAD=LONG) > 0)
    session.node.SetAndObserveSourceVolumeNode(None)
    session.editing.refreshCandidates()
    assert session.editing.overlayNode is None
    session.editing.showCandidates()  # nothing to show, and no error
    assert session.editing.overlayNode is None


def test_lesions_are_stepped_through_from_cranial_to_caudal_and_round(working):
    session = a_session(working, labels=labelled(LAD=np.s_[3:6, 5:7, 4:8], RCA=SMALL))
    visited = [session.editing.nextLesion() for _ in range(4)]
    assert [(stop.number, stop.vessel, stop.voxels) for stop in visited] == [
        (1, "LAD", 24),
        (2, "", 24),
        (3, "RCA", 6),
        (1, "LAD", 24),
    ]
    assert {stop.count for stop in visited} == {3}
    assert visited[2].max_hu == 350
    assert visited[2].volume_mm3 == pytest.approx(6 * 0.75)
    assert visited[2].ras == pytest.approx(session.at(2, 15, 15))
    assert session.editing.previousLesion().vessel == "RCA"


def test_stepping_goes_on_from_where_it_was_when_lesions_have_changed(working):
    session = a_session(working, labels=labelled(LAD=LONG, RCA=SMALL))
    assert session.editing.nextLesion().vessel == "LAD"
    session.editing.shiftClick(session.at(4, 5, 5), whole=True)
    assert session.editing.nextLesion(stops=Stops.GIVEN).vessel == "RCA"
    assert [stop.label for stop in session.editing.lesions("given")] == [RCA]
    assert [stop.label for stop in session.editing.lesions("candidates")] == [0]
    session.editing.shiftClick(session.at(2, 15, 15))
    assert session.editing.nextLesion(stops="given") is None


def test_a_speck_stops_only_when_a_vessel_has_it(working):
    session = a_session(working, labels=labelled(LM=SPECK))
    assert [stop.vessel for stop in session.editing.lesions()] == ["LM", "", ""]
    session.editing.shiftClick(session.at(6, 20, 20))
    assert [stop.vessel for stop in session.editing.lesions()] == ["", ""]


def test_stepping_moves_every_slice_view_to_the_brightest_voxel(working):
    session = a_session(working, labels=labelled(RCA=SMALL))
    views = [an_axial_view(session, 0), an_axial_view(session, 7)]
    session.editing.nextLesion(views, "given")
    for view in views:
        center = [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
        assert center == pytest.approx(session.at(2, 15, 15))


def network(labels):
    """A logic whose network finds these labels."""

    def predictor(ct, method, **options):
        return Prediction(labels=labels, model_id="fake", model_sha256="0" * 64, method=method)

    return ScoringLogic(predictor=predictor)


def roomy(voxels, fill=0):
    """The small scan in the middle of something as large as a chest."""
    return np.pad(voxels, ((8, 8), (70, 70), (70, 70)), constant_values=fill)


def with_network(working, found, labels):
    """A session whose network finds ``found``."""
    ct = a_scan()
    hu = roomy(ct.hu, 40)
    hu[:, :60] = -900
    session = a_session(working, replace(ct, hu=hu), roomy(labels))
    session.editing.logic = network(roomy(found))
    session.read_middle = lambda: session.read()[8:16, 70:94, 70:94]
    return session


def test_the_network_fills_our_segments_in_one_step_of_undo(working):
    found = labelled(LAD=LONG, RCA=SMALL)
    session = with_network(working, found, labelled(LM=LONG))
    session.segmentation.GetSegmentation().AddEmptySegment("Heart", "Heart")
    session.editing.runNetwork(allowContrast=True)
    assert np.array_equal(session.read_middle(), found)
    assert session.scores().total.agatston == pytest.approx(28.5)
    session.editor.undo()
    assert np.array_equal(session.read_middle(), labelled(LM=LONG))
    assert not session.editor.logic.CanUndo()
    session.editor.redo()
    assert np.array_equal(session.read_middle(), found)
    assert session.segmentation.GetSegmentation().GetSegment("Heart") is not None


def test_the_networks_result_respects_masking_and_hidden_vessels(working):
    found = labelled(LAD=LONG, RCA=SMALL)
    session = with_network(working, found, labelled(LCX=np.s_[2:3, 15:17, 15:16]))
    session.node.SetSourceVolumeIntensityMask(True)
    session.node.SetSourceVolumeIntensityMaskRange(300, 1000)
    session.editing.runNetwork(allowContrast=True)
    assert np.array_equal(session.read_middle(), labelled(RCA=SMALL))
    session.node.SetSourceVolumeIntensityMask(False)
    session.segmentation.GetDisplayNode().SetSegmentVisibility("LAD", False)
    session.editing.runNetwork(allowContrast=True)
    assert np.array_equal(session.read_middle(), labelled(RCA=SMALL))
    assert not session.segmentation.GetDisplayNode().GetSegmentVisibility("LAD")
    assert session.segmentation.GetDisplayNode().GetSegmentVisibility("RCA")
    assert list(calcium_segments(session.segmentation).values())[:4] == [LM, LAD, LCX, RCA]


def test_a_result_for_another_segmentation_is_no_step_of_this_editor(working):
    found = labelled(LAD=LONG)
    session = a_session(working, labels=labelled(LM=LONG))
    other = a_session(working)
    prediction = network(found).predictor(None, "fake")
    session.editing.networkLogic().fill(other.volume, other.segmentation, prediction)
    assert np.array_equal(other.read(), found)
    assert np.array_equal(session.read(), labelled(LM=LONG))
    assert not session.editor.logic.CanUndo()
