"""DICOM headers: which files are DICOM, and one :class:`SliceHeader` for every image or frame in them.

Only the elements named in :data:`TAGS` are read and the pixels are left on disk, so that a
folder of thousands of files costs about a millisecond a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from CACScoringLib.findings import InputRefusedError, refuse

# fmt: off
TAGS = (
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "Modality", "Manufacturer",
    "ManufacturerModelName", "SeriesDescription", "ProtocolName", "StudyDate", "SeriesNumber", "AcquisitionNumber",
    "InstanceNumber", "AcquisitionTime", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "PatientAge",
    "PatientBirthDate", "PatientSex", "BodyPartExamined", "ContrastBolusAgent", "ContrastBolusAgentSequence",
    "ContrastBolusVolume", "ScanOptions", "SliceThickness", "KVP", "Exposure", "ExposureTime", "XRayTubeCurrent",
    "ConvolutionKernel", "HeartRate", "TriggerTime", "CardiacSynchronizationTechnique",
    "NominalPercentageOfCardiacPhase", "TemporalPositionIdentifier", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored",
    "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "PixelPaddingValue", "RescaleSlope",
    "RescaleIntercept", "RescaleType", "LossyImageCompression", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""The header elements that the project uses: nothing that names the patient."""
# fmt: on

MAX_FILES = 100_000
"""A folder with more files than this is not one patient's scan."""

# fmt: off
_NEVER_DICOM = frozenset(
    {
        ".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".txt", ".csv", ".tsv", ".json", ".xml", ".html",
        ".pdf", ".zip", ".gz", ".tar", ".7z", ".md", ".py", ".ini", ".inf", ".exe", ".dll", ".log", ".nii", ".nrrd",
        ".nhdr", ".mha", ".mhd", ".raw", ".npy", ".npz", ".mrb", ".mrml", ".doc", ".docx", ".xls", ".xlsx", ".avi",
        ".mp4",
    }
)
# fmt: on
SYSTEM_FOLDERS = frozenset({"__MACOSX", "System Volume Information", "$RECYCLE.BIN", "lost+found"})
"""Not looked into: nobody keeps scans there, and most may not be read."""
_PREAMBLE_BYTES = 128


@dataclass(frozen=True, eq=False)
class SliceHeader:
    """One axial image: a DICOM file, or one frame of a multi-frame file.

    Lengths in mm. ``position`` is ImagePositionPatient, ``orientation`` ImageOrientationPatient, ``spacing``
    (between rows, between columns); None where the header does not say. ``slope`` and ``intercept`` are None
    when the rescale is missing.
    """

    path: Path
    frame: int | None
    tags: Dataset
    sop_uid: str
    series_uid: str
    modality: str
    sop_class: str
    image_type: tuple[str, ...]
    rows: int
    columns: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    slope: float | None
    intercept: float | None
    thickness: float | None

    def get(self, keyword: str) -> object:
        """Return the value of a header element, None where it is absent, empty or malformed."""
        return value_of(self.tags, keyword)


@dataclass(frozen=True, eq=False)
class HeaderScan:
    """What was found in a set of files.

    ``unreadable`` are the names of files that are DICOM, or are named like the images among them, and could not be
    read: damaged, empty or not permitted.
    """

    slices: tuple[SliceHeader, ...]
    unreadable: tuple[str, ...]
    files: int


def value_of(dataset: Dataset, keyword: str) -> object:
    """Return an element's value, None where it is absent, empty or malformed."""
    try:
        value = dataset.get(keyword)
    except Exception:  # a damaged element may raise anything when it is decoded
        return None
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return value


def number_of(dataset: Dataset, keyword: str) -> float | None:
    """Return an element's value as a finite number, None where there is none."""
    value = value_of(dataset, keyword)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if abs(number) < float("inf") else None


