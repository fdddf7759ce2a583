"""Progression of calcium in a cohort scanned twice: each patient by ``scoring/progression.py``, then the cohort."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.cohort.agreement import Estimate
from CACScoringLib.cohort.extras import require
from CACScoringLib.cohort.npv import proportion
from CACScoringLib.cohort.tables import find_column, numbers, rows_named
from CACScoringLib.findings import Finding, InputRefusedError, refuse, warning
from CACScoringLib.scoring.progression import Progression, progression

if TYPE_CHECKING:
    import pandas as pd

DAYS_A_YEAR = 365.25
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class ProgressionColumns:
    """Columns of a table with two scans a patient: scores, volumes in mm3, and dates."""

    score: str
    repeat_score: str
    volume: str
    repeat_volume: str
    date: str
    repeat_date: str


@dataclass(frozen=True)
class CohortProgression:
    """Progression of a cohort.

    Attributes
    ----------
    patients : tuple of Progression
    rows : tuple of int
        Of the table, as a spreadsheet counts them.
    progressed : Estimate
        Share whose square root of volume grew by 2.5 mm^1.5 or more.
    new_calcium : Estimate
        Share of those with a score of 0 who have calcium in the second scan.
    years, per_year, percent_per_year : tuple of float
        Lower quartile, median and upper quartile of the time between the scans, of the change of the Agatston score
        a year, and of that change in percent of the first score where it is above 0.
    findings : tuple of Finding
    """

    patients: tuple[Progression, ...]
    rows: tuple[int, ...]
    progressed: Estimate
    new_calcium: Estimate
    years: tuple[float, float, float]
    per_year: tuple[float, float, float]
    percent_per_year: tuple[float, float, float]
    findings: tuple[Finding, ...]


def cohort_progression(table: pd.DataFrame, columns: ProgressionColumns) -> CohortProgression:
    """Return how the calcium of a cohort changed between two scans.

    Parameters
    ----------
    table : DataFrame
        One row a patient; dates as ISO 8601, such as 2021-03-14.
    columns : ProgressionColumns

    Raises
    ------
    InputRefusedError
        If a value is negative, a date cannot be read, or a second scan is not later than the first; the rows are named.
    """
    names = [find_column(table, name) for name in vars(columns).values()]
    missing = table[names].isna()
    findings = []
    if missing.any(axis=None):
        where = rows_named(list(table.index[missing.any(axis=1)]))
        findings.append(warning("missing-values", f"A score, volume or date of the two scans is missing in {where}."))
    table = table[~missing.any(axis=1)]
    if not len(table):
        raise InputRefusedError(refuse("no-complete-row", f"No row has a value in all of {', '.join(names)}."))
    values = [_not_negative(table, name) for name in names[:4]]
    years = _years(table, *names[4:])
    patients = [
        progression(
            baseline_agatston=first,
            follow_up_agatston=second,
            baseline_volume_mm3=volume,
            follow_up_volume_mm3=later_volume,
            years=between,
        )
        for first, second, volume, later_volume, between in zip(*values, years, strict=True)
    ]
    zero = values[0] == 0
    return CohortProgression(
        tuple(patients),
        tuple(int(row) for row in table.index),
        proportion(sum(patient.progressed for patient in patients), len(patients)),
        proportion(int((zero & (values[1] > 0)).sum()), int(zero.sum())),
        _quartiles(years),
        _quartiles([patient.agatston.per_year for patient in patients]),
        _quartiles([patient.agatston.percent_per_year for patient in patients]),
        tuple(findings),
    )


def _not_negative(table: pd.DataFrame, name: str) -> np.ndarray:
    values = numbers(table, name)
    if (values < 0).any():
        where = rows_named(list(table.index[values < 0]))
        raise InputRefusedError(refuse("negative-score", f"{name!r} is negative in {where}: it is 0 or more."))
    return values


def _years(table: pd.DataFrame, date: str, repeat_date: str) -> np.ndarray:
    """Return the years between two dates."""
    pd = require("pandas")
    dates = []
    for name in (date, repeat_date):
        read = pd.to_datetime(table[name], errors="coerce", format="ISO8601", utc=True)
        if read.isna().any():
            where = rows_named(list(table.index[read.isna()]))
            message = f"{name!r} is not a date in {where}: write it as year-month-day, such as 2021-03-14."
            raise InputRefusedError(refuse("not-a-date", message))
        dates.append(read)
    years = ((dates[1] - dates[0]).dt.total_seconds() / 86400 / DAYS_A_YEAR).to_numpy()
    if (years <= 0).any():
        where = rows_named(list(table.index[years <= 0]))
        message = f"The second scan is not later than the first in {where}."
        raise InputRefusedError(refuse("follow-up-not-later", message))
    return years


def _quartiles(values: Sequence[float | None]) -> tuple[float, float, float]:
    known = [value for value in values if value is not None]
    if not known:
        return math.nan, math.nan, math.nan
    low, middle, high = np.quantile(known, QUARTILES)
    return float(low), float(middle), float(high)
