"""Small made-up chest scans and DICOM files of them, for the tests of the readers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SHAPE = (40, 64, 64)
SPACING = (3.0, 4.0, 4.0)
ORIGIN = (-126.0, -126.0, -60.0)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

DATA = Path(os.environ.get("CACSCORING_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def chest(shape: tuple[int, int, int] = SHAPE, blood: int = 40, seed: int = 0) -> np.ndarray:
    """Return a made-up chest, int16 (z, y, x): air, fat, muscle, two lungs, heart with blood, spine with cortex."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    hu = np.full(shape, -1000.0)

    def ellipse(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1

    hu[ellipse(0, 0, 0.92, 0.72)] = -100
    hu[ellipse(0, 0, 0.84, 0.64)] = 50
    hu[ellipse(-0.42, 0, 0.32, 0.52)] = -850
    hu[ellipse(0.48, 0, 0.27, 0.52)] = -850
    heart = ((x - 0.08) / 0.36) ** 2 + ((y + 0.12) / 0.36) ** 2 + (z / 0.8) ** 2 < 1
    hu[heart] = 45
    hu[((x - 0.08) / 0.27) ** 2 + ((y + 0.12) / 0.27) ** 2 + (z / 0.7) ** 2 < 1] = blood
    hu[ellipse(0, 0.48, 0.16, 0.13)] = 400
    hu[ellipse(0, 0.48, 0.11, 0.08)] = 200
    noise = np.random.default_rng(seed).normal(0, 12, shape)
    return np.clip(np.rint(hu + noise), -1024, 3000).astype(np.int16)


def slice_dataset(pixels: np.ndarray, **values: object) -> FileDataset:
    """Return a CT image of stored ``pixels`` (rows, columns); ``values`` replace header elements, None removes."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    defaults = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "Manufacturer": "MADE UP",
        "ManufacturerModelName": "Tester 64",
        "SeriesDescription": "made-up scan",
        "SeriesNumber": 2,
        "InstanceNumber": 1,
        "StudyDate": "20240229",
        "PatientAge": "061Y",
        "PatientSex": "F",
        "KVP": 120,
        "Exposure": 40,
        "ConvolutionKernel": "STANDARD",
        "SliceThickness": SPACING[0],
        "PixelSpacing": list(SPACING[1:]),
        "ImageOrientationPatient": list(AXIAL),
        "ImagePositionPatient": list(ORIGIN),
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        "PixelData": np.ascontiguousarray(pixels).tobytes(),
    }
    for keyword, value in {**defaults, **values}.items():
        if value is not None:
            setattr(ds, keyword, value)
    return ds


def write_series(
    folder: Path,
    hu: np.ndarray | None = None,
    *,
    z: list[float] | None = None,
    uid: str | None = None,
    name: Callable[[int], str] = "{:03d}.dcm".format,
    edit: Callable[[Dataset, int], None] | None = None,
    **values: object,
) -> str:
    """Write a series of slices from caudal to cranial; return its SeriesInstanceUID."""
    hu = chest() if hu is None else hu
    z = [ORIGIN[2] + SPACING[0] * i for i in range(len(hu))] if z is None else z
    uid = uid or generate_uid()
    folder.mkdir(parents=True, exist_ok=True)
    ds = slice_dataset(
        hu[0],
        **{
            "SeriesInstanceUID": uid,
            "StudyInstanceUID": generate_uid(entropy_srcs=["study"]),
            "FrameOfReferenceUID": generate_uid(entropy_srcs=["frame"]),
            **values,
        },
    )
    for i, position in enumerate(z):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{uid[:56]}.{i}"
        ds.InstanceNumber = i + 1
        ds.ImagePositionPatient = [ORIGIN[0], ORIGIN[1], position]
        ds.PixelData = np.ascontiguousarray(hu[i % len(hu)]).tobytes()
        if edit is not None:
            edit(ds, i)
        ds.save_as(folder / name(i), enforce_file_format=True)
    return uid


def codes(findings: object) -> list[str]:
    """Return the codes of findings."""
    return [finding.code for finding in findings]


def finding(ct: object, code: str) -> object:
    """Return the only finding with a code."""
    (found,) = [item for item in ct.findings if item.code == code]
    return found
