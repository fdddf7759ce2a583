"""Small scans, labels and nodes for the MRML tests; every number in them is written out here."""

from __future__ import annotations

import numpy as np

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.findings import info

_C, _S = np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))
DIRECTIONS = {
    "axial": np.eye(3),
    "rotated in plane": np.array([[_C, -_S, 0.0], [_S, _C, 0.0], [0.0, 0.0, 1.0]]),
    "head first reversed": np.diag([1.0, 1.0, -1.0]),  # left-handed
    "prone": np.diag([-1.0, -1.0, 1.0]),
    "oblique": np.array([[_C, 0.0, _S], [0.0, 1.0, 0.0], [-_S, 0.0, _C]]),
}
ORIGIN_MM = (12.25, -33.125, 1007.5)
SPACING_MM = (3.0, 0.5, 0.375)
ACQUISITION = Acquisition(
    kvp=120.0,
    slice_thickness_mm=3.0,
    increment_mm=3.0,
    kernel='B35f; 100%: "x" <1>',
    manufacturer="Größe",
    gated=True,
    contrast=False,
    series_uid="1.2.3.4",
    study_uid="1.2.3",
    patient_age_years=61.0,
    patient_sex="F",
)


def a_ct(direction: str = "axial", shape: tuple[int, int, int] = (6, 12, 14)) -> CTVolume:
    """A scan with a different value in every voxel, negative ones included."""
    hu = (np.arange(np.prod(shape)) * 7 % 1999 - 1000).astype(np.int16).reshape(shape)
    cosines = tuple(float(value) for value in DIRECTIONS[direction].ravel())
    return CTVolume(hu, SPACING_MM, ORIGIN_MM, cosines, ACQUISITION, (info("series-chosen", "The only series."),))


def some_labels(shape: tuple[int, int, int] = (6, 12, 14)) -> np.ndarray:
    """LM 1 voxel, LAD 6, RCA 4, aorta 2, other 1; LCX none."""
    labels = np.zeros(shape, np.uint8)
    labels[1, 2, 3] = 1
    labels[2:4, 4, 5:8] = 2
    labels[4, 6:8, 9:11] = 4
    labels[5, 10, 12:14] = 11
    labels[0, 0, 0] = 14
    return labels


def merged(labels: np.ndarray) -> np.ndarray:
    """The labels with everything outside the coronary arteries as one."""
    return np.where(labels > 10, 14, labels).astype(np.uint8)


def a_calcified_ct(direction: str = "axial") -> tuple[CTVolume, np.ndarray]:
    """Tissue of 40 HU with lesions.

    LAD: 2 x 3 pixels of 250 HU in one slice; RCA: 3 x 4 pixels of 450 HU in two slices; aorta: 4 x 4 of 600 HU.
    In pixels of 0.5 x 0.5 mm and slices of 3 mm: Agatston LAD 6 x 0.25 x 2 = 3, RCA 2 x 12 x 0.25 x 4 = 24.
    """
    hu = np.full((8, 20, 20), 40, np.int16)
    labels = np.zeros(hu.shape, np.uint8)
    for box, value, label in (
        ((slice(3, 4), slice(5, 7), slice(6, 9)), 250, 2),
        ((slice(4, 6), slice(12, 15), slice(3, 7)), 450, 4),
        ((slice(2, 3), slice(14, 18), slice(14, 18)), 600, 11),
    ):
        hu[box], labels[box] = value, label
    cosines = tuple(float(value) for value in DIRECTIONS[direction].ravel())
    ct = CTVolume(hu, (3.0, 0.5, 0.5), ORIGIN_MM, cosines, Acquisition(kvp=120.0, series_description="CaScore"))
    return ct, labels
