"""Stored pixels -> Hounsfield units.

Uncompressed pixels are read directly; compressed ones (JPEG-LS, JPEG lossless, JPEG 2000,
RLE) by GDCM inside SimpleITK, several times faster than pydicom's decoders, which serve
where GDCM cannot: multi-frame files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from pydicom import dcmread
from pydicom.pixels import iter_pixels
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from CACScoringLib.ct.headers import SliceHeader, number_of
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse, warning

PADDING_HU = -1024
"""Nothing is darker than air; what lies outside the scan circle (GE -3024, Toshiba -2048) becomes this."""

MAX_HU = 32767
MAX_VOXELS = 2**29
"""1 GiB of int16: 2,048 slices of 512 x 512."""

_READ_THREADS = 4
_NOT_HOUNSFIELD_TYPES = frozenset({"OD", "HGML", "US", "MGML", "Z_EFF", "ED", "EDW", "PCT", "MGCM3"}) - {"US"}
_PIXEL_TAGS = ["PixelData", "BitsAllocated", "BitsStored", "PixelRepresentation", "Rows", "Columns", "NumberOfFrames"]
_LOSSY_SYNTAXES = frozenset(
    {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.203"}
)


def read_hu(slices: tuple[SliceHeader, ...]) -> np.ndarray:
    """Return the slices as HU, int16 of shape (slices, rows, columns), clipped below at -1024.

    Raises
    ------
    InputRefusedError
        ``too-large`` or ``unreadable``, naming the file.
    """
    first = slices[0]
    check_size((len(slices), first.rows, first.columns))
    hu = np.empty((len(slices), first.rows, first.columns), dtype=np.int16)
    singles: list[tuple[int, SliceHeader]] = []
    for path, group in groupby(enumerate(slices), key=lambda item: item[1].path):
        members = list(group)
        if members[0][1].frame is None:
            singles.extend(members)
        else:
            _guarded(path, lambda path=path, members=members: _fill_frames(hu, path, members))
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        list(pool.map(lambda item: _guarded(item[1].path, lambda: _fill_single(hu[item[0]], item[1])), singles))
    return hu


def check_size(shape: tuple[int, ...]) -> None:
    """Refuse a volume that would not fit into memory (``too-large``)."""
    if int(np.prod(np.array(shape, dtype=np.int64))) > MAX_VOXELS:
        text = " x ".join(str(item) for item in shape[::-1])
        raise InputRefusedError(
            refuse(
                "too-large", f"The volume of {text} voxels is larger than {MAX_VOXELS} voxels: crop it to the chest."
            )
        )


def pixel_findings(slices: tuple[SliceHeader, ...]) -> list[Finding]:
    """Return what the headers say about the values: rescale, padding, lossy compression.

    Raises
    ------
    InputRefusedError
        ``not-hounsfield`` where RescaleType names another quantity.
    """
    found: list[Finding] = []
    header = slices[len(slices) // 2]
    kind = str(header.get("RescaleType") or "HU").strip().upper()
    if kind in _NOT_HOUNSFIELD_TYPES:
        raise InputRefusedError(
            refuse(
                "not-hounsfield",
                f"The values are not Hounsfield units (RescaleType {kind}): give the standard reconstruction.",
            )
        )
    if any(item.slope in (None, 0.0) or item.intercept is None for item in slices):
        found.append(
            warning(
                "missing-rescale",
                "RescaleSlope or RescaleIntercept is missing: stored values are taken for Hounsfield units.",
            )
        )
    lossy = str(header.get("LossyImageCompression") or "") == "01"
    syntax = str(header.tags.get("TransferSyntaxUID") or _syntax_of(header))
    if lossy or syntax in _LOSSY_SYNTAXES:
        found.append(
            warning("lossy-compression", "The images were compressed with loss: small calcium may be altered.")
        )
    padding = _padding_hu(header)
    if padding is not None and padding < PADDING_HU:
        found.append(info("padding", f"Values outside the scan circle ({padding:g}) were set to {PADDING_HU} HU."))
    return found


def to_int16_hu(values: np.ndarray, slope: float = 1.0, intercept: float = 0.0) -> np.ndarray:
    """Return stored values as integer HU, rounded to nearest and clipped to [-1024, 32767]."""
    if np.issubdtype(values.dtype, np.integer) and slope == 1.0 and float(intercept).is_integer():
        wide = values if values.dtype == np.int16 and intercept == 0 else values.astype(np.int64) + int(intercept)
        return np.clip(wide, PADDING_HU, MAX_HU).astype(np.int16)
    real = np.nan_to_num(
        values.astype(np.float64) * slope + intercept, nan=PADDING_HU, posinf=MAX_HU, neginf=PADDING_HU
    )
    return np.clip(np.rint(real), PADDING_HU, MAX_HU).astype(np.int16)


def _guarded(path: Path, job: Callable[[], None]) -> None:
    """Run ``job``; anything that a damaged file makes a decoder raise becomes one refusal naming the file."""
    try:
        job()
    except InputRefusedError:
        raise
    except MemoryError as error:
        raise InputRefusedError(refuse("too-large", "The scan does not fit into memory.")) from error
    except Exception as error:
        raise InputRefusedError(
            refuse(
                "unreadable",
                f"The pixels of {path.name} could not be read (truncated, damaged or unknown compression).",
            )
        ) from error


def _fill_single(target: np.ndarray, header: SliceHeader) -> None:
    dataset = dcmread(header.path, specific_tags=_PIXEL_TAGS, force=True)
    if _syntax_of(header, dataset).is_compressed and not _syntax_of(header, dataset).is_deflated:
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(header.path))
        values = sitk.GetArrayFromImage(reader.Execute())
        hu = to_int16_hu(values.reshape(header.rows, header.columns))  # GDCM has applied the rescale
    else:
        values = _native(dataset, header)[0]
        hu = _rescaled(values, header)
    target[:] = _without_padding(hu, header)


def _fill_frames(target: np.ndarray, path: Path, members: list[tuple[int, SliceHeader]]) -> None:
    dataset = dcmread(path, specific_tags=_PIXEL_TAGS, force=True)
    for (index, header), values in zip(
        members, _frames(dataset, path, [item.frame for _, item in members]), strict=True
    ):
        target[index] = _without_padding(_rescaled(values, header), header)


def _frames(dataset: object, path: Path, frames: list[int]) -> Iterator[np.ndarray]:
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not syntax.is_deflated:
        yield from iter_pixels(path, indices=frames, raw=True)
        return
    pixels = _native(dataset, None)
    for frame in frames:
        yield pixels[frame]


def _native(dataset: object, header: SliceHeader | None) -> np.ndarray:
    """Return uncompressed stored values, shape (frames, rows, columns), with unused high bits removed."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    frames = int(dataset.get("NumberOfFrames") or 1)
    allocated = int(dataset.BitsAllocated)
    if allocated not in (8, 16, 32):
        raise ValueError(f"BitsAllocated {allocated}")
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    order = ">" if _syntax_of(header, dataset) == ExplicitVRBigEndian else "<"
    dtype = np.dtype(f"{order}{'i' if signed else 'u'}{allocated // 8}")
    count = frames * rows * columns
    data = dataset.PixelData
    if len(data) < count * dtype.itemsize:
        raise ValueError("pixel data are shorter than the header says")
    values = np.frombuffer(data, dtype=dtype, count=count).reshape(frames, rows, columns)
    unused = allocated - int(dataset.get("BitsStored") or allocated)
    if 0 < unused < allocated:
        values = (values.astype(dtype.newbyteorder("=")) << unused) >> unused
    return values


