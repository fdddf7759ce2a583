"""``cacscoring cohort noise``: image noise of many scans, a table for ``cohort agreement --covariates``."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import Any

from CACScoringLib.commands.exit_codes import DONE, SOME_FAILED, UsageError
from CACScoringLib.commands.options import check_method
from CACScoringLib.commands.targets import check_file

COLUMNS = ("case", "input", "noise_hu", "mean_hu", "radius_mm", "slices", "message")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``cohort noise``."""
    parser.add_argument("input", metavar="INPUT", nargs="+", help="scans as 'cacscoring batch' takes them")
    parser.add_argument("--method", metavar="NAME", default="multibranch-unet", help="who finds the left ventricle")
    parser.add_argument("--output", metavar="FILE.csv", type=Path, help="also write the table there")


def run(args: argparse.Namespace) -> int:
    """Measure the noise of scans."""
    from CACScoringLib.commands.console import native_messages_hidden, print_lines, print_table, progress_bar
    from CACScoringLib.commands.scans_named import scans_named

    check_file(args.output)
    _check_finds_heart(args.method)
    cases = scans_named(args.input)
    rows = []
    with progress_bar(True) as progress, native_messages_hidden(not args.debug):
        for i, case in enumerate(cases):
            progress(i / len(cases), f"{i + 1}/{len(cases)}  {case.name}")
            rows.append({"case": case.name, "input": case.source, **_measured(case.source, args.method)})
    shown = [[row["case"], f"{row['noise_hu']:.1f}" if row["noise_hu"] else "–", row["message"]] for row in rows]
    print_table(("case", "noise, HU", ""), shown)
    if args.output is not None:
        from CACScoringLib.report.staging import write_text

        stream = io.StringIO()
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(args.output, stream.getvalue())
        print_lines([f"Table in {args.output}"])
    return SOME_FAILED if any(row["message"] for row in rows) else DONE


def _check_finds_heart(method: str) -> None:
    """Refuse methods that do not say where the left ventricle is."""
    from CACScoringLib.methods import available

    check_method(method)
    able = [info.name for info in available() if info.finds_heart]
    if method not in able:
        names = " or ".join(able)
        raise UsageError(f"Noise is measured in the left ventricle, which '{method}' does not find: choose {names}.")


def _measured(source: str, method: str) -> dict[str, Any]:
    """Return what one scan measures, or why it does not."""
    from CACScoringLib.cohort.noise import left_ventricle_noise
    from CACScoringLib.ct import load_ct
    from CACScoringLib.findings import InputRefusedError
    from CACScoringLib.methods import predict

    try:
        ct = load_ct(source)
        found = predict(ct, method=method)
        noise = left_ventricle_noise(ct, found.structures, found.structures_spacing_mm, found.structures_offset_mm)
    except (InputRefusedError, OSError) as error:
        empty = dict.fromkeys(("noise_hu", "mean_hu", "radius_mm", "slices"))
        return {**empty, "message": " ".join(str(error).split())}
    return {
        "noise_hu": round(noise.sd_hu, 3),
        "mean_hu": round(noise.mean_hu, 2),
        "radius_mm": round(noise.radius_mm, 2),
        "slices": " ".join(map(str, noise.slices)),
        "message": "",
    }
