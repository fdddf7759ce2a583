"""The outcome as tables, chart and slice views on real MRML nodes."""

from __future__ import annotations

import pytest
import slicer
import vtk
from live_samples import a_desk

from CACScoringLib.mrml.live import LiveScores
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.outcome import OutcomeView
from CACScoringLib.mrml.outcome_table import OUT_OF_DATE, UP_TO_DATE
from CACScoringLib.mrml.scene import new_scene, open_scene, save_scene
from CACScoringLib.scoring import Demographics
from CACScoringLib.vocabulary import LABEL_BY_NAME

WOMAN = Demographics(61, "F", "white")


@pytest.fixture
def desk(working):
    return a_desk(working)


def texts(table):
    """The rows of a table as dictionaries of text."""
    names = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
    return [
        {name: table.GetCellText(row, column) for column, name in enumerate(names)}
        for row in range(table.GetNumberOfRows())
    ]


def words(view, title):
    return [row["notes"] for row in texts(view.outcomeTableNode) if row["vessel"] == title]


def shown(working, desk, **options):
    logic = ScoringLogic()
    view = OutcomeView(working.scene)
    scores = logic.computeScores(desk.volume, desk.segmentation, **options)
    view.update(logic.document(desk.volume, desk.segmentation, scores), volumeNode=desk.volume)
    return view


def test_a_row_a_vessel_and_a_total_in_numbers_that_people_read(working, desk):
    rows = texts(shown(working, desk).outcomeTableNode)[:5]
    assert [row["vessel"] for row in rows] == ["LM", "LAD", "LCX", "RCA", "Total"]
    assert [row["agatston"] for row in rows] == ["0", "3.0", "0", "24.0", "27.0"]
    assert [row["volume_mm3"] for row in rows] == ["0", "4.5", "0", "18.0", "22.5"]
    assert [row["mass_mg"] for row in rows] == ["0", "0.9", "0", "6.2", "7.1"]
    assert [row["lesions"] for row in rows] == ["0", "1", "0", "1", "2"]
    assert [row["max_hu"] for row in rows] == ["–", "250", "–", "450", "450"]
    assert [row["density"] for row in rows] == ["–", "2.0", "–", "4.0", "3.6"]  # (6*2 + 24*4) / 30


def test_then_risk_and_findings_in_words_and_what_the_numbers_rest_on(working, desk):
    view = shown(working, desk)
    assert words(view, "Status") == [UP_TO_DATE]
    assert words(view, "Risk category") == [">10-100"]
    assert words(view, "CAC-DRS") == ["A1/N2"]
    assert any("not a calibration of this scanner" in text for text in words(view, "Note"))
    assert words(view, "Rests on")[0].startswith("preset agatston-1990  ·  threshold 130 HU  ·  given labels Calcium")
    assert words(view, "Use")[0].startswith("Research use only")
    assert words(view, "Percentile") == words(view, "Arterial age") == []


def test_percentile_and_arterial_age_once_the_patient_is_known(working, desk):
    view = shown(working, desk, demographics=WOMAN)
    assert "50-75 (hoff-2001: 61 years, F)" in words(view, "Percentile")
    assert any("mesa" in text and "white" in text for text in words(view, "Percentile"))
    assert words(view, "Arterial age") == ["63 years (patient: 61 years, F)"]


def test_warnings_stand_before_notes(working, desk):
    desk.volume.SetAttribute("CACScoring.Acquisition.kvp", None)
    titles = [row["vessel"] for row in texts(shown(working, desk).outcomeTableNode)]
    assert "Warning" in titles
    assert titles.index("Warning") < titles.index("Note")


def test_the_table_says_when_it_is_out_of_date(working, desk):
    logic = ScoringLogic()
    view, live = OutcomeView(working.scene), LiveScores(logic)
    live.automatic = False
    live.addListener(lambda source: view.update(source.scores, source.upToDate))
    live.watch(desk.volume, desk.segmentation)
    live.refresh()
    assert words(view, "Status") == [UP_TO_DATE]
    desk.paint("RCA", desk.labels == 4, "Remove")
    assert words(view, "Status") == [OUT_OF_DATE]
    assert view.outcomeTableNode.GetAttribute("CACScoring.UpToDate") == "false"
    live.refresh()
    assert words(view, "Status") == [UP_TO_DATE]
    assert texts(view.outcomeTableNode)[4]["agatston"] == "3.0"


def test_the_status_can_change_alone(working, desk):
    view = shown(working, desk)
    view.setUpToDate(False)
    assert words(view, "Status") == [OUT_OF_DATE]
    assert texts(view.outcomeTableNode)[4]["agatston"] == "27.0"
    view.setUpToDate(True)
    assert words(view, "Status") == [UP_TO_DATE]
    assert view.outcomeTableNode.GetAttribute("CACScoring.UpToDate") == "true"


def test_every_edit_undo_and_redo_reaches_all_tables(working, desk):
    view, live = OutcomeView(working.scene), LiveScores(ScoringLogic())
    live.addListener(lambda source: view.update(source.scores, source.upToDate))
    live.watch(desk.volume, desk.segmentation)
    live.refresh()

    def numbers():
        return (
            texts(view.outcomeTableNode)[4]["agatston"],
            view.lesionTableNode.GetNumberOfRows(),
            view.chartTableNode.GetTable().GetValueByName(0, "RCA").ToDouble(),
        )

    assert numbers() == ("27.0", 3, pytest.approx(24))
    desk.paint("RCA", desk.labels == 4, "Remove")
    assert numbers() == ("3.0", 2, 0)
    desk.editor.Undo()
    assert numbers() == ("27.0", 3, pytest.approx(24))
    desk.editor.Redo()
    assert numbers() == ("3.0", 2, 0)


