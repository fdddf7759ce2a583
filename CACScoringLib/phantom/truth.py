"""Noise-free scores, and the labels an expert would draw on the noisy image."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CACScoringLib.phantom.calcium import Lesion, coronary_only, particles_of
from CACScoringLib.phantom.canvas import Grid
from CACScoringLib.phantom.patient import LesionTruth, VesselTruth
from CACScoringLib.vocabulary import Vessel

THRESHOLD_HU = 130
MARKED_HU = 110
"""Voxels are labelled from here on: below the lowest threshold of any tube voltage (about 115 HU at 140 kVp).

Scoring applies its own threshold, so a label below it never counts.
"""
MARKED_CONTRAST_HU = 25.0
TOUCHED_CONTRAST_HU = 8.0
EIGHT = np.ones((3, 3), dtype=bool)
MINIMUM_AREA_MM2 = 1.0


def agatston(hu: np.ndarray, mask: np.ndarray, spacing: tuple[float, float, float]) -> tuple[float, float, int]:
    """Return Agatston score, volume in mm3 and number of in-plane islands of a mask (1990 weights, 8-connected)."""
    area = spacing[1] * spacing[2]
    least = int(np.ceil(MINIMUM_AREA_MM2 / area - 1e-9))
    score, voxels, islands = 0.0, 0, 0
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        parts, count = ndimage.label(mask[z], EIGHT)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        peaks = ndimage.maximum(hu[z], parts, np.arange(1, count + 1))
        keep = sizes >= least
        weights = np.clip(np.floor(np.asarray(peaks) / 100.0), 1, 4)
        score += float((sizes * weights)[keep].sum()) * area
        voxels += int(sizes[keep].sum())
        islands += int(keep.sum())
    return score * spacing[0] / 3.0, voxels * area * spacing[0], islands


def noise_free_scores(
    clean: np.ndarray, contrast: np.ndarray, owner: np.ndarray, spacing, lesions: list[Lesion], seed: int
) -> tuple[VesselTruth, dict[str, VesselTruth]]:
    """Return the total and per-vessel truth of the noise-free image."""
    marked = (clean >= THRESHOLD_HU) & (contrast > MARKED_CONTRAST_HU)
    masses = dict.fromkeys(Vessel, 0.0)
    counts = dict.fromkeys(Vessel, 0)
    for lesion in lesions:
        for cloud in coronary_only(particles_of(lesion, seed, 1.0)):
            masses[Vessel(cloud.label)] += float((cloud.volume * cloud.contrast).sum()) * 1e-3
            counts[Vessel(cloud.label)] += 1
    vessels = {}
    for vessel in Vessel:
        score, volume, _ = agatston(clean, marked & (owner == vessel), spacing)
        vessels[vessel.name] = VesselTruth(round(score, 3), round(volume, 3), round(masses[vessel], 4), counts[vessel])
    total = VesselTruth(
        round(sum(v.agatston for v in vessels.values()), 3), round(sum(v.volume_mm3 for v in vessels.values()), 3),
        round(sum(v.mass_mg for v in vessels.values()), 4), len(lesions),
    )  # fmt: skip
    return total, vessels


def expert_labels(hu: np.ndarray, contrast: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return the labels of voxels at or above 110 HU that belong to a calcification.

    A voxel belongs where the calcium's own contrast is clear, or faint but connected in the slice to where it is clear.
    """
    labels = np.zeros(hu.shape, dtype=np.uint8)
    for z in np.flatnonzero((contrast > MARKED_CONTRAST_HU).any(axis=(1, 2))):
        candidates = (hu[z] >= MARKED_HU) & (contrast[z] > TOUCHED_CONTRAST_HU) & (owner[z] > 0)
        parts, count = ndimage.label(candidates, EIGHT)
        clear = np.zeros(count + 1, dtype=bool)
        clear[np.unique(parts[contrast[z] > MARKED_CONTRAST_HU])] = True
        clear[0] = False
        keep = clear[parts]
        labels[z][keep] = owner[z][keep]
    return labels


def lesion_truths(lesions: list[Lesion], seed: int, grid: Grid) -> tuple[LesionTruth, ...]:
    """Return the physical truth of every lesion, its centre in the frame of the scan."""
    out = []
    for lesion in lesions:
        clouds = coronary_only(particles_of(lesion, seed, 1.0))
        if not clouds:
            continue
        main = max(clouds, key=lambda cloud: float(cloud.volume.sum()))
        volume = sum(float(cloud.volume.sum()) for cloud in clouds)
        points = np.concatenate([cloud.points for cloud in clouds])
        center = np.round(grid.to_scan(points).mean(axis=0), 2)
        out.append(
            LesionTruth(
                Vessel(main.label).name,
                tuple(float(v) for v in center),
                round(volume, 4),
                lesion.density,
                round(volume * lesion.density * 1e-3, 4),
            )
        )
    return tuple(out)
