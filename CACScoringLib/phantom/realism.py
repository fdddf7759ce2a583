"""Real and synthetic scans side by side: the picture that decides whether a generator version is good enough."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from CACScoringLib.ct import CTVolume, load_ct
from CACScoringLib.phantom.anatomy import draw_anatomy
from CACScoringLib.phantom.patient import PhantomOptions, SyntheticPatient
from CACScoringLib.phantom.scanner import draw_scanner
from CACScoringLib.phantom.synthesis import scan_patient, synthesize

WINDOW_CENTER, WINDOW_WIDTH = 50.0, 450.0
CALCIFIED = PhantomOptions(target_agatston=(200.0, 400.0))
HEART_FIELD_MM = 165.0


@dataclass(frozen=True)
class RealCase:
    """A real scan: slices at named levels, and the heart's middle in voxels (row, column)."""

    title: str
    folder: str
    levels: tuple[int, ...]
    heart: tuple[int, int]
    seed: int
    protocol: str
    scanner: dict[str, object]
    hemoglobin: float


LEVELS = ("base of the lungs", "low ventricles", "mid ventricles", "aortic root", "left main", "great vessels")
LEVEL_HEIGHTS = (0.02, 0.14, 0.34, 0.58, 0.69, 0.95)
"""Heart-box heights of the levels in synthetic patients."""
CASES = (
    RealCase(
        title="lung-screening CT (NLST 101287)",
        folder="nlst-101287",
        levels=(42, 48, 57, 67, 73, 85),
        heart=(200, 280),
        seed=3,
        protocol="chest",
        scanner={
            "kvp": 120.0,
            "thickness": 2.0,
            "increment": 2.0,
            "fov": 276.5,
            "fwhm": 1.1,
            "noise_sd": 30.6,
            "noise_peak": 0.39,
            "noise_plateau": 0.26,
            "noise_width": 0.21,
            "noise_floor": 0.08,
            "noise_stretch": 0.97,
            "streaks": 0.8,
            "slice_mixing": 0.48,
            "overshoot": 0.06,
            "padding": -2048,
            "circle": True,
        },
        hemoglobin=14.2,
    ),
    RealCase(
        title="PET/CT attenuation CT (ACRIN 042)",
        folder="acrin-petct-042",
        levels=(45, 48, 54, 60, 65, 74),
        heart=(190, 270),
        seed=11,
        protocol="pet-ctac",
        scanner={
            "kvp": 140.0,
            "thickness": 3.75,
            "increment": 3.27,
            "fov": 500.0,
            "fwhm": 2.1,
            "noise_sd": 14.0,
            "noise_peak": 0.19,
            "noise_plateau": 0.04,
            "noise_width": 0.13,
            "noise_floor": 0.08,
            "noise_stretch": 1.15,
            "streaks": 5.0,
            "slice_mixing": 0.32,
            "overshoot": 0.03,
            "padding": -2000,
            "circle": True,
        },
        hemoglobin=14.8,
    ),
)
"""The real scans of the development data, with what section 4 of the SYNTHETIC numbers measured on them."""


def matching_patient(case: RealCase, seed: int | None = None) -> SyntheticPatient:
    """Return a synthetic patient scanned with the settings measured on a real scan, his blood as dense as there."""
    seed = case.seed if seed is None else seed
    anatomy = replace(draw_anatomy(seed, wide=False), hemoglobin=case.hemoglobin)
    scanner = replace(draw_scanner(seed, case.protocol, CALCIFIED.matrix, wide=False), **case.scanner)
    return scan_patient(seed, anatomy, scanner, CALCIFIED)


def level_slice(patient: SyntheticPatient, height: float) -> int:
    """Return the slice index at a heart-box height."""
    size = patient.truth.drawn["anatomy"]["box_size"][2]
    z = (height * size - patient.ct.origin_mm[2]) / patient.ct.spacing_mm[0]
    return int(np.clip(round(z), 0, patient.ct.shape[0] - 1))


def heart_view(ct: CTVolume, z: int, center: tuple[int, int]) -> np.ndarray:
    """Return the square of ``HEART_FIELD_MM`` round the heart in a slice."""
    half = round(0.5 * HEART_FIELD_MM / ct.spacing_mm[2])
    rows, columns = (slice(max(c - half, 0), c + half) for c in center)
    return ct.hu[z, rows, columns]


def synthetic_versus_real(data: Path, output: Path, gated_seed: int = 12) -> Path:
    """Write the figure: real scans above synthetic ones at the same levels, heart and whole slice.

    Parameters
    ----------
    data : folder that holds the real scans' folders
    output : PNG to write
    gated_seed : seed of the gated synthetic scan of the last row, which has no real counterpart
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows: list[tuple[str, list[np.ndarray]]] = []
    for case in CASES:
        real, patient = load_ct(data / case.folder), matching_patient(case)
        slices = [level_slice(patient, height) for height in LEVEL_HEIGHTS]
        rows.append((f"real\n{case.title}", [heart_view(real, z, case.heart) for z in case.levels]))
        rows.append(("synthetic\nmatched scanner", [heart_view(patient.ct, z, heart_middle(patient)) for z in slices]))
        rows.append((f"real\n{case.title}", [real.hu[z] for z in case.levels]))
        rows.append(("synthetic\nmatched scanner", [patient.ct.hu[z] for z in slices]))
    gated = synthesize(seed=gated_seed, protocol="gated", options=CALCIFIED)
    slices = [level_slice(gated, height) for height in LEVEL_HEIGHTS]
    rows.append(("synthetic\ngated", [heart_view(gated.ct, z, heart_middle(gated)) for z in slices]))
    figure = Figure(figsize=(2.1 * len(LEVELS), 2.12 * len(rows)))
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(LEVELS), gridspec_kw={"wspace": 0.02, "hspace": 0.02})
    low, high = WINDOW_CENTER - WINDOW_WIDTH / 2, WINDOW_CENTER + WINDOW_WIDTH / 2
    for r, (title, images) in enumerate(rows):
        for axis, image in zip(axes[r], images, strict=True):
            axis.imshow(image, cmap="gray", vmin=low, vmax=high)
            axis.set_xticks([])
            axis.set_yticks([])
        axes[r, 0].set_ylabel(title, fontsize=6.5)
    for axis, level in zip(axes[0], LEVELS, strict=True):
        axis.set_title(level, fontsize=9)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=95, bbox_inches="tight", pil_kwargs={"optimize": True})
    return output


def heart_middle(patient: SyntheticPatient) -> tuple[int, int]:
    """Return row and column of the middle of the heart's structures."""
    inside = np.argwhere(patient.structures.any(axis=0))
    row, column = np.rint(0.5 * (inside.min(axis=0) + inside.max(axis=0)))
    return int(row), int(column)
