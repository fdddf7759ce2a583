"""``cacscoring train`` and ``cacscoring evaluate``: arguments and what they do."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib.training.other_methods import STEPS as OTHER_METHODS

if TYPE_CHECKING:
    from rich.progress import Progress

    from CACScoringLib.training.calibration import DecisionChoice
    from CACScoringLib.training.cases import TrainingCase

TRAINABLE = ("multibranch-unet", *OTHER_METHODS)
"""Methods that ``train`` knows."""
LAYOUTS = ("coca", "orcascore", "plain")
"""As in ``training/datasets``, which is read only when it is used."""
PATIENTS, STEPS = 480, 2400
"""Of a training on synthetic patients."""
FIRST_TRAINING_SEED = 1_000
FIRST_EVALUATION_SEED = 900_000
"""Seeds from here on are never trained on."""
ALL = "all"
"""In place of a method's name: every method, on the same patients."""
WIDTH_OF_TABLE = 150
"""Characters that the table needs; used where there is no terminal to measure."""


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


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``cacscoring train``."""
    parser.add_argument("method", help=f"method to train: {', '.join(TRAINABLE)}")
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
    parser.add_argument("--seed", type=int, default=20260, help="seed of weights and patches (default 20260)")
    parser.add_argument("--workers", type=positive, default=2, help="processes that generate patients (default 2)")
    parser.add_argument("--device", default="cpu", help="torch device (default cpu)")
    parser.add_argument("--cache", type=Path, help="folder of generated patients (default OUTPUT/cache)")
    parser.add_argument(
        "--validation-patients",
        type=int,
        default=40,
        help="synthetic patients that choose what a lesion needs (default 40; 0: do not choose)",
    )
    parser.add_argument("--no-resume", action="store_true", help="start again although a checkpoint is there")
    parser.add_argument(
        "--ablation",
        action="store_true",
        help="short trainings instead that differ in one choice each (multibranch-unet; default 600 steps each)",
    )
    own = parser.add_argument_group("scans of your own")
    own.add_argument("--data", type=Path, metavar="FOLDER", help="labelled scans: tune a model that is there on them")
    own.add_argument("--layout", choices=LAYOUTS, help="how scans and labels lie in FOLDER")
    own.add_argument(
        "--label-map", type=Path, metavar="FILE", help="JSON that says what label values mean (layout plain)"
    )
    own.add_argument(
        "--from-model", metavar="MODEL", help="model to go on from: id or folder (default: the shipped one)"
    )
    own.add_argument(
        "--validation-share", type=float, default=0.2, help="share of patients held back (default 0.2; 0: none)"
    )
    own.add_argument("--learning-rate", type=float, help="highest learning rate (default 3e-4 with --data)")


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``cacscoring evaluate``."""
    parser.add_argument("method", help="method to evaluate: a name as of 'cacscoring score --method', or 'all'")
    parser.add_argument(
        "--methods",
        type=names,
        metavar="NAME,NAME",
        help="with 'all': which methods (default: every one that ships with weights)",
    )
    parser.add_argument("--output", type=Path, default=Path("evaluation"), help="folder for the results")
    parser.add_argument("--model", help="model id or folder of a bundle (default: the method's own)")
    parser.add_argument("--patients", type=positive, default=25, help="patients a protocol (default 25)")
    parser.add_argument("--first-seed", type=int, default=FIRST_EVALUATION_SEED, help="first seed (default 900000)")
    parser.add_argument("--preset", default="agatston-1990", help="scoring preset (default agatston-1990)")
    parser.add_argument(
        "--with",
        dest="mimics",
        type=names,
        default=[],
        metavar="NAME,NAME",
        help="what every patient has, to see how a method copes: stent, bypass-clips, aortic-root, ...",
    )
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="documentation page to bring up to date as well")
    parser.add_argument(
        "--ablation",
        action="store_true",
        help="leave out one rule of the decision at a time instead, on the patients that chose the settings",
    )
    parser.add_argument("--no-resume", action="store_true", help="run patients again that a stopped run has left")
    parser.add_argument("--workers", type=positive, default=2, help="processes (default 2)")
    own = parser.add_argument_group("scans of your own")
    own.add_argument("--data", type=Path, metavar="FOLDER", help="labelled scans, in place of synthetic patients")
    own.add_argument("--layout", choices=LAYOUTS, help="how scans and labels lie in FOLDER")
    own.add_argument(
        "--label-map", type=Path, metavar="FILE", help="JSON that says what label values mean (layout plain)"
    )


