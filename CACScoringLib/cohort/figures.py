"""Figures of agreement, as a paper would show them: scatter, Bland-Altman, confusion matrix, reliability."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from CACScoringLib.cohort.agreement import icc_2_1
from CACScoringLib.cohort.agreement_continuous import TRANSFORMS, limits_of_agreement, linear_regression
from CACScoringLib.cohort.reliability import ReliabilityBin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
INK, FAINT = "#222222", "#8c8c8c"
POINT = "#2f6690"
LINE = "#c8553d"
TICKS = (0, 1, 10, 100, 1000, 10000)
"""Agatston scores that a logarithmic axis names; it runs in ln(1 + score), so that zero has a place."""
FEWEST_TICKS, MOST_TICKS = 3, 9
RATIOS: tuple[tuple[float, ...], ...] = (
    tuple(r * 10.0**k for k in range(-4, 5) for r in (1, 2, 5)),
    tuple(10.0**k for k in range(-4, 5)),
    (0.25, 0.33, 0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0),
    tuple(r / 100 for r in range(50, 201, 10)),
    tuple(r / 100 for r in range(80, 131, 5)),
    tuple(r / 100 for r in range(90, 111, 2)),
    tuple(r / 100 for r in range(95, 106)),
    tuple(r / 1000 for r in range(980, 1021, 5)),
    tuple(r / 1000 for r in range(990, 1011)),
)
"""Ratios that a logarithmic axis may name; those that come first are taken where they are neither few nor many."""
BOUNDS = (100, 400)
"""Bounds of the categories above zero, drawn faintly."""
MOST_DRAWN_AS_LINES = 2000
"""More points than this are one picture within an SVG."""
LABEL_WIDTH = 11
"""Longer names of categories are broken into lines."""
FAINT_FROM = 5000
"""More points than this are drawn smaller and fainter."""
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
}


@dataclass(frozen=True)
class Pairs:
    """Scores of the same subjects by two ways of scoring.

    Attributes
    ----------
    title : str
    reference, measured : ndarray of float, shape (n,)
    color : str or tuple
        Of the points.
    categories : bool
        Whether the bounds of the categories mean something for these scores: for totals only.
    names : tuple of str
        What the two ways of scoring are called on the axes.
    score : str
        What is scored, with its unit.
    """

    title: str
    reference: np.ndarray
    measured: np.ndarray
    color: Any = POINT
    categories: bool = True
    names: tuple[str, str] = ("Reference", "Automatic")
    score: str = "Agatston"

    def axis(self, side: int) -> str:
        """Return the name of an axis: 0 reference, 1 measured."""
        return f"{self.names[side]} {self.score}"


def scatter_figure(pairs: Pairs) -> Figure:
    """Return reference against measured, on linear axes with the regression line, and on logarithmic ones."""
    figure, (left, right) = _figure(1, 2, (8.6, 4.2))
    slope, offset = regression(pairs.reference, pairs.measured)
    top = _top(pairs)
    left.plot([0, top], [0, top], color=FAINT, lw=0.8, ls=(0, (4, 3)), label="identity")
    left.plot([0, top], [offset, offset + slope * top], color=LINE, lw=1.2, label=_equation(slope, offset))
    _points(left, pairs.reference, pairs.measured, pairs.color)
    left.set(xlim=(-0.02 * top, top), ylim=(-0.02 * top, top), aspect="equal")
    _labels(left, pairs.axis(0), pairs.axis(1), f"{pairs.title}, linear axes")
    left.legend(loc="upper left", handlelength=1.6, frameon=False)
    scatter_panel(right, pairs)
    _labels(right, pairs.axis(0), pairs.axis(1), f"{pairs.title}, logarithmic axes")
    return figure


def scatter_grid(panels: Sequence[Pairs]) -> Figure:
    """Return a grid of logarithmic scatters, two in a row: vessels, or protocols."""
    rows = -(-len(panels) // 2)
    figure, axes = _figure(rows, 2, (7.6, 3.7 * rows))
    flat = list(np.ravel(axes))
    for ax, pairs in zip(flat, panels, strict=False):
        scatter_panel(ax, pairs)
        _labels(ax, pairs.axis(0), pairs.axis(1), pairs.title)
    for ax in flat[len(panels) :]:
        ax.set_visible(False)
    return figure


def scatter_panel(ax: Axes, pairs: Pairs) -> None:
    """Draw a scatter with ln(1 + score) axes, the identity, the bounds of the categories, n and ICC."""
    top = np.log1p(_top(pairs))
    for bound in BOUNDS if pairs.categories else ():
        if np.log1p(bound) < top:
            ax.axhline(np.log1p(bound), color=FAINT, lw=0.5, alpha=0.5)
            ax.axvline(np.log1p(bound), color=FAINT, lw=0.5, alpha=0.5)
    ax.plot([0, top], [0, top], color=FAINT, lw=0.8, ls=(0, (4, 3)))
    x, y, n = _counted(np.log1p(pairs.reference), np.log1p(pairs.measured))
    _points(ax, x, y, pairs.color, np.minimum(np.sqrt(n), 12))
    ax.set(xlim=(-0.55, top), ylim=(-0.55, top), aspect="equal")
    _score_ticks(ax.xaxis, top)
    _score_ticks(ax.yaxis, top)
    ax.text(0.97, 0.16, _agreement(pairs), transform=ax.transAxes, ha="right", va="bottom", color=INK)
    both_zero = int(((pairs.reference == 0) & (pairs.measured == 0)).sum())
    if both_zero > 1:
        ax.annotate(f"{both_zero:,} at 0", (0.0, 0.0), (9, -11), textcoords="offset points", fontsize=7)


def bland_altman_figure(pairs: Pairs, scale: str = "plain") -> Figure:
    """Return the difference over the mean of the two scores, with bias, limits of agreement and their intervals.

    Parameters
    ----------
    pairs : Pairs
    scale : str
        ``plain``; ``log``: the ratio of 1 + score on a logarithmic axis; ``square-root``: of the square roots.
    """
    figure, ax = _figure(1, 1, (6.6, 4.0))
    limits = limits_of_agreement(pairs.reference, pairs.measured, scale)
    change = TRANSFORMS[scale]
    difference = change(pairs.measured) - change(pairs.reference)
    mean = (pairs.reference + pairs.measured) / 2
    top = np.log1p(_top(pairs))
    ax.axhline(0, color=FAINT, lw=0.8)
    for low, high in ((limits.bias.low, limits.bias.high), limits.low_interval, limits.high_interval):
        ax.axhspan(low, high, color=LINE, alpha=0.13, lw=0)
    ax.axhline(limits.bias.value, color=LINE, lw=1.2)
    for value in (limits.low, limits.high):
        ax.axhline(value, color=LINE, lw=1.0, ls=(0, (5, 3)))
    _points(ax, np.log1p(mean), difference, pairs.color)
    for value, words, side in (
        (limits.high, "+1.96 SD", "bottom"),
        (limits.bias.value, "bias", "bottom"),
        (limits.low, "-1.96 SD", "top"),
    ):
        shown = f"× {np.exp(value):.2f}" if scale == "log" else f"{value:+.1f}"
        ax.annotate(f"{words} {shown}", (1.005, value), xycoords=("axes fraction", "data"), va=side, fontsize=8)
    ax.set_xlim(-0.25, top)
    _score_ticks(ax.xaxis, top)
    first, second = pairs.names
    what = {
        "plain": f"{second} - {first.lower()} {pairs.score}",
        "log": f"(1 + {second.lower()}) / (1 + {first.lower()})",
        "square-root": f"Difference of square roots, {second.lower()} - {first.lower()}",
    }[scale]
    if scale == "log":
        _ratio_ticks(ax)
    _labels(ax, f"Mean of {first.lower()} and {second.lower()} {pairs.score}", what, pairs.title)
    return figure


def confusion_figure(
    matrix: np.ndarray, categories: Sequence[str], title: str = "", names: tuple[str, str] = ("Reference", "Automatic")
) -> Figure:
    """Return a confusion matrix (rows: reference) with counts and the share of each row."""
    matrix = np.asarray(matrix)
    side = max(4.2, 0.85 * len(matrix))
    figure, ax = _figure(1, 1, (side + 0.4, side))
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        ink = "white" if share[row, column] > 0.55 else (INK if count else "#c4c4c4")
        words = f"{count}\n{share[row, column]:.0%}" if count else "0"
        ax.text(column, row, words, ha="center", va="center", color=ink, fontsize=9)
    shown = [textwrap.fill(name, LABEL_WIDTH) for name in categories]
    ax.set_xticks(range(len(categories)), shown)
    ax.set_yticks(range(len(categories)), shown)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    _labels(ax, f"{names[1]} category", f"{names[0]} category", title)
    return figure


def reliability_figure(bins: Sequence[ReliabilityBin], error: float, title: str = "") -> Figure:
    """Return the observed share over the stated probability with its 95 % interval, and how often each is stated."""
    figure, (ax, counts) = _figure(2, 1, (4.6, 5.2), height_ratios=(3, 1), sharex=True)
    stated = np.array([entry.stated for entry in bins])
    observed = np.array([entry.observed for entry in bins])
    n = np.array([entry.n for entry in bins])
    low, high = wilson_interval(observed, n)
    ax.plot([0, 1], [0, 1], color=FAINT, lw=0.8, ls=(0, (4, 3)))
    ax.errorbar(
        stated, observed, yerr=np.clip([observed - low, high - observed], 0, 1), fmt="o", ms=4, lw=1, color=POINT
    )
    ax.set(xlim=(0, 1.02), ylim=(0, 1.04))
    ax.text(0.03, 0.97, f"n = {n.sum()}\nECE = {error:.3f}", transform=ax.transAxes, va="top")
    _labels(ax, "", "Share of categories that are right", title)
    counts.bar([(e.low + e.high) / 2 for e in bins], n, width=[(e.high - e.low) * 0.92 for e in bins], color=POINT)
    _labels(counts, "Stated probability of the category", "Scans")
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by its name; an existing file is replaced at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}.tmp{path.suffix}")
    about = {"Creator": "CACScoring", "Date": None} if path.suffix == ".svg" else {"Software": "CACScoring"}
    figure.savefig(temporary, dpi=DPI, metadata=about)
    if path.suffix == ".png":
        _with_a_palette(temporary, about)
    temporary.replace(path)


def _with_a_palette(path: Path, about: dict[str, str]) -> None:
    """Write a PNG again with at most 256 colours, which a drawing can spare: a third of the size."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    with Image.open(path) as image:
        few = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
    words = PngInfo()
    for key, value in about.items():
        words.add_text(key, value)
    few.save(path, optimize=True, dpi=(DPI, DPI), pnginfo=words)


