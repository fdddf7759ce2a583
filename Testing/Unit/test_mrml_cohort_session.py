"""The Cohort section without a desktop: the request, the process that answers it, the result in the scene."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import pytest
import slicer
from worker_samples import FailingLauncher, ScriptedProcess

from CACScoringLib.cohort.guess import EVENT, SCORE, TIME, guess_column
from CACScoringLib.cohort.request import AGREEMENT, OUTCOMES, VIEWS, CohortRequest
from CACScoringLib.cohort.tables import table_columns
from CACScoringLib.cohort.views import POINTS, ChartView, CohortViews, SeriesView, TableView, views_to_json
from CACScoringLib.cohort.worker import read_request, write_request
from CACScoringLib.installing import InstallError
from CACScoringLib.mrml.cohort_session import CohortSession

ROOT = Path(__file__).resolve().parents[2]
PANELS = ROOT / "CACScoring" / "CACScoringDesktop"
VIEWED = CohortViews(
    "Two cases",
    (
        ChartView(
            "c", "Chart", "x", "y", (SeriesView("p", (1.0,), (2.0,), (0.0, 0.0, 0.0), POINTS),), (0.0, 1.0), (0.0, 2.0)
        ),
    ),
    (TableView("t", "Table", ("a",), (("1",),), "A note."),),
)


class Process(ScriptedProcess):
    """A statistics process that a test directs."""

    def answer(self):
        (self.folder / VIEWS).write_text(views_to_json(VIEWED))
        (self.folder / "agreement.html").write_text("<p>all</p>")
        notes = [("info", "a", "Columns."), ("warning", "b", "Few cases."), ("odd", "c", "x")]
        self.end("done", 0, findings=[dict(zip(("severity", "code", "message"), note, strict=True)) for note in notes])


class Launcher:
    def __init__(self):
        self.processes, self.arguments = [], []

    def launch(self, arguments):
        self.arguments.append(arguments)
        self.processes.append(Process(Path(arguments[3])))
        return self.processes[-1]


@pytest.fixture
def launcher():
    return Launcher()


@pytest.fixture
def session(working, launcher):
    made = CohortSession(lambda: working.scene, installer=MagicMock(), launcher=launcher, wheels=lambda: "wheels")
    yield made
    made.close()


@pytest.fixture
def request_(tmp_path):
    (tmp_path / "reader.csv").write_text("case,agatston\na,1\nb,2\n")
    return CohortRequest(AGREEMENT, reference=str(tmp_path / "reader.csv"), covariates=("bmi", "age"))


def test_a_run_ends_with_charts_and_tables_in_the_scene(session, launcher, request_, working):
    assert session.start(request_)
    session.installer.ensure.assert_called_once_with(wheels="wheels")
    process = launcher.processes[0]
    assert "CACScoringLib.cohort.worker" in launcher.arguments[0][2]
    assert read_request(process.folder) == request_
    process.say("progress", fraction=0.5, text="Figures and report")
    assert not session.poll()
    assert (session.job.fraction, session.status()) == (0.5, "Figures and report")
    process.answer()
    assert session.poll()
    assert [result.title for result in session.results(AGREEMENT)] == ["Chart", "Table"]
    assert session.results(OUTCOMES) == []
    assert session.status() == "Two cases"
    assert session.findingsText() == "Warning: Few cases.\nNote: Columns."
    assert not (session.folder / VIEWS).exists()
    assert working.scene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 1


def test_the_report_is_saved_where_the_person_says(session, launcher, request_, tmp_path):
    assert not session.saveReport(str(tmp_path / "early.html"))
    assert session.status() == "There is no report: run the statistics first."
    session.start(request_)
    launcher.processes[0].answer()
    session.poll()
    assert session.reportName() == "agreement.html"
    assert session.saveReport(str(tmp_path / "mine"))
    assert (tmp_path / "mine.html").read_text() == "<p>all</p>"
    assert not session.saveReport(str(tmp_path / "no" / "such.html"))
    assert session.status().startswith("The report could not be written")


def test_cancelling_ends_the_process_and_keeps_the_last_result(session, launcher, request_):
    session.start(request_)
    launcher.processes[0].answer()
    session.poll()
    kept = session.folder
    session.start(request_)
    assert not session.start(request_)
    assert session.status().startswith("Cancel") is False
    session.cancel()
    second = launcher.processes[1]
    assert second.killed
    assert not second.folder.exists()
    assert session.status() == "Cancelled; the last result is still shown."
    assert session.folder == kept
    assert session.job.page.is_file()
    assert len(session.results(AGREEMENT)) == 2
    session.close()
    assert not kept.exists()


@pytest.mark.parametrize(
    ("event", "status", "more", "words"),
    [
        ("refused", 1, {"code": "repeated-case", "message": "rows 2, 3 are one case"}, "rows 2, 3 are one case"),
        ("failed", 1, {"message": "The statistics failed (x)."}, "The statistics failed (x)."),
        (
            None,
            -9,
            {},
            "The statistics ended before there was a result (signal 9); perhaps for want of memory",
        ),
        ("done", 0, {}, "The result could not be read"),
    ],
)
def test_what_goes_wrong_is_a_sentence_and_nothing_is_left_behind(
    session, launcher, request_, event, status, more, words
):
    session.start(request_)
    process = launcher.processes[0]
    process.said = "a\nKilled"
    process.end(event, status, **more)
    assert not session.poll()
    assert session.status().startswith(words)
    assert not process.folder.exists()
    assert session.results(AGREEMENT) == []
    assert session.start(request_)


def test_nothing_starts_without_files_columns_or_packages(session, launcher, request_, working, tmp_path):
    table = request_.reference
    for request, words in (
        (CohortRequest(AGREEMENT), "Choose the table with the reference scores."),
        (CohortRequest(AGREEMENT, reference=table, reference_score="a"), "Choose the score column of both sides"),
        (CohortRequest(AGREEMENT, reference=str(tmp_path / "gone.csv")), "There is no table"),
        (CohortRequest(OUTCOMES), "Choose the table with scores and follow-up."),
        (CohortRequest(OUTCOMES, table=table), "Choose the column with the follow-up time."),
        (CohortRequest(OUTCOMES, table=table, time="t"), "Choose the column that says whether an event happened."),
        (CohortRequest(OUTCOMES, table=table, time="t", event="e"), "Choose the column with the score."),
    ):
        assert not session.start(request)
        assert session.status().startswith(words)
    session.installer.ensure.side_effect = InstallError("install-declined", "Without these packages nothing.")
    assert not session.start(request_)
    assert session.status() == "Without these packages nothing."
    assert launcher.processes == []
    other = CohortSession(lambda: working.scene, installer=MagicMock(), launcher=FailingLauncher())
    assert not other.start(request_)
    assert other.status().startswith("The statistics could not be started")


def test_the_columns_of_a_table_are_offered_before_it_is_read(session, tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufeffCase;CAC score;Follow-up (months);MACE\n1;2;3;0\n".encode())
    columns = session.columns(str(tmp_path / "a.csv"))
    assert columns == ["Case", "CAC score", "Follow-up (months)", "MACE"]
    meant = {"time": "Follow-up (months)", "event": "MACE", "score": "CAC score", "unit": "months"}
    assert session.defaults(columns) == meant
    assert session.columns("") == session.columns(str(tmp_path / "gone.csv")) == []
    (tmp_path / "b.xlsx").write_bytes(b"no workbook")
    assert table_columns(tmp_path / "b.xlsx") == []


def test_excel_and_parquet_name_their_columns(tmp_path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("openpyxl")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"case": ["a"], "agatston": [1.5], " event ": [0]})
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    assert table_columns(tmp_path / "t.xlsx") == table_columns(tmp_path / "t.parquet") == ["case", "agatston", "event"]


def test_names_that_are_the_word_itself_count_before_names_that_hold_it():
    columns = ["time_of_scan", "event_free", "time", "event", "cac_category", "agatston"]
    assert [guess_column(columns, names) for names in (TIME, EVENT, SCORE)] == ["time", "event", "agatston"]


def test_the_worker_refuses_a_bad_table_in_one_line(tmp_path, capsys):
    pytest.importorskip("pandas")
    from CACScoringLib.cohort.worker import main

    for name in ("t.csv", "u.csv"):
        (tmp_path / name).write_text("case,agatston\na,1\na,2\n")
    (tmp_path / "job").mkdir()
    write_request(
        tmp_path / "job", CohortRequest(AGREEMENT, reference=str(tmp_path / "t.csv"), measured=str(tmp_path / "u.csv"))
    )
    assert main([str(tmp_path / "job")]) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["code"]) == ("refused", "repeated-case")
    assert "rows 2 (a), 3 (a)" in last["message"]


class Widget:
    """Keeps what is set; everything else does nothing."""

    def __init__(self, **values):
        self.__dict__.update(values)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()


class Selector(Widget):
    def __init__(self):
        super().__init__(items=[], currentText="", currentIndex=0)

    def clear(self):
        self.items = []

    def addItems(self, names):
        self.items += names


@pytest.fixture
def panel(monkeypatch, working, session):
    monkeypatch.syspath_prepend(str(PANELS.parent))
    translation = ModuleType("slicer.i18n")
    translation.tr = lambda text: text
    for name, module in (("qt", MagicMock()), ("ctk", MagicMock()), ("slicer.i18n", translation)):
        monkeypatch.setitem(sys.modules, name, module)
    for name in [name for name in sys.modules if name.split(".")[0] == "CACScoringDesktop"]:
        monkeypatch.delitem(sys.modules, name)
    names = (
        "kind",
        "case",
        "referenceScore",
        "measuredScore",
        "measure",
        "time",
        "event",
        "score",
        "compare",
        "scheme",
    )
    edits = ("referenceEdit", "measuredEdit", "tableEdit", "covariatesEdit", "unitEdit", "eventNameEdit")
    ui = Widget(
        **{f"{name}Selector": Selector() for name in names},
        **{name: Widget(text="", currentPath="") for name in edits},
        **{
            name: Widget() for name in ("agreementWidget", "outcomesWidget", "runButton", "cancelButton", "progressBar")
        },
        **{name: Widget(text="") for name in ("statusLabel", "noteLabel", "findingsBrowser")},
        **{name: Widget() for name in ("saveReportButton", "openFolderButton")},
        resultsList=Widget(items=[], clear=lambda: ui.resultsList.items.clear(), currentRow=-1),
    )
    ui.resultsList.addItem = ui.resultsList.items.append
    monkeypatch.setattr(slicer.util, "loadUI", MagicMock(), raising=False)
    monkeypatch.setattr(slicer.util, "childWidgetVariables", lambda widget: ui, raising=False)
    for name in ("app", "modules"):
        monkeypatch.setattr(slicer, name, MagicMock(), raising=False)
    slicer.app.layoutManager.return_value.plotViewCount = 0
    spec = importlib.util.spec_from_file_location("cohort_panel", PANELS / "cohort_panel.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.CohortPanel("cohort.ui", session=session)
    for name in [name for name in sys.modules if name.split(".")[0] == "CACScoringDesktop"]:
        del sys.modules[name]


def test_the_panel_asks_what_was_chosen(panel, tmp_path, launcher):
    (tmp_path / "t.csv").write_text("case,years,mace,agatston,second\na,1,0,5,6\n")
    panel.ui.kindSelector.currentIndex = 1
    panel.onKind()
    assert (panel.ui.agreementWidget.visible, panel.ui.outcomesWidget.visible) == (False, True)
    panel.ui.tableEdit.currentPath = str(tmp_path / "t.csv")
    panel.onTable()
    assert panel.ui.compareSelector.items == ["", "case", "years", "mace", "agatston", "second"]
    panel.ui.compareSelector.currentText = "second"
    panel.ui.covariatesEdit.text = "age, , sex"
    panel.ui.schemeSelector.currentText = "clinical-5"
    panel.onRun()
    asked = read_request(launcher.processes[0].folder)
    assert (asked.kind, asked.time, asked.event, asked.score) == (OUTCOMES, "years", "mace", "agatston")
    assert (asked.compare, asked.covariates, asked.unit, asked.event_name) == (
        "second",
        ("age", "sex"),
        "years",
        "mace",
    )
    assert asked.scheme == "clinical-5"
    assert (panel.ui.runButton.enabled, panel.ui.cancelButton.enabled) == (False, True)
    panel.onCancel()
    assert panel.ui.statusLabel.text == "Cancelled; the last result is still shown."


def test_the_panel_lists_and_shows_the_result(panel, request_, launcher, working):
    panel.ui.referenceEdit.currentPath = request_.reference
    panel.onReference()
    assert panel.ui.measuredScoreSelector.items == ["", "case", "agatston"]
    panel.onRun()
    launcher.processes[0].answer()
    panel.onTimer()
    assert panel.ui.resultsList.items == ["Chart: Chart", "Table: Table"]
    assert panel.ui.resultsList.currentRow == 0
    assert panel.ui.findingsBrowser.visible is True
    panel.onResult(1)
    table = panel.session.results(AGREEMENT)[1].node
    slicer.app.applicationLogic().GetSelectionNode().SetActiveTableID.assert_called_with(table.GetID())
    assert panel.ui.noteLabel.text == "A note."
    working.scene.Clear(0)
    panel.sceneChanged()
    assert panel.ui.resultsList.items == []
    panel.onResult(1)
    panel.cleanup()


def test_every_widget_that_the_panel_names_is_in_its_file():
    import re
    import xml.etree.ElementTree as ET

    names = [element.get("name") for element in ET.parse(ROOT / "Resources/UI/CACScoringCohort.ui").iter("widget")]
    assert len(names) == len(set(names))
    used = set(re.findall(r"\bui\.(\w+)", (PANELS / "cohort_panel.py").read_text(encoding="utf-8")))
    assert used <= set(names), used - set(names)
