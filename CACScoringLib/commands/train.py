"""``cacscoring train``: arguments and work are those of ``training/train_commands.py``."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``train``."""
    from CACScoringLib.training.train_commands import add_train_arguments

    add_train_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Hand over to the training part."""
    from CACScoringLib.commands.device import usable_device
    from CACScoringLib.training.train_commands import run_train

    args.device = usable_device(args.device)
    return int(run_train(args) or 0)
