"""How sure the network is, kept with the segmentation that it filled and shown for what is still as it filled it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from CACScoringLib.mrml.attributes import read_json, write_json
from CACScoringLib.scoring.uncertainty import REVIEW

if TYPE_CHECKING:
    from CACScoringLib.scoring import CalciumScore

CERTAINTY_ATTRIBUTE = "CACScoring.Certainty"
"""Attribute of a segmentation, as JSON: the confidence of each lesion, and how sure the score as a whole is."""
DECIMALS = 3
"""Of a centroid in voxels; a lesion that has lost or won a voxel has another one."""


def write_certainty(segmentation_node: Any, scores: CalciumScore | None) -> None:
    """Keep how sure a segmentation's lesions and score are; None where nothing is known.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    scores : CalciumScore or None
        Of the segmentation as the network has filled it, with confidence and uncertainty.
    """
    if scores is None:
        segmentation_node.RemoveAttribute(CERTAINTY_ATTRIBUTE)
        return
    document = scores.as_dict()
    kept = {
        "total": _basis(document),
        "lesions": {_key(lesion): lesion["confidence"] for lesion in document["lesions"]},
        "uncertainty": document.get("uncertainty"),
        "findings": [finding.as_dict() for finding in scores.findings if finding.code == REVIEW],
    }
    write_json(segmentation_node, CERTAINTY_ATTRIBUTE, kept)


def add_certainty(segmentation_node: Any, document: dict[str, Any]) -> dict[str, Any]:
    """Return scores with the confidence of lesions that are as the network left them.

    How sure the score as a whole is, and whether it needs review, is added only where nothing that scores was changed
    and it is scored by the same rules.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    document : dict
        As ``scores.json``.
    """
    kept = read_json(segmentation_node, CERTAINTY_ATTRIBUTE, dict)
    if not kept or not isinstance(kept.get("lesions"), dict):
        return document
    known = kept["lesions"]
    keys = [_key(lesion) for lesion in document["lesions"]]
    lesions = [
        {**one, "confidence": _probability(known.get(key))} for one, key in zip(document["lesions"], keys, strict=True)
    ]
    document = {**document, "lesions": lesions}
    if _is_uncertainty(kept.get("uncertainty")) and kept.get("total") == _basis(document) and set(keys) == set(known):
        findings = [entry for entry in kept.get("findings") or () if isinstance(entry, Mapping)]
        document = {**document, "uncertainty": kept["uncertainty"], "findings": [*document["findings"], *findings]}
    return document


def _probability(value: Any) -> float | None:
    """Return a probability that a scene holds, None for anything else that it may hold."""
    return float(value) if isinstance(value, (int, float)) and 0.0 <= value <= 1.0 else None


def _is_uncertainty(stored: Any) -> bool:
    """Return whether a scene holds what ``ScoreUncertainty.as_dict`` wrote."""
    if not isinstance(stored, dict) or _probability(stored.get("stated_probability")) is None:
        return False
    interval = stored.get("agatston_interval")
    numbers = isinstance(interval, dict) and all(isinstance(interval.get(key), (int, float)) for key in ("p5", "p95"))
    return numbers and all(isinstance(stored.get(key), str) for key in ("scheme", "calibrated_on"))


def _basis(document: Mapping[str, Any]) -> list[Any]:
    """Return the total, and by which rules it was scored."""
    preset = document["preset"]
    return [round(document["total"]["agatston"], DECIMALS), preset["name"], preset.get("thickness_mode")]


def _key(lesion: Mapping[str, Any]) -> str:
    centre = ",".join(f"{value:.{DECIMALS}f}" for value in lesion["centroid_voxel"])
    return f"{lesion['vessel']} {lesion['voxels']} {centre}"
