"""Lasso, sphere and splitting, on real MRML nodes."""

from __future__ import annotations

import numpy as np
import pytest
from mrml_editing_samples import LAD, LCX, LM, LONG, RCA, SMALL, SPECK, a_session, an_axial_view, labelled, xy_of

from CACScoringLib.mrml.editing.regions import HalfSpace, Lasso, Sphere, in_polygon
from CACScoringLib.mrml.editing.views import lasso_of_view, towards_viewer, view_to_ras


def around(session, view, rows, columns):
    """A lasso round voxels rows[0]..rows[1] and columns[0]..columns[1], in pixels of the view."""
    (y0, y1), (x0, x1) = rows, columns
    corners = ((y0 - 0.5, x0 - 0.5), (y0 - 0.5, x1 + 0.5), (y1 + 0.5, x1 + 0.5), (y1 + 0.5, x0 - 0.5))
    return [xy_of(session, view, y, x) for y, x in corners]


def test_a_view_shows_voxels_where_slicer_says(working):
    session = a_session(working)
    view = an_axial_view(session, 4)
    xy = xy_of(session, view, 5, 6)
    # 0.1 mm a pixel; right of the view is the patient's left, where x grows; 4 voxels of 0.5 mm to its left, 5 above
    assert xy - xy_of(session, view, 10, 10) == pytest.approx((-20, 25), abs=1e-6)
    assert view_to_ras(view, xy) == pytest.approx(session.at(4, 5, 6))
    assert towards_viewer(view) == pytest.approx((0, 0, -1))  # seen from the feet


def test_a_lasso_gives_what_it_encloses_in_the_slice_that_is_seen(working):
    session = a_session(working)
    view = an_axial_view(session, 4)
    lasso = lasso_of_view(view, around(session, view, (5, 6), (4, 8)), session.editing.scan())
    done = session.editing.lasso(lasso, label=LAD)
    assert np.array_equal(session.read(), labelled(LAD=np.s_[4:5, 5:7, 4:9]))
    assert done.message == "10 voxels to LAD."
    assert session.scores().vessels["LAD"].agatston == pytest.approx(10 * 0.25 * 2)
    session.editor.undo()
    assert not session.read().any()
    session.editor.redo()
    assert np.array_equal(session.read(), labelled(LAD=np.s_[4:5, 5:7, 4:9]))


def test_a_lasso_goes_through_a_slab_or_the_whole_scan(working):
    session = a_session(working)
    view = an_axial_view(session, 4)
    everything = around(session, view, (0, 23), (0, 23))
    scan = session.editing.scan()
    session.editing.lasso(lasso_of_view(view, everything, scan, slab_mm=7.0), label=LAD)  # slices within 3.5 mm
    assert np.array_equal(session.read(), labelled(LAD=LONG))
    session.editor.undo()
    done = session.editing.lasso(lasso_of_view(view, everything, scan, slab_mm=None), label=LAD)
    assert np.array_equal(session.read(), labelled(LAD=LONG) + labelled(LAD=SMALL))  # never the speck
    assert done.changed == 54
    assert session.scores().total.agatston == pytest.approx(28.5)
    session.editor.undo()
    assert not session.editor.logic.CanUndo()


def test_a_lasso_takes_away_whatever_vessel_has_it(working):
    session = a_session(working, labels=labelled(LAD=LONG, RCA=SMALL) + labelled(LM=SPECK))
    view = an_axial_view(session, 4)
    lasso = lasso_of_view(view, around(session, view, (0, 23), (0, 15)), session.editing.scan(), slab_mm=None)
    done = session.editing.lasso(lasso, take=True)
    assert np.array_equal(session.read(), labelled(RCA=np.s_[2:3, 15:17, 16:18]) + labelled(LM=SPECK))
    assert done.message == "50 voxels taken away."
    session.editor.undo()
    assert np.array_equal(session.read(), labelled(LAD=LONG, RCA=SMALL) + labelled(LM=SPECK))


