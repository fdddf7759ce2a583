"""Two score tables -> scores of the same cases, or one sentence that names the rows that are wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.cohort.tables import (
    find_column,
    normalized,
    numbers,
    rows_named,
    table_findings,
    table_name,
)
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse, warning
from CACScoringLib.vocabulary import CORONARY_LABELS

if TYPE_CHECKING:
    import pandas as pd

TOTAL = "total"
QUANTITIES: tuple[str, ...] = (TOTAL, *(label.name for label in CORONARY_LABELS))
"""What is compared: the total and each vessel."""
MEASURES: dict[str, str] = {"agatston": "", "volume_mm3": "mm³", "mass_mg": "mg"}
"""Scores by the name of their columns, with their unit."""
CASE_NAMES = ("case", "case_id", "id", "patient", "patient_id", "patientid", "subject", "subject_id", "scan_id", "name")
FEWEST = 3
"""With fewer complete cases nothing is reported."""
FEW = 30
"""Below this many cases a warning says that intervals are wide and those for large samples not to be relied on."""
_ALIASES = {
    "agatston": ("agatston", "agatston_score", "cac", "cacs", "cac_score", "calcium_score", "ca_score"),
    "volume_mm3": ("volume_mm3", "volume", "volume_score"),
    "mass_mg": ("mass_mg", "mass", "mass_score"),
}
BASIS = {"preset": "preset", "method": "method", "model": "model", "kvp": "kVp", "version": "CACScoring version"}
"""Columns of score tables that say what the scores rest on."""
MOST_VALUES = 4
"""So many different values of such a column are listed."""
_SIDES = {"reference": ("reviewed_", "reference_", "manual_"), "measured": ("automatic_", "measured_", "dl_")}
"""Beginnings of columns in tables that hold both sides; the CSV of a review has ``reviewed_`` and ``automatic_``."""


@dataclass(frozen=True, eq=False)
class ScorePairs:
    """Scores of the same cases, in the order of the reference.

    Attributes
    ----------
    cases : tuple of str
        Every case that both tables have.
    reference, measured : dict of str to ndarray of float, shape (cases,)
        By quantity (``QUANTITIES``); NaN where a score is missing.
    names : tuple of str
        What the two tables are called.
    columns : dict of str to tuple of str
        The columns that were compared, by quantity.
    measure : str
        ``agatston``, ``volume_mm3`` or ``mass_mg``.
    table : DataFrame
        The other columns of both tables, one row a case in the same order; those of the reference count first.
    findings : tuple of Finding
    basis : tuple of dict
        For each table, the values of the columns of ``BASIS`` in the matched rows.
    """

    cases: tuple[str, ...]
    reference: dict[str, np.ndarray]
    measured: dict[str, np.ndarray]
    names: tuple[str, str]
    columns: dict[str, tuple[str, str]]
    measure: str
    table: pd.DataFrame
    findings: tuple[Finding, ...]
    basis: tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]] = ({}, {})

    @property
    def quantities(self) -> tuple[str, ...]:
        """Return what both tables have, in the order of ``QUANTITIES``."""
        return tuple(name for name in QUANTITIES if name in self.reference)

    def complete(self, quantity: str) -> tuple[np.ndarray, np.ndarray]:
        """Return reference and measured scores of the cases that have both."""
        at = self.has(quantity)
        return self.reference[quantity][at], self.measured[quantity][at]

    def has(self, quantity: str) -> np.ndarray:
        """Return which cases have both scores of a quantity."""
        return np.isfinite(self.reference[quantity]) & np.isfinite(self.measured[quantity])


def pair_scores(
    reference: pd.DataFrame,
    measured: pd.DataFrame | None = None,
    *,
    case: Sequence[str] = (),
    columns: Mapping[str, tuple[str, str]] | None = None,
    measure: str = "agatston",
) -> ScorePairs:
    """Return the scores of the cases that two tables have in common.

    Parameters
    ----------
    reference, measured : DataFrame
        From ``read_table``. Without ``measured`` the one table holds both sides.
    case : sequence of str
        Columns that together name a case; found by their usual names when empty.
    columns : mapping of str to (str, str), optional
        Quantity -> column of the reference and of the measured table; found by their usual names when absent.
    measure : str
        Which scores: ``agatston``, ``volume_mm3`` or ``mass_mg``.

    Raises
    ------
    InputRefusedError
        Whenever a number would be wrong: repeated cases, negative scores, text instead of numbers, a table compared
        with itself, no case in common.
    """
    if measure not in MEASURES:
        raise _refused("unknown-measure", f"There is no score '{measure}'; choose one of {', '.join(MEASURES)}.")
    same = measured is None
    measured = reference if measured is None else measured
    names = (table_name(reference, "reference"), table_name(measured, "measured"))
    if names[0] == names[1]:
        names = (f"{names[0]} (reference)", f"{names[1]} (measured)")
    wanted = dict(columns) if columns else _recognized(reference, measured, measure)
    pairs = {q: (find_column(reference, a), find_column(measured, b)) for q, (a, b) in wanted.items()}
    for a, b in pairs.values():
        if same and a == b:
            where = f" of '{table_name(reference)}'" if "name" in reference.attrs else ""
            message = f"Column '{a}'{where} would be compared with itself: give a second table or --columns."
            raise _refused("compared-with-itself", message)
    keys, findings = _keys(reference, case), [*table_findings(reference)]
    other = keys if same else _keys(measured, case)
    if not same:
        findings += table_findings(measured)
    left, right, unmatched = _matched(keys, other, (reference, measured))
    findings += unmatched
    scores = [
        {q: _scores(side, ab[i], keys_of)[order] for q, ab in pairs.items()}
        for i, (side, keys_of, order) in enumerate(((reference, keys, left), (measured, other, right)))
    ]
    if measure == "agatston":
        findings += [info("columns", _columns_in_words(pairs, names))]
    findings += _missing(pairs, scores, (reference, measured), (keys, other), (left, right))
    cases = tuple(keys[i] for i in left)
    basis = (_basis(reference, left), _basis(measured, right))
    findings += _different_presets(names, basis)
    joined = _joined(reference, measured, left, right, same)
    return _checked(ScorePairs(cases, *scores, names, pairs, measure, joined, tuple(findings), basis))


def _checked(pairs: ScorePairs) -> ScorePairs:
    """Return the pairs with what their number allows to say; refused where nothing can be said."""
    most = max(pairs.quantities, key=lambda q: int(pairs.has(q).sum()))
    n = int(pairs.has(most).sum())
    if n < FEWEST:
        message = f"Only {n} case(s) have a score in both tables; agreement needs at least {FEWEST}."
        raise _refused("too-few-cases", message)
    found = []
    if n < FEW:
        at = np.flatnonzero(pairs.has(most))
        shown = rows_named([pairs.table.index[i] for i in at], [pairs.cases[i] for i in at])
        text = f"Only {n} cases have both scores ({shown}): intervals are wide, and those of kappa"
        found.append(warning("few-cases", f"{text} rest on a large-sample formula."))
    if TOTAL not in pairs.reference:
        found.append(warning("no-total", "There is no column with the total score: no risk category is compared."))
    for quantity in pairs.quantities:
        a, b = pairs.complete(quantity)
        if len(a) < FEWEST:
            found.append(warning("too-few-scores", f"Only {len(a)} cases have both scores of {quantity}: left out."))
        elif a.min() == a.max() and b.min() == b.max():
            rows = f"all {len(a)} cases are {a[0]:g} by the reference and {b[0]:g} measured"
            found.append(warning("no-variation", f"{quantity}: {rows}; an intraclass correlation is not defined."))
        elif a.min() == a.max():
            rows = f"the reference is {a[0]:g} in all {len(a)} cases"
            found.append(warning("no-variation", f"{quantity}: {rows}; correlations mean nothing here."))
    return ScorePairs(**{**vars(pairs), "findings": (*pairs.findings, *_identical(pairs), *found)})


def _identical(pairs: ScorePairs) -> list[Finding]:
    """Return a warning where all scores that vary are the same on both sides: one measurement, not two."""
    both = [pairs.complete(quantity) for quantity in pairs.quantities]
    if not all(np.array_equal(a, b) for a, b in both) or not any(len(a) and a.min() < a.max() for a, _ in both):
        return []
    a, b = (f"'{name}'" for name in pairs.names)
    text = f"Every score of {a} is the same in {b}: check that these are two measurements and not one."
    return [warning("identical-scores", text)]


def _recognized(reference: pd.DataFrame, measured: pd.DataFrame, measure: str) -> dict[str, tuple[str, str]]:
    """Return the columns by quantity that both tables have under one of their usual names."""
    sides = [_columns(reference, "reference", measure), _columns(measured, "measured", measure)]
    both = {q: (sides[0][q], sides[1][q]) for q in QUANTITIES if q in sides[0] and q in sides[1]}
    if not both:
        lacking = (reference, measured)[0 if not sides[0] else 1]
        shown = ", ".join(map(str, lacking.columns[:20])) + (" ..." if len(lacking.columns) > 20 else "")
        message = f"No score was recognised in '{table_name(lacking)}' (its columns: {shown}): name them with --columns"
        raise _refused("no-score-columns", f"{message} total=REFERENCE:MEASURED.")
    return both


def _columns(table: pd.DataFrame, side: str, measure: str) -> dict[str, str]:
    """Return column by quantity; columns that begin with the name of the side count before those without."""
    by_name: dict[str, list[str]] = {}
    for column in table.columns:
        by_name.setdefault(normalized(column), []).append(column)
    found = {}
    for begin in (*_SIDES[side], ""):
        for quantity in QUANTITIES:
            candidates = [c for name in _usual_names(quantity, measure) for c in by_name.get(begin + name, ())]
            if candidates and quantity not in found:
                if len(set(candidates)) > 1:
                    message = f"'{table_name(table)}' has several columns for {quantity}: {', '.join(candidates)}"
                    raise _refused("columns-ambiguous", f"{message}; say which one with --columns.")
                found[quantity] = candidates[0]
        if found:
            return found  # never one quantity from the reader and another from the network
    return found


def _usual_names(quantity: str, measure: str) -> list[str]:
    """Return names under which tables have a score, as ``normalized`` writes them."""
    words = _ALIASES[measure]
    if quantity == TOTAL:
        return [*words, *(f"{word}_total" for word in words), *(f"total_{word}" for word in words)]
    vessel = quantity.lower()
    bare = [vessel] if measure == "agatston" else []
    return [*(f"{word}_{vessel}" for word in words), *(f"{vessel}_{word}" for word in words), *bare]


def _keys(table: pd.DataFrame, case: Sequence[str]) -> list[str]:
    """Return the name of the case of each row.

    Raises
    ------
    InputRefusedError
        ``case-column``, ``missing-case`` or ``repeated-case``; the rows are named.
    """
    if case:
        columns = [find_column(table, name) for name in case]
    else:
        by_name = {normalized(column): column for column in reversed(table.columns)}
        columns = [by_name[name] for name in CASE_NAMES if name in by_name][:1]
        if not columns:
            message = f"No column of '{table_name(table)}' names the case (such as 'case' or 'id')"
            raise _refused("case-column", f"{message}: say which one with --case COLUMN.")
    gone = table[columns].isna().any(axis=1).to_numpy()
    if gone.any():
        where = rows_named(list(table.index[gone]))
        raise _refused("missing-case", f"'{table_name(table)}' names no case in {where}: give each row its case.")
    keys = [" ".join(map(_key, row)) for row in zip(*(table[column] for column in columns), strict=True)]
    seen: dict[str, int] = {}
    repeated = [i for i, key in enumerate(keys) if seen.setdefault(key, i) != i]
    if repeated:
        first = {keys[i] for i in repeated}
        at = [i for i, key in enumerate(keys) if key in first]
        where = rows_named([table.index[i] for i in at], [keys[i] for i in at])
        message = f"'{table_name(table)}' has more than one row of the same case, {where}: keep one each, or name"
        raise _refused("repeated-case", f"{message} a second column that tells them apart with --case.")
    return keys


def _key(value: object) -> str:
    """Return a case as text; Excel writes the case 7 as 7.0."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _matched(
    keys: list[str], other: list[str], tables: tuple[pd.DataFrame, pd.DataFrame]
) -> tuple[np.ndarray, np.ndarray, list[Finding]]:
    """Return the places of the cases that both have, and who is alone."""
    place = {key: i for i, key in enumerate(other)}
    left = np.array([i for i, key in enumerate(keys) if key in place], dtype=int)
    right = np.array([place[keys[i]] for i in left], dtype=int)
    if not len(left):
        a, b = (f"'{own[0]}' in '{table_name(t)}'" for own, t in zip((keys, other), tables, strict=True))
        raise _refused("no-common-case", f"No case is in both tables (such as {a} and {b}): check --case.")
    known = set(keys)
    alone = [i for i, key in enumerate(keys) if key not in place], [i for i, k in enumerate(other) if k not in known]
    found = []
    for at, own, table in zip(alone, (keys, other), tables, strict=True):
        if at:
            where = rows_named([table.index[i] for i in at], [own[i] for i in at])
            text = (
                f"{len(at)} of {len(own)} cases of '{table_name(table)}' are not in the other table and were left out"
            )
            found.append(warning("unmatched-case", f"{text}: {where}."))
    return left, right, found


