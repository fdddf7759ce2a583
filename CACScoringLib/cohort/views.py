"""What is to be shown of a cohort besides its report: tables of words, and charts of points and lines.

Plain values, so that a process of its own can take the statistics and hand over what a program draws.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = "cacscoring-cohort-views/1"
SOLID, DASHED, POINTS = "solid", "dashed", "points"
STYLES = (SOLID, DASHED, POINTS)
"""How a series is drawn: a line, a dashed line, or points without a line."""

LEGEND_ROOM = 0.2
"""Part of the vertical axis that is left free above what is drawn: charts have their legend there."""

RGB = tuple[float, float, float]


def with_room(low: float, high: float) -> tuple[float, float]:
    """Return a range of a vertical axis with room for the legend.

    >>> with_room(0.0, 100.0)
    (0.0, 120.0)
    """
    return low, high + LEGEND_ROOM * (high - low)


@dataclass(frozen=True)
class TableView:
    """A table of words.

    Attributes
    ----------
    key : str
        Tells it from the other tables of a result.
    title : str
    header : tuple of str
    rows : tuple of tuple of str
    note : str
        What is to be read beside it.
    """

    key: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class SeriesView:
    """Points or a line of a chart.

    Attributes
    ----------
    name : str
        In the legend.
    x, y : tuple of float
    color : tuple of float
        Red, green, blue, 0 to 1.
    style : str
        One of ``STYLES``.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    color: RGB
    style: str = SOLID


@dataclass(frozen=True)
class ChartView:
    """A chart.

    Attributes
    ----------
    key, title, x_title, y_title : str
    series : tuple of SeriesView
        In drawing order.
    x_range, y_range : tuple of float
    x_ticks, y_ticks : tuple of (float, str)
        Names below or beside an axis in place of its numbers; empty for numbers.
    """

    key: str
    title: str
    x_title: str
    y_title: str
    series: tuple[SeriesView, ...]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_ticks: tuple[tuple[float, str], ...] = ()
    y_ticks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class CohortViews:
    """All that is shown of a result.

    Attributes
    ----------
    headline : str
        The result in one line.
    charts : tuple of ChartView
    tables : tuple of TableView
    """

    headline: str
    charts: tuple[ChartView, ...]
    tables: tuple[TableView, ...]


class ViewsError(ValueError):
    """The text is not what :func:`views_to_json` writes."""


def views_to_json(views: CohortViews) -> str:
    """Return views as text."""
    return json.dumps({"schema": SCHEMA, **asdict(views)}, allow_nan=False)


def views_from_json(text: str) -> CohortViews:
    """Return the views of a text.

    Raises
    ------
    ViewsError
    """
    try:
        document = json.loads(text)
        if document["schema"] != SCHEMA:
            raise ViewsError(f"schema {document['schema']}")
        return CohortViews(
            str(document["headline"]),
            tuple(map(_chart, document["charts"])),
            tuple(map(_table, document["tables"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ViewsError(f"The result could not be read ({error}).") from error


def _table(entry: dict[str, Any]) -> TableView:
    header = tuple(map(str, entry["header"]))
    rows = tuple(tuple(map(str, row)) for row in entry["rows"])
    if any(len(row) != len(header) for row in rows):
        raise ValueError("a row is not as long as its header")
    return TableView(str(entry["key"]), str(entry["title"]), header, rows, str(entry["note"]))


def _chart(entry: dict[str, Any]) -> ChartView:
    words = (str(entry[name]) for name in ("key", "title", "x_title", "y_title"))
    ranges = (_pair(entry[name]) for name in ("x_range", "y_range"))
    ticks = (tuple((_finite(at), str(name)) for at, name in entry[axis]) for axis in ("x_ticks", "y_ticks"))
    return ChartView(*words, tuple(map(_series, entry["series"])), *ranges, *ticks)


def _series(entry: dict[str, Any]) -> SeriesView:
    x, y = (tuple(map(_finite, entry[name])) for name in ("x", "y"))
    red, green, blue = map(_finite, entry["color"])
    if len(x) != len(y) or entry["style"] not in STYLES:
        raise ValueError("a series has no such points or style")
    return SeriesView(str(entry["name"]), x, y, (red, green, blue), entry["style"])


def _pair(values: Sequence[Any]) -> tuple[float, float]:
    low, high = map(_finite, values)
    return low, high


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("a number is not finite")
    return number
