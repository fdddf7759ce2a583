"""Evaluate a method on synthetic patients, and say the result in words, numbers and a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np

from CACScoringLib.cohort.agreement import confusion_matrix, icc_2_1, kappa_of_matrix, reclassification
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.training.patient_result import NAMES, PatientResult, evaluate_patient

SCHEME = "spect-pet-4"
ROWS = "patients.jsonl"


def run_patients(
    wanted: Iterable[tuple[str, int]],
    folder: Path,
    *,
    method: str,
    model: str | None,
    preset: str,
    workers: int = 1,
    tick: Callable[[str], None] | None = None,
) -> list[PatientResult]:
    """Evaluate patients, one line of ``patients.jsonl`` each as they finish.

    Lines that a stopped run left in the folder are not used again: a result belongs to one run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    with (
        ProcessPoolExecutor(max_workers=workers, initializer=one_thread) as pool,
        (folder / ROWS).open("w", encoding="utf-8") as file,
    ):
        running = [
            pool.submit(evaluate_patient, protocol, seed, method=method, model=model, preset=preset, scheme=SCHEME)
            for protocol, seed in wanted
        ]
        for future in as_completed(running):
            result = future.result()
            results.append(result)
            file.write(json.dumps(result.as_dict()) + "\n")
            file.flush()
            if tick is not None:
                tick(f"{result.protocol} {result.seed}")
    return sorted(results, key=lambda r: (r.protocol, r.seed))


def one_thread() -> None:
    """Keep workers from fighting over the cores."""
    import torch

    torch.set_num_threads(1)


def summarize(results: list[PatientResult]) -> dict[str, dict]:
    """Return the figures of all patients and of every protocol."""
    groups = {"all": results}
    for protocol in sorted({r.protocol for r in results}):
        groups[protocol] = [r for r in results if r.protocol == protocol]
    return {name: summarize_group(group) for name, group in groups.items()}


def summarize_group(results: list[PatientResult]) -> dict[str, object]:
    """Return agreement, categories, lesions and time of a group of patients."""
    out: dict[str, object] = {"patients": len(results), "icc": {}}
    for name in NAMES:
        reference = np.array([r.reference[name] for r in results])
        predicted = np.array([r.predicted[name] for r in results])
        icc = icc_2_1(reference, predicted) if len(results) > 1 else None
        out["icc"][name] = {key: _known(getattr(icc, key, np.nan)) for key in ("value", "low", "high")}
    groups = list(SCHEMES[SCHEME].groups)
    a = np.array([groups.index(r.reference_category) for r in results])
    b = np.array([groups.index(r.predicted_category) for r in results])
    matrix = confusion_matrix(a, b, len(groups))
    out["confusion"] = {"categories": groups, "rows_reference_columns_predicted": matrix.tolist()}
    for weights in ("linear", "quadratic"):
        out[f"kappa_{weights}"] = _known(kappa_of_matrix(matrix, weights).value)
    moved = reclassification(matrix)
    zero = [r for r in results if r.reference["total"] == 0]
    lesions, found = sum(r.lesions for r in results), sum(r.lesions_found for r in results)
    right = sum(r.lesions_right_vessel for r in results)
    return out | {
        "reclassified": moved.rate,
        "reclassified_up": moved.up,
        "reclassified_down": moved.down,
        "lesions": lesions,
        "lesion_sensitivity": found / lesions if lesions else None,
        "right_vessel": right / found if found else None,
        "false_lesions_per_scan": sum(r.false_lesions for r in results) / len(results),
        "zero_patients": len(zero),
        "zero_scored_zero": sum(r.predicted["total"] == 0 for r in zero),
        "seconds_mean": float(np.mean([r.seconds for r in results])),
        "seconds_max": float(np.max([r.seconds for r in results])),
    }


def _known(value: float) -> float | None:
    """Return None for what cannot be computed, such as the agreement of constant scores."""
    return None if np.isnan(value) else float(value)


def write_evaluation(folder: Path, results: list[PatientResult], summary: dict, context: dict) -> None:
    """Write ``evaluation.json`` and ``evaluation.md`` beside the patients' lines."""
    (folder / "evaluation.json").write_text(
        json.dumps({**context, "summary": summary}, indent=2) + "\n", encoding="utf-8"
    )
    (folder / "evaluation.md").write_text(as_markdown(summary, context), encoding="utf-8")


ROWS_OF_TABLE: tuple[tuple[str, str], ...] = (
    ("patients", "patients"),
    *((f"icc:{name}", f"ICC(2,1) {name} [95 % CI]") for name in NAMES),
    ("kappa_linear", "linear kappa, 4 categories"),
    ("kappa_quadratic", "quadratic kappa, 4 categories"),
    ("reclassified", "reclassified"),
    ("lesion_sensitivity", "lesion sensitivity"),
    ("right_vessel", "found lesions in the right vessel"),
    ("false_lesions_per_scan", "false lesions a scan"),
    ("zero", "calcium-free patients scored 0"),
    ("seconds_mean", "seconds a scan, mean"),
    ("seconds_max", "seconds a scan, longest"),
)
PERCENT = {"reclassified", "lesion_sensitivity", "right_vessel"}


def cell(summary: dict, key: str) -> str:
    """Return one figure as a table shows it."""
    if key.startswith("icc:"):
        icc = summary["icc"][key[4:]]
        if None in icc.values():
            return "-"
        return f"{icc['value']:.3f} [{icc['low']:.3f}, {icc['high']:.3f}]"
    if key == "zero":
        return f"{summary['zero_scored_zero']} of {summary['zero_patients']}"
    value = summary[key]
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{100 * value:.1f} %" if key in PERCENT else f"{value:.3f}" if "kappa" in key else f"{value:.2f}"


def as_markdown(summary: dict, context: dict) -> str:
    """Return the evaluation as a Markdown page."""
    names = list(summary)
    lines = [
        f"# Evaluation of {context['method']}",
        "",
        "Synthetic patients only: nothing here says how the method does on real patients. Research use only.",
        "",
        *(f"- {key}: {value}" for key, value in context.items()),
        "",
        "| | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    lines += [f"| {title} | " + " | ".join(cell(summary[n], key) for n in names) + " |" for key, title in ROWS_OF_TABLE]
    return "\n".join(lines) + "\n"
