"""The agreement of two score tables as charts and tables to be shown beside the scans."""

from __future__ import annotations

import math

import numpy as np

from CACScoringLib.cohort import report_html as html
from CACScoringLib.cohort.agreement_analysis import Agreement, ScoreAgreement
from CACScoringLib.cohort.agreement_report import pairs_to_draw
from CACScoringLib.cohort.agreement_sections import report_lead, sections
from CACScoringLib.cohort.figures import Pairs, regression
from CACScoringLib.cohort.score_pairs import TOTAL
from CACScoringLib.cohort.views import DASHED, POINTS, RGB, ChartView, CohortViews, SeriesView, TableView, with_room

LINE: RGB = (0.784, 0.333, 0.239)
FAINT: RGB = (0.549, 0.549, 0.549)
POINT: RGB = (0.184, 0.400, 0.565)
"""The colours of ``figures``."""
LOG_TICKS = (0, 10, 100, 1000, 10000)
ROOM = 1.05
"""How far an axis goes beyond the largest value."""


def agreement_views(result: Agreement) -> CohortViews:
    """Return scatter and Bland-Altman charts of every score, and the tables of the report."""
    charts = []
    for score in result.scores:
        pairs = pairs_to_draw(result.pairs, score.quantity)
        charts.append(_scatter(pairs, score))
        if score.quantity == TOTAL:
            charts.append(_log_scatter(pairs))
        charts.append(_bland_altman(pairs, score))
    return CohortViews(headline(result), tuple(charts), tuple(_tables(result)))


def headline(result: Agreement) -> str:
    """Return the result in one line."""
    said = []
    if result.scores:
        first = result.scores[0]
        said.append(f"{first.n:,} cases")
        if math.isfinite(first.icc_agreement.value):
            icc = first.icc_agreement
            said.append(f"ICC(2,1) {icc.value:.3f} ({icc.low:.3f} to {icc.high:.3f})")
        limits = first.limits["plain"]
        said.append(f"bias {limits.bias.value:+.1f} (limits {limits.low:.1f} to {limits.high:.1f})")
    if result.categories:
        main = result.categories[0]
        if math.isfinite(main.kappa["quadratic"].value):
            said.append(f"quadratic kappa {main.kappa['quadratic'].value:.3f}")
        said.append(f"{main.moved.changed:,} of {main.moved.n:,} in another risk category")
    return "; ".join(said) or report_lead(result)


def _scatter(pairs: Pairs, score: ScoreAgreement) -> ChartView:
    top = _top(pairs)
    slope, offset = regression(pairs.reference, pairs.measured)
    series = [
        SeriesView("identity", (0.0, top), (0.0, top), FAINT, DASHED),
        _points(pairs, pairs.reference, pairs.measured, f"n = {score.n:,}"),
    ]
    if math.isfinite(score.line.slope.value):
        words = f"y = {slope:.3f} x {'+' if offset >= 0 else '-'} {abs(offset):.1f}"
        series.append(SeriesView(words, (0.0, top), (offset, offset + slope * top), LINE))
    title = f"{pairs.title}: {pairs.names[1].lower()} against {pairs.names[0].lower()}"
    below = min(0.0, offset)
    return ChartView(
        f"scatter {score.quantity}",
        title,
        pairs.axis(0),
        pairs.axis(1),
        tuple(series),
        (0.0, top),
        with_room(below, top),
    )


def _log_scatter(pairs: Pairs) -> ChartView:
    """Return the scatter in ln(1 + score), so that low scores and zero have their place."""
    top = math.log1p(_top(pairs))
    ticks = tuple((math.log1p(tick), f"{tick:,}") for tick in LOG_TICKS if math.log1p(tick) <= top)
    series = (
        SeriesView("identity", (0.0, top), (0.0, top), FAINT, DASHED),
        _points(pairs, np.log1p(pairs.reference), np.log1p(pairs.measured), f"n = {len(pairs.reference):,}"),
    )
    title = f"{pairs.title}: logarithmic axes"
    ends = (-0.2, top)
    return ChartView("scatter-log", title, pairs.axis(0), pairs.axis(1), series, ends, with_room(*ends), ticks, ticks)


def _bland_altman(pairs: Pairs, score: ScoreAgreement) -> ChartView:
    limits = score.limits["plain"]
    mean = (pairs.reference + pairs.measured) / 2
    difference = pairs.measured - pairs.reference
    top = _top(pairs)
    ends = (0.0, top)
    series = (
        _points(pairs, mean, difference, f"n = {score.n:,}"),
        _level(f"+1.96 SD {limits.high:+.1f}", limits.high, ends, DASHED),
        _level(f"bias {limits.bias.value:+.1f}", limits.bias.value, ends),
        _level(f"-1.96 SD {limits.low:+.1f}", limits.low, ends, DASHED),
    )
    spread = [*difference.tolist(), limits.low, limits.high, 0.0]
    margin = 0.05 * (max(spread) - min(spread)) or 1.0
    first, second = pairs.names
    return ChartView(
        f"bland-altman {score.quantity}",
        f"{pairs.title}: Bland-Altman",
        f"Mean {pairs.score}",
        f"{second} - {first.lower()} {pairs.score}",
        series,
        ends,
        with_room(min(spread) - margin, max(spread) + margin),
    )


def _level(name: str, value: float, ends: tuple[float, float], style: str = "solid") -> SeriesView:
    return SeriesView(name, ends, (value, value), LINE, style)


def _points(pairs: Pairs, x: np.ndarray, y: np.ndarray, name: str) -> SeriesView:
    color = POINT if isinstance(pairs.color, str) else tuple(map(float, pairs.color))
    return SeriesView(name, tuple(x.tolist()), tuple(y.tolist()), color, POINTS)


def _top(pairs: Pairs) -> float:
    return max(float(pairs.reference.max()), float(pairs.measured.max()), 1.0) * ROOM


def _tables(result: Agreement) -> list[TableView]:
    """Return the tables of the report under their short names."""
    found: list[TableView] = []

    def take(blocks: object) -> None:
        for block in blocks:
            if isinstance(block, html.Grid):
                take(block.blocks)
            elif isinstance(block, html.Table):
                name = block.name or block.caption
                rows = tuple(tuple(map(str, row)) for row in block.rows)
                note = block.caption if block.name else ""
                found.append(TableView(name, name, tuple(map(str, block.header)), rows, note))

    for section in sections(result, {}):
        take(section.blocks)
    return found
