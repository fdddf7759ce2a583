"""Figures of outcomes as paper 001 has them: survival by category, numbers at risk below it, hazard ratios beneath."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.cohort.cox import CoxModel, HazardRatio
from CACScoringLib.cohort.figures import DPI, FAINT, INK, STYLE
from CACScoringLib.cohort.number_words import p_words
from CACScoringLib.cohort.survival import LogRank, SurvivalCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CATEGORY_MAP, DARKEST, LIGHTEST = "viridis", 0.02, 0.74
"""Categories run from the light end to the dark end of this map: readable in grey and by the colour-blind."""
BAND = 0.13
"""Opacity of the confidence band."""
AT_RISK_TICKS = 6
"""Times at which the numbers at risk are given, about."""
LEFT, PLOT, RIGHT = 0.95, 3.75, 0.35
"""Widths of a column, inches: names of the categories, plot, margin."""
TOP, CURVES, AXIS, LINE = 0.38, 2.75, 0.62, 0.2
"""Heights, inches: title, curves, their axis, a line of the table below."""
FOREST_LEFT, FOREST_PLOT, FOREST_NUMBERS, FOREST_P = 1.68, 1.5, 0.1, 1.12
"""Forest plot, inches: names and counts to the left; where numbers and p begin to the right of the plot."""
FOREST_LINE, FOREST_HEAD, FOREST_AXIS = 0.27, 0.32, 0.52
WIDE_LEFT, WIDE_PLOT, WIDE_RIGHT, LETTER = 1.05, 2.8, 1.85, 0.075
"""A forest plot on its own, inches: counts, plot, numbers, and a letter of the longest name."""
RATIO_TICKS = (
    (0.01, 0.1, 1, 10, 100),
    (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50),
    (0.5, 0.7, 1, 1.5, 2, 3, 4),
    (0.8, 0.9, 1, 1.1, 1.2),
    tuple(tick / 100 for tick in range(50, 200, 2)),
)
"""Ticks of a ratio's axis; the first row with three inside the axis is taken."""
FORMATS = ("png", "svg")


@dataclass(frozen=True)
class OutcomePanel:
    """One score's part of a figure.

    Attributes
    ----------
    title : str
    curves : tuple of SurvivalCurve
    log_rank : LogRank
    model : CoxModel or None
        Whose ratios are drawn beneath.
    categories : int
        Of the scheme, for the colours: a category has its colour even where another one is empty.
    """

    title: str
    curves: tuple[SurvivalCurve, ...]
    log_rank: LogRank
    model: CoxModel | None
    categories: int


def category_colors(categories: int) -> list[str]:
    """Return a colour for each category, the darkest for the highest."""
    import matplotlib
    from matplotlib.colors import to_hex

    places = np.linspace(LIGHTEST, DARKEST, max(categories, 2))
    return [to_hex(color) for color in matplotlib.colormaps[CATEGORY_MAP](places)][:categories]


def outcome_figure(panels: Sequence[OutcomePanel], unit: str, event_name: str = "event") -> Figure:
    """Return paper 001's figure: one column for each score, survival above, hazard ratios beneath.

    Parameters
    ----------
    panels : sequence of OutcomePanel
        One or two.
    unit : str
        Of time, such as ``years``.
    event_name : str
        For the axis: ``MACE`` gives ``MACE-free survival``.
    """
    lines = max(len(panel.curves) for panel in panels)
    above = TOP + CURVES + AXIS + LINE * (lines + 1)
    ratios = max((len(panel.model.terms) for panel in panels if panel.model), default=0)
    beneath = 0.25 + FOREST_HEAD + FOREST_LINE * ratios + FOREST_AXIS if ratios else 0.1
    width = LEFT + PLOT + RIGHT
    low = min(float(np.nanmin(curve.low)) for panel in panels for curve in panel.curves)
    limits = ratio_limits([term for panel in panels if panel.model for term in panel.model.terms])
    with _figure(width * len(panels), above + beneath) as figure:
        for place, panel in enumerate(panels):
            letter = f"{'ABCDEFGH'[place]}   " if len(panels) > 1 else ""
            _survival(figure, place * width, panel, (unit, event_name), low, letter)
            if panel.model:
                box = (place * width + FOREST_LEFT, FOREST_AXIS, FOREST_PLOT)
                colors = {curve.name: curve.category for curve in panel.curves}
                _forest(figure, box, panel.model.terms, limits, (colors, panel.categories))
    return figure


