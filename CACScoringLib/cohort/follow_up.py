"""A table of patients with follow-up: checked column by column before any statistic is taken from it.

What is wrong is said with the rows it is in. A value that cannot be (a negative time, an event that is neither 0 nor 1)
refuses the table; a value that is missing leaves its row out, with a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.cohort.extras import require
from CACScoringLib.cohort.tables import find_column, normalized, numbers, rows_named, table_findings, table_name
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse, warning
from CACScoringLib.scoring.risk import RiskScheme, get_scheme

if TYPE_CHECKING:
    import pandas as pd

FIRST_LINE = 2
"""Line of a table's first patient in a spreadsheet: line 1 has the names of the columns."""
FEW_PATIENTS = 30
"""Fewer patients than this get a warning: a Kaplan-Meier step is then more than 3 % of them."""
CASE = "case"
YES, NO = frozenset({"1", "1.0", "true", "yes"}), frozenset({"0", "0.0", "false", "no"})


@dataclass(frozen=True)
class Score:
    """A score of every patient and its category.

    Attributes
    ----------
    name : str
        Column of the table.
    value : ndarray of float, shape (n,)
        Agatston units.
    category : ndarray of int, shape (n,)
        Counted from 0.
    """

    name: str
    value: np.ndarray
    category: np.ndarray


@dataclass(frozen=True)
class FollowUp:
    """Patients with scores, follow-up and covariates; complete and checked.

    Attributes
    ----------
    time : ndarray of float, shape (n,)
        Follow-up in ``unit``.
    event : ndarray of bool, shape (n,)
        Whether it ended with an event.
    scores : tuple of Score
        The score and, where asked for, the one it is compared with.
    covariates : DataFrame, shape (n, terms)
        Numbers; a column of two words becomes 0 and 1, of more words one column for each but the first.
    rows : tuple of str
        How a message names each patient: row of the file and case, ``5 (p003)``.
    scheme : RiskScheme
    unit : str
        Of ``time``, such as ``years``.
    excluded : int
        Rows left out for missing values.
    findings : tuple of Finding
    """

    time: np.ndarray
    event: np.ndarray
    scores: tuple[Score, ...]
    covariates: pd.DataFrame
    rows: tuple[str, ...]
    scheme: RiskScheme
    unit: str = "years"
    excluded: int = 0
    findings: tuple[Finding, ...] = ()

    @property
    def n(self) -> int:
        """Return the number of patients."""
        return len(self.time)

    def groups(self, score: Score) -> list[tuple[int, str]]:
        """Return number and name of the categories that hold a patient."""
        return [(i, name) for i, name in enumerate(self.scheme.groups) if (score.category == i).any()]


def follow_up(
    table: pd.DataFrame,
    *,
    time: str,
    event: str,
    score: str = "agatston",
    compare: str | None = None,
    covariates: Sequence[str] = (),
    scheme: str = "spect-pet-4",
    unit: str = "years",
) -> FollowUp:
    """Check a table and return its patients.

    Parameters
    ----------
    table : DataFrame
        One row a patient.
    time, event : str
        Columns of the follow-up time, and of whether it ended with an event: 0 or 1, yes or no.
    score, compare : str
        Columns of the score and of the one it is compared with, in Agatston units.
    covariates : sequence of str
        Columns of a multivariable model.
    scheme : str
        Of the categories.
    unit : str
        Of the time, for axes and texts.

    Raises
    ------
    InputRefusedError
        If a column is missing, a value impossible, a case is there twice, or nobody had an event.
    """
    chosen = _by_score_alone(get_scheme(scheme))
    noticed = list(table_findings(table))
    table = _with_lines(table)
    time, event, score = (find_column(table, name) for name in (time, event, score))
    compare = find_column(table, compare) if compare else None
    covariates = [find_column(table, name) for name in covariates]
    needed = [time, event, score, *([compare] if compare else []), *covariates]
    _need_different_columns(needed)
    rows = _row_names(table)
    missing = _missing(table, needed)
    kept = np.flatnonzero(~missing.any(axis=1).to_numpy())
    findings = [*noticed, *_missing_findings(missing, rows)]
    if not len(kept):
        raise InputRefusedError(refuse("no-complete-row", f"No row has a value in all of {', '.join(needed)}."))
    table, rows = table.iloc[kept], [rows[i] for i in kept]
    _need_one_row_a_case(table, rows)
    scores = tuple(_score(table, name, rows, chosen) for name in ([score, compare] if compare else [score]))
    happened, times = _events(table[event], rows), numbers(table, time)
    _refuse_where(times < 0, rows, "negative-time", f"The follow-up time in {time!r} is negative in {{rows}}.")
    if not times.any():
        raise InputRefusedError(refuse("no-follow-up", f"{time!r} is 0 in all {len(rows)} rows: nobody was followed."))
    if not happened.any():
        raise InputRefusedError(
            refuse("no-events", f"{event!r} is 0 in all {len(rows)} rows ({named(rows)}): there is no risk to compare.")
        )
    matrix, constant = _covariates(table, covariates, rows)
    result = FollowUp(times, happened, scores, matrix, tuple(rows), chosen, unit, len(missing) - len(kept))
    return replace(result, findings=(*findings, *constant, *_doubts(result)))


def named(rows: Sequence[str]) -> str:
    """Return rows in words; long lists end with a count."""
    return rows_named(rows)


def _by_score_alone(scheme: RiskScheme) -> RiskScheme:
    """Return a scheme whose groups are named for scores: a table has no percentiles."""
    return replace(scheme, groups=tuple(name.split(" or ")[0] for name in scheme.groups))


