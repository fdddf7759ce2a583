"""``cacscoring phantom``: a synthetic patient with known calcium."""

from __future__ import annotations

import argparse
from pathlib import Path

from CACScoringLib.commands.console import print_lines, progress_bar
from CACScoringLib.commands.exit_codes import DONE, UsageError
from CACScoringLib.commands.options import listed
from CACScoringLib.commands.targets import check_folder

PROTOCOLS = ("gated", "spect-ctac", "pet-ctac", "chest")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``phantom``."""
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, default="gated", help="how the patient is scanned (default: %(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        default=0,
        help="the same number gives the same scan on every machine (default: %(default)s)",
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, required=True, help="gets the scan and, beside it, the true labels"
    )
    parser.add_argument(
        "--format", choices=("dicom", "nrrd"), default="dicom", help="of the scan (default: %(default)s)"
    )
    parser.add_argument(
        "--with",
        dest="mimics",
        metavar="NAME,NAME",
        default="",
        help="what the patient has for certain: stent, bypass-clips, aortic-root, mitral-annulus, ...",
    )
    parser.add_argument(
        "--gated",
        action=argparse.BooleanOptionalAction,
        help="an ECG-gated scan or another, of a protocol that has both: spect-ctac (default: the seed decides)",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing")


def run(args: argparse.Namespace) -> int:
    """Make a synthetic patient."""
    if args.seed < 0:
        raise UsageError("A seed is a whole number from 0.")
    check_folder(args.output)
    from CACScoringLib.phantom import PhantomOptions, synthesize, write_patient
    from CACScoringLib.phantom.mimics import MAKERS
    from CACScoringLib.phantom.protocols import gated_kinds
    from CACScoringLib.phantom.writing import written_in

    there = written_in(args.output)
    if there is not None:
        raise UsageError(f"{args.output} holds '{there}' already: choose another folder, so that no two patients mix.")

    mimics = listed(args.mimics)
    unknown = [name for name in mimics if name not in MAKERS]
    if unknown:
        raise UsageError(f"There is no '{unknown[0]}' to give a patient: choose of {', '.join(MAKERS)}.")
    if args.gated not in (None, *gated_kinds(args.protocol)):
        never, option = ("never", "--gated") if args.gated else ("always", "--no-gated")
        raise UsageError(f"{args.protocol} scans are {never} ECG-gated: leave out {option}.")
    with progress_bar(not args.quiet) as progress:
        progress(0.1, f"Making synthetic patient {args.seed} ({args.protocol})")
        options = PhantomOptions(mimics=mimics, gated=args.gated)
        patient = synthesize(seed=args.seed, protocol=args.protocol, options=options)
        progress(0.8, "Writing")
        write_patient(patient, args.output, args.format)
    if not args.quiet:
        print_lines([f"Synthetic patient {args.seed} ({args.protocol}) in {args.output}. No real person was scanned."])
    return DONE
