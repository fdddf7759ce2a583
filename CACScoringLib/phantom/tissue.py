"""Hounsfield units of the tissues of one patient at one tube voltage (SYNTHETIC numbers, section 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.draws import chance, normal, stream, uniform

CALCIUM_KVP = np.array([70.0, 80.0, 100.0, 120.0, 140.0])
CALCIUM_HU_PER_MG_ML = np.array([2.2, 1.9, 1.57, 1.39, 1.25])
"""Contrast of hydroxyapatite in soft tissue by tube voltage; 120 kVp measured on the QRM rods (1.34-1.45)."""
BONE_REFERENCE = 1.39


@dataclass(frozen=True)
class Tissue:
    """HU of every tissue."""

    blood: float
    myocardium: float
    fat: float
    epicardial_fat: float
    muscle: float
    skin: float
    lung: float
    liver: float
    spleen: float
    cortical: float
    rib_marrow: float
    marrow: float
    cartilage: float
    calcium_slope: float


def calcium_slope(kvp: float) -> float:
    """Return HU per mg hydroxyapatite per ml at a tube voltage (linear between the tabulated ones)."""
    return round(float(np.interp(kvp, CALCIUM_KVP, CALCIUM_HU_PER_MG_ML)), 4)


def draw_tissue(anatomy: Anatomy, kvp: float, wide: bool) -> Tissue:
    """Draw the tissues' HU: blood from haemoglobin, bone with the slope of calcium."""
    rng = stream(anatomy.seed, "tissue")
    slope = calcium_slope(kvp)
    bone = slope / BONE_REFERENCE
    shift = normal(rng, 0.0, 6.0 if wide else 2.0, -15, 15)
    blood = 3.04 * anatomy.hemoglobin + 2.7 + shift
    fat = float(np.interp(kvp, [80, 100, 120, 140], [-115, -107, -101, -95])) + normal(rng, 0, 3) + shift
    return Tissue(
        blood=round(blood, 3),
        myocardium=round(max(normal(rng, 48, 3) + shift, blood + normal(rng, 4, 4)), 3),
        fat=round(fat, 3),
        epicardial_fat=round(fat + normal(rng, 8, 3), 3),
        muscle=round(normal(rng, 50, 4) + shift, 3),
        skin=round(normal(rng, 10, 20) + shift, 3),
        lung=normal(rng, -892, 30, -955, -820),
        liver=round((normal(rng, 62, 5) if chance(rng, 0.75) else uniform(rng, 0, 45)) + shift, 3),
        spleen=round(normal(rng, 50, 3) + shift, 3),
        cortical=round(normal(rng, 1100, 160, 600, 1600) * bone, 3),
        rib_marrow=round(normal(rng, 150 - 1.5 * (anatomy.age - 62), 45, 40, 300) * bone, 3),
        marrow=round(normal(rng, 165 - 2.2 * (anatomy.age - 62), 35, 60, 300) * bone, 3),
        cartilage=round(normal(rng, 115, 20), 3),
        calcium_slope=slope,
    )
