"""What the buttons of the module do, on real nodes: network, cancel, rescoring, patient, lesions, acceptance."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from mrml_samples import a_calcified_ct
from worker_samples import ScriptedLauncher

from CACScoringLib.ct.volume import Acquisition
from CACScoringLib.findings import InputRefusedError, Severity
from CACScoringLib.installing import InstallError
from CACScoringLib.mrml.choices import ScoringChoices
from CACScoringLib.mrml.edits import editRecord
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.segmentation import calcium_segments, labels_from_segmentation, segmentation_from_labels
from CACScoringLib.mrml.session import ScoringSession
from CACScoringLib.mrml.settings import DesktopSettings, MemoryStore
from CACScoringLib.mrml.volume import set_acquisition, volume_from_ct
from CACScoringLib.mrml.worker_job import JobState


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """The samples are no whole chests: leave out the checks for that."""
    monkeypatch.setattr("CACScoringLib.mrml.logic._check", lambda ct, allow: ())


class Packages:
    """An installer that installs nothing, or refuses."""

    def __init__(self):
        self.asked, self.refusal = [], None

    def ensure(self, wheels=None):
        self.asked.append(wheels)
        if self.refusal:
            raise self.refusal


class Desk:
    """A session at a volume, with a worker process that the test directs."""

    def __init__(self, working, labelled=True, **settings):
        self.scene = working.scene
        self.ct, self.labels = a_calcified_ct()
        self.volume = volume_from_ct(self.scene, self.ct)
        self.launcher, self.packages = ScriptedLauncher(), Packages()
        self.settings = DesktopSettings(MemoryStore(**settings))
        self.session = ScoringSession(
            ScoringLogic(), settings=self.settings, installer=self.packages, launcher=self.launcher
        )
        self.told = []
        self.session.addListener(lambda session: self.told.append(session.status()))
        self.segmentation = segmentation_from_labels(self.scene, self.labels, self.volume) if labelled else None
        self.session.setNodes(self.volume, self.segmentation)

    @property
    def process(self):
        return self.launcher.processes[-1]

    @property
    def total(self):
        return self.session.scores.total.agatston

    def run(self):
        assert self.session.start()
        self.process.succeed()
        while self.session.running:
            self.session.poll()


def test_choosing_nodes_shows_their_scores_in_tables(working):
    desk = Desk(working)
    assert desk.total == pytest.approx(27)
    assert desk.session.upToDate
    assert desk.session.status() == "The scores are up to date."
    table = desk.session.outcome.scoreTableNode
    assert table.GetTable().GetValueByName(4, "agatston").ToDouble() == pytest.approx(27)
    assert desk.session.headline().splitlines()[0] == "Agatston 27.0"
    assert "Research use only" in desk.session.headline()


def test_score_runs_the_network_into_a_new_segmentation_and_scores_it(working):
    desk = Desk(working, labelled=False)
    assert desk.session.scores is None
    assert desk.session.status() == "Not scored yet: press Score."
    assert desk.session.start()
    desk.process.say("progress", fraction=0.5, text="Finding the heart")
    desk.session.poll()
    assert desk.told[-1] == "Finding the heart"
    desk.process.succeed()
    desk.session.poll()
    assert desk.session.poll() is JobState.DONE
    node = desk.session.segmentationNode
    assert node.GetName() == "CT calcium" or node.GetName().endswith("calcium")
    assert list(calcium_segments(node).values()) == [1, 2, 3, 4, 14]
    assert {name: vessel.agatston for name, vessel in desk.session.scores.vessels.items()} == pytest.approx(
        {"LM": 0, "LAD": 3, "LCX": 0, "RCA": 24 + 16 * 0.25 * 4}  # the stand-in takes the aorta for RCA
    )
    assert editRecord(node).automatic is not None


def test_what_was_chosen_reaches_the_worker(working):
    from CACScoringLib.methods.job_files import read_job

    desk = Desk(working, device="cpu", workers=1, modelsFolder="/models")
    desk.session.setChoices(ScoringChoices(method="by-threshold", model="site", separateNonCoronary=True))
    assert desk.session.start()
    job, ct = read_job(desk.process.folder)
    assert (job.method, job.model, job.device, job.threads) == ("by-threshold", "site", "cpu", 1)
    assert job.models_folder.endswith("models")
    assert ct.acquisition.kvp == 120
    desk.process.succeed()
    while desk.session.running:
        desk.session.poll()
    assert len(calcium_segments(desk.segmentation)) == 8


def test_packages_are_asked_for_when_the_network_is_run_and_not_before(working, tmp_path):
    desk = Desk(working, wheelsFolder=str(tmp_path))
    assert desk.packages.asked == []
    desk.packages.refusal = InstallError("install-failed", "No network: try again.")
    assert not desk.session.start()
    assert desk.session.status() == "No network: try again."
    assert desk.launcher.processes == []
    desk.packages.refusal = None
    assert desk.session.start()  # again, at once
    assert desk.packages.asked == [tmp_path, tmp_path]
    desk.session.close()


def test_without_a_volume_the_person_is_told_what_to_do(working):
    desk = Desk(working)
    desk.session.setNodes(None, None)
    assert not desk.session.start()
    assert desk.session.finding.code == "no-volume"
    assert not desk.session.score()
    assert desk.session.scores is None
    assert desk.session.headline() == desk.session.findingsText() == ""


def test_cancel_leaves_scores_and_segments(working):
    desk = Desk(working)
    before = labels_from_segmentation(desk.segmentation, desk.volume)
    desk.session.start()
    desk.session.cancel()
    desk.process.end("cancelled", 130)
    while desk.session.running:
        desk.session.poll()
    assert desk.session.job.state is JobState.CANCELLED
    assert desk.session.status() == "Cancelled; nothing was changed."
    assert desk.total == pytest.approx(27)
    assert np.array_equal(labels_from_segmentation(desk.segmentation, desk.volume), before)


def test_a_second_start_while_it_runs_is_refused_in_words(working):
    desk = Desk(working)
    desk.session.start()
    assert not desk.session.start()
    assert desk.session.finding.code == "job-running"
    assert len(desk.launcher.processes) == 1
    desk.session.close()


def test_a_failure_is_shown_and_the_scores_stay(working):
    desk = Desk(working)
    desk.session.start()
    desk.process.end("failed", 1, code="packages-missing", message="A package is missing.")
    while desk.session.running:
        desk.session.poll()
    assert desk.session.status() == "A package is missing."
    assert desk.session.finding.severity is Severity.REFUSE
    assert desk.total == pytest.approx(27)


def test_edits_are_followed_and_recorded_beside_the_automatic_score(working):
    desk = Desk(working)
    desk.run()
    automatic = desk.total
    desk.segmentation.GetSegmentation().RemoveSegment("RCA")
    assert desk.total == pytest.approx(3)
    assert desk.session.upToDate
    record = editRecord(desk.segmentation)
    assert record.automatic["total"]["agatston"] == pytest.approx(automatic)
    assert record.edited["total"]["agatston"] == pytest.approx(3)
    table = desk.session.outcome.scoreTableNode
    assert table.GetTable().GetValueByName(4, "agatston").ToDouble() == pytest.approx(3)


def test_without_live_scoring_the_table_says_that_it_is_out_of_date(working):
    desk = Desk(working)
    desk.session.setChoices(ScoringChoices(live=False))
    desk.segmentation.GetSegmentation().RemoveSegment("RCA")
    assert not desk.session.upToDate
    assert desk.session.status() == "The segmentation has changed since it was scored."
    assert desk.total == pytest.approx(27)
    assert desk.session.score()
    assert desk.total == pytest.approx(3)
    assert desk.session.upToDate


def test_the_preset_changes_the_scores_at_once(working):
    desk = Desk(working)
    desk.session.setChoices(ScoringChoices(preset="canon"))
    assert desk.session.scores.preset.name == "canon"


def test_the_tube_voltage_is_the_scans_and_only_asked_for_where_that_is_silent(working):
    desk = Desk(working)
    desk.session.setChoices(ScoringChoices(kvp=80))
    assert desk.session.knownKvp() == 120
    assert desk.session.kvp() is None
    assert desk.session.scores.thresholds.calcium == 130
    set_acquisition(desk.volume, Acquisition())
    desk.session.setNodes(desk.volume, None)
    desk.session.setNodes(desk.volume, desk.segmentation)
    assert desk.session.knownKvp() is None
    assert desk.session.scores.thresholds.calcium == 177  # 80 kVp, as entered


def test_percentiles_and_arterial_age_come_with_age_and_sex(working):
    desk = Desk(working)
    assert desk.session.scores.arterial_age_years is None
    desk.session.setChoices(ScoringChoices(ageYears=60, sex="M", group="white"))
    assert desk.session.scores.arterial_age_years == pytest.approx(39.1 + 7.25 * np.log(28))
    assert set(desk.session.scores.percentiles) == {"hoff-2001", "mesa-2006"}
    desk.session.setChoices(ScoringChoices(ageYears=60))  # sex unknown
    assert desk.session.scores.percentiles == {}


def test_age_and_sex_of_the_scan_are_offered(working):
    desk = Desk(working)
    assert desk.session.knownPatient() == (0.0, "unknown")
    set_acquisition(desk.volume, Acquisition(kvp=120.0, patient_age_years=61.0, patient_sex="F"))
    assert desk.session.knownPatient() == (61.0, "F")


def test_in_a_scene_that_was_opened_what_was_entered_stays(working):
    desk = Desk(working)
    set_acquisition(desk.volume, Acquisition())
    session = ScoringSession(ScoringLogic())
    entered = SimpleNamespace(kvp=100.0, ageYears=70.0, sex="M")
    assert session.valuesFor(desk.volume, entered) == {}
    session.setNodes(desk.volume, None)
    assert session.valuesFor(desk.volume, entered) == {
        "kvp": 0.0,
        "ageYears": 0.0,
        "sex": "unknown",
        "group": "unknown",
    }
    assert session.valuesFor(None, entered) == {}


def test_acceptance_is_recorded_with_the_reader_who_is_remembered(working):
    desk = Desk(working)
    assert not desk.session.accept("  ")
    assert desk.session.finding.code == "no-reader"
    assert desk.session.accept("AB", "calcified valve left out")
    accepted = editRecord(desk.segmentation).accepted
    assert (accepted.reader, accepted.comment) == ("AB", "calcified valve left out")
    assert accepted.scores["total"]["agatston"] == pytest.approx(27)
    assert desk.settings.reader == "AB"


def test_a_lesions_row_moves_the_slice_views_to_it(working):
    desk = Desk(working)
    view = desk.scene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    view.SetOrientationToAxial()
    table = desk.session.outcome.lesionTableNode
    row = next(row for row in range(table.GetNumberOfRows()) if table.GetCellText(row, 1) == "LAD")
    desk.session.jumpTo(row, [view])
    height = view.GetSliceToRAS().GetElement(2, 3)
    assert height == pytest.approx(desk.ct.origin_mm[2] + 3 * 3.0, abs=0.01)  # the LAD lesion lies in slice 3


def test_a_scene_that_is_closed_ends_the_network_and_empties_the_session(working):
    desk = Desk(working)
    desk.session.start()
    desk.session.reset()
    assert desk.process.killed
    assert not desk.session.running
    assert desk.session.volumeNode is None
    assert desk.session.scores is None


def test_the_largest_coronary_lesion_is_jumped_to(working):
    desk = Desk(working)
    moved = []
    view = SimpleNamespace(JumpSlice=lambda *ras: moved.append(ras))
    assert desk.session.jumpToLargest([view])
    lesions = desk.session.document()["lesions"]
    largest = max(
        (one for one in lesions if one["vessel"] in ("LM", "LAD", "LCX", "RCA")), key=lambda one: one["agatston"]
    )
    left, posterior, superior = largest["centroid_lps_mm"]
    assert moved == [(-left, -posterior, superior)]
    desk.session.setNodes(None, None)
    assert not desk.session.jumpToLargest([view])


def test_a_tube_voltage_that_a_scan_said_goes_with_it(working):
    desk = Desk(working)
    entered = SimpleNamespace(ageYears=0.0, sex="unknown")
    assert desk.session.knownKvp() is not None
    assert desk.session.valuesFor(None, entered) == {"kvp": 0.0}


def test_a_node_that_is_deleted_is_noticed(working):
    desk = Desk(working)
    desk.scene.RemoveNode(desk.segmentation)
    assert desk.session.scores is None
    assert not desk.session.upToDate
    assert desk.session.headline() == ""


def test_the_network_for_a_review_runs_with_the_same_settings(working):
    desk = Desk(working, device="cpu")
    desk.session.setChoices(ScoringChoices(preset="canon", separateNonCoronary=True, kvp=100))
    settings = desk.session.reviewSettings()
    assert (settings.preset, settings.non_coronary) == ("canon", "separate")
    assert settings.kvp is None  # the scan that is shown says its own, which is not that of other scans
    desk.session.setNodes(None, None)
    assert desk.session.reviewSettings().kvp == 100
    network = desk.session.backgroundNetwork()
    assert not network.running
    assert desk.session.jobOptions()["device"] == "cpu"


def test_choices_come_from_anything_that_has_them():
    choices = ScoringChoices.of(SimpleNamespace(preset="canon", ageYears=55.0, volume=object()))
    assert (choices.preset, choices.ageYears, choices.live) == ("canon", 55.0, True)
    with pytest.raises(InputRefusedError):
        ScoringChoices(ageYears=500, sex="M").demographics()
