"""Arguments and work of ``cacscoring cohort agreement``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib.commands.exit_codes import DONE, UsageError
from CACScoringLib.commands.options import listed
from CACScoringLib.commands.targets import check_folder

if TYPE_CHECKING:
    from CACScoringLib.cohort.agreement_analysis import Agreement
    from CACScoringLib.cohort.score_pairs import ScorePairs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``cohort agreement``."""
    parser.add_argument(
        "reference",
        metavar="REFERENCE",
        nargs="?",
        type=Path,
        help="scores of the reference standard: CSV, Parquet or Excel; results.csv of a batch or the CSV of a review "
        "as they are",
    )
    parser.add_argument(
        "measured",
        metavar="MEASURED",
        nargs="?",
        type=Path,
        help="scores to be judged; may be absent where one table has both (reviewed_ and automatic_, or --columns)",
    )
    parser.add_argument(
        "--case", metavar="A,B", default="", help="columns that together name a case (default: case, id)"
    )
    parser.add_argument(
        "--columns",
        metavar="NAME=REFERENCE[:MEASURED]",
        nargs="+",
        default=(),
        help="columns with the scores; NAME is total, LM, LAD, LCX or RCA",
    )
    parser.add_argument(
        "--measure",
        choices=("agatston", "volume_mm3", "mass_mg"),
        default="agatston",
        help="which scores are compared (default: %(default)s)",
    )
    parser.add_argument("--scheme", metavar="NAME", default="spect-pet-4", help="risk scheme shown first (%(default)s)")
    parser.add_argument(
        "--covariates", metavar="A,B", default="", help="columns on which the absolute percentage difference may depend"
    )
    parser.add_argument(
        "--against", metavar="TABLE", type=Path, help="a second measured table: reclassification rates are compared"
    )
    parser.add_argument("--rescan", action="store_true", help="the two tables are two scans of the same patients")
    parser.add_argument(
        "--patient", metavar="COLUMN", help="column with the patient, where patients were scanned twice"
    )
    parser.add_argument(
        "--category-table", metavar="FILE", type=Path, help="a confusion matrix instead of scores; rows: reference"
    )
    parser.add_argument("--confidence", type=_share, default=0.95, help="of the intervals (default: %(default)s)")
    parser.add_argument("--title", default="Agreement of calcium scores", help="of the report")
    parser.add_argument("--output", metavar="DIR", type=Path, help="gets agreement.html, .csv, .json and figures")
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="what is printed (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Compare two score tables, or judge a given confusion matrix."""
    from CACScoringLib.scoring.risk import get_scheme

    if (args.reference is None) == (args.category_table is None):
        raise UsageError("Give either a table with reference scores or --category-table.")
    check_folder(args.output)
    get_scheme(args.scheme)
    result = _from_scores(args) if args.category_table is None else _from_categories(args)
    if args.format == "json":
        from CACScoringLib.cohort.agreement_report import as_document

        json.dump(as_document(result), sys.stdout, indent=1, allow_nan=False)
        sys.stdout.write("\n")
    else:
        _print(result)
    if args.output is not None:
        from CACScoringLib.cohort.agreement_report import write_agreement

        page = write_agreement(result, args.output, args.title)[0]
        sys.stderr.write(f"Report in {page}\n")
    return DONE


def _from_scores(args: argparse.Namespace) -> Agreement:
    from CACScoringLib.cohort.agreement_analysis import analyse
    from CACScoringLib.cohort.tables import read_second_table, read_table

    options = {"case": listed(args.case), "measure": args.measure}
    columns = _columns(args.columns)
    reference = read_table(args.reference)
    measured = read_second_table(args.measured, args.reference)
    pairs = _pairs(reference, measured, columns, options)
    rival = None
    if args.against is not None:
        rival = _pairs(reference, read_second_table(args.against, args.reference), columns, options)
    return analyse(
        pairs,
        scheme=args.scheme,
        covariates=listed(args.covariates),
        patient=args.patient,
        rescan=args.rescan,
        rival=rival,
        confidence=args.confidence,
    )


def _pairs(reference: object, measured: object, columns: dict, options: dict) -> ScorePairs:
    from CACScoringLib.cohort.score_pairs import pair_scores

    return pair_scores(reference, measured, columns=columns or None, **options)


def _from_categories(args: argparse.Namespace) -> Agreement:
    from CACScoringLib.cohort.agreement_analysis import Agreement, one_category
    from CACScoringLib.cohort.category_table import read_category_table

    entry = read_category_table(args.category_table, args.confidence)
    found = one_category(entry)
    return Agreement(None, categories=(entry,), confidence=args.confidence, findings=(found,) if found else ())


def _columns(words: tuple[str, ...] | list[str]) -> dict[str, tuple[str, str]]:
    """Return the columns by quantity that the user gave."""
    from CACScoringLib.cohort.score_pairs import QUANTITIES

    by_lower = {name.lower(): name for name in QUANTITIES}
    given = {}
    for word in words:
        name, _, rest = word.partition("=")
        first, _, second = rest.partition(":")
        if name.lower() not in by_lower or not first:
            raise UsageError(
                f"'{word}' is not understood: write NAME=REFERENCE:MEASURED, NAME of {', '.join(QUANTITIES)}."
            )
        given[by_lower[name.lower()]] = (first, second or first)
    return given


def _share(text: str) -> float:
    value = float(text)
    if not 0.5 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no confidence between 0.5 and 1")
    return value


def _print(result: Agreement) -> None:
    """Print the tables that a person looks at first, and what was noticed."""
    from CACScoringLib.cohort.number_words import estimate, fixed
    from CACScoringLib.commands.console import print_lines, print_table
    from CACScoringLib.findings import Severity
    from CACScoringLib.report.words import RESEARCH_USE_ONLY

    if result.scores:
        head = ("score", "n", "ICC(2,1)", "ICC(3,1)", "Lin's CCC", "bias", "limits of agreement")
        print_table(
            head,
            [
                (
                    s.quantity,
                    str(s.n),
                    estimate(s.icc_agreement),
                    estimate(s.icc_consistency),
                    fixed(s.ccc.value),
                    fixed(s.limits["plain"].bias.value, 1),
                    f"{s.limits['plain'].low:.1f} to {s.limits['plain'].high:.1f}",
                )
                for s in result.scores
            ],
        )
        print_lines([""])
    if result.categories:
        head = ("scheme", "n", "kappa", "linear", "quadratic", "reclassified", "up", "down", "macro F1")
        print_table(head, [_category_cells(entry) for entry in result.categories])
    said = [f"{f.severity.value}: {f.message}" for f in result.findings if f.severity is not Severity.INFO]
    print_lines(["", *said, RESEARCH_USE_ONLY])


def _category_cells(entry: object) -> tuple[str, ...]:
    from CACScoringLib.cohort.number_words import estimate, fixed

    moved = entry.moved
    rate = f"{moved.changed} ({100 * moved.rate:.1f} %)"
    kappa = (fixed(entry.kappa["unweighted"].value), fixed(entry.kappa["linear"].value))
    best = estimate(entry.kappa["quadratic"])
    return (entry.scheme, str(moved.n), *kappa, best, rate, str(moved.up), str(moved.down), fixed(entry.macro.f1))
