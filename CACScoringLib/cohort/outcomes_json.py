"""The numbers of a report on outcomes, for programs."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from CACScoringLib.cohort.outcomes import Outcomes
    from CACScoringLib.cohort.progression_table import CohortProgression

SCHEMA = "cacscoring-outcomes/1"


def outcomes_json(result: Outcomes, methods: str, progress: CohortProgression | None = None) -> str:
    """Return all statistics; what is not defined is null. Values of single patients are not in it."""
    patients = result.patients
    document = {
        "schema": SCHEMA,
        "patients": patients.n,
        "events": int(patients.event.sum()),
        "excluded": patients.excluded,
        "scheme": patients.scheme.name,
        "unit": patients.unit,
        "follow_up": dict(zip(("median", "lower_quartile", "upper_quartile"), result.follow_up, strict=True)),
        "scores": {
            part.score.name: {
                "categories": [
                    {"category": curve.name, "patients": curve.n, "events": curve.events} for curve in part.curves
                ],
                "log_rank": part.log_rank,
                "univariable": part.univariable,
                "multivariable": part.multivariable,
                "negative_predictive_value_of_zero": part.zero,
            }
            for part in result.scores
        },
        "covariates": result.covariates,
        "concordance": result.concordance,
        "net_reclassification": result.reclassification,
        "predictive_values_of_zero": result.zero,
        "progression": progress
        and {f.name: getattr(progress, f.name) for f in fields(progress) if f.name not in _SINGLE},
        "findings": [finding.as_dict() for finding in result.findings],
        "methods": methods,
    }
    return json.dumps(_plain(document), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


_SINGLE = ("patients", "rows", "findings")
"""What a progression says of single patients, or what is said elsewhere."""


def _cohort(progress: CohortProgression | None) -> dict[str, Any] | None:
    if progress is None:
        return None
    return {part.name: getattr(progress, part.name) for part in fields(progress) if part.name not in _SINGLE}


def _plain(value: Any) -> Any:
    """Return dataclasses, arrays and NaN as what JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
