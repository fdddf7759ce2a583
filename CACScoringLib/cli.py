"""The ``cacscoring`` command. Each subcommand lives in ``commands/`` and is imported when it is called."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from CACScoringLib import __version__
from CACScoringLib.commands.exit_codes import FAILURE, INTERRUPTED, REFUSED, USAGE, UsageError
from CACScoringLib.findings import InputRefusedError

COMMANDS: dict[str, str] = {
    "score": "score the coronary calcium of one CT",
    "batch": "score many CTs into one table",
    "compare": "run several methods on the same CTs and say where they disagree",
    "phantom": "make a synthetic patient with known calcium",
    "realism": "measure how a scan looks, real or synthetic",
    "cohort": "compare score tables of many patients, and scores with outcomes",
    "train": "train a method on synthetic patients",
    "evaluate": "measure a method on synthetic patients it was not trained on",
    "models": "list, show, import or remove models",
}
"""Subcommands in the order of the help; ``commands/<name>.py`` has ``add_arguments`` and ``run``."""

DESCRIPTION = """\
Coronary artery calcium scoring in non-contrast CT: a trained network finds the calcium and assigns it to
LM, LAD, LCX or RCA; the scoring engine turns it into Agatston, volume and mass. Research use only."""
EPILOG = """\
exit status:
  0  done
  1  an error of the program or the machine
  2  wrong usage
  3  the input was refused: not a CT, unreadable, contrast-enhanced ...
  4  a batch finished, some scans have no score
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose help is coloured on terminals."""

    def print_help(self, file: object = None) -> None:
        """Print the help; colour only where a person looks at it."""
        from CACScoringLib.commands.console import print_help

        print_help(self.format_help(), file or sys.stdout)

    def error(self, message: str) -> None:  # type: ignore[override]
        """Say in one sentence what is wrong with the call, and leave with status 2."""
        hint = f"{self.prog} --help"
        raise UsageError(f"{message[:1].upper()}{message[1:].rstrip('.')}; see '{hint}'.")


def build_parser(command: str | None = None) -> Parser:
    """Return the parser; only ``command`` gets its arguments, so that the others need not be imported."""
    parser = Parser(
        prog="cacscoring", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"cacscoring {__version__}")
    _add_debug(parser, default=False)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=Parser)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary[:1].upper()}{summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == command:
            _module(name).add_arguments(subparser)
            _add_debug(subparser, default=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or bool(os.environ.get("CACSCORING_DEBUG"))
    if not debug:
        warnings.simplefilter("ignore")
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return _say("Stopped.", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has left (``| head``): nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except InputRefusedError as error:
        if debug:
            raise
        return _say(error.finding.message, REFUSED)
    except UsageError as error:
        return _say(str(error), USAGE)
    except Exception as error:
        if debug:
            raise
        return _say(*_unexpected(error))


def _run(arguments: list[str]) -> int:
    """Parse and run."""
    command = next((word for word in arguments if not word.startswith("-")), None)
    parser = build_parser(command if command in COMMANDS else None)
    try:
        args = parser.parse_args(arguments)
    except SystemExit as end:  # --help and --version
        return int(end.code or 0)
    if args.command is None:
        parser.print_help()
        return USAGE
    return int(_module(args.command).run(args) or 0)


def _unexpected(error: Exception) -> tuple[str, int]:
    """Return what to say about an error that no part foresaw, and the exit status."""
    from CACScoringLib.models import ModelError

    if isinstance(error, ModelError):
        return str(error), USAGE
    if isinstance(error, OSError) and error.strerror:
        place = f" ({error.filename})" if error.filename else ""
        return f"The files could not be read or written: {error.strerror}{place}.", FAILURE
    words = " ".join(str(error).split())[:200]
    return f"CACScoring failed: {type(error).__name__}: {words} (run again with --debug for the details).", FAILURE


def _say(sentence: str, status: int) -> int:
    """Write one line to standard error."""
    sys.stdout.flush()
    sys.stderr.write(f"cacscoring: {' '.join(sentence.split())}\n")
    return status


def _module(command: str) -> ModuleType:
    return import_module(f"CACScoringLib.commands.{command}")


def _add_debug(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument("--debug", action="store_true", default=default, help="show the traceback of an error")


if __name__ == "__main__":
    sys.exit(main())
