"""Which calcification and metal outside the coronary arteries a patient has (SYNTHETIC numbers, section 3)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from CACScoringLib.phantom import mimic_calcium, mimic_metal
from CACScoringLib.phantom.deposits import Site
from CACScoringLib.phantom.draws import chance, stream
from CACScoringLib.phantom.particles import Cloud

Maker = Callable[[np.random.Generator, Site], list[Cloud]]
MAKERS: dict[str, Maker] = {
    "aortic-wall": mimic_calcium.aortic_wall,
    "aortic-root": mimic_calcium.aortic_root,
    "aortic-valve": mimic_calcium.aortic_valve,
    "mitral-annulus": mimic_calcium.mitral_annulus,
    "pericardium": mimic_calcium.pericardium,
    "lymph-nodes": mimic_calcium.lymph_nodes,
    "papillary-muscle": mimic_calcium.papillary_muscle,
    "bronchi": mimic_calcium.bronchi,
    "stent": mimic_metal.stent,
    "bypass-clips": mimic_metal.bypass_clips,
    "sternal-wires": mimic_metal.sternal_wires,
    "pacemaker-lead": mimic_metal.pacemaker_lead,
}
PREVALENCE = {
    "aortic-wall": 0.28,
    "aortic-root": 0.20,
    "aortic-valve": 0.15,
    "mitral-annulus": 0.09,
    "pericardium": 0.02,
    "lymph-nodes": 0.10,
    "papillary-muscle": 0.03,
    "bronchi": 0.15,
    "stent": 0.04,
    "bypass-clips": 0.03,
    "sternal-wires": 0.04,
    "pacemaker-lead": 0.03,
}
"""Aortic wall, valve and mitral annulus as published for population cohorts; the rest assumed."""
ENRICHED = {
    "aortic-wall": 0.60,
    "aortic-root": 0.40,
    "aortic-valve": 0.40,
    "mitral-annulus": 0.35,
    "pericardium": 0.20,
    "lymph-nodes": 0.30,
    "papillary-muscle": 0.20,
    "bronchi": 0.30,
    "stent": 0.20,
    "bypass-clips": 0.20,
    "sternal-wires": 0.20,
    "pacemaker-lead": 0.20,
}
"""For training: each in a fifth of the patients or more."""


def draw_mimics(seed: int, site: Site, enriched: bool) -> dict[str, list[Cloud]]:
    """Draw which mimics a patient has, and their clouds."""
    table = ENRICHED if enriched else PREVALENCE
    out = {}
    for name, maker in MAKERS.items():
        rng = stream(seed, "mimic", name)
        if chance(rng, table[name]):
            out[name] = maker(rng, site)
    return out
