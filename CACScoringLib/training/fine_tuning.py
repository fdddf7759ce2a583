"""Go on training shipped weights on labelled scans of one's own."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, Severity, refuse
from CACScoringLib.inference.grids import Grid, ct_grid, resample_linear
from CACScoringLib.inference.heart import SMALLEST_HEART_ML, heart_volume_ml, largest_heart
from CACScoringLib.models import ModelBundle, open_bundle
from CACScoringLib.training.cases import CACHE_VERSION, TrainingCase, make_case
from CACScoringLib.training.datasets.scan import LabelledScan, ScanFiles, merge_left_main, named
from CACScoringLib.training.labels import with_doubt
from CACScoringLib.vocabulary import Structure

SLAB = 8
"""Slices that are resampled at a time, to bound memory."""
LEAST_SCANS_TO_CHOOSE = 20
"""With fewer validation scans, what a lesion needs is not chosen anew: the choice would follow chance."""
Tick = Callable[[str], None]


def structures_of(ct: CTVolume, start: ModelBundle, device: str = "cpu") -> np.ndarray:
    """Return the heart structures that a model's coarse branch sees, on the CT's grid: uint8 (z, y, x).

    Raises
    ------
    InputRefusedError
        ``heart-not-found``: there is too little heart to train on.
    """
    from CACScoringLib.methods.multibranch_unet import find_structures

    probability, coarse = find_structures(ct, bundle=start, device=device)
    heart = largest_heart(probability)
    if heart_volume_ml(heart, coarse) < SMALLEST_HEART_ML:
        raise InputRefusedError(
            refuse("heart-not-found", "No whole heart was found in the scan, so it cannot be trained on.")
        )
    probability = np.where(heart > 0, probability, 0.0).astype(np.float32)
    probability[0][heart == 0] = 1.0
    return _on_ct(probability, coarse, ct)


def _on_ct(probability: np.ndarray, coarse: Grid, ct: CTVolume) -> np.ndarray:
    """Return the most probable class on the CT's grid, a slab at a time."""
    grid = ct_grid(ct.shape, ct.spacing_mm)
    out = np.zeros(ct.shape, np.uint8)
    for first in range(0, ct.shape[0], SLAB):
        count = min(SLAB, ct.shape[0] - first)
        slab = Grid(grid.spacing_mm, (first * grid.spacing_mm[0], 0.0, 0.0), (count, *ct.shape[1:]))
        sampled = resample_linear(probability, coarse, slab)
        sampled[0] = np.maximum(sampled[0], 1.0 - sampled[1:].sum(axis=0))
        out[first : first + count] = sampled.argmax(axis=0)
    return out


def case_of(scan: LabelledScan, start: ModelBundle, device: str = "cpu") -> TrainingCase:
    """Reduce a labelled scan to a training case; without heart structures they are those of ``start``.

    Raises
    ------
    InputRefusedError
        If there is no heart to train on.
    """
    structures = scan.structures
    if structures is None or not np.isin(structures, int(Structure.LEFT_VENTRICLE)).any():
        structures = structures_of(scan.ct, start, device)
    labels = with_doubt(scan.labels, left_main_is_lad=scan.left_main_is_lad, names_non_coronary=scan.names_non_coronary)
    try:
        return make_case(scan.ct, labels, structures)
    except ValueError as error:
        raise InputRefusedError(refuse("heart-not-found", "No heart is labelled in the scan.")) from error


def case_file(folder: Path, files: ScanFiles, start: ModelBundle) -> Path:
    """Return where the case of a scan is cached: elsewhere once a file, the labels' meaning or the model changes."""
    seen = [str(CACHE_VERSION), start.sha256, files.case_id]
    for name in files.files:
        path = Path(name)
        parts = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        seen += [f"{p}:{p.stat().st_size}:{p.stat().st_mtime_ns}" for p in parts]
    digest = hashlib.sha256("\n".join(seen).encode()).hexdigest()[:16]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", files.case_id)[:60]
    return folder / f"{plain}-{digest}.npz"


@dataclass(frozen=True)
class BuiltCase:
    """A scan that was cached, or the finding that says why not; and what else was noticed."""

    files: ScanFiles
    path: Path | None
    findings: tuple[Finding, ...]


def build_case(files: ScanFiles, folder: Path, model: str | Path, device: str = "cpu") -> BuiltCase:
    """Read one scan and cache its training case (worker entry point)."""
    start = open_bundle(model)
    path = case_file(folder, files, start)
    if path.exists():
        return BuiltCase(files, path, ())
    try:
        scan = files.load()
        case = case_of(scan, start, device)
    except InputRefusedError as error:
        return BuiltCase(files, None, (named(files.case_id, error.finding),))
    case.save(path)
    noticed = tuple(named(files.case_id, f) for f in scan.findings if f.severity is Severity.WARNING)
    return BuiltCase(files, path, noticed)


