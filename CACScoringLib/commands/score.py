"""``cacscoring score``: one scan, its table, its files."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from CACScoringLib.batch.case import ScoredCase, ScoreSettings, score_case, write_case
from CACScoringLib.commands.console import native_messages_hidden, progress_bar
from CACScoringLib.commands.exit_codes import DONE, UsageError
from CACScoringLib.commands.options import add_scoring_arguments, settings_from
from CACScoringLib.commands.targets import check_file, check_folder

INPUT_HELP = (
    "DICOM folder of any depth, zip of one, DICOM file, NIfTI, NRRD or MetaImage; "
    "of several series the best CT is chosen and the choice explained"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``score``."""
    parser.add_argument("input", metavar="INPUT", help=INPUT_HELP)
    parser.add_argument(
        "--mask", metavar="FILE", help="score these labels (label map, .seg.nrrd, DICOM SEG) without any network"
    )
    parser.add_argument("--series", metavar="UID", help="take this series of the folder")
    add_scoring_arguments(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="write scores.json, scores.csv, segmentation.seg.nrrd and overview.png",
    )
    output.add_argument("--no-overview", action="store_true", help="do not draw overview.png")
    output.add_argument(
        "--scene", metavar="FILE.mrb", type=Path, help="write a 3D Slicer scene with scan, segmentation and table"
    )
    output.add_argument(
        "--format", choices=("table", "json"), default="table", help="what is printed (default: %(default)s)"
    )
    output.add_argument("--quiet", action="store_true", help="print no table and no progress")


def run(args: argparse.Namespace) -> int:
    """Score one scan."""
    check_targets(args.output, args.scene)
    settings = settings_from(args)
    if args.mask is not None:
        _check_no_method(settings)
    with progress_bar(not args.quiet) as progress, native_messages_hidden(not args.debug):
        case = score_case(args.input, settings, mask=args.mask, progress=progress)
        progress(0.95, "Writing")
        write_results(case, args.output, args.scene, overview=settings.overview)
    if args.format == "json":
        from CACScoringLib.report.scores_json import to_json

        sys.stdout.write(to_json(case.document))
    elif not args.quiet:
        from CACScoringLib.commands.score_table import print_scores

        print_scores(case.document, args.output, args.scene)
    return DONE


def _check_no_method(settings: ScoreSettings) -> None:
    """Refuse the choice of a method where labels are given: it would be passed over."""
    usual = ScoreSettings()
    if (settings.method, settings.model, settings.heart) != (usual.method, usual.model, usual.heart):
        raise UsageError("--mask gives the labels, so no method runs: leave out --method, --model and --heart.")


def check_targets(output: Path | None, scene: Path | None) -> None:
    """Refuse places that cannot be written, before a scan is scored in vain.

    Raises
    ------
    UsageError
    """
    check_folder(output)
    if scene is not None:
        if scene.suffix.lower() != ".mrb":
            raise UsageError(f"The scene file must end with .mrb: '{scene}' does not.")
        check_file(scene, "scene file")
        from CACScoringLib.mrml.scene import import_slicer

        import_slicer()


def write_results(case: ScoredCase, output: Path | None, scene: Path | None, *, overview: bool) -> None:
    """Write everything that was asked for, or nothing."""
    from CACScoringLib.report.staging import staged_file, staged_folder

    with ExitStack() as stack:
        # The scene comes first: where it fails, the folder is not touched.
        if scene is not None:
            _save_scene(case, stack.enter_context(staged_file(scene)))
        if output is not None:
            write_case(case, stack.enter_context(staged_folder(output)), overview=overview)


def _save_scene(case: ScoredCase, path: Path) -> None:
    from CACScoringLib.mrml.study import write_scene

    attention = None if case.labels is not None else case.prediction.attention
    write_scene(case.ct, case.labels, case.document, path, attention=attention)
