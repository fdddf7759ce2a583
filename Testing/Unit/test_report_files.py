"""scores.json, scores.csv, and the rule that output is there completely or not at all."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.findings import info, warning
from CACScoringLib.report.scores_csv import to_csv
from CACScoringLib.report.scores_json import plain, scores_document, to_json
from CACScoringLib.report.staging import staged_file, staged_folder, write_text
from CACScoringLib.report.words import acquisition_line, number
from CACScoringLib.scoring import score
from CACScoringLib.vocabulary import NonCoronary, Vessel


@pytest.fixture
def scores() -> dict:
    """Four LAD voxels of 250 HU in one 3 mm slice: area 4 mm2, weight 2, so Agatston 8 and 12 mm3."""
    hu = np.zeros((5, 20, 20), np.int16)
    labels = np.zeros(hu.shape, np.uint8)
    hu[2, 4:6, 4:6], labels[2, 4:6, 4:6] = 250, Vessel.LAD
    hu[3, 10:12, 10:12], labels[3, 10:12, 10:12] = 700, NonCoronary.AORTA
    result = score(CTVolume(hu, (3.0, 1.0, 1.0)), labels, kvp=120)
    return scores_document(result.as_dict(), model={"id": "m", "sha256": "abc"}, timings_s={"load": 0.123456})


def test_the_document_has_every_part_of_the_schema(scores) -> None:
    assert scores["schema"] == "cacscoring/1"
    parts = {
        "total",
        "vessels",
        "non_coronary",
        "risk",
        "preset",
        "acquisition",
        "model",
        "findings",
        "timings_s",
        "software",
    }
    assert parts <= set(scores)
    assert scores["total"]["agatston"] == pytest.approx(8.0)
    assert scores["vessels"]["LAD"]["volume_mm3"] == pytest.approx(12.0)
    assert scores["vessels"]["RCA"]["agatston"] == 0.0
    assert scores["risk"]["clinical-5"] == ">0-10"
    assert scores["risk"]["cac-drs"] == "A1/N1"
    assert scores["timings_s"] == {"load": 0.1235}


@pytest.mark.parametrize(
    ("said", "given", "kvp", "words"),
    [
        (None, None, None, "kVp unknown"),
        (100.0, None, 100.0, "100 kVp"),
        (None, 100.0, 100.0, "100 kVp (given)"),
        (120.0, 100.0, 100.0, "100 kVp (given)"),
        (100.0, 100.0, 100.0, "100 kVp"),
    ],
)
def test_the_tube_voltage_is_that_of_the_score_and_marked_where_the_scan_does_not_say_it(said, given, kvp, words):
    empty = np.zeros((5, 20, 20), np.int16)
    ct = CTVolume(empty, (3.0, 1.0, 1.0), acquisition=Acquisition(kvp=said))
    document = scores_document(score(ct, empty.astype(np.uint8), kvp=given).as_dict(), model={})
    assert document["acquisition"]["kvp"] == kvp
    assert document["acquisition"].get("kvp_given", False) == words.endswith("(given)")
    assert acquisition_line(document) == words


def test_a_finding_that_two_parts_report_is_written_once() -> None:
    twice = warning("kvp-unknown", "The tube voltage is unknown.")
    own = {"findings": [twice.as_dict(), info("series-chosen", "One series.").as_dict()]}
    document = scores_document(own, model={}, findings=[twice])
    assert [finding["code"] for finding in document["findings"]] == ["kvp-unknown", "series-chosen"]


def test_numpy_values_become_plain_and_what_is_not_a_number_becomes_null() -> None:
    value = {
        "a": np.float32(1.5),
        "b": np.array([1, 2]),
        "c": float("nan"),
        "d": (np.int64(3), float("inf")),
        "e": None,
    }
    assert plain(value) == {"a": 1.5, "b": [1, 2], "c": None, "d": [3, None], "e": None}
    assert json.loads(to_json(plain(value)))["c"] is None
    with pytest.raises(TypeError):
        plain(object())


def test_csv_has_a_row_for_each_vessel_the_total_and_calcium_elsewhere_each_with_its_basis(scores) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(scores))))
    assert [row["name"] for row in rows] == ["LM", "LAD", "LCX", "RCA", "total", "aorta"]
    assert float(rows[1]["agatston"]) == pytest.approx(8.0)
    assert float(rows[4]["volume_mm3"]) == pytest.approx(12.0)
    assert rows[0]["max_hu"] == ""  # no voxel, no number
    assert {row["preset"] for row in rows} == {"agatston-1990"}
    assert {float(row["threshold_hu"]) for row in rows} == {130.0}
    assert rows[5]["region"] == "non-coronary"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.04, "0.0"), (99.94, "99.9"), (100.4, "100"), (float("nan"), "–")]
)
def test_numbers_are_written_as_people_read_them(value, text) -> None:
    assert number(value) == text


def test_a_staged_folder_appears_as_a_whole(tmp_path) -> None:
    target = tmp_path / "new" / "deep"
    with staged_folder(target) as folder:
        (folder / "scores.json").write_text("{}")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["scores.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def fail_while_writing(target) -> None:
    with staged_folder(target) as folder:
        (folder / "scores.json").write_text("new")
        raise ZeroDivisionError


def test_nothing_is_left_when_writing_fails(tmp_path) -> None:
    target = tmp_path / "new" / "deep"
    with pytest.raises(ZeroDivisionError):
        fail_while_writing(target)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_earlier_results_as_they_were(tmp_path) -> None:
    (tmp_path / "scores.json").write_text("old")
    with pytest.raises(ZeroDivisionError):
        fail_while_writing(tmp_path)
    assert (tmp_path / "scores.json").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_files_of_an_earlier_result_do_not_stay_beside_a_new_one(tmp_path) -> None:
    for name in ("overview.png", "scores.json", "notes.txt"):
        (tmp_path / name).write_text("old")
    with staged_folder(tmp_path) as folder:
        (folder / "scores.json").write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "scores.json"]


def test_a_file_in_the_way_of_the_folder_is_an_error(tmp_path) -> None:
    (tmp_path / "taken").write_text("x")
    with pytest.raises(NotADirectoryError), staged_folder(tmp_path / "taken" / "out"):
        pass


def test_a_staged_file_keeps_its_ending_and_replaces_the_old_one(tmp_path) -> None:
    target = tmp_path / "scene.mrb"
    write_text(target, "old")
    with staged_file(target) as path:
        assert path.suffix == ".mrb"
        path.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 1
