"""Mouse and keys in slice views, as the effect passes them on, on real MRML nodes."""

from __future__ import annotations

import numpy as np
import pytest
from mrml_editing_samples import LAD, LCX, LM, LONG, OTHER, RCA, a_session, an_axial_view, labelled, xy_of

from CACScoringLib.mrml.editing.gestures import Gestures, Tool
from CACScoringLib.mrml.editing.lesions import Stops


@pytest.fixture
def hands(working):
    """A session with a view of slice 4 and gestures in it."""
    session = a_session(working)
    session.view = an_axial_view(session, 4)
    session.gestures = Gestures(session.editing)
    session.xy = lambda y, x: xy_of(session, session.view, y, x)
    return session


def drag(session, points, shift=False):
    """Press at the first point (y, x), move along the others, release at the last; return what was done."""
    gestures, view = session.gestures, session.view
    assert gestures.press(view, session.xy(*points[0]), shift) is None
    for point in points[1:]:
        gestures.move(view, session.xy(*point))
    return gestures.release(view, session.xy(*points[-1]))


def test_press_gives_to_the_active_vessel_and_with_shift_takes_away(hands):
    hands.gestures.key("4")
    assert hands.gestures.press(hands.view, hands.xy(5, 6)).changed == 16
    hands.gestures.whole = True
    assert hands.gestures.press(hands.view, hands.xy(5, 6)).changed == 32
    assert np.array_equal(hands.read(), labelled(RCA=LONG))
    hands.gestures.whole = False
    assert hands.gestures.press(hands.view, hands.xy(5, 6), shift=True).changed == 16
    assert hands.gestures.release(hands.view, hands.xy(5, 6)) is None
    assert (hands.read() == RCA).sum() == 32
    for _ in range(3):
        hands.editor.undo()
    assert not hands.read().any()


def test_a_lasso_is_drawn_and_given_on_release(hands):
    hands.gestures.setTool("lasso")
    hands.gestures.key("1")
    corners = [(4.5, 3.5), (4.5, 7.5), (6.5, 7.5), (6.5, 3.5)]
    hands.gestures.press(hands.view, hands.xy(*corners[0]))
    assert not hands.gestures.move(hands.view, hands.xy(*corners[0]) + 1)  # too little
    assert hands.gestures.move(hands.view, hands.xy(*corners[1]))
    view, outline = hands.gestures.outline()
    assert view is hands.view
    assert np.array_equal(outline[0], outline[-1])
    hands.gestures.cancel()
    assert hands.gestures.outline() is None
    assert drag(hands, corners).changed == 8
    assert np.array_equal(hands.read(), labelled(LM=np.s_[4:5, 5:7, 4:8]))
    assert hands.scores().vessels["LM"].agatston == pytest.approx(4)
    hands.gestures.slabMm = None
    assert drag(hands, corners, shift=True).changed == 8
    assert not hands.read().any()
    hands.editor.undo()
    assert (hands.read() == LM).sum() == 8
    assert drag(hands, corners[:2]).message == "Draw around calcium with the button held down."


def test_a_sphere_is_dragged_from_its_middle(hands):
    hands.gestures.setTool(Tool.SPHERE)
    hands.gestures.key("3")
    hands.gestures.press(hands.view, hands.xy(5, 6))
    hands.gestures.move(hands.view, hands.xy(5, 8.2))  # 1.1 mm: 11 pixels
    _, circle = hands.gestures.outline()
    assert np.linalg.norm(circle - hands.xy(5, 6), axis=1) == pytest.approx(11)
    hands.gestures.cancel()
    assert drag(hands, [(5, 6), (5, 8.2)]).changed == 8
    assert (hands.read() == LCX).sum() == 8
    assert drag(hands, [(5, 6), (5, 6.5)]).message.startswith("Drag from the middle")
    hands.editor.undo()
    assert not hands.editor.logic.CanUndo()


def test_a_line_splits_between_the_active_vessel_and_the_second(hands):
    hands.gestures.setTool(Tool.SPLIT_LINE)
    hands.gestures.key("1")
    hands.gestures.secondLabel = LAD
    assert drag(hands, [(9, 6.5), (2, 6.5)]).changed == 16
    expected = labelled(LAD=np.s_[4:5, 5:7, 4:12])
    expected[4, 5:7, 4:7] = LM
    assert np.array_equal(hands.read(), expected)
    hands.gestures.secondLabel = LM
    assert drag(hands, [(9, 6.5), (2, 6.5)]).message == "Choose two different vessels for the parts."


def test_two_clicks_split_and_a_key_in_between_chooses_the_second_vessel(hands):
    hands.gestures.setTool(Tool.SPLIT_CLICKS)
    hands.gestures.whole = True
    hands.gestures.key("1")
    assert hands.gestures.press(hands.view, hands.xy(5, 4)).message == "Now click the other part of the lesion."
    hands.gestures.key("3")
    assert hands.gestures.press(hands.view, hands.xy(5, 11)).changed == 48
    expected = labelled(LM=np.s_[3:6, 5:7, 4:8], LCX=np.s_[3:6, 5:7, 8:12])
    assert np.array_equal(hands.read(), expected)
    hands.gestures.secondLabel = LAD
    hands.gestures.press(hands.view, hands.xy(5, 4))
    assert hands.gestures.key("Escape").message == "Dropped."
    hands.gestures.press(hands.view, hands.xy(5, 4))
    hands.gestures.press(hands.view, hands.xy(5, 11))  # the active vessel is LCX still
    expected[3:6, 5:7, 4:8], expected[3:6, 5:7, 8:12] = LCX, LAD
    assert np.array_equal(hands.read(), expected)


def test_a_drag_that_leaves_for_another_view_stays_in_its_own(hands):
    other = an_axial_view(hands, 2)
    hands.gestures.setTool(Tool.SPHERE)
    hands.gestures.press(hands.view, hands.xy(5, 6))
    assert not hands.gestures.move(other, (0, 0))
    assert hands.gestures.release(other, (150, 90)).message.startswith("Drag from the middle")


def test_keys_step_through_lesions_and_move_the_views(hands):
    other = an_axial_view(hands, 0)
    hands.gestures.key("2")
    assert hands.gestures.key("n", [hands.view]) is None  # no lesion is marked yet
    hands.gestures.stops = Stops.CANDIDATES
    stop = hands.gestures.key("n", [hands.view, other])
    assert (stop.number, stop.count, stop.vessel, stop.zyx[0]) == (1, 2, "", 3)  # equally bright: the first voxel
    assert hands.view.GetSliceToRAS().GetElement(2, 3) == pytest.approx(hands.at(3, 0, 0)[2])
    assert hands.gestures.key("n", [hands.view, other]).zyx[0] == 2
    assert other.GetSliceToRAS().GetElement(2, 3) == pytest.approx(hands.at(2, 0, 0)[2])
    assert hands.gestures.key("p", [hands.view]).zyx[0] == 3
    assert hands.gestures.key("5") == OTHER
    assert hands.gestures.key("x") is None
    assert hands.gestures.key("Escape") is None
    assert not hands.editor.logic.CanUndo()
