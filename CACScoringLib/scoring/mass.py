"""Calcium mass in mg hydroxyapatite (HA): mean HU times volume times a calibration factor.

mass = c x sum over lesions (mean HU x volume), with c = 0.2 / (HU of a 200 mg/ml rod - HU of water) in mg / (mm3 HU)
(Hong et al., Radiology 2002;223:474-80; McCollough et al., Radiology 2007;243:527-38).
"""

from __future__ import annotations

from dataclasses import dataclass

from CACScoringLib.findings import InputRefusedError, refuse

ROD_MG_PER_MM3 = 0.2
"""Density of the 200 mg HA/ml calibration rod."""
UNCALIBRATED_FACTOR = 0.769e-3
"""mg / (mm3 HU): 100 mg HA/ml at 130 HU. Status: derived."""


@dataclass(frozen=True)
class MassCalibration:
    """How many mg of hydroxyapatite a mm3 holds for each HU.

    Attributes
    ----------
    factor : float
        mg / (mm3 HU), about 0.0007.
    source : str
        How it was measured.
    calibrated : bool
        False for the built-in factor, which no phantom backs.
    rod_hu, water_hu : float or None
        What was measured in the rod and in water.
    """

    factor: float = UNCALIBRATED_FACTOR
    source: str = "100 mg HA/ml at 130 HU (derived, no calibration)"
    calibrated: bool = False
    rod_hu: float | None = None
    water_hu: float | None = None

    def __post_init__(self) -> None:
        if not 1e-5 < self.factor < 1e-1:
            raise InputRefusedError(
                refuse(
                    "implausible-mass-factor",
                    f"A mass factor of {self.factor:g} mg/(mm3 HU) is implausible: it is near 0.0007, "
                    "or near 0.7 in mg/(ml HU).",
                )
            )

    def as_dict(self) -> dict[str, object]:
        """Return the calibration as ``scores.json`` writes it."""
        return {
            "factor_mg_per_mm3_hu": self.factor,
            "calibrated": self.calibrated,
            "source": self.source,
            "rod_hu": self.rod_hu,
            "water_hu": self.water_hu,
        }


UNCALIBRATED = MassCalibration()


def given_factor(factor_mg_per_mm3_hu: float) -> MassCalibration:
    """Return the calibration of a factor that the user gives."""
    return MassCalibration(factor_mg_per_mm3_hu, "factor given by the user", calibrated=True)


def calibration_from_rod(
    rod_hu: float, water_hu: float, *, rod_mg_per_mm3: float = ROD_MG_PER_MM3, source: str = "calibration rod and water"
) -> MassCalibration:
    """Return the calibration from the mean HU of a rod of known density and of water.

    Raises
    ------
    InputRefusedError
        If the rod is not brighter than water.
    """
    if not rod_hu > water_hu:
        raise InputRefusedError(
            refuse("rod-not-brighter", f"The rod ({rod_hu:g} HU) must be brighter than water ({water_hu:g} HU).")
        )
    return MassCalibration(rod_mg_per_mm3 / (rod_hu - water_hu), source, True, rod_hu, water_hu)


def as_calibration(calibration: MassCalibration | float | None) -> MassCalibration:
    """Return a calibration from one, from a factor in mg / (mm3 HU), or the built-in one."""
    if calibration is None:
        return UNCALIBRATED
    if isinstance(calibration, MassCalibration):
        return calibration
    return given_factor(float(calibration))
