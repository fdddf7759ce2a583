"""``scores.json``: everything known about one scored scan, for programs (schema ``cacscoring/1``)."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

import CACScoringLib
from CACScoringLib.findings import Finding

SCHEMA = "cacscoring/1"

_AS_THEY_ARE = frozenset({str, int, bool, type(None)})


def scores_document(
    scores: Mapping[str, Any],
    *,
    model: Mapping[str, Any],
    findings: Iterable[Finding] = (),
    timings_s: Mapping[str, float] | None = None,
    input_path: str | None = None,
) -> dict[str, Any]:
    """Return ``scores.json`` as a dictionary.

    Parameters
    ----------
    scores : mapping
        ``CalciumScore.as_dict()``.
    model : mapping
        ``id`` and ``sha256`` of the weights, or ``id`` None and ``mask`` where labels were given.
    findings : iterable of Finding
        Those of the input, the method and the score; each is written once.
    timings_s : mapping of str to float, optional
        Seconds of each step.
    input_path : str, optional
        What was scored, as the user named it.

    Returns
    -------
    dict
        Plain Python values; numbers that do not exist are None. ``acquisition.kvp`` is the tube voltage that the
        score rests on; ``acquisition.kvp_given`` is true where a person gave it, and absent where the scan says it.
    """
    own = scores.get("findings", ())
    unique = dict.fromkeys(
        (entry["severity"], entry["code"], entry["message"])
        for entry in [*(finding.as_dict() for finding in findings), *(_finding_dict(entry) for entry in own)]
    )
    document = {
        "schema": SCHEMA,
        "input": input_path,
        **{key: value for key, value in scores.items() if key not in ("schema", "findings")},
        **_with_given_kvp(scores),
        "model": dict(model),
        "findings": [dict(zip(("severity", "code", "message"), entry, strict=True)) for entry in unique],
        "timings_s": {name: round(float(seconds), 4) for name, seconds in (timings_s or {}).items()},
        "software": software(),
    }
    return plain(document)


def _with_given_kvp(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return the acquisition with the tube voltage that the score rests on, marked where the scan does not say it."""
    acquisition = scores.get("acquisition")
    used = ((scores.get("preset") or {}).get("thresholds") or {}).get("kvp")
    if acquisition is None or used is None or used == acquisition.get("kvp"):
        return {}
    return {"acquisition": {**acquisition, "kvp": used, "kvp_given": True}}


def software() -> dict[str, str]:
    """Return what computed the scores."""
    return {"name": "CACScoring", "version": CACScoringLib.__version__, "python": platform.python_version()}


def plain(value: Any) -> Any:
    """Return ``value`` made of what JSON knows; NaN and infinity become None."""
    if type(value) in _AS_THEY_ARE:  # nearly all of a score: without asking what else they could be
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written to scores.json")


def to_json(document: Mapping[str, Any]) -> str:
    """Return the text of ``scores.json``, ending with a line feed."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _finding_dict(entry: Finding | Mapping[str, str]) -> Mapping[str, str]:
    return entry.as_dict() if isinstance(entry, Finding) else entry
