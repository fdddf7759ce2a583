"""``cacscoring evaluate METHOD --data FOLDER``: a method beside the experts of a labelled data set."""

from __future__ import annotations

import argparse
import json
import sys
import time

from CACScoringLib import __version__
from CACScoringLib.methods import predict
from CACScoringLib.methods.registry import model_of
from CACScoringLib.models import ModelError, open_bundle
from CACScoringLib.scoring import score
from CACScoringLib.training.datasets import ScanFiles, list_scans, merge_left_main
from CACScoringLib.training.datasets.layouts import read_scans
from CACScoringLib.training.datasets.scan import LabelledScan
from CACScoringLib.training.evaluation import SCHEME, summarize_group
from CACScoringLib.training.patient_result import PatientResult, compared

FILE = "evaluation-data.json"
MERGED = "the labels count the left main as LAD, so the method's left main counts as LAD too"


def evaluate_scan(
    scan: LabelledScan, number: int, *, method: str, model: str | None, preset: str, layout: str
) -> PatientResult:
    """Score the expert's labels and the method's on the same scan with the same preset.

    Parameters
    ----------
    scan : LabelledScan
    number : int
        Of the scan in its data set; stands in the place of a synthetic patient's seed, as ``layout`` in that of its
        protocol.
    """
    started = time.perf_counter()
    labels = predict(scan.ct, method, model=model).labels
    if labels is None:
        raise ModelError(f"Method '{method}' does not mark calcium voxel by voxel: it cannot be compared with labels.")
    if scan.left_main_is_lad:
        labels = merge_left_main(labels)
    predicted = score(scan.ct, labels, preset=preset)
    seconds = time.perf_counter() - started
    return compared(layout, number, scan.ct, scan.labels, labels, predicted, scheme=SCHEME, seconds=seconds)


def run_on_data(args: argparse.Namespace) -> int:
    """Evaluate a method on labelled scans, print and write the figures; returns the exit status."""
    if args.layout is None:
        raise ModelError("--data needs --layout, which says how scans and labels lie: coca, orcascore or plain.")
    bundle = open_bundle(model_of(args.method, args.model))
    model = str(bundle.folder)
    scans = list_scans(args.data, args.layout, label_map=args.label_map)
    cases: list[ScanFiles] = []
    results: list[PatientResult] = []
    merged, refused = False, []

    def leave_out(case: str, finding: object) -> None:
        refused.append(case)
        sys.stderr.write(f"{finding.severity.value}: {finding.message}\n")

    for files, scan in read_scans(scans, leave_out):
        cases.append(files)
        merged = merged or scan.left_main_is_lad
        results.append(
            evaluate_scan(scan, len(results), method=args.method, model=model, preset=args.preset, layout=args.layout)
        )
        sys.stderr.write(f"[{len(results) + len(refused)}/{len(scans)}] {files.case_id}\n")
    summary = summarize_group(results)
    document = {
        "method": args.method,
        "model": bundle.id,
        "sha256": bundle.sha256,
        "preset": args.preset,
        "layout": args.layout,
        "patients": len({files.patient_id for files in cases}),
        "left_main_is_lad": merged,
        "left_out": refused,
        "software": f"CACScoring {__version__}",
        "summary": summary,
        "cases": [
            {"case": files.case_id, "patient": files.patient_id, **result.as_dict()}
            for files, result in zip(cases, results, strict=True)
        ],
    }
    args.output.mkdir(parents=True, exist_ok=True)
    temporary = args.output / (FILE + ".tmp")
    temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    temporary.replace(args.output / FILE)
    sys.stdout.write("".join(f"{line}\n" for line in _lines(document, str(args.output / FILE))))
    return 0


def _lines(document: dict, path: str) -> list[str]:
    """Return what is printed."""
    summary = document["summary"]

    def figure(value: float | None, style: str = ".3f") -> str:
        return "-" if value is None else format(value, style)

    lines = [f"{document['method']} on {len(document['cases'])} labelled scans of {document['patients']} patients"]
    for name, icc in summary["icc"].items():
        lines.append(f"ICC(2,1) {name:<6} {figure(icc['value'])} [{figure(icc['low'])}, {figure(icc['high'])}]")
    lines += [
        f"kappa, 4 categories: linear {figure(summary['kappa_linear'])}, "
        f"quadratic {figure(summary['kappa_quadratic'])}",
        f"lesions found: {figure(summary['lesion_sensitivity'], '.1%')}, of these in the right vessel: "
        f"{figure(summary['right_vessel'], '.1%')}; false lesions a scan: {summary['false_lesions_per_scan']:.2f}",
        f"calcium-free scans scored 0: {summary['zero_scored_zero']} of {summary['zero_patients']}",
    ]
    if document["left_main_is_lad"]:
        lines.append(f"Note: {MERGED}.")
    return [*lines, f"Written to {path}", "Research use only, not a medical device."]
