"""Text out of files -> text that is safe to print: one line, no control characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from CACScoringLib.findings import Finding, InputRefusedError

_LONGEST = 800
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def plain(text: str, longest: int = _LONGEST) -> str:
    r"""Return ``text`` on one line, without terminal or direction control characters, cut if endless.

    Examples
    --------
    >>> plain("LAD\x1b[31m\nred")
    'LAD [31m red'
    """
    cleaned = _CONTROL.sub(" ", text).encode("utf-8", "replace").decode("utf-8").strip()
    return cleaned if len(cleaned) <= longest else cleaned[: longest - 4] + " ..."


def plain_finding(finding: Finding) -> Finding:
    """Return a finding whose message is safe to print, whatever names from files are in it."""
    return replace(finding, message=plain(finding.message))


@contextmanager
def plain_refusals() -> Iterator[None]:
    """Make the message of a refusal raised inside safe to print."""
    try:
        yield
    except InputRefusedError as error:
        cleaned = plain_finding(error.finding)
        if cleaned == error.finding:
            raise
        raise InputRefusedError(cleaned) from error
