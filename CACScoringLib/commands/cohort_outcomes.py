"""``cacscoring cohort outcomes``: what scores say about events, from one table to figures and a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib.commands.exit_codes import DONE, UsageError
from CACScoringLib.commands.options import listed
from CACScoringLib.commands.targets import check_folder

if TYPE_CHECKING:
    import pandas as pd

    from CACScoringLib.cohort.outcomes import Outcomes
    from CACScoringLib.cohort.progression_table import CohortProgression

SUMMARY = "survival, hazard ratios, reclassification and predictive value of zero in a table with follow-up"
TWO_SCANS = ("repeat_score", "volume", "repeat_volume", "date", "repeat_date")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``cohort outcomes``."""
    parser.add_argument("table", type=Path, metavar="TABLE", help="CSV, Parquet or Excel, one row a patient")
    parser.add_argument("--time", required=True, metavar="COLUMN", help="follow-up time")
    parser.add_argument("--event", required=True, metavar="COLUMN", help="whether it ended with an event: 0 or 1")
    parser.add_argument("--score", default="agatston", metavar="COLUMN", help="Agatston score (default: agatston)")
    parser.add_argument("--compare", metavar="COLUMN", help="second score of the same patients, compared with it")
    parser.add_argument("--covariates", default="", metavar="A,B,C", help="columns of the multivariable model")
    parser.add_argument("--scheme", default="spect-pet-4", metavar="NAME", help="risk groups (default: spect-pet-4)")
    parser.add_argument("--unit", default="years", help="of the follow-up time, for axes (default: years)")
    parser.add_argument("--event-name", default="event", metavar="NAME", help="for axes and texts, such as MACE")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder for the report, the numbers and the figures")
    scans = parser.add_argument_group("progression between two scans (all five, beside --score)")
    for name in TWO_SCANS:
        scans.add_argument(f"--{name.replace('_', '-')}", metavar="COLUMN")


def run(args: argparse.Namespace) -> int:
    """Read the table, take the statistics, show them, and write them where asked."""
    from CACScoringLib.cohort.follow_up import follow_up
    from CACScoringLib.cohort.outcomes import outcomes
    from CACScoringLib.cohort.tables import read_table

    check_folder(args.output)
    if args.seed < 0:
        raise UsageError("A seed is a whole number from 0.")
    table = read_table(args.table)
    patients = follow_up(
        table,
        time=args.time,
        event=args.event,
        score=args.score,
        compare=args.compare,
        covariates=listed(args.covariates),
        scheme=args.scheme,
        unit=args.unit,
    )
    progress = _progression(table, args)
    result = outcomes(patients, seed=args.seed)
    if args.output:
        from CACScoringLib.cohort.outcomes_files import write_outcomes

        write_outcomes(result, args.output, table=table, event_name=args.event_name, progress=progress)
    _show(result, progress)
    return DONE


def _progression(table: pd.DataFrame, args: argparse.Namespace) -> CohortProgression | None:
    """Return the progression between two scans where its columns are named."""
    from CACScoringLib.cohort.progression_table import ProgressionColumns, cohort_progression

    given = {name: getattr(args, name) for name in TWO_SCANS}
    absent = [f"--{name.replace('_', '-')}" for name, column in given.items() if not column]
    if len(absent) == len(given):
        return None
    if absent:
        raise UsageError(f"Progression between two scans needs {', '.join(absent)} as well.")
    return cohort_progression(table, ProgressionColumns(score=args.score, **given))


def _show(result: Outcomes, progress: CohortProgression | None) -> None:
    """Write the tables to standard output and the findings to standard error."""
    import sys

    from CACScoringLib.cohort.outcomes_files import lead
    from CACScoringLib.cohort.outcomes_words import progression_table, tables
    from CACScoringLib.commands.console import print_lines, print_table

    print_lines([lead(result)])
    for table in tables(result) + ([progression_table(progress)] if progress else []):
        print_lines(["", table.title])
        print_table(table.header, table.rows)
        print_lines([table.note] if table.note else [])
    found = (*result.findings, *(progress.findings if progress else ()))
    print_lines([f"{finding.severity.value}: {finding.message}" for finding in found], sys.stderr)
