"""The folder through which a program hands one scan to a worker that compares methods, and gets the result back.

job.json  ct.npy                the scan, as for one method (``methods.job_files``)
compare.json                    which methods, by which rules
comparison.json  attention.npz  the result; the ``.json`` is written last, so that half a result is none
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.methods.job_files import JobFileError, PredictJob, read_job, write_job
from CACScoringLib.methods.score_files import attention_map, attention_place
from CACScoringLib.methods.score_prediction import AttentionMap
from CACScoringLib.models.json_files import json_object
from CACScoringLib.report.comparison.files import JSON, SCHEMA, comparison_document
from CACScoringLib.report.comparison.result import Comparison
from CACScoringLib.report.comparison.run import MethodChoice

REQUEST, ATTENTION = "compare.json", "attention.npz"
MAX_REQUEST_BYTES = 2**16
MAX_RESULT_BYTES = 2**26
"""Thousands of lesions take a few megabytes."""


@dataclass(frozen=True)
class CompareJob:
    """What a worker process is asked to compare.

    Attributes
    ----------
    choices : tuple of MethodChoice
    device, threads, models_folder
        As in ``PredictJob``.
    kvp : float or None
        Tube voltage instead of the scan's own.
    preset : str
    """

    choices: tuple[MethodChoice, ...]
    device: str = "auto"
    threads: int | None = None
    models_folder: str | None = None
    kvp: float | None = None
    preset: str = "agatston-1990"


@dataclass(frozen=True, eq=False)
class CompareResult:
    """What a worker process found.

    Attributes
    ----------
    document : dict
        ``comparison.json``.
    attention : dict of str to AttentionMap
        By method, of those that say what their score rests on.
    """

    document: dict[str, Any]
    attention: dict[str, AttentionMap] = field(default_factory=dict)


def write_compare_job(folder: Path, job: CompareJob, ct: CTVolume) -> None:
    """Write what the worker needs to know into an existing folder."""
    first = job.choices[0]
    write_job(folder, PredictJob(first.method, first.model, job.device, job.threads, None, job.models_folder), ct)
    request = {"choices": [asdict(choice) for choice in job.choices], "kvp": job.kvp, "preset": job.preset}
    (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")


def read_compare_job(folder: Path) -> tuple[CompareJob, CTVolume]:
    """Return the job and the scan of a folder.

    Raises
    ------
    JobFileError
        If a file is missing, damaged or too large.
    """
    job, ct = read_job(folder)
    try:
        request = json_object(folder / REQUEST, MAX_REQUEST_BYTES)
        choices = tuple(MethodChoice(str(entry["method"]), entry["model"]) for entry in request["choices"])
        kvp = None if request["kvp"] is None else float(request["kvp"])
        return CompareJob(choices, job.device, job.threads, job.models_folder, kvp, str(request["preset"])), ct
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise JobFileError(f"{REQUEST} cannot be read ({error}).") from error


def write_compare_result(folder: Path, compared: Comparison) -> None:
    """Write a worker's result."""
    maps = [(row.name, row.attention) for row in compared.done if row.attention is not None]
    np.savez(folder / ATTENTION, **{f"values_{number}": entry.values for number, (_, entry) in enumerate(maps)})
    document = comparison_document(compared) | {
        "attention": [{"method": name, **attention_place(entry)} for name, entry in maps]
    }
    temporary = folder / f"{JSON}.tmp"
    temporary.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
    temporary.replace(folder / JSON)


def read_compare_result(folder: Path) -> CompareResult:
    """Return a worker's result.

    Raises
    ------
    JobFileError
        If there is none, or it is damaged.
    """
    try:
        document = json_object(folder / JSON, MAX_RESULT_BYTES)
        if document.get("schema") != SCHEMA or not isinstance(document.get("methods"), list):
            raise ValueError("is not a comparison")
        with np.load(folder / ATTENTION, allow_pickle=False) as arrays:
            attention = {
                str(entry["method"]): attention_map(arrays[f"values_{number}"], entry)
                for number, entry in enumerate(document.pop("attention"))
            }
        return CompareResult(document, attention)
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise JobFileError(f"The comparison cannot be read ({error}).") from error