def regression(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return slope and offset of the least-squares line; (1, 0) where there is none, the identity."""
    line = linear_regression(x, y)
    if not np.isfinite(line.slope.value):
        return 1.0, 0.0
    return line.slope.value, line.intercept.value


def wilson_interval(share: np.ndarray, n: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of a share (Wilson, J Am Stat Assoc 1927;22:209-12)."""
    z = float(stats.norm.ppf((1 + confidence) / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def _figure(rows: int, columns: int, size: tuple[float, float], **grid: Any) -> tuple[Figure, Any]:
    """Return an empty figure and its axes, without any window."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        return figure, figure.subplots(rows, columns, **grid)


def _labels(ax: Axes, x: str, y: str, title: str = "") -> None:
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)
    ax.set_title(title, fontsize=10, loc="left")
    ax.tick_params(labelsize=8)


def _score_ticks(axis: Any, top: float) -> None:
    shown = [tick for tick in TICKS if np.log1p(tick) <= top]
    axis.set_ticks([np.log1p(tick) for tick in shown], [f"{tick:,}" for tick in shown])


def _ratio_ticks(ax: Axes) -> None:
    """Name the ticks of a logarithmic axis of ratios: the first of ``RATIOS`` of which enough are on it."""
    low, high = ax.get_ylim()
    for ratios in RATIOS:
        shown = [r for r in ratios if low <= np.log(r) <= high]
        if FEWEST_TICKS <= len(shown) <= MOST_TICKS:
            break
    ax.set_yticks([np.log(r) for r in shown], [f"{r:g}" for r in shown])


def _points(ax: Axes, x: np.ndarray, y: np.ndarray, color: Any, weight: np.ndarray | float = 1.0) -> None:
    """Draw points; many are small, faint and one picture, so that an SVG stays small."""
    n = len(x)
    size, alpha, edge = (12.0, 0.65, 0.3) if n <= FAINT_FROM else (4.0, 0.25, 0.0)
    ax.scatter(
        x, y, s=size * weight, color=color, alpha=alpha, lw=edge, edgecolors=INK, rasterized=n > MOST_DRAWN_AS_LINES
    )


def _counted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the points that differ, and how often each occurs."""
    points, n = np.unique(np.stack([x, y], axis=1), axis=0, return_counts=True)
    return points[:, 0], points[:, 1], n


def _agreement(pairs: Pairs) -> str:
    n = len(pairs.reference)
    if n < 2:
        return f"n = {n}"
    icc = icc_2_1(pairs.reference, pairs.measured)
    if not np.isfinite(icc.value):
        return f"n = {n}"
    return f"n = {n:,}\nICC = {icc.value:.3f}\n[{icc.low:.3f}, {icc.high:.3f}]"


def _equation(slope: float, offset: float) -> str:
    return f"y = {slope:.3f} x {'+' if offset >= 0 else '-'} {abs(offset):.1f}"


def _top(pairs: Pairs) -> float:
    return max(float(np.max(pairs.reference, initial=0)), float(np.max(pairs.measured, initial=0)), 10.0) * 1.3