def _rescaled(values: np.ndarray, header: SliceHeader) -> np.ndarray:
    return to_int16_hu(values, header.slope or 1.0, header.intercept or 0.0)


def _padding_hu(header: SliceHeader) -> float | None:
    """Return PixelPaddingValue in HU, its sign read as the pixels' own."""
    stored = number_of(header.tags, "PixelPaddingValue")
    if stored is None:
        return None
    bits = int(number_of(header.tags, "BitsAllocated") or 16)
    signed = number_of(header.tags, "PixelRepresentation") == 1
    if signed and stored >= 2 ** (bits - 1):
        stored -= 2**bits
    if not signed and stored < 0:
        stored += 2**bits
    return stored * (header.slope or 1.0) + (header.intercept or 0.0)


def _without_padding(hu: np.ndarray, header: SliceHeader) -> np.ndarray:
    """Set padding that would pass for metal to air; below air it is clipped already, elsewhere a wrong tag."""
    padding = _padding_hu(header)
    if padding is not None and padding > 3071:
        hu = np.where(hu == min(round(padding), MAX_HU), np.int16(PADDING_HU), hu)
    return hu


def _syntax_of(header: SliceHeader | None, dataset: object | None = None) -> object:
    source = dataset if dataset is not None else header.tags
    meta = getattr(source, "file_meta", None)
    return getattr(meta, "TransferSyntaxUID", ImplicitVRLittleEndian)
