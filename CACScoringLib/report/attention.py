"""What a score without labels rests on, slice by slice and as a file: its attention map and its slice scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.grids import Grid, resample_linear
from CACScoringLib.report.grid import ijk_to_lps

if TYPE_CHECKING:
    from CACScoringLib.methods.score_prediction import AttentionMap, ScorePrediction


def heat_of_slice(attention: AttentionMap, ct: CTVolume, z: int) -> np.ndarray:
    """Return an attention map on the pixels of one slice of the CT: float32 (y, x)."""
    spacing = ct.spacing_mm
    target = Grid(tuple(spacing), (z * spacing[0], 0.0, 0.0), (1, *ct.shape[1:]))
    return resample_linear(attention.values, attention.grid, target)[0]


def agatston_of_slices(ct: CTVolume, prediction: ScorePrediction) -> dict[int, float]:
    """Return what each acquired slice adds to the total, its nearest looked-at slices together; empty if unknown."""
    if prediction.slice_agatston is None:
        return {}
    out: dict[int, float] = {}
    for z, value in zip(_acquired(ct, prediction).tolist(), prediction.slice_agatston, strict=True):
        out[z] = out.get(z, 0.0) + float(value)
    return out


def calcium_of_slices(ct: CTVolume, prediction: ScorePrediction) -> dict[int, float]:
    """Return the probability that each acquired slice holds calcium, where slices were put into categories."""
    if prediction.slice_category_probability is None:
        return {}
    out: dict[int, float] = {}
    none = prediction.slice_category_probability[:, 0]
    for z, value in zip(_acquired(ct, prediction).tolist(), none, strict=True):
        out[z] = max(out.get(z, 0.0), 1.0 - float(value))
    return out


def write_attention(attention: AttentionMap, ct: CTVolume, path: Path) -> None:
    """Write an attention map as a volume where it lies in the patient (NRRD, float32), to be laid over the CT."""
    import SimpleITK

    spacing = attention.grid.spacing_mm[::-1]
    offset = np.asarray(attention.grid.offset_mm[::-1]) / np.asarray(ct.spacing_mm[::-1])
    image = SimpleITK.GetImageFromArray(np.asarray(attention.values, np.float32))
    image.SetSpacing([float(step) for step in spacing])
    image.SetDirection([float(value) for value in ct.direction])
    image.SetOrigin([float(value) for value in (ijk_to_lps(ct) @ [*offset, 1.0])[:3]])
    SimpleITK.WriteImage(image, str(path), useCompression=True)


def _acquired(ct: CTVolume, prediction: ScorePrediction) -> np.ndarray:
    """Return the acquired slice nearest to each slice that was looked at."""
    nearest = np.floor(np.asarray(prediction.slice_z_mm) / ct.spacing_mm[0] + 0.5).astype(int)
    return np.clip(nearest, 0, ct.shape[0] - 1)
