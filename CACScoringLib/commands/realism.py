"""``cacscoring realism``: what a scan, real or synthetic, measures, and the generator beside real scans."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

from CACScoringLib.commands.console import native_messages_hidden, print_lines, print_table, progress_bar
from CACScoringLib.commands.exit_codes import DONE, FAILURE, UsageError
from CACScoringLib.commands.options import whole
from CACScoringLib.commands.targets import check_file

NOTE = "Noise and islands: blocks of uniform heart (34 x 34 x 20 mm) found from the CT; islands per 25 cm2 of a slice."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``realism``."""
    parser.add_argument("input", metavar="INPUT", nargs="*", help="scans to measure: DICOM folder, NIfTI, NRRD ...")
    parser.add_argument(
        "--compare",
        metavar="DATA",
        type=Path,
        help="folder of the two real development scans: measure synthetic patients with their settings beside them; "
        "the exit status is 1 where a judged row differs by more than 25 %%",
    )
    parser.add_argument(
        "--patients", metavar="N", type=whole, default=4, help="synthetic patients a real scan (default: %(default)s)"
    )
    parser.add_argument("--output", metavar="FILE.md", type=Path, help="also write the table there, in Markdown")
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="what is printed (default: %(default)s)"
    )
    parser.add_argument("--quiet", action="store_true", help="print no progress")


def run(args: argparse.Namespace) -> int:
    """Measure scans, or compare the generator with the real ones."""
    if bool(args.input) == bool(args.compare):
        raise UsageError("Give either scans to measure or --compare with the folder of the real scans.")
    check_file(args.output)
    return _compare(args) if args.compare else _measure(args)


def _measure(args: argparse.Namespace) -> int:
    from CACScoringLib.ct import load_ct
    from CACScoringLib.phantom.comparison import shown
    from CACScoringLib.phantom.measures import measure_scan

    measured = []
    with progress_bar(not args.quiet) as progress, native_messages_hidden(not args.debug):
        for i, name in enumerate(args.input):
            progress(i / len(args.input), f"Measuring {name}")
            measured.append(measure_scan(load_ct(name)))
    if args.format == "json":
        _json([{"input": name, **m.as_dict()} for name, m in zip(args.input, measured, strict=True)])
    rows = [[name, *(shown(m.rows()[name]) for m in measured)] for name in measured[0].rows()]
    _finish(args, ["measure", *(Path(name).name or name for name in args.input)], rows)
    return DONE


def _compare(args: argparse.Namespace) -> int:
    from CACScoringLib.phantom.comparison import compare, comparison_rows
    from CACScoringLib.phantom.realism import CASES

    missing = [case.folder for case in CASES if not (args.compare / case.folder).is_dir()]
    if missing:
        raise UsageError(f"There is no folder {' and no '.join(missing)} in '{args.compare}'.")
    with progress_bar(not args.quiet) as progress, native_messages_hidden(not args.debug):
        comparisons = compare(args.compare, args.patients, CASES, progress)
    if args.format == "json":
        _json([vars(comparison) | {"accepted": comparison.accepted} for comparison in comparisons])
    _finish(args, *comparison_rows(comparisons))
    return DONE if all(comparison.accepted for comparison in comparisons) else FAILURE


def _finish(args: argparse.Namespace, header: list[str], rows: list[list[str]]) -> None:
    """Print the table, write it where that was asked for."""
    if args.format == "table":
        print_table(header, rows)
        print_lines([NOTE])
    if args.output is not None:
        from CACScoringLib.phantom.comparison import markdown, write_table

        write_table(markdown(header, rows), args.output)


def _json(document: list[dict]) -> None:
    """Write JSON to standard output; what could not be measured is null."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    json.dump(plain(document), sys.stdout, indent=2)
    sys.stdout.write("\n")
