"""``train multibranch-unet --left-main-only``: one network of a model goes on learning, the others stay."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from left_main_case import a_case

from CACScoringLib.cli import main
from CACScoringLib.inference.bifurcation import CROP_SHAPE
from CACScoringLib.methods.multibranch_model import BIFURCATION
from CACScoringLib.models import load_weights, open_bundle, part_of
from CACScoringLib.networks.bifurcation import BifurcationConfig, BifurcationUNet
from CACScoringLib.training import bifurcation_further, bifurcation_training
from CACScoringLib.training.bifurcation_further import FOLDER, SURROUNDINGS, VALIDATION, choose, weights_of_a_run
from CACScoringLib.training.bifurcation_training import Surroundings, draw_crop, plain_crop, surroundings_of
from CACScoringLib.training.bifurcation_validation import cross_entropy
from CACScoringLib.training.run_request import TrainingRequest
from CACScoringLib.training.synthetic_patients import left_main_patients, left_main_validation_patients

SHIPPED = "multibranch-unet"
COMMAND = ["train", SHIPPED, "--left-main-only"]


@pytest.fixture(scope="module")
def around():
    return surroundings_of(a_case())


def without_calcium(around):
    none = {name: getattr(around, name)[:0] for name in ("cell", "peak", "fraction", "size", "weight", "label")}
    return replace(around, **none)


def always(odds):
    """A network that says the same everywhere."""
    network = BifurcationUNet(BifurcationConfig(channels=(4, 6, 8, 8))).eval()
    torch.nn.init.zeros_(network.vessel.weight)
    with torch.no_grad():
        network.vessel.bias.copy_(torch.tensor(odds).log())
    return network


def test_cross_entropy_is_that_of_what_the_network_says_by_patient_and_protocol(around):
    share = torch.tensor([0.5, 0.3, 0.2])
    crop = plain_crop(around)
    told = {label: float(crop.weight[crop.label == label].sum()) for label in (1, 2)}
    at_calcium = -(told[1] * np.log(0.5) + told[2] * np.log(0.3)) / sum(told.values())
    cells = np.array([(crop.artery == label).sum() for label in (1, 2, 3)])
    said = cross_entropy(
        always(share.tolist()), {"gated": [around, without_calcium(around), around], "chest": [without_calcium(around)]}
    )
    assert said.calcium == pytest.approx(at_calcium, rel=1e-5)
    assert said.course == pytest.approx(-(cells * np.log(share.numpy())).sum() / cells.sum(), rel=1e-5)
    assert said.by_protocol["gated"] == pytest.approx(at_calcium, rel=1e-5)
    assert np.isnan(said.by_protocol["chest"])
    assert (said.patients, said.with_calcium) == (4, 2)


def test_the_plain_crop_is_the_drawn_one_that_is_not_varied(around, monkeypatch):
    for name in ("JITTER_MM", "STRETCH", "NOISE_SHARE", "ON_CALCIUM_SHARE"):
        monkeypatch.setattr(bifurcation_training, name, 0.0)
    monkeypatch.setattr(bifurcation_training, "TURN_DEG", (0.0, 0.0, 0.0))
    on_grid = replace(around, middle=np.rint(around.middle) + 0.5)
    plain, drawn = plain_crop(on_grid), draw_crop(on_grid, np.random.default_rng(0))
    assert plain.channels.shape == (4, *CROP_SHAPE)
    assert np.array_equal(plain.label, drawn.label)
    assert np.array_equal(plain.artery, drawn.artery)


def test_weights_of_a_run_and_their_means():
    found = weights_of_a_run(
        *({"w": torch.tensor(0.0)}, (10, {"w": torch.tensor(2.0)}), (20, {"w": torch.tensor(6.0)}))
    )
    assert {name: float(weights["w"]) for name, weights in found.items()} == {
        "step 20": 6.0,
        "step 10": 2.0,
        "mean of step 10 and step 20": 4.0,
        "mean of before and step 20": 3.0,
        "before": 0.0,
    }


def test_the_smallest_cross_entropy_at_calcium_is_chosen(around, monkeypatch, tmp_path):
    monkeypatch.setattr(bifurcation_further, "BifurcationUNet", lambda _: always([1.0, 1.0, 1.0]))
    found = {
        name: always(odds).state_dict() for name, odds in {"end": [8.0, 1.0, 1.0], "half": [4.0, 4.0, 1.0]}.items()
    }
    told = []
    request = TrainingRequest(tmp_path, 1, 1, tell=lambda *words: told.append(words))
    choice = choose(found, {"gated": [around]}, request)
    assert choice.name == "half"
    assert choice.tried["half"].calcium < choice.tried["end"].calcium
    assert told == [("Validating (end)", 1, 2), ("Validating (half)", 2, 2)]
    assert choose(found, {"gated": [without_calcium(around)]}, request).name == "end"
    assert choose(found, {}, request).name == "end"


def test_patients_are_those_that_train_networks():
    assert left_main_patients(2, 50_000) == [("gated", 50_000), ("spect-ctac", 50_001)]
    assert left_main_patients(1, 59_999)
    for count, first in ((1, 999), (2, 59_999), (1, 800_000)):
        with pytest.raises(ValueError, match="from 1000 to 59999"):
            left_main_patients(count, first)
    assert [seed for _, seed in left_main_validation_patients(3)] == [820_000, 820_001, 820_002, 820_003]


@pytest.fixture
def quick(monkeypatch, around):
    """Patients are not generated, and a step is about two crops."""
    asked = []

    def build(self, folder, wanted, *, enriched, workers, tick):
        asked.append((list(wanted), enriched))
        folder.mkdir(parents=True, exist_ok=True)
        for job in wanted:
            around.save(self.path(folder, *job))
            tick(f"patient {job[1]}")
        return [self.path(folder, *job) for job in wanted]

    monkeypatch.setattr(type(SURROUNDINGS), "build", build)
    fewer = partial(bifurcation_training.BifurcationSettings, patients_per_step=2)
    monkeypatch.setattr(bifurcation_further, "BifurcationSettings", fewer)
    return asked


def test_one_network_learns_and_the_rest_of_the_model_stays(quick, tmp_path, capsys):
    words = ["--patients", "2", "--steps", "2", "--validation-patients", "4", "--first-seed", "51000"]
    assert main([*COMMAND, "--output", str(tmp_path), *words]) == 0
    assert quick == [(left_main_patients(2, 51_000), True), (left_main_validation_patients(4), False)]
    before, after = open_bundle(SHIPPED), open_bundle(tmp_path / "bundle" / FOLDER)
    old, new = load_weights(before), load_weights(after)
    assert set(old) == set(new)
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed
    assert all(name.startswith(BIFURCATION) for name in changed)
    assert {k: v for k, v in before.settings.items() if k != "sha256"} == {
        k: v for k, v in after.settings.items() if k != "sha256"
    }
    said = json.loads((tmp_path / VALIDATION).read_text(encoding="utf-8"))
    calcium = {name: row["calcium"] for name, row in said["cross_entropy"].items()}
    assert set(calcium) == {"before", "step 1", "step 2", "mean of step 1 and step 2", "mean of before and step 2"}
    assert said["chosen"] == min(calcium, key=calcium.get)
    card = " ".join((after.folder / "docs" / "README.md").read_text(encoding="utf-8").split())
    assert "2 steps of 2 crops on 2 synthetic patients (seeds from 51000), learning rate 0.001, seed 20260" in card
    assert f"those called '{said['chosen']}' have the smallest" in card
    assert before.sha256 in card
    assert (after.folder / "LICENSE").read_bytes() == (before.folder / "LICENSE").read_bytes()
    printed = capsys.readouterr().out
    assert f"Model with the weights '{said['chosen']}' in " in printed
    assert f"before: {calcium['before']:.4f}, " in printed
    chosen = part_of(new, BIFURCATION)
    assert main([*COMMAND, "--output", str(tmp_path), *words]) == 0  # nothing is left to do: the same comes out
    again = part_of(load_weights(open_bundle(tmp_path / "bundle" / FOLDER)), BIFURCATION)
    assert all(torch.equal(chosen[name], again[name]) for name in chosen)


def test_a_run_that_gains_nothing_writes_no_model(quick, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bifurcation_further, "choose", lambda *_: bifurcation_further.Choice("before", {}))
    words = ["--patients", "1", "--steps", "1", "--validation-patients", "4"]
    assert main([*COMMAND, "--output", str(tmp_path), *words]) == 2
    error = capsys.readouterr().err
    assert "no weights are better on the validation patients" in error
    assert json.loads((tmp_path / VALIDATION).read_text(encoding="utf-8"))["chosen"] == "before"
    assert not (tmp_path / "bundle").exists()


def test_a_synthetic_patient_is_kept_and_read_as_it_is(tmp_path):
    (path,) = SURROUNDINGS.build(tmp_path, [("gated", 50_000)])
    around = Surroundings.load(path)
    assert path.name.startswith("left-main-gated-050000")
    assert {1, 2, 3} <= set(np.unique(plain_crop(around).artery))
    assert len(around.cell) == len(around.label) == len(around.peak) > 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "convlstm", "--left-main-only"], "convlstm has no such network"),
        (["train", SHIPPED, "--first-seed", "1000"], "--first-seed goes with --left-main-only"),
        ([*COMMAND, "--data", "x", "--layout", "coca"], "learns from synthetic patients"),
        ([*COMMAND, "--bifurcation-steps", "3"], "leave out --bifurcation-steps"),
        ([*COMMAND, "--ablation"], "not with --left-main-only"),
        ([*COMMAND, "--layout", "coca"], "--layout goes with --data"),
        ([*COMMAND, "--first-seed", "59900"], "480 patients from seed 59900 on do not all have seeds"),
        ([*COMMAND, "--learning-rate", "-1"], "--learning-rate has to be above 0"),
        ([*COMMAND, "--from-model", "nothing"], "There is no model 'nothing'"),
        ([*COMMAND, "--from-model", "convlstm"], "belongs to method 'convlstm'"),
        (["train", "convlstm", "--mixed-precision"], "--mixed-precision is about a network"),
        (["train", "six-class", "--bifurcation-steps", "9"], "--bifurcation-steps is about a network"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_sentence(tmp_path, capsys, words, says):
    assert main([*words, "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
