"""A label map with somebody else's values -> our labels on the CT's grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from CACScoringLib.ct.image_file import read_image
from CACScoringLib.ct.labels_grid import LabelGrid, place_on_ct
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, refuse


def load_values(path: Path, ct: CTVolume, meaning: Mapping[int, int]) -> tuple[np.ndarray, list[Finding]]:
    """Read a NIfTI, NRRD or MetaImage label map whose values mean something else.

    Parameters
    ----------
    path : Path
    ct : CTVolume
    meaning : mapping of int to int
        Our label of each value; 0 is background unless it is named.

    Returns
    -------
    labels : ndarray of uint8, shape (z, y, x)
    findings : list of Finding

    Raises
    ------
    InputRefusedError
        ``mask-unknown-labels`` where a value has no meaning; what the readers of images and grids raise.
    """
    image = read_image(path)
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputRefusedError(refuse("mask-unreadable", f"{path.name} holds colours or vectors, not labels."))
    values = sitk.GetArrayViewFromImage(image)
    known = {0: 0, **meaning}
    strange = [value for value in np.unique(values) if not np.isfinite(value) or float(value) not in known]
    if strange:
        found = ", ".join(f"{value:g}" for value in strange[:8])
        expected = ", ".join(str(value) for value in sorted(known))
        raise InputRefusedError(
            refuse("mask-unknown-labels", f"{path.name} holds the values {found}; expected are {expected}.")
        )
    table = np.zeros(256, np.uint8)
    table[list(known)] = list(known.values())
    labels = table[values.astype(np.uint8)]
    direction = np.reshape(image.GetDirection(), (3, 3))
    return place_on_ct(LabelGrid(labels, image.GetSpacing()[::-1], image.GetOrigin(), direction), ct)
