"""Synthetic patients and scanners with known truth. Every number that rests on them says so."""

from __future__ import annotations

from CACScoringLib.phantom.insertion import synthesize_into
from CACScoringLib.phantom.patient import LesionTruth, PatientTruth, PhantomOptions, SyntheticPatient, VesselTruth
from CACScoringLib.phantom.protocols import PROTOCOLS
from CACScoringLib.phantom.synthesis import synthesize
from CACScoringLib.phantom.writing import write_patient

__all__ = [
    "PROTOCOLS",
    "LesionTruth",
    "PatientTruth",
    "PhantomOptions",
    "SyntheticPatient",
    "VesselTruth",
    "synthesize",
    "synthesize_into",
    "write_patient",
]
