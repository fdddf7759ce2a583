"""``cacscoring train six-class --folds``: cross-validation by patients, in a table beside the paper's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from CACScoringLib.methods.six_class import SCHEME
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.training.paper_figures import NGUYEN
from CACScoringLib.training.run_request import TrainingRequest
from CACScoringLib.training.six_class import SixClassSettings, check_labelling
from CACScoringLib.training.six_class_evaluation import ClassReport, SixClassEvaluation, check_folds, cross_validate
from CACScoringLib.training.slice_regression import load_cases

FIGURES = {"precision": "precision", "recall": "recall", "f1": "F1", "accuracy": "accuracy", "kappa": "kappa"}
"""Key and title of each figure of the paper."""


def run_folds(request: TrainingRequest, folds: int, *, labelling: str = "patient") -> SixClassEvaluation:
    """Cross-validate the classifier on synthetic patients and write what was measured.

    Parameters
    ----------
    request : TrainingRequest
        Its output gets ``cross-validation-LABELLING.json`` and ``.md``, and the checkpoints of the folds; its steps are
        those of each fold.
    folds : int
        At least 3; 5 in the paper.
    labelling : str
        ``patient``, as in the paper, or ``slice``.

    Raises
    ------
    ValueError
        If there are too few folds, or too few patients for them.
    """
    check_labelling(labelling)
    check_folds(folds, request.patients)

    def tell(fold: int, step: int, losses: dict[str, float]) -> None:
        request.report(f"fold {fold + 1} (loss {losses['loss']:.3f})", step, request.steps)

    settings = SixClassSettings(steps=request.steps, seed=request.seed, device=request.device)
    cases, folder = load_cases(request), request.output / "folds"
    found = cross_validate(cases, folder, labelling, settings, folds=folds, resume=request.resume, tick=tell)
    write_folds(request.output, found, steps=request.steps, folds=folds)
    return found


def write_folds(output: Path, found: SixClassEvaluation, *, steps: int, folds: int) -> None:
    """Write the figures of a cross-validation as JSON and as a table."""
    output.mkdir(parents=True, exist_ok=True)
    name = f"cross-validation-{found.labelling}"
    reports = {"slices": found.slices, "patients": found.patients}
    document = {
        "labelling": found.labelling,
        "folds": folds,
        "steps": steps,
        "patients": len(found.rows),
        "categories": list(SCHEMES[SCHEME].groups),
        **{key: figures_of(report) | {"matrix": report.matrix.tolist()} for key, report in reports.items()},
    }
    (output / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (output / f"{name}.md").write_text(table_of(found, steps=steps, folds=folds), encoding="utf-8")


def figures_of(report: ClassReport) -> dict[str, float]:
    """Return the figures of Nguyen 2025, Table 1: means over the categories that occur."""
    values = (*report.means, report.accuracy, float(report.kappa.value))
    return {key: round(float(value), 4) for key, value in zip(FIGURES, values, strict=True)}


def table_of(found: SixClassEvaluation, *, steps: int, folds: int) -> str:
    """Return the figures as Markdown, with the confusion matrix of the patients."""
    slices, patients = figures_of(found.slices), figures_of(found.patients)
    printed = {figure.key: figure.value for figure in NGUYEN.figures}
    means = "its patient's category" if found.labelling == "patient" else "the category of its own score"
    lines = [
        f"Cross-validation of `six-class`, labelling `{found.labelling}`: {len(found.rows)} synthetic patients in "
        f"{folds} folds, {steps} steps a fold; every patient is judged by the network that never saw it.",
        "",
        f"| | slices, against {means} | patients | Nguyen 2025, slices of 68 patients |",
        "| --- | --- | --- | --- |",
        *(
            f"| {title} | {slices[key]:.3f} | {patients[key]:.3f} | {printed[f'slices:{key}']:.3f} |"
            for key, title in FIGURES.items()
        ),
        "",
        "Patients (rows: reference):",
        "",
        "| | " + " | ".join(SCHEMES[SCHEME].groups) + " |",
        "| --- |" + " --- |" * len(SCHEMES[SCHEME].groups),
        *(
            f"| {name} | " + " | ".join(str(int(n)) for n in row) + " |"
            for name, row in zip(SCHEMES[SCHEME].groups, np.asarray(found.patients.matrix), strict=True)
        ),
        "",
    ]
    return "\n".join(lines)
