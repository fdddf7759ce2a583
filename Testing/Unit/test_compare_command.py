"""``cacscoring compare``: what is printed and written for one scan and for several, and how it ends."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import small_scan
from comparison_samples import attention

from CACScoringLib.cli import main
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.methods.registry import METHODS, MethodInfo
from CACScoringLib.methods.score_prediction import ScorePrediction
from CACScoringLib.models import ModelError

NAMES = ("as-lad", "as-rca", "scores", "broken")


def predict(ct, method, model=None, device="cpu", progress=None, cancelled=None):
    """The spot of the small scan (Agatston 144) is LAD or RCA, or 120 without labels; one method has no weights."""
    progress(0.5, "Looking")
    if method == "broken":
        raise ModelError("Model 'broken' has no weights.")
    if method == "scores":
        slices = np.array([60.0]), np.array([120.0], np.float32)
        return ScorePrediction(
            method, "s", "c" * 64, "screening-5", "100-400", {}, 120.0, 90.0, *slices, attention=attention()
        )
    labels = small_scan.small_labels() * (2 if method == "as-rca" else 1)  # LAD 2, RCA 4
    if float(ct.hu.max()) < 400:
        labels[:] = 0
    return Prediction(method, model or "m", "a" * 64, labels=labels)


@pytest.fixture
def scan(tmp_path, monkeypatch):
    for name in NAMES:
        monkeypatch.setitem(METHODS, name, MethodInfo(name, name, "", "nowhere:nothing", name))
    monkeypatch.setattr("CACScoringLib.methods.predict", predict)
    return small_scan.write_small_scan(tmp_path / "scan.nrrd")


def call(*words):
    return main([str(word) for word in words])


def lines_of(capsys):
    return [line.split() for line in capsys.readouterr().out.splitlines() if line]


def test_the_table_has_a_row_a_method_and_says_where_they_disagree(scan, capsys):
    assert call("compare", scan, "--kvp", 120, "--method", *NAMES) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line]
    assert rows[1][:8] == ["as-lad", "144", "108", "0", "144", "0", "0", "spect-pet-4"]
    assert rows[2][:7] == ["as-rca", "144", "108", "0", "0", "0", "144"]
    assert rows[3][:9] == ["scores", "120", "90.0", "–", "–", "–", "–", "screening-5", "100-400"]
    assert rows[4][:3] == ["broken", "–", "–"]
    assert "broken: Model 'broken' has no weights." in out
    assert ["cac-drs", "A2/N1", "A2/N1", "–"] in rows
    assert ["as-rca", "-", "as-lad", "0", "0", "0", "0", "0", "144"] in rows
    # centre of the four voxels: slice 20, (30.5, 30.5, 20) x 3 mm
    lesion = ["20", "92", "92", "60", "LAD", "144", "RCA", "144", "450", "144", "put", "into", "different", "vessels"]
    assert lesion in rows
    assert ["scores", "-", "as-lad", "20", "60.0", "120", "144", "-24.0"] in rows
    assert "not scored by the preset agatston-1990 but as they were trained: scores." in out
    assert "Based on preset agatston-1990  ·  threshold 130 HU" in out
    assert "Research use only" in out


def test_output_gets_json_csv_and_picture_and_leaves_other_files_alone(scan, tmp_path, capsys):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "scores.json").write_text("{}")
    assert call("compare", scan, "--kvp", 120, "--method", *NAMES, "--output", folder, "--format", "json") == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "comparison.csv",
        "comparison.json",
        "comparison.png",
        "scores.json",
    ]
    printed = capsys.readouterr().out
    assert printed == (folder / "comparison.json").read_text(encoding="utf-8")
    document = json.loads(printed)
    assert document["schema"] == "cacscoring-comparison/1"
    assert document["input"] == str(scan)
    assert [row["agatston"] for row in document["methods"]] == [144.0, 144.0, 120.0, None]
    with (folder / "comparison.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert (rows["as-rca"]["agatston_RCA"], rows["as-rca"]["cac-drs"]) == ("144.0", "A2/N1")
    assert (rows["as-rca"]["preset"], rows["scores"]["preset"]) == ("agatston-1990", "")
    assert (rows["broken"]["status"], rows["broken"]["code"]) == ("failed", "model")
    assert (rows["scores"]["own_scheme"], rows["scores"]["own_category"]) == ("screening-5", "100-400")


def test_without_picture_an_earlier_one_does_not_stay(scan, tmp_path, capsys):
    words = ("compare", scan, "--kvp", 120, "--method", "as-lad", "as-rca", "--output", tmp_path / "out", "--quiet")
    assert call(*words) == 0
    assert (tmp_path / "out" / "comparison.png").is_file()
    assert call(*words, "--no-overview") == 0
    assert not (tmp_path / "out" / "comparison.png").exists()
    assert capsys.readouterr().out == ""


def test_a_model_can_be_named_with_its_method(scan, capsys):
    assert call("compare", scan, "--kvp", 120, "--method", "as-lad", "as-lad:mine", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)["methods"]
    assert [(row["name"], row["model"]["id"]) for row in rows] == [("as-lad", "m"), ("as-lad:mine", "mine")]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--method", "nobody"), "There is no method 'nobody': choose one of multibranch-unet,"),
        (("--method", "as-lad", "as-lad"), "The method 'as-lad' is named twice"),
        (("--preset", "nobody"), "There is no preset 'nobody'"),
        (("--device", "foo"), "There is no device 'foo': choose one of auto, cpu, cuda, mps."),
        (("--device", "cuda:first"), "There is no device 'cuda:first'"),
        (("--device", "cpu:1"), "There is no device 'cpu:1'"),
    ],
)
def test_wrong_names_are_wrong_usage(scan, capsys, words, says):
    assert call("compare", scan, *words) == 2
    assert says in capsys.readouterr().err


def test_where_no_method_gives_a_result_the_scan_has_none(scan, tmp_path, capsys):
    assert call("compare", scan, "--method", "broken", "--output", tmp_path / "out") == 3
    err = capsys.readouterr().err
    assert "No method gave a result. broken: Model 'broken' has no weights." in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_scan_that_cannot_be_read_is_refused_as_by_score(scan, tmp_path, capsys):
    assert call("compare", tmp_path / "nothing.nrrd", "--method", "as-lad") == 3
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def folder(scan, tmp_path):
    """Four scans with the spot, one without it, one that is no image."""
    place = tmp_path / "cases"
    for name in ("a", "b", "c", "d"):
        small_scan.write_small_scan(place / f"{name}.nrrd")
    plain = small_scan.small_hu()
    plain[small_scan.LAD_VOXELS] = 40
    small_scan.write_image(plain, place / "e.nrrd")
    (place / "f.nrrd").write_text("This is not an image.")
    return place


def test_several_scans_give_a_table_over_them_and_the_agreement_of_every_two_methods(folder, tmp_path, capsys):
    words = ("compare", folder, "--kvp", 120, "--method", "as-lad", "scores", "--output", tmp_path / "out")
    assert call(*words) == 4  # one scan has no result
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines() if line]
    assert ["a", "144", "(>100-400)", "120", "(>100-400)"] in rows
    assert ["e", "0", "(0)", "120", "(>100-400)"] in rows
    assert ["f", "–", "–"] in rows
    assert "[6/6] f" in err
    # differences -24 four times and 120: bias 4.8
    (line,) = [row for row in rows if row[:4] == ["scores", "-", "as-lad", "Agatston"]]
    assert (line[4], line[-4]) == ("5", "4.8")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*"abcde", "comparison.csv", "comparison.json"}
    assert (tmp_path / "out" / "a" / "comparison.png").is_file()
    document = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    (pair,) = document["agreement"]
    assert pair["measures"][0]["bias"]["value"] == pytest.approx(4.8)
    four = next(entry for entry in pair["categories"] if entry["scheme"] == "spect-pet-4")
    assert (four["n"], four["equal"]["value"]) == (5, 0.8)
    assert four["rows_first_columns_second"] == [[0, 0, 1, 0], [0] * 4, [0, 0, 4, 0], [0] * 4]
    assert [row["status"] for row in document["cases"] if row["case"] == "f"] == ["failed"]


def test_a_reference_is_one_more_to_agree_with(folder, tmp_path, capsys):
    (folder / "f.nrrd").unlink()
    table = tmp_path / "reference.csv"
    table.write_text("case,agatston\na,150\nb,150\nc,150\nd,130\ne,0\n")
    words = ("compare", folder, "--kvp", 120, "--method", "as-lad", "--reference", table, "--format", "json")
    assert call(*words) == 0
    (pair,) = json.loads(capsys.readouterr().out)["agreement"]
    assert (pair["first"], pair["second"]) == ("reference", "as-lad")
    (measure,) = pair["measures"]  # the reference has no volumes
    assert measure["bias"]["value"] == pytest.approx((-6 * 3 + 14 + 0) / 5)
    assert measure["n"] == 5


def test_a_reference_of_other_cases_is_refused_before_any_scan_is_read(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("CACScoringLib.commands.compare.load_scan", lambda *words: pytest.fail("a scan was read"))
    table = tmp_path / "reference.csv"
    table.write_text("case,agatston\nx,150\ny,150\nz,150\n")
    assert call("compare", folder, "--method", "as-lad", "--reference", table) == 3
    assert "No case is in both tables" in capsys.readouterr().err
