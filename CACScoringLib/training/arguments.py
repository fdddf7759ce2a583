"""What the arguments of ``cacscoring train`` and ``cacscoring evaluate`` share."""

from __future__ import annotations

import argparse
from pathlib import Path

LAYOUTS = ("coca", "orcascore", "plain")
"""As in ``training/datasets``, which is read only when it is used."""
LARGEST_SEED = 2**32 - 1
"""What every generator of random numbers takes."""


def positive(text: str) -> int:
    """Return a whole number of at least 1 (argparse type)."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return value


def seed(text: str) -> int:
    """Return a seed: a whole number from 0 (argparse type)."""
    value = int(text)
    if not 0 <= value <= LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 to {LARGEST_SEED}")
    return value


def names(text: str) -> list[str]:
    """Return the names that commas separate, at least one (argparse type)."""
    out = [name.strip() for name in text.split(",") if name.strip()]
    if not out:
        raise argparse.ArgumentTypeError("it names nothing; separate names by commas")
    return out


def known_method(method: str) -> None:
    """Refuse a method that there is not, or that somebody else trained."""
    from CACScoringLib.methods.registry import METHODS, unknown_method

    if method not in METHODS:
        raise unknown_method(method)


def add_labelled_scans(parser: argparse.ArgumentParser, help_text: str) -> argparse._ArgumentGroup:
    """Add the arguments that say where labelled scans of one's own lie; return their group."""
    own = parser.add_argument_group("scans of your own")
    own.add_argument("--data", type=Path, metavar="FOLDER", help=help_text)
    own.add_argument("--layout", choices=LAYOUTS, help="how scans and labels lie in FOLDER")
    own.add_argument(
        "--label-map", type=Path, metavar="FILE", help="JSON that says what label values mean (layout plain)"
    )
    return own