def _scores(table: pd.DataFrame, column: str, keys: list[str]) -> np.ndarray:
    """Return a column of scores; refused where one is negative."""
    values = numbers(table, column, "score-not-a-number")
    negative = np.flatnonzero(values < 0)
    if len(negative):
        where = rows_named([table.index[i] for i in negative], [keys[i] for i in negative])
        message = f"Column '{column}' of '{table_name(table)}' has negative scores in {where}: scores are 0 or more"
        raise _refused("negative-score", f"{message}; correct them, or leave them empty if -1 means missing.")
    return values


def _missing(
    pairs: Mapping[str, tuple[str, str]],
    scores: Sequence[Mapping[str, np.ndarray]],
    tables: tuple[pd.DataFrame, pd.DataFrame],
    keys: tuple[list[str], list[str]],
    orders: tuple[np.ndarray, np.ndarray],
) -> list[Finding]:
    """Return whose scores are missing; columns in which the same rows are empty are named together."""
    found = []
    for side, (values, table, own, order) in enumerate(zip(scores, tables, keys, orders, strict=True)):
        empty: dict[tuple[int, ...], list[str]] = {}
        for quantity, column in pairs.items():
            at = tuple(int(i) for i in np.flatnonzero(np.isnan(values[quantity])))
            if at:
                empty.setdefault(at, []).append(column[side])
        for at, columns in empty.items():
            where = rows_named([table.index[order[i]] for i in at], [own[order[i]] for i in at])
            text = f"No value of {', '.join(columns)} in '{table_name(table)}' for {len(at)} matched case(s)"
            found.append(warning("missing-score", f"{text}, left out there: {where}."))
    return found


