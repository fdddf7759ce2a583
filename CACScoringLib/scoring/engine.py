"""Score labelled calcium: the one function that turns a CT and a label map into a :class:`CalciumScore`."""

from __future__ import annotations

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, info
from CACScoringLib.scoring import checks
from CACScoringLib.scoring.agatston import REFERENCE_INCREMENT_MM
from CACScoringLib.scoring.arterial_age import arterial_age
from CACScoringLib.scoring.lesions import find_lesions
from CACScoringLib.scoring.mass import MassCalibration, as_calibration
from CACScoringLib.scoring.measure import by_slice, diffusivity, extent_z_mm, measure, total_score, vessel_scores
from CACScoringLib.scoring.percentiles import Demographics, Percentile, percentiles
from CACScoringLib.scoring.presets import DEFAULT_PRESET, Preset, get_preset
from CACScoringLib.scoring.result import CalciumScore
from CACScoringLib.scoring.risk import risk_groups
from CACScoringLib.scoring.stack import Stack, acquired_stack, averaged_stack
from CACScoringLib.scoring.thresholds import AGATSTON_HU, Thresholds, choose_thresholds
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
    checks.check_mode(thickness_mode)
    labels = checks.check_labels(ct, labels)
    rules = get_preset(preset).with_overrides(
        connectivity=connectivity, minimum_area_mm2=minimum_area_mm2, minimum_pixels=minimum_pixels
    )
    thresholds, kvp_findings = choose_thresholds(ct.acquisition, kvp, adapt_kvp=adapt_kvp)
    calibration = as_calibration(calibration)
    stack, resampled_mm = _choose_stack(ct, rules, thickness_mode)
    voxels, label_findings = _calcified(ct, labels, rules, thresholds)
    measured = measure(
        *(voxels, stack, rules, thresholds, _mass_threshold(rules, thresholds)),
        scaled=thickness_mode != "none",
        isotropic=isotropic_volume,
    )
    lesions = find_lesions(
        *(measured.counted, rules.lesion_connectivity, measured.scored, measured.voxel_weight),
        *(measured.agatston_of_weighted, stack, ct, calibration.factor),
    )
    vessels = vessel_scores(measured, lesions, calibration.factor, CORONARY_LABELS)
    non_coronary = vessel_scores(measured, lesions, calibration.factor, NON_CORONARY_LABELS)
    total = total_score(vessels, measured, lesions, calibration.factor)
    demographics = demographics or _from_header(ct)
    placed = {} if demographics is None else percentiles(total.agatston, demographics)
    calcified_vessels = sum(vessel.agatston > 0 for vessel in vessels.values())
    return CalciumScore(
        total=total,
        vessels=vessels,
        non_coronary=non_coronary,
        lesions=lesions,
        preset=rules,
        thresholds=thresholds,
        mass_threshold_hu=_mass_threshold(rules, thresholds),
        calibration=calibration,
        thickness_mode=_applied_mode(thickness_mode, resampled_mm),
        scored_spacing_mm=stack.spacing_mm,
        acquisition=ct.acquisition,
        risk=risk_groups(total.agatston, calcified_vessels, _best_percentile(placed)),
        calcified_vessels=calcified_vessels,
        diffusivity=diffusivity(vessels),
        extent_z_mm=extent_z_mm(measured),
        slices=by_slice(measured),
        demographics=demographics,
        percentiles=placed,
        arterial_age_years=None if demographics is None else arterial_age(total.agatston),
        findings=checks.once(
            [finding for finding in (*ct.findings, *findings) if kvp is None or finding.code != "unknown-kvp"],
            kvp_findings,
            checks.slice_findings(ct, thickness_mode, resampled_mm),
            label_findings,
            checks.calibration_findings(calibration, len(measured.counted) > 0),
        ),
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


def _applied_mode(mode: str, resampled_mm: tuple[float, float] | None) -> str:
    """Return the thickness mode that was applied: a preset may average slices, and thick slices are not averaged."""
    if mode == "none":
        return mode
    return "scale" if resampled_mm is None else "resample"


def _calcified(ct: CTVolume, labels: np.ndarray, rules: Preset, thresholds: Thresholds) -> tuple[Voxels, list[Finding]]:
    """Return the voxels of known labels that reach the lowest threshold of the preset."""
    lowest = _mass_threshold(rules, thresholds)
    voxels, present = labelled_voxels(ct.hu, labels, lowest, strict=rules.strict)
    findings = checks.label_findings(present)
    known = np.zeros(N_LABELS, dtype=bool)
    known[list(LABEL_BY_VALUE)] = True
    voxels = voxels.select(known[voxels.label])
    if rules.lm_with_lad and (voxels.label == Vessel.LM).any():
        label = np.where(voxels.label == Vessel.LM, np.uint8(Vessel.LAD), voxels.label)
        voxels = Voxels(voxels.z, voxels.y, voxels.x, label, voxels.hu)
        findings.append(info("lm-counted-with-lad", f"The preset {rules.name} counts calcium of the left main as LAD."))
    return voxels, findings


def _mass_threshold(rules: Preset, thresholds: Thresholds) -> float:
    """Return the HU from which voxels count for volume and mass; it follows the tube voltage as 130 HU does."""
    if rules.mass_threshold_hu is None:
        return thresholds.calcium
    return rules.mass_threshold_hu * (thresholds.calcium / AGATSTON_HU[0])


def _from_header(ct: CTVolume) -> Demographics | None:
    """Return the patient's age and sex where the scan names both."""
    age, sex = ct.acquisition.patient_age_years, (ct.acquisition.patient_sex or "").strip().upper()[:1]
    if age is None or not 0 < age < 130 or sex not in ("M", "F"):
        return None
    return Demographics(age, sex)


def _best_percentile(placed: dict[str, Percentile]) -> int | None:
    """Return the percentile that a score reaches: by MESA where it covers the patient, otherwise by Hoff."""
    for table in ("mesa-2006", "hoff-2001"):
        if table in placed:
            return placed[table].reached
    return None
