"""Evaluate a method on synthetic patients, and say the result in numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

import CACScoringLib
from CACScoringLib.cohort.agreement import confusion_matrix, icc_2_1, kappa_of_matrix, reclassification
from CACScoringLib.cohort.reliability import brier_score, expected_calibration_error, flagged_by, reliability
from CACScoringLib.models import ModelBundle, open_bundle
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.training.patient_result import NAMES, PatientResult, evaluate_patient

SCHEME = "spect-pet-4"
ROWS = "patients.jsonl"
CODE = ("ct", "inference", "methods", "networks", "phantom", "scoring", "training/patient_result.py")
"""What a patient's result depends on besides the model."""
KINDS = {True: "ECG-gated", False: "not gated"}
"""Of scans of one protocol, as groups of patients are called."""
Result = TypeVar("Result")


def run_id(
    bundle: ModelBundle, method: str, preset: str, code: Sequence[str] = CODE, mimics: Sequence[str] = ()
) -> str:
    """Return what tells results of different weights, settings, presets, mimics or code apart: 16 hexadecimal digits.

    The settings of a bundle hold the checksum of its weights; where another model finds the heart, its settings count
    as well.
    """
    depends = [method, preset, SCHEME, bundle.settings, *mimics]
    if "heart_model" in bundle.settings:
        depends.append(open_bundle(bundle.settings["heart_model"]).settings)
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode())
    home = Path(CACScoringLib.__file__).parent
    for name in code:
        path = home / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def earlier_results(path: Path, run: str, wanted: Sequence[tuple[str, int]]) -> list[PatientResult]:
    """Return what a stopped run has left of the wanted patients; lines of other runs and half lines are passed over."""
    if not path.is_file():
        return []
    known: dict[tuple[str, int], PatientResult] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            if entry.get("run") == run and (entry["protocol"], entry["seed"]) in wanted:
                known[entry["protocol"], entry["seed"]] = PatientResult.from_dict(entry)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return list(known.values())


def run_patients(
    wanted: Iterable[tuple[str, int]],
    folder: Path,
    *,
    method: str,
    model: str | None,
    preset: str,
    run: str = "",
    mimics: tuple[str, ...] = (),
    known: Iterable[PatientResult] = (),
    workers: int = 1,
    tick: Callable[[str], None] | None = None,
) -> list[PatientResult]:
    """Evaluate patients, one line of ``patients.jsonl`` each as they finish; those already there are not run again.

    Parameters
    ----------
    wanted : iterable of (protocol, seed)
    folder : Path
    method, preset : str
    model : str or None
    run : str
        From ``run_id``: only lines with the same are used again.
    mimics : tuple of str
        What every patient has, as in ``PhantomOptions``.
    known : iterable of PatientResult
        The same results, measured elsewhere (``methods_evaluation.measured_with_all``); not run again either.
    workers : int
    tick : callable, optional
        Called with a text after every patient, those already there included.
    """
    wanted = list(wanted)
    path = folder / ROWS
    results = earlier_results(path, run, wanted)
    missing = set(wanted) - {(result.protocol, result.seed) for result in results}
    results += [result for result in known if (result.protocol, result.seed) in missing]
    tell = tick or (lambda text: None)
    for result in results:
        tell(f"{result.protocol} {result.seed}")
    done = {(result.protocol, result.seed) for result in results}
    evaluate = partial(evaluate_patient, method=method, model=model, preset=preset, scheme=SCHEME, mimics=mimics)

    def took(result: PatientResult) -> str:
        results.append(result)
        tell(f"{result.protocol} {result.seed}")
        return _line(result, run)

    kept = [_line(result, run) for result in results]
    append_results(path, kept, evaluate, [patient for patient in wanted if patient not in done], took, workers)
    return sorted(results, key=lambda r: (r.protocol, r.seed))


