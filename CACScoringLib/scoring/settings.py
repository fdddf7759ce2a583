"""Everything that scoring a scan rests on, settled before any label is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding
from CACScoringLib.scoring import checks
from CACScoringLib.scoring.agatston import REFERENCE_INCREMENT_MM, slice_scale
from CACScoringLib.scoring.mass import MassCalibration, as_calibration
from CACScoringLib.scoring.percentiles import Demographics
from CACScoringLib.scoring.presets import DEFAULT_PRESET, Preset, get_preset
from CACScoringLib.scoring.stack import Stack, acquired_stack, averaged_stack
from CACScoringLib.scoring.thresholds import AGATSTON_HU, Thresholds, choose_thresholds


@dataclass(frozen=True, eq=False)
class Settings:
    """The scan, the rules, and what was decided about both.

    Attributes
    ----------
    ct : CTVolume
    rules : Preset
        Overrides included.
    thresholds : Thresholds
    mass_threshold_hu : float
        HU from which voxels count for volume and mass; it follows the tube voltage as 130 HU does.
    calibration : MassCalibration
    stack : Stack
        The slices to score.
    resampled_mm : tuple of float or None
        (thickness, increment) of averaged slices; None for acquired ones.
    thickness_mode : str
        As asked: ``scale``, ``resample`` or ``none``.
    isotropic : bool
        Whether to measure the isotropic volume.
    demographics : Demographics or None
    findings : tuple of Finding
        What is known before scoring.
    threshold_findings : tuple of Finding
        On the choice of thresholds.
    """

    ct: CTVolume
    rules: Preset
    thresholds: Thresholds
    mass_threshold_hu: float
    calibration: MassCalibration
    stack: Stack
    resampled_mm: tuple[float, float] | None
    thickness_mode: str
    isotropic: bool
    demographics: Demographics | None
    findings: tuple[Finding, ...]
    threshold_findings: tuple[Finding, ...]

    @property
    def scale(self) -> float:
        """Return the factor of every slice: dz / 3 mm, or 1 in the legacy mode."""
        return slice_scale(self.stack.spacing_mm[0], scaled=self.thickness_mode != "none")

    @property
    def agatston_of_weighted(self) -> float:
        """Return the Agatston score of one weighted pixel."""
        return self.stack.pixel_area_mm2 * self.scale

    @property
    def minima(self) -> tuple[int, int]:
        """Return the pixels that an island and the voxels that a component need to count."""
        return (
            self.rules.minimum_island_pixels(self.stack.pixel_area_mm2),
            self.rules.minimum_component_voxels(self.stack.voxel_volume_mm3),
        )

    @property
    def applied_mode(self) -> str:
        """Return the thickness mode that was applied: a preset may average slices, thick slices are not averaged."""
        if self.thickness_mode == "none":
            return self.thickness_mode
        return "scale" if self.resampled_mm is None else "resample"


def settle(
    ct: CTVolume,
    *,
    preset: str | Preset = DEFAULT_PRESET,
    kvp: float | None = None,
    adapt_kvp: bool = True,
    thickness_mode: str = "scale",
    connectivity: int | None = None,
    minimum_area_mm2: float | None = None,
    minimum_pixels: int | None = None,
    calibration: MassCalibration | float | None = None,
    isotropic_volume: bool = False,
    demographics: Demographics | None = None,
    findings: tuple[Finding, ...] = (),
) -> Settings:
    """Return the settings of a scan; the parameters are those of ``engine.score``.

    Raises
    ------
    InputRefusedError
        If the options make no sense.
    """
    checks.check_mode(thickness_mode)
    rules = get_preset(preset).with_overrides(
        connectivity=connectivity, minimum_area_mm2=minimum_area_mm2, minimum_pixels=minimum_pixels
    )
    thresholds, threshold_findings = choose_thresholds(ct.acquisition, kvp, adapt_kvp=adapt_kvp)
    stack, resampled_mm = _choose_stack(ct, rules, thickness_mode)
    known = [finding for finding in (*ct.findings, *findings) if kvp is None or finding.code != "unknown-kvp"]
    return Settings(
        ct=ct,
        rules=rules,
        thresholds=thresholds,
        mass_threshold_hu=_mass_threshold(rules, thresholds),
        calibration=as_calibration(calibration),
        stack=stack,
        resampled_mm=resampled_mm,
        thickness_mode=thickness_mode,
        isotropic=isotropic_volume or rules.volume_rule == "isotropic",
        demographics=demographics or _from_header(ct),
        findings=tuple(known),
        threshold_findings=threshold_findings,
    )


def _choose_stack(ct: CTVolume, rules: Preset, mode: str) -> tuple[Stack, tuple[float, float] | None]:
    """Return the slices to score and, where they are averages, their thickness and increment."""
    increment, thickness = ct.spacing_mm[0], ct.acquisition.slice_thickness_mm
    target = rules.resample_mm
    if target is None and mode == "resample" and increment < REFERENCE_INCREMENT_MM * (1 - checks.OVERLAP_TOLERANCE):
        target = (REFERENCE_INCREMENT_MM, REFERENCE_INCREMENT_MM)
    as_acquired = (
        target is not None and thickness is not None and np.allclose((thickness, increment), target, rtol=0.01)
    )
    if target is None or as_acquired:
        return acquired_stack(ct.hu, ct.spacing_mm), None
    return averaged_stack(ct.hu, ct.spacing_mm, *target), target


def _mass_threshold(rules: Preset, thresholds: Thresholds) -> float:
    """Return the HU from which voxels count for volume and mass."""
    if rules.mass_threshold_hu is None:
        return thresholds.calcium
    return rules.mass_threshold_hu * (thresholds.calcium / AGATSTON_HU[0])


def _from_header(ct: CTVolume) -> Demographics | None:
    """Return the patient's age and sex where the scan names both."""
    age, sex = ct.acquisition.patient_age_years, (ct.acquisition.patient_sex or "").strip().upper()[:1]
    if age is None or not 0 < age < 130 or sex not in ("M", "F"):
        return None
    return Demographics(age, sex)
