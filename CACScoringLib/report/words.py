"""Scores put into words: the lines that tables, pictures and files have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

RESEARCH_USE_ONLY = "Research use only. Not for diagnosis or treatment."
RISK_SHOWN = ("clinical-5", "spect-pet-4", "cac-drs")
"""The schemes a person is shown first; ``scores.json`` has them all."""


def number(value: float | None) -> str:
    """Return a score as people write it: one decimal below 100, none above, a dash for none.

    >>> number(0.0), number(3.14), number(1234.5), number(None)
    ('0', '3.1', '1,234', '–')
    """
    if value is None or value != value:
        return "–"
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def headline(scores: Mapping[str, Any]) -> str:
    """Return the result in one phrase."""
    total, own = scores["total"], scores.get("category")
    if not (total["lesions"] if own is None else own["calcium_found"]):
        return "No coronary calcium found"
    if total["agatston"] is None:
        return f"Risk category {own['group']} ({own['scheme']})"
    return f"Agatston {number(total['agatston'])}"


def risk_shown(scores: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the risk categories that are shown first, (scheme, group): a method's own one before all others."""
    risk, own = scores.get("risk") or {}, scores.get("category")
    names = dict.fromkeys((*(() if own is None else (own["scheme"],)), *RISK_SHOWN))
    return [(scheme, str(risk[scheme])) for scheme in names if scheme in risk]


def risk_line(scores: Mapping[str, Any]) -> str:
    """Return the risk categories that are shown first, each with its scheme."""
    return "  ·  ".join(f"{scheme}: {group}" for scheme, group in risk_shown(scores))


def certainty_line(scores: Mapping[str, Any]) -> str:
    """Return how sure the stated category is and where the total may lie; nothing where no method says so.

    >>> certainty_line({"risk": {}})
    ''
    """
    known = scores.get("uncertainty")
    if not known:
        return _own_certainty(scores.get("category"))
    scheme, interval = known["scheme"], known["agatston_interval"]
    low, high = number(interval["p5"]), number(interval["p95"])
    return (
        f"{scheme} {scores['risk'][scheme]}: probability {known['stated_probability']:.0%}  ·  "
        f"Agatston 90 % interval {low} to {high}  ·  calibrated on {known['calibrated_on']}"
    )


def _own_certainty(own: Mapping[str, Any] | None) -> str:
    """Return how sure a method without labels is of its category."""
    if own is None or not own["probability"]:
        return ""
    return f"{own['scheme']} {own['group']}: probability {own['probability'][own['group']]:.0%}"


def preset_line(scores: Mapping[str, Any]) -> str:
    """Return what the numbers rest on: preset, threshold and where the labels come from."""
    preset = scores.get("preset", {})
    words = [f"preset {preset.get('name', '?')}{' (learned)' if preset.get('learned') else ''}"]
    if preset.get("threshold_hu") is not None:
        words.append(f"threshold {preset['threshold_hu']:.4g} HU")
    words.append(labels_from(scores))
    return "  ·  ".join(words)


def labels_from(scores: Mapping[str, Any]) -> str:
    """Return who labelled the calcium: a model or a given mask."""
    model = scores.get("model") or {}
    if model.get("id"):
        return f"model {model['id']} ({(model.get('sha256') or '')[:8]})"
    return f"given labels {PurePath(model.get('mask') or '').name}".strip()


def acquisition_line(scores: Mapping[str, Any]) -> str:
    """Return how the scan was acquired, in a few words."""
    acquisition = scores.get("acquisition", {})
    kvp, increment, gated = (acquisition.get(key) for key in ("kvp", "increment_mm", "gated"))
    voltage = f"{kvp:g} kVp{' (given)' if acquisition.get('kvp_given') else ''}" if kvp else "kVp unknown"
    words = [acquisition.get("manufacturer") or "", voltage]
    if increment:
        words.append(f"{increment:.2f} mm increment")
    if gated is not None:
        words.append("ECG-gated" if gated else "not gated")
    return "  ·  ".join(word for word in words if word)


def patient_lines(scores: Mapping[str, Any]) -> list[str]:
    """Return percentiles and arterial age in words; nothing where age and sex are unknown."""
    patient = scores.get("patient")
    if not patient:
        return []
    who = f"{patient['age_years']:g} years, {patient['sex']}"
    lines = []
    for table, place in (patient.get("percentiles") or {}).items():
        group = f", {patient['ethnicity']}" if table.startswith("mesa") and patient.get("ethnicity") else ""
        lines.append(f"{table} ({who}{group}): percentile {place['band']}")
    if patient.get("arterial_age_years") is not None:
        lines.append(f"arterial age {patient['arterial_age_years']:.0f} years")
    return lines


def warnings_of(scores: Mapping[str, Any]) -> list[str]:
    """Return the messages of the findings that cast doubt on the score."""
    return [finding["message"] for finding in scores.get("findings", []) if finding["severity"] == "warning"]