def test_without_scores_the_tables_are_empty_and_say_so(working, desk):
    view = shown(working, desk)
    view.clear()
    assert [(row["vessel"], row["notes"]) for row in texts(view.outcomeTableNode)] == [("Status", "Not scored")]
    assert view.outcomeTableNode.GetAttribute("CACScoring.UpToDate") == "false"
    assert view.lesionTableNode.GetNumberOfRows() == view.scoreTableNode.GetNumberOfRows() == 0
    assert view.chartTableNode.GetTable().GetValueByName(0, "RCA").ToDouble() == 0
    assert not view.jumpToLesion(0, [])


@pytest.mark.parametrize("direction", ["axial", "prone", "oblique"])
def test_a_lesion_row_moves_the_slice_views_to_the_lesion(working, direction):
    desk = a_desk(working, direction)
    view = shown(working, desk)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(working.scene)
    views = []
    for orientation in ("Axial", "Sagittal", "Coronal"):
        node = working.scene.CreateNodeByClass("vtkMRMLSliceNode")  # with the scene's orientations
        node.UnRegister(None)
        node.SetLayoutName(orientation)
        working.scene.AddNode(node)
        getattr(node, f"SetOrientationTo{orientation}")()
        views.append(node)
    assert view.jumpToLesion(1, views)
    matrix = vtk.vtkMatrix4x4()
    desk.volume.GetIJKToRASMatrix(matrix)
    r, a, s, _ = matrix.MultiplyPoint((4.5, 13.0, 4.5, 1.0))  # the centre of the RCA's 4 x 3 pixels in slices 4 and 5
    axial, sagittal, coronal = (view_node.GetSliceToRAS() for view_node in views)
    assert axial.GetElement(2, 3) == pytest.approx(s)
    assert sagittal.GetElement(0, 3) == pytest.approx(r)
    assert coronal.GetElement(1, 3) == pytest.approx(a)
    assert not view.jumpToLesion(3, views)
    assert not view.jumpToLesion(-1, views)


def test_a_moved_volume_takes_its_lesions_with_it(working, desk):
    transform = working.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(2, 3, 100.0)
    transform.SetMatrixTransformToParent(matrix)
    before = shown(working, desk).lesionPosition(1)
    for node in (desk.volume, desk.segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())
    after = shown(working, desk).lesionPosition(1)
    assert after == pytest.approx((before[0], before[1], before[2] + 100.0))


def test_a_bar_for_each_vessel_in_its_colour(working, desk):
    view = shown(working, desk)
    chart = view.chartNode
    assert chart.GetNumberOfPlotSeriesNodes() == 4
    for index, vessel in enumerate(("LM", "LAD", "LCX", "RCA")):
        series = chart.GetNthPlotSeriesNode(index)
        assert series.GetName() == vessel
        assert series.GetPlotType() == series.PlotTypeBar
        assert series.GetColor() == pytest.approx(LABEL_BY_NAME[vessel].color)
        value = series.GetTableNode().GetTable().GetValueByName(0, series.GetYColumnName()).ToDouble()
        assert value == pytest.approx((0, 3, 0, 24)[index])
    assert chart.GetYAxisTitle() == "Agatston score"
    scores = ScoringLogic().computeScores(desk.volume, desk.segmentation)
    view.update(scores, quantity="volume_mm3")
    assert chart.GetYAxisTitle() == "Volume (mm3)"
    assert view.chartTableNode.GetTable().GetValueByName(0, "RCA").ToDouble() == pytest.approx(18)


def count(scene):
    return {kind: scene.GetNumberOfNodesByClass(f"vtkMRML{kind}Node") for kind in ("Table", "PlotChart", "PlotSeries")}


def test_nodes_are_made_once_found_again_in_a_loaded_scene_and_remade_when_deleted(working, desk, tmp_path):
    view = shown(working, desk)
    expected = {"Table": 4, "PlotChart": 1, "PlotSeries": 4}
    shown(working, desk)
    assert count(working.scene) == expected
    again = open_scene(save_scene(working.scene, tmp_path / "case.mrb"), new_scene())
    loaded = OutcomeView(again.scene)
    assert texts(loaded.outcomeTableNode) == texts(view.outcomeTableNode)
    loaded.clear()
    assert count(again.scene) == expected
    working.scene.RemoveNode(view.outcomeTableNode)
    working.scene.RemoveNode(view.chartNode)
    view.update(ScoringLogic().computeScores(desk.volume, desk.segmentation))
    assert count(working.scene) == expected
    assert view.chartNode.GetNumberOfPlotSeriesNodes() == 4


def test_two_views_have_their_own_nodes(working, desk):
    shown(working, desk)
    other = OutcomeView(working.scene, "Second reading")
    other.clear()
    assert count(working.scene)["Table"] == 8
    assert other.outcomeTableNode.GetName() == "Second reading"
