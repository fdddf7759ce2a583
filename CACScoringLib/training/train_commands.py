"""``cacscoring train``: its arguments, and which function trains each method."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from CACScoringLib.training.arguments import add_labelled_scans, known_method, positive, seed
from CACScoringLib.training.multibranch_training import BIFURCATION_STEPS
from CACScoringLib.training.run_request import Tell, TrainingRequest
from CACScoringLib.training.synthetic_patients import (
    FIRST_LEFT_MAIN_SEED,
    FIRST_LESION_SEED,
    LESION_PATIENTS,
    PATIENTS,
    VALIDATION_PATIENTS,
)

STEPS = {"multibranch-unet": 2400, "convlstm": 3000, "slice-regression": 2400, "six-class": 6000}
"""Default optimiser steps of each method that ``train`` knows."""


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``cacscoring train``."""
    parser.add_argument("method", help=f"method to train: {', '.join(STEPS)}")
    parser.add_argument("--output", type=Path, required=True, help="folder for cache, checkpoint, log and model bundle")
    parser.add_argument(
        "--patients", type=positive, help="synthetic patients to train on (default 480; with --data: none, or mixed in)"
    )
    parser.add_argument(
        "--steps",
        type=positive,
        help="optimiser steps (default 2400; with --data 600; convlstm 3000, slice-regression 2400, six-class 6000)",
    )
    parser.add_argument(
        "--experiment", choices=("i", "ii", "iii", "iv"), default="iii", help="of slice-regression (default iii)"
    )
    parser.add_argument(
        "--labelling", choices=("patient", "slice"), default="patient", help="of six-class (default patient)"
    )
    parser.add_argument(
        "--folds",
        type=positive,
        metavar="N",
        help="cross-validate six-class instead, by patients in N folds (5 in the paper): a table, no weights",
    )
    parser.add_argument("--seed", type=seed, default=20260, help="seed of weights and patches (default 20260)")
    parser.add_argument("--workers", type=positive, default=2, help="processes that generate patients (default 2)")
    parser.add_argument("--device", default="cpu", help="where networks learn: cpu, cuda, mps, or auto (default cpu)")
    parser.add_argument("--cache", type=Path, help="folder of generated patients (default OUTPUT/cache)")
    parser.add_argument(
        "--validation-patients",
        type=int,
        default=VALIDATION_PATIENTS,
        help=f"synthetic patients that choose what a lesion needs (default {VALIDATION_PATIENTS}; 0: do not choose)",
    )
    parser.add_argument(
        "--lesion-patients",
        type=int,
        default=LESION_PATIENTS,
        help="synthetic patients that the lesion classifier of multibranch-unet learns from "
        f"(default {LESION_PATIENTS}; 0: none)",
    )
    parser.add_argument(
        "--bifurcation-steps",
        type=int,
        metavar="N",
        help="optimiser steps of the network of multibranch-unet that says where the left main divides "
        f"(default {BIFURCATION_STEPS}; 0: none)",
    )
    parser.add_argument(
        "--mixed-precision",
        action="store_true",
        help="train that network with convolutions in bfloat16: steps take a quarter less time on CPUs that have it",
    )
    parser.add_argument("--no-resume", action="store_true", help="start again although a checkpoint is there")
    parser.add_argument(
        "--ablation",
        action="store_true",
        help="short trainings instead that differ in one choice each (multibranch-unet; default 600 steps each)",
    )
    parser.add_argument(
        "--ablation-seeds", type=int, default=1, metavar="N", help="seeds of each short training (default 1)"
    )
    further = parser.add_argument_group("going on with one network of a model")
    further.add_argument(
        "--left-main-only",
        action="store_true",
        help="train only the network of multibranch-unet that says where the left main divides, further, for --steps "
        "(default 2000) on synthetic patients that it has not seen; every other part is that of --from-model",
    )
    further.add_argument(
        "--first-seed",
        type=seed,
        metavar="SEED",
        help=f"of these patients, below {FIRST_LESION_SEED} (default {FIRST_LEFT_MAIN_SEED})",
    )
    own = add_labelled_scans(parser, "labelled scans: tune a model that is there on them")
    own.add_argument(
        "--from-model", metavar="MODEL", help="model to go on from: id or folder (default: the shipped one)"
    )
    own.add_argument(
        "--validation-share", type=float, default=0.2, help="share of patients held back (default 0.2; 0: none)"
    )
    own.add_argument(
        "--learning-rate",
        type=float,
        help="highest learning rate (default 3e-4 with --data, 1e-3 with --left-main-only)",
    )