def _with_lines(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the rows of its file as index; a table made in Python is counted as its file would be."""
    if not len(table):
        raise InputRefusedError(refuse("empty-table", "The table has no rows."))
    doubled = sorted({str(name) for name in table.columns[table.columns.duplicated()]})
    if doubled:
        raise InputRefusedError(refuse("column-repeated", f"The table has several columns {', '.join(doubled)}."))
    if table_name(table, ""):
        return table
    return table.set_axis(range(FIRST_LINE, FIRST_LINE + len(table)))


def _need_different_columns(needed: Sequence[str]) -> None:
    repeated = sorted({name for name in needed if needed.count(name) > 1})
    if repeated:
        names = ", ".join(map(repr, repeated))
        raise InputRefusedError(refuse("column-used-twice", f"{names} has two roles; name each column once."))


def _row_names(table: pd.DataFrame) -> list[str]:
    cases = _cases(table)
    if cases is None:
        return [str(line) for line in table.index]
    return [f"{line} ({case})" for line, case in zip(table.index, cases, strict=True)]


def _cases(table: pd.DataFrame) -> pd.Series | None:
    """Return the column that names the patients; None where there is none."""
    return next((table[column] for column in table.columns if normalized(column) == CASE), None)


def _missing(table: pd.DataFrame, needed: Sequence[str]) -> pd.DataFrame:
    blank = table[list(needed)].map(lambda value: isinstance(value, str) and not value.strip())
    return table[list(needed)].isna() | blank


def _missing_findings(missing: pd.DataFrame, rows: Sequence[str]) -> list[Finding]:
    """Return a warning for each column with missing values."""
    found = []
    for column in missing.columns:
        where = [rows[i] for i in np.flatnonzero(missing[column].to_numpy())]
        if where:
            message = f"{column!r} has no value in {named(where)}: left out, {len(where)} of {len(rows)} rows."
            found.append(warning("missing-values", message))
    return found


def _need_one_row_a_case(table: pd.DataFrame, rows: Sequence[str]) -> None:
    cases = _cases(table)
    if cases is not None:
        repeated = cases.notna() & cases.duplicated(keep=False)
        message = "A case is there more than once: {rows}; keep one row each."
        _refuse_where(repeated.to_numpy(), rows, "repeated-case", message)


def _refuse_where(bad: np.ndarray, rows: Sequence[str], code: str, message: str) -> None:
    if bad.any():
        raise InputRefusedError(refuse(code, message.replace("{rows}", named([rows[i] for i in np.flatnonzero(bad)]))))


def _score(table: pd.DataFrame, column: str, rows: Sequence[str], scheme: RiskScheme) -> Score:
    values = numbers(table, column)
    message = f"The score in {column!r} is negative in {{rows}}: it is 0 or more."
    _refuse_where(values < 0, rows, "negative-score", message)
    distinct, place = np.unique(values, return_inverse=True)
    return Score(column, values, np.array([scheme.index(value) for value in distinct])[place])


def _events(column: pd.Series, rows: Sequence[str]) -> np.ndarray:
    words = column.astype(str).str.strip().str.lower()
    _refuse_where(
        (~words.isin(YES | NO)).to_numpy(),
        rows,
        "event-not-binary",
        f"{column.name!r} is neither 0 nor 1 in {{rows}}; several kinds of events need one column each.",
    )
    return words.isin(YES).to_numpy()


def _covariates(table: pd.DataFrame, names: Sequence[str], rows: Sequence[str]) -> tuple[pd.DataFrame, list[Finding]]:
    """Return covariates as numbers, without those that are the same in every row."""
    pd = require("pandas")
    parts, findings = [], []
    for name in names:
        values = pd.to_numeric(table[name], errors="coerce")
        if values.notna().all():
            part = pd.Series(numbers(table, name), index=table.index).to_frame(name)
        elif values.isna().all():
            part = pd.get_dummies(table[name].astype(str), prefix=name, prefix_sep=": ", drop_first=True, dtype=float)
        else:
            numbers(table, name)  # words among numbers: refused, with the rows
            continue
        if not part.shape[1] or part.nunique().max() < 2:
            message = f"{name!r} is the same in all {len(rows)} rows; it is left out of the model."
            findings.append(warning("constant-covariate", message))
        else:
            parts.append(part)
    matrix = pd.concat(parts, axis=1) if parts else pd.DataFrame(index=table.index)
    return matrix.reset_index(drop=True), findings


def _doubts(patients: FollowUp) -> list[Finding]:
    """Return what casts doubt on statistics of these patients."""
    found = []
    if patients.n < FEW_PATIENTS:
        message = f"Only {patients.n} complete rows ({named(patients.rows)}): every interval is wide."
        found.append(warning("few-patients", message))
    if patients.scheme.name == "scct-2017":
        found.append(info("percentile-not-used", "Groups of scct-2017 are by the score alone, without the percentile."))
    for score in patients.scores:
        found += _doubts_on_categories(patients, score)
    return found


def _doubts_on_categories(patients: FollowUp, score: Score) -> list[Finding]:
    """Return what is wrong with the categories of a score: a single one, empty ones, ones without events."""
    present = patients.groups(score)
    absent = [name for i, name in enumerate(patients.scheme.groups) if not (score.category == i).any()]
    found = [info("empty-category", f"No patient has {score.name!r} in the category {name}.") for name in absent]
    if len(present) == 1:
        message = (
            f"All {patients.n} rows ({named(patients.rows)}) are in one category of {score.name!r}, {present[0][1]}: "
            "there is nothing to compare."
        )
        return [warning("one-category", message), *found]
    for i, name in present:
        inside = np.flatnonzero(score.category == i)
        if not patients.event[inside].any():
            message = (
                f"No event in the category {name} of {score.name!r} ({named([patients.rows[k] for k in inside])}): "
                "there are no hazard ratios; choose broader categories with --scheme."
            )
            found.append(warning("category-without-events", message))
    return found
