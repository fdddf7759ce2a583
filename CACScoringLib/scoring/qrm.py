"""The QRM thorax phantom with its cardiac calcification insert: label its inserts, measure its calibration.

Nine cylinders of hydroxyapatite (5, 3 and 1 mm; 800, 400 and 200 mg/ml) in one plane, and 30 mm further a rod of
200 mg HA/ml of 20 mm diameter beside a water-equivalent insert, 23 mm from the rod's centre (QRM GmbH; van Praagh
et al., Med Phys 2021, doi 10.1002/mp.14912).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.scoring.mass import MassCalibration, calibration_from_rod
from CACScoringLib.scoring.thresholds import AGATSTON_HU
from CACScoringLib.vocabulary import Vessel

ROD_DIAMETER_MM = 20.0
ROD_HU = (200.0, 450.0)
"""Plausible HU of the 200 mg/ml rod, 70 to 140 kVp."""
ROI_RADIUS_MM = 6.9
"""Radius of the regions of interest in rod and water (van Praagh 2021)."""
WATER_DISTANCE_MM = 23.0
"""From the rod's centre to the water insert's (van Praagh 2021)."""
SIZE_TOLERANCE = 0.15
"""A rod's area may differ by this share from that of a 20 mm disc."""


@dataclass(frozen=True)
class Insert:
    """Where one calcification lies in its slice, in pixels; its islands have their centroid in the disc."""

    name: str
    center_x_px: float
    center_y_px: float
    disc_radius_px: float


def read_inserts(path: str | Path) -> tuple[Insert, ...]:
    """Return the inserts of a CSV with insert, center_x_px, center_y_px, disc_radius_px; those without centre drop."""
    with Path(path).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return tuple(
        Insert(row["insert"], float(row["center_x_px"]), float(row["center_y_px"]), float(row["disc_radius_px"]))
        for row in rows
        if row["center_x_px"]
    )


def insert_labels(
    ct: CTVolume,
    inserts: Iterable[Insert],
    slices: tuple[int, int],
    *,
    value: int = Vessel.LAD,
    threshold_hu: float = AGATSTON_HU[0],
) -> np.ndarray:
    """Return a label map of the inserts.

    An in-plane island (8-connected, at or above the threshold) belongs to an insert if its centroid lies in the
    insert's disc, as in the published analysis; islands are taken whole.

    Parameters
    ----------
    ct : CTVolume
    inserts : iterable of Insert
    slices : tuple of int
        First and last slice to look at.
    value : int
        Label of all inserts: score it and read each insert from the lesion table.
    threshold_hu : float

    Returns
    -------
    ndarray of uint8, shape (z, y, x)
    """
    labels = np.zeros(ct.shape, dtype=np.uint8)
    for z in range(slices[0], slices[1] + 1):
        island, count = ndimage.label(ct.hu[z] >= threshold_hu, np.ones((3, 3)))
        if count == 0:
            continue
        centers = np.array(ndimage.center_of_mass(island > 0, island, np.arange(1, count + 1)))
        for insert in inserts:
            distance = np.hypot(centers[:, 0] - insert.center_y_px, centers[:, 1] - insert.center_x_px)
            inside = np.flatnonzero(distance <= insert.disc_radius_px) + 1
            labels[z][np.isin(island, inside)] = value
    return labels


def phantom_calibration(ct: CTVolume) -> MassCalibration:
    """Return the mass calibration measured in the phantom's own rod and water.

    The slice is the one where the rod is brightest, so that it lies wholly inside the rod.

    Raises
    ------
    InputRefusedError
        If there is no rod of 20 mm and 200 to 450 HU in the scan.
    """
    rods = [rod for z in range(ct.shape[0]) if (rod := _find_rod(ct, z)) is not None]
    if not rods:
        raise InputRefusedError(
            refuse("no-calibration-rod", "No calibration rod of 20 mm was found: the scan is not of the QRM phantom.")
        )
    rod_hu, z, y, x = max(rods)
    water_hu = _water_hu(ct, z, y, x)
    return calibration_from_rod(rod_hu, water_hu, source=f"QRM phantom, rod and water in slice {z}")


def _find_rod(ct: CTVolume, z: int) -> tuple[float, int, float, float] | None:
    """Return (mean HU, z, y, x) of a disc of the rod's size and brightness in a slice."""
    area_px = np.pi * (ROD_DIAMETER_MM / 2) ** 2 / ct.pixel_area_mm2
    bright, _ = ndimage.label(ndimage.binary_opening(ct.hu[z] >= ROD_HU[0], iterations=2))
    for i, box in enumerate(ndimage.find_objects(bright), start=1):
        inside = bright[box] == i
        sides_mm = (inside.shape[0] * ct.spacing_mm[1], inside.shape[1] * ct.spacing_mm[2])
        filled = ndimage.binary_fill_holes(inside).sum()
        round_enough = max(sides_mm) <= (1 + SIZE_TOLERANCE) * min(sides_mm)
        if not round_enough or abs(filled - area_px) > SIZE_TOLERANCE * area_px:
            continue
        y, x = (center + part.start for center, part in zip(ndimage.center_of_mass(inside), box, strict=True))
        mean = _disc_mean(ct, z, y, x)
        if ROD_HU[0] <= mean <= ROD_HU[1]:
            return mean, z, y, x
    return None


def _water_hu(ct: CTVolume, z: int, y: float, x: float) -> float:
    """Return the lowest mean of a disc at the water insert's distance from the rod."""
    angles = np.deg2rad(np.arange(0, 360, 2))
    rows = y + WATER_DISTANCE_MM * np.sin(angles) / ct.spacing_mm[1]
    columns = x + WATER_DISTANCE_MM * np.cos(angles) / ct.spacing_mm[2]
    return min(_disc_mean(ct, z, row, column) for row, column in zip(rows, columns, strict=True))


def _disc_mean(ct: CTVolume, z: int, y: float, x: float) -> float:
    """Return the mean HU of the region of interest round a point of a slice."""
    rows, columns = np.ogrid[: ct.shape[1], : ct.shape[2]]
    distance = np.hypot((rows - y) * ct.spacing_mm[1], (columns - x) * ct.spacing_mm[2])
    return float(ct.hu[z][distance <= ROI_RADIUS_MM].mean())
