"""How sure the network is, on real MRML nodes: kept with the segmentation, shown for what nobody has edited."""

from __future__ import annotations

import numpy as np
import pytest
from mrml_samples import DIRECTIONS, a_calcified_ct
from scipy import ndimage

from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.mrml.certainty import CERTAINTY_ATTRIBUTE
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.outcome import OutcomeView
from CACScoringLib.mrml.segmentation import segmentation_from_labels, update_segmentation
from CACScoringLib.mrml.session import ScoringSession
from CACScoringLib.mrml.volume import volume_from_ct
from CACScoringLib.report.words import certainty_line
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.scoring.uncertainty import SCHEMES_GIVEN, ScoreUncertainty

SURE = {"LAD": 0.75, "RCA": 0.5, "other": 0.25}
"""What the method says of its three lesions; the segmentation keeps calcium of the aorta as other."""


def unsure(review_below=0.9):
    """60 % for >0-100 (the sample's total is 27), the rest for 0."""
    categories = {name: dict.fromkeys(SCHEMES[name].groups, 0.0) for name in SCHEMES_GIVEN}
    for name, groups in categories.items():
        groups[SCHEMES[name].group(27.0)], groups[SCHEMES[name].group(0.0)] = 0.6, 0.4
    return ScoreUncertainty(categories, (0.0, 27.0, 27.0), review_below)


def method(ct, method, **options):
    """Label bright voxels on the grid that is given, each lesion with its probability."""
    labels = np.select([ct.hu >= 600, ct.hu >= 400, ct.hu >= 130], [11, 4, 2]).astype(np.uint8)
    index = ndimage.label(labels > 0, structure=np.ones((3, 3, 3)))[0].astype(np.int32)
    sure = {2: SURE["LAD"], 4: SURE["RCA"], 11: SURE["other"]}
    chance = np.array([sure[int(labels[index == n].max())] for n in range(1, index.max() + 1)], np.float32)
    return Prediction(method, "m1", "ab12", labels, lesion_index=index, lesion_probability=chance, uncertainty=unsure())


@pytest.fixture
def desk(working, monkeypatch, request):
    monkeypatch.setattr("CACScoringLib.mrml.logic._check", lambda ct, allow: ())
    ct, labels = a_calcified_ct(getattr(request, "param", "axial"))
    volume = volume_from_ct(working.scene, ct)
    segmentation = segmentation_from_labels(working.scene, np.zeros_like(labels), volume)
    logic = ScoringLogic(predictor=method)
    logic.segment(volume, segmentation)
    return logic, volume, segmentation, np.where(labels == 11, 14, labels).astype(np.uint8)


def document(desk, preset="agatston-1990"):
    logic, volume, segmentation, _ = desk
    return logic.document(volume, segmentation, logic.computeScores(volume, segmentation, preset))


def codes(scores):
    return [entry["code"] for entry in scores["findings"]]


def confidence(scores):
    return {lesion["vessel"]: lesion["confidence"] for lesion in scores["lesions"]}


@pytest.mark.parametrize("desk", DIRECTIONS, indirect=True)
def test_what_the_network_filled_says_how_sure_it_is(desk):
    scores = document(desk)
    assert confidence(scores) == SURE
    assert scores["uncertainty"]["stated_probability"] == 0.6
    assert scores["uncertainty"]["needs_review"] is True
    assert "needs-review" in codes(scores)
    assert certainty_line(scores).startswith("spect-pet-4 >0-100: probability 60%")


def test_an_edited_lesion_and_the_score_are_not_vouched_for_until_it_is_undone(desk):
    _logic, volume, segmentation, labels = desk
    edited = labels.copy()
    edited[3, 5, 6] = 0  # a voxel of LAD
    update_segmentation(segmentation, edited, volume)
    scores = document(desk)
    assert confidence(scores) == {**SURE, "LAD": None}
    assert "uncertainty" not in scores
    assert "needs-review" not in codes(scores)
    update_segmentation(segmentation, labels, volume)
    assert document(desk)["uncertainty"]["stated_probability"] == 0.6


def test_a_lesion_that_was_given_to_another_vessel_is_not_vouched_for(desk):
    _logic, volume, segmentation, labels = desk
    update_segmentation(segmentation, np.where(labels == 4, 3, labels).astype(np.uint8), volume)
    scores = document(desk)
    assert scores["total"]["agatston"] == pytest.approx(27)  # as before
    assert confidence(scores) == {"LAD": 0.75, "LCX": None, "other": 0.25}
    assert "uncertainty" not in scores


def test_other_rules_have_no_category_probabilities(desk):
    scores = document(desk, "canon")
    assert "uncertainty" not in scores
    assert confidence(scores)["RCA"] == 0.5


def test_a_new_run_that_says_nothing_leaves_nothing(desk):
    logic, volume, segmentation, labels = desk
    logic.fill(volume, segmentation, Prediction("m", "m1", "ab12", labels))
    assert segmentation.GetAttribute(CERTAINTY_ATTRIBUTE) is None
    assert set(confidence(document(desk)).values()) == {None}


@pytest.mark.parametrize(
    "stored", ["[]", "{", '{"lesions": []}', '{"lesions": {}, "uncertainty": {"stated_probability": "x"}}']
)
def test_what_a_scene_may_hold_instead_is_passed_over(desk, stored):
    desk[2].SetAttribute(CERTAINTY_ATTRIBUTE, stored)
    scores = document(desk)
    assert "uncertainty" not in scores
    assert set(confidence(scores).values()) == {None}


def test_the_outcome_table_and_the_headline_say_it(working, desk):
    logic, volume, segmentation, _ = desk
    session = ScoringSession(logic)
    session.setNodes(volume, segmentation)
    assert "probability 60%" in session.headline()
    assert "Look at the lesions" in session.findingsText()
    view = OutcomeView(working.scene, "certainty")
    view.update(session.document())
    table = view.outcomeTableNode
    rows = {table.GetCellText(row, 0): table.GetCellText(row, 7) for row in range(table.GetNumberOfRows())}
    assert "Agatston 90 % interval 0 to 27" in rows["Certainty"]
    assert "Look at the lesions" in rows["Warning"]
    session.close()
