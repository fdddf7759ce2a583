"""COCA, the gated scans (Stanford AIMI): DICOM series, and polygons in Apple property lists.

``patient/<n>/<series>/*.dcm`` are the scans, ``calcium_xml/<n>.xml`` the polygons: ``Images`` -> ``ROIs`` -> ``Name``,
``Point_px`` "(column, row)" and ``Point_mm`` "(x, y, z)". A patient without a file has no calcium. The slice is that of
``Point_mm``; where there is none it is ``ImageIndex``, counted from 0 at the caudal end or, where the
polygons hold more calcium that way, at the cranial end.
"""

from __future__ import annotations

import plistlib
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.parsers.expat import ExpatError

import numpy as np

from CACScoringLib.ct.load import load_ct
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse, warning
from CACScoringLib.training.datasets.polygons import fill_polygon
from CACScoringLib.training.datasets.scan import LabelledScan, ScanFiles
from CACScoringLib.vocabulary import Vessel

VESSEL_OF: dict[str, Vessel] = {
    "Left Coronary Artery": Vessel.LM,
    "Left Anterior Descending Artery": Vessel.LAD,
    "Left Circumflex Artery": Vessel.LCX,
    "Right Coronary Artery": Vessel.RCA,
}
CALCIUM_HU = 130
"""Voxels of a polygon count from here on (Agatston 1990)."""
LARGEST_BYTES = 8 * 1024 * 1024
MOST_ROIS = 5_000
MOST_POINTS = 2_000
NUMBER = re.compile(r"[-+]?\d{1,6}(?:\.\d{1,12})?(?:[eE][-+]?\d{1,2})?")


@dataclass(frozen=True, eq=False)
class Polygon:
    """A polygon: its vessel, points (n, 2) as (row, column), slice index as counted in the file, z in mm or None."""

    vessel: Vessel
    points: np.ndarray
    index: int | None
    z_mm: float | None


def list_coca(folder: Path) -> list[ScanFiles]:
    """Return the scans; ``folder`` is that of the release or holds it."""
    root = _root(folder)
    if root is None:
        return []
    scans = []
    for patient in sorted((root / "patient").iterdir(), key=lambda p: (len(p.name), p.name)):
        if not patient.is_dir() or patient.name.startswith("."):
            continue
        xml = root / "calcium_xml" / f"{patient.name}.xml"
        files = (str(patient), str(xml)) if xml.is_file() else (str(patient),)
        scans.append(ScanFiles(patient.name, patient.name, files, partial(read_coca, patient, xml)))
    return scans


def _root(folder: Path) -> Path | None:
    """Return the folder with ``patient`` and ``calcium_xml``, up to three levels down."""
    for pattern in ("", "Gated_release_final", "*/Gated_release_final", "*/*/Gated_release_final"):
        for place in [folder] if not pattern else sorted(folder.glob(pattern)):
            if (place / "patient").is_dir() and (place / "calcium_xml").is_dir():
                return place
    return None


def read_coca(patient: Path, xml: Path) -> LabelledScan:
    """Read one patient.

    Raises
    ------
    InputRefusedError
        If scan or polygons cannot be used.
    """
    polygons = read_polygons(xml) if xml.is_file() else []
    ct = load_ct(patient)
    if polygons and any(finding.code == "reoriented" for finding in ct.findings):
        raise _refused("Rows or columns of the scan were turned, so that the polygons do not lie on it.")
    labels, findings = draw(polygons, ct)
    return LabelledScan(ct, labels, findings=tuple(findings))


def read_polygons(path: Path) -> list[Polygon]:
    """Return the polygons of a property list; its text is hostile until parsed.

    Raises
    ------
    InputRefusedError
        ``polygons-unreadable``.
    """
    if path.stat().st_size > LARGEST_BYTES:
        raise _refused(f"{path.name} is larger than any file of polygons ({LARGEST_BYTES // 2**20} MB).")
    data = path.read_bytes()
    if b"<!ENTITY" in data:
        raise _refused(f"{path.name} declares XML entities, which no file of polygons does.")
    try:
        document = plistlib.loads(data, fmt=plistlib.FMT_XML)
        images = document["Images"]
        entries = [(image.get("ImageIndex"), roi) for image in images for roi in image.get("ROIs") or []]
    except (plistlib.InvalidFileException, ExpatError, RecursionError) as error:
        raise _refused(f"{path.name} is no readable property list: copy it again.") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, IndexError) as error:
        raise _refused(f"{path.name} lists no images with polygons as COCA does.") from error
    if len(entries) > MOST_ROIS:
        raise _refused(f"{path.name} holds {len(entries)} polygons, more than any scan has.")
    polygons = (_polygon(index, roi, path.name) for index, roi in entries)
    return [polygon for polygon in polygons if polygon is not None]


