"""``train`` and ``evaluate`` as a person runs them, as small as they can be.

A network after two steps takes the whole body for a heart, so what looks at scans uses the shipped weights.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest

from CACScoringLib.cli import main
from CACScoringLib.inference.lesions import DecisionSettings
from CACScoringLib.models import open_bundle
from CACScoringLib.training import evaluate_commands
from CACScoringLib.training.calibration import TRIED, sweep
from CACScoringLib.training.synthetic_patients import validation_patients
from CACScoringLib.training.validation import see_patients, see_synthetic

SHIPPED = "multibranch-unet"
SMALL = ["--patients", "4", "--workers", "2", "--bifurcation-steps", "0"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    words = ["train", SHIPPED, "--output", str(folder), "--steps", "1", "--validation-patients", "0"]
    assert main([*words, *SMALL]) == 0
    return folder


def card(folder):
    return " ".join((folder / "bundle" / SHIPPED / "docs" / "README.md").read_text(encoding="utf-8").split())


def test_training_leaves_a_bundle_with_a_card_that_says_what_it_saw(trained):
    bundle = open_bundle(trained / "bundle" / SHIPPED)
    assert bundle.method == SHIPPED
    assert bundle.settings["coronary_probability"] == 0.5
    assert "Trained on synthetic patients only" in card(trained)
    assert "Trained on 4 synthetic patients" in card(trained)
    assert "no other value was tried" in card(trained)
    assert len(list((trained / "cache").glob("*.npz"))) == 4


def test_more_steps_go_on_from_the_checkpoint_and_the_threshold_is_chosen(trained, monkeypatch):
    made = {path: path.stat().st_mtime_ns for path in (trained / "cache").glob("*.npz")}
    before = open_bundle(trained / "bundle" / SHIPPED).sha256
    asked = {}

    def see(wanted, folder, *, cache, workers, tick):
        asked.update(sha256=open_bundle(folder).sha256, wanted=list(wanted), cache=cache)
        return see_patients(wanted[:1], open_bundle(SHIPPED).folder, cache=cache, workers=workers, tick=tick)

    monkeypatch.setattr("CACScoringLib.training.calibration.see_patients", see)
    words = ["train", SHIPPED, "--output", str(trained), "--steps", "2", "--validation-patients", "4"]
    assert main([*words, *SMALL, "--lesion-patients", "0"]) == 0
    lines = [json.loads(line) for line in (trained / "training-log.jsonl").read_text(encoding="utf-8").splitlines()]
    bundle = open_bundle(trained / "bundle" / SHIPPED)
    assert [line["step"] for line in lines] == [1, 2]
    assert {path: path.stat().st_mtime_ns for path in (trained / "cache").glob("*.npz")} == made
    assert bundle.sha256 == asked["sha256"] != before
    assert asked["wanted"] == validation_patients(4)
    assert DecisionSettings.from_bundle(bundle.settings) in TRIED
    assert "1 synthetic patients of their own (seeds from 800000)" in card(trained)
    assert asked["cache"] == trained / "validation"
    assert [path.name[:12] for path in asked["cache"].iterdir()] == ["gated-800000"]
    assert "uncertainty" not in bundle.settings  # one patient is not enough to fit it


def test_asking_for_more_never_raises_a_score():
    patient = see_synthetic("gated", 800_000, [open_bundle(SHIPPED).folder])[0]
    reference, predicted = patient.reference, sweep(patient)
    total = {settings: scores[0] for settings, scores in zip(TRIED, predicted, strict=True)}
    assert reference[0] == pytest.approx(reference[1:].sum())
    assert reference[0] > 0
    assert total[DecisionSettings()] > 0
    for settings, agatston in total.items():
        assert agatston <= total[replace(settings, coronary_probability=0.5, speck_probability=0.5)] + 1e-6
        assert agatston <= total[replace(settings, left_main_odds=1.0)] + 1e-6


def test_evaluation_prints_and_writes_every_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        evaluate_commands, "evaluation_patients", lambda count, first: [("gated", first), ("gated", first + 4)]
    )
    assert main(["evaluate", SHIPPED, "--patients", "1", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert len((tmp_path / "patients.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert written["summary"]["all"]["patients"] == 2
    assert written["sha256"] == open_bundle(SHIPPED).sha256
    page = (tmp_path / "evaluation.md").read_text(encoding="utf-8")
    for text in (
        "ICC(2,1) total",
        "ICC(2,1) LM",
        "linear kappa",
        "reclassified",
        "lesion sensitivity",
        "seconds a scan",
    ):
        assert text in page
        assert text in printed


def test_patients_can_be_asked_to_have_a_stent(tmp_path, monkeypatch, capsys):
    asked = []

    def evaluate(protocol, seed, *, mimics, **_):
        asked.append(mimics)
        raise RuntimeError("far enough")

    monkeypatch.setattr("CACScoringLib.training.evaluation.evaluate_patient", evaluate)
    monkeypatch.setattr("CACScoringLib.training.evaluation.ProcessPoolExecutor", lambda **_: ThreadPoolExecutor(1))
    assert main(["evaluate", SHIPPED, "--patients", "1", "--with", "stent,bronchi", "--output", str(tmp_path)]) != 0
    assert "far enough" in capsys.readouterr().err
    assert set(asked) == {("stent", "bronchi")}


def test_an_unknown_method_is_one_sentence(tmp_path, capsys):
    assert main(["train", "no-such-net", "--output", str(tmp_path / "x")]) != 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no-such-net" in error
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "six-class", "--first-seed", "-5"],
        ["evaluate", "all", "--first-seed", "4294967296"],
        ["train", SHIPPED, "--seed", "-1"],
        ["train", SHIPPED, "--left-main-only", "--first-seed", "-5"],
    ],
)
def test_a_seed_that_is_none_is_one_sentence(words, tmp_path, capsys):
    assert main([*words, "--output", str(tmp_path / "x")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{words[-1]} is not a whole number from 0 to 4294967295" in error
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("foo", "There is no device 'foo': choose one of auto, cpu, cuda, mps."),
        ("cuda", "The device 'cuda' is not available here: leave --device out or choose cpu."),
        ("cuda:1", "The device 'cuda:1' is not available here"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--ablation"], ["--left-main-only"], ["--data", "x", "--layout", "coca"]])
def test_a_device_that_is_not_there_is_refused_before_any_patient(device, says, more, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("CACScoringLib.methods.devices._usable", lambda torch, name: name == "cpu")
    assert main(["train", SHIPPED, "--output", str(tmp_path / "x"), "--device", device, *more]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_auto_trains_where_torch_can(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr("CACScoringLib.methods.devices._usable", lambda torch, name: name == "mps")
    monkeypatch.setattr(
        "CACScoringLib.training.six_class.train_six_class", lambda request, **options: asked.update(asdict(request))
    )
    assert main(["train", "six-class", "--output", str(tmp_path), "--device", "auto"]) == 0
    assert asked["device"] == "mps"


@pytest.mark.parametrize("method", ["multibranch-unet", "convlstm", "slice-regression", "six-class"])
def test_every_method_has_its_trainer(method, monkeypatch, tmp_path):
    asked = {}

    def train(request, **options):
        asked.update(asdict(request) | options)
        request.tell("generated patient 1000", 1, 3)
        request.tell("Training (masks 0.1)", 2, 3)

    for name in (
        "convlstm_training.train_convlstm",
        "slice_regression.train_slice_regression",
        "six_class.train_six_class",
        "multibranch_training.train_multibranch",
    ):
        monkeypatch.setattr(f"CACScoringLib.training.{name}", train if method.split("-")[0] in name else None)
    words = [
        "train",
        method,
        "--output",
        str(tmp_path),
        "--patients",
        "3",
        "--steps",
        "3",
        "--seed",
        "7",
        "--no-resume",
    ]
    assert main([*words, "--experiment", "iv", "--labelling", "slice"]) == 0
    assert (asked["output"], asked["patients"], asked["steps"]) == (tmp_path, 3, 3)
    assert (asked["seed"], asked["resume"]) == (7, False)
    own = {
        "multibranch-unet": ("validation_patients", 40),
        "convlstm": ("device", "cpu"),
        "slice-regression": ("experiment", "iv"),
        "six-class": ("labelling", "slice"),
    }
    name, value = own[method]
    assert asked[name] == value


def test_scans_of_ones_own_are_for_the_default_method_only(capsys, tmp_path):
    assert main(["train", "six-class", "--output", str(tmp_path), "--data", str(tmp_path)]) != 0
    assert "--data is for multibranch-unet" in capsys.readouterr().err
