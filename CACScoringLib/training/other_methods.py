"""``cacscoring train`` of the methods beside ``multibranch-unet``: which function trains each, and its progress."""

from __future__ import annotations

import argparse
from collections.abc import Callable

STEPS = {"convlstm": 3000, "slice-regression": 2400, "six-class": 6000}
"""Default optimiser steps of each method."""
DEVICE_OPTIONS = ("seed", "workers", "device", "cache")


def run_train_other(args: argparse.Namespace) -> int:
    """Train one of ``STEPS`` on synthetic patients and write its bundle; returns the exit status."""
    from CACScoringLib.training.commands import PATIENTS, progress_display

    with progress_display() as progress:
        tasks: dict[str, int] = {}

        def tell(text: str, done: int, total: int) -> None:
            what = text.split(" (")[0].split(":")[0]
            if what.startswith("generated"):
                what, text = "generated", f"Generating {text.removeprefix('generated ')}"
            if what not in tasks:
                tasks[what] = progress.add_task(text, total=total)
            progress.update(tasks[what], completed=done, description=text)

        _train(args, args.patients or PATIENTS, tell)
    return 0


def _train(args: argparse.Namespace, patients: int, tell: Callable[[str, int, int], None]) -> None:
    common = {name: getattr(args, name) for name in DEVICE_OPTIONS} | {"resume": not args.no_resume}
    steps = args.steps or STEPS[args.method]
    if args.method == "convlstm":
        from CACScoringLib.training.convlstm_training import train_convlstm

        kept_back = args.validation_patients
        train_convlstm(args.output, patients, steps, validation_patients=kept_back, report=tell, **common)
    elif args.method == "slice-regression":
        from CACScoringLib.training.slice_regression import train_slice_regression

        train_slice_regression(args.output, patients, steps, experiment=args.experiment, tick=tell, **common)
    elif args.folds is not None:
        from CACScoringLib.training.six_class_folds import run_folds

        run_folds(args.output, patients, steps, args.folds, labelling=args.labelling, tick=tell, **common)
    else:
        from CACScoringLib.training.six_class import train_six_class

        train_six_class(args.output, patients, steps, labelling=args.labelling, tick=tell, **common)
