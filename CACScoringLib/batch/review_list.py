"""What the reader names as work -> one case a scan, or one clear sentence: a folder, a list, or a finished batch."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from CACScoringLib.batch.inputs import Case, NoInputError, find_cases
from CACScoringLib.batch.scan_lists import LIST_COLUMNS, looks_like_a_scan
from CACScoringLib.batch.table import RESULTS, read_rows
from CACScoringLib.findings import InputRefusedError, refuse

SEGMENTATION = "segmentation.seg.nrrd"
"""The labels in the output folder of each scan of a batch."""
MAX_LIST_BYTES = 64 * 2**20
"""Lists above this size are refused: a hundred thousand scans take a tenth of it."""
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def review_cases(source: str | Path) -> list[Case]:
    """Return the scans to review, in order.

    Parameters
    ----------
    source : str or Path
        A folder of scans; a CSV list as ``cacscoring batch`` takes it (a column ``input`` and perhaps ``mask``);
        the output folder of a batch or its ``results.csv``, whose segmentations are then reviewed; or one scan.

    Returns
    -------
    list of Case
        A scan that is missing or damaged is among them: opening it says so.

    Raises
    ------
    InputRefusedError
        ``work-list-not-found``, ``work-list-unreadable``, ``work-list-columns`` or ``work-list-empty``.
    """
    path = Path(source)
    if not path.exists():
        raise _refused("not-found", f"There is no folder or list '{path}': choose one that is there.")
    batch = _batch_table(path)
    if batch is not None:
        return batch
    if path.is_dir() and not any(files for _, _, files in os.walk(path)):
        raise _refused("empty", f"The folder '{path}' holds no files: choose the folder with the scans.")
    if path.is_file() and path.suffix.lower() == ".csv":
        _check_list(path)
    try:
        cases = find_cases([str(path)], each_mask=True)
    except NoInputError as error:
        raise _refused("unreadable", str(error)) from error
    except (OSError, ValueError) as error:  # such as a name that no file system takes
        raise _refused("unreadable", f"'{path}' names something that is no path ({error}): correct it.") from error
    if not cases:
        raise _refused("empty", f"The list '{path}' names no scan: give one scan a row.")
    return cases


def review_folder(source: str | Path) -> Path:
    """Return where the review of a folder, list or batch is kept unless the reader says otherwise.

    A batch is reviewed in its own folder; else it is a folder beside what is reviewed.
    """
    path = Path(source).absolute()
    if _batch_table(path) is not None:
        return path if path.is_dir() else path.parent
    return path.with_name(f"{path.name if path.is_dir() else path.stem}-review")


def _batch_table(path: Path) -> list[Case] | None:
    """Return the scans of a finished batch with its segmentations, or None where there is no such table."""
    table = path / RESULTS if path.is_dir() else path
    if table.suffix.lower() != ".csv" or not table.is_file() or table.stat().st_size > MAX_LIST_BYTES:
        return None
    try:
        rows = read_rows(table)
    except csv.Error:
        return None
    cases = []
    for row in rows:
        labels = table.parent / row["case"] / SEGMENTATION
        inside = table.parent.resolve() in labels.resolve().parents
        mask = str(labels) if inside and labels.is_file() else None
        cases.append(Case(row["case"], _scan_of(row["input"], table.parent), mask))
    return cases or None


def _scan_of(text: str, folder: Path) -> str:
    """Return where a batch's scan lies: its table names it as the user did, from where the batch was started."""
    beside = folder / text
    return str(beside if beside.exists() else Path(text).absolute())


def _check_list(path: Path) -> None:
    """Refuse a list whose columns cannot be understood."""
    rows = _rows(path)
    header = [cell.strip().lower() for cell in rows[0]]
    named = [name for name in LIST_COLUMNS if name in header]
    if not named:
        if not looks_like_a_scan(rows[0][0].strip(), path.parent):
            raise _refused("columns", _no_column(path.name, header))
        return  # a list without a header: the first column names the scans
    for name in (named[0], "mask"):
        if header.count(name) > 1:
            message = f"The list '{path.name}' has {header.count(name)} columns named {name}: keep one."
            raise _refused("columns", message)
    for number, row in enumerate(rows[1:], start=2):
        if any(cell.strip() for cell in row[len(header) :]):
            message = (
                f"Row {number} of the list '{path.name}' has {len(row)} cells, its header {len(header)}: "
                "put names that hold a comma in quotes."
            )
            raise _refused("columns", message)


def _rows(path: Path) -> list[list[str]]:
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise _refused("unreadable", f"The list '{path.name}' is larger than any list of scans: choose another.")
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except UnicodeDecodeError as error:
        message = f"The list '{path.name}' is not text in UTF-8: save it as CSV (UTF-8) again."
        raise _refused("unreadable", message) from error
    except (OSError, csv.Error) as error:
        raise _refused("unreadable", f"The list '{path.name}' cannot be read as CSV ({error}).") from error
    if not rows:
        raise _refused("empty", f"The list '{path.name}' is empty: give one scan a row.")
    return rows


def _no_column(name: str, header: list[str]) -> str:
    for separator, word in _OTHER_SEPARATORS.items():
        if set(LIST_COLUMNS) & {cell.strip(' "') for cell in ",".join(header).split(separator)}:
            return f"The columns of the list '{name}' are separated by {word}: save it with commas."
    found = ", ".join(cell or "(no name)" for cell in header[:8])
    wanted = f"{', '.join(LIST_COLUMNS[:-1])} or {LIST_COLUMNS[-1]}"
    return f"The list '{name}' has no column named {wanted}, only {found}: name the column with the scans input."


def _refused(code: str, message: str) -> InputRefusedError:
    from CACScoringLib.ct.plain_text import plain

    return InputRefusedError(refuse(f"work-list-{code}", plain(message)))
