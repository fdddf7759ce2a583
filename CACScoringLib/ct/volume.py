"""A CT scan in memory: voxels, where they lie, and how they were acquired."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

import numpy as np

from CACScoringLib.findings import Finding


@dataclass(frozen=True)
class Acquisition:
    """How a CT was acquired and reconstructed; what is unknown is None.

    Lengths are in mm, ``kvp`` in kV, ``exposure_mas`` in mAs. ``gated`` and ``contrast`` are
    True, False or None (unknown).
    """

    kvp: float | None = None
    slice_thickness_mm: float | None = None
    increment_mm: float | None = None
    kernel: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    exposure_mas: float | None = None
    gated: bool | None = None
    contrast: bool | None = None
    series_uid: str | None = None
    study_uid: str | None = None
    frame_of_reference_uid: str | None = None
    series_description: str | None = None
    patient_age_years: float | None = None
    patient_sex: str | None = None
    study_date: str | None = None
    source: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the fields as ``scores.json`` writes them."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class CTVolume:
    """A CT volume in Hounsfield units.

    Attributes
    ----------
    hu : ndarray of int16, shape (z, y, x)
        Slices run from caudal to cranial, rows from anterior to posterior, columns from the
        patient's right to left when ``direction`` is the identity.
    spacing_mm : tuple of float
        (z, y, x) in mm; z is the slice increment.
    origin_mm : tuple of float
        LPS position (x, y, z) of voxel (0, 0, 0), as in SimpleITK.
    direction : tuple of float
        Nine direction cosines, row-major, as ``SimpleITK.Image.GetDirection``.
    acquisition : Acquisition
    findings : tuple of Finding
        What was noticed while loading.
    """

    hu: np.ndarray
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    acquisition: Acquisition = field(default_factory=Acquisition)
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        if self.hu.ndim != 3:
            raise ValueError(f"a CT volume has three axes (z, y, x), not {self.hu.ndim}")
        if self.hu.dtype != np.int16:
            raise ValueError(f"hu must be int16, not {self.hu.dtype}")
        if len(self.spacing_mm) != 3 or min(self.spacing_mm) <= 0:
            raise ValueError(f"spacing_mm must be three positive lengths, not {self.spacing_mm}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the number of voxels along (z, y, x)."""
        return self.hu.shape

    @property
    def pixel_area_mm2(self) -> float:
        """Return the area of one voxel in its slice."""
        return self.spacing_mm[1] * self.spacing_mm[2]

    @property
    def voxel_volume_mm3(self) -> float:
        """Return the volume of one voxel."""
        return self.pixel_area_mm2 * self.spacing_mm[0]

    def with_findings(self, *findings: Finding) -> CTVolume:
        """Return the same volume with more findings."""
        return replace(self, findings=(*self.findings, *findings))
