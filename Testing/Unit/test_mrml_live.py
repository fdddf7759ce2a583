"""Live scores on real MRML nodes: every kind of change is noticed, and nothing but the scratch score comes out."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from live_samples import a_desk, a_labelmap
from mrml_samples import DIRECTIONS
from vtk.util.numpy_support import vtk_to_numpy

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.mrml.live import LiveScores
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.segmentation import labels_from_segmentation
from CACScoringLib.scoring import PRESETS, Demographics

LAD_VOXEL = (slice(4, 5), slice(12, 13), slice(3, 4))
"""One voxel of 450 HU in the RCA's lesion."""


@pytest.fixture
def desk(working):
    return a_desk(working)


def live_on(desk, **options):
    live = LiveScores(ScoringLogic())
    live.watch(desk.volume, desk.segmentation, **options)
    live.refresh()
    return live


def assert_as_from_scratch(live, desk, **options):
    expected = ScoringLogic().computeScores(desk.volume, desk.segmentation, **options)
    assert live.upToDate
    assert live.scores.as_dict() == expected.as_dict()
    assert live.scores.slices == expected.slices


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_edit_is_scored_at_once_on_any_grid(working, direction):
    desk = a_desk(working, direction)
    live = live_on(desk)
    assert live.scores.total.agatston == pytest.approx(27)
    desk.paint("RCA", desk.labels == 4, "Remove")
    assert live.upToDate
    assert live.scores.total.agatston == pytest.approx(3)
    assert_as_from_scratch(live, desk)


def test_undo_and_redo_are_followed(desk):
    live = live_on(desk)
    desk.paint("RCA", (slice(4, 5), slice(12, 15), slice(3, 7)), "Remove")
    assert live.scores.vessels["RCA"].agatston == pytest.approx(12)
    desk.editor.Undo()
    assert live.scores.vessels["RCA"].agatston == pytest.approx(24)
    assert_as_from_scratch(live, desk)
    desk.editor.Redo()
    assert live.scores.vessels["RCA"].agatston == pytest.approx(12)
    assert_as_from_scratch(live, desk)


def test_one_undo_tells_listeners_once(desk):
    live = live_on(desk)
    desk.paint("RCA", desk.labels == 4, "Remove")
    told = []
    live.addListener(lambda source: told.append(source.scores.total.agatston))
    desk.editor.Undo()
    assert told == [pytest.approx(27)]


def test_giving_voxels_to_another_vessel_takes_them_from_the_first(desk):
    live = live_on(desk)
    desk.paint("LAD", desk.labels == 4)
    assert live.scores.vessels["LAD"].agatston == pytest.approx(27)
    assert live.scores.vessels["RCA"].agatston == 0
    assert_as_from_scratch(live, desk)


def test_a_voxel_outside_the_volume_or_below_the_threshold_changes_no_score(desk):
    live = live_on(desk)
    outside = a_labelmap(np.ones((2, 3, 3)), desk.volume, (-2, -2, -1))
    desk.editor.ModifySegmentByLabelmap(desk.segmentation, "LM", outside, desk.editor.ModificationModeAdd, True, True)
    desk.paint("LM", (slice(0, 2), slice(0, 4), slice(0, 4)))
    assert live.scores.total.agatston == pytest.approx(27)
    assert live.scores.vessels["LM"].voxels == 0
    assert_as_from_scratch(live, desk)


def test_segments_renamed_added_removed_and_reordered_are_followed(desk):
    live = live_on(desk)
    segmentation = desk.segmentation.GetSegmentation()
    segmentation.GetSegment("LAD").SetName("LCX")  # what a person can see decides
    assert live.scores.vessels["LCX"].agatston == pytest.approx(3)
    assert live.scores.vessels["LAD"].agatston == 0
    segmentation.RemoveSegment("RCA")
    assert live.scores.total.agatston == pytest.approx(3)
    added = slicer.vtkSegment()
    added.SetName("LM")
    added.SetLabelValue(1)
    added.AddRepresentation("Binary labelmap", a_labelmap(desk.labels == 4, desk.volume))
    segmentation.AddSegment(added, "new")
    assert live.scores.vessels["LM"].agatston == pytest.approx(24)
    assert_as_from_scratch(live, desk)


def test_where_layers_overlap_the_later_one_wins_whatever_the_order(desk):
    live = live_on(desk)
    segmentation = desk.segmentation.GetSegmentation()
    over = slicer.vtkSegment()
    over.SetName("LM")
    over.SetLabelValue(1)
    over.AddRepresentation("Binary labelmap", a_labelmap(desk.labels == 4, desk.volume))
    segmentation.AddSegment(over, "over")
    assert live.scores.vessels["LM"].agatston == pytest.approx(24)
    assert live.scores.vessels["RCA"].agatston == 0
    segmentation.SetSegmentIndex("over", 0)
    assert live.scores.vessels["LM"].agatston == 0
    assert live.scores.vessels["RCA"].agatston == pytest.approx(24)
    assert_as_from_scratch(live, desk)