def run_train(args: argparse.Namespace) -> int:
    """Train a method and write its bundle; returns the exit status."""
    _folds_are_possible(args)
    known_method(args.method)
    _seeds_are_of_an_ablation(args)
    _of_the_left_main(args)
    if args.method != "multibranch-unet":
        _only_multibranch(args)
        _no_ablation(args, f"not for {args.method}")
    elif args.data is not None:
        _no_ablation(args, "not with --data")
        from CACScoringLib.training.data_commands import run_tune

        return run_tune(args)
    elif args.left_main_only:
        _no_ablation(args, "not with --left-main-only")
        _only_with_data(args, ("layout", "label_map"))
        from CACScoringLib.training.left_main_command import run_left_main

        return run_left_main(args)
    else:
        _only_with_data(args)
    if args.ablation:
        from CACScoringLib.training.ablation_commands import run_training_ablation

        return run_training_ablation(args)
    from CACScoringLib.training.progress import progress_display, shown_in

    with progress_display() as progress:
        _train(args, request_of(args, STEPS[args.method], shown_in(progress)))
    return 0


def request_of(args: argparse.Namespace, steps: int, tell: Tell) -> TrainingRequest:
    """Return what the arguments ask for."""
    return TrainingRequest(
        output=args.output,
        patients=args.patients or PATIENTS,
        steps=args.steps or steps,
        seed=args.seed,
        workers=args.workers,
        device=args.device,
        cache=args.cache,
        resume=not args.no_resume,
        tell=tell,
    )


def _train(args: argparse.Namespace, request: TrainingRequest) -> None:
    """Train the method that was asked for."""
    if args.method == "multibranch-unet":
        from CACScoringLib.training.multibranch_training import train_multibranch

        train_multibranch(
            request,
            validation_patients=args.validation_patients,
            lesion_patients=args.lesion_patients,
            bifurcation_steps=BIFURCATION_STEPS if args.bifurcation_steps is None else args.bifurcation_steps,
            mixed_precision=args.mixed_precision,
        )
    elif args.method == "convlstm":
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


def _only_multibranch(args: argparse.Namespace) -> None:
    """Refuse scans of one's own for methods that learn from synthetic patients only."""
    from CACScoringLib.models import ModelError

    if args.data is not None:
        raise ModelError(f"--data is for multibranch-unet: {args.method} is trained on synthetic patients only.")
    if args.mixed_precision or args.bifurcation_steps is not None:
        name = "--mixed-precision" if args.mixed_precision else "--bifurcation-steps"
        raise ModelError(f"{name} is about a network that only multibranch-unet has; leave it out for {args.method}.")
    _only_with_data(args)


def _of_the_left_main(args: argparse.Namespace) -> None:
    """Refuse ``--left-main-only`` where it means nothing, and what means nothing without it or with it."""
    from CACScoringLib.models import ModelError

    if not args.left_main_only:
        if args.first_seed is not None:
            raise ModelError("--first-seed goes with --left-main-only.")
        return
    if args.method != "multibranch-unet":
        raise ModelError(f"--left-main-only is for multibranch-unet: {args.method} has no such network.")
    if args.data is not None:
        raise ModelError("--left-main-only learns from synthetic patients: leave out --data, or --left-main-only.")
    if args.bifurcation_steps is not None:
        raise ModelError("With --left-main-only, --steps says how long it learns: leave out --bifurcation-steps.")


def _seeds_are_of_an_ablation(args: argparse.Namespace) -> None:
    from CACScoringLib.models import ModelError

    if args.ablation_seeds != 1 and not args.ablation:
        raise ModelError("--ablation-seeds goes with --ablation: give both, or neither.")


def _no_ablation(args: argparse.Namespace, words: str) -> None:
    from CACScoringLib.models import ModelError

    if args.ablation:
        raise ModelError(f"'train --ablation' is for multibranch-unet on synthetic patients, {words}.")


def _folds_are_possible(args: argparse.Namespace) -> None:
    """Refuse cross-validation of other methods, with too few folds or too few patients."""
    from CACScoringLib.models import ModelError

    if args.folds is None:
        return
    if args.method != "six-class":
        raise ModelError("--folds is for six-class, whose paper is cross-validated.")
    from CACScoringLib.training.six_class_evaluation import check_folds

    try:
        check_folds(args.folds, args.patients or PATIENTS)
    except ValueError as error:
        raise ModelError(f"--folds: {error}.") from error


def _only_with_data(
    args: argparse.Namespace, options: Sequence[str] = ("layout", "label_map", "from_model", "learning_rate")
) -> None:
    """Refuse options that mean nothing without scans of one's own."""
    from CACScoringLib.models import ModelError

    for name in options:
        if getattr(args, name) is not None:
            also = " or --left-main-only" if name in ("from_model", "learning_rate") else ""
            raise ModelError(f"--{name.replace('_', '-')} goes with --data, the folder of labelled scans{also}.")