def append_results(
    path: Path,
    kept: Sequence[str],
    evaluate: Callable[..., Result],
    jobs: Iterable[tuple],
    took: Callable[[Result], str],
    workers: int = 1,
) -> None:
    """Run jobs in processes and add what each gives to a file as soon as it is there.

    Parameters
    ----------
    path : Path
        Begun anew with the lines to keep; its folder is made.
    kept : sequence of str
        Whole lines.
    evaluate : callable
        Run in a process with the arguments of a job.
    jobs : iterable of tuple
    took : callable
        Given each result as it comes; returns its lines.
    workers : int
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(kept), encoding="utf-8")
    temporary.replace(path)
    with (
        ProcessPoolExecutor(max_workers=workers, initializer=one_thread) as pool,
        path.open("a", encoding="utf-8") as file,
    ):
        running = [pool.submit(evaluate, *job) for job in jobs]
        try:
            for future in as_completed(running):
                file.write(took(future.result()))
                file.flush()
        except BaseException:
            for future in running:
                future.cancel()
            raise


def _line(result: PatientResult, run: str) -> str:
    return json.dumps({"run": run, **result.as_dict()}) + "\n"


def one_thread() -> None:
    """Keep workers from fighting over the cores."""
    import torch

    torch.set_num_threads(1)


def summarize(results: list[PatientResult]) -> dict[str, dict]:
    """Return the figures of all patients and of every protocol; of its gated and other scans, where it has both."""
    groups = {"all": results}
    for protocol in sorted({r.protocol for r in results}):
        groups[protocol] = [r for r in results if r.protocol == protocol]
        kinds = {title: [r for r in groups[protocol] if r.gated is kind] for kind, title in KINDS.items()}
        if all(kinds.values()):
            groups |= {f"{protocol}, {title}": of_kind for title, of_kind in kinds.items()}
    return {name: summarize_group(group) for name, group in groups.items()}


def summarize_group(results: list[PatientResult]) -> dict[str, object]:
    """Return agreement, categories, uncertainty, lesions and time of a group of patients."""
    out: dict[str, object] = {"patients": len(results), "icc": {}}
    for name in NAMES:
        # Nobody can agree on what a method does not give.
        known = len(results) > 1 and all(name in r.predicted for r in results)
        icc = icc_2_1([r.reference[name] for r in results], [r.predicted[name] for r in results]) if known else None
        out["icc"][name] = {key: _known(getattr(icc, key, np.nan)) for key in ("value", "low", "high")}
    return out | {
        **summarize_categories(results),
        **summarize_lesions(results),
        **summarize_uncertainty(results),
        "seconds_mean": float(np.mean([r.seconds for r in results])),
        "seconds_max": float(np.max([r.seconds for r in results])),
    }


def summarize_categories(results: list[PatientResult]) -> dict[str, object]:
    """Return the agreement of categories; None where the method gives none."""
    groups = list(SCHEMES[SCHEME].groups)
    zero = [r for r in results if r.reference["total"] == 0]
    if any(r.predicted_category is None for r in results):
        unknown = {f"kappa_{weights}_interval": [None, None] for weights in ("linear", "quadratic")}
        return dict.fromkeys(CATEGORIES) | unknown | {"zero_patients": len(zero)}
    a = np.array([groups.index(r.reference_category) for r in results])
    b = np.array([groups.index(r.predicted_category) for r in results])
    matrix = confusion_matrix(a, b, len(groups))
    out: dict[str, object] = {"confusion": {"categories": groups, "rows_reference_columns_predicted": matrix.tolist()}}
    for weights in ("linear", "quadratic"):
        kappa = kappa_of_matrix(matrix, weights)
        out[f"kappa_{weights}"] = _known(kappa.value)
        out[f"kappa_{weights}_interval"] = [_known(kappa.low), _known(kappa.high)]
    moved = reclassification(matrix)
    return out | {
        "reclassified": moved.rate,
        "reclassified_up": moved.up,
        "reclassified_down": moved.down,
        "reclassified_by_more_than_one": moved.by_more_than_one,
        "zero_patients": len(zero),
        "zero_scored_zero": sum(r.predicted_category == groups[0] for r in zero),
    }


CATEGORIES = (
    "confusion",
    "kappa_linear",
    "kappa_quadratic",
    "reclassified",
    "reclassified_up",
    "reclassified_down",
    "reclassified_by_more_than_one",
    "zero_scored_zero",
)


def summarize_lesions(results: list[PatientResult]) -> dict[str, object]:
    """Return which lesions are found; None where the method labels nothing."""
    if any(r.lesions is None for r in results):
        return dict.fromkeys(("lesions", "lesion_sensitivity", "right_vessel", "false_lesions_per_scan"))
    lesions, found = sum(r.lesions for r in results), sum(r.lesions_found for r in results)
    right = sum(r.lesions_right_vessel for r in results)
    return {
        "lesions": lesions,
        "lesion_sensitivity": found / lesions if lesions else None,
        "right_vessel": right / found if found else None,
        "false_lesions_per_scan": sum(r.false_lesions for r in results) / len(results),
    }


def summarize_uncertainty(results: list[PatientResult]) -> dict[str, object]:
    """Return how the probabilities of categories, the interval and the flag do; None where the model says nothing.

    ``calibration_error`` is that of the stated category, ``calibration_error_all`` that of the probabilities
    of all categories taken as statements of their own.
    """
    told = [r for r in results if r.category_probability]
    if not told:
        return dict.fromkeys(UNCERTAINTY)
    groups = list(SCHEMES[SCHEME].groups)
    chance = np.array([[r.category_probability[group] for group in groups] for r in told])
    true = np.array([groups.index(r.reference_category) for r in told])
    stated = np.array([groups.index(r.predicted_category) for r in told])
    of_stated = chance[np.arange(len(told)), stated]
    # The flag counts as a statement of probability 0 where it is up.
    flagged = [r for r in told if r.needs_review is not None]
    flag = flagged_by(
        0.5,
        [0.0 if r.needs_review else 1.0 for r in flagged],
        [r.predicted_category == r.reference_category for r in flagged],
    )
    inside = [_inside(r) for r in told if r.agatston_interval]
    return {
        "calibration_error": expected_calibration_error(of_stated, stated == true),
        "calibration_error_all": expected_calibration_error(
            chance.ravel(), np.eye(len(groups), dtype=bool)[true].ravel()
        ),
        "brier": brier_score(chance, true),
        "reliability": [vars(entry) for entry in reliability(of_stated, stated == true)],
        "review_wrong": flag.wrong,
        "review_sensitivity": _known(flag.sensitivity),
        "review_share": _known(flag.share),
        "interval_coverage": float(np.mean(inside)) if inside else None,
    }


UNCERTAINTY = (
    "calibration_error",
    "calibration_error_all",
    "brier",
    "reliability",
    "review_wrong",
    "review_sensitivity",
    "review_share",
    "interval_coverage",
)


def _inside(result: PatientResult) -> bool:
    """Return whether the true total lies in the interval; sums are compared as scores are."""
    low, high = result.agatston_interval
    return low - 1e-6 <= result.reference["total"] <= high + 1e-6


def _known(value: float) -> float | None:
    """Return None for what cannot be computed, such as the agreement of constant scores."""
    return None if np.isnan(value) else float(value)