def test_voxels_written_in_place_are_found(desk):
    live = live_on(desk)
    image = desk.segmentation.GetSegmentation().GetSegment("LAD").GetRepresentation("Binary labelmap")
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = 0
    assert live.refresh().total.agatston == 0  # not even a modification time says so
    assert_as_from_scratch(live, desk)


def test_a_segmentation_on_another_grid_is_resampled_as_from_scratch(desk):
    live = live_on(desk)
    coarse = a_labelmap(np.ones((1, 4, 4)), desk.volume, (1, 5, 2))
    matrix = vtk.vtkMatrix4x4()
    coarse.GetImageToWorldMatrix(matrix)
    for row in range(3):
        matrix.SetElement(row, 0, 2 * matrix.GetElement(row, 0))
        matrix.SetElement(row, 1, 2 * matrix.GetElement(row, 1))
    matrix.SetElement(2, 3, matrix.GetElement(2, 3) + 6.0)
    coarse.SetImageToWorldMatrix(matrix)
    segment = slicer.vtkSegment()
    segment.SetName("LCX")
    segment.AddRepresentation("Binary labelmap", coarse)
    desk.segmentation.GetSegmentation().AddSegment(segment, "coarse")
    assert live.scores.vessels["LCX"].agatston > 0
    assert_as_from_scratch(live, desk)


def test_a_moved_segmentation_is_followed(working, desk):
    live = live_on(desk)
    transform = working.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(2, 3, 3.0)
    transform.SetMatrixTransformToParent(matrix)
    desk.segmentation.SetAndObserveTransformNodeID(transform.GetID())
    assert live.scores.total.agatston == pytest.approx(12)  # one slice off: half of the RCA's lesion
    assert_as_from_scratch(live, desk)
    matrix.SetElement(2, 3, 0.0)
    transform.SetMatrixTransformToParent(matrix)
    assert live.scores.total.agatston == pytest.approx(27)


def test_another_segmentation_in_the_same_node_is_followed(desk):
    live = live_on(desk)
    copy = slicer.vtkSegmentation()
    copy.DeepCopy(desk.segmentation.GetSegmentation())
    copy.RemoveSegment("LAD")
    desk.segmentation.SetAndObserveSegmentation(copy)
    assert live.scores.total.agatston == pytest.approx(24)
    copy.RemoveSegment("RCA")
    assert live.scores.total.agatston == 0


def test_changed_voxels_spacing_and_tube_voltage_of_the_volume_are_followed(desk):
    live = live_on(desk)
    image = desk.volume.GetImageData()
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = 40
    image.GetPointData().GetScalars().Modified()
    image.Modified()
    assert live.scores.total.agatston == 0
    vtk_to_numpy(image.GetPointData().GetScalars()).reshape(desk.ct.shape)[...] = desk.ct.hu
    image.Modified()
    assert live.scores.total.agatston == pytest.approx(27)
    desk.volume.SetAttribute("CACScoring.Acquisition.kvp", "80.0")
    assert live.scores.thresholds.calcium == 177
    assert_as_from_scratch(live, desk)
    desk.volume.SetAttribute("CACScoring.Acquisition.kvp", "120.0")
    desk.volume.SetSpacing(0.5, 1.0, 3.0)
    assert live.scores.acquisition.kvp == 120
    assert live.scores.scored_spacing_mm == (3.0, 1.0, 0.5)


def test_only_the_edited_lesion_is_measured_again(desk):
    live = live_on(desk)
    assert live.recomputedVoxels == 6 + 24 + 16
    desk.paint("LAD", (slice(3, 4), slice(5, 6), slice(6, 7)), "Remove")
    assert live.recomputedVoxels == 5


def test_options_reach_the_scores_and_watching_again_changes_them(desk):
    live = live_on(desk, preset="canon", kvp=80, demographics=Demographics(61, "F"))
    assert live.scores.preset.name == "canon"
    assert_as_from_scratch(live, desk, preset="canon", kvp=80, demographics=Demographics(61, "F"))
    live.watch(desk.volume, desk.segmentation, preset="siemens")
    assert not live.upToDate
    assert live.scores is None
    assert live.refresh().preset.name == "siemens"
    desk.paint("RCA", desk.labels == 4, "Remove")
    assert_as_from_scratch(live, desk, preset="siemens")


def test_scheduled_scores_say_that_they_are_out_of_date_until_they_are_computed_once(desk):
    waiting, told = [], []
    live = LiveScores(ScoringLogic(), schedule=waiting.append)
    live.watch(desk.volume, desk.segmentation)
    live.refresh()
    live.addListener(lambda source: told.append((source.upToDate, source.scores.total.agatston)))
    desk.paint("RCA", desk.labels == 4, "Remove")
    desk.paint("LAD", desk.labels == 4)
    assert told == [(False, pytest.approx(27))]
    assert len(waiting) == 1
    waiting.pop()()
    assert told[1:] == [(True, pytest.approx(27))]
    assert live.scores.vessels["LAD"].agatston == pytest.approx(27)
    desk.paint("LAD", desk.labels == 4, "Remove")
    assert len(waiting) == 1
    live.unwatch()
    waiting.pop()()  # too late: nothing is watched any more
    assert not live.upToDate


