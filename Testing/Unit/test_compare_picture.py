"""The picture of a comparison: which slices, outlines in the vessels' colours, heat where the attention is."""

from __future__ import annotations

import numpy as np
import pytest
from comparison_samples import (
    BROKEN,
    CHOICES,
    FIRST,
    SECOND,
    SLICES,
    a_ct,
    attention,
    predict,
)

from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.methods.score_prediction import ScorePrediction
from CACScoringLib.report.attention import heat_of_slice
from CACScoringLib.report.comparison import MethodChoice, compare_methods
from CACScoringLib.report.comparison import picture as picture_module
from CACScoringLib.report.comparison.files import FILES, write_comparison
from CACScoringLib.report.comparison.picture import (
    CAPTION_PX,
    GAP_PX,
    HEADER_PX,
    MARGIN_PX,
    TILE_PX,
    render_comparison,
)
from CACScoringLib.report.drawing import View, heated_tile, outlined_tile
from CACScoringLib.vocabulary import LABEL_BY_NAME

ROW_PX = TILE_PX + CAPTION_PX + GAP_PX


@pytest.fixture(scope="module")
def compared():
    return compare_methods(a_ct(), CHOICES, predict=predict)


def tile(rgb, column, row):
    x, y = MARGIN_PX + column * (TILE_PX + GAP_PX), HEADER_PX + row * ROW_PX + CAPTION_PX
    return rgb[y : y + TILE_PX, x : x + TILE_PX]


def has_color(rgb, name):
    wanted = np.round(np.array(LABEL_BY_NAME[name].color) * 255)
    return bool((np.abs(rgb.astype(float) - wanted).max(axis=-1) <= 1).any())


def test_a_column_a_method_and_a_row_a_slice_with_its_vessels_outlined(compared):
    rgb = render_comparison(a_ct(), compared).rgb()
    # Calcified slices 2, 3, 5, 6, 7 from cranial to caudal; columns: first, slices (attention), second.
    assert rgb.shape[1] == 3 * (TILE_PX + GAP_PX) - GAP_PX + 2 * MARGIN_PX
    assert (rgb.shape[0] - HEADER_PX) // ROW_PX == 5
    slice_3, slice_7 = 3, 0
    assert has_color(tile(rgb, 0, slice_3), "LCX")
    assert not has_color(tile(rgb, 0, slice_3), "LAD")
    assert has_color(tile(rgb, 2, slice_3), "LAD")
    assert has_color(tile(rgb, 0, slice_7), "RCA")
    assert not has_color(tile(rgb, 2, slice_7), "RCA")
    assert not any(has_color(tile(rgb, 1, row), name) for row in range(5) for name in ("LAD", "LCX", "RCA"))


def test_the_slices_that_differ_most_stay_when_there_are_too_many(compared):
    rgb = render_comparison(a_ct(), compared, limit=1).rgb()
    # By the labels slice 3 (16 in LCX here, in LAD there: 32 apart); slices 5 and 6 differ most from the slice scores.
    assert (rgb.shape[0] - HEADER_PX) // ROW_PX == 3
    assert has_color(tile(rgb, 0, 2), "LCX")


def test_heat_lies_where_the_attention_is(compared):
    heat = heat_of_slice(attention(), a_ct(), 3)
    # The cell of 2 has its centre at 9.5, 9.5 pixels, cells of 0 theirs at 5.5 and 13.5.
    assert heat.shape == (24, 24)
    assert heat[9, 9] == pytest.approx(2 * (3.5 / 4) ** 2)
    assert heat[5, 9] == heat[14, 9] == 0.0
    assert not heat_of_slice(attention(), a_ct(), 5).any()
    rgb = render_comparison(a_ct(), compared).rgb().astype(int)
    warm = [np.ptp(tile(rgb, 1, row), axis=-1).max() for row in range(5)]
    assert warm[3] > 50  # slice 3
    assert warm[0] == warm[1] == 0  # grey elsewhere


