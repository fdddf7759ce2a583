"""The scans that a command was given, and on the screen what was left out of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from CACScoringLib.batch.inputs import Case, NoInputError, find_cases
from CACScoringLib.commands.exit_codes import UsageError


def scans_named(inputs: Iterable[str], *, each_mask: bool = False, quiet: bool = False) -> list[Case]:
    """Return a case for each scan among the inputs of a command.

    Parameters
    ----------
    inputs : iterable of str
        As ``find_cases`` takes them.
    each_mask : bool
        Whether a scan that is listed with several masks is a case with each of them.
    quiet : bool
        Do not write to standard error what was left out.

    Raises
    ------
    UsageError
        If nothing can be made of an input.
    """
    notes: list[str] = []
    try:
        cases = find_cases(inputs, each_mask=each_mask, note=notes.append)
    except NoInputError as error:
        raise UsageError(str(error)) from error
    if not quiet:
        sys.stderr.writelines(f"Note: {sentence}\n" for sentence in notes)
    return cases
