"""The script that Slicer runs without a window: the same files and exit status as ``cacscoring batch``."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import small_scan

from CACScoringLib.installing import InstallError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "CACScoring" / "CACScoringDesktop" / "batch.py"


def loaded():
    spec = importlib.util.spec_from_file_location("headless_batch", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class NothingMissing:
    def missing(self):
        return ()


@pytest.fixture
def scans(tmp_path):
    """A list of one scan with its labels and one file that is no scan."""
    small_scan.write_small_scan(tmp_path / "a.nrrd")
    small_scan.write_small_labels(tmp_path / "a-labels.nrrd")
    (tmp_path / "broken.nrrd").write_text("no scan")
    (tmp_path / "good.csv").write_text("input,mask\na.nrrd,a-labels.nrrd\n")
    (tmp_path / "both.csv").write_text("input,mask\na.nrrd,a-labels.nrrd\nbroken.nrrd,a-labels.nrrd\n")
    return tmp_path


def rows(folder):
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_scan_is_scored_with_status_0(scans):
    words = ["Slicer", "--no-main-window", "--", str(scans / "good.csv"), "--output", str(scans / "out"), "--quiet"]
    assert loaded().main([*words, "--no-overview"], NothingMissing()) == 0
    (row,) = rows(scans / "out")
    assert float(row["agatston"]) == small_scan.LAD_AGATSTON
    assert (scans / "out" / row["case"] / "segmentation.seg.nrrd").is_file()


def test_a_batch_with_a_failed_case_ends_with_status_4_as_a_process_too(scans):
    """Run as Slicer does, here by plain Python, in a folder where nothing of ours is on the path."""
    command = [sys.executable, str(SCRIPT), "--", str(scans / "both.csv"), "--output", str(scans / "out")]
    done = subprocess.run(
        [*command, "--no-overview", "--quiet"], cwd=scans, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 4, done.stderr
    assert [row["status"] for row in rows(scans / "out")] == ["done", "refused"]


def test_wrong_usage_ends_with_status_2(tmp_path):
    words, calls = ["x", "--no-such-option"], []

    def call(command):
        calls.append(command)
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    assert loaded().main(["Slicer", "--", *words], NothingMissing(), call) == 2
    assert calls[0][3:] == ["batch", *words]


def test_arguments_are_understood_with_and_without_the_dashes():
    arguments = loaded().arguments
    assert arguments(["Slicer", "--", "a", "--output", "b"]) == ["a", "--output", "b"]
    assert arguments(["batch.py", "a", "--output", "b"]) == ["a", "--output", "b"]


def test_missing_packages_are_named_and_nothing_starts(capsys):
    class Missing:
        def missing(self):
            return ("torch>=2.4", "monai>=1.4")

    assert loaded().main(["Slicer", "--", "a"], Missing(), pytest.fail) == 1
    assert capsys.readouterr().err == (
        "cacscoring: Python packages are missing (torch>=2.4, monai>=1.4): add --install-packages.\n"
    )


def test_packages_are_installed_without_a_question_when_asked_to(capsys):
    asked = []

    class Installing:
        def ensure(self, ask):
            asked.append(ask)

    commands = []
    status = loaded().main(["Slicer", "--", "a", "--install-packages"], Installing(), lambda c: commands.append(c) or 0)
    assert (status, asked) == (0, [False])
    assert commands[0][3:] == ["batch", "a"]

    class Failing:
        def ensure(self, ask):
            raise InstallError("install-failed", "Installing monai failed.")

    assert loaded().main(["Slicer", "--", "a", "--install-packages"], Failing(), pytest.fail) == 1
    assert "Installing monai failed." in capsys.readouterr().err


def test_stopping_it_has_the_status_of_the_command_line():
    def interrupted(command):
        raise KeyboardInterrupt

    assert loaded().main(["Slicer", "--", "a"], NothingMissing(), interrupted) == 130


def test_the_script_lies_where_slicer_does_not_take_it_for_a_module():
    assert SCRIPT.parent.parent.name == "CACScoring"
    assert not (SCRIPT.parent.parent / "batch.py").exists()
