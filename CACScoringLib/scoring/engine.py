"""Score labelled calcium: the one function that turns a CT and a label map into a :class:`CalciumScore`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, info
from CACScoringLib.scoring import checks
from CACScoringLib.scoring.arterial_age import arterial_age
from CACScoringLib.scoring.lesions import numbered_lesions
from CACScoringLib.scoring.mass import MassCalibration
from CACScoringLib.scoring.measure import (
    Measured,
    by_slice,
    diffusivity,
    extent_z_mm,
    measure,
    total_score,
    vessel_scores,
)
from CACScoringLib.scoring.percentiles import Demographics, Percentile, percentiles
from CACScoringLib.scoring.presets import DEFAULT_PRESET, Preset
from CACScoringLib.scoring.result import CalciumScore
from CACScoringLib.scoring.risk import risk_groups
from CACScoringLib.scoring.settings import Settings, settle
from CACScoringLib.scoring.stack import onto_stack
from CACScoringLib.scoring.voxels import N_LABELS, Voxels, labelled_voxels
from CACScoringLib.vocabulary import CORONARY_LABELS, LABEL_BY_VALUE, NON_CORONARY_LABELS, Vessel


def score(
    ct: CTVolume,
    labels: np.ndarray,
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
) -> CalciumScore:
    """Return the calcium score of a labelled scan.

    Only voxels at or above the preset's threshold count, whatever the label map contains.

    Parameters
    ----------
    ct : CTVolume
    labels : ndarray of uint8, shape (z, y, x)
        Label map on the CT's own grid (``vocabulary``).
    preset : str or Preset
        A name of ``presets.PRESETS``.
    kvp : float, optional
        Tube voltage to use instead of the scan's own.
    adapt_kvp : bool
        Choose the thresholds by tube voltage, in every preset. False keeps 130/200/300/400 HU at any voltage, as
        studies did that mixed 120 and 140 kVp.
    thickness_mode : str
        ``scale``: each slice counts with its increment / 3 mm. ``resample``: slices closer than 3 mm are averaged to
        contiguous 3 mm first. ``none``: each slice counts fully (legacy).
    connectivity : int, optional
        4 or 8 in the slice, 6 or 26 in the volume, instead of the preset's.
    minimum_area_mm2, minimum_pixels : optional
        Smallest island, instead of the preset's minimum.
    calibration : MassCalibration or float, optional
        Mass calibration, or its factor in mg / (mm3 HU).
    isotropic_volume : bool
        Give the isotropic volume as well (the preset ``literature`` always does).
    demographics : Demographics, optional
        For percentiles and arterial age; taken from the scan's header where that has age and sex.
    findings : tuple of Finding
        What is already known about the input; carried into the result.

    Returns
    -------
    CalciumScore

    Raises
    ------
    InputRefusedError
        If labels, preset or options make no sense; the message says what to do.
    """
    labels = checks.check_labels(ct, labels)
    settings = settle(
        ct,
        preset=preset,
        kvp=kvp,
        adapt_kvp=adapt_kvp,
        thickness_mode=thickness_mode,
        connectivity=connectivity,
        minimum_area_mm2=minimum_area_mm2,
        minimum_pixels=minimum_pixels,
        calibration=calibration,
        isotropic_volume=isotropic_volume,
        demographics=demographics,
        findings=findings,
    )
    voxels, present = labelled_voxels(ct.hu, labels, settings.mass_threshold_hu, strict=settings.rules.strict)
    voxels = known_voxels(voxels)
    measured = measure(onto_stack(relabelled(voxels, settings.rules), settings.stack), settings)
    return conclude(settings, measured, present, left_main=bool((voxels.label == Vessel.LM).any()))


def known_voxels(voxels: Voxels) -> Voxels:
    """Return the voxels whose label means something."""
    known = np.zeros(N_LABELS, dtype=bool)
    known[list(LABEL_BY_VALUE)] = True
    return voxels.select(known[voxels.label])


def relabelled(voxels: Voxels, rules: Preset) -> Voxels:
    """Return the voxels with the left main as LAD where the preset counts it so."""
    if not rules.lm_with_lad or not (voxels.label == Vessel.LM).any():
        return voxels
    label = np.where(voxels.label == Vessel.LM, np.uint8(Vessel.LAD), voxels.label)
    return replace(voxels, label=label)


def conclude(settings: Settings, measured: Measured, present: np.ndarray, *, left_main: bool) -> CalciumScore:
    """Return the result of what was measured.

    Parameters
    ----------
    settings : Settings
    measured : Measured
    present : ndarray of int
        Label values that occur in the label map, at any HU.
    left_main : bool
        Whether any voxel of the left main reaches the threshold.
    """
    vessels = vessel_scores(measured, settings, CORONARY_LABELS)
    total = total_score(vessels, measured, settings)
    demographics = settings.demographics
    placed = {} if demographics is None else percentiles(total.agatston, demographics)
    calcified_vessels = sum(vessel.agatston > 0 for vessel in vessels.values())
    return CalciumScore(
        total=total,
        vessels=vessels,
        non_coronary=vessel_scores(measured, settings, NON_CORONARY_LABELS),
        lesions=numbered_lesions(measured.lesions),
        preset=settings.rules,
        thresholds=settings.thresholds,
        mass_threshold_hu=settings.mass_threshold_hu,
        calibration=settings.calibration,
        thickness_mode=settings.applied_mode,
        scored_spacing_mm=settings.stack.spacing_mm,
        acquisition=settings.ct.acquisition,
        risk=risk_groups(total.agatston, calcified_vessels, _best_percentile(placed)),
        calcified_vessels=calcified_vessels,
        diffusivity=diffusivity(vessels),
        extent_z_mm=extent_z_mm(measured, settings),
        slices=by_slice(measured, settings),
        demographics=demographics,
        percentiles=placed,
        arterial_age_years=None if demographics is None else arterial_age(total.agatston),
        findings=checks.once(
            settings.findings,
            settings.threshold_findings,
            checks.slice_findings(settings.ct, settings.thickness_mode, settings.resampled_mm),
            _label_findings(settings.rules, present, left_main),
            checks.calibration_findings(settings.calibration, len(measured.lesions) > 0),
        ),
    )


def _label_findings(rules: Preset, present: np.ndarray, left_main: bool) -> list[Finding]:
    findings = checks.label_findings(present)
    if rules.lm_with_lad and left_main:
        findings.append(info("lm-counted-with-lad", f"The preset {rules.name} counts calcium of the left main as LAD."))
    return findings


def _best_percentile(placed: dict[str, Percentile]) -> int | None:
    """Return the percentile that a score reaches: by MESA where it covers the patient, otherwise by Hoff."""
    for table in ("mesa-2006", "hoff-2001"):
        if table in placed:
            return placed[table].reached
    return None
