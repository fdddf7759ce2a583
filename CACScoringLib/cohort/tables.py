"""A table of many patients from a CSV, Parquet or Excel file, as it stands: nothing is guessed, nothing is dropped."""

from __future__ import annotations

import csv
import re
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CACScoringLib.cohort.extras import require
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 2**30
"""Files above this size are refused, and Excel files that unpack to more: 100,000 patients take a tenth of it."""
SEPARATORS = ",;\t|"
UTF_8 = "utf-8-sig"
HEADER_BYTES = 2**20
"""The first line of a text is not longer."""
MISSING = frozenset(("", "-", "--", "na", "n/a", "#n/a", "nan", "null", "none", "nat", "."))
"""What people write where a value is missing, in lower case."""
NAMED_ROWS = 8
"""So many rows are named in a message; of the others there is the number."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_IDENTIFIER = re.compile(r"0\d|\d{16}")
"""Leading zeros, or more digits than a number keeps: names, not numbers."""


def read_table(path: str | Path) -> pd.DataFrame:
    """Return the table in a file.

    Parameters
    ----------
    path : str or Path
        ``.csv``, ``.tsv`` or ``.txt`` (comma, semicolon, tab or bar; UTF-8, else Latin-1), ``.parquet``, or ``.xlsx``
        (its first sheet). The first row names the columns.

    Returns
    -------
    DataFrame
        Its index is the row in the file as a spreadsheet counts it (the header is row 1). Columns in which all is
        numbers are numbers; others, and numbers with leading zeros, stay text. Missing values are NaN or None. What
        was noticed is in ``attrs["findings"]``, the file's name in ``attrs["name"]``.

    Raises
    ------
    InputRefusedError
        ``table-not-found``, ``table-format``, ``table-unreadable``, ``table-too-large``, ``table-columns`` or
        ``table-empty``.
    """
    require("pandas")
    path = Path(path)
    if not path.is_file():
        raise _refused("not-found", f"There is no table '{path}': give a CSV, Parquet or Excel file.")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise _refused("format", f"'{path.name}' is no table that can be read: save it as .csv, .parquet or .xlsx.")
    if path.stat().st_size > MAX_BYTES:
        raise _refused("too-large", f"The table '{path.name}' has more than {MAX_BYTES >> 20} MiB: split it.")
    findings: list[Finding] = []
    try:
        table = reader(path, findings)
    except InputRefusedError:
        raise
    except Exception as error:  # whatever a damaged file makes a reader of foreign formats raise
        words = " ".join(str(error).split())[:120]
        raise _refused("unreadable", f"The table '{path.name}' could not be read ({words}): save it anew.") from error
    _check_columns(table, path)
    table = table.dropna(how="all")
    if not len(table):
        raise _refused("empty", f"The table '{path.name}' has no rows below its header: give one case a row.")
    table.attrs.update(name=path.name, findings=findings)
    return table


def read_second_table(path: str | Path | None, first: str | Path) -> pd.DataFrame | None:
    """Return the table that is compared with a first one; None where there is none, or it is the same file.

    A file that is named twice holds both sides, as one that is named alone: it is never compared with itself.
    """
    if not path or Path(path).resolve() == Path(first).resolve():
        return None
    return read_table(path)


def table_columns(path: str | Path) -> list[str]:
    """Return the names of a table's columns without reading the rest; empty where that cannot be told.

    A file that cannot be read is refused with its reason by :func:`read_table`, not here.
    """
    path = Path(path)
    reader = _NAMES.get(path.suffix.lower())
    if reader is None or not path.is_file() or path.stat().st_size > MAX_BYTES:
        return []
    try:
        names = reader(path)
    except Exception:  # a missing package, or whatever a damaged file makes a reader of foreign formats raise
        return []
    return [name.strip() for name in names if name.strip() and not name.startswith("__index_level_")]


def table_findings(table: pd.DataFrame) -> tuple[Finding, ...]:
    """Return what was noticed while a table was read."""
    return tuple(table.attrs.get("findings", ()))


def table_name(table: pd.DataFrame, otherwise: str = "table") -> str:
    """Return the name of the file a table comes from."""
    return str(table.attrs.get("name", otherwise))


def rows_named(rows: Sequence[Any], cases: Sequence[Any] | None = None) -> str:
    """Return rows in words, at most ``NAMED_ROWS`` of them.

    >>> rows_named([2, 5], ["a", "b"])
    'rows 2 (a), 5 (b)'
    >>> rows_named(range(2, 13))
    'rows 2, 3, 4, 5, 6, 7, 8, 9 and 3 more'
    """
    words = [str(row) if cases is None else f"{row} ({case})" for row, case in zip(rows, cases or rows, strict=True)]
    more = f" and {len(words) - NAMED_ROWS} more" if len(words) > NAMED_ROWS else ""
    return f"{'row' if len(words) == 1 else 'rows'} {', '.join(words[:NAMED_ROWS])}{more}"


def numbers(table: pd.DataFrame, column: str, code: str = "not-a-number") -> np.ndarray:
    """Return a column as numbers, NaN where the value is missing.

    Raises
    ------
    InputRefusedError
        If there is text or infinity in it; the rows are named.
    """
    pd = require("pandas")
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    given = table[column].notna().to_numpy()
    wrong = (given & np.isnan(values)) | np.isinf(values)
    if wrong.any():
        where = rows_named(list(table.index[wrong]), [str(value)[:24] for value in table[column][wrong]])
        message = f"Column '{column}' of '{table_name(table)}' holds something that is no number in {where}"
        raise InputRefusedError(refuse(code, f"{message}: correct it or leave it empty."))
    return values


def normalized(name: object) -> str:
    """Return a column's name as names are compared: lower case, words joined by one underscore.

    >>> normalized(" Agatston LM "), normalized("CAC-Score")
    ('agatston_lm', 'cac_score')
    """
    return re.sub(r"[^0-9a-z]+", "_", str(name).strip().lower()).strip("_")


def find_column(table: pd.DataFrame, name: str) -> str:
    """Return the column of a name, however it is written.

    Raises
    ------
    InputRefusedError
        ``column-not-found`` or ``column-ambiguous``.
    """
    if name in table.columns:
        return name
    found = [column for column in table.columns if normalized(column) == normalized(name)]
    if len(found) == 1:
        return found[0]
    if found:
        named = ", ".join(f"'{column}'" for column in found)
        raise InputRefusedError(refuse("column-ambiguous", f"'{name}' may be {named}: write it as the table does."))
    known = ", ".join(map(str, table.columns[:20])) + (" ..." if len(table.columns) > 20 else "")
    message = f"There is no column '{name}' in '{table_name(table)}'; it has {known}."
    raise InputRefusedError(refuse("column-not-found", message))


def _read_text(path: Path, findings: list[Finding]) -> pd.DataFrame:
    """Read a CSV: everything as text first, so that no case loses its leading zeros."""
    pd = require("pandas")
    raw = path.read_bytes()
    encoding = _encoding(raw)
    if encoding != UTF_8:
        findings.append(info("table-encoding", f"'{path.name}' is not UTF-8; it was read as Latin-1."))
    names, separator = _header(raw, encoding)
    _check_names(names, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows with more cells than the header, not cut off
        table = pd.read_csv(
            path,
            sep=separator,
            encoding=encoding,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            index_col=False,
        )
    table.index = range(2, len(table) + 2)
    table.columns = [str(name).strip() for name in table.columns]
    for column in table.columns:
        table[column] = _typed(table[column], separator == ";")
    return table


def _encoding(raw: bytes) -> str:
    try:
        raw.decode(UTF_8)
    except UnicodeDecodeError:
        return "latin-1"
    return UTF_8


def _header(raw: bytes, encoding: str) -> tuple[list[str], str]:
    """Return the names in the first line, and what separates them."""
    header = raw[:HEADER_BYTES].decode(encoding, errors="replace").split("\n", 1)[0]
    separator = max(SEPARATORS, key=header.count) if any(mark in header for mark in SEPARATORS) else ","
    return next(csv.reader([header.rstrip("\r")], delimiter=separator), []), separator


def _text_names(path: Path) -> list[str]:
    with path.open("rb") as file:
        return _header(file.read(HEADER_BYTES), UTF_8)[0]


def _excel_names(path: Path) -> list[str]:
    book = require("openpyxl").load_workbook(path, read_only=True)
    try:
        first = next(book.worksheets[0].iter_rows(max_row=1, values_only=True), ())
    finally:
        book.close()
    return ["" if name is None else str(name) for name in first]


def _parquet_names(path: Path) -> list[str]:
    return list(require("pyarrow.parquet").read_schema(path).names)


def _typed(column: pd.Series, decimal_comma: bool) -> pd.Series:
    """Return a column of text as numbers where all of it is numbers."""
    pd = require("pandas")
    codes, values = pd.factorize(column.fillna("").str.strip())  # each different text is looked at once
    texts = [None if str(value).lower() in MISSING else str(value) for value in values]
    given = [text for text in texts if text is not None]
    plain = (lambda text: text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text) if decimal_comma else str
    if (
        given
        and all(_NUMBER.fullmatch(plain(text)) for text in given)
        and not any(_IDENTIFIER.match(text) for text in given)
    ):
        parsed = np.array([np.nan if text is None else float(plain(text)) for text in texts])
        return pd.Series(parsed[codes], index=column.index)
    return pd.Series(np.array(texts, dtype=object)[codes], index=column.index, dtype=object)


def _read_excel(path: Path, findings: list[Finding]) -> pd.DataFrame:
    pd = require("pandas")
    require("openpyxl")
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
            raise _refused("too-large", f"'{path.name}' unpacks to more than {MAX_BYTES >> 20} MiB: split it.")
    with pd.ExcelFile(path, engine="openpyxl") as book:
        if len(book.sheet_names) > 1:
            others = ", ".join(f"'{name}'" for name in book.sheet_names[1:5])
            text = f"'{path.name}' has {len(book.sheet_names)} sheets; the first, '{book.sheet_names[0]}', was read"
            findings.append(info("table-sheets", f"{text} and not {others}."))
        whole = book.parse(0, header=None, keep_default_na=False, na_values=[""])
    if not len(whole):
        raise _refused("empty", f"The first sheet of '{path.name}' is empty: put the table there.")
    names = ["" if pd.isna(name) else str(name).strip() for name in whole.iloc[0]]
    _check_names(names, path)
    table = whole.iloc[1:].copy()
    table.columns = names
    table.index = range(2, len(table) + 2)
    return _without_words_for_missing(table)


def _read_parquet(path: Path, findings: list[Finding]) -> pd.DataFrame:
    pd = require("pandas")
    parquet = require("pyarrow.parquet")
    with parquet.ParquetFile(path) as file:
        if sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups)) > MAX_BYTES:
            raise _refused("too-large", f"'{path.name}' unpacks to more than {MAX_BYTES >> 20} MiB: split it.")
        names = file.schema_arrow.names
    _check_names([name for name in names if not name.startswith("__index_level_")], path)
    table = pd.read_parquet(path, engine="pyarrow")
    if table.index.name is not None:
        table = table.reset_index()
    table.columns = [str(name).strip() for name in table.columns]
    table.index = range(2, len(table) + 2)
    return _without_words_for_missing(table)


def _without_words_for_missing(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which words for missing values are missing, and columns of numbers are numbers."""
    pd = require("pandas")
    for column in table.columns:
        if table[column].dtype != object:
            continue
        missing = table[column].map(lambda value: isinstance(value, str) and value.strip().lower() in MISSING)
        values = table[column].mask(missing.astype(bool), None)
        kinds = {type(value) for value in values.dropna()}
        if kinds and all(issubclass(kind, (int, float, np.number)) and kind is not bool for kind in kinds):
            values = pd.to_numeric(values)
        table[column] = values
    return table


_READERS: dict[str, Callable[[Path, list[Finding]], Any]] = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), _read_text),
    **dict.fromkeys((".xlsx", ".xlsm"), _read_excel),
    **dict.fromkeys((".parquet", ".pq"), _read_parquet),
}
_NAMES: dict[str, Callable[[Path], list[str]]] = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), _text_names),
    **dict.fromkeys((".xlsx", ".xlsm"), _excel_names),
    **dict.fromkeys((".parquet", ".pq"), _parquet_names),
}


def _check_names(names: Sequence[str], path: Path) -> None:
    """Refuse a header that names a column twice, before a reader renames it."""
    names = [str(name).strip() for name in names]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise _refused("columns", f"'{path.name}' has several columns named {', '.join(twice[:5])}: keep one each.")


def _check_columns(table: pd.DataFrame, path: Path) -> None:
    if not len(table.columns) or all(_NUMBER.fullmatch(str(name)) for name in table.columns):
        raise _refused("columns", f"The first row of '{path.name}' does not name its columns: add a header.")


def _refused(code: str, message: str) -> InputRefusedError:
    return InputRefusedError(refuse(f"table-{code}", message))
