"""Options that ``score`` and ``batch`` have in common, and how they become settings."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

from CACScoringLib.batch.case import ScoreSettings
from CACScoringLib.commands.exit_codes import UsageError


def positive(text: str) -> float:
    """Return a positive number given on the command line."""
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def whole(text: str) -> int:
    """Return a positive whole number given on the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return value


def listed(text: str) -> tuple[str, ...]:
    """Return the words that commas separate; none of an empty text."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def add_scoring_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that decide about scores: who finds the calcium, the rules, the person."""
    scoring = parser.add_argument_group("scoring")
    _add_finder_arguments(scoring)
    _add_rule_arguments(scoring)
    _add_person_arguments(parser)


def add_rule_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that decide about scores whoever finds the calcium."""
    _add_rule_arguments(parser.add_argument_group("scoring"))
    _add_person_arguments(parser)


def _add_finder_arguments(scoring: argparse._ArgumentGroup) -> None:
    defaults = ScoreSettings()
    scoring.add_argument(
        "--method",
        default=defaults.method,
        metavar="NAME",
        help=f"who finds the calcium: {', '.join(methods_known())} (default: %(default)s)",
    )
    scoring.add_argument(
        "--model", metavar="MODEL", help="model to run the method with: id or folder (default: the method's own)"
    )
    scoring.add_argument(
        "--heart",
        choices=("network", "totalsegmentator"),
        default=defaults.heart,
        help="who finds the heart; TotalSegmentator must be installed (default: %(default)s)",
    )


def _add_rule_arguments(scoring: argparse._ArgumentGroup) -> None:
    defaults = ScoreSettings()
    scoring.add_argument(
        "--preset",
        default=defaults.preset,
        metavar="NAME",
        help=f"scoring rules: {', '.join(_presets())} (default: %(default)s)",
    )
    scoring.add_argument("--kvp", type=positive, metavar="N", help="tube voltage in kV, where the scan does not say it")
    scoring.add_argument(
        "--thickness-mode",
        default=defaults.thickness_mode,
        choices=("scale", "resample", "none"),
        help="how slices that are not 3 mm apart count: scaled by increment / 3 mm, averaged to 3 mm, "
        "or as they are (default: %(default)s)",
    )
    scoring.add_argument("--mass-factor", type=positive, metavar="C", help="mass calibration in mg/mm3/HU")
    scoring.add_argument(
        "--allow-contrast",
        action="store_true",
        help="score contrast-enhanced scans too; the result is not a calcium score",
    )


def _add_person_arguments(parser: argparse.ArgumentParser) -> None:
    person = parser.add_argument_group("person (for percentiles and arterial age)")
    person.add_argument("--age", type=positive, metavar="YEARS", help="age; taken from the scan where it says it")
    person.add_argument("--sex", choices=("M", "F"), type=str.upper, help="sex; taken from the scan where it says it")
    person.add_argument(
        "--ethnicity", type=str.lower, choices=("white", "chinese", "black", "hispanic"), help="for MESA percentiles"
    )


def settings_from(args: argparse.Namespace) -> ScoreSettings:
    """Return the settings; names that do not exist are refused here, before anything is read.

    Raises
    ------
    UsageError
        If there is no such method or preset, or a number is out of range.
    """
    check_method(args.method)
    return replace(rules_from(args), method=args.method, model=args.model, heart=args.heart)


def rules_from(args: argparse.Namespace) -> ScoreSettings:
    """Return the settings whoever finds the calcium.

    Raises
    ------
    UsageError
        If there is no such preset, or a number is out of range.
    """
    _check_name("preset", args.preset, _presets())
    _check_numbers(args.kvp, args.age)
    return ScoreSettings(
        preset=args.preset,
        kvp=args.kvp,
        thickness_mode=args.thickness_mode,
        mass_factor=args.mass_factor,
        allow_contrast=args.allow_contrast,
        series_uid=getattr(args, "series", None),
        age_years=args.age,
        sex=args.sex,
        ethnicity=args.ethnicity,
        overview=not args.no_overview,
    )


def check_method(name: str) -> None:
    """Refuse a method that cannot be chosen.

    Raises
    ------
    UsageError
    """
    _check_name("method", name, methods_known())


def _check_name(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UsageError(f"There is no {what} '{name}': choose one of {', '.join(known)}.")


def _check_numbers(kvp: float | None, age_years: float | None) -> None:
    """Refuse what no tube or person can have, before each scan is refused for it."""
    from CACScoringLib.findings import InputRefusedError
    from CACScoringLib.scoring.percentiles import Demographics
    from CACScoringLib.scoring.thresholds import PLAUSIBLE_KVP, is_plausible_kvp

    if kvp is not None and not is_plausible_kvp(kvp):
        low, high = PLAUSIBLE_KVP
        raise UsageError(f"--kvp {kvp:g} is not the tube voltage of a CT: give {low:g} to {high:g} kV.")
    if age_years is not None:
        try:
            Demographics(age_years, "F")
        except InputRefusedError as error:
            raise UsageError(f"--age {age_years:g} is not the age of a person: give it in years.") from error


def methods_known() -> tuple[str, ...]:
    """Return the methods that can be chosen."""
    from CACScoringLib.methods import available

    return tuple(info.name for info in available())


def _presets() -> tuple[str, ...]:
    from CACScoringLib.scoring.presets import PRESETS

    return tuple(PRESETS)
