"""A method that labels no voxels, chosen in the module: tables, attention over the CT, and what takes its place."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mrml_samples import DIRECTIONS, a_calcified_ct
from worker_samples import ScriptedLauncher, by_slices

from CACScoringLib.findings import InputRefusedError, Severity
from CACScoringLib.methods.job_files import JobFileError, read_prediction, write_prediction
from CACScoringLib.mrml.attention import attention_nodes
from CACScoringLib.mrml.choices import ScoringChoices
from CACScoringLib.mrml.job import ScoringJob
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.outcome_table import WITHOUT_LABELS
from CACScoringLib.mrml.segmentation import segmentation_from_labels
from CACScoringLib.mrml.session import ScoringSession
from CACScoringLib.mrml.study import show_in_slice_views
from CACScoringLib.mrml.volume import volume_from_ct
from CACScoringLib.mrml.worker_job import JobState


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """The samples are no whole chests: leave out the checks for that."""
    monkeypatch.setattr("CACScoringLib.mrml.logic._check", lambda ct, allow: ())


class Packages:
    def ensure(self, wheels=None):
        """Install nothing."""


class Desk:
    """A session with ``slice-regression`` chosen, at a volume with or without a segmentation."""

    def __init__(self, working, direction="axial", labelled=False):
        self.scene = working.scene
        self.ct, labels = a_calcified_ct(direction)
        self.volume = volume_from_ct(self.scene, self.ct)
        show_in_slice_views(self.scene, self.volume)
        self.launcher = ScriptedLauncher()
        self.session = ScoringSession(ScoringLogic(), installer=Packages(), launcher=self.launcher)
        self.session.setChoices(ScoringChoices(method="slice-regression"))
        self.segmentation = segmentation_from_labels(self.scene, labels, self.volume) if labelled else None
        self.session.setNodes(self.volume, self.segmentation)

    def run(self):
        assert self.session.start(), self.session.finding
        self.launcher.processes[-1].succeed()
        while self.session.running:
            self.session.poll()

    @property
    def foreground(self):
        return self.scene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode").GetForegroundVolumeID()


def test_the_outcome_shows_total_category_and_doubts_and_no_segmentation_is_made(working):
    before = working.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    desk = Desk(working)
    desk.run()
    assert working.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == before
    assert desk.session.segmentationNode is None
    assert desk.session.scores is None
    assert desk.session.headline().startswith("Agatston 112\nscreening-5: 100-400")
    assert "names no vessels" in desk.session.findingsText()
    assert desk.session.status() == "The scores are up to date."
    table = desk.session.outcome.outcomeTableNode
    cells = {table.GetCellText(row, 0): row for row in range(table.GetNumberOfRows())}
    assert table.GetCellText(cells["Total"], 1) == "112"
    assert table.GetCellText(cells["Total"], 4) == "–"
    last = table.GetNumberOfColumns() - 1
    assert table.GetCellText(cells["Risk category (screening-5)"], last) == "100-400"
    assert table.GetCellText(cells["Status"], last) == WITHOUT_LABELS
    assert "LAD" not in cells
    assert desk.session.outcome.lesionTableNode.GetNumberOfRows() == 0
    assert not desk.session.jumpToLargest([])


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_attention_lies_over_the_ct_on_its_voxels(working, direction):
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    desk = Desk(working, direction)
    desk.run()
    node = attention_nodes(working.scene)["slice-regression"]
    assert node is desk.session.withoutLabels.attentionNode
    assert desk.foreground == node.GetID()
    assert node.GetImageData().GetDimensions() == desk.volume.GetImageData().GetDimensions()
    ours, theirs = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(ours)
    desk.volume.GetIJKToRASMatrix(theirs)
    assert [ours.GetElement(r, c) for r in range(4) for c in range(4)] == pytest.approx(
        [theirs.GetElement(r, c) for r in range(4) for c in range(4)]
    )
    assert vtk_to_numpy(node.GetImageData().GetPointData().GetScalars()).max() == pytest.approx(2.0, rel=0.3)


def test_scoring_the_segmentation_takes_its_place(working):
    desk = Desk(working, labelled=True)
    total = desk.session.scores.total.agatston
    desk.run()
    assert desk.session.document()["total"]["agatston"] == 112.5
    assert desk.session.scores is None
    assert desk.session.score()
    assert desk.session.scores.total.agatston == total
    assert desk.session.document()["total"]["agatston"] == pytest.approx(total)
    assert desk.foreground is None
    table = desk.session.outcome.outcomeTableNode
    assert table.GetCellText(1, 0) == "LAD"


def test_so_does_an_edit(working):
    desk = Desk(working, labelled=True)
    desk.run()
    desk.segmentation.GetSegmentation().RemoveSegment("LAD")
    assert desk.session.withoutLabels.document is None
    assert desk.session.document()["total"]["agatston"] == desk.session.scores.total.agatston


def test_another_volume_chosen_meanwhile_gets_no_score_of_this_one(working):
    desk = Desk(working)
    assert desk.session.start()
    other = volume_from_ct(desk.scene, desk.ct)
    desk.session.setNodes(other, None)
    desk.launcher.processes[-1].succeed()
    while desk.session.running:
        desk.session.poll()
    assert desk.session.document() is None
    assert desk.session.finding.code == "volume-not-chosen"


def test_where_nothing_was_found_the_person_is_told(working, monkeypatch):
    from dataclasses import replace

    def nothing(ct, method, **options):
        return replace(by_slices(ct, method), agatston=None, category=None, attention=None)

    monkeypatch.setattr("worker_samples.by_slices", nothing)
    desk = Desk(working)
    desk.run()
    assert desk.session.finding.severity is Severity.REFUSE
    assert desk.session.finding.message == "The slices are thick."
    assert desk.session.document() is None


def test_it_cannot_fill_a_segmentation_that_is_edited_or_reviewed(working):
    desk = Desk(working, labelled=True)
    with pytest.raises(InputRefusedError, match="does not mark calcium") as refused:
        ScoringJob(ScoringLogic(), ScriptedLauncher()).start(desk.volume, desk.segmentation, "slice-regression")
    assert refused.value.finding.code == "method-without-labels"


def test_a_job_without_a_segmentation_is_done_when_the_score_is_there(working):
    desk = Desk(working)
    job = ScoringJob(ScoringLogic(), ScriptedLauncher())
    job.start(desk.volume, None, "slice-regression")
    job._launcher.processes[-1].succeed()
    while job.running:
        job.poll()
    assert job.state is JobState.DONE
    assert job.prediction.agatston == 112.5
    assert (job.volumeNode, job.segmentationNode) == (desk.volume, None)


def test_the_files_of_a_worker_bring_back_the_whole_score(tmp_path):
    ct, _ = a_calcified_ct()
    said = by_slices(ct)
    write_prediction(tmp_path, said)
    back = read_prediction(tmp_path, ct.shape)
    assert back.as_dict() == said.as_dict()
    assert np.array_equal(back.attention.values, said.attention.values)
    assert back.attention.grid == said.attention.grid
    assert back.heart_box == said.heart_box
    assert back.labels is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scheme", "made-up"),
        ("category", "huge"),
        ("preset", "none"),
        ("heart_box", [[1, 2], [3, 4]]),
        ("attention", {"spacing_mm": [0, 1, 1], "offset_mm": [0, 0, 0]}),
        ("agatston", "many"),
        ("findings", [{"severity": "loud", "code": "x", "message": "y"}]),
    ],
)
def test_a_damaged_score_is_no_score(tmp_path, key, value):
    ct, _ = a_calcified_ct()
    write_prediction(tmp_path, by_slices(ct))
    document = json.loads((tmp_path / "prediction.json").read_text())
    (tmp_path / "prediction.json").write_text(json.dumps({**document, key: value}))
    with pytest.raises(JobFileError):
        read_prediction(tmp_path, ct.shape)


@pytest.mark.parametrize(
    "arrays",
    [
        {"slice_agatston": np.zeros(3, np.float32)},
        {"slice_agatston": np.zeros((2, 2), np.float32)},
        {"slice_z_mm": np.array(["a", "b"])},
        {"attention": np.zeros((2, 2), np.float32)},
    ],
)
def test_arrays_that_do_not_fit_are_no_score(tmp_path, arrays):
    ct, _ = a_calcified_ct()
    write_prediction(tmp_path, by_slices(ct))
    with np.load(tmp_path / "prediction.npz") as stored:
        kept = dict(stored)
    np.savez(tmp_path / "prediction.npz", **{**kept, **arrays})
    with pytest.raises(JobFileError):
        read_prediction(tmp_path, ct.shape)
