"""Comparing methods from the desktop: the worker process, the job, the nodes, the buttons."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from comparison_samples import BROKEN, CHOICES, FIRST, SECOND, SLICES, a_ct, attention, predict
from worker_samples import FailingLauncher, ScriptedProcess

from CACScoringLib.batch.compare_worker import run
from CACScoringLib.batch.reporting import CANCELLED, DONE, FAILED, REFUSED
from CACScoringLib.ct.volume import Acquisition
from CACScoringLib.findings import info
from CACScoringLib.inference.windows import CancelledError
from CACScoringLib.installing import InstallError
from CACScoringLib.methods.job_files import CANCEL, VOXELS, JobFileError
from CACScoringLib.mrml.comparison import COMPARISON_ATTRIBUTE
from CACScoringLib.mrml.comparison_job import ComparisonJob
from CACScoringLib.mrml.comparison_session import ComparisonSession
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.volume import volume_from_ct
from CACScoringLib.mrml.worker_job import GRACE_S, JobState
from CACScoringLib.report.comparison import MethodChoice
from CACScoringLib.report.comparison.files import JSON
from CACScoringLib.report.comparison.job_files import (
    ATTENTION,
    REQUEST,
    CompareJob,
    read_compare_job,
    read_compare_result,
    write_compare_job,
)

ROOT = Path(__file__).resolve().parents[2]
PANEL = ROOT / "CACScoring" / "CACScoringDesktop" / "compare_panel.py"


def worked(folder, predict=predict, **options):
    """Run the worker in this process; return its status and what it said."""
    write_compare_job(folder, CompareJob(CHOICES, "cpu", **options), a_ct())
    out = io.StringIO()
    status = run(folder, out, predict=predict)
    return status, [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_job_comes_back_as_it_was_written(tmp_path):
    job = CompareJob((MethodChoice("a"), MethodChoice("b", "m")), "cuda", 3, "/models", 100.0, "philips")
    write_compare_job(tmp_path, job, a_ct())
    again, ct = read_compare_job(tmp_path)
    assert again == job
    assert np.array_equal(ct.hu, a_ct().hu)


def test_the_worker_compares_by_the_rules_of_the_job_and_writes_what_can_be_shown(tmp_path):
    status, events = worked(tmp_path, kvp=100.0, preset="siemens")
    assert status == DONE
    assert [event["event"] for event in events[:2]] == ["started", "progress"]
    assert events[-1] == {"event": "done"}
    assert {"event": "progress", "fraction": 0.125, "text": "first: Looking"} in events
    result = read_compare_result(tmp_path)
    assert [row["agatston"] for row in result.document["methods"]] == [55.0, None, 120.0, 40.0]
    assert (result.document["preset"]["name"], result.document["preset"]["threshold_hu"]) == ("siemens", 145.0)
    assert "attention" not in result.document
    assert list(result.attention) == [SLICES]
    assert np.array_equal(result.attention[SLICES].values, attention().values)
    assert result.attention[SLICES].grid == attention().grid


def test_the_worker_stops_when_it_is_asked_to(tmp_path):
    def asked(ct, method, *, cancelled, **options):
        (tmp_path / CANCEL).touch()
        if cancelled():
            raise CancelledError

    status, events = worked(tmp_path, asked)
    assert (status, events[-1]["event"]) == (CANCELLED, "cancelled")
    assert not (tmp_path / JSON).exists()


def test_the_worker_says_what_is_wrong_with_a_job(tmp_path):
    assert worked(tmp_path, preset="nobody")[0] == REFUSED
    (tmp_path / REQUEST).write_text("[]")
    out = io.StringIO()
    assert run(tmp_path, out, predict=predict) == FAILED
    assert json.loads(out.getvalue().splitlines()[-1])["code"] == "job"


@pytest.mark.parametrize("damage", ["schema", "no-arrays", "place", "pickle", "text"])
def test_a_damaged_result_is_not_taken(tmp_path, damage):
    worked(tmp_path)
    document = json.loads((tmp_path / JSON).read_text())
    if damage == "schema":
        document["schema"] = "other/1"
    elif damage == "no-arrays":
        (tmp_path / ATTENTION).unlink()
    elif damage == "place":
        document["attention"][0]["spacing_mm"] = [0, 1, 1]
    elif damage == "pickle":
        np.savez(tmp_path / ATTENTION, values_0=np.array([{}], dtype=object))
    (tmp_path / JSON).write_text("no" if damage == "text" else json.dumps(document))
    with pytest.raises(JobFileError):
        read_compare_result(tmp_path)


class Process(ScriptedProcess):
    """A worker that a test directs."""

    def compare(self, predict=predict):
        out = io.StringIO()
        self.exit_status = run(self.folder, out, predict=predict)
        self.waiting += out.getvalue().splitlines()


class Launcher:
    def __init__(self):
        self.processes, self.arguments = [], []

    def launch(self, arguments):
        self.arguments.append(arguments)
        self.processes.append(Process(Path(arguments[3])))
        return self.processes[-1]


@pytest.fixture
def desk(working, monkeypatch):
    """A session on a volume, with a launcher that a test directs."""
    checked = info("checked", "The volume was looked at.")
    monkeypatch.setattr("CACScoringLib.mrml.logic._check", lambda ct, allow: (checked,))
    launcher = Launcher()
    session = ComparisonSession(
        ScoringLogic(),
        installer=SimpleNamespace(ensure=lambda wheels: None),
        launcher=launcher,
        choices=lambda: list(CHOICES),
    )
    yield SimpleNamespace(session=session, launcher=launcher, volume=volume_from_ct(working.scene, a_ct()))
    session.close()


def finished(desk, predict=predict, **options):
    assert desk.session.start(desk.volume, **options)
    desk.launcher.processes[-1].compare(predict)
    return desk.session.poll()


def test_a_comparison_becomes_tables_and_attention_in_the_scene_of_the_volume(desk):
    assert finished(desk)
    session = desk.session
    table = session.tableNode.GetTable()
    assert [table.GetValueByName(row, "method").ToString() for row in range(4)] == [FIRST, BROKEN, SLICES, SECOND]
    assert session.lesionTableNode.GetNumberOfRows() == 3
    assert [node.GetName() for node in session.attentionNodes] == [f"Attention of {SLICES}"]
    kept = json.loads(session.tableNode.GetAttribute(COMPARISON_ATTRIBUTE))
    assert [finding["code"] for finding in kept["findings"]] == ["checked", "scores-by-own-rules"]
    assert session.status() == f"3 of 4 methods compared; without a result: {BROKEN}."
    assert desk.launcher.arguments[0][-1] == "--watch-stdin"
    assert not desk.launcher.processes[0].folder.exists()


def test_another_comparison_fills_the_same_nodes(desk):
    finished(desk)
    before = (desk.session.tableNode, desk.session.lesionTableNode, *desk.session.attentionNodes)
    finished(desk)
    assert (desk.session.tableNode, desk.session.lesionTableNode, *desk.session.attentionNodes) == before

    def without(ct, method, **options):
        return predict(ct, BROKEN if method == SLICES else method, **options)

    finished(desk, without)
    assert desk.session.attentionNodes == []
    assert before[2].GetScene() is None


def test_the_voltage_and_the_rules_that_are_chosen_reach_the_worker(desk):
    assert desk.session.start(desk.volume, kvp=100.0, preset="siemens")
    job, ct = read_compare_job(desk.launcher.processes[0].folder)
    assert (job.kvp, job.preset, job.choices) == (100.0, "siemens", CHOICES)
    assert ct.acquisition == Acquisition(kvp=100.0)


def test_progress_is_told(desk):
    desk.session.start(desk.volume)
    desk.launcher.processes[0].say("progress", fraction=0.4, text="slices: Scoring slices")
    assert not desk.session.poll()
    assert (desk.session.job.fraction, desk.session.status()) == (0.4, "slices: Scoring slices")


def test_with_one_method_there_is_nothing_to_compare_and_the_reason_is_given(desk, working):
    session = ComparisonSession(ScoringLogic(), launcher=desk.launcher, choices=lambda: [MethodChoice("only")])
    assert "one method only" in session.reason(desk.volume)
    assert not session.start(desk.volume)
    assert session.status() == session.reason(desk.volume)
    assert desk.launcher.processes == []


def test_other_reasons(desk):
    assert desk.session.reason(None) == "There is no volume: choose a CT."
    assert desk.session.reason(desk.volume) == ""
    desk.session.start(desk.volume)
    assert desk.session.reason(desk.volume) == "Methods are being compared."


def test_missing_packages_that_were_declined_are_said(desk):
    desk.session.installer = SimpleNamespace(ensure=MagicMock(side_effect=InstallError("x", "No network.")))
    assert not desk.session.start(desk.volume)
    assert desk.session.status() == "No network."


def test_a_volume_that_changed_meanwhile_is_not_given_the_result(desk, working):
    desk.session.start(desk.volume)
    desk.launcher.processes[0].compare()
    desk.volume.SetSpacing(1.0, 1.0, 2.0)
    assert not desk.session.poll()
    assert desk.session.finding.code == "volume-changed"
    assert desk.session.tableNode is None


def test_cancelling_asks_first_and_ends_it_when_it_does_not_stop(tmp_path):
    launcher, now = Launcher(), [0.0]
    job = ComparisonJob(launcher, clock=lambda: now[0])
    job.start(CompareJob(CHOICES), a_ct())
    process = launcher.processes[0]
    assert (process.folder / VOXELS).is_file()
    job.cancel()
    assert job.state is JobState.CANCELLING
    assert (process.folder / CANCEL).is_file()
    assert process.input_closed
    now[0] = GRACE_S
    assert job.poll() is JobState.CANCELLED
    assert process.killed
    assert not process.folder.exists()
    assert job.finding.message == "Cancelled; nothing was changed."


@pytest.mark.parametrize(
    ("event", "status", "state", "code"),
    [
        ("refused", 3, JobState.REFUSED, "x"),
        ("failed", 1, JobState.FAILED, "x"),
        ("cancelled", 130, JobState.CANCELLED, "cancelled"),
        ("done", 0, JobState.FAILED, "result-unreadable"),
        (None, -11, JobState.FAILED, "worker-crashed"),
    ],
)
def test_every_end_of_the_worker_is_understood(event, status, state, code):
    launcher = Launcher()
    job = ComparisonJob(launcher)
    job.start(CompareJob(CHOICES), a_ct())
    launcher.processes[0].end(event, status, code="x", message="Why.")
    assert job.poll() in (state, JobState.RUNNING)
    assert job.poll() is state
    assert job.finding.code == code


def test_a_real_process_compares_and_gives_back_why_methods_have_no_result():
    job = ComparisonJob()
    job.start(CompareJob((MethodChoice("nobody"), MethodChoice("no-one")), "cpu"), a_ct())
    until = time.monotonic() + 60
    while job.running and time.monotonic() < until:
        job.poll()
        time.sleep(0.05)
    assert job.state is JobState.DONE, job.text
    rows = job.result.document["methods"]
    assert [(row["name"], row["failure"]["code"]) for row in rows] == [("nobody", "model"), ("no-one", "model")]


def test_a_worker_that_cannot_be_started_leaves_nothing_behind():
    job = ComparisonJob(FailingLauncher())
    job.start(CompareJob(CHOICES), a_ct())
    assert (job.state, job.finding.code) == (JobState.FAILED, "worker-not-started")


class Widget:
    def __init__(self):
        self.enabled, self.visible, self.value, self.text = None, None, None, None
        self.slots = {}

    def connect(self, signal, slot):
        self.slots[signal] = slot


@pytest.fixture
def panel(desk, monkeypatch):
    qt = ModuleType("qt")
    qt.QTimer = MagicMock
    layout = ModuleType("CACScoringDesktop.layout")
    layout.showTable = MagicMock()
    monkeypatch.setitem(sys.modules, "qt", qt)
    monkeypatch.setitem(sys.modules, "CACScoringDesktop.layout", layout)
    spec = importlib.util.spec_from_file_location("compare_panel_under_test", PANEL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names = ("Button", "CancelButton", "TableButton", "LesionsButton", "AttentionButton", "ProgressBar", "StatusLabel")
    ui = SimpleNamespace(**{f"compare{name}": Widget() for name in names})
    shown = module.ComparePanel(ui, desk.session, lambda: (desk.volume, {"kvp": None}))
    shown.shown = layout.showTable
    return shown


def test_the_buttons_run_a_comparison_and_show_it(panel, desk, working):
    ui = panel.ui
    assert ui.compareButton.enabled
    assert not ui.compareAttentionButton.enabled
    ui.compareButton.slots["clicked(bool)"]()
    panel.timer.start.assert_called_once_with()
    assert (ui.compareButton.enabled, ui.compareCancelButton.enabled, ui.compareProgressBar.visible) == (
        False,
        True,
        True,
    )
    desk.launcher.processes[0].compare()
    panel.onTimer()
    panel.timer.stop.assert_called_once_with()
    panel.shown.assert_called_once_with(desk.session.tableNode)
    assert ui.compareAttentionButton.enabled
    view = working.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")
    panel.onAttention()
    assert view.GetForegroundVolumeID() == desk.session.attentionNodes[0].GetID()
    panel.onLesions()
    panel.shown.assert_called_with(desk.session.lesionTableNode)
    panel.sceneClosed()
    assert not ui.compareTableButton.enabled


def test_with_one_method_the_button_is_disabled_and_says_why(panel, desk):
    desk.session._choices = lambda: [MethodChoice("only")]
    panel.refresh()
    assert not panel.ui.compareButton.enabled
    assert "others appear here when they have weights" in panel.ui.compareStatusLabel.text
