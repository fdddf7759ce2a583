"""The overview picture: which slices it shows, what is drawn in them, what is written round them."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.report.drawing import Page, outlined_tile, slice_view
from CACScoringLib.report.overview import MARGIN_PX, choose_slices, render_overview, write_overview
from CACScoringLib.vocabulary import LABEL_BY_NAME, LABELS, NON_CORONARY_LABELS, NonCoronary, Vessel


def a_ct(
    slices: int = 10, size: int = 200, spacing: float = 1.0, direction: tuple[float, ...] | None = None
) -> CTVolume:
    hu = np.full((slices, size, size), 40, np.int16)
    if direction is None:
        return CTVolume(hu, (3.0, spacing, spacing))
    return CTVolume(hu, (3.0, spacing, spacing), direction=direction)


def no_labels(ct: CTVolume) -> np.ndarray:
    return np.zeros(ct.shape, np.uint8)


def some_scores(agatston: float = 12.0, lesions: int = 1) -> dict:
    vessel = {"agatston": agatston, "lesions": lesions}
    nothing = {"agatston": 0.0, "lesions": 0}
    return {
        "total": dict(vessel),
        "vessels": {"LM": nothing, "LAD": vessel, "LCX": nothing, "RCA": nothing},
        "non_coronary": {"aorta": nothing},
        "risk": {"clinical-5": ">10-100"},
        "preset": {"name": "agatston-1990", "threshold_hu": 130.0},
        "acquisition": {"kvp": 120.0, "increment_mm": 3.0},
        "model": {"id": "a-model", "sha256": "0" * 64},
        "findings": [],
    }


def test_every_calcified_slice_is_shown_cranial_first() -> None:
    ct = a_ct()
    labels = no_labels(ct)
    labels[2, 5, 5] = Vessel.LAD
    labels[7, 5, 5] = Vessel.RCA
    labels[4, 5, 5] = NonCoronary.AORTA
    assert choose_slices(labels, {}).slices == (7, 4, 2)
    assert choose_slices(labels, {}).left_out == 0


def test_the_highest_scores_stay_when_there_are_too_many_slices_and_the_others_are_counted() -> None:
    ct = a_ct()
    labels = no_labels(ct)
    labels[1:7, 5, 5] = Vessel.LAD
    labels[8, :50, :50] = NonCoronary.AORTA
    per_slice = {z: {"LAD": float(score)} for z, score in zip(range(1, 7), (5, 90, 1, 70, 3, 80), strict=True)}
    choice = choose_slices(labels, per_slice, limit=3)
    assert choice.slices == (6, 4, 2)
    assert choice.left_out == 4  # three LAD slices with less, and the aorta


def test_the_view_holds_every_label_and_at_least_a_heart() -> None:
    ct = a_ct(size=400)
    labels = no_labels(ct)
    labels[0, 100, 150] = Vessel.LAD
    view = slice_view(ct, labels, None, 300)
    assert view.center_mm == (100.0, 150.0)
    assert view.side_mm == 130.0
    labels[1, 300, 150] = Vessel.RCA
    wide = slice_view(ct, labels, None, 300)
    assert wide.center_mm == (200.0, 150.0)
    assert wide.side_mm == 200.0 + 24.0  # 12 mm of room on each side


def test_calcium_stays_visible_inside_an_outline_in_its_vessels_colour() -> None:
    ct = a_ct(size=130)
    labels = no_labels(ct)
    labels[3, 60:70, 60:70] = Vessel.RCA
    ct.hu[3, 60:70, 60:70] = 500
    tile = outlined_tile(ct, labels, 3, slice_view(ct, labels, None, 260))
    green = np.all(np.isclose(tile, LABEL_BY_NAME["RCA"].color), axis=2)
    assert green.any()
    rows, columns = np.flatnonzero(green.any(axis=1)), np.flatnonzero(green.any(axis=0))
    inside = tile[rows[0] + 5 : rows[-1] - 4, columns[0] + 5 : columns[-1] - 4]
    assert np.allclose(inside, 1.0)  # 500 HU is white, and not covered
    soft = tile[5, 5, 0]
    assert soft == pytest.approx((40 + 200) / 500)  # window -200..300 HU


def test_a_volume_stored_left_to_right_is_shown_with_the_patients_right_on_the_left() -> None:
    usual, flipped = a_ct(size=130), a_ct(size=130, direction=(-1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    usual.hu[0, :, 20:40] = 300
    flipped.hu[0, :, 90:110] = 300  # the same anatomy, columns counted from the other side
    view_usual, view_flipped = (slice_view(ct, no_labels(ct), None, 130) for ct in (usual, flipped))
    one = outlined_tile(usual, no_labels(usual), 0, view_usual)
    other = outlined_tile(flipped, no_labels(flipped), 0, view_flipped)
    np.testing.assert_allclose(one, other, atol=1e-6)


def page_texts(page: Page) -> list[str]:
    return [text.get_text() for text in page._figure.texts]


def test_the_picture_says_totals_preset_threshold_model_and_research_use() -> None:
    ct = a_ct()
    labels = no_labels(ct)
    labels[4, 100, 100] = Vessel.LAD
    words = " | ".join(page_texts(render_overview(ct, labels, some_scores(), per_slice={4: {"LAD": 12.0}})))
    for expected in ("Agatston 12.0", "agatston-1990", "130 HU", "a-model", "Research use only", "slice 4", "LAD 12.0"):
        assert expected in words


def test_a_scan_without_calcium_shows_heart_slices_and_says_so() -> None:
    ct = a_ct(slices=40)
    box = np.array([[30.0, 50.0, 50.0], [90.0, 150.0, 150.0]])  # slices 10 to 30
    page = render_overview(ct, no_labels(ct), some_scores(0.0, 0), heart_box_mm=box)
    words = page_texts(page)
    assert "No coronary calcium found" in words
    shown = [int(text.split()[1]) for text in words if text.startswith("slice ")]
    assert len(shown) == 6
    assert all(10 <= z <= 30 for z in shown)
    assert shown == sorted(shown, reverse=True)


def test_slices_left_out_and_warnings_are_told() -> None:
    ct = a_ct()
    labels = no_labels(ct)
    labels[:, 100, 100] = Vessel.LAD
    scores = some_scores()
    scores["findings"] = [{"severity": "warning", "code": "kvp-unknown", "message": "The tube voltage is unknown."}]
    words = page_texts(render_overview(ct, labels, scores, limit=4))
    assert "6 more calcified slices are not shown." in words
    assert "Warning: The tube voltage is unknown." in words


def test_a_long_warning_is_broken_into_lines_and_never_cut_short() -> None:
    ct = a_ct()
    labels = no_labels(ct)
    labels[3, 100, 100] = Vessel.LAD
    doubts = "their category has a low probability, " * 6
    message = f"Look at the lesions: {doubts}calibrated on synthetic patients only."
    scores = some_scores()
    scores["findings"] = []
    short = render_overview(ct, labels, scores)
    scores["findings"] = [{"severity": "warning", "code": "needs-review", "message": message}]
    page = render_overview(ct, labels, scores)
    lines = [line for line in page_texts(page) if line not in page_texts(short)]
    assert len(lines) > 1
    assert " ".join(reversed(lines)) == f"Warning: {message}"  # written from the bottom up
    assert page.height == short.height + 20 * len(lines)
    assert all(page.text_width(line, 10.5) <= page.width - 2 * MARGIN_PX for line in lines)


def test_the_png_is_written_quickly_and_as_large_as_the_page(tmp_path) -> None:
    import matplotlib.image

    ct = a_ct(slices=60, size=512, spacing=0.4)
    labels = no_labels(ct)
    labels[10:50, 250:255, 250:255] = Vessel.LAD
    scores = some_scores()
    write_overview(tmp_path / "first.png", ct, labels, scores)  # loads the fonts
    start = time.perf_counter()
    write_overview(tmp_path / "overview.png", ct, labels, scores)
    assert time.perf_counter() - start < 10.0  # about 1 s on an idle core
    picture = matplotlib.image.imread(tmp_path / "overview.png")
    assert picture.shape[:2] == (166 + 4 * (300 + 26 + 6) + 34 + 20, 6 * 306 - 6 + 48)
    assert picture[..., :3].std() > 0.1


def test_a_slice_that_holds_everything_has_a_caption_and_a_legend_that_overlap_nothing() -> None:
    ct = a_ct()
    labels = no_labels(ct)
    every = [label.value for label in LABELS]
    for z, values in enumerate((every, [label.value for label in NON_CORONARY_LABELS], [Vessel.LAD])):
        for place, value in enumerate(values):
            labels[z, 60 + 8 * place : 64 + 8 * place, 90:94] = value
    scores = some_scores(1234.5)
    scores["non_coronary"] = {label.name: {"agatston": 0.0, "lesions": 1} for label in NON_CORONARY_LABELS}
    page = render_overview(ct, labels, scores, per_slice={0: dict.fromkeys(("LM", "LAD", "LCX", "RCA"), 1234.5)})
    page.rgb()
    rows: dict[float, list] = {}
    for text in page._figure.texts:
        rows.setdefault(text.get_position()[1], []).append(text.get_window_extent())
    for extents in rows.values():
        extents.sort(key=lambda extent: extent.x0)
        assert all(one.x1 <= other.x0 + 1 for one, other in itertools.pairwise(extents))
        assert extents[-1].x1 <= page.width
    written = [text.get_text() for text in page._figure.texts]
    assert {"slice 0", "aorta", "aortic valve", "mitral valve", "other"} <= set(written)
    assert {"LAD 1,234", "+5"} <= set(written)


def test_no_text_runs_off_the_page_however_long_the_names_are() -> None:
    ct = a_ct()
    labels = no_labels(ct)
    labels[4, 100, 100] = Vessel.LAD
    scores = some_scores()
    scores["model"]["id"] = "a-model-with-a-very-long-name " * 8
    scores["acquisition"]["source"] = "x" * 300
    scores["findings"] = [{"severity": "warning", "code": "long", "message": "many words " * 60}]
    page = render_overview(ct, labels, scores)
    page.rgb()
    for text in page._figure.texts:
        extent = text.get_window_extent()
        assert extent.x0 >= 0
        assert extent.x1 <= page.width