def _polygon(index: object, roi: object, name: str) -> Polygon | None:
    """Return a polygon; None for one that was begun and left without an area."""
    if not isinstance(roi, dict):
        raise _refused(f"{name} holds a polygon that is none.")
    points = _numbers(roi.get("Point_px") or [], 2, name)
    if len(points) < 3:
        return None
    vessel = VESSEL_OF.get(str(roi.get("Name")).strip())
    if vessel is None:
        raise _refused(f"{name} names the vessel '{str(roi.get('Name'))[:40]}': expected are {', '.join(VESSEL_OF)}.")
    if index is not None and (isinstance(index, bool) or not isinstance(index, int)):
        raise _refused(f"{name} names the slice '{str(index)[:40]}', which is no whole number.")
    millimetres = _numbers(roi.get("Point_mm") or [], 3, name)
    z = float(np.median(millimetres[:, 2])) if len(millimetres) else None
    if index is None and z is None:
        raise _refused(f"{name} holds a polygon of no slice.")
    return Polygon(vessel, points[:, ::-1], index, z)


def _numbers(texts: object, count: int, name: str) -> np.ndarray:
    """Return points written as "(a, b)": float (n, count)."""
    if not isinstance(texts, list) or len(texts) > MOST_POINTS:
        raise _refused(f"{name} holds a polygon with no list of points, or one of more than {MOST_POINTS}.")
    rows = []
    for text in texts:
        parts = text.strip().strip("()").split(",") if isinstance(text, str) and len(text) < 100 else []
        if len(parts) != count or not all(NUMBER.fullmatch(part.strip()) for part in parts):
            raise _refused(f"{name} holds the point '{str(text)[:40]}', which is not {count} numbers.")
        rows.append([float(part) for part in parts])
    return np.array(rows, float).reshape(-1, count)


def draw(polygons: list[Polygon], ct: CTVolume) -> tuple[np.ndarray, list[Finding]]:
    """Label the voxels of at least 130 HU inside the polygons; the first polygon over a voxel has it.

    Returns
    -------
    labels : ndarray of uint8, shape (z, y, x)
    findings : list of Finding
        ``polygons-outside``, ``polygons-empty``, ``polygons-from-cranial``.
    """
    by_mm = [p for p in polygons if p.z_mm is not None and _slice_at(p.z_mm, ct) is not None]
    by_index = [p for p in polygons if p not in by_mm]
    labels, outside, empty = np.zeros(ct.shape, np.uint8), 0, 0
    findings: list[Finding] = []
    turned = _counted_from_cranial(by_index, ct)
    if turned:
        text = "Slices of the polygons are counted from the cranial end: only so do the polygons lie on calcium."
        findings.append(info("polygons-from-cranial", text))
    for polygon in polygons:
        z = _slice_at(polygon.z_mm, ct) if polygon in by_mm else _slice_of(polygon, ct, turned)
        if z is None:
            outside += 1
            continue
        rows, columns = fill_polygon(polygon.points, ct.shape[1:])
        bright = ct.hu[z, rows, columns] >= CALCIUM_HU
        empty += int(not bright.any())
        free = bright & (labels[z, rows, columns] == 0)
        labels[z, rows[free], columns[free]] = polygon.vessel
    if outside:
        if outside == len(polygons):
            raise _refused("No polygon lies on a slice of the scan: are they those of another scan?")
        findings.append(warning("polygons-outside", f"{outside} of {len(polygons)} polygons lie on no slice."))
    if empty:
        if empty == len(polygons):
            raise _refused(f"No polygon holds a voxel of {CALCIUM_HU} HU: are they those of another scan?")
        text = f"{empty} of {len(polygons)} polygons hold no voxel of {CALCIUM_HU} HU and label nothing."
        findings.append(warning("polygons-empty", text))
    return labels, findings


def _slice_at(z_mm: float, ct: CTVolume) -> int | None:
    """Return the slice at a position along the patient's axis, in mm."""
    normal = ct.direction[8]
    index = (z_mm - ct.origin_mm[2]) / (ct.spacing_mm[0] * normal)
    return round(index) if -0.5 < index < ct.shape[0] - 0.5 else None


def _slice_of(polygon: Polygon, ct: CTVolume, from_cranial: bool) -> int | None:
    if polygon.index is None or not 0 <= polygon.index < ct.shape[0]:
        return None
    return ct.shape[0] - 1 - polygon.index if from_cranial else polygon.index


def _counted_from_cranial(polygons: list[Polygon], ct: CTVolume) -> bool:
    """Return whether the polygons hold more calcium when slices are counted from the cranial end."""
    held = {False: 0, True: 0}
    for polygon in polygons:
        rows, columns = fill_polygon(polygon.points, ct.shape[1:])
        for way in held:
            z = _slice_of(polygon, ct, way)
            if z is not None:
                held[way] += int(np.count_nonzero(ct.hu[z, rows, columns] >= CALCIUM_HU))
    return held[True] > held[False]


def _refused(message: str) -> InputRefusedError:
    return InputRefusedError(refuse("polygons-unreadable", message))
