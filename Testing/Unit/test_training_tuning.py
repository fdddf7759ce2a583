"""Tuning the shipped weights on labelled scans, end to end in every layout, as small as it can be."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from dataset_samples import WRITERS, three_patients

from CACScoringLib.cli import main
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.inference.lesions import DecisionSettings
from CACScoringLib.methods import predict
from CACScoringLib.models import load_weights, open_bundle
from CACScoringLib.training.cases import TrainingCase
from CACScoringLib.training.datasets import LabelledScan, list_scans
from CACScoringLib.training.fine_tuning import case_file, case_of, structures_of
from CACScoringLib.training.labels import LEFT_MAIN_OR_LAD, NOT_CORONARY, with_doubt
from CACScoringLib.training.losses import balanced_cross_entropy, candidate_losses, join_left_main
from CACScoringLib.vocabulary import Structure, Vessel

SHIPPED = "multibranch-unet"
TUNED = "multibranch-unet-tuned"


@pytest.fixture(scope="module")
def patients():
    return three_patients()


def tune(data, layout, output, *words):
    return main(
        ["train", SHIPPED, "--data", str(data), "--layout", layout, "--output", str(output), "--workers", "1", *words]
    )


@pytest.mark.parametrize("layout", WRITERS)
def test_shipped_weights_are_tuned_on_each_layout_and_the_bundle_predicts(patients, tmp_path, layout, capsys):
    data = WRITERS[layout](tmp_path / "data", patients)
    assert tune(data, layout, tmp_path / "out", "--steps", "2", "--from-model", SHIPPED) == 0
    printed = capsys.readouterr().out
    start, tuned = open_bundle(SHIPPED), open_bundle(tmp_path / "out" / "bundle" / TUNED)
    assert tuned.method == SHIPPED
    assert tuned.settings["tuned_from"] == {"id": start.id, "sha256": start.sha256}
    assert DecisionSettings.from_bundle(tuned.settings) == DecisionSettings.of_network(start.settings)
    assert not {"lesion_features", "network_decision", "uncertainty"} & set(tuned.settings)
    before, after = load_weights(start), load_weights(tuned)
    assert set(before) - set(after) == {name for name in before if name.startswith("lesions.")} != set()
    taken_over = [name for name in before if name.startswith("bifurcation.")]
    assert taken_over
    assert all(torch.equal(before[name], after[name]) for name in taken_over)
    moved = max(float((before[name] - after[name]).abs().max()) for name in after if after[name].is_floating_point())
    assert 0 < moved < 0.05
    said = json.loads((tmp_path / "out" / "validation.json").read_text(encoding="utf-8"))
    assert said["scans"] == len(said["patients"]) == 1
    assert "On 1 scan of 1 patient held back" in printed
    assert "2 labelled scans of 2 patients" in tuned.card
    assert ("count the left main as LAD" in tuned.card) == (layout == "orcascore")
    if layout == "orcascore":
        assert said["agatston"][0]["reference"]["LM"] == said["agatston"][0]["after"]["LM"] == 0
    cases = [TrainingCase.load(path) for path in sorted((tmp_path / "out" / "cache").glob("*.npz"))]
    assert len(cases) == 2
    expected = {3, 4, NOT_CORONARY} | ({LEFT_MAIN_OR_LAD} if layout == "orcascore" else {1, 2})
    for case in cases:
        assert set(np.unique(case.label)) == expected
    prediction = predict(patients["1"][0], model=tuned.folder)
    assert prediction.model_id == TUNED
    assert prediction.labels.max() > 0


def test_patients_held_back_are_not_trained_on(patients, tmp_path):
    data = WRITERS["plain"](tmp_path / "data", patients)
    (data / "patients.json").write_text(json.dumps({"1": "anna", "2": "anna", "3": "berta"}))
    assert tune(data, "plain", tmp_path / "out", "--steps", "1", "--validation-share", "0.5") == 0
    held = json.loads((tmp_path / "out" / "validation.json").read_text(encoding="utf-8"))
    trained_on = {path.name.split("-")[0] for path in (tmp_path / "out" / "cache").glob("*.npz")}
    assert trained_on == ({"3"} if held["patients"] == ["anna"] else {"1", "2"})
    assert {row["case"] for row in held["agatston"]} == {"1", "2", "3"} - trained_on


def test_the_expert_score_is_that_of_the_labels(patients, tmp_path):
    """Each block: 3 x 3 pixels of 1.724 mm in 2 slices of 2.5 mm, weight 4."""
    data = WRITERS["plain"](tmp_path / "data", patients)
    assert tune(data, "plain", tmp_path / "out", "--steps", "1") == 0
    (row,) = json.loads((tmp_path / "out" / "validation.json").read_text(encoding="utf-8"))["agatston"]
    ct, _ = patients["1"]
    block = 2 * 9 * ct.spacing_mm[1] * ct.spacing_mm[2] * 4 * ct.spacing_mm[0] / 3
    for vessel in Vessel:
        assert row["reference"][vessel.name] == pytest.approx(block, abs=0.01)


@pytest.mark.parametrize(
    ("words", "says", "status"),
    [
        (["--data", "x"], "--data needs --layout", 2),
        (["--layout", "coca"], "--layout goes with --data", 2),
        (["--from-model", SHIPPED], "--from-model goes with --data", 2),
        (["--data", "x", "--layout", "coca", "--validation-share", "2"], "0 to 0.5", 2),
        (["--data", "x", "--layout", "coca", "--from-model", "nothing"], "There is no model 'nothing'", 2),
        (["--data", "nowhere", "--layout", "coca"], "There is no folder nowhere", 3),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_sentence(tmp_path, capsys, words, says, status):
    assert main(["train", SHIPPED, "--output", str(tmp_path / "out"), *words]) == status
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_bad_case_is_named_and_the_others_are_trained_on(patients, tmp_path, capsys):
    data = WRITERS["plain"](tmp_path / "data", patients)
    (data / "labels" / "2.nii.gz").write_bytes(b"nothing")
    assert tune(data, "plain", tmp_path / "out", "--steps", "1", "--validation-share", "0") == 0
    captured = capsys.readouterr()
    assert "refuse: Case 2: " in captured.err
    assert "Not validated" in captured.out
    assert len(list((tmp_path / "out" / "cache").glob("*.npz"))) == 2


def test_a_changed_label_map_makes_a_new_case(patients, tmp_path):
    data = WRITERS["plain"](tmp_path, patients)
    start = open_bundle(SHIPPED)
    first = [case_file(tmp_path, files, start) for files in list_scans(data, "plain")]
    assert first == [case_file(tmp_path, files, start) for files in list_scans(data, "plain")]
    (data / "labels.json").write_text(json.dumps({"1": "LM+LAD", "2": "LM+LAD", "3": "LCX", "4": "RCA"}))
    second = [case_file(tmp_path, files, start) for files in list_scans(data, "plain")]
    assert not set(first) & set(second)


def test_the_heart_of_a_scan_without_heart_labels_is_the_coarse_branchs(patients):
    ct, labels = patients["1"]
    start = open_bundle(SHIPPED)
    structures = structures_of(ct, start)
    assert structures.shape == ct.shape
    assert {int(Structure.LEFT_VENTRICLE), int(Structure.RIGHT_VENTRICLE)} <= set(np.unique(structures))
    given = case_of(LabelledScan(ct, labels, structures, names_non_coronary=True), start)
    assert 0 in given.label
    air = CTVolume(np.full((30, 80, 80), -1000, np.int16), (3.0, 1.0, 1.0))
    with pytest.raises(InputRefusedError, match="No whole heart"):
        structures_of(air, start)


def test_what_an_expert_left_open_is_marked():
    labels = np.array([0, 1, 2, 3, 4, 11], np.uint8)
    np.testing.assert_array_equal(
        with_doubt(labels, left_main_is_lad=True, names_non_coronary=True), [0, 5, 5, 3, 4, 11]
    )
    np.testing.assert_array_equal(
        with_doubt(labels, left_main_is_lad=False, names_non_coronary=False), [6, 1, 2, 3, 4, 11]
    )


def test_either_of_left_main_and_lad_is_right_where_they_are_not_told_apart():
    """Probabilities 0.1 0.3 0.4 0.1 0.1: the loss of LM or LAD is -ln 0.7."""
    logits = torch.log(torch.tensor([[0.1, 0.3, 0.4, 0.1, 0.1]]))
    joined = join_left_main(logits, torch.tensor([True]))
    loss = balanced_cross_entropy(joined, torch.tensor([int(Vessel.LAD)]), torch.ones(1), 5)
    assert float(loss) == pytest.approx(-np.log(0.7), abs=1e-6)
    torch.testing.assert_close(join_left_main(logits, torch.tensor([False])), logits)


def test_calcium_of_unknown_kind_teaches_that_it_is_not_coronary_and_nothing_else():
    rows = {name: torch.zeros(2, 5, requires_grad=True) for name in ("calcium", "non_coronary")}
    calcium, other = candidate_losses(rows, torch.tensor([NOT_CORONARY, LEFT_MAIN_OR_LAD]), torch.ones(2))
    assert float(other.detach()) == 0
    (calcium + other).backward()
    assert rows["calcium"].grad[0, 0] < 0
    assert float(rows["non_coronary"].grad.abs().max()) == 0
    assert bool((rows["calcium"].grad[1, 1:3] < 0).all())
    assert bool(torch.isfinite(rows["calcium"].grad).all())