def test_a_lasso_in_a_sagittal_view_encloses_through_its_depth(working):
    session = a_session(working)
    view = session.working.scene.AddNewNodeByClass("vtkMRMLSliceNode")
    view.SetLayoutName("Sagittal")
    view.SetOrientationToSagittal()
    view.SetDimensions(200, 200, 1)
    view.SetFieldOfView(40, 40, 1)
    view.JumpSliceByCentering(*session.at(4, 6, 6))
    from CACScoringLib.mrml.geometry import from_vtk_matrix

    inverse = np.linalg.inv(from_vtk_matrix(view.GetXYToRAS()))
    corners = [session.at(z, y, 6) for z, y in ((2.5, 3), (2.5, 8), (4.5, 8), (4.5, 3))]
    polygon = [(inverse @ (*corner, 1))[:2] for corner in corners]
    scan = session.editing.scan()
    session.editing.lasso(lasso_of_view(view, polygon, scan), label=LCX)
    assert np.array_equal(session.read(), labelled(LCX=np.s_[3:5, 5:7, 6:7]))  # one column is one sagittal slice
    session.editing.lasso(lasso_of_view(view, polygon, scan, slab_mm=None), label=LCX)
    assert np.array_equal(session.read(), labelled(LCX=np.s_[3:5, 5:7, 4:12]))


def test_a_lasso_round_nothing_says_so(working):
    session = a_session(working)
    view = an_axial_view(session, 6)
    lasso = lasso_of_view(view, around(session, view, (18, 22), (18, 22)), session.editing.scan())
    assert session.editing.lasso(lasso, label=LAD).message.startswith("There is no calcium")
    assert not session.editor.logic.CanUndo()


def test_a_sphere_gives_the_voxels_whose_centres_lie_in_it(working):
    session = a_session(working)
    center = session.at(4, 5, 6)
    # 1.1 mm: two pixels to each side in the row, and beside them one and a half; no other slice (3 mm)
    assert session.editing.sphere(center, 1.1, label=RCA).changed == 5 + 3
    expected = np.zeros((8, 24, 24), np.uint8)
    expected[4, 5, 4:9] = RCA
    expected[4, 6, 5:8] = RCA
    assert np.array_equal(session.read(), expected)
    session.editing.sphere(center, 3.0, label=RCA)
    expected[LONG] = 0
    expected[4, 5:7, 4:12] = RCA
    expected[3, 5, 6] = expected[5, 5, 6] = RCA  # exactly 3 mm away
    assert np.array_equal(session.read(), expected)
    session.editing.sphere(center, 0.6, take=True)
    expected[4, 5, 5:8] = expected[4, 6, 6] = 0
    assert np.array_equal(session.read(), expected)
    for _ in range(3):
        session.editor.undo()
    assert not session.read().any()


def test_a_line_splits_a_lesion_into_left_and_right_of_it(working):
    session = a_session(working, labels=labelled(LAD=LONG, RCA=SMALL))
    view = an_axial_view(session, 4)
    # drawn upwards in the view, from posterior to anterior, between columns 6 and 7: left of it is x <= 6
    start, end = session.at(4, 9, 6.5), session.at(4, 2, 6.5)
    done = session.editing.splitByPlane(start, end, towards_viewer(view), LM, LAD)
    expected = labelled(LAD=LONG, RCA=SMALL)
    expected[3:6, 5:7, 4:7] = LM
    assert np.array_equal(session.read(), expected)
    assert done.message == "18 voxels to LM."
    scores = session.scores().vessels
    assert scores["LM"].agatston == pytest.approx(3 * 6 * 0.25 * 2)
    assert scores["LAD"].agatston == pytest.approx(3 * 10 * 0.25 * 2)
    assert scores["RCA"].agatston == pytest.approx(4.5)
    session.editor.undo()
    assert np.array_equal(session.read(), labelled(LAD=LONG, RCA=SMALL))
    assert not session.editor.logic.CanUndo()
    session.editor.redo()
    assert np.array_equal(session.read(), expected)


def test_a_split_can_be_drawn_again_elsewhere(working):
    session = a_session(working)
    normal = towards_viewer(an_axial_view(session, 4))
    session.editing.splitByPlane(session.at(4, 9, 6.5), session.at(4, 2, 6.5), normal, LM, LAD)
    session.editing.splitByPlane(session.at(4, 9, 9.5), session.at(4, 2, 9.5), normal, LM, LAD)
    expected = labelled(LAD=LONG)
    expected[3:6, 5:7, 4:10] = LM
    assert np.array_equal(session.read(), expected)


def test_a_line_splits_the_island_of_its_slice_when_asked_to(working):
    session = a_session(working, labels=labelled(LAD=LONG))
    normal = towards_viewer(an_axial_view(session, 4))
    session.editing.splitByPlane(session.at(4, 2, 6.5), session.at(4, 9, 6.5), normal, LCX, LAD, whole=False)
    expected = labelled(LAD=LONG)
    expected[4, 5:7, 7:12] = LCX  # drawn downwards: its left is the other side
    assert np.array_equal(session.read(), expected)