def numbers_of(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return an element's ``count`` values as finite numbers, None where they are not that."""
    value = value_of(dataset, keyword)
    try:
        numbers = tuple(float(item) for item in value)  # type: ignore[union-attr]
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(abs(item) < float("inf") for item in numbers) else None


def texts_of(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return an element's one or several values as texts without blanks around them; empty where there is none."""
    value = value_of(dataset, keyword)
    if value is None:
        return ()
    values = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else value
    return tuple(str(item).strip() for item in values)


def list_files(folder: Path) -> list[Path]:
    """Return every file below ``folder`` in a stable order, hidden and macOS bookkeeping files left out.

    Raises
    ------
    InputRefusedError
        ``too-many-files`` beyond :data:`MAX_FILES`; ``unreadable`` where a folder may not be looked into.
    """
    found: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=_refuse_folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SYSTEM_FOLDERS)
        found.extend(Path(root, name) for name in sorted(names) if not name.startswith("."))
        if len(found) > MAX_FILES:
            raise InputRefusedError(
                refuse(
                    "too-many-files",
                    f"{folder.name} holds more than {MAX_FILES} files: give the folder of one patient's study.",
                )
            )
    return found


def _refuse_folder(error: OSError) -> None:
    """Refuse what ``os.walk`` would pass over: a scan would be scored without the slices that lie there."""
    name = Path(error.filename or "").name
    raise InputRefusedError(
        refuse("unreadable", f"The folder {name} may not be looked into: check its permissions.")
    ) from error


def looks_like_dicom(path: Path) -> bool:
    """Return whether a file begins as DICOM does, with or without the 128-byte preamble."""
    return _begins_as_dicom(_start_of(path) or b"")


def _start_of(path: Path) -> bytes | None:
    """Return the first bytes of a file; None where it may not be read."""
    try:
        with path.open("rb") as file:
            return file.read(_PREAMBLE_BYTES + 4)
    except OSError:
        return None


def _begins_as_dicom(start: bytes) -> bool:
    return start[_PREAMBLE_BYTES:] == b"DICM" or start[:4] in (
        b"\x08\x00\x00\x00",
        b"\x08\x00\x05\x00",
        b"\x08\x00\x08\x00",
    )


def scan_headers(paths: Iterable[Path]) -> HeaderScan:
    """Read the headers of every DICOM image among ``paths``; other files are passed over."""
    slices: list[SliceHeader] = []
    unreadable: list[str] = []
    silent: list[Path] = []
    files = 0
    for path in paths:
        files += 1
        if path.suffix.lower() in _NEVER_DICOM:
            continue
        start = _start_of(path)
        if not start:
            silent.append(path)
        if not start or not _begins_as_dicom(start):
            continue
        try:
            dataset = dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS), force=True)
            slices.extend(_slice_headers(path, dataset))
        except Exception:  # a damaged or hostile header may raise anything; it is named to the user
            unreadable.append(path.name)
    kinds = {(item.path.parent, item.path.suffix.lower()) for item in slices}
    unreadable += [path.name for path in silent if (path.parent, path.suffix.lower()) in kinds]
    return HeaderScan(tuple(slices), tuple(unreadable), files)


def _slice_headers(path: Path, dataset: Dataset) -> Iterator[SliceHeader]:
    if value_of(dataset, "Modality") is None and value_of(dataset, "Rows") is None:
        if value_of(dataset.file_meta, "MediaStorageSOPClassUID") == UID("1.2.840.10008.1.3.10"):
            return  # a DICOMDIR: a table of contents, no image
        raise ValueError("neither Modality nor Rows: the header is cut off")
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    if not per_frame:
        yield _from_groups(path, None, dataset, dataset)
        return
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    for index, group in enumerate(per_frame):
        yield _from_groups(path, index, dataset, _flatten(dataset, shared, group))


# fmt: off
_GROUPS = (
    "PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence", "PixelValueTransformationSequence",
    "CTImageFrameTypeSequence", "FrameContentSequence", "CTXRayDetailsSequence", "CTReconstructionSequence",
    "CTExposureSequence", "CardiacSynchronizationSequence",
)
# fmt: on
_GROUPS_OF_FRAMES = 0x5200
_RENAMED = {
    "FrameType": "ImageType",
    "FrameAcquisitionNumber": "AcquisitionNumber",
    "TemporalPositionIndex": "TemporalPositionIdentifier",
    "ExposureInmAs": "Exposure",
}


def _flatten(dataset: Dataset, shared: Dataset, frame: Dataset) -> Dataset:
    """Return the attributes of one frame as a single-frame header would hold them (PS3.3 C.7.6.16)."""
    flat = Dataset()
    flat.update({tag: dataset.get_item(tag) for tag in list(dataset.keys()) if tag.group != _GROUPS_OF_FRAMES})
    for group in (shared, frame):
        for name in _GROUPS:
            items = group.get(name)
            if not items:
                continue
            for element in items[0]:
                keyword = _RENAMED.get(element.keyword, element.keyword)
                if keyword == "Exposure" and element.value is not None:
                    flat.Exposure = round(float(element.value))
                elif keyword == "TemporalPositionIdentifier" or keyword == "AcquisitionNumber":
                    setattr(flat, keyword, element.value)
                elif keyword == "ImageType":
                    flat.ImageType = element.value
                elif keyword:
                    flat[element.tag] = element
    return flat


def _from_groups(path: Path, frame: int | None, dataset: Dataset, tags: Dataset) -> SliceHeader:
    sop_uid = str(value_of(dataset, "SOPInstanceUID") or path)
    return SliceHeader(
        path=path,
        frame=frame,
        tags=tags,
        sop_uid=sop_uid if frame is None else f"{sop_uid}#{frame}",
        series_uid=str(value_of(dataset, "SeriesInstanceUID") or ""),
        modality=str(value_of(dataset, "Modality") or "").upper(),
        sop_class=str(value_of(dataset, "SOPClassUID") or ""),
        image_type=tuple(kind.upper() for kind in texts_of(tags, "ImageType")),
        rows=int(number_of(dataset, "Rows") or 0),
        columns=int(number_of(dataset, "Columns") or 0),
        position=numbers_of(tags, "ImagePositionPatient", 3),
        orientation=numbers_of(tags, "ImageOrientationPatient", 6),
        spacing=numbers_of(tags, "PixelSpacing", 2),
        slope=number_of(tags, "RescaleSlope"),
        intercept=number_of(tags, "RescaleIntercept"),
        thickness=number_of(tags, "SliceThickness"),
    )
