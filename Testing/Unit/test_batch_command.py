"""What ``cacscoring batch`` says on the screen, and what it refuses before it reads a scan."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import small_scan

from CACScoringLib.batch.processes import Outcome
from CACScoringLib.cli import main


def call(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def listing(tmp_path) -> Path:
    """A list of one scan that two readers have labelled, named twice with the labels of the second."""
    small_scan.write_small_scan(tmp_path / "p.nrrd")
    for reader in ("ann", "bob"):
        small_scan.write_small_labels(tmp_path / f"{reader}.nrrd")
    rows = ["p.nrrd,ann.nrrd", "p.nrrd,bob.nrrd", "./p.nrrd,bob.nrrd"]
    (tmp_path / "list.csv").write_text("input,mask\n" + "\n".join(rows))
    return tmp_path / "list.csv"


def test_two_readers_of_one_scan_are_two_rows_and_what_is_named_twice_is_said(listing, tmp_path, capsys) -> None:
    words = ("batch", listing, "--output", tmp_path / "out", "--no-overview", "--kvp", 120)
    assert call(*words) == 0
    out, err = capsys.readouterr()
    assert "2 scans: 2 done" in out
    assert "Note: 1 scan was named again and counted once" in err
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], Path(row["mask"]).name) for row in rows] == [("p-ann", "ann.nrrd"), ("p-bob", "bob.nrrd")]
    assert call(*words, "--resume", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_label_maps_left_out_of_a_folder_are_counted_on_the_screen(listing, tmp_path, capsys) -> None:
    small_scan.write_small_labels(tmp_path / "scans" / "p-labels.nrrd")
    assert call("batch", tmp_path / "scans", "--output", tmp_path / "out", "--no-overview") == 4
    assert "Note: 1 file was left out, by name masks or labels" in capsys.readouterr().err


def test_a_scan_that_holds_several_studies_is_named_on_the_screen(listing, tmp_path, monkeypatch, capsys) -> None:
    rows = [{"status": "done", "agatston": 1.0, "warnings": words} for words in ("several-studies noise", "noise")]
    outcomes = [Outcome(index, value=row) for index, row in enumerate(rows)]
    monkeypatch.setattr("CACScoringLib.batch.run.run_jobs", lambda *arguments, **options: iter(outcomes))
    assert call("batch", listing, "--output", tmp_path / "out") == 0
    out, err = capsys.readouterr()
    assert "p-ann: Warning: the scan holds several studies, and only one of them is scored" in err
    assert "p-bob: Warning" not in err
    assert "Several studies in one scan, of which only one is scored: p-ann\n" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--kvp", 1000), "--kvp 1000 is not the tube voltage of a CT: give 60 to 160 kV."),
        (("--kvp", 5), "--kvp 5 is not"),
        (("--age", 500), "--age 500 is not the age of a person: give it in years."),
    ],
)
def test_a_setting_that_no_scan_can_have_is_refused_once_before_any_is_read(
    options, words, listing, tmp_path, capsys
) -> None:
    assert call("batch", listing, "--output", tmp_path / "out", *options) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_list_that_cannot_be_understood_is_one_sentence_and_status_2(tmp_path, capsys) -> None:
    (tmp_path / "list.csv").write_text("patient,file\np1,a.nrrd\n")
    assert call("batch", tmp_path / "list.csv", "--output", tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert "only patient, file" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
