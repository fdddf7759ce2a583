"""A batch: every scan has a row, whatever happens to it, and a second run does only what is left."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import small_scan

from CACScoringLib.batch.case import ScoreSettings
from CACScoringLib.batch.inputs import find_cases
from CACScoringLib.batch.previous import PREVIOUS
from CACScoringLib.batch.processes import run_jobs
from CACScoringLib.batch.run import BatchResult, plan_batch, run_batch, settings_key
from CACScoringLib.batch.table import COLUMNS, ResultsTable, read_rows

SETTINGS = ScoreSettings(kvp=120.0, overview=False)


def a_list(folder: Path, *names: str) -> list:
    """Write small scans with their labels and a list of them; ``broken`` is no image."""
    rows = ["input,mask"]
    for name in names:
        if name == "broken":
            (folder / "broken.nrrd").write_text("not an image")
        else:
            small_scan.write_small_scan(folder / f"{name}.nrrd")
        rows.append(f"{name}.nrrd,labels-of-all.nrrd")
    small_scan.write_small_labels(folder / "labels-of-all.nrrd")
    (folder / "list.csv").write_text("\n".join(rows))
    return find_cases([str(folder / "list.csv")])


def run(
    cases: list, output: Path, *, resume: bool = False, settings: ScoreSettings = SETTINGS, **options
) -> BatchResult:
    plan = plan_batch(cases, output, settings_key(settings), resume=resume)
    return run_batch(plan, settings, output, **options)


def rows_of(output: Path) -> list[dict[str, str]]:
    with (output / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_bad_scan_and_a_crash_are_rows_and_the_others_are_scored(tmp_path) -> None:
    cases = a_list(tmp_path, "a", "b", "broken", "c")
    result = run(cases, tmp_path / "out", workers=2, function="small_scan:crash_on_second")
    rows = rows_of(tmp_path / "out")
    assert [row["case"] for row in rows] == ["a", "b", "broken", "c"]
    assert [row["status"] for row in rows] == ["done", "failed", "refused", "done"]
    assert result.counts == {"done": 2, "failed": 1, "refused": 1}
    assert result.failed == 2
    done, crashed, refused, _ = rows
    assert float(done["agatston"]) == pytest.approx(small_scan.LAD_AGATSTON)
    assert float(done["agatston_LAD"]) == pytest.approx(small_scan.LAD_AGATSTON)
    assert float(done["volume_mm3"]) == pytest.approx(small_scan.LAD_VOLUME_MM3)
    assert done["spect-pet-4"] == ">100-400"
    assert crashed["code"] == "worker-crashed"
    assert "status 11" in crashed["message"]
    assert refused["code"]
    assert "broken.nrrd" in refused["message"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "c", "results.csv"]
    assert json.loads((tmp_path / "out" / "a" / "scores.json").read_text())["schema"] == "cacscoring/1"
    assert (tmp_path / "out" / "a" / "segmentation.seg.nrrd").is_file()


def test_resume_does_only_what_is_left_and_what_has_changed(tmp_path) -> None:
    output = tmp_path / "out"
    run(a_list(tmp_path, "a", "broken", "c"), output)
    small_scan.write_small_scan(tmp_path / "broken.nrrd")  # repaired
    cases = find_cases([str(tmp_path / "list.csv")])
    plan = plan_batch(cases, output, settings_key(SETTINGS), resume=True)
    assert [case.name for case in plan.todo] == ["broken"]
    seen = []
    result = run_batch(plan, SETTINGS, output, finished=lambda row: seen.append(row["case"]))
    assert seen == ["broken"]
    assert result.kept == 2
    assert [row["status"] for row in rows_of(output)] == ["done"] * 3
    assert len(read_rows(output / PREVIOUS)) == 3
    time.sleep(0.01)
    small_scan.write_small_scan(tmp_path / "a.nrrd")  # another file of the same name
    assert [case.name for case in plan_batch(cases, output, settings_key(SETTINGS), resume=True).todo] == ["a"]


def test_other_settings_model_or_version_make_a_row_invalid(tmp_path, monkeypatch) -> None:
    cases, output = a_list(tmp_path, "a"), tmp_path / "out"
    run(cases, output)
    key = settings_key(SETTINGS)
    assert plan_batch(cases, output, key, resume=True).todo == []
    assert plan_batch(cases, output, key, resume=False).todo == cases
    assert settings_key(replace(SETTINGS, overview=True)) == key  # a picture changes no score
    others = [settings_key(replace(SETTINGS, preset="siemens")), settings_key(replace(SETTINGS, kvp=100.0))]
    others.append(settings_key(SETTINGS, "another model"))
    monkeypatch.setattr("CACScoringLib.__version__", "99")
    others.append(settings_key(SETTINGS))
    assert len({key, *others}) == 5
    assert all(plan_batch(cases, output, other, resume=True).todo == cases for other in others)


def test_a_row_whose_files_are_gone_is_done_again(tmp_path) -> None:
    cases, output = a_list(tmp_path, "a"), tmp_path / "out"
    run(cases, output)
    (output / "a" / "scores.json").unlink()
    assert plan_batch(cases, output, settings_key(SETTINGS), resume=True).todo == cases


def test_the_table_is_valid_after_every_row_and_a_torn_last_row_is_dropped(tmp_path) -> None:
    table = ResultsTable(tmp_path / "results.csv")
    for name in ("b", "a"):
        table.add({"case": name, "status": "done", "message": 'with "quotes", commas\nand lines'})
        assert read_rows(tmp_path / "results.csv")[-1]["case"] == name
    with (tmp_path / "results.csv").open("a") as file:
        file.write("c,half a r")
    assert [row["case"] for row in read_rows(tmp_path / "results.csv")] == ["b", "a"]
    table.finish(["a", "b"])
    rows = read_rows(tmp_path / "results.csv")
    assert [row["case"] for row in rows] == ["a", "b"]
    assert list(rows[0]) == list(COLUMNS)


def test_a_table_of_another_program_is_not_taken_for_ours(tmp_path) -> None:
    (tmp_path / "results.csv").write_text("case,score\na,1\n")
    assert read_rows(tmp_path / "results.csv") == []


def test_stopping_in_the_middle_leaves_the_rows_so_far(tmp_path) -> None:
    cases, output = a_list(tmp_path, "a", "b", "c"), tmp_path / "out"

    def stop(row: dict) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(cases, output, finished=stop)
    rows = read_rows(output / "results.csv")
    assert [row["status"] for row in rows] == ["done"]
    assert len(plan_batch(cases, output, settings_key(SETTINGS), resume=True).todo) == 2


def test_workers_that_crash_or_hang_are_replaced(tmp_path) -> None:
    outcomes = {each.index: each for each in run_jobs("small_scan:double", [1, 13, 99, 4], workers=2, timeout_s=3.0)}
    assert outcomes[0].value == 2
    assert outcomes[3].value == 8
    assert outcomes[1].code == "worker-crashed"
    assert outcomes[2].code == "timeout"
    assert "3 s" in outcomes[2].message


def test_a_batch_without_dask_says_how_to_get_it(monkeypatch) -> None:
    import sys

    from CACScoringLib.batch.dask_cluster import DaskUnavailableError, connect

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DaskUnavailableError, match="pip install"):
        connect("tcp://127.0.0.1:8786")


def test_the_picture_outlines_what_counts_and_nothing_else() -> None:
    import numpy as np

    from CACScoringLib.ct.volume import CTVolume
    from CACScoringLib.report.counted import counted_labels
    from CACScoringLib.scoring import score

    hu, labels = np.zeros((3, 20, 20), np.int16), np.zeros((3, 20, 20), np.uint8)
    hu[1, 2:4, 2:4], labels[1, 2:5, 2:5] = 200, 2  # four voxels reach 130 HU, five more are labelled
    hu[1, 10, 10], labels[1, 10, 10] = 300, 2  # one pixel of 0.25 mm2 is too small for 1 mm2
    hu[2, 2, 2], labels[2, 2, 2] = 300, 2  # touches the lesion only in the next slice
    ct = CTVolume(hu, (3.0, 0.5, 0.5))
    shown = counted_labels(ct, labels, score(ct, labels, kvp=120))
    assert np.argwhere(shown).tolist() == [[1, 2, 2], [1, 2, 3], [1, 3, 2], [1, 3, 3]]
    every = counted_labels(ct, labels, score(ct, labels, kvp=120, preset="siemens"))
    assert np.count_nonzero(every) == 6
