"""``cacscoring train`` of the methods beside ``multibranch-unet``: which function trains each, and its progress."""

from __future__ import annotations

import argparse

from CACScoringLib.training.run_request import Tell, TrainingRequest

STEPS = {"convlstm": 3000, "slice-regression": 2400, "six-class": 6000}
"""Default optimiser steps of each method."""


def run_train_other(args: argparse.Namespace) -> int:
    """Train one of ``STEPS`` on synthetic patients and write its bundle; returns the exit status."""
    from CACScoringLib.training.commands import progress_display

    with progress_display() as progress:
        tasks: dict[str, int] = {}

        def tell(text: str, done: int, total: int) -> None:
            what = text.split(" (")[0].split(":")[0]
            if what.startswith("generated"):
                what, text = "generated", f"Generating {text.removeprefix('generated ')}"
            if what not in tasks:
                tasks[what] = progress.add_task(text, total=total)
            progress.update(tasks[what], completed=done, description=text)

        _train(args, request_of(args, tell))
    return 0


def request_of(args: argparse.Namespace, tell: Tell) -> TrainingRequest:
    """Return what the arguments ask for."""
    from CACScoringLib.training.commands import PATIENTS

    return TrainingRequest(
        output=args.output,
        patients=args.patients or PATIENTS,
        steps=args.steps or STEPS[args.method],
        seed=args.seed,
        workers=args.workers,
        device=args.device,
        cache=args.cache,
        resume=not args.no_resume,
        tell=tell,
    )


def _train(args: argparse.Namespace, request: TrainingRequest) -> None:
    if args.method == "convlstm":
        from CACScoringLib.training.convlstm_training import train_convlstm

        train_convlstm(request, validation_patients=args.validation_patients)
    elif args.method == "slice-regression":
        from CACScoringLib.training.slice_regression import train_slice_regression

        train_slice_regression(request, experiment=args.experiment)
    elif args.folds is not None:
        from CACScoringLib.training.six_class_folds import run_folds

        run_folds(request, args.folds, labelling=args.labelling)
    else:
        from CACScoringLib.training.six_class import train_six_class

        train_six_class(request, labelling=args.labelling)
