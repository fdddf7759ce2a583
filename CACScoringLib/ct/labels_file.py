"""A file of labels drawn by a person or another program -> labels on the CT's grid."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from CACScoringLib.ct.headers import looks_like_dicom
from CACScoringLib.ct.image_file import is_image_file, read_image
from CACScoringLib.ct.labels_dicom import dicom_labels
from CACScoringLib.ct.labels_grid import LabelGrid, place_on_ct
from CACScoringLib.ct.labels_names import EXPECTED_VALUES
from CACScoringLib.ct.labels_slicer import is_slicer_segmentation, slicer_labels
from CACScoringLib.ct.plain_text import plain_finding, plain_refusals
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, refuse, warning
from CACScoringLib.vocabulary import LABEL_BY_VALUE, Vessel


def load_labels(path: str | Path, ct: CTVolume) -> tuple[np.ndarray, tuple[Finding, ...]]:
    """Load labels for a CT.

    Parameters
    ----------
    path : str or Path
        A NIfTI, NRRD or MetaImage label map with the values of :mod:`CACScoringLib.vocabulary`, a
        segmentation saved by 3D Slicer (``.seg.nrrd``; segments are recognised by name or SNOMED CT
        code), or a DICOM SEG.
    ct : CTVolume
        The scan that the labels were drawn on.

    Returns
    -------
    labels : ndarray of uint8, shape (z, y, x)
        On the grid of ``ct``. A file whose voxels coincide with the CT's is copied exactly, whatever part
        of it it covers and in whatever axis order; another is resampled to the nearest voxel.
    findings : tuple of Finding
        ``mask-resampled``, ``mask-outside``, ``mask-overlap``, ``mask-segment-ignored``,
        ``mask-single-label``, ``mask-frame-of-reference``, ``mask-beside-calcium``, ``mask-empty``.

    Raises
    ------
    InputRefusedError
        ``mask-not-found``, ``mask-unreadable``, ``mask-unknown-labels``, ``mask-elsewhere``.
    """
    path = Path(path)
    with plain_refusals(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's remarks on odd values
        if path.is_dir():
            raise InputRefusedError(refuse("mask-not-found", f"{path} is a folder: give the file of the mask."))
        if not path.is_file():
            raise InputRefusedError(refuse("mask-not-found", f"There is no mask file {path}."))
        grid, findings = _read(path, ct)
        labels, placing = place_on_ct(grid, ct)
    findings = [*findings, *placing]
    if not labels.any():
        findings.append(warning("mask-empty", f"The mask {path.name} marks no voxel: every score will be zero."))
    return labels, tuple(plain_finding(item) for item in findings)


def _read(path: Path, ct: CTVolume) -> tuple[LabelGrid, list[Finding]]:
    if not is_image_file(path):
        if looks_like_dicom(path):
            return dicom_labels(path, ct)
        raise InputRefusedError(
            refuse("mask-unreadable", f"{path.name} is no mask: give NIfTI, NRRD, MHA, .seg.nrrd or DICOM SEG.")
        )
    try:
        image = read_image(path)
    except InputRefusedError as error:
        raise InputRefusedError(
            refuse("mask-unreadable", f"The mask cannot be used: {error.finding.message}")
        ) from error
    if is_slicer_segmentation(image):
        return slicer_labels(image)
    return _label_map(image, path.name)


def _label_map(image: sitk.Image, name: str) -> tuple[LabelGrid, list[Finding]]:
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputRefusedError(
            refuse("mask-unreadable", f"{name} holds colours or vectors: give one label value a voxel.")
        )
    values = sitk.GetArrayViewFromImage(image)
    labels = np.zeros(values.shape, np.uint8)
    outside = (values < 0) | (values > max(LABEL_BY_VALUE)) | ~np.isfinite(values)
    np.copyto(labels, values, where=~outside, casting="unsafe")
    fractional = np.issubdtype(values.dtype, np.floating) and bool(np.any((labels != values) & ~outside))
    present = set(np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist()) - {0}
    strange = {str(item) for item in present - set(LABEL_BY_VALUE)}
    if outside.any():
        strange |= {f"{item:g}" for item in np.unique(values[outside])[:8]}
    if fractional:
        strange.add("some with decimals")
    if strange:
        found = ", ".join(sorted(strange, key=lambda text: (len(text), text))[:8])
        raise InputRefusedError(
            refuse("mask-unknown-labels", f"The mask {name} holds the values {found}; expected are {EXPECTED_VALUES}.")
        )
    grid = LabelGrid(labels, image.GetSpacing()[::-1], image.GetOrigin(), np.reshape(image.GetDirection(), (3, 3)))
    if present == {int(Vessel.LM)}:
        return grid, [
            warning(
                "mask-single-label",
                "The mask holds the single value 1, which means LM: if it marks all calcium, only the total holds.",
            )
        ]
    return grid, []
