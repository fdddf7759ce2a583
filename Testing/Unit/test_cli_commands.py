"""The command as a whole: help, version, and the commands besides ``score``."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_scan

from CACScoringLib import __version__
from CACScoringLib.cli import COMMANDS, main
from CACScoringLib.commands.console import plain_table, print_help, print_table

ROOT = Path(__file__).resolve().parents[2]


def call(*words: object) -> int:
    return main([str(word) for word in words])


def start(*words: object, **options) -> subprocess.Popen:
    """Start the command in a process of its own that hears Ctrl-C, even where the tests run in the background."""
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from CACScoringLib.cli import main; sys.exit(main())"
    )
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], cwd=ROOT, text=True, **options)


def test_version_and_help_end_well(capsys) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out == f"cacscoring {__version__}\n"
    assert call("--help") == 0
    out = capsys.readouterr().out
    for name, summary in COMMANDS.items():
        assert name in out
        assert summary in out
    assert "Research use only" in out
    assert "\x1b[" not in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys) -> None:
    assert call(command, "--help") == 0
    assert f"cacscoring {command}" in capsys.readouterr().out


def test_no_command_shows_the_help_and_status_2(capsys) -> None:
    assert call() == 2
    assert "commands:" in capsys.readouterr().out


def test_an_unknown_command_is_one_sentence_and_status_2(capsys) -> None:
    assert call("scoer", "x") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "scoer" in err


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_only(monkeypatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    text = "usage: x\n\noptions:\n  --debug  show\n"
    plain, coloured = io.StringIO(), Terminal()
    print_help(text, plain)
    print_help(text, coloured)
    assert plain.getvalue() == text
    assert "\x1b[" in coloured.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    without = Terminal()
    print_table(("", "a"), [("x", "1")], stream=without)
    assert "\x1b[" not in without.getvalue()


def test_a_plain_table_is_aligned() -> None:
    assert plain_table(("", "Agatston"), [("LM", "0"), ("Total", "1,234")]) == [
        "       Agatston",
        "LM            0",
        "Total     1,234",
    ]


def a_list(folder: Path) -> Path:
    """Write a list of two good scans and a damaged one."""
    small_scan.write_small_labels(folder / "labels.nrrd")
    for name in ("a", "c"):
        small_scan.write_small_scan(folder / f"{name}.nrrd")
    (folder / "b.nrrd").write_text("damaged")
    listing = folder / "list.csv"
    listing.write_text("input,mask\n" + "".join(f"{name}.nrrd,labels.nrrd\n" for name in "abc"))
    return listing


def test_batch_ends_with_4_when_a_scan_has_no_score_and_0_when_all_have(tmp_path, capsys) -> None:
    listing, output = a_list(tmp_path), tmp_path / "out"
    assert call("batch", listing, "--output", output, "--no-overview") == 4
    out, err = capsys.readouterr()
    assert "3 scans: 2 done, 1 refused" in out
    assert "b: refused: " in err
    assert "a: Agatston 144" in err
    small_scan.write_small_scan(tmp_path / "b.nrrd")
    assert call("batch", listing, "--output", output, "--no-overview", "--resume") == 0
    out, err = capsys.readouterr()
    assert "3 done (2 kept from before)" in out
    assert "b: Agatston 144" in err
    assert "a: Agatston" not in err
    with (output / "results.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["done"] * 3


def test_batch_names_what_it_cannot_find_before_it_starts(tmp_path, capsys) -> None:
    assert call("batch", tmp_path / "*.nrrd", "--output", tmp_path / "out") == 2
    assert "matches" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_batch_without_dask_is_a_sentence(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert call("batch", a_list(tmp_path), "--output", tmp_path / "out", "--dask", "tcp://127.0.0.1:1") == 2
    assert "dask" in capsys.readouterr().err


def test_ctrl_c_during_a_batch_leaves_a_valid_table(tmp_path) -> None:
    small_scan.write_small_labels(tmp_path / "labels.nrrd")
    names = [f"s{i:03d}" for i in range(240)]
    for name in names:
        small_scan.write_small_scan(tmp_path / f"{name}.nrrd")
    (tmp_path / "list.csv").write_text("input,mask\n" + "".join(f"{name}.nrrd,labels.nrrd\n" for name in names))
    output = tmp_path / "out"
    running = start("batch", tmp_path / "list.csv", "--output", output, "--no-overview", stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and running.poll() is None:
        if (output / "results.csv").is_file() and len((output / "results.csv").read_text().splitlines()) > 2:
            running.send_signal(signal.SIGINT)
            break
        time.sleep(0.02)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "--resume" in err
    assert "Traceback" not in err
    with (output / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert 1 < len(rows) < 240
    assert all(row["status"] == "done" and row["settings"] for row in rows)


def test_phantom_hands_over_seed_protocol_and_format(tmp_path, monkeypatch, capsys) -> None:
    asked = {}
    monkeypatch.setattr(
        "CACScoringLib.phantom.synthesize",
        lambda seed, protocol, options: asked.update(
            seed=seed, protocol=protocol, mimics=options.mimics, gated=options.gated
        ),
    )
    monkeypatch.setattr("CACScoringLib.phantom.write_patient", lambda patient, folder, style: asked.update(style=style))
    words = ["phantom", "--protocol", "pet-ctac", "--seed", 5, "--output", tmp_path / "p", "--with", "stent, bronchi"]
    assert call(*words, "--format", "nrrd") == 0
    named = {"seed": 5, "protocol": "pet-ctac", "mimics": ("stent", "bronchi"), "style": "nrrd"}
    assert asked == {**named, "gated": None}
    assert "No real person" in capsys.readouterr().out
    assert call("phantom", "--with", "halo", "--output", tmp_path / "p") == 2
    assert "There is no 'halo' to give a patient: choose of aortic-wall" in capsys.readouterr().err
    assert call("phantom", "--seed", -1, "--output", tmp_path / "p") == 2
    assert call(*words, "--no-gated") == 0
    assert asked["gated"] is False
    assert call(*words, "--gated") == 2
    assert "pet-ctac scans are never ECG-gated: leave out --gated." in capsys.readouterr().err


def test_models_are_listed_and_shown(monkeypatch, tmp_path, capsys) -> None:
    from CACScoringLib.models import write_bundle

    torch = pytest.importorskip("torch")
    folder = tmp_path / "tiny"
    write_bundle(
        folder, {"w": torch.zeros(2)}, settings={"method": "multibranch-unet"}, metadata={"version": "1.2"},
        card="# A tiny model", licence="Apache-2.0",
    )  # fmt: skip
    monkeypatch.setattr("CACScoringLib.models.installed_models", lambda: [folder])
    assert call("models", "list", "--format", "json") == 0
    entry = json.loads(capsys.readouterr().out)[0]
    assert entry["id"] == "tiny"
    assert entry["method"] == "multibranch-unet"
    assert entry["state"] == "ready"
    assert call("models", "list") == 0
    assert "tiny" in capsys.readouterr().out
    assert call("models", "show", folder) == 0
    assert "# A tiny model" in capsys.readouterr().out
    (folder / "models" / "model.pt").write_bytes(b"changed")
    assert call("models", "list") == 0
    assert "checksum" in capsys.readouterr().out
    assert call("models", "show", folder) == 2
    assert call("models", "show", "no-such-model") == 2


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_on_a_terminal_progress_goes_to_standard_error_and_json_stays_clean(tmp_path) -> None:
    scan, mask = small_scan.write_small_scan(tmp_path / "a.nrrd"), small_scan.write_small_labels(tmp_path / "m.nrrd")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    running = start(
        "score", scan, "--mask", mask, "--format", "json", stdout=subprocess.PIPE, stderr=theirs, env=environment
    )
    os.close(theirs)
    out, _ = running.communicate(timeout=60)
    shown = os.read(ours, 100_000).decode(errors="replace")
    os.close(ours)
    assert running.returncode == 0
    assert json.loads(out)["total"]["lesions"] == 1
    assert "Reading the scan" in shown


def test_output_cut_off_by_the_reader_is_no_traceback(tmp_path) -> None:
    running = start("--help", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdout.close()
    running.wait(timeout=60)
    assert "Traceback" not in running.stderr.read()
    running.stderr.close()