def training_patients(count: int) -> list[tuple[str, int]]:
    """Return protocol and seed of the training patients; the same list for the same count."""
    from CACScoringLib.phantom import PROTOCOLS

    return [(PROTOCOLS[n % len(PROTOCOLS)], FIRST_TRAINING_SEED + n) for n in range(count)]


def evaluation_patients(count: int, first_seed: int) -> list[tuple[str, int]]:
    """Return protocol and seed of the evaluation patients: ``count`` a protocol, all seeds different."""
    from CACScoringLib.phantom import PROTOCOLS

    return [(p, first_seed + n * len(PROTOCOLS) + k) for n in range(count) for k, p in enumerate(PROTOCOLS)]


def run_train(args: argparse.Namespace) -> int:
    """Train a method and write its bundle; returns the exit status."""
    _folds_are_possible(args)
    if args.method in OTHER_METHODS:
        _only_multibranch(args)
        _no_ablation(args, f"not for {args.method}")
        from CACScoringLib.training.other_methods import run_train_other

        return run_train_other(args)
    _known_method(args.method)
    if args.data is not None:
        _no_ablation(args, "not with --data")
        from CACScoringLib.training.data_commands import run_tune

        return run_tune(args)
    _only_with_data(args)
    if args.ablation:
        from CACScoringLib.training.ablation_commands import run_training_ablation

        return run_training_ablation(args)
    from CACScoringLib.training.bundle_writer import write_trained_bundle
    from CACScoringLib.training.loop import Trainer, TrainingSettings

    patients, steps = args.patients or PATIENTS, args.steps or STEPS
    with progress_display() as progress:
        cases, groups = load_patients(args, patients, progress)
        settings = replace(TrainingSettings(), steps=steps, seed=args.seed, device=args.device)
        trainer = Trainer(cases, groups, settings, args.output)
        if not args.no_resume:
            trainer.resume()
        task = progress.add_task("Training", total=steps, completed=trainer.step)
        trainer.run(lambda step, losses: progress.update(task, completed=step, description=losses_text(losses)))
    folder = args.output / "bundle" / args.method
    write_trained_bundle(folder, trainer, patients=patients)
    if args.validation_patients > 0:
        choice = _choose(folder, args.validation_patients, args.workers)
        write_trained_bundle(folder, trainer, patients=patients, choice=choice)
    return 0


def load_patients(
    args: argparse.Namespace, patients: int, progress: Progress
) -> tuple[list[TrainingCase], list[list[int]]]:
    """Generate the training patients that are not cached yet, load all, and group them by protocol."""
    from CACScoringLib.training.cases import CASES, TrainingCase

    wanted = training_patients(patients)
    task = progress.add_task("Generating patients", total=len(wanted))
    paths = CASES.build(
        args.cache or args.output / "cache",
        wanted,
        workers=args.workers,
        tick=lambda text: progress.update(task, advance=1, description=f"Generating {text}"),
    )
    progress.update(task, completed=len(wanted))
    cases = [TrainingCase.load(path) for path in progress.track(paths, description="Loading patients")]
    protocols = [protocol for protocol, _ in wanted]
    return cases, [[i for i, p in enumerate(protocols) if p == name] for name in dict.fromkeys(protocols)]


