from __future__ import annotations

import math

import pytest
import vtk
from mrml_samples import a_calcified_ct

from CACScoringLib.mrml.tables import (
    scores_dict,
    scores_of_table,
    update_lesion_table,
    update_score_table,
    update_summary_table,
)
from CACScoringLib.scoring import Demographics, score


@pytest.fixture(scope="module")
def scores():
    return score(*a_calcified_ct(), demographics=Demographics(61, "F", "white"))


def a_table(working):
    return working.scene.AddNewNodeByClass("vtkMRMLTableNode", "T")


def cells(node):
    """Return the rows as dictionaries by column name, numbers as numbers."""
    table = node.GetTable()
    names = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
    return [
        {name: table.GetValueByName(row, name).ToDouble() if is_number(table, name) else node.GetCellText(row, column)
         for column, name in enumerate(names)}
        for row in range(table.GetNumberOfRows())
    ]  # fmt: skip


def is_number(table, name):
    return not table.GetColumnByName(name).IsA("vtkStringArray")


def test_a_row_a_vessel_and_a_total_with_the_scores_in_it(working, scores):
    node = a_table(working)
    update_score_table(node, scores)
    rows = cells(node)
    assert [row["vessel"] for row in rows] == ["LM", "LAD", "LCX", "RCA", "Total"]
    assert [row["agatston"] for row in rows] == pytest.approx([0, 3, 0, 24, 27])
    assert [row["volume_mm3"] for row in rows] == pytest.approx([0, 4.5, 0, 18, 22.5])
    assert [row["mass_mg"] for row in rows] == pytest.approx(
        [0, 0.769e-3 * 250 * 4.5, 0, 0.769e-3 * 450 * 18, 7.094025]
    )
    assert [row["lesions"] for row in rows] == [0, 1, 0, 1, 2]
    assert rows[1]["max_hu"] == rows[1]["mean_hu"] == 250
    assert rows[4]["max_hu"] == 450
    assert rows[1]["density"] == pytest.approx(2)
    assert rows[3]["density"] == pytest.approx(4)
    assert all(math.isnan(rows[0][name]) for name in ("max_hu", "mean_hu", "density"))


def test_columns_have_types_titles_and_units(working, scores):
    node = a_table(working)
    update_score_table(node, scores)
    types = {
        node.GetColumnName(i): node.GetTable().GetColumn(i).GetDataType() for i in range(node.GetNumberOfColumns())
    }
    assert types == {
        "vessel": vtk.VTK_STRING,
        "agatston": vtk.VTK_DOUBLE,
        "volume_mm3": vtk.VTK_DOUBLE,
        "mass_mg": vtk.VTK_DOUBLE,
        "lesions": vtk.VTK_INT,
        "max_hu": vtk.VTK_DOUBLE,
        "mean_hu": vtk.VTK_DOUBLE,
        "density": vtk.VTK_DOUBLE,
    }
    assert node.GetColumnTitle("volume_mm3") == "Volume"
    assert node.GetColumnUnitLabel("volume_mm3") == "mm3"
    assert node.GetColumnTitle("agatston") == "Agatston"
    assert node.GetColumnUnitLabel("mass_mg") == "mg"
    assert node.GetColumnUnitLabel("max_hu") == "HU"
    assert node.GetUseColumnTitleAsColumnHeader()
    assert node.GetLocked()


def test_what_lies_outside_the_coronaries_follows_the_total_on_request(working, scores):
    node = a_table(working)
    update_score_table(node, scores, non_coronary=True)
    rows = cells(node)
    assert [row["vessel"] for row in rows][4:] == ["Total", "aorta"]
    assert rows[4]["agatston"] == pytest.approx(27)
    assert rows[5]["agatston"] == pytest.approx(16 * 0.25 * 4)


def test_filling_a_table_again_replaces_it(working, scores):
    node = a_table(working)
    update_score_table(node, scores, non_coronary=True)
    update_lesion_table(node, scores)
    update_score_table(node, scores)
    assert (node.GetNumberOfRows(), node.GetNumberOfColumns()) == (5, 8)


def test_the_score_table_keeps_the_whole_result(working, scores):
    node = a_table(working)
    update_score_table(node, scores)
    assert scores_of_table(node) == scores_dict(scores)
    assert scores_of_table(node)["risk"]["spect-pet-4"] == ">0-100"
    node.SetAttribute("CACScoring.Scores", "no json")
    assert scores_of_table(node) is None
    assert scores_of_table(a_table(working)) is None


@pytest.mark.parametrize("direction", ["axial", "prone", "oblique"])
def test_a_row_a_lesion_with_its_position_in_ras(working, direction):
    ct, labels = a_calcified_ct(direction)
    node = a_table(working)
    update_lesion_table(node, score(ct, labels))
    rows = cells(node)
    assert [(row["vessel"], row["agatston"], row["slices"], row["voxels"]) for row in rows] == [
        ("LAD", pytest.approx(3), 1, 6),
        ("RCA", pytest.approx(24), 2, 24),
        ("aorta", pytest.approx(16), 1, 16),
    ]
    from CACScoringLib.report.grid import ijk_to_ras

    centre_of_rca = ijk_to_ras(ct) @ (4.5, 13, 4.5, 1)
    assert [rows[1][name] for name in ("r_mm", "a_mm", "s_mm")] == pytest.approx(centre_of_rca[:3])
    assert math.isnan(rows[0]["confidence"])


def test_the_summary_says_risk_and_what_the_numbers_rest_on(working, scores):
    node = a_table(working)
    update_summary_table(node, scores)
    rows = {(row["kind"], row["name"]): row["value"] for row in cells(node)}
    assert rows["risk", "clinical-5"] == ">10-100"
    assert rows["risk", "cac-drs"] == "A1/N2"
    assert rows["extent", "calcified vessels"] == "2"
    assert rows["patient", "arterial age (years)"] == "63.26"  # 39.1 + 7.25 ln 28
    assert rows["patient", "percentile hoff-2001"] == "50-75 (secondary)"  # women 60-64: 0/3/57/193
    assert rows["basis", "preset"] == "agatston-1990"
    assert rows["basis", "threshold (HU)"] == "130"
    assert rows["basis", "tube voltage (kV)"] == "120"
    assert rows["basis", "mass"] == "not calibrated"
    assert rows["basis", "use"].startswith("Research use only")
    assert ("info", "mass-uncalibrated") in rows


def test_the_summary_names_the_model_and_its_findings(working, scores):
    node = a_table(working)
    finding = {"severity": "warning", "code": "unknown-kvp", "message": "The tube voltage is not known."}
    document = {**scores.as_dict(), "model": {"id": "m1", "sha256": "0123456789abcdef"}, "findings": [finding]}
    update_summary_table(node, document)
    rows = {(row["kind"], row["name"]): row["value"] for row in cells(node)}
    assert rows["basis", "labels"] == "model m1 (01234567)"
    assert rows["warning", "unknown-kvp"] == "The tube voltage is not known."
