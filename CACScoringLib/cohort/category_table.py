"""A confusion matrix from a file: rows are the reference, columns what was measured, both named."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from CACScoringLib.cohort.agreement_categories import CategoryAgreement, category_agreement
from CACScoringLib.cohort.tables import numbers, read_table
from CACScoringLib.findings import InputRefusedError, refuse


def read_category_table(path: str | Path, confidence: float = 0.95) -> CategoryAgreement:
    """Return the agreement that a table of counts shows.

    Parameters
    ----------
    path : str or Path
        CSV, Parquet or Excel. The first column names the reference's categories, the first row those measured, in
        the same rising order.

    Raises
    ------
    InputRefusedError
        ``category-table`` where it is no square table of counts, or what ``read_table`` refuses.
    """
    table = read_table(path)
    names, columns = [_name(value) for value in table.iloc[:, 0]], [str(c) for c in table.columns[1:]]
    if [name.casefold() for name in names] != [name.casefold() for name in columns]:
        message = f"'{Path(path).name}' does not name the same categories in the same order in its rows"
        listed = f"({', '.join(names[:8])}) and its columns ({', '.join(columns[:8])})"
        raise InputRefusedError(refuse("category-table", f"{message} {listed}: rows are the reference."))
    matrix = np.stack([numbers(table, column, "category-table") for column in table.columns[1:]], axis=1)
    return category_agreement(matrix, names, Path(path).stem, confidence)


def _name(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
