"""``cacscoring evaluate all``: every method on the same synthetic patients, and the papers' tables."""

from __future__ import annotations

import argparse
import sys

from CACScoringLib import __version__
from CACScoringLib.models import ModelError
from CACScoringLib.training.evaluation_page import check_page
from CACScoringLib.training.method_figures import summarize_method
from CACScoringLib.training.methods_evaluation import ROWS, choose_methods, megabytes, run_methods
from CACScoringLib.training.methods_page import as_markdown, update_page, write_methods
from CACScoringLib.training.progress import progress_display
from CACScoringLib.training.synthetic_patients import evaluation_patients


def run_all(args: argparse.Namespace) -> int:
    """Evaluate all chosen methods, print and write the tables; returns the exit status."""
    for name in ("model", "data"):
        if getattr(args, name) is not None:
            raise ModelError(f"--{name} goes with one method: 'all' evaluates every method with its own model.")
    if args.ablation:
        raise ModelError("--ablation goes with one method.")
    if args.mimics:
        raise ModelError("--with goes with one method.")
    _with_page(args, lambda: check_page(args.page))
    methods = choose_methods(args.preset, args.methods)
    wanted = evaluation_patients(args.patients, args.first_seed)
    with progress_display() as progress:
        task = progress.add_task("Evaluating", total=len(wanted))
        results = run_methods(
            wanted,
            args.output,
            methods,
            preset=args.preset,
            workers=args.workers,
            resume=not args.no_resume,
            tick=lambda text: progress.update(task, advance=1, description=f"Evaluated {text}"),
        )
    summary = {name: summarize_method(rows) for name, rows in results.items()}
    sizes = megabytes(methods)
    models = [
        {
            "method": method.name,
            "model": method.bundle.id,
            "sha256": method.bundle.sha256,
            "megabytes": sizes[method.name],
            "run": method.run,
        }
        for method in methods
    ]
    context = {
        "patients": f"{len(wanted)}, {args.patients} a protocol, none of them trained on",
        "preset": args.preset,
        "seeds": f"{args.first_seed} to {max(seed for _, seed in wanted)}",
        "software": f"CACScoring {__version__}",
    }
    written = [ROWS, *write_methods(args.output, results, summary, context, models)]
    _with_page(args, lambda: update_page(args.page, results, summary, context, models))
    if args.page is not None:
        written.append(str(args.page))
    sys.stdout.write(as_markdown(summary, context, models))
    sys.stdout.write(f"\nWritten to {args.output}: {', '.join(written)}\n")
    return 0


def _with_page(args: argparse.Namespace, use: object) -> None:
    """Use the page of the documentation where one is given."""
    if args.page is None:
        return
    try:
        use()
    except (OSError, ValueError) as error:
        raise ModelError(f"The page cannot be brought up to date: {error}") from error
