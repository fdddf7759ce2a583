"""``cacscoring compare``: several methods on the same scans, and where they disagree."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from CACScoringLib.batch.case import ScoreSettings, load_scan, score_options
from CACScoringLib.batch.inputs import Case
from CACScoringLib.cohort.method_agreement import REFERENCE, CaseSays, PairAgreement, method_agreement, reference_says
from CACScoringLib.commands.console import Progress, is_terminal, native_messages_hidden, progress_bar
from CACScoringLib.commands.device import check_device
from CACScoringLib.commands.exit_codes import DONE, SOME_FAILED, UsageError
from CACScoringLib.commands.options import add_rule_arguments, check_method, methods_known, rules_from
from CACScoringLib.commands.scans_named import scans_named
from CACScoringLib.commands.score import check_targets
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, refuse
from CACScoringLib.report.comparison import Comparison, MethodChoice, compare_methods
from CACScoringLib.report.comparison.files import (
    CSV,
    FILES,
    JSON,
    SCHEMA,
    case_failed_row,
    comparison_document,
    method_rows,
    to_csv,
    write_comparison,
)
from CACScoringLib.report.comparison.run import failure
from CACScoringLib.report.scores_json import plain, software, to_json
from CACScoringLib.report.staging import staged_folder, write_text
from CACScoringLib.report.words import RESEARCH_USE_ONLY

INPUT_HELP = (
    "scans, folders of scans, quoted patterns such as 'cohort/*/ct', or CSV lists with a column 'input'; with several "
    "scans, a table over them and the agreement of every two methods"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``compare``."""
    parser.add_argument("input", metavar="INPUT", nargs="+", help=INPUT_HELP)
    parser.add_argument(
        "--method",
        metavar="NAME",
        nargs="+",
        action="extend",
        help=f"methods to compare, NAME or NAME:MODEL: {', '.join(methods_known())} (default: all of them)",
    )
    parser.add_argument(
        "--device",
        metavar="NAME",
        default="cpu",
        help="where the networks run: cpu, cuda, mps, or auto (default: %(default)s)",
    )
    parser.add_argument("--series", metavar="UID", help="take this series of a folder")
    parser.add_argument(
        "--reference",
        metavar="TABLE",
        type=Path,
        help="scores of a reference standard (CSV, Parquet or Excel with a case and a total): the agreement of every "
        "method with it is given too",
    )
    parser.add_argument("--case", metavar="COLUMN", default="", help="column of the reference that names the case")
    add_rule_arguments(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="write comparison.json, comparison.csv and comparison.png; of several scans, in a folder each",
    )
    output.add_argument("--no-overview", action="store_true", help="do not draw comparison.png")
    output.add_argument(
        "--format", choices=("table", "json"), default="table", help="what is printed (default: %(default)s)"
    )
    output.add_argument("--quiet", action="store_true", help="print no table and no progress")


def run(args: argparse.Namespace) -> int:
    """Compare methods on one scan or on several."""
    check_targets(args.output, None)
    check_device(args.device)
    settings, choices = rules_from(args), choices_from(args.method)
    cases = scans_named(args.input)
    if len(cases) == 1 and args.reference is None:
        return _one(args, cases[0], settings, choices)
    return _several(args, cases, settings, choices)


def choices_from(words: list[str] | None) -> list[MethodChoice]:
    """Return the methods that the words of ``--method`` name; all that can be chosen without any.

    Raises
    ------
    UsageError
        If there is no such method, or one is named twice.
    """
    choices = []
    for word in words or methods_known():
        method, _, model = word.partition(":")
        check_method(method)
        choices.append(MethodChoice(method, model or None))
    names = [choice.name for choice in choices]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"The method '{twice}' is named twice: name each once.")
    return choices


def _compare(
    args: argparse.Namespace, case: Case, settings: ScoreSettings, choices: list[MethodChoice], progress: Progress
) -> tuple[CTVolume, Comparison]:
    """Read a scan and run the methods on it."""
    progress(0.0, "Reading the scan")
    ct = load_scan(case.source, settings)
    options, missing = score_options(ct, settings)
    ct = ct.with_findings(*missing)
    compared = compare_methods(
        ct,
        choices,
        kvp=settings.kvp,
        device=args.device,
        score_options=options,
        progress=lambda done, words: progress(0.05 + 0.9 * done, words),
    )
    return ct, compared


