"""A score without labels as ``scores.json`` has it: totals, category and slices, but no vessels and no lesions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse, warning
from CACScoringLib.methods.score_prediction import counted
from CACScoringLib.report.attention import agatston_of_slices, calcium_of_slices
from CACScoringLib.scoring.arterial_age import arterial_age
from CACScoringLib.scoring.percentiles import Demographics, percentiles
from CACScoringLib.scoring.presets import get_preset
from CACScoringLib.scoring.result import VesselScore
from CACScoringLib.scoring.thresholds import choose_thresholds
from CACScoringLib.scoring.uncertainty import REVIEW

if TYPE_CHECKING:
    from CACScoringLib.methods.prediction import Prediction
    from CACScoringLib.methods.score_prediction import ScorePrediction

WITHOUT_LABELS = "score-without-labels"
FROM_CATEGORIES = "score-from-categories"
"""The total is no measurement: every slice was put into a category, and adds what slices of it mostly have."""


def scores_without_labels(
    ct: CTVolume,
    prediction: ScorePrediction,
    *,
    preset: str | None = None,
    demographics: Demographics | None = None,
    findings: Iterable[Finding] = (),
) -> dict[str, Any]:
    """Return what ``report.scores_json.scores_document`` takes in place of ``CalciumScore.as_dict()``.

    Parameters
    ----------
    ct : CTVolume
        With the tube voltage that it was scored with.
    prediction : ScorePrediction
    preset : str, optional
        The preset that was asked for; a finding says that the score was learned from another one.
    demographics : Demographics, optional
        For percentiles and arterial age.
    findings : iterable of Finding
        More of them.

    Returns
    -------
    dict
        As of labels, with ``vessels`` and ``lesions`` empty, and None for what needs voxels. In addition ``category``
        (``scheme``, ``group``, ``probability``, ``calcium_found``, ``needs_review``) and ``slices``
        (acquired slices, with ``agatston`` or ``calcium_probability``). ``patient`` is None for a total that comes from
        the slices' categories: too rough for percentiles.

    Raises
    ------
    InputRefusedError
        If the method says nothing, such as where it found no heart.
    """
    if prediction.agatston is None and prediction.category is None:
        raise InputRefusedError(nothing_scored(prediction))
    nothing = dict.fromkeys(field.name for field in fields(VesselScore))
    totals = {"agatston": prediction.agatston, "volume_mm3": prediction.volume_mm3}
    rules = get_preset(prediction.preset)
    thresholds, doubts = choose_thresholds(ct.acquisition)
    said = (*ct.findings, *prediction.findings, *doubts, *findings, *_findings(prediction, preset))
    return {
        "total": {**nothing, **totals, "calcified_vessels": None, "diffusivity": None, "extent_z_mm": None},
        "vessels": {},
        "non_coronary": {},
        "risk": prediction.risk(),
        "category": {
            "scheme": prediction.scheme,
            "group": prediction.category,
            "probability": dict(prediction.category_probability),
            "calcium_found": _calcium_found(prediction),
            "needs_review": prediction.needs_review,
        },
        "patient": None if _from_categories(prediction) else _patient(prediction.agatston, demographics),
        "preset": {**rules.as_dict(), "threshold_hu": thresholds.calcium, "learned": True},
        "acquisition": ct.acquisition.as_dict(),
        "lesions": [],
        "slices": _slices(ct, prediction),
        "findings": [finding.as_dict() for finding in said],
    }


def nothing_scored(prediction: Prediction | ScorePrediction) -> Finding:
    """Return why a method gave neither a total nor a category, in its own words where it has any."""
    reason = next((finding.message for finding in prediction.findings), "The method found nothing to score.")
    return refuse("nothing-scored", reason)


def _calcium_found(prediction: ScorePrediction) -> bool:
    """Return whether the method says that there is coronary calcium."""
    if prediction.agatston is not None:
        return counted(prediction.agatston) > 0
    from CACScoringLib.scoring.risk import get_scheme

    return prediction.category != get_scheme(prediction.scheme).groups[0]


def _from_categories(prediction: ScorePrediction) -> bool:
    return prediction.agatston is not None and prediction.slice_category_probability is not None


def _findings(prediction: ScorePrediction, preset: str | None) -> tuple[Finding, ...]:
    ignored = "" if preset in (None, prediction.preset) else f", not from {preset}"
    message = (
        f"'{prediction.method}' marks no voxels: it names no vessels and no lesions, and there is nothing to correct. "
        f"Its score was learned from the preset {prediction.preset}{ignored}."
    )
    out = (info(WITHOUT_LABELS, message),)
    if _from_categories(prediction):
        words = "The total adds up what slices of a category mostly have: take the category, not the number."
        out += (info(FROM_CATEGORIES, words),)
    if prediction.needs_review:
        words = f"The category {prediction.category} ({prediction.scheme}) is in doubt: look at the scan."
        out += (warning(REVIEW, words),)
    return out


def _patient(agatston: float | None, demographics: Demographics | None) -> dict[str, Any] | None:
    if demographics is None or agatston is None:
        return None
    total = counted(agatston)
    placed = percentiles(total, demographics)
    return {
        **asdict(demographics),
        "arterial_age_years": arterial_age(total),
        "percentiles": {name: percentile.as_dict() for name, percentile in placed.items()},
    }


def _slices(ct: CTVolume, prediction: ScorePrediction) -> list[dict[str, float]]:
    """Return a row for each acquired slice that something is said of."""
    score, calcium = agatston_of_slices(ct, prediction), calcium_of_slices(ct, prediction)
    rows = []
    for z in sorted({*score, *calcium}):
        row: dict[str, float] = {"slice": z}
        if z in score:
            row["agatston"] = score[z]
        if z in calcium:
            row["calcium_probability"] = calcium[z]
        rows.append(row)
    return rows
