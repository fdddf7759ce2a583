"""``cacscoring score``: what is printed, what is written, how it ends."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import small_scan

from CACScoringLib.cli import main
from CACScoringLib.findings import warning
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.models import ModelError

FILES = ["overview.png", "scores.csv", "scores.json", "segmentation.seg.nrrd"]


@pytest.fixture
def scan(tmp_path) -> Path:
    return small_scan.write_small_scan(tmp_path / "scan.nrrd")


@pytest.fixture
def mask(tmp_path) -> Path:
    return small_scan.write_small_labels(tmp_path / "mask.nrrd")


def call(*words: object) -> int:
    return main([str(word) for word in words])


def test_the_table_has_vessels_total_risk_findings_and_what_they_rest_on(scan, mask, capsys) -> None:
    assert call("score", scan, "--mask", mask, "--kvp", 120) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = [line.split() for line in out.splitlines() if line]
    assert ["LAD", "144", "108", "37.4", "1", "450"] in lines  # 108 mm3 x 450 HU x 0.769e-3
    assert ["LM", "0", "0", "0", "0", "–"] in lines
    assert ["Total", "144", "108", "37.4", "1", "450"] in lines
    assert ["spect-pet-4", ">100-400"] in lines
    assert ["clinical-5", ">100-400"] in lines
    assert ["cac-drs", "A2/N1"] in lines
    assert ["120", "kVp", "(given)", "·", "3.00", "mm", "increment"] in lines
    for words in ("preset agatston-1990", "threshold 130 HU", "given labels mask.nrrd", "Research use only"):
        assert words in out
    assert "\x1b[" not in out


def test_json_on_standard_output_is_the_file_and_nothing_else(scan, mask, tmp_path, capsys) -> None:
    assert call("score", scan, "--mask", mask, "--output", tmp_path / "out", "--format", "json") == 0
    out = capsys.readouterr().out
    assert out == (tmp_path / "out" / "scores.json").read_text(encoding="utf-8")
    document = json.loads(out)
    assert document["total"]["agatston"] == pytest.approx(small_scan.LAD_AGATSTON)
    assert document["total"]["volume_mm3"] == pytest.approx(small_scan.LAD_VOLUME_MM3)
    assert document["vessels"]["RCA"]["lesions"] == 0
    assert document["model"]["mask"] == str(mask)


def test_output_gets_all_four_files_and_no_other(scan, mask, tmp_path, capsys) -> None:
    assert call("score", scan, "--mask", mask, "--output", tmp_path / "a" / "b", "--quiet") == 0
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == FILES
    assert capsys.readouterr().out == ""
    rows = list(csv.DictReader((tmp_path / "a" / "b" / "scores.csv").open(newline="")))
    assert float(rows[1]["agatston"]) == pytest.approx(small_scan.LAD_AGATSTON)
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a" / "b" / "segmentation.seg.nrrd")))
    assert np.array_equal(written > 0, small_scan.small_labels() > 0)


def test_what_was_written_can_be_given_back_as_mask(scan, mask, tmp_path, capsys) -> None:
    call("score", scan, "--mask", mask, "--output", tmp_path / "out", "--no-overview", "--quiet")
    again = tmp_path / "out" / "segmentation.seg.nrrd"
    assert call("score", scan, "--mask", again, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["vessels"]["LAD"]["agatston"] == pytest.approx(144.0)
    assert not (tmp_path / "out" / "overview.png").exists()


def test_a_method_finds_the_calcium_where_no_mask_is_given(scan, tmp_path, monkeypatch, capsys) -> None:
    asked = {}

    def predict(ct, method, model, heart, progress=None):
        asked.update(method=method, model=model, heart=heart, kvp=ct.acquisition.kvp)
        progress(0.5, "Looking")
        note = warning("heart-incomplete", "Only a part of the heart was found.")
        return Prediction(method, "a-model", "f" * 64, labels=small_scan.small_labels(), findings=(note,))

    monkeypatch.setattr("CACScoringLib.methods.predict", predict)
    assert call("score", scan, "--kvp", 100, "--output", tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert asked == {"method": "multibranch-unet", "model": None, "heart": "network", "kvp": 100.0}
    assert "warning: Only a part of the heart was found." in out
    assert "model a-model (ffffffff)" in out
    document = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert document["model"] == {"id": "a-model", "sha256": "f" * 64, "method": "multibranch-unet"}
    assert document["preset"]["threshold_hu"] == 145.0  # 100 kVp
    assert {"load", "predict", "score", "write"} <= set(document["timings_s"])


def test_age_sex_and_group_give_percentiles(scan, mask, capsys) -> None:
    call("score", scan, "--mask", mask, "--age", 62, "--sex", "m", "--ethnicity", "white", "--format", "json")
    patient = json.loads(capsys.readouterr().out)["patient"]
    # Agatston 144: men of 60-64 (Hoff 2001) 13/113/410/994, white men of 55-64 (MESA) 0/28/155/452/743.
    assert patient["percentiles"]["hoff-2001"]["band"] == "50-75"
    assert patient["percentiles"]["mesa-2006"]["band"] == "50-75"
    assert patient["arterial_age_years"] == pytest.approx(39.1 + 7.25 * np.log(145.0))


def test_a_percentile_that_cannot_be_given_is_explained(scan, mask, capsys) -> None:
    assert call("score", scan, "--mask", mask, "--age", 62) == 0
    assert "needs both age and sex" in capsys.readouterr().out


def test_a_mass_factor_calibrates_the_mass(scan, mask, capsys) -> None:
    call("score", scan, "--mask", mask, "--mass-factor", 0.001, "--format", "json")
    assert json.loads(capsys.readouterr().out)["total"]["mass_mg"] == pytest.approx(108.0 * 450 * 0.001)


def test_a_scene_is_written_beside_the_table(scan, mask, tmp_path, capsys) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    assert call("score", scan, "--mask", mask, "--scene", tmp_path / "new" / "scan.mrb") == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["scan.mrb"]
    assert f"Scene in {tmp_path / 'new' / 'scan.mrb'}" in capsys.readouterr().out


def refused(capsys, *words: object) -> str:
    """Call, expect a refusal, and return its sentence."""
    assert call(*words) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("cacscoring: ")
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("damage", ["missing", "empty-folder", "text", "truncated"])
def test_bad_input_is_one_sentence_status_3_and_nothing_left_behind(damage, scan, mask, tmp_path, capfd) -> None:
    bad = tmp_path / "bad.nrrd"
    if damage == "empty-folder":
        bad = tmp_path / "nothing"
        bad.mkdir()
    elif damage == "text":
        bad.write_text("This is not an image.")
    elif damage == "truncated":
        bad.write_bytes(scan.read_bytes()[:3000])
    before = sorted(tmp_path.iterdir())
    sentence = refused(capfd, "score", bad, "--mask", mask, "--output", tmp_path / "out" / "deep")
    assert bad.name in sentence
    assert sorted(tmp_path.iterdir()) == before


def test_a_bad_mask_is_refused_too(scan, tmp_path, capfd) -> None:
    labels = small_scan.small_labels()
    labels[10, 32, 32] = 77
    small_scan.write_image(labels, tmp_path / "odd.nrrd")
    assert "77" in refused(capfd, "score", scan, "--mask", tmp_path / "odd.nrrd", "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_error_nobody_foresaw_while_reading_is_a_refusal_in_words(scan, monkeypatch, tmp_path, capfd) -> None:
    def load_ct(*args, **options):
        raise IndexError("list index out of range")

    monkeypatch.setattr("CACScoringLib.ct.load_ct", load_ct)
    assert "could not be read" in refused(capfd, "score", scan, "--output", tmp_path / "out")
    with pytest.raises(Exception, match="could not be read"):
        call("score", scan, "--debug")


def test_an_error_after_reading_leaves_nothing_behind(scan, mask, monkeypatch, tmp_path, capsys) -> None:
    def write_overview(*args, **options):
        raise RuntimeError("no room for the picture")

    monkeypatch.setattr("CACScoringLib.report.overview.write_overview", write_overview)
    assert call("score", scan, "--mask", mask, "--output", tmp_path / "out") == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "no room for the picture" in err
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".cacscoring*"))


def test_ctrl_c_says_so_and_ends_with_130(scan, monkeypatch, tmp_path, capsys) -> None:
    def predict(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("CACScoringLib.methods.predict", predict)
    assert call("score", scan, "--output", tmp_path / "out") == 130
    assert capsys.readouterr().err == "cacscoring: Stopped.\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--preset", "nobody"], "no preset 'nobody'"),
        (["--method", "magic"], "no method 'magic'"),
        (["--kvp", "-5"], "not a positive number"),
        (["--kvp", "nan"], "not a positive number"),
        (["--scene", "scene.txt"], "must end with .mrb"),
        (["--format", "xml"], "invalid choice"),
        (["--method", "convlstm"], "--mask gives the labels, so no method runs"),
        (["--model", "foo"], "--mask gives the labels, so no method runs"),
        (["--heart", "totalsegmentator"], "--mask gives the labels, so no method runs"),
        (["--nonsense"], "Unrecognized arguments: --nonsense"),
    ],
)
def test_wrong_usage_is_one_sentence_and_status_2(options, words, scan, mask, capsys) -> None:
    assert call("score", scan, "--mask", mask, *options) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_an_output_that_is_a_file_is_refused_before_the_scan_is_read(scan, mask, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("CACScoringLib.ct.load_ct", lambda *args, **options: pytest.fail("the scan was read"))
    assert call("score", scan, "--mask", mask, "--output", mask / "deeper") == 2
    assert "is a file" in capsys.readouterr().err


def test_a_missing_model_is_a_sentence(scan, monkeypatch, capsys) -> None:
    def predict(*args, **options):
        raise ModelError("There is no model 'multibranch-unet': choose one of none.")

    monkeypatch.setattr("CACScoringLib.methods.predict", predict)
    assert call("score", scan) == 2
    assert capsys.readouterr().err == "cacscoring: There is no model 'multibranch-unet': choose one of none.\n"
