"""What each choice of the training buys: the variants really differ, and each is judged under settings of its own."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from CACScoringLib.cli import main
from CACScoringLib.models import open_bundle
from CACScoringLib.phantom import PhantomOptions
from CACScoringLib.training import training_ablation
from CACScoringLib.training.ablation import Ablation
from CACScoringLib.training.loop import TrainingSettings
from CACScoringLib.training.sampling import fine_patch
from CACScoringLib.training.training_ablation import (
    VARIANTS,
    as_markdown,
    compare_variants,
    judged,
    train_variants,
    train_with_seeds,
)
from CACScoringLib.training.validation import see_synthetic
from Testing.Unit.test_training_ablation import patient
from Testing.Unit.test_training_loop import a_case  # noqa: F401

ROW = Ablation("x", 0.1, dict.fromkeys(("total", "LM", "LAD", "LCX", "RCA"), 0.9), 0.8, 0.1, 1.0)


@pytest.fixture
def rare(a_case):  # noqa: F811
    """A long case with one voxel of left main at one end and 19 islands of noise at the other."""
    shape, cell = (64, 64, 400), np.array([[32, 32, 40]] + [[32, 20 + n, 360] for n in range(19)], np.int32)
    one = np.ones(20, np.float32)
    return replace(
        a_case,
        fine_hu=np.zeros(shape, np.int16),
        fine_structures=np.ones(shape, np.uint8),
        fine_arteries=np.zeros(shape, np.uint8),
        cell=cell,
        peak=200 * one,
        fraction=one,
        size=5 * one,
        weight=one,
        label=np.array([1] + [0] * 19, np.uint8),
    )


@pytest.mark.parametrize(("balanced", "least", "most"), [(True, 0.35, 0.6), (False, 0.0, 0.2)])
def test_balance_is_what_shows_the_left_main_often(rare, balanced, least, most):
    rng = np.random.default_rng(1)
    shown = [(fine_patch(rare, rng, False, balanced=balanced).label == 1).any() for _ in range(120)]
    assert least < np.mean(shown) < most


def test_every_variant_changes_the_settings_in_its_own_way():
    settings = TrainingSettings()
    tried = [replace(settings, **variant.changes) for variant in VARIANTS]
    assert tried[0] == settings
    assert len({str(asdict(each)) for each in tried}) == len(VARIANTS) == len({v.name for v in VARIANTS})


def test_variants_are_trained_once_and_go_on_from_what_is_there(a_case, tmp_path):  # noqa: F811
    settings = TrainingSettings(steps=1, patients_per_step=1, warmup_steps=1, checkpoint_every=1, learning_rate=1e-2)
    two, told = (VARIANTS[0], VARIANTS[4]), []
    first = train_variants([a_case], [[0]], settings, tmp_path, variants=two, tick=lambda v: lambda *_: told.append(v))
    assert [path.parent.name for path in first] == ["as-trained", "unvaried"]
    assert told == list(two)
    sums = [open_bundle(folder).sha256 for folder in first]
    assert sums[0] != sums[1]
    again = train_variants([a_case], [[0]], settings, tmp_path, variants=two, tick=lambda v: lambda *_: told.append(v))
    assert [open_bundle(folder).sha256 for folder in again] == sums
    assert len(told) == 2


def test_each_seed_has_weights_and_a_folder_of_its_own(monkeypatch, tmp_path):
    asked = []

    def train(cases, groups, settings, folder, *, variants, resume, tick):
        asked.append((settings.seed, folder))
        assert tick(variants[0]) == (variants[0], len(asked) - 1)
        return [folder / variant.name for variant in variants]

    monkeypatch.setattr(training_ablation, "train_variants", train)
    settings, two = TrainingSettings(steps=2, seed=7), VARIANTS[:2]
    bundles = train_with_seeds(
        [], [], settings, tmp_path, 2, variants=two, tick=lambda variant, number: (variant, number)
    )
    assert asked == [(7, tmp_path), (8, tmp_path / "seed-8")]
    assert bundles[1] == [tmp_path / "seed-8" / variant.name for variant in two]


def test_the_rows_of_several_seeds_are_their_means(monkeypatch):
    good, bad = patient(40, 17), patient(40, 17, unlike=tuple(range(2, 30)))
    monkeypatch.setattr(training_ablation, "see_with_all", lambda *_, **__: [[good, bad, bad, bad]] * 2)
    bundles = [[Path("a"), Path("b")], [Path("c"), Path("d")]]
    rows = compare_variants([], bundles, variants=VARIANTS[:2])
    low, high = rows[0].errors
    assert low < high
    assert rows[0].error == pytest.approx((low + high) / 2)
    assert rows[1].errors == pytest.approx((high, high))
    page = as_markdown(rows, patients=6, steps=3, validation=8, seeds=2)
    assert "4 trainings from random weights with 2 seeds each" in page
    assert f"| as trained | {rows[0].error:.3f} ({low:.3f}, {high:.3f}) |" in page


def test_a_variant_is_judged_under_the_settings_that_suit_it():
    wrong = patient(40, 17)
    wrong.calcium[:] = [0.3, 0.65, 0.05, 0.0, 0.0]  # LM with 0.65 where all is LAD
    wrong = replace(wrong, truth=np.zeros_like(wrong.truth), reference=np.zeros(5))
    row = judged("x", [wrong, patient(40, 17), patient(30, 2)])
    assert row.zero_share == 1.0
    assert row.reclassified == 0.0


def test_every_bundle_sees_each_patient_which_is_generated_once(monkeypatch, tmp_path):
    made, seen = [], {"a": patient(40, 17), "b": patient(30, 2)}

    def synthesize(seed, protocol, options):
        made.append((seed, options.zero_fraction))
        return type("Patient", (), {"ct": None, "labels": None})()

    monkeypatch.setattr("CACScoringLib.phantom.synthesize", synthesize)
    monkeypatch.setattr("CACScoringLib.models.open_bundle", lambda folder: folder)
    monkeypatch.setattr("CACScoringLib.training.validation.weights_name", str)
    monkeypatch.setattr("CACScoringLib.training.validation.see", lambda ct, labels, folder: seen[folder])
    first = see_synthetic("gated", 800_000, ["a", "b"], tmp_path)
    assert [len(each.hu) for each in first] == [len(seen[name].hu) for name in "ab"]
    again = see_synthetic("gated", 800_000, ["b", "a"], tmp_path)
    assert [len(each.hu) for each in again] == [len(seen[name].hu) for name in "ba"]
    assert made == [(800_000, PhantomOptions().zero_fraction)]
    see_synthetic("gated", 800_001, ["a"], tmp_path, lambda protocol, seed: PhantomOptions(zero_fraction=seed / 1e6))
    assert made[1:] == [(800_001, 0.800001)]


def test_rows_stand_under_the_titles_of_their_variants(monkeypatch):
    good, bad = patient(40, 17), patient(40, 17, unlike=tuple(range(2, 30)))
    monkeypatch.setattr(training_ablation, "see_with_all", lambda *_, **__: [[good, bad], [good, bad]])
    rows = compare_variants([], [[Path("a"), Path("b")]], variants=VARIANTS[:2])
    assert [row.title for row in rows] == [variant.title for variant in VARIANTS[:2]]
    assert rows[0].error < rows[1].error


def test_the_command_writes_the_table_with_what_it_rests_on(monkeypatch, tmp_path, capsys):
    asked = {}

    def train(cases, groups, settings, folder, seeds, *, resume, tick):
        asked.update(cases=len(cases), settings=settings, resume=resume, seeds=seeds)
        tick(VARIANTS[1], number=1)(1, {})
        return [[folder / variant.name / "bundle" for variant in VARIANTS]] * seeds

    def compare(wanted, bundles, *, cache, workers, tick):
        asked.update(wanted=wanted, bundles=bundles)
        tick("patient 800000")
        return [ROW]

    monkeypatch.setattr(
        "CACScoringLib.training.multibranch_training.load_patients",
        lambda request: ([0] * request.patients, {"gated": [0]}),
    )
    monkeypatch.setattr(training_ablation, "train_with_seeds", train)
    monkeypatch.setattr(training_ablation, "compare_variants", compare)
    words = ["train", "multibranch-unet", "--ablation", "--output", str(tmp_path), "--patients", "6"]
    assert main([*words, "--steps", "3", "--validation-patients", "8", "--ablation-seeds", "2"]) == 0
    assert (asked["cases"], asked["settings"].steps, asked["resume"], asked["seeds"]) == (6, 3, True, 2)
    assert len(asked["wanted"]) == 8
    assert asked["wanted"][0][1] == 800_000
    page = (tmp_path / "training-ablation.md").read_text(encoding="utf-8")
    assert page == as_markdown([ROW], patients=6, steps=3, validation=8, seeds=2)
    assert page in capsys.readouterr().out
    assert "3 steps on 6 synthetic patients" in page
    assert "| x | 0.100 | 0.900 |" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["convlstm"], "not for convlstm"),
        (["multibranch-unet", "--data", "scans", "--layout", "plain"], "not with --data"),
        (["multibranch-unet", "--validation-patients", "0"], "--validation-patients 1 or more"),
        (["multibranch-unet", "--ablation-seeds", "0"], "--ablation-seeds needs 1 or more"),
    ],
)
def test_an_ablation_that_cannot_be_is_one_sentence(words, said, tmp_path, capsys):
    assert main(["train", *words, "--ablation", "--output", str(tmp_path / "x")]) != 0
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_seeds_of_an_ablation_go_with_it(tmp_path, capsys):
    assert main(["train", "multibranch-unet", "--ablation-seeds", "2", "--output", str(tmp_path)]) != 0
    assert "--ablation-seeds goes with --ablation" in capsys.readouterr().err
