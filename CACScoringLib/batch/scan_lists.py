"""A CSV list of scans -> (scan, mask) a row, or one sentence that says why not."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from CACScoringLib.batch.scan_folders import VOLUME_ENDINGS
from CACScoringLib.cohort.tables import SEPARATORS, UTF_8, rows_named
from CACScoringLib.ct.plain_text import plain

LIST_COLUMNS = ("input", "path", "scan")
"""Names of the column with the scans in a CSV list, the first that is there; otherwise the first column."""
MASK_COLUMN = "mask"
LIKE_MASK = frozenset(("mask", "masks", "labels", "labelmap", "labelmaps", "seg", "segmentation", "segmentations"))
"""Words in the name of a column that most likely holds masks: it is not passed over."""
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")

Pair = tuple[str, "str | None"]
NumberedRow = tuple[int, list[str]]


class NoInputError(ValueError):
    """Nothing can be made of what the user named; the message says what and why."""


def read_list(path: Path, note: Callable[[str], None]) -> list[Pair]:
    """Return (scan, mask) from a CSV list; relative paths start at the list's folder.

    Parameters
    ----------
    path : Path
        Columns are separated by commas, semicolons, tabs or bars. The first row names them, or there is only one.
    note : callable
        Is given a sentence for what is not read.

    Raises
    ------
    NoInputError
        If the list cannot be read, or would be read otherwise than it is meant.
    """
    text = _text_of(path, note)
    rows, header = _rows(path, text)
    column = next((header.index(name) for name in LIST_COLUMNS if name in header), None)
    if column is None:
        return _without_header(path, text)
    _check_header(path, header, header[column], note)
    masks = header.index(MASK_COLUMN) if MASK_COLUMN in header else None
    pairs, without = [], []
    for number, cells in rows[1:]:
        if any(cells[len(header) :]):
            _refuse(path, f"has {len(cells)} cells in row {number}, its header {len(header)}: correct one of them")
        scan = cells[column] if len(cells) > column else ""
        mask = cells[masks] if masks is not None and len(cells) > masks else ""
        if scan:
            pairs.append((str(path.parent / scan), str(path.parent / mask) if mask else None))
        else:
            without.append(number)
    if not pairs:
        _refuse(path, f"names no scan: give one scan a row below the column {header[column]}")
    if without:
        note(f"The list '{path}' names no scan in {rows_named(without)}: left out.")
    return pairs


def looks_like_a_scan(text: str, folder: Path) -> bool:
    """Return whether a cell names a scan rather than a column: it exists, or is written as a path."""
    try:
        exists = bool(text) and (folder / text).exists()
    except (OSError, ValueError):
        exists = False
    return exists or "/" in text or "\\" in text or text.lower().endswith((*VOLUME_ENDINGS, ".dcm"))


def _text_of(path: Path, note: Callable[[str], None]) -> str:
    """Return the text of a list, read as the tables of ``cohort`` are: UTF-8, else Latin-1."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise NoInputError(f"The list '{path}' cannot be read ({error.strerror}): check its permissions.") from error
    if raw.startswith(_UTF_16) or b"\0" in raw:
        _refuse(path, "cannot be read as CSV: save it as CSV (UTF-8)")
    try:
        return raw.decode(UTF_8)
    except UnicodeDecodeError:
        note(f"The list '{path}' is not UTF-8; it was read as Latin-1.")
        return raw.decode("latin-1")


def _rows(path: Path, text: str) -> tuple[list[NumberedRow], list[str]]:
    """Return the rows, read with the separator under which the header names the scans, and the header."""
    read = [_split(path, text, separator) for separator in SEPARATORS]
    if not read[0]:
        _refuse(path, "is empty: give one scan a row")
    headers = [[cell.lower() for cell in rows[0][1]] for rows in read]
    known = next((i for i, header in enumerate(headers) if set(LIST_COLUMNS) & set(header)), None)
    best = max(range(len(read)), key=lambda i: len(headers[i])) if known is None else known
    return read[best], headers[best]


def _split(path: Path, text: str, separator: str) -> list[NumberedRow]:
    """Return (number, cells) of every row that is not empty; the first row is 1, as a spreadsheet counts."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise NoInputError(f"The list '{path}' cannot be read as CSV ({error}).") from error
    numbered = [(i, [cell.strip() for cell in row]) for i, row in enumerate(rows, start=1)]
    return [(i, cells) for i, cells in numbered if any(cells)]


def _without_header(path: Path, text: str) -> list[Pair]:
    """Return the scans of a list of one column whose first row is a scan; refuse any other."""
    rows = _split(path, text, ",")
    if not looks_like_a_scan(rows[0][1][0], path.parent):
        found = ", ".join(cell or "(no name)" for cell in _rows(path, text)[0][0][1][:8])
        wanted = f"{', '.join(LIST_COLUMNS[:-1])} or {LIST_COLUMNS[-1]}"
        _refuse(path, f"has no column named {wanted}, only {found}: name the column with the scans input")
    several = next((number for number, cells in rows if any(cells[1:])), None)
    if several is not None:
        _refuse(path, f"has several columns in row {several} and no header: name them in a first row, as input,mask")
    return [(str(path.parent / cells[0]), None) for _, cells in rows]


def _check_header(path: Path, header: Sequence[str], scans: str, note: Callable[[str], None]) -> None:
    """Refuse columns that are named twice or most likely hold masks; say which others are not read."""
    for name in (scans, MASK_COLUMN):
        if header.count(name) > 1:
            _refuse(path, f"has {header.count(name)} columns named {name}: keep one")
    others = [name for name in header if name and name not in (scans, MASK_COLUMN)]
    meant = [name for name in others if LIKE_MASK & set(re.findall(r"[^\W\d_]+", name))]
    if meant and MASK_COLUMN not in header:
        _refuse(path, f"has a column {meant[0]}, which is not read: name it mask, or otherwise if it holds no masks")
    if others:
        note(
            plain(f"Not read of the list '{path}': {'column' if len(others) == 1 else 'columns'} {', '.join(others)}.")
        )


def _refuse(path: Path, words: str) -> None:
    raise NoInputError(plain(f"The list '{path}' {words}."))
