"""``cacscoring evaluate``: arguments and work are those of ``training/evaluate_commands.py``."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``evaluate``."""
    from CACScoringLib.training.evaluate_commands import add_evaluate_arguments

    add_evaluate_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Hand over to the training part."""
    from CACScoringLib.training.evaluate_commands import run_evaluate

    return int(run_evaluate(args) or 0)
