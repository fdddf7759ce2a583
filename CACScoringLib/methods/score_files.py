"""A score without labels, and its attention map, as the files that a worker process leaves (see ``job_files``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from CACScoringLib.findings import Finding
from CACScoringLib.inference.grids import Grid
from CACScoringLib.methods.score_prediction import AttentionMap, HeartBox, ScorePrediction, heart_box
from CACScoringLib.scoring.presets import PRESETS
from CACScoringLib.scoring.risk import SCHEMES

ATTENTION = "attention"
"""The array with the values of the map."""
MAX_ATTENTION_VALUES = 2**26
"""512 slices of 256 x 256 cells take half of it."""
MAX_SLICES = 2**16
_BY_SLICE = ("slice_z_mm", "slice_agatston", "slice_volume_mm3", "slice_category_probability")


def score_arrays(prediction: ScorePrediction) -> dict[str, np.ndarray]:
    """Return the arrays of a score, by name."""
    arrays = {name: getattr(prediction, name) for name in _BY_SLICE if getattr(prediction, name) is not None}
    if prediction.attention is not None:
        arrays[ATTENTION] = prediction.attention.values
    return arrays


def score_entries(prediction: ScorePrediction) -> dict[str, Any]:
    """Return all else of a score, as JSON takes it."""
    box, attention = prediction.heart_box, prediction.attention
    return {
        "method": prediction.method,
        "model_id": prediction.model_id,
        "model_sha256": prediction.model_sha256,
        "scheme": prediction.scheme,
        "preset": prediction.preset,
        "category": prediction.category,
        "category_probability": {key: float(value) for key, value in prediction.category_probability.items()},
        "agatston": _number(prediction.agatston),
        "volume_mm3": _number(prediction.volume_mm3),
        "attention": None if attention is None else attention_place(attention),
        "heart_box": None if box is None else [list(box.low_mm), list(box.high_mm)],
        "needs_review": None if prediction.needs_review is None else bool(prediction.needs_review),
        "findings": [finding.as_dict() for finding in prediction.findings],
        "timings_s": {key: float(value) for key, value in prediction.timings_s.items()},
    }


def score_of(entries: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> ScorePrediction:
    """Return the score that ``score_entries`` and ``score_arrays`` were made of.

    Raises
    ------
    ValueError, KeyError, TypeError
        If they are not of one.
    """
    scheme, category, preset = str(entries["scheme"]), entries["category"], str(entries["preset"])
    if scheme not in SCHEMES or preset not in PRESETS or category not in (None, *SCHEMES[scheme].groups):
        raise ValueError(f"no category {category} of {scheme} by {preset}")
    by_slice = {name: _checked(arrays[name], name) for name in _BY_SLICE if name in arrays}
    if len({len(values) for values in by_slice.values()}) > 1:
        raise ValueError("not as many scores as slices")
    place = entries["attention"]
    return ScorePrediction(
        method=str(entries["method"]),
        model_id=str(entries["model_id"]),
        model_sha256=str(entries["model_sha256"]),
        scheme=scheme,
        preset=preset,
        category=category,
        category_probability={str(key): float(value) for key, value in entries["category_probability"].items()},
        agatston=_number(entries["agatston"]),
        volume_mm3=_number(entries["volume_mm3"]),
        **by_slice,
        attention=None if place is None else attention_map(arrays[ATTENTION], place),
        heart_box=_box(entries["heart_box"]),
        needs_review=None if entries["needs_review"] is None else bool(entries["needs_review"]),
        findings=tuple(map(Finding.from_dict, entries["findings"])),
        timings_s={str(key): float(value) for key, value in entries["timings_s"].items()},
    )


def attention_place(attention: AttentionMap) -> dict[str, Any]:
    """Return where an attention map lies, as JSON takes it."""
    return {"spacing_mm": list(attention.grid.spacing_mm), "offset_mm": list(attention.grid.offset_mm)}


def attention_map(values: np.ndarray, place: Mapping[str, Any]) -> AttentionMap:
    """Return the attention map of an array and its ``attention_place``.

    Raises
    ------
    ValueError, KeyError, TypeError
        If they are not of one.
    """
    spacing, offset = (tuple(float(value) for value in place[key]) for key in ("spacing_mm", "offset_mm"))
    if values.ndim != 3 or values.dtype != np.float32 or values.size > MAX_ATTENTION_VALUES:
        raise ValueError(f"attention of {values.dtype} and shape {values.shape}")
    if len(spacing) != 3 or len(offset) != 3 or not min(spacing) > 0 or not np.isfinite([*spacing, *offset]).all():
        raise ValueError("attention without a place")
    return AttentionMap(values, Grid(spacing, offset, values.shape))


def _checked(values: np.ndarray, name: str) -> np.ndarray:
    dimensions = 2 if name == "slice_category_probability" else 1
    if values.ndim != dimensions or values.dtype.kind != "f" or len(values) > MAX_SLICES:
        raise ValueError(f"{name} of {values.dtype} and shape {values.shape}")
    return values


def _box(corners: Any) -> HeartBox | None:
    if corners is None:
        return None
    low, high = (np.asarray(corner, float) for corner in corners)
    if low.shape != (3,) or high.shape != (3,):
        raise ValueError("a heart box without two corners")
    return heart_box(low, high)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
