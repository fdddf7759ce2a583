"""What is to be said about a CT volume whatever file it came from."""

from __future__ import annotations

import numpy as np

from CACScoringLib.ct.geometry import thickness_findings
from CACScoringLib.ct.series import MIN_SLICES
from CACScoringLib.ct.series_choice import HEART_EXTENT_MM, HEART_FIELD_MM
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse, warning

TINY_EXTENT_MM = 30.0
TINY_FIELD_MM = 60.0
"""Shorter or narrower than this, no part of a heart can be judged."""

AIR_HU = -300
"""Lung and air lie below; soft tissue and fat above."""

SOFT_TISSUE_HU = (-150, 150)
MIN_AIR_FRACTION = 0.003
MIN_SOFT_FRACTION = 0.02
"""A chest CT has a third of each; an MRI, a PET, a label map or a windowed picture has no air at all."""

KVP_RANGE = (60.0, 160.0)
_SAMPLES_PER_AXIS = 96
_SHIFTED_FRACTION = 0.1


def check_volume(ct: CTVolume) -> list[Finding]:
    """Return the findings on size, values and acquisition of a CT.

    Raises
    ------
    InputRefusedError
        ``too-few-slices``, ``small-field-of-view`` (tiny) or ``not-hounsfield``.
    """
    found = _size_findings(ct)
    _refuse_other_units(ct.hu)
    found.extend(thickness_findings(ct.acquisition.slice_thickness_mm, ct.spacing_mm[0]))
    if abs(ct.spacing_mm[1] - ct.spacing_mm[2]) > 0.01 * ct.spacing_mm[1]:
        found.append(
            info(
                "non-square-pixels",
                f"Pixels are {ct.spacing_mm[2]:.3g} x {ct.spacing_mm[1]:.3g} mm: their true area is used.",
            )
        )
    kvp = ct.acquisition.kvp
    if kvp is None:
        found.append(
            warning(
                "unknown-kvp", "The tube voltage is not known: thresholds for 120 kVp apply unless --kvp gives another."
            )
        )
    elif not KVP_RANGE[0] <= kvp <= KVP_RANGE[1]:
        found.append(
            warning("unknown-kvp", f"A tube voltage of {kvp:g} kV is not plausible: give the true one with --kvp.")
        )
    return found


def _size_findings(ct: CTVolume) -> list[Finding]:
    extents = [n * s for n, s in zip(ct.shape, ct.spacing_mm, strict=True)]
    length, field = extents[0], min(extents[1:])
    if ct.shape[0] < MIN_SLICES:
        raise InputRefusedError(
            refuse(
                "too-few-slices",
                f"The scan has {ct.shape[0]} slices; at least {MIN_SLICES} are needed: give the whole series.",
            )
        )
    size = f"The scan covers {extents[2]:.0f} x {extents[1]:.0f} mm and {length:.0f} mm along the body"
    if length < TINY_EXTENT_MM or field < TINY_FIELD_MM:
        raise InputRefusedError(refuse("small-field-of-view", f"{size}: too little to hold a heart."))
    if length < HEART_EXTENT_MM or field < HEART_FIELD_MM:
        return [warning("small-field-of-view", f"{size}: the heart may be cut, and the score too low.")]
    return []


def _refuse_other_units(hu: np.ndarray) -> None:
    """Refuse values that cannot be Hounsfield units: no air or lung, or no soft tissue."""
    sample = hu[tuple(slice(None, None, max(1, n // _SAMPLES_PER_AXIS)) for n in hu.shape)]
    air = _fraction(sample, -1025, AIR_HU)
    soft = _fraction(sample, *SOFT_TISSUE_HU)
    if air >= MIN_AIR_FRACTION and soft >= MIN_SOFT_FRACTION:
        return
    low, high = int(sample.min()), int(sample.max())
    if low >= 0 and _fraction(sample, 0, 200) > _SHIFTED_FRACTION and _fraction(sample, 900, 1150) > _SHIFTED_FRACTION:
        reason = "they seem to be shifted by 1024; subtract 1024 or export with rescale"
    elif air < MIN_AIR_FRACTION:
        reason = "there is no air or lung, as in an MRI, a PET, a label map or a windowed picture"
    else:
        reason = "there is no soft tissue"
    raise InputRefusedError(
        refuse("not-hounsfield", f"Values from {low} to {high} are not Hounsfield units of a chest: {reason}.")
    )


def _fraction(sample: np.ndarray, low: float, high: float) -> float:
    return float(np.mean((sample >= low) & (sample < high)))
