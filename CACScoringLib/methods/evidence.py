"""From what a network says about a scan's candidates to a prediction: whole lesions, how sure they are, findings."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, warning
from CACScoringLib.inference.candidates import Candidates
from CACScoringLib.inference.confidence import UncertaintySettings
from CACScoringLib.inference.grids import Grid
from CACScoringLib.inference.heart import (
    HIGHEST_SLICE_SHARE,
    LOWEST_SLICE_SHARE,
    SMALLEST_HEART_ML,
    HeartFinder,
    heart_cut,
    heart_volume_ml,
)
from CACScoringLib.inference.lesions import DecisionSettings, LesionDecision, decide
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.methods.uncertainty import scan_uncertainty
from CACScoringLib.models import ModelBundle
from CACScoringLib.vocabulary import is_vessel

NO_WHOLE_HEART = ("heart-not-found", "heart-incomplete", "heart-cut")
"""Findings with which nothing is said about how sure the category is: calcium may lie outside the scan."""


@dataclass(frozen=True, eq=False)
class NetworkView:
    """What the network alone said, and what a classifier of lesions is asked about.

    Attributes
    ----------
    calcium : ndarray of float32, shape (n, 5)
        Probabilities before the second look.
    islands : ndarray of int64, shape (k,)
        Islands that are looked at again.
    features : ndarray of float32, shape (k, features)
        Theirs (``inference/lesion_features.py``).
    """

    calcium: np.ndarray
    islands: np.ndarray
    features: np.ndarray


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the network says about a scan, before anything is decided.

    Attributes
    ----------
    structures : ndarray of uint8, shape (z, y, x)
        On the ``coarse`` grid.
    candidates : Candidates
    calcium, non_coronary : ndarray of float32, shape (n, 5)
        Probabilities at every candidate voxel, as ``decide`` takes them.
    timings_s : dict of str to float
    network : NetworkView or None
        Where a second look at lesions is possible.
    """

    structures: np.ndarray
    coarse: Grid
    candidates: Candidates
    calcium: np.ndarray
    non_coronary: np.ndarray
    timings_s: dict[str, float]
    network: NetworkView | None = None


def decided(ct: CTVolume, evidence: Evidence, bundle: ModelBundle, *, method: str, heart: HeartFinder) -> Prediction:
    """Decide about every lesion with the bundle's settings.

    Parameters
    ----------
    ct : CTVolume
    evidence : Evidence
    bundle : ModelBundle
    method : str
    heart : callable
        Who found the heart.
    """
    clock = time.perf_counter()
    candidates, calcium = evidence.candidates, evidence.calcium
    settings = DecisionSettings.from_bundle(bundle.settings)
    decision = decide(candidates, calcium, evidence.non_coronary, ct.voxel_volume_mm3, settings)
    problems = (*heart_findings(evidence.structures, evidence.coarse), *source_findings(heart))
    uncertainty = None
    calibrated = UncertaintySettings.from_bundle(bundle.settings)
    if calibrated is not None:
        uncertainty, sure = scan_uncertainty(ct, candidates, calcium, decision, calibrated)
        decision = replace(decision, probability=sure)
    if any(finding.code in NO_WHOLE_HEART for finding in problems):
        uncertainty = None
    decision = replace(decision, label=without_bone(candidates, decision.label))
    labels, lesion_index, sure = paint(ct.shape, candidates, decision)
    timings = evidence.timings_s | {"calcium": evidence.timings_s["calcium"] + time.perf_counter() - clock}
    return Prediction(
        method=method,
        model_id=bundle.id,
        model_sha256=bundle.sha256,
        labels=labels,
        structures=evidence.structures,
        structures_spacing_mm=evidence.coarse.spacing_mm,
        structures_offset_mm=evidence.coarse.offset_mm,
        lesion_index=lesion_index,
        lesion_probability=sure,
        uncertainty=uncertainty,
        findings=problems,
        timings_s=timings,
    )


def without_bone(candidates: Candidates, label: np.ndarray) -> np.ndarray:
    """Return the labels of the candidate voxels without those of other calcification on what was cut off bone.

    The heart region cuts ribs and spine into pieces that look like specks of aorta. A vessel's label stays: in a
    noisy scan a lesion may be joined to bone.
    """
    if candidates.of_bone is None:
        return label
    coronary = is_vessel(label)
    return np.where(candidates.of_bone[candidates.lesion] & ~coronary, label.dtype.type(0), label)


def heart_findings(structures: np.ndarray, coarse: Grid) -> tuple[Finding, ...]:
    """Say when no heart, or only a part of one, was found."""
    volume = heart_volume_ml(structures, coarse)
    if volume == 0:
        advice = "so no calcium was looked for: check that the scan covers the heart."
        return (warning("heart-not-found", f"No heart was found in this scan, {advice}"),)
    if volume < SMALLEST_HEART_ML:
        advice = "the scan may cover a part of the heart only, so calcium may be missed."
        return (warning("heart-incomplete", f"Only {volume:.0f} ml of heart was found: {advice}"),)
    return cut_findings(*heart_cut(structures))


def cut_findings(lowest: float, highest: float) -> tuple[Finding, ...]:
    """Say when a scan begins or ends within the heart, from what ``heart_cut`` returns."""
    cut = [
        f"its {name} slice holds {share:.0%} of the heart's largest cross-section"
        for name, share, limit in (
            ("lowest", lowest, LOWEST_SLICE_SHARE),
            ("highest", highest, HIGHEST_SLICE_SHARE),
        )
        if share >= limit
    ]
    if not cut:
        return ()
    text = f"The scan does not cover the whole heart: {' and '.join(cut)}"
    return (warning("heart-cut", f"{text}. Calcium beyond is missed, and the score may be too low."),)


def source_findings(heart: HeartFinder) -> tuple[Finding, ...]:
    """Say who found the heart, where it was not the network."""
    finding = getattr(heart, "finding", None)
    return () if finding is None else (finding,)


def paint(
    shape: tuple[int, int, int], candidates: Candidates, decision: LesionDecision
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the decisions on the CT's grid.

    Returns
    -------
    labels : ndarray of uint8, shape (z, y, x)
    lesion_index : ndarray of int32, shape (z, y, x)
        1..n where a lesion is labelled, else 0.
    probability : ndarray of float32, shape (n,)
    """
    labels = np.zeros(shape, np.uint8)
    lesion_index = np.zeros(shape, np.int32)
    place = tuple(candidates.index.T)
    labels[place] = decision.label
    kept = np.unique(candidates.lesion[decision.label > 0])
    number = np.zeros(max(candidates.count, 1), np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    lesion_index[place] = np.where(decision.label > 0, number[candidates.lesion], 0) if candidates.count else 0
    return labels, lesion_index, decision.probability[kept]
