"""``cacscoring cohort``: what is done with many patients."""

from __future__ import annotations

import argparse
from importlib import import_module
from types import ModuleType

ACTIONS: dict[str, tuple[str, str]] = {
    "agreement": (
        "CACScoringLib.commands.cohort_agreement",
        "compare two score tables: ICC, kappa, Bland-Altman, reclassification",
    ),
    "outcomes": (
        "CACScoringLib.commands.cohort_outcomes",
        "scores and events: Kaplan-Meier, Cox, reclassification, progression",
    ),
    "noise": ("CACScoringLib.commands.cohort_noise", "measure the image noise in the left ventricle of scans"),
}
"""What can be done: the module that does it, and in short."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``cohort``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (_, summary) in ACTIONS.items():
        action = actions.add_parser(name, help=summary, description=f"{summary[:1].upper()}{summary[1:]}.")
        _module(name).add_arguments(action)
        action.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Do what was asked for."""
    return int(_module(args.action).run(args) or 0)


def _module(action: str) -> ModuleType:
    return import_module(ACTIONS[action][0])
