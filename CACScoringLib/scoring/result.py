"""The result of scoring one scan, and its form in tables and in ``scores.json``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

import numpy as np

from CACScoringLib.ct.volume import Acquisition
from CACScoringLib.findings import Finding, warning
from CACScoringLib.scoring.lesions import Lesion
from CACScoringLib.scoring.mass import MassCalibration
from CACScoringLib.scoring.percentiles import Demographics, Percentile
from CACScoringLib.scoring.presets import DEFAULT_PRESET, Preset, get_preset
from CACScoringLib.scoring.thresholds import Thresholds
from CACScoringLib.scoring.uncertainty import REVIEW, ScoreUncertainty, review_message

SCHEMA = "cacscoring/1"


@dataclass(frozen=True)
class VesselScore:
    """The scores of one vessel, or of all.

    Attributes
    ----------
    agatston : float
    volume_mm3 : float
        By the preset's volume rule.
    mass_mg : float
        mg hydroxyapatite.
    lesions : int
    voxels : int
        Voxels that count for volume and mass.
    max_hu, mean_hu : float or None
        Of those voxels; None without any.
    density : float or None
        Calcium density score, 1 to 4: the mean weight by area of the Agatston islands, which is
        3 x Agatston / their volume where the score is scaled with the increment (derived).
    volume_isotropic_mm3 : float or None
        After interpolation to isotropic voxels, where the preset or the caller asks for it.
    """

    agatston: float = 0.0
    volume_mm3: float = 0.0
    mass_mg: float = 0.0
    lesions: int = 0
    voxels: int = 0
    max_hu: int | None = None
    mean_hu: float | None = None
    density: float | None = None
    volume_isotropic_mm3: float | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the scores as ``scores.json`` writes them."""
        return asdict(self)


@dataclass(frozen=True)
class CalciumScore:
    """Everything that scoring one scan gives.

    Attributes
    ----------
    total : VesselScore
        The coronary arteries together: the sum of ``vessels``.
    vessels : dict of str to VesselScore
        LM, LAD, LCX, RCA.
    non_coronary : dict of str to VesselScore
        aorta, aortic_valve, mitral_valve, other: in no total and in no risk group.
    lesions : tuple of Lesion
        Of all labels, coronary ones first.
    preset : Preset
        As applied, overrides included.
    thresholds : Thresholds
    mass_threshold_hu : float
        HU from which voxels count for volume and mass.
    calibration : MassCalibration
    thickness_mode : str
        ``scale``, ``resample`` or ``none``, as applied.
    scored_spacing_mm : tuple of float
        (z, y, x) of the slices that were scored.
    acquisition : Acquisition
    risk : dict of str to str
        Group in each scheme.
    calcified_vessels : int
        Vessels with an Agatston score above 0, 0 to 4.
    diffusivity : float or None
        1 - (score of the most affected vessel / total); None for a total of 0.
    extent_z_mm : float
        From the lowest to the highest slice with coronary calcium.
    slices : dict of int to dict of str to float
        Agatston score of each vessel in each acquired slice that has any (of averaged slices: the nearest one).
    demographics : Demographics or None
    percentiles : dict of str to Percentile
    arterial_age_years : float or None
    uncertainty : ScoreUncertainty or None
        How sure the score is, where a method says so; never of labels that a person has changed.
    findings : tuple of Finding
    """

    total: VesselScore
    vessels: dict[str, VesselScore]
    non_coronary: dict[str, VesselScore]
    lesions: tuple[Lesion, ...]
    preset: Preset
    thresholds: Thresholds
    mass_threshold_hu: float
    calibration: MassCalibration
    thickness_mode: str
    scored_spacing_mm: tuple[float, float, float]
    acquisition: Acquisition
    risk: dict[str, str]
    calcified_vessels: int
    diffusivity: float | None
    extent_z_mm: float
    slices: dict[int, dict[str, float]] = field(default_factory=dict)
    demographics: Demographics | None = None
    percentiles: dict[str, Percentile] = field(default_factory=dict)
    arterial_age_years: float | None = None
    uncertainty: ScoreUncertainty | None = None
    findings: tuple[Finding, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the score as ``scores.json`` has it; the writer adds model, timings and software."""
        return {
            "schema": SCHEMA,
            "total": {
                **self.total.as_dict(),
                "calcified_vessels": self.calcified_vessels,
                "diffusivity": self.diffusivity,
                "extent_z_mm": self.extent_z_mm,
            },
            "vessels": {name: score.as_dict() for name, score in self.vessels.items()},
            "non_coronary": {name: score.as_dict() for name, score in self.non_coronary.items()},
            "risk": dict(self.risk),
            **({} if self.uncertainty is None else {"uncertainty": self.uncertainty.as_dict(self.risk)}),
            "patient": self._patient(),
            "preset": self._preset(),
            "acquisition": self.acquisition.as_dict(),
            "lesions": [lesion.as_dict() for lesion in self.lesions],
            "findings": [finding.as_dict() for finding in self.findings],
        }

    def table_rows(self) -> list[dict[str, object]]:
        """Return one row for each vessel, the total, and each non-coronary label."""
        named = {**self.vessels, "total": self.total, **self.non_coronary}
        return [{"vessel": name, **score.as_dict()} for name, score in named.items()]

    def lesion_rows(self) -> list[dict[str, object]]:
        """Return one row for each lesion."""
        return [lesion.as_dict() for lesion in self.lesions]

    def with_confidence(self, lesion_index: np.ndarray, lesion_probability: np.ndarray) -> CalciumScore:
        """Return the score with a confidence for each lesion.

        Parameters
        ----------
        lesion_index : ndarray of int, shape (z, y, x)
            1..n inside the lesions that a method judged, 0 elsewhere.
        lesion_probability : ndarray of float, shape (n,)
            Probability of the label of each.
        """
        judged = []
        for lesion in self.lesions:
            index = int(lesion_index[lesion.peak_voxel])
            probability = float(lesion_probability[index - 1]) if index else None
            judged.append(replace(lesion, confidence=probability))
        return replace(self, lesions=tuple(judged))

    def with_uncertainty(self, uncertainty: ScoreUncertainty) -> CalciumScore:
        """Return the score with how sure it is, and a finding where its category is in doubt.

        Parameters
        ----------
        uncertainty : ScoreUncertainty
            Of the same scan with the labels that were scored. It is that of the default preset on the acquired slices:
            a score by other rules is returned as it is.
        """
        if self.preset != get_preset(DEFAULT_PRESET) or self.thickness_mode != "scale":
            return self
        known = tuple(finding for finding in self.findings if finding.code != REVIEW)
        if uncertainty.needs_review(self.risk):
            known += (warning(REVIEW, review_message(uncertainty, self.risk)),)
        return replace(self, uncertainty=uncertainty, findings=known)

    def _patient(self) -> dict[str, object] | None:
        if self.demographics is None:
            return None
        return {
            **asdict(self.demographics),
            "arterial_age_years": self.arterial_age_years,
            "percentiles": {name: percentile.as_dict() for name, percentile in self.percentiles.items()},
        }

    def _preset(self) -> dict[str, object]:
        return {
            **self.preset.as_dict(),
            "threshold_hu": self.thresholds.calcium,
            "thresholds": self.thresholds.as_dict(),
            "volume_and_mass_threshold_hu": self.mass_threshold_hu,
            "thickness_mode": self.thickness_mode,
            "scored_spacing_mm": list(self.scored_spacing_mm),
            "mass_calibration": self.calibration.as_dict(),
        }
