"""What README.md and the docstrings show works as shown."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
from pathlib import Path

import pytest
import small_scan

from CACScoringLib.cli import build_parser
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.models import shipped_models

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"^(cacscoring .+)$|`(cacscoring [a-z]+ --[^`]+)`", README, re.MULTILINE)))
WITH_EXAMPLES = sorted(
    path for path in (ROOT / "CACScoringLib").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("command", [first or second for first, second in COMMANDS])
def test_every_command_in_the_readme_is_understood(command) -> None:
    words = shlex.split(command.split("#")[0])[1:]
    args = build_parser(words[0]).parse_args(words)
    assert args.command == words[0]


def test_the_python_example_runs_and_prints_a_score_for_each_vessel(tmp_path, monkeypatch, capsys) -> None:
    small_scan.write_small_scan(tmp_path / "out" / "sample-scan" / "ct.nrrd")
    monkeypatch.chdir(tmp_path)
    labels = small_scan.small_labels()
    monkeypatch.setattr("CACScoringLib.methods.predict", lambda ct, method: Prediction(method, "m", "0", labels=labels))
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "144.0 >100-400"
    assert [line.split()[0] for line in lines[1:5]] == ["LM", "LAD", "LCX", "RCA"]
    assert lines[2] == "LAD 144.0 108.0 mm3 37.4 mg, 1 lesions"


@pytest.mark.skipif(not shipped_models(), reason="no model ships yet")
def test_the_method_that_the_readme_names_finds_nothing_in_a_body_without_a_heart() -> None:
    import numpy as np

    from CACScoringLib import predict
    from CACScoringLib.ct.volume import CTVolume

    prediction = predict(CTVolume(small_scan.small_hu(), small_scan.SPACING_MM), method="multibranch-unet")
    assert prediction.labels.shape == small_scan.SHAPE
    assert not np.isin(prediction.labels, (1, 2, 3, 4)).any()


def test_files_that_the_readme_links_to_are_there() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target


def test_every_folder_of_the_library_has_its_sentence() -> None:
    folders = {path.parent.name for path in (ROOT / "CACScoringLib").glob("*/__init__.py")}
    assert all(f"`CACScoringLib/{name}`" in README for name in folders)


def test_the_readme_is_honest_about_use_and_training_data() -> None:
    assert "Research use only" in README
    assert "trained on synthetic patients only" in README


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstring_examples_are_true(path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