def test_a_line_beside_the_lesion_or_of_no_length_splits_nothing(working):
    session = a_session(working, labels=labelled(LAD=LONG))
    normal = towards_viewer(an_axial_view(session, 4))
    for start, end in (((4, 9, 18), (4, 2, 18)), ((4, 20, 6.5), (4, 9, 6.5)), ((0, 9, 6.5), (0, 2, 6.5))):
        assert not session.editing.splitByPlane(session.at(*start), session.at(*end), normal, LM, LAD)
    point = session.at(4, 5, 6.5)
    assert session.editing.splitByPlane(point, point, normal, LM, LAD).message == "Draw a line across the lesion."
    assert np.array_equal(session.read(), labelled(LAD=LONG))
    assert not session.editor.logic.CanUndo()


def test_a_second_click_splits_the_lesion_half_way(working):
    session = a_session(working, labels=labelled(LAD=LONG))
    done = session.editing.splitBySecondClick(session.at(4, 5, 4), session.at(4, 5, 11), LM, LAD)
    expected = labelled(LAD=LONG)
    expected[3:6, 5:7, 4:8] = LM
    assert np.array_equal(session.read(), expected)
    assert done.changed == 24
    assert session.scores().vessels["LM"].agatston == pytest.approx(12)
    assert session.scores().total.agatston == pytest.approx(24)
    session.editor.undo()
    assert np.array_equal(session.read(), labelled(LAD=LONG))
    session.editor.redo()
    assert session.scores().vessels["LM"].agatston == pytest.approx(12)


def test_a_second_click_splits_what_no_vessel_has_yet_in_one_step(working):
    session = a_session(working)
    session.editing.splitBySecondClick(session.at(3, 5, 5), session.at(5, 5, 5), LAD, LCX, whole=True)
    # as near to both in slice 4: goes with the first
    expected = labelled(LAD=np.s_[3:5, 5:7, 4:12], LCX=np.s_[5:6, 5:7, 4:12])
    assert np.array_equal(session.read(), expected)
    session.editor.undo()
    assert not session.read().any()
    assert not session.editor.logic.CanUndo()


def test_two_clicks_on_two_lesions_split_nothing(working):
    session = a_session(working)
    done = session.editing.splitBySecondClick(session.at(4, 5, 4), session.at(2, 15, 15), LM, LAD)
    assert done.message == "The two clicks are not on one lesion."
    assert session.editing.splitBySecondClick(session.at(4, 5, 4), session.at(0, 0, 0), LM, LAD).changed == 0
    assert not session.editor.logic.CanUndo()


def test_points_in_a_polygon_by_the_even_odd_rule():
    square = np.array([(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)])
    points = np.array([(2.0, 2.0), (5.0, 2.0), (2.0, -1.0), (3.99, 3.99), (0.0, 2.0), (4.0, 2.0)])
    assert in_polygon(points, square).tolist() == [True, False, False, True, True, False]
    bow = np.array([(0.0, 0.0), (4.0, 4.0), (4.0, 0.0), (0.0, 4.0)])
    assert in_polygon(np.array([(1.0, 2.0), (3.0, 2.0), (2.0, 1.0)]), bow).tolist() == [True, True, False]


def test_two_lassos_that_share_an_edge_share_no_voxel_and_miss_none():
    points = np.stack(np.meshgrid(np.arange(-3.0, 4.0), np.arange(-3.0, 4.0), [0.0]), axis=-1).reshape(-1, 3)
    left = Lasso(np.eye(4), np.array([(-4.0, -4.0), (0.0, -4.0), (0.0, 4.0), (-4.0, 4.0)]))
    right = Lasso(np.eye(4), np.array([(0.0, -4.0), (4.0, -4.0), (4.0, 4.0), (0.0, 4.0)]))
    assert (left.contains(points).astype(int) + right.contains(points) == 1).all()


def test_spheres_and_half_spaces_contain_their_border():
    points = np.array([(0.0, 0.0, 2.0), (0.0, 0.0, 2.001), (1.0, 0.0, 0.0), (-0.001, 0.0, 0.0)])
    assert Sphere((0.0, 0.0, 0.0), 2.0).contains(points).tolist() == [True, False, True, True]
    assert HalfSpace((0.0, 0.0, 0.0), (1.0, 0.0, 0.0)).contains(points).tolist() == [True, True, True, False]
    nearer = HalfSpace.nearer_to((1.0, 0.0, 0.0), (3.0, 0.0, 0.0))
    assert nearer.contains(np.array([(2.0, 5.0, 5.0), (2.1, 0.0, 0.0)])).tolist() == [True, False]
