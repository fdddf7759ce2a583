"""A method that labels no voxels, wherever a scan is scored: ``score``, ``batch``, files, pictures, scenes."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import small_scan
from worker_samples import by_slices

from CACScoringLib.batch.case import ScoreSettings
from CACScoringLib.batch.inputs import Case
from CACScoringLib.batch.worker import Job, score_job
from CACScoringLib.cli import main
from CACScoringLib.ct import load_ct
from CACScoringLib.findings import warning
from CACScoringLib.methods.score_prediction import ScorePrediction
from CACScoringLib.report.overview_without_labels import MAX_SLICES, render_overview_without_labels
from CACScoringLib.report.without_labels import scores_without_labels
from CACScoringLib.scoring.percentiles import Demographics

SIX_CLASSES = np.array([[0.9, 0.1, 0, 0, 0, 0], [0.1, 0.2, 0.7, 0, 0, 0]], np.float32)


def by_categories(ct, method, **options):
    """Put slices 2 and 3 into categories: no total, no attention, no volume."""
    return ScorePrediction(
        method,
        "c1",
        "ef" * 32,
        scheme="nguyen-6",
        category=">10-100",
        category_probability=dict(zip(("0", ">0-10", ">10-100", ">100-400", ">400-1000", ">1000"), (0, 0, 1, 0, 0, 0))),
        slice_z_mm=ct.spacing_mm[0] * np.array([2.0, 3.0]),
        slice_category_probability=SIX_CLASSES,
    )


@pytest.fixture
def scan(tmp_path):
    return small_scan.write_small_scan(tmp_path / "scan.nrrd")


@pytest.fixture
def slices(monkeypatch):
    monkeypatch.setattr("CACScoringLib.methods.predict", by_slices)


@pytest.fixture
def categories(monkeypatch):
    monkeypatch.setattr("CACScoringLib.methods.predict", by_categories)


def texts_of(page):
    return [text.get_text() for text in page._figure.texts]


def call(*words):
    return main([str(word) for word in words])


def test_the_table_gives_total_category_and_what_the_score_was_learned_from(slices, scan, capsys):
    assert call("score", scan, "--method", "slice-regression", "--kvp", 120) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines() if line]
    assert lines[0] == ["Agatston", "112"]
    assert ["Total", "112", "90.0", "–", "–", "–"] in lines
    assert not any(line[0] in ("LM", "LAD", "LCX", "RCA") for line in lines)
    assert ["screening-5", "100-400"] in lines
    assert ["spect-pet-4", ">100-400"] in lines
    assert "cac-drs" not in out  # it needs vessels
    assert "screening-5 100-400: probability 75%" in out
    assert "Based on preset nlst-de-vos-2017 (learned)" in out
    assert "names no vessels and no lesions" in out
    assert "not from agatston-1990" in out
    assert "warning: The category 100-400 (screening-5) is in doubt: look at the scan." in out
    assert "warning: The slices are thick." in out
    assert "model s1 (cdcdcdcd)" in out


def test_the_files_hold_the_score_and_no_segmentation(slices, scan, tmp_path):
    assert call("score", scan, "--method", "slice-regression", "--kvp", 120, "--output", tmp_path / "out") == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["attention.nrrd", "overview.png", "scores.csv", "scores.json"]
    document = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert document["schema"] == "cacscoring/1"
    assert (document["total"]["agatston"], document["total"]["lesions"]) == (112.5, None)
    assert (document["vessels"], document["lesions"]) == ({}, [])
    assert document["category"]["probability"]["100-400"] == 0.75
    assert document["slices"] == [{"slice": 2, "agatston": 12.5}, {"slice": 3, "agatston": 100.0}]
    assert document["preset"]["name"] == "nlst-de-vos-2017"
    assert (document["acquisition"]["kvp"], document["acquisition"]["kvp_given"]) == (120.0, True)
    rows = list(csv.DictReader((tmp_path / "out" / "scores.csv").open(newline="")))
    assert [(row["name"], row["agatston"], row["lesions"]) for row in rows] == [("total", "112.5", "")]
    assert "needs-review" in rows[0]["warnings"]


def test_the_attention_lies_where_it_lay_in_the_scan(slices, tmp_path):
    image = sitk.GetImageFromArray(small_scan.small_hu())
    image.SetSpacing(small_scan.SPACING_MM[::-1])
    image.SetOrigin((11.0, -22.0, 33.0))
    sitk.WriteImage(image, str(tmp_path / "moved.nrrd"))
    call("score", tmp_path / "moved.nrrd", "--method", "slice-regression", "--kvp", 120, "--output", tmp_path / "out")
    heat = sitk.ReadImage(str(tmp_path / "out" / "attention.nrrd"))
    where = np.argwhere(sitk.GetArrayFromImage(heat) == 2.0)
    assert where.tolist() == [[3, 1, 0]]
    # Two cells a side: the second one along y is the middle of rows 32 to 63, the first along x of columns 0 to 31.
    expected = image.TransformContinuousIndexToPhysicalPoint((15.5, 47.5, 3.0))
    assert heat.TransformIndexToPhysicalPoint((0, 1, 3)) == pytest.approx(expected)


def test_a_category_alone_is_a_result_too(categories, scan, tmp_path, capsys):
    assert call("score", scan, "--method", "six-class", "--kvp", 120, "--output", tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert out.startswith("Risk category >10-100 (nguyen-6)")
    assert "nguyen-6     >10-100" in out
    assert "spect-pet-4  >0-100" in out
    assert not (tmp_path / "out" / "attention.nrrd").exists()
    document = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert document["total"]["agatston"] is None
    assert [row["calcium_probability"] for row in document["slices"]] == pytest.approx([0.1, 0.9])


def test_a_total_made_of_categories_says_so_and_gives_no_percentile(scan):
    ct = load_ct(scan)
    person = Demographics(age_years=60, sex="M")
    rough = replace(by_categories(ct, "six-class"), agatston=60.0)
    document = scores_without_labels(ct, rough, demographics=person)
    assert document["total"]["agatston"] == 60.0
    assert document["patient"] is None
    assert "score-from-categories" in [finding["code"] for finding in document["findings"]]
    regressed = scores_without_labels(ct, by_slices(ct), demographics=person)
    assert regressed["patient"]["arterial_age_years"] > 0
    assert "score-from-categories" not in [finding["code"] for finding in regressed["findings"]]


def test_a_total_below_1_is_no_calcium(scan):
    ct = load_ct(scan)
    little = replace(by_slices(ct), agatston=0.4, category="<1")
    assert scores_without_labels(ct, little)["category"]["calcium_found"] is False
    assert scores_without_labels(ct, by_slices(ct))["category"]["calcium_found"] is True


def test_age_and_sex_place_the_total(slices, scan, capsys):
    words = ("--kvp", 120, "--age", 62, "--sex", "m", "--format", "json")
    assert call("score", scan, "--method", "slice-regression", *words) == 0
    patient = json.loads(capsys.readouterr().out)["patient"]
    # Men of 60-64 (Hoff 2001): 13/113/410/994.
    assert patient["percentiles"]["hoff-2001"]["band"] == "25-50"
    assert patient["arterial_age_years"] == pytest.approx(39.1 + 7.25 * np.log(113.5))


def test_where_no_heart_is_found_the_scan_is_refused_in_its_words(scan, monkeypatch, tmp_path, capsys):
    def nothing(ct, method, **options):
        note = warning("heart-not-found", "No heart was found in this scan.")
        return ScorePrediction(method, "s1", "cd" * 32, scheme="screening-5", findings=(note,))

    monkeypatch.setattr("CACScoringLib.methods.predict", nothing)
    assert call("score", scan, "--method", "slice-regression", "--output", tmp_path / "out") == 3
    assert capsys.readouterr().err == "cacscoring: No heart was found in this scan.\n"
    assert not (tmp_path / "out").exists()


def test_a_row_of_a_batch_has_the_total_and_the_methods_own_category(slices, scan, tmp_path):
    settings = ScoreSettings(method="slice-regression", kvp=120.0, overview=False)
    row = score_job(Job(Case("a", str(scan)), settings, tmp_path / "out"))
    assert (row["status"], row["agatston"], row["own_scheme"]) == ("done", 112.5, "screening-5")
    assert (row["own_category"], row["spect-pet-4"], row["lesions"]) == ("100-400", ">100-400", None)
    assert "agatston_LAD" not in row
    assert (tmp_path / "out" / "scores.json").is_file()


def test_a_scene_has_the_scan_the_tables_and_the_attention_in_front(slices, scan, tmp_path):
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    from CACScoringLib.mrml.scene import new_scene, open_scene

    target = tmp_path / "scan.mrb"
    assert call("score", scan, "--method", "slice-regression", "--kvp", 120, "--scene", target) == 0
    working = open_scene(target, new_scene())
    scene = working.scene
    names = [scene.GetNthNodeByClass(n, "vtkMRMLScalarVolumeNode").GetName() for n in range(2)]
    assert any("Attention" in name for name in names)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    composite = scene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    assert scene.GetNodeByID(composite.GetForegroundVolumeID()).GetName().startswith("Attention")


def test_the_picture_shows_the_slices_that_count_most(scan):
    ct = load_ct(scan)
    many = replace(
        by_slices(ct),
        slice_z_mm=ct.spacing_mm[0] * np.arange(40.0),
        slice_agatston=np.arange(40, dtype=np.float32),
    )
    scores = scores_without_labels(ct, many) | {"model": {"id": "s1", "sha256": "cd" * 32}}
    page = render_overview_without_labels(ct, many, scores)
    wanted = [f"slice {z}" for z in range(39, 39 - MAX_SLICES, -1)]
    assert [words for words in texts_of(page) if words.startswith("slice ")] == wanted
    assert "Agatston 39.0" in texts_of(page)
    assert "27 more slices are not shown." in texts_of(page)  # slice 0 adds nothing
    assert any(words.startswith("Colours show") for words in texts_of(page))


def test_a_picture_without_calcium_shows_the_heart(scan):
    ct = load_ct(scan)
    none = replace(by_slices(ct), agatston=0.0, category="<1", slice_agatston=np.zeros(2, np.float32), attention=None)
    scores = scores_without_labels(ct, none) | {"model": {"id": "s1", "sha256": "cd" * 32}}
    page = render_overview_without_labels(ct, none, scores)
    assert "No coronary calcium found" in texts_of(page)
    assert sum(words.startswith("slice ") for words in texts_of(page)) == 6
    assert "The method does not say where in a slice it sees calcium." in texts_of(page)
