"""What the arguments of ``cacscoring train`` and ``cacscoring evaluate`` share."""

from __future__ import annotations

import argparse

LAYOUTS = ("coca", "orcascore", "plain")
"""As in ``training/datasets``, which is read only when it is used."""


def positive(text: str) -> int:
    """Return a whole number of at least 1 (argparse type)."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return value


def names(text: str) -> list[str]:
    """Return the names that commas separate, at least one (argparse type)."""
    out = [name.strip() for name in text.split(",") if name.strip()]
    if not out:
        raise argparse.ArgumentTypeError("it names nothing; separate names by commas")
    return out


def known_method(method: str) -> None:
    """Refuse a method that there is not."""
    from CACScoringLib.methods.registry import METHODS
    from CACScoringLib.models import ModelError

    if method not in METHODS:
        raise ModelError(f"There is no method '{method}': choose one of {', '.join(METHODS)}.")
