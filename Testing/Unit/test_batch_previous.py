"""Rows that were finished are never lost, however often a batch is begun again and stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import small_scan

from CACScoringLib.batch.case import ScoreSettings
from CACScoringLib.batch.inputs import Case
from CACScoringLib.batch.previous import PREVIOUS, keep_earlier_rows
from CACScoringLib.batch.run import plan_batch, run_batch, settings_key
from CACScoringLib.batch.table import RESULTS, ResultsTable, read_rows
from CACScoringLib.cli import main

SETTINGS = ScoreSettings(kvp=120.0, overview=False)


@pytest.fixture
def cases(tmp_path) -> list[Case]:
    """Three scans with their labels."""
    labels = small_scan.write_small_labels(tmp_path / "labels.nrrd")
    return [Case(name, str(small_scan.write_small_scan(tmp_path / f"{name}.nrrd")), str(labels)) for name in "abc"]


def run(cases: list[Case], output: Path, stop_after: int | None = None, resume: bool = False, **settings) -> int:
    """Run a batch, stopped after so many rows; return how many scans were kept from before."""
    chosen = replace(SETTINGS, **settings)
    plan = plan_batch(cases, output, settings_key(chosen), resume=resume)
    rows = []

    def count(row: dict) -> None:
        rows.append(row)
        if len(rows) == stop_after:
            raise KeyboardInterrupt

    try:
        run_batch(plan, chosen, output, finished=count)
    except KeyboardInterrupt:
        assert stop_after
    return len(plan.kept)


def begin_and_stop(output: Path, kept: tuple = ()) -> None:
    """Do what a run does that is stopped before its first row."""
    keep_earlier_rows(output)
    ResultsTable(output / RESULTS, kept)


def names(table: Path) -> list[str]:
    return [row["case"] for row in read_rows(table)]


def test_a_run_stopped_at_its_beginning_loses_no_finished_row(cases, tmp_path) -> None:
    output = tmp_path / "out"
    run(cases, output)
    for _ in range(3):
        begin_and_stop(output)
        assert names(output / RESULTS) == []
        assert names(output / PREVIOUS) == ["a", "b", "c"]
    assert run(cases, output, resume=True) == 3
    assert names(output / RESULTS) == ["a", "b", "c"]


def test_a_table_of_fewer_rows_does_not_take_the_place_of_one_of_more(cases, tmp_path) -> None:
    output = tmp_path / "out"
    run(cases, output)
    run(cases, output, stop_after=1, preset="siemens")
    assert names(output / RESULTS) == ["a"]
    begin_and_stop(output)
    rows = {row["case"]: row["preset"] for row in read_rows(output / PREVIOUS)}
    assert rows == {"a": "siemens", "b": "agatston-1990", "c": "agatston-1990"}
    assert run(cases, output, resume=True) == 2  # a was written anew with other rules


def test_rows_of_other_scans_in_the_same_folder_stay(cases, tmp_path) -> None:
    output = tmp_path / "out"
    run(cases[:2], output)
    for _ in range(2):
        run(cases[2:], output)
    assert names(output / RESULTS) == ["c"]
    assert sorted(names(output / PREVIOUS)) == ["a", "b", "c"]
    assert run(cases, output, resume=True) == 3


def test_a_scan_that_fails_the_second_time_keeps_its_finished_row(cases, tmp_path) -> None:
    output = tmp_path / "out"
    run(cases, output)
    Path(cases[1].mask).write_text("no labels")
    run(cases, output)
    assert {row["status"] for row in read_rows(output / RESULTS)} == {"refused"}
    begin_and_stop(output)
    assert [row["status"] for row in read_rows(output / PREVIOUS)] == ["done"] * 3


def test_a_replaced_row_whose_files_are_those_of_another_run_is_done_again(cases, tmp_path) -> None:
    output = tmp_path / "out"
    run(cases, output)
    begin_and_stop(output)
    scores = output / "b" / "scores.json"
    document = json.loads(scores.read_text())
    document["total"]["agatston"] += 1
    scores.write_text(json.dumps(document))
    plan = plan_batch(cases, output, settings_key(SETTINGS), resume=True)
    assert [case.name for case in plan.todo] == ["b"]


def test_a_table_that_cannot_be_read_is_copied_before_it_is_replaced(tmp_path) -> None:
    (tmp_path / RESULTS).write_text("case,score\na,1\n")
    begin_and_stop(tmp_path)
    assert (tmp_path / "results-other-1.csv").read_text() == "case,score\na,1\n"
    begin_and_stop(tmp_path)
    assert not (tmp_path / "results-other-2.csv").exists()


def test_a_row_that_was_torn_off_is_no_reason_for_a_copy(tmp_path) -> None:
    ResultsTable(tmp_path / RESULTS, [{"case": "a", "status": "done"}])
    with (tmp_path / RESULTS).open("a") as file:
        file.write("b,half a r")
    begin_and_stop(tmp_path)
    assert names(tmp_path / PREVIOUS) == ["a"]
    assert not (tmp_path / "results-other-1.csv").exists()


def test_stopping_says_where_the_rows_of_earlier_runs_are(cases, tmp_path, monkeypatch, capsys) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text("input,mask\n" + "".join(f"{case.name}.nrrd,labels.nrrd\n" for case in cases))
    words = ["batch", str(listing), "--output", str(tmp_path / "out"), "--kvp", "120", "--no-overview"]
    assert main(words) == 0

    def stopped(*arguments: object, **options: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("CACScoringLib.batch.run.run_jobs", stopped)
        assert main(words) == 130
    assert PREVIOUS in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert "3 done (3 kept from before)" in capsys.readouterr().out
