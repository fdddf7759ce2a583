"""A comparison as nodes: tables of methods and lesions, attention on the CT's voxels."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from comparison_samples import BROKEN, CHOICES, FIRST, SECOND, SLICES, a_ct, predict
from mrml_samples import DIRECTIONS, a_calcified_ct
from vtk.util.numpy_support import vtk_to_numpy

from CACScoringLib.inference.grids import Grid
from CACScoringLib.methods.score_prediction import AttentionMap
from CACScoringLib.mrml.attention import attention_volume, show_attention
from CACScoringLib.mrml.comparison import (
    COMPARISON_ATTRIBUTE,
    update_comparison_lesion_table,
    update_comparison_table,
)
from CACScoringLib.mrml.geometry import volume_ijk_to_ras
from CACScoringLib.mrml.orientation import oriented_ct
from CACScoringLib.mrml.volume import volume_from_ct
from CACScoringLib.report.comparison import MethodChoice, compare_methods
from CACScoringLib.report.comparison.files import comparison_document
from CACScoringLib.report.grid import ijk_to_ras


@pytest.fixture(scope="module")
def compared():
    return compare_methods(a_ct(), CHOICES, predict=predict)


def a_table(working):
    return working.scene.AddNewNodeByClass("vtkMRMLTableNode", "T")


def column(node, name):
    table = node.GetTable()
    return [table.GetValueByName(row, name) for row in range(table.GetNumberOfRows())]


def numbers(node, name):
    return [value.ToDouble() for value in column(node, name)]


def words(node, name):
    return [value.ToString() for value in column(node, name)]


def test_a_row_a_method_with_totals_vessels_categories_and_reasons(working, compared):
    node = a_table(working)
    update_comparison_table(node, compared)
    assert words(node, "method") == [FIRST, BROKEN, SLICES, SECOND]
    totals = numbers(node, "agatston")
    assert [totals[0], totals[2], totals[3]] == pytest.approx([55, 120, 40])
    assert math.isnan(totals[1])
    lcx = numbers(node, "agatston_LCX")
    assert (lcx[0], lcx[3]) == (16.0, 0.0)
    assert math.isnan(lcx[2])  # a score without labels has no vessels
    assert words(node, "category") == ["spect-pet-4 >0-100", "", "screening-5 100-400", "spect-pet-4 >0-100"]
    assert words(node, "cac-drs") == ["A1/N3", "", "", "A1/N2"]
    assert words(node, "needs_review") == ["", "", "yes", ""]
    assert words(node, "model")[0] == "f1 (aaaaaaaa)"
    assert words(node, "note") == ["", "Model 'broken' has no weights.", "The slices are thick.", ""]
    assert node.GetColumnUnitLabel("volume_mm3") == "mm3"
    assert node.GetLocked()


def test_the_table_keeps_the_whole_comparison_and_takes_it_as_a_document_too(working, compared):
    first, second = a_table(working), a_table(working)
    update_comparison_table(first, compared)
    document = comparison_document(compared)
    update_comparison_table(second, document)
    kept = json.loads(second.GetAttribute(COMPARISON_ATTRIBUTE))
    assert kept["lesions"][0]["at_stake"] == 16.0
    assert words(first, "nguyen-6") == words(second, "nguyen-6")
    assert numbers(first, "seconds") == numbers(second, "seconds")


def test_a_row_a_lesion_that_is_marked_differently_with_its_place_in_ras(working, compared):
    node = a_table(working)
    update_comparison_lesion_table(node, compared)
    assert words(node, f"by {FIRST}") == ["LCX 16.0", "RCA 24.0", "RCA 3.0"]
    assert words(node, f"by {SECOND}") == ["LAD 16.0", "RCA 12.0", "aorta"]
    assert node.GetTable().GetColumnByName(f"by {SLICES}") is None
    assert numbers(node, "at_stake") == [16.0, 12.0, 3.0]
    assert words(node, "kind")[0] == "put into different vessels"
    place = [numbers(node, name)[0] for name in ("r_mm", "a_mm", "s_mm")]
    assert place == pytest.approx([-20.5, -30.5, -91.0])
    assert [numbers(node, name)[1] for name in ("first_slice", "last_slice")] == [6, 7]


def test_another_comparison_takes_the_place_of_the_columns(working, compared):
    node = a_table(working)
    update_comparison_lesion_table(node, compared)
    update_comparison_lesion_table(node, compare_methods(a_ct(), [MethodChoice(SLICES)], predict=predict))
    assert node.GetNumberOfRows() == 0
    assert node.GetTable().GetColumnByName(f"by {FIRST}") is None


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_attention_lies_on_the_voxels_of_the_ct_whatever_its_axes(working, direction):
    ct, _ = a_calcified_ct(direction)
    volume = volume_from_ct(working.scene, ct)
    turned = oriented_ct(ct)
    values = np.zeros(turned.shape, np.float32)
    values[2, 3, 5] = 4.0  # on the grid that methods see
    node = attention_volume(
        working.scene, volume, AttentionMap(values, Grid(turned.spacing_mm, (0.0, 0.0, 0.0), values.shape)), "m"
    )
    shown = vtk_to_numpy(node.GetImageData().GetPointData().GetScalars()).reshape(ct.shape)
    assert shown.dtype == np.float32
    (at,) = np.argwhere(shown > 0)
    where = volume_ijk_to_ras(node) @ [at[2], at[1], at[0], 1.0]
    assert where == pytest.approx(ijk_to_ras(turned) @ [5, 3, 2, 1.0])
    assert volume_ijk_to_ras(node) == pytest.approx(volume_ijk_to_ras(volume))


def test_attention_is_a_coloured_overlay_that_is_transparent_where_there_is_none(working):
    ct, _ = a_calcified_ct()
    volume = volume_from_ct(working.scene, ct)
    values = np.zeros(ct.shape, np.float32)
    values[2, 3, 5] = 4.0
    attention = AttentionMap(values, Grid(ct.spacing_mm, (0.0, 0.0, 0.0), values.shape))
    node = attention_volume(working.scene, volume, attention, "slices")
    display = node.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 4.0)
    assert display.GetApplyThreshold()
    assert display.GetLowerThreshold() == pytest.approx(0.2)
    colors = display.GetColorNode()
    ends = [colors.GetLookupTable().GetTableValue(index)[:3] for index in (0, 255)]
    assert ends == [pytest.approx((0, 0, 0)), pytest.approx((1, 1, 0.7), abs=0.01)]
    again = attention_volume(working.scene, volume, attention, "slices", node=node)
    assert again is node
    assert again.GetDisplayNode().GetColorNode() is colors
    assert node.GetName().startswith("Attention of slices")


def test_attention_is_put_into_the_foreground_of_every_slice_view(working):
    ct, _ = a_calcified_ct()
    volume = volume_from_ct(working.scene, ct)
    attention = AttentionMap(np.ones(ct.shape, np.float32), Grid(ct.spacing_mm, (0.0, 0.0, 0.0), ct.shape))
    node = attention_volume(working.scene, volume, attention, "m")
    views = [working.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", name) for name in ("Red", "Green")]
    show_attention(node)
    assert [view.GetForegroundVolumeID() for view in views] == [node.GetID()] * 2
    assert [view.GetForegroundOpacity() for view in views] == [0.5] * 2


def test_a_scan_without_attention_is_shown_as_it_is(working):
    ct, _ = a_calcified_ct()
    volume = volume_from_ct(working.scene, ct)
    attention = AttentionMap(np.zeros(ct.shape, np.float32), Grid(ct.spacing_mm, (0.0, 0.0, 0.0), ct.shape))
    display = attention_volume(working.scene, volume, attention, "m").GetDisplayNode()
    assert display.GetLowerThreshold() > 0
    assert display.GetWindowLevelMax() == 1.0
