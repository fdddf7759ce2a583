"""A cohort's outcomes as charts and tables to be shown beside the scans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.cohort.cox import HazardRatio
from CACScoringLib.cohort.figures_outcomes import category_colors, ratio_limits, ratio_ticks, ratio_words
from CACScoringLib.cohort.number_words import p_words
from CACScoringLib.cohort.outcomes_files import lead
from CACScoringLib.cohort.outcomes_words import at_risk_table, tables
from CACScoringLib.cohort.survival import SurvivalCurve
from CACScoringLib.cohort.views import DASHED, POINTS, RGB, ChartView, CohortViews, SeriesView, TableView, with_room

if TYPE_CHECKING:
    from CACScoringLib.cohort.outcomes import Outcomes, ScoreOutcomes

INK: RGB = (0.133, 0.133, 0.133)
FAINT: RGB = (0.549, 0.549, 0.549)


def outcomes_views(result: Outcomes, event_name: str = "event") -> CohortViews:
    """Return survival curves and forest plots of every score, and the tables of the report."""
    charts: list[ChartView] = []
    for part in result.scores:
        charts.append(_survival(result, part, event_name))
        for kind, model in (("univariable", part.univariable), ("multivariable", part.multivariable)):
            if model:
                charts.append(_forest(result, part, kind, model.terms))
    shown = [at_risk_table(result, part) for part in result.scores] + tables(result)
    return CohortViews(
        lead(result),
        tuple(charts),
        tuple(TableView(table.title, table.title, table.header, table.rows, table.note) for table in shown),
    )


def steps(curve: SurvivalCurve) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the corners of a survival curve: event-free percent over time."""
    x = np.repeat(curve.time, 2)[1:]
    y = np.repeat(100 * curve.survival, 2)[:-1]
    return tuple(x.tolist()), tuple(y.tolist())


def _survival(result: Outcomes, part: ScoreOutcomes, event_name: str) -> ChartView:
    colors = _colors(len(result.patients.scheme.groups))
    series = tuple(SeriesView(f"CAC {curve.name}", *steps(curve), colors[curve.category]) for curve in part.curves)
    end = max(float(curve.time[-1]) for curve in part.curves)
    low = min(float(curve.survival.min()) for curve in part.curves)
    floor = max(0.0, 10 * math.floor((100 * low - 2) / 10))
    test = f", log-rank {p_words(part.log_rank.p)}" if math.isfinite(part.log_rank.p) else ""
    return ChartView(
        f"survival {part.score.name}",
        f"{part.score.name}: {event_name}-free survival{test}",
        f"Time ({result.patients.unit})",
        f"{event_name[:1].upper()}{event_name[1:]}-free, %",
        series,
        (0.0, end),
        with_room(floor, 100.0),
        y_ticks=tuple((float(share), f"{share}") for share in range(int(floor), 101, 10)),
    )


def _forest(result: Outcomes, part: ScoreOutcomes, kind: str, terms: Sequence[HazardRatio]) -> ChartView:
    """Return hazard ratios as points with their intervals, the first term on top; the axis runs in log10."""
    colors = _colors(len(result.patients.scheme.groups))
    categories = {curve.name: colors[curve.category] for curve in part.curves}
    low, high = (math.log10(end) for end in ratio_limits(terms))
    series, lines = [SeriesView("ratio 1", (0.0, 0.0), (-0.5, len(terms) - 0.5), FAINT, DASHED)], []
    for row, term in enumerate(terms):
        y = float(len(terms) - 1 - row)
        color = categories.get(term.name, INK)
        ratio = ratio_words(term)[0]
        if not term.reference and all(math.isfinite(end) and end > 0 for end in (term.low, term.high)):
            ends = (math.log10(term.low), math.log10(term.high))
            series.append(SeriesView(f"{term.name}: 95 % interval", ends, (y, y), color))
        series.append(SeriesView(f"{term.name}: {ratio}", (math.log10(term.ratio),), (y,), color, POINTS))
        lines.append((y, f"{term.name}: {ratio}"))
    return ChartView(
        f"forest {kind} {part.score.name}",
        f"{part.score.name}: hazard ratios, {kind}",
        "Hazard ratio (95 % CI)",
        "",
        tuple(series),
        (low, high),
        (-0.5, len(terms) - 0.5),
        tuple((math.log10(tick), f"{tick:g}") for tick in ratio_ticks(10**low, 10**high)),
        tuple(lines),
    )


def _colors(categories: int) -> list[RGB]:
    from matplotlib.colors import to_rgb

    return [tuple(map(float, to_rgb(color))) for color in category_colors(categories)]
