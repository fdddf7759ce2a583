"""Stand-ins for methods on one small CT whose scores are written out here. No test lives here."""

from __future__ import annotations

import numpy as np

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.findings import warning
from CACScoringLib.inference.grids import Grid
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.methods.score_prediction import AttentionMap, ScorePrediction
from CACScoringLib.models import ModelError
from CACScoringLib.report.comparison import MethodChoice

SPACING_MM = (3.0, 1.0, 1.0)
"""Pixels of 1 mm2, slices of 3 mm: Agatston = pixels x weight, volume = 3 x voxels."""
ORIGIN_MM = (10.0, 20.0, -100.0)
SAME = (slice(2, 3), slice(4, 6), slice(4, 7))
"""6 pixels of 250 HU, LAD by both: Agatston 12."""
OTHER_VESSEL = (slice(3, 4), slice(10, 12), slice(10, 12))
"""4 pixels of 450 HU, LCX by the first, LAD by the second: 16."""
MISSED = (slice(5, 6), slice(16, 17), slice(3, 6))
"""3 pixels of 150 HU, RCA by the first, aorta by the second: 3."""
SHORTER = (slice(6, 8), slice(16, 18), slice(12, 14))
"""4 pixels of 350 HU in two slices, RCA by both, the second marks the lower one only: 24 and 12."""

FIRST, SECOND, SLICES, BROKEN = "first", "second", "slices", "broken"
TOTALS = {FIRST: 12.0 + 16 + 3 + 24, SECOND: 12.0 + 16 + 12, SLICES: 120.0}
SLICE_Z_MM = np.array([6.0, 7.5, 9.0, 10.5, 15.0, 18.0])
SLICE_AGATSTON = np.array([10.0, 5.0, 20.0, 0.0, 60.0, 25.0], np.float32)
CHOICES = tuple(MethodChoice(name) for name in (FIRST, BROKEN, SLICES, SECOND))


def a_ct() -> CTVolume:
    """Return tissue of 40 HU with the four lesions."""
    hu = np.full((10, 24, 24), 40, np.int16)
    for place, value in ((SAME, 250), (OTHER_VESSEL, 450), (MISSED, 150), (SHORTER, 350)):
        hu[place] = value
    return CTVolume(hu, SPACING_MM, ORIGIN_MM, acquisition=Acquisition(kvp=120.0))


def first_labels() -> np.ndarray:
    labels = np.zeros((10, 24, 24), np.uint8)
    for place, label in ((SAME, 2), (OTHER_VESSEL, 3), (MISSED, 4), (SHORTER, 4)):
        labels[place] = label
    return labels


def second_labels() -> np.ndarray:
    labels = first_labels()
    labels[OTHER_VESSEL], labels[MISSED], labels[7] = 2, 11, 0
    return labels


def attention() -> AttentionMap:
    """Return attention on cells of 3 x 4 x 4 mm: 2 in the cell round the lesion in another vessel, 0 elsewhere."""
    values = np.zeros((10, 6, 6), np.float32)
    values[3, 2, 2] = 2.0
    return AttentionMap(values, Grid((3.0, 4.0, 4.0), (0.0, 1.5, 1.5), values.shape))


def predict(ct, method, *, model=None, device="cpu", progress=None, cancelled=None):
    """Answer as ``methods.predict``."""
    progress(0.5, "Looking")
    if method == BROKEN:
        raise ModelError("Model 'broken' has no weights.")
    if method == SLICES:
        return ScorePrediction(
            method,
            "s1",
            "c" * 64,
            scheme="screening-5",
            category="100-400",
            agatston=120.0,
            volume_mm3=90.0,
            slice_z_mm=SLICE_Z_MM,
            slice_agatston=SLICE_AGATSTON,
            attention=attention(),
            needs_review=True,
            findings=(warning("slices-too-thick", "The slices are thick."),),
        )
    labels = first_labels() if method == FIRST else second_labels()
    return Prediction(method, f"{method[0]}1", "a" * 64, labels=labels)
