"""Which columns of a table are probably meant, for a person to correct."""

from __future__ import annotations

import re
from collections.abc import Sequence

from CACScoringLib.cohort.tables import normalized

TIME = ("time", "follow_up", "followup", "years", "months", "days", "tte", "survival_time")
EVENT = ("mace", "event", "death", "died", "status", "outcome", "mi", "censor")
SCORE = ("agatston", "agatston_total", "cac", "cacs", "calcium_score", "agatston_score", "total_agatston", "score")
UNITS = ("days", "weeks", "months", "years")


def guess_column(columns: Sequence[str], names: Sequence[str]) -> str:
    """Return the column that has one of some names, or a name that holds one as words; earlier names count first.

    Examples
    --------
    >>> guess_column(["case", "Follow-up (years)", "MACE"], TIME), guess_column(["id", "x"], EVENT)
    ('Follow-up (years)', '')
    """
    plain = {column: normalized(column) for column in columns}
    for name in names:
        for column, words in plain.items():
            if words == name:
                return column
    for name in names:
        for column, words in plain.items():
            if re.search(rf"(^|_){name}(_|$)", words):
                return column
    return ""


def guess_unit(column: str) -> str:
    """Return the unit that a column of times names; years where it names none.

    Examples
    --------
    >>> guess_unit("time_days"), guess_unit("follow-up"), guess_unit("Time (month)")
    ('days', 'years', 'months')
    """
    words = normalized(column).split("_")
    return next((unit for unit in UNITS if unit in words or unit[:-1] in words), "years")