def test_without_automatic_the_scores_wait_for_refresh(desk):
    live = live_on(desk)
    live.automatic = False
    desk.paint("RCA", desk.labels == 4, "Remove")
    assert not live.upToDate
    assert live.scores.total.agatston == pytest.approx(27)
    assert live.refresh().total.agatston == pytest.approx(3)
    assert live.upToDate


@pytest.mark.parametrize("which", ["volume", "segmentation"])
def test_a_deleted_node_ends_the_watch_with_a_sentence(working, desk, which):
    live, told = live_on(desk), []
    live.addListener(told.append)
    working.scene.RemoveNode(getattr(desk, which))
    assert told == [live]
    assert not live.watching
    assert live.scores is None
    assert live.problem.code == "node-gone"
    with pytest.raises(InputRefusedError, match="deleted"):
        live.refresh()


def test_a_closed_scene_ends_the_watch(working, desk):
    live = live_on(desk)
    working.scene.Clear(0)
    assert not live.watching
    assert live.problem.code == "node-gone"


def test_no_calcium_segment_is_a_problem_until_there_is_one_again(desk):
    live = live_on(desk)
    segmentation = desk.segmentation.GetSegmentation()
    kept = segmentation.GetSegment("LAD")
    segmentation.RemoveAllSegments()
    assert live.problem.code == "no-calcium-segments"
    assert live.scores is None
    assert not live.upToDate
    segmentation.AddSegment(kept, "LAD")
    assert live.problem is None
    assert live.scores.total.agatston == pytest.approx(3)


def test_after_unwatching_edits_are_not_followed_and_nodes_have_no_observers_left(desk):
    live, told = live_on(desk), []
    live.addListener(told.append)
    live.unwatch()
    desk.paint("RCA", desk.labels == 4, "Remove")
    assert told == []
    assert not live.upToDate
    assert live.scores.total.agatston == pytest.approx(27)


def test_a_removed_listener_is_not_told(desk):
    live, told = live_on(desk), []
    live.addListener(told.append)
    live.removeListener(told.append)
    live.removeListener(told.append)
    desk.paint("RCA", desk.labels == 4, "Remove")
    assert told == []


def test_a_rename_that_means_nothing_tells_nobody(desk):
    live, told = live_on(desk), []
    live.addListener(told.append)
    desk.segmentation.GetSegmentation().GetSegment("LAD").SetColor(1.0, 0.0, 0.0)
    desk.segmentation.SetAttribute("anything", "x")
    assert told == []
    assert live.upToDate


def test_an_injected_scorer_is_used(desk):
    calls = []

    def scorer(ct, labels, **options):
        from CACScoringLib.scoring import score

        calls.append(options)
        return score(ct, labels, **options)

    live = LiveScores(ScoringLogic(scorer=scorer))
    live.watch(desk.volume, desk.segmentation, preset="canon")
    assert live.refresh().total.agatston == pytest.approx(27)
    assert calls == [{"preset": "canon", "kvp": None}]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_random_edits_undone_and_redone_score_as_from_scratch(working, preset):
    rng = np.random.default_rng(sum(map(ord, preset)))
    hu = rng.choice(np.array([-50, 40, 129, 130, 199, 250, 450], np.int16), (8, 16, 15))
    labels = rng.choice(np.array([0, 0, 0, 0, 1, 2, 4, 14], np.uint8), hu.shape)
    desk = a_desk(working, ct=CTVolume(hu, (1.5, 0.5, 0.5), acquisition=Acquisition(kvp=120.0)), labels=labels)
    live = live_on(desk, preset=preset)
    for _ in range(8):
        what = rng.random()
        if what < 0.25 and desk.editor.CanUndo():
            desk.editor.Undo()
        elif what < 0.35 and desk.editor.CanRedo():
            desk.editor.Redo()
        else:
            low = [int(rng.integers(0, size - 2)) for size in hu.shape]
            where = tuple(slice(start, start + int(rng.integers(1, 5))) for start in low)
            desk.paint(str(rng.choice(["LM", "LAD", "LCX", "RCA"])), where, str(rng.choice(["Add", "Remove"])))
        assert_as_from_scratch(live, desk, preset=preset)


def test_the_list_of_voxels_is_that_of_the_label_map(working):
    for direction in DIRECTIONS:
        desk = a_desk(working, direction)
        live = live_on(desk)
        labels = np.zeros(live._turned.shape, np.uint8)
        index, label = live._reader._result
        labels.reshape(-1)[index] = label
        from CACScoringLib.mrml.orientation import orient_labels

        assert np.array_equal(labels, orient_labels(labels_from_segmentation(desk.segmentation, desk.volume), desk.ct))
        assert (np.diff(index) > 0).all()
