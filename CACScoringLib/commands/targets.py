"""Places that results are to be written to, looked at before anything is computed in vain."""

from __future__ import annotations

import os
from pathlib import Path

from CACScoringLib.commands.exit_codes import UsageError


def check_folder(folder: Path | None) -> None:
    """Refuse an output folder that cannot be made or written to; None is no output.

    Raises
    ------
    UsageError
    """
    if folder is not None:
        _check_writable(folder, f"The output folder '{folder}' cannot be made")


def check_file(path: Path | None, what: str = "table") -> None:
    """Refuse an output file that cannot be written; None is no output.

    Parameters
    ----------
    path : Path or None
    what : str
        What is written there, for the sentence.

    Raises
    ------
    UsageError
    """
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"The {what} '{path}' cannot be written: it is a folder.")
    _check_writable(path.parent, f"The {what} '{path}' cannot be written")


def _check_writable(folder: Path, refusal: str) -> None:
    """Refuse a folder that is not there and cannot be made, or that nothing can be written into."""
    nearest = next(each for each in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(each))
    if not nearest.is_dir():
        shown = next(each for each in (folder, *folder.parents) if each.absolute() == nearest)
        raise UsageError(f"{refusal}: '{shown}' is a file.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"{refusal}: nothing may be written into '{nearest}'.")
