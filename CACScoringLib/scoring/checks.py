"""What a reader must know about slices, labels and calibration before trusting a score."""

from __future__ import annotations

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse, warning
from CACScoringLib.scoring.agatston import REFERENCE_INCREMENT_MM
from CACScoringLib.scoring.mass import MassCalibration
from CACScoringLib.vocabulary import LABEL_BY_VALUE

THICKNESS_MODES = ("scale", "resample", "none")
THIN_MM = 2.0
"""Below this increment noise in thin slices raises the score (SCCT guidance recommends 2.5 to 3 mm)."""
THICK_MM = 3.0
"""Above this thickness small lesions vanish in partial volume."""
OVERLAP_TOLERANCE = 0.01
"""Thickness may exceed the increment by this share before slices count as overlapping."""


def check_labels(ct: CTVolume, labels: np.ndarray) -> np.ndarray:
    """Return the label map as uint8.

    Raises
    ------
    InputRefusedError
        If it is not a label map on the CT's own grid.
    """
    labels = np.asarray(labels)
    if labels.shape != ct.shape:
        message = (
            f"The label map has {labels.shape} voxels (z, y, x) and the CT {ct.shape}: resample it to the CT's grid."
        )
        raise InputRefusedError(refuse("labels-on-another-grid", message))
    if labels.dtype == np.uint8:
        return labels
    if not np.issubdtype(labels.dtype, np.integer):
        message = f"A label map holds whole numbers (1 LM, 2 LAD, 3 LCX, 4 RCA, ...), not {labels.dtype}."
        raise InputRefusedError(refuse("labels-not-integer", message))
    if labels.size and (labels.min() < 0 or labels.max() > np.iinfo(np.uint8).max):
        raise InputRefusedError(
            refuse("labels-out-of-range", "The label map has values outside 0 to 255: use the labels of the project.")
        )
    return labels.astype(np.uint8)


def check_mode(thickness_mode: str) -> None:
    """Refuse an unknown way of treating slices that are not 3 mm apart."""
    if thickness_mode not in THICKNESS_MODES:
        message = f"There is no thickness mode {thickness_mode!r}; choose one of {', '.join(THICKNESS_MODES)}."
        raise InputRefusedError(refuse("unknown-thickness-mode", message))


def label_findings(values: np.ndarray) -> list[Finding]:
    """Return a finding about label values (those present) that mean nothing here."""
    unknown = [int(value) for value in values if int(value) not in LABEL_BY_VALUE]
    if not unknown:
        return []
    names = ", ".join(str(value) for value in unknown)
    return [warning("unknown-labels", f"Voxels with label {names} are not scored: no vessel has that value.")]


def slice_findings(ct: CTVolume, mode: str, resampled_mm: tuple[float, float] | None) -> list[Finding]:
    """Return findings about slice thickness and increment, each with what was done.

    Parameters
    ----------
    ct : CTVolume
    mode : str
        Thickness mode as asked.
    resampled_mm : tuple of float or None
        (thickness, increment) of the averages that were scored; None for acquired slices.
    """
    increment, thickness = ct.spacing_mm[0], ct.acquisition.slice_thickness_mm
    findings = []
    done = f"the score is scaled with {increment:g}/3 mm"
    if resampled_mm is not None:
        done = f"slices were averaged to {resampled_mm[0]:g} mm every {resampled_mm[1]:g} mm before scoring"
        findings.append(info("resampled", f"Slices {increment:g} mm apart: {done}."))
    elif mode == "resample":
        findings.append(
            info(
                "not-resampled",
                f"Slices {increment:g} mm apart cannot be averaged to {REFERENCE_INCREMENT_MM:g} mm; {done}.",
            )
        )
    elif mode == "none" and increment != REFERENCE_INCREMENT_MM:
        done = f"each slice counts fully although the increment is {increment:g} mm"
        findings.append(warning("not-scaled", f"Legacy mode: {done}, not 3 mm, so the score is not comparable."))
    if thickness is not None and thickness > increment * (1 + OVERLAP_TOLERANCE):
        findings.append(info("overlap-handled", f"Slices of {thickness:g} mm every {increment:g} mm overlap; {done}."))
    if resampled_mm is None and increment < THIN_MM and (thickness is None or thickness < THIN_MM):
        findings.append(
            warning(
                "thin-slices",
                f"Slices {increment:g} mm apart carry more noise than 3 mm slices and score higher: "
                "consider the thickness mode resample.",
            )
        )
    if max(increment, thickness or 0.0) > THICK_MM * (1 + OVERLAP_TOLERANCE):
        findings.append(
            info("thick-slices", f"Slices of {max(increment, thickness or 0.0):g} mm may hide small lesions.")
        )
    return findings


def calibration_findings(calibration: MassCalibration, calcified: bool) -> list[Finding]:
    """Return a finding where a mass rests on no calibration."""
    if calibration.calibrated or not calcified:
        return []
    return [
        info(
            "mass-uncalibrated",
            f"Mass uses the built-in factor {calibration.factor:g} mg/(mm3 HU), not a calibration of this scanner.",
        )
    ]


def once(*groups: tuple[Finding, ...] | list[Finding]) -> tuple[Finding, ...]:
    """Return findings in order, the first of each code only where it is said twice with the same code."""
    seen: dict[tuple[str, str], Finding] = {}
    codes_before: set[str] = set()
    for group in groups:
        for finding in group:
            if finding.code not in codes_before:
                seen.setdefault((finding.code, finding.message), finding)
        codes_before |= {finding.code for finding in group}
    return tuple(seen.values())
