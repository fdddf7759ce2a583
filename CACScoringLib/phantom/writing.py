"""A synthetic patient as files: a DICOM CT series or NRRD, label maps and the truth."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from CACScoringLib.ct import CTVolume
from CACScoringLib.phantom.patient import SyntheticPatient

RESCALE_INTERCEPT = -1024
IMPLEMENTATION_UID = "1.2.826.0.1.3680043.8.498.1"
FORMATS = ("dicom", "nrrd")
WRITTEN = ("ct", "ct.nrrd", "labels.nrrd", "structures.nrrd", "truth.json")
"""What ``write_patient`` writes, and does not write over."""


def write_patient(patient: SyntheticPatient, folder: str | Path, format: str = "dicom") -> Path:
    """Write the CT, ``labels.nrrd``, ``structures.nrrd`` and ``truth.json``; return the folder.

    Parameters
    ----------
    patient : SyntheticPatient
    folder : str or Path
        Made where missing. Each file is written under a temporary name and renamed.
    format : "dicom" or "nrrd"
        ``dicom`` writes the CT as one file a slice into ``folder/ct``; ``nrrd`` writes ``ct.nrrd``.

    Raises
    ------
    FileExistsError
        If the folder holds such files already: slices of one patient would lie beside labels of another.
    """
    if format not in FORMATS:
        raise ValueError(f"the format is one of {', '.join(FORMATS)}, not {format!r}")
    folder = Path(folder)
    there = written_in(folder)
    if there is not None:
        raise FileExistsError(f"{folder} holds {there} already")
    folder.mkdir(parents=True, exist_ok=True)
    if format == "dicom":
        write_dicom(patient.ct, folder / "ct", patient.truth.seed)
    else:
        write_nrrd(patient.ct.hu, patient.ct, folder / "ct.nrrd")
    write_nrrd(patient.labels, patient.ct, folder / "labels.nrrd")
    write_nrrd(patient.structures, patient.ct, folder / "structures.nrrd")
    text = json.dumps(
        {**patient.truth.as_dict(), "vessel_tree": {k: v.tolist() for k, v in patient.vessel_tree.items()}}, indent=1
    )
    _atomically(folder / "truth.json", lambda path: path.write_text(text, encoding="utf-8"))
    return folder


def written_in(folder: Path) -> str | None:
    """Return the name of something in a folder that ``write_patient`` would write or leave beside it; None: nothing."""
    return next((name for name in WRITTEN if (folder / name).exists()), None)


def write_nrrd(array: np.ndarray, ct: CTVolume, path: Path) -> None:
    """Write an array (z, y, x) on the CT's grid as compressed NRRD."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(tuple(float(v) for v in ct.spacing_mm[::-1]))
    image.SetOrigin(tuple(float(v) for v in ct.origin_mm))
    image.SetDirection(tuple(float(v) for v in ct.direction))
    _atomically(path, lambda temporary: sitk.WriteImage(image, str(temporary), True))


def write_dicom(ct: CTVolume, folder: Path, seed: int) -> None:
    """Write a CT series, one file a slice, caudal to cranial."""
    folder.mkdir(parents=True, exist_ok=True)
    for z in range(ct.shape[0]):
        data = _slice_dataset(ct, z, seed)
        _atomically(
            folder / f"slice-{z + 1:04d}.dcm", lambda path, data=data: data.save_as(path, enforce_file_format=True)
        )


def _atomically(path: Path, write: Callable[[Path], object]) -> None:
    handle, name = tempfile.mkstemp(prefix=".writing-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _slice_dataset(ct: CTVolume, z: int, seed: int) -> FileDataset:
    a = ct.acquisition
    direction = np.array(ct.direction, dtype=float).reshape(3, 3)
    position = np.array(ct.origin_mm) + direction[:, 2] * ct.spacing_mm[0] * z
    uid = generate_uid(entropy_srcs=[str(a.series_uid), str(z)])
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    d = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    d.SpecificCharacterSet = "ISO_IR 192"
    d.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    d.SOPClassUID, d.SOPInstanceUID = CTImageStorage, uid
    date = a.study_date or ""
    d.StudyDate = d.SeriesDate = d.AcquisitionDate = d.ContentDate = date
    d.StudyTime = d.SeriesTime = d.AcquisitionTime = d.ContentTime = "120000"
    d.AccessionNumber = ""
    d.Modality = "CT"
    d.Manufacturer = a.manufacturer or ""
    d.ManufacturerModelName = a.model or ""
    d.ReferringPhysicianName = ""
    d.StudyDescription = "CACScoring synthetic patient, no person"
    d.SeriesDescription = a.series_description or ""
    d.ContentQualification = "RESEARCH"
    d.PatientName = "Synthetic^CACScoring"
    d.PatientID = f"SYNTHETIC-{seed}"
    d.PatientBirthDate = ""
    d.PatientSex = a.patient_sex or ""
    if a.patient_age_years is not None:
        d.PatientAge = f"{round(a.patient_age_years):03d}Y"
    d.PatientIdentityRemoved = "YES"
    d.DeidentificationMethod = "Generated: no patient exists"
    d.BodyPartExamined = "HEART" if a.gated else "CHEST"
    d.ScanOptions = "CARDIAC_GATED" if a.gated else "HELICAL MODE"
    d.CardiacSynchronizationTechnique = "PROSPECTIVE" if a.gated else "NONE"
    d.KVP = _number(a.kvp)
    d.SliceThickness = _number(a.slice_thickness_mm)
    d.SpacingBetweenSlices = _number(ct.spacing_mm[0])
    d.Exposure = str(round(a.exposure_mas or 0))
    d.ConvolutionKernel = a.kernel or ""
    d.PatientPosition = "HFS"
    d.ReconstructionDiameter = _number(ct.spacing_mm[2] * ct.shape[2])
    d.StudyInstanceUID, d.SeriesInstanceUID = a.study_uid, a.series_uid
    d.StudyID, d.SeriesNumber, d.AcquisitionNumber, d.InstanceNumber = "1", 1, 1, z + 1
    d.FrameOfReferenceUID, d.PositionReferenceIndicator = a.frame_of_reference_uid, ""
    d.ImagePositionPatient = [_number(v) for v in position]
    d.ImageOrientationPatient = [_number(v) for v in (*direction[:, 0], *direction[:, 1])]
    d.SliceLocation = _number(position[2])
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.Rows, d.Columns = ct.shape[1:]
    d.PixelSpacing = [_number(ct.spacing_mm[1]), _number(ct.spacing_mm[2])]
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 1
    d.RescaleIntercept, d.RescaleSlope, d.RescaleType = RESCALE_INTERCEPT, 1, "HU"
    d.WindowCenter, d.WindowWidth = 50, 450
    d.PixelData = (ct.hu[z].astype(np.int32) - RESCALE_INTERCEPT).astype("<i2").tobytes()
    return d


def _number(value: float | None) -> str:
    return "" if value is None else f"{float(value):.10g}"[:16]
