"""The record of automatic, edited and accepted scores."""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
import pytest
from live_samples import a_desk

from CACScoringLib.findings import InputRefusedError
from CACScoringLib.mrml.edits import EDITS_ATTRIBUTE, EditRecord, accept, editRecord, recordAutomatic, recordEdited
from CACScoringLib.mrml.live import LiveScores
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.scene import new_scene, open_scene, save_scene

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


@pytest.fixture
def desk(working):
    return a_desk(working)


def scored(desk, **options):
    return ScoringLogic().computeScores(desk.volume, desk.segmentation, **options)


def test_nothing_is_recorded_at_first(desk):
    assert editRecord(desk.segmentation) == EditRecord()
    assert editRecord(desk.segmentation).changed is False
    assert not editRecord(desk.segmentation).accepted_is_current


def test_automatic_and_edited_scores_stand_side_by_side(desk):
    recordAutomatic(desk.segmentation, scored(desk))
    assert editRecord(desk.segmentation).changed is False
    desk.paint("RCA", desk.labels == 4, "Remove")
    recordEdited(desk.segmentation, scored(desk))
    record = editRecord(desk.segmentation)
    assert record.automatic["total"]["agatston"] == pytest.approx(27)
    assert record.edited["total"]["agatston"] == pytest.approx(3)
    assert record.edited["vessels"]["RCA"]["voxels"] == 0
    assert record.automatic["risk"]["clinical-5"] == ">10-100"
    assert (record.automatic["preset"], record.automatic["threshold_hu"], record.automatic["kvp"]) == (
        "agatston-1990",
        130,
        120,
    )
    assert record.current is record.edited
    assert record.changed is True


def test_scores_under_other_rules_are_not_called_edited(desk):
    recordAutomatic(desk.segmentation, scored(desk))
    recordEdited(desk.segmentation, scored(desk, kvp=80))
    assert editRecord(desk.segmentation).changed is None


def test_an_acceptance_says_who_when_what_and_why(desk):
    scores = scored(desk)
    recordAutomatic(desk.segmentation, scores)
    accept(desk.segmentation, " A. Reader ", scores, when=NOON, comment="motion in the RCA")
    accepted = editRecord(desk.segmentation).accepted
    assert (accepted.reader, accepted.when, accepted.comment) == (
        "A. Reader",
        "2026-03-01T12:00:00+00:00",
        "motion in the RCA",
    )
    assert accepted.scores["total"]["agatston"] == pytest.approx(27)
    assert editRecord(desk.segmentation).accepted_is_current


def test_without_a_time_it_is_now_in_utc(desk):
    before = datetime.now(timezone.utc).replace(microsecond=0)
    accept(desk.segmentation, "A", scored(desk))
    when = datetime.fromisoformat(editRecord(desk.segmentation).accepted.when)
    assert before <= when <= datetime.now(timezone.utc)
    accept(desk.segmentation, "A", scored(desk), when="2026-01-01T08:00:00Z")
    assert editRecord(desk.segmentation).accepted.when == "2026-01-01T08:00:00Z"


def test_an_edit_after_an_acceptance_makes_it_stale_and_undoing_it_restores_it(desk):
    scores = scored(desk)
    recordAutomatic(desk.segmentation, scores)
    accept(desk.segmentation, "A", scores)
    desk.paint("LAD", desk.labels == 2, "Remove")
    recordEdited(desk.segmentation, scored(desk))
    assert not editRecord(desk.segmentation).accepted_is_current
    desk.editor.Undo()
    recordEdited(desk.segmentation, scored(desk))
    assert editRecord(desk.segmentation).accepted_is_current
    assert editRecord(desk.segmentation).changed is False


def test_two_readers_are_kept_in_their_order_until_the_network_runs_again(desk):
    scores = scored(desk)
    accept(desk.segmentation, "A", scores)
    accept(desk.segmentation, "B", scores)
    assert [entry.reader for entry in editRecord(desk.segmentation).acceptances] == ["A", "B"]
    recordEdited(desk.segmentation, scores)
    recordAutomatic(desk.segmentation, scores)
    record = editRecord(desk.segmentation)
    assert record.acceptances == ()
    assert record.edited is None


def test_nobody_cannot_accept(desk):
    with pytest.raises(InputRefusedError, match="name or initials"):
        accept(desk.segmentation, "  ", scored(desk))
    assert editRecord(desk.segmentation).accepted is None


def test_the_same_score_again_does_not_move_the_time_of_the_edit(desk):
    recordEdited(desk.segmentation, scored(desk))
    written = desk.segmentation.GetAttribute(EDITS_ATTRIBUTE)
    recordEdited(desk.segmentation, scored(desk))
    assert desk.segmentation.GetAttribute(EDITS_ATTRIBUTE) == written


def test_recording_is_no_edit_for_live_scores(desk):
    live = LiveScores(ScoringLogic())
    live.watch(desk.volume, desk.segmentation)
    scores = live.refresh()
    told = []
    live.addListener(told.append)
    recordAutomatic(desk.segmentation, scores)
    accept(desk.segmentation, "A", scores)
    assert live.upToDate
    assert told == []


def test_the_record_is_in_the_saved_scene(working, desk, tmp_path):
    recordAutomatic(desk.segmentation, scored(desk))
    desk.paint("RCA", desk.labels == 4, "Remove")
    recordEdited(desk.segmentation, scored(desk))
    accept(desk.segmentation, 'Dr "Ä" <x>', scored(desk), when=NOON, comment="100 % sure; a:b|c & d")
    expected = editRecord(desk.segmentation)
    path = save_scene(working.scene, tmp_path / "case.mrb")
    again = open_scene(path, new_scene())
    loaded = again.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    assert editRecord(loaded) == expected
    assert editRecord(loaded).accepted.reader == 'Dr "Ä" <x>'
    volume = again.scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    assert ScoringLogic().computeScores(volume, loaded).total.agatston == pytest.approx(3)
    assert np.isclose(editRecord(loaded).edited["total"]["agatston"], 3)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "no json",
        "[]",
        '{"automatic": 3, "acceptances": 7}',
        '{"acceptances": [{"reader": "A"}, 3, {"scores": {}}]}',
    ],
)
def test_what_makes_no_sense_counts_as_not_recorded(desk, written):
    desk.segmentation.SetAttribute(EDITS_ATTRIBUTE, written)
    assert editRecord(desk.segmentation) == EditRecord()