def build_cases(
    scans: Iterable[ScanFiles],
    folder: Path,
    model: str | Path,
    *,
    workers: int = 1,
    device: str = "cpu",
    tick: Tick | None = None,
) -> list[BuiltCase]:
    """Cache the training cases of scans, in the order of the scans."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = list(scans)
    built: dict[int, BuiltCase] = {}
    for number, case in _each(build_case, [(files, folder, model, device) for files in jobs], workers):
        built[number] = case
        if tick is not None:
            tick(f"case {case.files.case_id}")
    return [built[number] for number in range(len(jobs))]


def _each(function: Callable, jobs: list[tuple], workers: int) -> Iterator[tuple[int, object]]:
    """Yield number and result of each job as they finish; one worker works in this process."""
    if workers == 1:
        yield from ((number, function(*job)) for number, job in enumerate(jobs))
        return
    from CACScoringLib.training.evaluation import one_thread

    with ProcessPoolExecutor(max_workers=workers, initializer=one_thread) as pool:
        running = {pool.submit(function, *job): number for number, job in enumerate(jobs)}
        for future in as_completed(running):
            yield running[future], future.result()


@dataclass(frozen=True, eq=False)
class Validation:
    """Agatston scores of validation scans: columns total, LM, LAD, LCX, RCA.

    Attributes
    ----------
    case_ids : tuple of str
    reference, before : ndarray, shape (scans, 5)
        Of the experts' labels, and of the model that training began with.
    after : ndarray, shape (scans, n, 5)
        Of the tuned model: with its bundle's settings (n = 1), or under each of ``calibration.TRIED``.
    """

    case_ids: tuple[str, ...]
    reference: np.ndarray
    before: np.ndarray
    after: np.ndarray


def validate_scan(
    files: ScanFiles, start: Path, tuned: Path, choose: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | Finding:
    """Score a scan with the expert's labels, the first model and the tuned one (worker entry point)."""
    from CACScoringLib.methods import predict
    from CACScoringLib.scoring import score
    from CACScoringLib.training.calibration import sweep_scan
    from CACScoringLib.training.patient_result import agatston_of

    try:
        scan = files.load()
    except InputRefusedError as error:
        return named(files.case_id, error.finding)

    def scored(labels: np.ndarray) -> np.ndarray:
        labels = merge_left_main(labels) if scan.left_main_is_lad else labels
        return np.array(list(agatston_of(score(scan.ct, labels)).values()))

    before = scored(predict(scan.ct, model=start).labels)
    if choose:
        return (
            scored(scan.labels),
            before,
            sweep_scan(scan.ct, scan.labels, tuned, left_main_is_lad=scan.left_main_is_lad)[1],
        )
    return scored(scan.labels), before, scored(predict(scan.ct, model=tuned).labels)[None]


def validate(
    scans: list[ScanFiles], start: Path, tuned: Path, *, choose: bool, workers: int = 1, tick: Tick | None = None
) -> tuple[Validation | None, list[Finding]]:
    """Score validation scans before and after; None when none can be read."""
    rows: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    findings = []
    for number, outcome in _each(validate_scan, [(files, start, tuned, choose) for files in scans], workers):
        if isinstance(outcome, Finding):
            findings.append(outcome)
        else:
            rows[number] = outcome
        if tick is not None:
            tick(f"case {scans[number].case_id}")
    if not rows:
        return None, findings
    ordered = sorted(rows)
    arrays = (np.stack([rows[n][part] for n in ordered]) for part in range(3))
    return Validation(tuple(scans[n].case_id for n in ordered), *arrays), findings


def log_error(reference: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean error of ln(1 + Agatston) of the total."""
    return float(np.abs(np.log1p(predicted[:, 0]) - np.log1p(reference[:, 0])).mean())


def write_validation(path: Path, validation: Validation, chosen: np.ndarray, context: dict) -> dict:
    """Write what the validation scans say, and return it.

    Parameters
    ----------
    path : Path
    validation : Validation
    chosen : ndarray, shape (scans, 5)
        Scores of the tuned model with the settings that its bundle has.
    context : dict
        What else to write.
    """
    from CACScoringLib.training.patient_result import NAMES

    def row(values: np.ndarray) -> dict[str, float]:
        return {name: round(float(value), 2) for name, value in zip(NAMES, values, strict=True)}

    document = {
        **context,
        "scans": len(validation.case_ids),
        "mean_error_ln_agatston": {
            "before": round(log_error(validation.reference, validation.before), 4),
            "after": round(log_error(validation.reference, chosen), 4),
        },
        "icc_total": {
            "before": _icc(validation.reference, validation.before),
            "after": _icc(validation.reference, chosen),
        },
        "agatston": [
            {"case": case, "reference": row(a), "before": row(b), "after": row(c)}
            for case, a, b, c in zip(validation.case_ids, validation.reference, validation.before, chosen, strict=True)
        ],
    }
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
    return document


def _icc(reference: np.ndarray, predicted: np.ndarray) -> float | None:
    from CACScoringLib.cohort.agreement import icc_2_1

    if len(reference) < 2 or not np.ptp(reference[:, 0]) or not np.ptp(predicted[:, 0]):
        return None  # scores that do not vary say nothing about agreement
    value = icc_2_1(reference[:, 0], predicted[:, 0]).value
    return None if np.isnan(value) else round(float(value), 4)
