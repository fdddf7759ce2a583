"""The panel's buttons on a stand-in for Qt: the scene, the scans and the session behind them are real."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import pytest
import slicer
from review_samples import SECOND_SPOT, SETTINGS, a_folder, give_to, logic

from CACScoringLib.mrml.scene import new_scene
from CACScoringLib.mrml.worklist_table import Status

PANEL = Path(__file__).resolve().parents[2] / "CACScoring" / "CACScoringDesktop" / "review_panel.py"


class Settings:
    reader = "A. Reader"

    def setReader(self, reader):
        self.reader = reader


class Line:
    """A line edit or label."""

    def __init__(self, text=""):
        self.text = self.currentPath = text


@pytest.fixture
def panel(monkeypatch, tmp_path):
    working = new_scene()
    monkeypatch.syspath_prepend(str(PANEL.parents[1]))
    translation = ModuleType("slicer.i18n")
    translation.tr = lambda text: text
    for name, module in (("qt", MagicMock()), ("ctk", MagicMock()), ("slicer.i18n", translation)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(slicer, "mrmlScene", working.scene, raising=False)
    monkeypatch.setattr(slicer, "qMRMLTableView", MagicMock(), raising=False)
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", MagicMock())
    spec = importlib.util.spec_from_file_location("review_panel", PANEL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    opened = []
    made = module.ReviewPanel(logic(), Settings(), lambda: SETTINGS, caseOpened=lambda *nodes: opened.append(nodes))
    made.sourceEdit, made.folderEdit = Line(str(tmp_path / "in" / "list.csv")), Line(str(tmp_path / "out"))
    made.readerEdit, made.commentEdit = Line("A. Reader"), Line()
    made.messageLabel, made.progressLabel = Line(), Line()
    made.goOnCheckBox = SimpleNamespace(checked=True)
    return SimpleNamespace(panel=made, opened=opened, working=working, qt=sys.modules["qt"])


def names(table):
    return [(table.GetCellText(row, 0), table.GetCellText(row, 1)) for row in range(table.GetNumberOfRows())]


def test_beginning_shows_the_list_and_the_first_case(panel, tmp_path):
    a_folder(tmp_path / "in", "a", "b")
    panel.panel.onSource()
    assert panel.panel.folderEdit.currentPath == str(tmp_path / "in" / "list-review")
    panel.panel.onBegin()
    assert names(panel.panel.tableNode) == [("a", "pending"), ("b", "pending")]
    nodes = panel.panel.session.current.nodes
    assert panel.opened == [(nodes.volume, nodes.segmentation)]
    slicer.util.setSliceViewerLayers.assert_called_once_with(background=nodes.volume, fit=True)
    assert panel.panel.progressLabel.text == "Case 1 of 2: 0 accepted, 0 edited, 0 rejected, 0 failed"
    assert panel.panel.messageLabel.text == ""


def test_a_decision_goes_on_to_the_next_case_past_a_broken_one(panel, tmp_path):
    a_folder(tmp_path / "in", "a", "broken", "b")
    it = panel.panel
    it.onBegin()
    it.commentEdit.text = "fine"
    it.onAccept()
    assert it.session.current.index == 2
    assert it.commentEdit.text == ""
    give_to(it.session.current, SECOND_SPOT, 4)
    it.onEdited()
    assert names(it.tableNode) == [("a", "accepted"), ("broken", "failed"), ("b", "edited")]
    assert it.session.workList[0].comment == "fine"
    assert it.messageLabel.text == "Every case that could be opened is decided."
    it.onRow(1)
    assert panel.opened[-1] == (None, None)
    assert it.messageLabel.text
    it.commentEdit.text = "no image"
    it.onReject()
    assert it.session.workList[1].status is Status.REJECTED


def test_what_cannot_be_done_is_a_sentence_in_the_panel(panel, tmp_path):
    it = panel.panel
    for press in (
        it.onAccept,
        it.onNext,
        it.onUndecide,
        it.onRevert,
        it.onComment,
        it.onSaveTimer,
        it.onTimer,
        it.onStop,
    ):
        press()  # nothing is open: nothing happens
    it.onBegin()
    assert it.messageLabel.text.startswith("There is no folder or list")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "list.csv").write_text("patient,age\np1,61\n")
    it.onBegin()
    assert "no column named input" in it.messageLabel.text
    a_folder(tmp_path / "in", "a")
    it.readerEdit.text = ""
    it.onBegin()
    it.onAccept()
    assert it.messageLabel.text.startswith("Nobody is named as reader")
    it.readerEdit.text = "B"
    it.onReader()
    it.onEdited()
    assert it.messageLabel.text.startswith("The labels of this case are the automatic ones")
    it.onNext()
    assert it.messageLabel.text == "There is no further case."


def test_edits_are_saved_by_the_timer_and_on_leaving(panel, tmp_path):
    a_folder(tmp_path / "in", "a")
    it = panel.panel
    it.onBegin()
    give_to(it.session.current, SECOND_SPOT, 4)
    it.onSaveTimer()
    assert (tmp_path / "out" / "a" / "draft.seg.nrrd").is_file()
    it.commentEdit.text = "half done"
    it.onComment()
    it.cleanup()
    assert panel.working.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert it.session is None
    it.onBegin()
    assert it.commentEdit.text == "half done"
    it.onRevert()
    assert not (tmp_path / "out" / "a" / "draft.seg.nrrd").exists()


def test_results_are_exported_where_the_reader_says(panel, tmp_path):
    a_folder(tmp_path / "in", "a")
    it = panel.panel
    it.onBegin()
    it.onAccept()
    panel.qt.QFileDialog.getSaveFileName.return_value = ""
    it.onExport()
    panel.qt.QFileDialog.getSaveFileName.return_value = str(tmp_path / "results.csv")
    it.onExport()
    with (tmp_path / "results.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["accepted"]
    assert it.messageLabel.text == f"Written: {tmp_path / 'results.csv'}"