def _choose(folder: Path, patients: int, workers: int) -> DecisionChoice:
    """Choose what a lesion needs on patients of its own."""
    from CACScoringLib.training.calibration import FIRST_VALIDATION_SEED, choose_settings

    wanted = evaluation_patients(-(-patients // 4), FIRST_VALIDATION_SEED)
    with progress_display() as progress:
        task = progress.add_task("Choosing the decision", total=len(wanted))
        return choose_settings(
            folder,
            wanted,
            cache=folder.parent.parent / "validation",
            workers=workers,
            tick=lambda _: progress.update(task, advance=1),
        )


def run_evaluate(args: argparse.Namespace) -> int:
    """Evaluate a method on synthetic patients, print and write the table; returns the exit status."""
    if args.method == ALL:
        from CACScoringLib.training.methods_commands import run_all

        return run_all(args)
    from CACScoringLib.models import ModelError, open_bundle

    if args.methods is not None:
        raise ModelError("--methods goes with 'cacscoring evaluate all'.")
    _known_mimics(args)
    if args.data is not None:
        from CACScoringLib.training.data_evaluation import run_on_data

        return run_on_data(args)
    _known_method(args.method)
    if args.ablation:
        from CACScoringLib.training.ablation_commands import run_decision_ablation

        return run_decision_ablation(args)
    from CACScoringLib import __version__
    from CACScoringLib.methods.registry import METHODS
    from CACScoringLib.training.evaluation import ROWS, run_id, run_patients, summarize
    from CACScoringLib.training.evaluation_page import update_page, write_evaluation
    from CACScoringLib.training.methods_evaluation import measured_with_all

    bundle = open_bundle(args.model or METHODS[args.method].model)
    wanted = evaluation_patients(args.patients, args.first_seed)
    run = run_id(bundle, args.method, args.preset, mimics=args.mimics)
    if args.no_resume:
        (args.output / ROWS).unlink(missing_ok=True)
    anew = args.no_resume or args.mimics
    known = [] if anew else measured_with_all(args.output, args.method, bundle, args.preset)
    with progress_display() as progress:
        task = progress.add_task("Evaluating", total=len(wanted))
        results = run_patients(
            wanted,
            args.output,
            method=args.method,
            model=args.model,
            preset=args.preset,
            run=run,
            mimics=tuple(args.mimics),
            known=known,
            workers=args.workers,
            tick=lambda text: progress.update(task, advance=1, description=f"Evaluated {text}"),
        )
    summary = summarize(results)
    context = {
        "method": args.method,
        "model": bundle.id,
        "sha256": bundle.sha256,
        "preset": args.preset,
        "seeds": f"{args.first_seed} to {max(seed for _, seed in wanted)}",
        "software": f"CACScoring {__version__}, run {run}",
    }
    if args.mimics:
        context["every patient has"] = ", ".join(args.mimics)
    written = [ROWS, *write_evaluation(args.output, results, summary, context)]
    if args.page is not None:
        try:
            update_page(args.page, results, summary, context)
        except (OSError, ValueError) as error:
            raise ModelError(f"The page cannot be brought up to date: {error}") from error
        written.append(str(args.page))
    _print_evaluation(args, summary, written)
    return 0


def _print_evaluation(args: argparse.Namespace, summary: dict[str, dict], written: list[str]) -> None:
    """Print the table, the floors and where everything is."""
    from rich.console import Console
    from rich.table import Table

    from CACScoringLib.training.evaluation_page import ROWS_OF_TABLE, cell
    from CACScoringLib.training.floors import check_floors

    table = Table(title=f"{args.method} on {summary['all']['patients']} synthetic patients never trained on")
    table.add_column("")
    for name in summary:
        table.add_column(name, justify="right")
    for key, title in ROWS_OF_TABLE:
        table.add_row(title, *(cell(group, key) for group in summary.values()))
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDTH_OF_TABLE)
    console.print(table)
    floors = check_floors(summary)
    console.print(f"{sum(entry.passed for entry in floors)} of {len(floors)} floors reached", soft_wrap=True)
    for entry in floors:
        if not entry.passed:
            group, title, floor, value, _ = entry.cells()
            console.print(f"  not reached: {group}, {title} {value} ({floor})", soft_wrap=True)
    console.print(f"Written to {args.output}: {', '.join(written)}", soft_wrap=True)


def _known_mimics(args: argparse.Namespace) -> None:
    """Refuse mimics that there are not, and those of patients that are not synthesised here."""
    from CACScoringLib.models import ModelError
    from CACScoringLib.phantom.mimics import MAKERS

    unknown = [name for name in args.mimics if name not in MAKERS]
    if unknown:
        raise ModelError(f"There is no mimic '{unknown[0]}': choose of {', '.join(MAKERS)}.")
    if args.mimics and (args.data is not None or args.ablation or args.page is not None):
        raise ModelError("--with is for synthetic patients: it does not go with --data, --ablation or --page.")


def _only_multibranch(args: argparse.Namespace) -> None:
    """Refuse scans of one's own for methods that learn from synthetic patients only."""
    from CACScoringLib.models import ModelError

    if args.data is not None:
        raise ModelError(f"--data is for multibranch-unet: {args.method} is trained on synthetic patients only.")
    _only_with_data(args)


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


def _only_with_data(args: argparse.Namespace) -> None:
    """Refuse options that mean nothing without scans of one's own."""
    from CACScoringLib.models import ModelError

    for name in ("layout", "label_map", "from_model", "learning_rate"):
        if getattr(args, name) is not None:
            raise ModelError(f"--{name.replace('_', '-')} goes with --data, the folder of labelled scans.")


def _known_method(method: str) -> None:
    from CACScoringLib.methods.registry import METHODS
    from CACScoringLib.models import ModelError

    if method not in METHODS:
        raise ModelError(f"There is no method '{method}': choose one of {', '.join(METHODS)}.")


def losses_text(losses: dict[str, float]) -> str:
    """Return the losses of a step for the progress display."""
    return f"Training (calcium {losses['calcium']:.3f}, structures {losses['structure_coarse']:.3f})"


def progress_display() -> Progress:
    """Return a progress display on stderr that is quiet when nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
