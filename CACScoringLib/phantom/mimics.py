"""Which calcification and metal outside the coronary arteries a patient has (SYNTHETIC numbers, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Collection

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
    "sternal-wires": 0.04,
    "pacemaker-lead": 0.03,
}
"""Aortic wall, valve and mitral annulus as published for population cohorts; the rest assumed."""
REVASCULARISED = {
    "gated": {"stent": 0.0, "bypass-clips": 0.0},
    "spect-ctac": {"stent": 0.0, "bypass-clips": 0.0},
    "pet-ctac": {"stent": 0.04, "bypass-clips": 0.004},
    "chest": {"stent": 0.04, "bypass-clips": 0.03},
}
"""Who was treated before depends on whom a protocol is for. Gated and SPECT-CTAC: patients examined to exclude coronary
disease, none with infarction or bypass (Sartoretti 2023, Table 1). PET-CTAC: of 2,737 patients with a calcium scan
beside it 4.0 % had a stent and 0.4 % a bypass (Pieszko 2022, Table 2). Chest: assumed."""
ENRICHED = {
    "aortic-wall": 0.60,
    "aortic-root": 0.40,
    "aortic-valve": 0.40,
    "mitral-annulus": 0.35,
    "pericardium": 0.20,
    "lymph-nodes": 0.30,
    "papillary-muscle": 0.20,
    "bronchi": 0.30,
    "stent": 0.05,
    "bypass-clips": 0.20,
    "sternal-wires": 0.20,
    "pacemaker-lead": 0.20,
}
"""For training: each in a fifth of the patients or more, but for stents. Where these were shown that often, calcium
that fills a length of an artery was taken for one."""


def prevalence(protocol: str, enriched: bool) -> dict[str, float]:
    """Return the probability of each mimic in the patients that a protocol is for, or in training patients."""
    return ENRICHED if enriched else PREVALENCE | REVASCULARISED[protocol]


def draw_mimics(
    seed: int, site: Site, protocol: str, enriched: bool, certain: Collection[str] = ()
) -> dict[str, list[Cloud]]:
    """Draw which mimics a patient has, and their clouds.

    Parameters
    ----------
    seed : int
    site : Site
    protocol : str
        One of ``PROTOCOLS``.
    enriched : bool
    certain : collection of str
        Mimics that the patient has whatever is drawn.
    """
    unknown = sorted(set(certain) - set(MAKERS))
    if unknown:
        raise ValueError(f"there is no mimic '{unknown[0]}': choose of {', '.join(MAKERS)}")
    table = prevalence(protocol, enriched)
    out = {}
    for name, maker in MAKERS.items():
        rng = stream(seed, "mimic", name)
        if chance(rng, table[name]) or name in certain:
            out[name] = maker(rng, site)
    return out
