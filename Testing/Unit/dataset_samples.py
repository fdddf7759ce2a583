"""Small data sets in published layouts, written by the tests themselves. No test lives here."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.phantom import synthesize
from CACScoringLib.phantom.writing import write_dicom
from CACScoringLib.vocabulary import Vessel

COCA_NAMES = {
    Vessel.LM: "Left Coronary Artery",
    Vessel.LAD: "Left Anterior Descending Artery",
    Vessel.LCX: "Left Circumflex Artery",
    Vessel.RCA: "Right Coronary Artery",
}
ORCASCORE_VALUES = {Vessel.LM: 1, Vessel.LAD: 1, Vessel.LCX: 2, Vessel.RCA: 3}
BLOCK_HU = 500


def write_image(array: np.ndarray, ct: CTVolume, path: Path) -> None:
    """Write an array on the CT's grid in the format that the name says."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(ct.spacing_mm[::-1])
    image.SetOrigin(ct.origin_mm)
    image.SetDirection(ct.direction)
    sitk.WriteImage(image, str(path), True)


def rois_of(labels: np.ndarray, ct: CTVolume, *, millimetres: bool = True) -> dict[int, list[dict]]:
    """Return the rectangles round each island in a slice, by slice, as COCA's files hold them."""
    found: dict[int, list[dict]] = {}
    for vessel, name in COCA_NAMES.items():
        for z in np.flatnonzero((labels == vessel).any(axis=(1, 2))):
            for rows, columns in ndimage.find_objects(ndimage.label(labels[z] == vessel)[0]):
                corners = [
                    (x, y)
                    for x, y in (
                        (columns.start, rows.start),
                        (columns.stop - 1, rows.start),
                        (columns.stop - 1, rows.stop - 1),
                        (columns.start, rows.stop - 1),
                    )
                ]
                roi = {
                    "Name": name,
                    "Area": 1.0,
                    "NumberOfPoints": len(corners),
                    "Point_px": [f"({x:.6f}, {y:.6f})" for x, y in corners],
                }
                if millimetres:
                    dx, dy, dz = ct.spacing_mm[::-1]
                    ox, oy, oz = ct.origin_mm
                    roi["Point_mm"] = [f"({ox + x * dx:.6f}, {oy + y * dy:.6f}, {oz + z * dz:.6f})" for x, y in corners]
                found.setdefault(int(z), []).append(roi)
    return found


def write_polygons(path: Path, rois: dict[int, list[dict]], *, slices: int, from_cranial: bool = False) -> Path:
    """Write a property list with the ROIs of each slice."""
    images = [
        {"ImageIndex": slices - 1 - z if from_cranial else z, "NumberOfROIs": len(some), "ROIs": some}
        for z, some in sorted(rois.items())
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(plistlib.dumps({"Images": images}))
    return path


def write_coca(folder: Path, patients: dict[str, tuple[CTVolume, np.ndarray]]) -> Path:
    """Write patients as COCA's gated set."""
    root = folder / "cocacoronarycalciumandchestcts-2" / "Gated_release_final"
    (root / "calcium_xml").mkdir(parents=True)
    for name, (ct, labels) in patients.items():
        write_dicom(ct, root / "patient" / name / "Pro_Gated_CS_3.0_I30f_3_70%", seed=len(name))
        rois = rois_of(labels, ct)
        if rois:
            write_polygons(root / "calcium_xml" / f"{name}.xml", rois, slices=len(labels))
    return folder


def write_orcascore(folder: Path, patients: dict[str, tuple[CTVolume, np.ndarray]]) -> Path:
    """Write patients as orCaScore's training set."""
    for part in ("Images", "Reference standard"):
        (folder / part).mkdir(parents=True)
    for name, (ct, labels) in patients.items():
        values = np.zeros_like(labels)
        for vessel, value in ORCASCORE_VALUES.items():
            values[labels == vessel] = value
        write_image(ct.hu, ct, folder / "Images" / f"{name}CTI.mhd")
        write_image(values, ct, folder / "Reference standard" / f"{name}R.mhd")
    return folder


def write_plain(folder: Path, patients: dict[str, tuple[CTVolume, np.ndarray]]) -> Path:
    """Write patients as pairs of NIfTI files."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for name, (ct, labels) in patients.items():
        write_image(ct.hu, ct, folder / "images" / f"{name}.nii.gz")
        write_image(labels, ct, folder / "labels" / f"{name}.nii.gz")
    return folder


WRITERS = {"coca": write_coca, "orcascore": write_orcascore, "plain": write_plain}


@lru_cache(maxsize=1)
def three_patients() -> dict[str, tuple[CTVolume, np.ndarray]]:
    """Return three small scans of one synthetic chest, each with blocks of calcium in four vessels by its heart."""
    patient = synthesize(seed=900_004, protocol="gated")
    hu = np.ascontiguousarray(patient.ct.hu[:, ::4, ::4])
    dz, dy, dx = patient.ct.spacing_mm
    heart = np.argwhere(patient.structures[:, ::4, ::4] > 0)
    middle = heart.mean(axis=0).astype(int)
    out = {}
    for number in range(3):
        moved, labels = hu.copy(), np.zeros(hu.shape, np.uint8)
        for vessel, (y, x) in zip(COCA_NAMES, ((-12, 4), (-16, 8), (4, 18), (-4, -18)), strict=True):
            z = middle[0] + number - 1
            block = (slice(z, z + 2), *(slice(m + s, m + s + 3) for m, s in zip(middle[1:], (y, x), strict=True)))
            moved[block] = BLOCK_HU + 10 * number
            labels[block] = vessel
        acquisition = replace(
            patient.ct.acquisition,
            series_uid=f"{patient.ct.acquisition.series_uid[:56]}.{number}",
            study_uid=f"{patient.ct.acquisition.study_uid[:56]}.{number}",
        )
        assert isinstance(acquisition, Acquisition)
        ct = CTVolume(moved, (dz, 4 * dy, 4 * dx), patient.ct.origin_mm, patient.ct.direction, acquisition)
        out[f"{number + 1}"] = ct, labels
    return out
