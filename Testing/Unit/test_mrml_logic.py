from __future__ import annotations

import numpy as np
import pytest
from mrml_samples import DIRECTIONS, a_calcified_ct

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import InputRefusedError, refuse, warning
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.segmentation import labels_from_segmentation, segmentation_from_labels
from CACScoringLib.mrml.volume import volume_from_ct
from CACScoringLib.scoring import score


@pytest.fixture
def unchecked(monkeypatch):
    """The samples are no whole chests: leave out the checks for that."""
    monkeypatch.setattr("CACScoringLib.mrml.logic._check", lambda ct, allow: (warning("seen", "A warning."),))


def threshold_method(ct, method, **options):
    """A method that labels bright voxels by their side of the body, on the grid that it is given."""
    labels = np.zeros(ct.shape, np.uint8)
    labels[ct.hu >= 130] = 2
    labels[ct.hu >= 400] = 4
    return Prediction(method, "m1", "ab12", labels, findings=(warning("unsure", "Look at this one."),))


def nodes(working, direction="axial"):
    ct, labels = a_calcified_ct(direction)
    volume = volume_from_ct(working.scene, ct)
    return volume, segmentation_from_labels(working.scene, labels, volume), ct, labels


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_scores_of_nodes_are_those_of_the_arrays(working, direction):
    volume, segmentation, _, _ = nodes(working, direction)
    scores = ScoringLogic().computeScores(volume, segmentation)
    assert {name: vessel.agatston for name, vessel in scores.vessels.items()} == pytest.approx(
        {"LM": 0, "LAD": 3, "LCX": 0, "RCA": 24}
    )
    assert scores.total.agatston == pytest.approx(27)


def test_preset_and_tube_voltage_are_passed_on(working):
    volume, segmentation, ct, labels = nodes(working)
    logic = ScoringLogic()
    assert logic.computeScores(volume, segmentation, "canon").preset.name == "canon"
    at_80 = logic.computeScores(volume, segmentation, kvp=80)
    assert at_80.thresholds.calcium == 177
    assert at_80.vessels["LAD"].agatston == pytest.approx(1.5)  # 250 HU is weight 1 at 80 kVp
    assert at_80.total.agatston == pytest.approx(score(ct, labels, kvp=80).total.agatston)


def test_an_edit_changes_the_next_scores(working):
    volume, segmentation, _, _ = nodes(working)
    segmentation.GetSegmentation().RemoveSegment("RCA")
    assert ScoringLogic().computeScores(volume, segmentation).total.agatston == pytest.approx(3)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_segments_are_filled_on_the_volumes_own_grid(working, unchecked, direction):
    ct, _ = a_calcified_ct(direction)
    volume = volume_from_ct(working.scene, ct)
    segmentation = working.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "S")
    given = []

    def method(turned, method, **options):
        given.append(turned)
        return threshold_method(turned, method)

    ScoringLogic(predictor=method).segment(volume, segmentation)
    expected = np.where(ct.hu >= 400, 4, np.where(ct.hu >= 130, 2, 0))
    assert np.array_equal(labels_from_segmentation(segmentation, volume), expected)
    assert (np.diag(np.reshape(given[0].direction, (3, 3))) > 0.9).all()  # methods see LPS
    assert given[0].hu.flags.c_contiguous


def test_model_and_findings_stay_with_the_segmentation(working, unchecked):
    volume, _, _, _ = nodes(working)
    segmentation = working.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "S")
    logic = ScoringLogic(predictor=threshold_method)
    logic.segment(volume, segmentation, "some-method", kvp=100)
    document = logic.document(volume, segmentation, logic.computeScores(volume, segmentation))
    assert document["model"] == {"id": "m1", "sha256": "ab12", "method": "some-method"}
    assert {"seen", "unsure"} <= {finding["code"] for finding in document["findings"]}
    table = working.scene.AddNewNodeByClass("vtkMRMLTableNode", "T")
    logic.updateTable(table, document)
    assert table.GetNumberOfRows() == 5
    logic.updateSummaryTable(table, document)
    texts = [table.GetCellText(row, 2) for row in range(table.GetNumberOfRows())]
    assert "model m1 (ab12)" in texts
    assert "Look at this one." in texts
    logic.updateLesionTable(table, document)
    assert [table.GetCellText(row, 1) for row in range(table.GetNumberOfRows())] == ["LAD", "RCA", "RCA"]


def test_a_hand_made_segmentation_names_itself_as_the_source(working):
    volume, segmentation, _, _ = nodes(working)
    logic = ScoringLogic()
    document = logic.document(volume, segmentation, logic.computeScores(volume, segmentation))
    assert document["model"] == {"id": None, "mask": "Calcium"}


def test_a_refused_scan_leaves_the_segmentation_as_it_was(working, unchecked):
    volume, segmentation, _, _ = nodes(working)
    before = labels_from_segmentation(segmentation, volume)

    def refusing(ct, method, **options):
        raise InputRefusedError(refuse("no-heart", "No heart was found."))

    with pytest.raises(InputRefusedError, match="No heart"):
        ScoringLogic(predictor=refusing).segment(volume, segmentation)
    with pytest.raises(InputRefusedError, match="voxel by voxel"):
        ScoringLogic(predictor=lambda ct, method: Prediction(method, "m", "s")).segment(volume, segmentation)
    assert np.array_equal(labels_from_segmentation(segmentation, volume), before)
    assert segmentation.GetAttribute("CACScoring.Model") is None


def test_missing_nodes_and_segments_are_one_sentence(working):
    volume, segmentation, _, _ = nodes(working)
    empty = working.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
    logic = ScoringLogic()
    for given, code in (((None, segmentation), "no-volume"), ((volume, None), "no-calcium-segments")):
        with pytest.raises(InputRefusedError) as refused:
            logic.computeScores(*given)
        assert refused.value.finding.code == code
    with pytest.raises(InputRefusedError, match="no LM, LAD, LCX or RCA segment"):
        logic.computeScores(volume, empty)


def test_what_is_no_chest_ct_is_refused_before_the_network_runs(working):
    volume, segmentation, _, _ = nodes(working)

    def never(ct, method, **options):
        raise AssertionError("the network must not run")

    with pytest.raises(InputRefusedError) as refused:
        ScoringLogic(predictor=never).segment(volume, segmentation)
    assert refused.value.finding.code == "small-field-of-view"


def a_chest(blood_hu):
    """Air, a body of 50 HU, two lungs and a pool of blood between them: 60 x 4 mm cubes."""
    hu = np.full((60, 70, 90), -1000, np.int16)
    hu[:, 8:62, 8:82] = 50
    hu[:, 15:52, 14:34] = hu[:, 15:52, 56:76] = -850
    hu[15:45, 22:44, 36:54] = blood_hu
    return CTVolume(hu, (4.0, 4.0, 4.0))


def test_contrast_is_refused_unless_allowed(working):
    segmentation = working.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "S")
    enhanced = volume_from_ct(working.scene, a_chest(300))
    logic = ScoringLogic(predictor=lambda ct, method: Prediction(method, "m", "s", np.zeros(ct.shape, np.uint8)))
    with pytest.raises(InputRefusedError) as refused:
        logic.segment(enhanced, segmentation)
    assert refused.value.finding.code == "contrast-enhanced"
    logic.segment(enhanced, segmentation, allowContrast=True)
    document = logic.document(enhanced, segmentation, logic.computeScores(enhanced, segmentation))
    assert "contrast-enhanced" in {finding["code"] for finding in document["findings"]}
    logic.segment(volume_from_ct(working.scene, a_chest(45)), segmentation)