def _columns_in_words(pairs: Mapping[str, tuple[str, str]], names: tuple[str, str]) -> str:
    listed = ", ".join(a if a == b else f"{a} : {b}" for a, b in pairs.values())
    return f"Compared columns ({names[0]} : {names[1]}): {listed}."


def _basis(table: pd.DataFrame, order: np.ndarray) -> dict[str, tuple[str, ...]]:
    """Return what the scores of a table rest on."""
    said = {}
    for column in BASIS:
        if column in table.columns:
            values = sorted({_key(value) for value in table[column].iloc[order].dropna()})
            more = (f"{len(values) - MOST_VALUES} more",) if len(values) > MOST_VALUES else ()
            if values:
                said[column] = (*values[:MOST_VALUES], *more)
    return said


def _different_presets(names: tuple[str, str], basis: Sequence[Mapping[str, tuple[str, ...]]]) -> list[Finding]:
    """Return a warning where scores rest on different rules: they differ for that reason alone."""
    presets = [side.get("preset", ()) for side in basis]
    if not all(presets) or (presets[0] == presets[1] and len(presets[0]) == 1):
        return []
    said = " and ".join(f"{', '.join(own)} in '{name}'" for own, name in zip(presets, names, strict=True))
    return [
        warning("different-presets", f"Scores rest on different presets ({said}): part of the differences is theirs.")
    ]


def _joined(
    reference: pd.DataFrame, measured: pd.DataFrame, left: np.ndarray, right: np.ndarray, same: bool
) -> pd.DataFrame:
    """Return the columns of both tables, one row a case; those of the reference count first."""
    joined = reference.iloc[left].reset_index(drop=True)
    names = [table_name(reference)]
    if not same:
        more = measured.iloc[right].reset_index(drop=True)
        joined = joined.join(more[[column for column in more.columns if column not in joined.columns]])
        names += [table_name(measured)] if table_name(measured) not in names else []
    joined.attrs = {"name": " and ".join(names)}
    joined.index = reference.index[left]
    return joined


def _refused(code: str, message: str) -> InputRefusedError:
    return InputRefusedError(refuse(code, message))