def _one(args: argparse.Namespace, case: Case, settings: ScoreSettings, choices: list[MethodChoice]) -> int:
    """Compare methods on one scan.

    Raises
    ------
    InputRefusedError
        If the scan cannot be scored, or no method gave a result.
    """
    with progress_bar(not args.quiet) as progress, native_messages_hidden(not args.debug):
        ct, compared = _compare(args, case, settings, choices, progress)
        if not compared.done:
            raise InputRefusedError(_nothing(compared))
        progress(0.95, "Writing")
        if args.output is not None:
            with staged_folder(args.output, FILES) as folder:
                write_comparison(
                    folder, ct, compared, case=case.name, input_path=case.source, picture=not args.no_overview
                )
    if args.format == "json":
        sys.stdout.write(to_json(comparison_document(compared, case.source)))
    elif not args.quiet:
        from CACScoringLib.commands.compare_table import print_comparison

        print_comparison(compared, args.output)
    return DONE


def _nothing(compared: Comparison) -> Finding:
    """Return why no method gave a result."""
    reasons = " ".join(f"{row.name}: {row.failure.message}" for row in compared.methods)
    return refuse("no-method-result", f"No method gave a result. {reasons}")


@dataclass
class _Cohort:
    """What is kept of every scan while the next ones are compared."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    says: dict[str, dict[str, CaseSays]] = field(default_factory=dict)
    failed: int = 0

    def take(self, case: Case, compared: Comparison) -> None:
        """Note what every method says of a scan."""
        self.rows += method_rows(compared, case.name, case.source)
        self.failed += not compared.done
        for row in compared.done:
            says = self.says.setdefault(row.name, {})
            says[case.name] = CaseSays(row.agatston, row.volume_mm3, dict(row.risk))

    def leave_out(self, case: Case, finding: Finding) -> None:
        """Note why there is nothing about a scan."""
        self.rows.append(case_failed_row(case.name, case.source, finding))
        self.failed += 1


def _several(args: argparse.Namespace, cases: list[Case], settings: ScoreSettings, choices: list[MethodChoice]) -> int:
    """Compare methods on several scans."""
    cohort = _Cohort()
    findings: tuple[Finding, ...] = ()
    if args.reference is not None:
        from CACScoringLib.cohort.tables import read_table

        names = [case.name for case in cases]
        cohort.says[REFERENCE], findings = reference_says(read_table(args.reference), names, args.case)
    for choice in choices:
        cohort.says[choice.name] = {}
    with progress_bar(not args.quiet, keep=True) as progress:
        for number, case in enumerate(cases):
            _take_case(args, case, settings, choices, cohort, _share(progress, number, len(cases), case.name))
            if not args.quiet and not is_terminal(sys.stderr):
                sys.stderr.write(f"[{number + 1}/{len(cases)}] {case.name}\n")
            if args.output is not None:
                write_text(args.output / CSV, to_csv(cohort.rows))
    pairs, noticed = method_agreement(cohort.says)
    findings += noticed
    document = _document(cohort, pairs, findings)
    if args.output is not None:
        with staged_folder(args.output, FILES) as folder:
            (folder / CSV).write_text(to_csv(cohort.rows), encoding="utf-8")
            (folder / JSON).write_text(to_json(document), encoding="utf-8")
    if args.format == "json":
        sys.stdout.write(to_json(document))
    elif not args.quiet:
        from CACScoringLib.commands.compare_table import print_cohort

        print_cohort(cohort.rows, [choice.name for choice in choices], pairs, findings, args.output)
    return SOME_FAILED if cohort.failed else DONE


def _share(progress: Progress, number: int, count: int, name: str) -> Progress:
    """Return the progress of one scan as part of all of them."""
    return lambda done, words: progress((number + done) / count, f"{number + 1}/{count} {name}: {words}")


def _take_case(
    args: argparse.Namespace,
    case: Case,
    settings: ScoreSettings,
    choices: list[MethodChoice],
    cohort: _Cohort,
    progress: Progress,
) -> None:
    """Compare one scan of several and write its folder; what goes wrong becomes a row."""
    try:
        with native_messages_hidden(not args.debug):
            ct, compared = _compare(args, case, settings, choices, progress)
    except Exception as error:  # the other scans are to be compared all the same
        if args.debug and not isinstance(error, InputRefusedError):
            raise
        cohort.leave_out(case, failure(error))
        return
    cohort.take(case, compared)
    if args.output is not None:
        progress(0.95, "Writing")
        with staged_folder(args.output / case.name, FILES) as folder:
            write_comparison(folder, ct, compared, case=case.name, input_path=case.source, picture=not args.no_overview)


def _document(cohort: _Cohort, pairs: tuple[PairAgreement, ...], findings: tuple[Finding, ...]) -> dict[str, Any]:
    """Return ``comparison.json`` of several scans."""
    return plain(
        {
            "schema": SCHEMA,
            "note": RESEARCH_USE_ONLY,
            "cases": cohort.rows,
            "agreement": [pair.as_dict() for pair in pairs],
            "findings": [finding.as_dict() for finding in findings],
            "software": software(),
        }
    )
