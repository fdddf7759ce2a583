"""NIfTI, NRRD and MetaImage files -> SimpleITK images, their headers taken as hostile."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from CACScoringLib.ct.orientation import orient_to_lps
from CACScoringLib.ct.pixels import check_size, to_int16_hu
from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse, warning

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_HEADER_BYTES = 64 * 1024
_CHUNK_BYTES = 2**20
_IN_PLANE_RATIO = 1.1
"""Axial slices have square pixels; oblong ones beyond this tell of another acquisition plane."""


def is_image_file(path: Path) -> bool:
    """Return whether a file's name says NIfTI, NRRD or MetaImage."""
    return path.name.lower().endswith(IMAGE_SUFFIXES)


def read_image(path: Path) -> sitk.Image:
    """Return a three-dimensional image; a fourth axis of length one is dropped.

    Raises
    ------
    InputRefusedError
        ``unreadable``, ``not-3d``, ``too-large`` or ``unsafe-file``.
    """
    _refuse_foreign_data_file(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with _silent_stderr():
            reader.ReadImageInformation()
            size = reader.GetSize()
            check_size(size)
            _refuse_truncated_nifti(path, reader)
            image = reader.Execute()
    except RuntimeError as error:
        raise InputRefusedError(
            refuse("unreadable", f"{path.name} could not be read (damaged, or not the kind of file its name says).")
        ) from error
    if image.GetDimension() == 4 and size[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3:
        raise InputRefusedError(
            refuse("not-3d", f"{path.name} has {len(size)} axes: give one three-dimensional volume.")
        )
    return image


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keep what the C readers say about damaged files off the terminal: the finding says it."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def load_image_file(path: Path) -> CTVolume:
    """Return a CT from a NIfTI, NRRD or MetaImage file, reoriented exactly to LPS.

    Raises
    ------
    InputRefusedError
        As :func:`read_image`, and ``non-axial`` for volumes whose thick axis is not the body's.
    """
    image = read_image(path)
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputRefusedError(refuse("not-ct", f"{path.name} holds colours or vectors, not a CT."))
    if "complex" in image.GetPixelIDTypeAsString():
        raise InputRefusedError(refuse("not-ct", f"{path.name} holds complex numbers, not a CT."))
    values = sitk.GetArrayViewFromImage(image)
    findings: list[Finding] = []
    if np.issubdtype(values.dtype, np.floating) and _has_fractions(values):
        findings.append(info("non-integer-hu", "Values with decimals were rounded to whole Hounsfield units."))
    voxels, spacing, origin, direction, changed = orient_to_lps(
        to_int16_hu(values), image.GetSpacing()[::-1], image.GetOrigin(), np.reshape(image.GetDirection(), (3, 3))
    )
    if changed:
        findings.append(
            info(
                "reoriented",
                f"Axes of {path.name} were permuted or flipped to the usual axial order; no value was changed.",
            )
        )
    findings.extend(_plane_findings(path, spacing, direction))
    return CTVolume(
        hu=np.ascontiguousarray(voxels),
        spacing_mm=spacing,
        origin_mm=origin,
        direction=tuple(float(item) for item in direction.ravel()),
        acquisition=Acquisition(increment_mm=spacing[0], source=path.name),
        findings=tuple(findings),
    )


def _has_fractions(values: np.ndarray) -> bool:
    some = values[:: max(1, values.shape[0] // 16)]
    some = some[np.isfinite(some)]
    return bool(np.any(some != np.rint(some)))


def _plane_findings(path: Path, spacing: tuple[float, float, float], direction: np.ndarray) -> list[Finding]:
    dz, dy, dx = spacing
    if max(dy, dx) > _IN_PLANE_RATIO * min(dy, dx) and dz < 0.9 * max(dy, dx):
        raise InputRefusedError(
            refuse(
                "non-axial",
                f"{path.name} was not acquired in axial slices (voxels of {dx:.3g} x {dy:.3g} x {dz:.3g} mm): "
                "give the axial reconstruction.",
            )
        )
    tilt = float(np.degrees(np.arccos(np.clip(abs(direction[2, 2]), 0.0, 1.0))))
    if tilt > 20.0:
        raise InputRefusedError(
            refuse(
                "non-axial",
                f"The slices of {path.name} are tilted by {tilt:.0f} degrees from axial: give axial slices.",
            )
        )
    if tilt > 5.0:
        return [
            warning(
                "oblique-slices",
                f"Slices are tilted by {tilt:.1f} degrees from axial: scores may differ from axial ones.",
            )
        ]
    return []


def _refuse_truncated_nifti(path: Path, reader: sitk.ImageFileReader) -> None:
    """Refuse a NIfTI file shorter than its header says: the reader would fill the rest with zeros."""
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        return
    values = [int(reader.GetMetaData(f"dim[{axis}]")) for axis in range(8)]
    voxels = int(np.prod([max(1, n) for n in values[1 : 1 + max(0, min(values[0], 7))]], dtype=np.int64))
    needed = int(float(reader.GetMetaData("vox_offset"))) + voxels * int(reader.GetMetaData("bitpix")) // 8
    if _unpacked_bytes(path, needed) < needed:
        raise InputRefusedError(refuse("unreadable", f"{path.name} is shorter than its header says: copy it again."))


def _unpacked_bytes(path: Path, needed: int) -> int:
    """Return how many bytes a plain or gzip file holds; counting stops at ``needed``."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        size = file.seek(0, os.SEEK_END)
        if not packed:
            return size
        file.seek(max(0, size - 4))
        if int.from_bytes(file.read(4), "little") == needed % 2**32:
            return needed  # the gzip trailer repeats the length: no need to unpack twice
    count = 0
    try:
        with gzip.open(path) as unpacked:
            while count < needed and (chunk := unpacked.read(_CHUNK_BYTES)):
                count += len(chunk)
    except (EOFError, OSError, zlib.error):
        return count
    return count


def _refuse_foreign_data_file(path: Path) -> None:
    """Refuse a header that points to a data file anywhere but beside itself."""
    keys = {".mhd": ("elementdatafile",), ".mha": ("elementdatafile",), ".nhdr": ("data file", "datafile")}
    keys[".nrrd"] = keys[".nhdr"]
    wanted = keys.get(path.suffix.lower())
    if wanted is None:
        return
    with path.open("rb") as file:
        text = file.read(_HEADER_BYTES).decode("latin-1")
    separator = "=" if path.suffix.lower() in (".mhd", ".mha") else ":"
    for line in text.splitlines():
        if not line.strip() and separator == ":":
            return
        key, found, value = line.partition(separator)
        if not found or key.strip().lower() not in wanted:
            continue
        name = value.strip()
        if name != "LOCAL" and (
            Path(name).name != name or name.split()[0] == "LIST" or not (path.parent / name).is_file()
        ):
            raise InputRefusedError(
                refuse(
                    "unsafe-file",
                    f"{path.name} keeps its voxels in another file that is not beside it: give one whole file.",
                )
            )
        return
