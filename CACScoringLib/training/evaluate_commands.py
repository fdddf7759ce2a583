"""``cacscoring evaluate``: its arguments, and the evaluation of one method on synthetic patients."""

from __future__ import annotations

import argparse
from pathlib import Path

from CACScoringLib.training.arguments import add_labelled_scans, known_method, names, positive, seed
from CACScoringLib.training.progress import progress_display
from CACScoringLib.training.synthetic_patients import FIRST_EVALUATION_SEED, evaluation_patients

ALL = "all"
"""In place of a method's name: every method, on the same patients."""
WIDTH_OF_TABLE = 215
"""Characters that the table needs; used where there is no terminal to measure."""


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
    parser.add_argument("--first-seed", type=seed, default=FIRST_EVALUATION_SEED, help="first seed (default 900000)")
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
    add_labelled_scans(parser, "labelled scans, in place of synthetic patients")


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
    known_method(args.method)
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