def forest_figure(terms: Sequence[HazardRatio], title: str = "") -> Figure:
    """Return hazard ratios with their 95 % intervals on a logarithmic axis, and in numbers beside it."""
    height = (0.4 if title else 0.1) + FOREST_HEAD + FOREST_LINE * len(terms) + FOREST_AXIS
    left = WIDE_LEFT + LETTER * max(10, *(len(term.name) for term in terms))
    with _figure(left + WIDE_PLOT + WIDE_RIGHT, height) as figure:
        if title:
            figure.text(0.02, 1 - 0.1 / height, title, ha="left", va="top", fontsize=10)
        _forest(figure, (left, FOREST_AXIS, WIDE_PLOT), terms, ratio_limits(terms), ({}, 0))
    return figure


def save_outcome_figure(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write a figure in each format as ``stem.format``; an existing file is replaced at once."""
    import matplotlib

    from CACScoringLib.report.staging import staged_file

    written = []
    for ending in formats:
        target = stem.with_name(f"{stem.name}.{ending}")
        about = {"Software": "CACScoring"} if ending == "png" else {"Creator": "CACScoring", "Date": None}
        with staged_file(target) as path, matplotlib.rc_context({"svg.hashsalt": "cacscoring", "svg.fonttype": "path"}):
            figure.savefig(path, dpi=2 * DPI, metadata=about)
        written.append(target)
    return written


def _survival(figure: Figure, x: float, panel: OutcomePanel, words: tuple[str, str], low: float, letter: str) -> None:
    """Draw survival, and its table of numbers at risk, in the column that begins ``x`` inches from the left."""
    height = figure.get_figheight()
    ax = _axes(figure, x + LEFT, height - TOP - CURVES, PLOT, CURVES)
    colors = category_colors(panel.categories)
    end = max(float(curve.time[-1]) for curve in panel.curves)
    ticks = time_ticks(end)
    for curve in panel.curves:
        color = colors[curve.category]
        ax.step(curve.time, curve.survival, where="post", color=color, lw=1.6, label=curve.name)
        ax.fill_between(curve.time, curve.low, curve.high, step="post", color=color, alpha=BAND, lw=0)
    ax.set(xlim=(0, end * 1.01), ylim=(max(0.0, math.floor((low - 0.02) * 10) / 10), 1.005))
    ax.set_title(letter + panel.title, fontsize=10, loc="left")
    ax.set_ylabel(f"{words[1][:1].upper()}{words[1][1:]}-free survival", fontsize=9)
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f}%")
    ax.set_xticks(ticks)
    ax.set_xlabel(f"Time ({words[0]})", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.legend(title="CAC score", loc="lower left", fontsize=8, title_fontsize=8, handlelength=1.4, alignment="left")
    if math.isfinite(panel.log_rank.p):
        test = f"log-rank {p_words(panel.log_rank.p)}"
        ax.text(0.99, 0.985, test, transform=ax.transAxes, ha="right", va="top", fontsize=8)
    table_height = LINE * (len(panel.curves) + 1)
    table = _axes(figure, x + LEFT, height - TOP - CURVES - AXIS - table_height, PLOT, table_height)
    table.set_xlim(ax.get_xlim())
    _at_risk(table, panel.curves, colors, ticks)


def _at_risk(ax: Axes, curves: Sequence[SurvivalCurve], colors: Sequence[str], ticks: Sequence[float]) -> None:
    """Write the numbers at risk under the times they belong to."""
    ax.set_ylim(len(curves) + 0.5, -0.5)
    ax.spines[:].set_visible(False)
    ax.set_xticks([])
    ax.tick_params(length=0, pad=16)
    ax.set_yticks(range(1, len(curves) + 1), [curve.name for curve in curves], fontsize=8)
    for label, curve in zip(ax.get_yticklabels(), curves, strict=True):
        label.set_color(colors[curve.category])
        label.set_fontweight("bold")
    ax.text(0, 0, "Number at risk", transform=ax.transData, fontsize=8, va="center", fontweight="bold")
    for row, curve in enumerate(curves, start=1):
        for tick, count in zip(ticks, curve.at_risk(ticks), strict=True):
            ax.text(tick, row, f"{count:,}", ha="center", va="center", fontsize=8)


def _forest(
    figure: Figure,
    box: tuple[float, float, float],
    terms: Sequence[HazardRatio],
    limits: tuple[float, float],
    colors: tuple[Mapping[str, int], int],
) -> None:
    """Draw hazard ratios with names and counts to the left and the numbers to the right; ``box`` in inches."""
    left, bottom, width = box
    lines = len(terms)
    ax = _axes(figure, left, bottom, width, FOREST_LINE * lines)
    low, high = limits
    ax.set(xscale="log", xlim=(low, high), ylim=(lines - 0.5, -0.5))
    ax.axvline(1, color=FAINT, lw=0.8, ls=(0, (4, 3)), zorder=0)
    categories, palette = colors[0], category_colors(colors[1])
    for row, term in enumerate(terms):
        color = palette[categories[term.name]] if term.name in categories else INK
        if term.reference:
            ax.plot(1, row, "D", ms=5, mfc="white", color=color)
        else:
            ax.plot([term.low, term.high], [row, row], color=color, lw=1.4, solid_capstyle="butt")
            ax.plot(term.ratio, row, "s", ms=5.5, color=color)
    _forest_words(ax, width, terms)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ticks = ratio_ticks(low, high)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.tick_params(labelsize=8)
    ax.minorticks_off()
    ax.set_xlabel("Hazard ratio", fontsize=9)


def _forest_words(ax: Axes, width: float, terms: Sequence[HazardRatio]) -> None:
    """Write names, counts, ratios and p in columns that stand so many inches from the plot."""
    counted = any(term.events is not None for term in terms)
    columns = [(-0.9 if counted else -0.1, "right"), (-0.1, "right"), (width + FOREST_NUMBERS, "left")]
    columns.append((width + FOREST_NUMBERS + FOREST_P, "left"))
    lines = [
        ("CAC score" if all(term.n for term in terms) else "", "events / n" if counted else "", "HR (95% CI)", "p")
    ]
    for term in terms:
        counts = "" if term.events is None else f"{term.events:,} / {term.n:,}"
        lines.append((term.name, counts, *ratio_words(term)))
    for row, words in enumerate(lines, start=-1):
        for (inches, side), word in zip(columns, words, strict=True):
            weight = "bold" if row == -1 else "normal"
            place = {"transform": ax.get_yaxis_transform(), "ha": side, "va": "center"}
            ax.text(inches / width, row, word, fontsize=8, fontweight=weight, clip_on=False, **place)


def ratio_limits(terms: Sequence[HazardRatio]) -> tuple[float, float]:
    """Return the ends of an axis that holds every interval and 1."""
    finite = [end for term in terms for end in (term.low, term.high) if math.isfinite(end) and end > 0]
    return min([*finite, 0.9]) / 1.12, max([*finite, 1.1]) * 1.12


def ratio_ticks(low: float, high: float) -> list[float]:
    """Return the ticks of a logarithmic axis of ratios."""
    shown = next(ticks for ticks in RATIO_TICKS if sum(low <= tick <= high for tick in ticks) >= 3)
    return [float(tick) for tick in shown if low <= tick <= high]


def ratio_words(term: HazardRatio) -> tuple[str, str]:
    """Return a hazard ratio with its interval, and its p, as a table has them."""
    if term.reference:
        return "1 (reference)", ""
    return f"{term.ratio:.2f} ({term.low:.2f}–{term.high:.2f})", p_words(term.p, name=False)


def time_ticks(end: float) -> list[float]:
    """Return round times from 0 to the end."""
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(AT_RISK_TICKS, steps=[1, 2, 2.5, 5, 10]).tick_values(0, end)
    return [float(tick) for tick in ticks if 0 <= tick <= end]


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    """Give an empty figure without any window; what is drawn in the block has the style of all our figures."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        yield figure


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Return axes at a place in inches."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))
