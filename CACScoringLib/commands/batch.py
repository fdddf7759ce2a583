"""``cacscoring batch``: many scans, one table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from CACScoringLib.batch.inputs import Case
from CACScoringLib.batch.previous import PREVIOUS
from CACScoringLib.batch.run import BatchPlan, BatchResult, holds_several_studies, plan_batch, run_batch, settings_key
from CACScoringLib.batch.table import DONE as ROW_DONE
from CACScoringLib.batch.table import RESULTS
from CACScoringLib.commands.console import is_terminal, print_lines, progress_bar
from CACScoringLib.commands.exit_codes import DONE, INTERRUPTED, SOME_FAILED, UsageError
from CACScoringLib.commands.options import add_scoring_arguments, positive, settings_from, whole
from CACScoringLib.commands.scans_named import scans_named
from CACScoringLib.report.words import RESEARCH_USE_ONLY, number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``batch``."""
    parser.add_argument(
        "input",
        metavar="INPUT",
        nargs="+",
        help="scans, folders of scans, quoted patterns such as 'cohort/*/ct', or CSV lists with a column 'input' "
        "(and perhaps 'mask', one row for each); a folder gives one row for each study or volume file in it",
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, required=True, help="gets results.csv and one folder a scan"
    )
    parser.add_argument(
        "--workers", metavar="N", type=whole, default=1, help="processes at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep rows whose scan, settings and version have not changed; try failed scans again",
    )
    parser.add_argument(
        "--dask", metavar="ADDRESS", help="let a Dask cluster do the work; its workers must see the same files"
    )
    parser.add_argument("--timeout", metavar="S", type=positive, help="give up a scan after so many seconds")
    parser.add_argument("--no-overview", action="store_true", help="draw no pictures")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    add_scoring_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Score many scans."""
    settings = settings_from(args)
    if args.output.exists() and not args.output.is_dir():
        raise UsageError(f"The output folder '{args.output}' cannot be made: there is a file of that name.")
    if args.dask:
        _check_dask(args.dask)
    cases = scans_named(args.input, each_mask=True, quiet=args.quiet)
    plan = plan_batch(
        cases, args.output, settings_key(settings, _model_sha256(args.method, args.model, cases)), resume=args.resume
    )
    reporter = _Reporter(plan, args.quiet)
    try:
        with progress_bar(not args.quiet, keep=True) as progress:
            reporter.progress = progress
            result = run_batch(
                plan,
                settings,
                args.output,
                workers=args.workers,
                timeout_s=args.timeout,
                dask_address=args.dask,
                finished=reporter.finished,
            )
    except KeyboardInterrupt:
        done = len(plan.kept) + reporter.count
        sys.stderr.write(f"cacscoring: {_stopped(done, len(plan.cases), args.output)}\n")
        return INTERRUPTED
    if not args.quiet:
        _print_summary(result, len(plan.cases))
    return SOME_FAILED if result.failed else DONE


class _Reporter:
    """Says what is done: a bar on a terminal, one line a scan elsewhere."""

    def __init__(self, plan: BatchPlan, quiet: bool):
        self.plan, self.quiet, self.count = plan, quiet, 0
        self.progress: Any = None

    def finished(self, row: dict[str, Any]) -> None:
        """Report one row."""
        self.count += 1
        done, total = len(self.plan.kept) + self.count, len(self.plan.cases)
        if self.quiet:
            return
        outcome = (
            f"Agatston {number(row['agatston'])}" if row["status"] == ROW_DONE else f"{row['status']}: {row['message']}"
        )
        if is_terminal(sys.stderr):
            self.progress(done / total, f"{done}/{total}  {row['case']}")
        if not is_terminal(sys.stderr) or row["status"] != ROW_DONE:
            sys.stderr.write(f"[{done}/{total}] {row['case']}: {outcome}\n")
        if holds_several_studies(row):
            words = "the scan holds several studies, and only one of them is scored: give each a folder of its own"
            sys.stderr.write(f"[{done}/{total}] {row['case']}: Warning: {words}.\n")


def _print_summary(result: BatchResult, total: int) -> None:
    """Print how the batch ended."""
    counts = ", ".join(f"{count} {status}" for status, count in sorted(result.counts.items()))
    kept = f" ({result.kept} kept from before)" if result.kept else ""
    lines = [f"{total} scans: {counts}{kept}"]
    if result.several_studies:
        names = ", ".join(result.several_studies[:8]) + (", ..." if len(result.several_studies) > 8 else "")
        lines.append(f"Several studies in one scan, of which only one is scored: {names}")
    print_lines([*lines, f"Table in {result.table}", RESEARCH_USE_ONLY])


def _stopped(done: int, total: int, output: Path) -> str:
    """Say how far a batch that was stopped has come, and where rows of earlier runs are."""
    words = f"Stopped: {done} of {total} scans are in {output / RESULTS}"
    if (output / PREVIOUS).is_file():
        return f"{words}, rows of earlier runs in {PREVIOUS} beside it; --resume goes on from both."
    return f"{words}; --resume goes on from there."


def _model_sha256(method: str, model: str | None, cases: list[Case]) -> str:
    """Return the checksum of the model that is run, or nothing where every scan comes with its labels."""
    if all(case.mask for case in cases):
        return ""
    from CACScoringLib.methods.registry import model_of
    from CACScoringLib.models import open_bundle

    return open_bundle(model_of(method, model)).sha256


def _check_dask(address: str) -> None:
    """Say at once when there is no Dask."""
    from CACScoringLib.batch.dask_cluster import DaskUnavailableError, connect

    try:
        connect(address).close()
    except DaskUnavailableError as error:
        raise UsageError(str(error)) from error
