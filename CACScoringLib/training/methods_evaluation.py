"""Evaluate several methods on the same synthetic patients, each of which is generated once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from CACScoringLib.methods.registry import METHODS
from CACScoringLib.models import ModelBundle, ModelError, open_bundle
from CACScoringLib.models.bundle import WEIGHTS
from CACScoringLib.training.evaluated_patient import EvaluatedPatient, evaluate_methods
from CACScoringLib.training.evaluation import CODE, SCHEME, append_results, run_id
from CACScoringLib.training.patient_result import PatientResult

ROWS = "methods.jsonl"
CODE_OF_METHODS = (
    *CODE,
    "training/attention.py",
    "training/evaluated_patient.py",
    "training/method_slices.py",
    "training/slice_regression_cases.py",
)
"""What a line of ``methods.jsonl`` depends on besides the model."""


@dataclass(frozen=True)
class ChosenMethod:
    """A method that is evaluated, with its own model.

    Attributes
    ----------
    name : str
    bundle : ModelBundle
    run : str
        ``evaluation.run_id``.
    """

    name: str
    bundle: ModelBundle
    run: str


def choose_methods(preset: str, names: Sequence[str] | None = None) -> tuple[ChosenMethod, ...]:
    """Return the methods of these names, by default every one that ships with weights.

    Raises
    ------
    ModelError
        If there is none of a name, or its model is not there or damaged.
    """
    out = []
    for name in dict.fromkeys(names or METHODS):
        if name not in METHODS:
            raise ModelError(f"There is no method '{name}': choose one of {', '.join(METHODS)}.")
        bundle = open_bundle(METHODS[name].model)
        out.append(ChosenMethod(name, bundle, run_id(bundle, name, preset, CODE_OF_METHODS)))
    return tuple(out)


def megabytes(methods: Sequence[ChosenMethod]) -> dict[str, float]:
    """Return the size of the weights of each method's model in MB (10^6 bytes)."""
    return {method.name: (method.bundle.folder / WEIGHTS).stat().st_size / 1e6 for method in methods}


def read_rows(
    path: Path, methods: Sequence[ChosenMethod]
) -> tuple[list[str], dict[tuple[str, str, int], EvaluatedPatient]]:
    """Return the lines of an earlier run that hold, and what those of the chosen methods say.

    Lines of methods that are not chosen are kept as they are; lines of a chosen method with other weights, settings,
    preset or code, and half lines, are left out.

    Returns
    -------
    lines : list of str
    known : dict of (method, protocol, seed) to EvaluatedPatient
    """
    runs = {method.name: method.run for method in methods}
    lines: list[str] = []
    known: dict[tuple[str, str, int], EvaluatedPatient] = {}
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            if entry["method"] not in runs:
                lines.append(line + "\n")
            elif entry["run"] == runs[entry["method"]]:
                result = EvaluatedPatient.from_dict(entry)
                known.setdefault((result.method, result.patient.protocol, result.patient.seed), result)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return lines + [_line(result, runs[result.method]) for result in known.values()], known


def measured_with_all(folder: Path, method: str, bundle: ModelBundle, preset: str) -> list[PatientResult]:
    """Return what ``evaluate all`` has measured of a method, with the same weights, settings and code.

    Parameters
    ----------
    folder : Path
        Its ``--output``.
    method : str
    bundle : ModelBundle
    preset : str
    """
    chosen = ChosenMethod(method, bundle, run_id(bundle, method, preset, CODE_OF_METHODS))
    _, known = read_rows(folder / ROWS, [chosen])
    return [result.patient for result in known.values()]


def run_methods(
    wanted: Sequence[tuple[str, int]],
    folder: Path,
    methods: Sequence[ChosenMethod],
    *,
    preset: str,
    workers: int = 1,
    resume: bool = True,
    tick: Callable[[str], None] | None = None,
) -> dict[str, list[EvaluatedPatient]]:
    """Evaluate methods on patients, a line of ``methods.jsonl`` for each method and patient as they finish.

    A patient is generated where a method is missing for it, and only the missing methods are run on it.

    Parameters
    ----------
    wanted : sequence of (protocol, seed)
    folder : Path
    methods : sequence of ChosenMethod
    preset : str
    workers : int
    resume : bool
        False: run the chosen methods again on every patient.
    tick : callable, optional
        Called with a text once for every patient, those already there included.

    Returns
    -------
    dict of str to list of EvaluatedPatient
        By method, sorted by protocol and seed.
    """
    path = folder / ROWS
    lines, known = read_rows(path, methods)
    if not resume:
        chosen = {method.name for method in methods}
        lines = [line for line in lines if json.loads(line)["method"] not in chosen]
        known = {}
    runs = {method.name: method.run for method in methods}
    tell = tick or (lambda text: None)
    jobs = []
    for protocol, seed in dict.fromkeys(wanted):
        missing = tuple((m.name, str(m.bundle.folder)) for m in methods if (m.name, protocol, seed) not in known)
        if missing:
            jobs.append((protocol, seed, missing))
        else:
            tell(f"{protocol} {seed}")

    def took(results: list[EvaluatedPatient]) -> str:
        for result in results:
            known[result.method, result.patient.protocol, result.patient.seed] = result
        tell(f"{results[0].patient.protocol} {results[0].patient.seed}")
        return "".join(_line(result, runs[result.method]) for result in results)

    append_results(path, lines, partial(evaluate_methods, preset=preset, scheme=SCHEME), jobs, took, workers)
    return {
        method.name: [known[method.name, protocol, seed] for protocol, seed in sorted(set(wanted))]
        for method in methods
    }


def _line(result: EvaluatedPatient, run: str) -> str:
    return json.dumps({"run": run, **result.as_dict()}) + "\n"
