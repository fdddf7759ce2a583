from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from CACScoringLib.cohort.figures import (
    DPI,
    Pairs,
    bland_altman_figure,
    confusion_figure,
    regression,
    reliability_figure,
    save_figure,
    scatter_figure,
    scatter_grid,
    wilson_interval,
)
from CACScoringLib.cohort.reliability import reliability

REFERENCE = np.array([0.0, 0.0, 10.0, 120.0, 900.0])
MEASURED = np.array([0.0, 3.0, 12.0, 110.0, 905.0])


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_the_regression_line_of_three_points():
    assert regression([0, 1, 2], [1, 2, 6]) == pytest.approx((2.5, 0.5))
    assert regression([5, 5], [1, 2]) == (1.0, 0.0)


def test_wilsons_interval_is_that_of_the_literature():
    # Newcombe, Stat Med 1998;17:857-72: 81 of 263 gives 0.2553 to 0.3662
    low, high = wilson_interval(np.array([81 / 263]), np.array([263]))
    assert (low[0], high[0]) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_the_scatter_has_both_axes_with_names_and_the_line():
    left, right = scatter_figure(Pairs("Total", REFERENCE, MEASURED)).axes
    assert (left.get_xlabel(), left.get_ylabel()) == ("Reference Agatston", "Automatic Agatston")
    slope, offset = regression(REFERENCE, MEASURED)
    assert offset < 0
    assert f"y = {slope:.3f} x - {-offset:.1f}" in [text.get_text() for text in left.get_legend().get_texts()]
    assert [tick.get_text() for tick in right.get_xticklabels()] == ["0", "1", "10", "100", "1,000"]
    assert any(text.startswith("n = 5\nICC = ") for text in texts(right))


def test_a_grid_hides_what_it_does_not_need_and_says_how_many_are_zero():
    pairs = Pairs("LM", np.zeros(3), np.zeros(3))
    figure = scatter_grid([pairs, Pairs("LAD", REFERENCE, MEASURED), pairs])
    assert [ax.get_visible() for ax in figure.axes] == [True, True, True, False]
    assert "3 at 0" in texts(figure.axes[0])
    assert "n = 3" in texts(figure.axes[0])


def test_bland_altman_names_bias_and_limits():
    ax = bland_altman_figure(Pairs("Total", REFERENCE, MEASURED)).axes[0]
    difference = MEASURED - REFERENCE
    assert f"bias {difference.mean():+.1f}" in texts(ax)
    assert f"+1.96 SD {difference.mean() + 1.959964 * difference.std(ddof=1):+.1f}" in texts(ax)


@pytest.mark.parametrize("spread", [1.0, 1.001, 1.004, 1.01, 1.02, 1.05, 1.1, 1.2, 1.4, 2.0, 5.0, 30.0, 400.0])
def test_an_axis_of_ratios_names_enough_of_them_however_close_they_are(spread):
    reference = np.full(40, 100.0)
    measured = 101.0 * np.tile([spread, 1 / spread], 20) - 1
    ax = bland_altman_figure(Pairs("Total", reference, measured), "log").axes[0]
    low, high = ax.get_ylim()
    ticks = ax.get_yticks()
    assert 3 <= len(ticks) <= 9
    assert low <= min(ticks) < 0 < max(ticks) <= high
    assert [float(tick.get_text()) for tick in ax.get_yticklabels()] == pytest.approx(np.exp(ticks))


def test_ratios_between_one_half_and_two_have_ticks_of_their_own():
    rng = np.random.default_rng(1)
    reference = rng.lognormal(5, 1, 60)
    measured = (reference + 1) * np.exp(rng.uniform(np.log(0.8), np.log(1.25), 60)) - 1
    ax = bland_altman_figure(Pairs("Total", reference, measured), "log").axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["0.8", "1", "1.25"]


def test_the_confusion_matrix_shows_counts_and_shares_of_the_reference():
    ax = confusion_figure(np.array([[3, 1], [0, 2]]), ["0", ">0"]).axes[0]
    assert texts(ax) == ["3\n75%", "1\n25%", "0", "2\n100%"]


def test_the_reliability_diagram_has_a_point_a_bin(tmp_path):
    bins = reliability([0.95, 0.92, 0.65], [True, False, True])
    figure = reliability_figure(bins, 0.123)
    assert "n = 3\nECE = 0.123" in texts(figure.axes[0])
    assert [bar.get_height() for bar in figure.axes[1].patches] == [1, 2]
    save_figure(figure, tmp_path / "deep" / "reliability.png")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["reliability.png"]
    assert (tmp_path / "deep" / "reliability.png").read_bytes()[:4] == b"\x89PNG"


def test_a_png_is_small_and_looks_like_the_figure(tmp_path):
    counts = np.array([[3, 1], [0, 2]])
    save_figure(confusion_figure(counts, ["0", ">0"]), tmp_path / "small.png")
    confusion_figure(counts, ["0", ">0"]).savefig(tmp_path / "plain.png", dpi=DPI)
    with Image.open(tmp_path / "small.png") as small, Image.open(tmp_path / "plain.png") as plain:
        assert small.info["Software"] == "CACScoring"
        assert small.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
        difference = np.abs(np.asarray(small.convert("RGB"), int) - np.asarray(plain.convert("RGB"), int))
    assert difference.max() <= 12
    assert (tmp_path / "small.png").stat().st_size < 0.5 * (tmp_path / "plain.png").stat().st_size