def test_a_heated_tile_is_the_slice_where_nothing_is_hot():
    ct = a_ct()
    view = View((12.0, 12.0), 24.0, 48, (False, False))
    plain = outlined_tile(ct, np.zeros(ct.shape, np.uint8), 3, view)
    cold = heated_tile(ct, 3, view, np.zeros((24, 24)), 5.0)
    assert np.array_equal(cold, plain)
    heat = np.zeros((24, 24))
    heat[:, 12:] = 5.0
    hot = heated_tile(ct, 3, view, heat, 5.0)
    assert np.array_equal(hot[:, :20], plain[:, :20])
    # 75 % of the brightest colour of "inferno" (0.988, 0.998, 0.645), 25 % of 40 HU at -200..300: 0.48
    assert hot[40, 40] == pytest.approx(0.75 * np.array([0.988362, 0.998364, 0.644924]) + 0.25 * 0.48, abs=1e-4)
    flipped = heated_tile(ct, 3, View((12.0, 12.0), 24.0, 48, (False, True)), heat, 5.0)
    assert np.allclose(flipped, hot[:, ::-1])


def test_a_method_without_a_result_has_no_column_but_its_reason(compared, monkeypatch):
    written = []
    monkeypatch.setattr(picture_module.Page, "text", lambda self, x, y, words, **options: written.append(words) or x)
    render_comparison(a_ct(), compared)
    assert f"{BROKEN}: Model 'broken' has no weights." in written
    assert written.count(FIRST) == written.count(SECOND) == written.count(SLICES) == 1
    assert "Agatston 120" in written
    assert "screening-5 100-400  needs review" in written
    assert BROKEN not in written


def test_slices_that_were_put_into_categories_say_how_probably_they_are_calcified(compared, monkeypatch):
    def by_categories(ct, method, **options):
        if method != SLICES:
            return predict(ct, method, **options)
        said = np.array([[0.25, 0.75, 0, 0, 0, 0], [0.98, 0.02, 0, 0, 0, 0]], np.float32)
        z_mm = np.array([9.0, 15.0])  # slices 3 and 5
        return ScorePrediction(method, "c1", "", "nguyen-6", ">0-10", slice_z_mm=z_mm, slice_category_probability=said)

    written = []
    monkeypatch.setattr(picture_module.Page, "text", lambda self, x, y, words, **options: written.append(words) or x)
    render_comparison(a_ct(), compare_methods(a_ct(), CHOICES, predict=by_categories))
    assert written.count("calcium 75%") == written.count("calcium 2%") == 1
    assert sum(words.startswith("calcium") for words in written) == 2
    written.clear()
    render_comparison(a_ct(), compared)
    assert not [words for words in written if words.startswith("calcium")]
    assert "16.0" in written


def test_scans_without_calcium_show_slices_all_the_same():
    def nothing(ct, method, **options):
        return Prediction(method, "m", "0", labels=np.zeros(ct.shape, np.uint8))

    compared = compare_methods(a_ct(), [MethodChoice(FIRST)], predict=nothing)
    # Six places between slices 2 and 8 of ten: 7.1, 6.3, 5.4, 4.6, 3.7 and 2.9 are slices 7, 6, 5, 5, 4 and 3.
    assert (render_comparison(a_ct(), compared).height - HEADER_PX) // ROW_PX == 5


def test_scores_without_labels_show_the_slices_that_score():
    compared = compare_methods(a_ct(), [MethodChoice(SLICES)], predict=predict)
    # Slices at 6, 7.5, 9, 15 and 18 mm score: slices 2, 3 (twice), 5, 6.
    assert (render_comparison(a_ct(), compared).height - HEADER_PX) // ROW_PX == 4


def test_files_are_written_and_nothing_but_rows_where_nothing_was_found(tmp_path, compared):
    write_comparison(tmp_path, a_ct(), compared, case="a", input_path="a.nrrd")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    broken = compare_methods(a_ct(), [MethodChoice(BROKEN)], predict=predict)
    (tmp_path / "none").mkdir()
    write_comparison(tmp_path / "none", a_ct(), broken)
    assert {path.name for path in (tmp_path / "none").iterdir()} == {"comparison.csv", "comparison.json"}
