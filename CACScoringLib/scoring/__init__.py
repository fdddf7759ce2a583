"""Labelled voxels to scores: presets, thresholds, Agatston, volume, mass, lesions, risk."""

from __future__ import annotations

from CACScoringLib.scoring.engine import score
from CACScoringLib.scoring.lesions import Lesion
from CACScoringLib.scoring.mass import MassCalibration, calibration_from_rod
from CACScoringLib.scoring.percentiles import Demographics
from CACScoringLib.scoring.presets import DEFAULT_PRESET, PRESETS, Preset, get_preset
from CACScoringLib.scoring.result import CalciumScore, VesselScore
from CACScoringLib.scoring.risk import SCHEMES, risk_index

__all__ = [
    "DEFAULT_PRESET",
    "PRESETS",
    "SCHEMES",
    "CalciumScore",
    "Demographics",
    "Lesion",
    "MassCalibration",
    "Preset",
    "VesselScore",
    "calibration_from_rod",
    "get_preset",
    "risk_index",
    "score",
]
