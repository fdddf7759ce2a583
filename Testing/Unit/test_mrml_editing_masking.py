"""Masking and visibility of the Segment Editor, and segments that are not ours, on real MRML nodes."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from mrml_editing_samples import LAD, LCX, LM, LONG, RCA, SMALL, SPACING_MM, a_session, labelled
from vtk.util.numpy_support import vtk_to_numpy

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.mrml.editing.writing import box_image, layer_values

NODE = slicer.vtkMRMLSegmentationNode
EDITOR = slicer.vtkMRMLSegmentEditorNode


def add_foreign(session, part, name="Heart", own_layer=True):
    """A segment that is not ours, in a layer of its own or in the one that ours share."""
    segmentation = session.segmentation.GetSegmentation()
    mask = np.zeros(session.ct.shape, bool)
    mask[part] = True
    positions = np.flatnonzero(mask)
    image, box = box_image(session.segmentation, session.volume, positions)
    layer_values(image)[box.inside(positions)] = 1
    if own_layer:
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.AddRepresentation("Binary labelmap", image)
        assert segmentation.AddSegment(segment, name)
    else:
        assert segmentation.AddEmptySegment(name, name) == name
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        image.GetPointData().GetScalars().Modified()
        logic.SetBinaryLabelmapToSegment(image, session.segmentation, name, logic.MODE_MERGE_MASK)
        assert segmentation.GetNumberOfLayers() == 1
    return positions


def voxels_of(session, segment_id):
    """Positions of a segment's voxels, as Slicer exports them, on the volume's grid."""
    image = slicer.vtkOrientedImageData()
    session.segmentation.GetBinaryLabelmapRepresentation(segment_id, image)
    extent = image.GetExtent()
    full = np.zeros(session.ct.shape, bool)
    if image.GetPointData().GetScalars() is not None and extent[0] <= extent[1]:
        values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
        x0, x1, y0, y1, z0, z1 = extent
        full[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1] = values != 0
    return np.flatnonzero(full)


@pytest.mark.parametrize("own_layer", [True, False])
@pytest.mark.parametrize("overwrite", ["OverwriteAllSegments", "OverwriteVisibleSegments", "OverwriteNone"])
def test_segments_that_are_not_ours_are_never_touched(working, own_layer, overwrite):
    session = a_session(working, labels=labelled(LM=SMALL))
    heart = add_foreign(session, np.s_[2:5, 2:20, 2:20], own_layer=own_layer) if own_layer else None
    if heart is None:  # beside our small lesion, so that they can share a layer
        heart = add_foreign(session, np.s_[3:5, 2:20, 2:20], own_layer=False)
    session.node.SetOverwriteMode(getattr(EDITOR, overwrite))
    center = session.at(4, 5, 6)
    actions = (
        lambda: session.editing.click(center, whole=True, label=LAD),
        lambda: session.editing.click(center, whole=True, label=RCA),
        lambda: session.editing.shiftClick(center),
        lambda: session.editing.sphere(center, 30.0, label=LCX),
        lambda: session.editing.splitBySecondClick(session.at(4, 5, 4), session.at(4, 5, 11), LM, LAD),
        lambda: session.editing.sphere(center, 30.0, take=True),
    )
    expected = labelled(LM=SMALL)
    states = [expected.copy()]
    for number, action in enumerate(actions):
        assert action().changed > 0, number
        assert np.array_equal(voxels_of(session, "Heart"), heart), number
        states.append(session.read())
    assert (states[1] == LAD).sum() == (states[2] == RCA).sum() == 48
    assert (states[3] == RCA).sum() == 32
    assert (states[4] == LCX).sum() == 54
    assert ((states[5] == LM).sum(), (states[5] == LAD).sum()) == (24, 24)
    assert not states[6].any()
    for state in states[-2::-1]:
        session.editor.undo()
        assert np.array_equal(session.read(), state)
        assert np.array_equal(voxels_of(session, "Heart"), heart)


def test_a_voxel_never_has_two_of_our_labels_even_where_overlap_is_allowed(working):
    session = a_session(working, labels=labelled(LM=LONG))
    session.node.SetOverwriteMode(EDITOR.OverwriteNone)
    session.editing.click(session.at(4, 5, 6), whole=True, label=LAD)
    assert len(voxels_of(session, "LM")) == 0
    assert len(voxels_of(session, "LAD")) == 48


def test_segments_of_ours_that_overlapped_in_layers_are_put_right(working):
    session = a_session(working, labels=labelled(LM=LONG))
    session.node.SetOverwriteMode(EDITOR.OverwriteNone)
    stroke, _box = box_image(session.segmentation, session.volume, np.flatnonzero(labelled(LAD=LONG)))
    layer_values(stroke)[...] = 1
    session.editor.logic.ModifySegmentByLabelmap(
        session.segmentation, "LAD", stroke, session.editor.logic.ModificationModeAdd, False, False
    )
    assert (len(voxels_of(session, "LM")), len(voxels_of(session, "LAD"))) == (48, 48)
    session.editing.click(session.at(4, 5, 6), whole=True, label=RCA)
    assert [len(voxels_of(session, name)) for name in ("LM", "LAD", "RCA")] == [0, 0, 48]


def test_only_voxels_in_the_editable_intensity_range_are_given_and_taken(working):
    hu = np.full((8, 24, 24), 40, np.int16)
    hu[4, 5, 4:8], hu[4, 5, 8:12] = 200, 450
    session = a_session(working, CTVolume(hu, SPACING_MM, acquisition=Acquisition(kvp=120.0)))
    session.node.SetSourceVolumeIntensityMask(True)
    session.node.SetSourceVolumeIntensityMaskRange(300, 1000)
    done = session.editing.click(session.at(4, 5, 6), label=LAD)
    assert np.array_equal(session.read(), labelled(LAD=np.s_[4:5, 5:6, 8:12]))
    assert (done.changed, done.kept) == (4, 4)
    assert done.message == "4 voxels to LAD. 4 stayed, as masking or visibility say."
    session.node.SetSourceVolumeIntensityMaskRange(0, 250)
    assert session.editing.shiftClick(session.at(4, 5, 9)).message.startswith("The masking and visibility settings")
    assert np.array_equal(session.read(), labelled(LAD=np.s_[4:5, 5:6, 8:12]))
    session.editor.undo()
    assert not session.read().any()
    assert not session.editor.logic.CanUndo()


def test_only_inside_the_mask_segment(working):
    session = a_session(working)
    heart = add_foreign(session, np.s_[0:8, 0:24, 0:8])
    session.node.SetMaskMode(NODE.EditAllowedInsideSingleSegment)
    session.node.SetMaskSegmentID("Heart")
    done = session.editing.click(session.at(4, 5, 6), whole=True, label=LAD)
    assert np.array_equal(session.read(), labelled(LAD=np.s_[3:6, 5:7, 4:8]))
    assert (done.changed, done.kept) == (24, 24)
    session.editing.shiftClick(session.at(4, 5, 6))
    assert np.array_equal(voxels_of(session, "Heart"), heart)  # taking away does not give to the mask
    assert (session.read() == LAD).sum() == 16


def test_outside_all_segments_gives_only_what_nobody_has(working):
    session = a_session(working, labels=labelled(LM=np.s_[3:6, 5:7, 4:6]))
    add_foreign(session, np.s_[5:6, 0:24, 0:24])
    session.node.SetMaskMode(NODE.EditAllowedOutsideAllSegments)
    session.editing.sphere(session.at(4, 5, 6), 20.0, label=LAD)
    expected = labelled(LM=np.s_[3:6, 5:7, 4:6], RCA=SMALL)
    expected[3:5, 5:7, 6:12] = LAD
    expected[expected == RCA] = LAD
    assert np.array_equal(session.read(), expected)
    session.editing.shiftClick(session.at(4, 5, 6), whole=True)  # the edited segment does not mask itself
    assert not (session.read()[3:6] == LAD).any()


def test_inside_all_segments_moves_between_vessels_without_losing_voxels(working):
    session = a_session(working, labels=labelled(LM=np.s_[3:6, 5:7, 4:8]))
    session.node.SetMaskMode(NODE.EditAllowedInsideAllSegments)
    session.editing.sphere(session.at(4, 5, 6), 20.0, label=LAD)
    assert np.array_equal(session.read(), labelled(LAD=np.s_[3:6, 5:7, 4:8]))
    session.editor.undo()
    assert np.array_equal(session.read(), labelled(LM=np.s_[3:6, 5:7, 4:8]))


def test_visible_masks_go_by_what_is_visible(working):
    session = a_session(working)
    add_foreign(session, np.s_[0:8, 0:24, 0:8])
    session.node.SetMaskMode(NODE.EditAllowedOutsideVisibleSegments)
    session.editing.click(session.at(4, 5, 6), whole=True, label=LAD)
    assert np.array_equal(session.read(), labelled(LAD=np.s_[3:6, 5:7, 8:12]))
    session.segmentation.GetDisplayNode().SetSegmentVisibility("Heart", False)
    session.editing.click(session.at(4, 5, 6), whole=True, label=LAD)
    assert np.array_equal(session.read(), labelled(LAD=LONG))


def test_a_hidden_vessel_is_neither_given_nor_taken_from(working):
    session = a_session(working, labels=labelled(LM=LONG, RCA=SMALL))
    display = session.segmentation.GetDisplayNode()
    display.SetSegmentVisibility("LM", False)
    assert session.editing.click(session.at(2, 15, 15), label=LM).message == (
        "The segment LM is hidden: show it to edit it."
    )
    assert not session.editing.shiftClick(session.at(4, 5, 6), whole=True)
    session.node.SetOverwriteMode(EDITOR.OverwriteVisibleSegments)
    assert session.editing.click(session.at(4, 5, 6), whole=True, label=LAD).kept == 48
    assert np.array_equal(session.read(), labelled(LM=LONG, RCA=SMALL))
    assert not session.editor.logic.CanUndo()
    session.node.SetOverwriteMode(EDITOR.OverwriteAllSegments)
    session.editing.click(session.at(4, 5, 6), whole=True, label=LAD)
    assert np.array_equal(session.read(), labelled(LAD=LONG, RCA=SMALL))


def test_a_split_needs_both_vessels_visible(working):
    session = a_session(working, labels=labelled(LAD=LONG))
    display = session.segmentation.GetDisplayNode()
    display.SetSegmentVisibility("LM", False)
    display.SetSegmentVisibility("LAD", False)
    done = session.editing.splitBySecondClick(session.at(4, 5, 4), session.at(4, 5, 11), LM, LAD)
    assert done.message == "The segments LM and LAD are hidden: show them to edit them."
    assert np.array_equal(session.read(), labelled(LAD=LONG))
