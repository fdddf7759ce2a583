"""Find the heart: the structure branch on the coarse grid, and the region where calcium may lie."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.grids import AIR_HU, COARSE_SPACING_MM, Grid, covering_grid, ct_grid, resample_mean
from CACScoringLib.inference.inputs import hu_channels, scale_hu
from CACScoringLib.inference.windows import WINDOW, plan_windows, run_windows
from CACScoringLib.vocabulary import Structure

BODY_HU = -300.0
SEARCH_OVERLAP = 0.15
HEART_MARGIN_MM = 14.0
"""Coronary arteries run within the epicardial fat, at most about this far outside the chambers."""
CHAMBERS = tuple(int(s) for s in Structure if s not in (Structure.AORTA, Structure.PULMONARY_ARTERY))
GREAT_VESSEL_REACH_MM = 22.0
"""How far from the chambers the aortic root and the pulmonary trunk still belong to the region."""
BELOW_VENTRICLE_MM = 8.0
LEAST_SLICE_VOXELS = 12
"""Smallest cross-section (about 2 cm2 on the coarse grid) that is taken for the left ventricle."""
SMALLEST_HEART_ML = 120.0
"""Below this a heart was not found, or only a corner of it lies in the scan."""
LOWEST_SLICE_SHARE, HIGHEST_SLICE_SHARE = 0.3, 0.05
"""From these shares of the heart's largest cross-section on, the lowest or highest slice cuts the heart. 32 synthetic
patients (8 a protocol): of a whole heart these slices hold 3 % at most and nothing; where a scan begins 15 mm too high
61 % or more, where it ends 15 mm too low 5 % or more in 30, and 30 mm too low in all. A scan that begins in the apex
holds 20 %, and is not meant."""

HeartFinder = Callable[[CTVolume, np.ndarray, Grid, Callable[[], np.ndarray]], np.ndarray]
"""CT, its coarse HU, the coarse grid and a call that runs the coarse branch -> structure probabilities on the
coarse grid, float32 (8, z, y, x)."""
HEARTS = ("network", "totalsegmentator")
"""Who may find the heart; the first is the default."""


def network_heart(ct: CTVolume, hu: np.ndarray, coarse: Grid, network: Callable[[], np.ndarray]) -> np.ndarray:
    """Leave the heart to the network's own coarse branch."""
    return network()


def heart_finder(name: str, device: str = "cpu") -> HeartFinder:
    """Return who finds the heart, by name (``HEARTS``).

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name == "network":
        return network_heart
    if name == "totalsegmentator":
        from CACScoringLib.inference.totalsegmentator import TotalSegmentatorHeart

        return TotalSegmentatorHeart(device=device)
    raise ValueError(f"the heart is found by one of {', '.join(HEARTS)}, not by {name!r}")


def coarse_volume(ct: CTVolume) -> tuple[np.ndarray, Grid]:
    """Return the body on the coarse grid: HU float32 (z, y, x) and its grid."""
    source = ct_grid(ct.shape, ct.spacing_mm)
    size = (np.asarray(ct.shape) - 1) * np.asarray(ct.spacing_mm)
    grid = covering_grid(np.zeros(3), size, COARSE_SPACING_MM)
    hu = resample_mean(ct.hu, source, grid)
    low, high = _body_box(hu)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    offset = tuple(float(o + a * s) for o, a, s in zip(grid.offset_mm, low, grid.spacing_mm, strict=True))
    cropped = np.ascontiguousarray(hu[box])
    return cropped, Grid(grid.spacing_mm, offset, cropped.shape)


def _body_box(hu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index box of the largest connected part of the body."""
    labels, count = ndimage.label(hu > BODY_HU)
    if not count:
        return np.zeros(3, int), np.asarray(hu.shape)
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    box = ndimage.find_objects((labels == largest).astype(np.uint8))[0]
    return np.array([s.start for s in box]), np.array([s.stop for s in box])


def segment_structures(
    hu: np.ndarray,
    network: Callable,
    *,
    context_channels: int,
    device: str = "cpu",
    tick: Callable[[], None] | None = None,
) -> np.ndarray:
    """Return the structure probabilities on the coarse grid: float32 (8, z, y, x).

    ``network`` maps windows (n, c, 64, 64, 64) to logits (n, 8, 64, 64, 64). The heart is searched for in windows over
    the whole body, then segmented in one window centred on it; outside that window all probabilities are 0.
    """
    channels = np.concatenate((hu_channels(hu), np.zeros((context_channels, *hu.shape), np.float32)))
    fill = [float(scale_hu(np.array(AIR_HU, np.float32)))] + [0.0] * (len(channels) - 1)

    def run(corners: list[tuple[int, int, int]]) -> np.ndarray:
        return run_windows(channels, corners, network, len(Structure) + 1, fill=fill, device=device, tick=tick)

    found = run(plan_windows(hu.shape, overlap=SEARCH_OVERLAP))
    inside = np.argwhere(largest_heart(found) > 0)
    if not len(inside) or max(hu.shape) <= WINDOW:
        return found
    start = np.rint(inside.mean(axis=0)).astype(int) - WINDOW // 2
    centred = tuple(int(v) for v in np.clip(start, 0, np.maximum(np.asarray(hu.shape) - WINDOW, 0)))
    return run([centred])


def search_windows(shape: tuple[int, ...]) -> int:
    """Return how many windows ``segment_structures`` runs on a coarse volume."""
    return len(plan_windows(shape, overlap=SEARCH_OVERLAP)) + int(max(shape) > WINDOW)


def largest_heart(probability: np.ndarray) -> np.ndarray:
    """Return the structures of the largest connected heart: uint8 (z, y, x).

    Parameters
    ----------
    probability : ndarray, shape (8, z, y, x)
    """
    labels = probability.argmax(axis=0).astype(np.uint8)
    parts, count = ndimage.label(labels > 0)
    if count > 1:
        largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
        labels[parts != largest] = 0
    return _above_the_ventricles(labels)


def _above_the_ventricles(labels: np.ndarray) -> np.ndarray:
    """Drop what lies caudal to the left ventricle by more than a margin: liver, not heart.

    The left ventricle reaches as far down as any chamber, and it is the chamber that is seen best.
    """
    left = np.isin(labels, (Structure.LEFT_VENTRICLE, Structure.MYOCARDIUM))
    slices = np.flatnonzero(left.sum(axis=(1, 2)) >= LEAST_SLICE_VOXELS)
    if len(slices):
        lowest = max(int(slices[0]) - round(BELOW_VENTRICLE_MM / COARSE_SPACING_MM[0]), 0)
        labels[:lowest] = 0
    return labels


def heart_region(structures: np.ndarray, grid: Grid, margin_mm: float = HEART_MARGIN_MM) -> np.ndarray:
    """Return where coronary calcium may lie; bool (z, y, x).

    That is the chambers grown by a margin, and of the aorta and pulmonary artery what lies
    close to them: the descending aorta and the arch are left out.

    Parameters
    ----------
    structures : ndarray of uint8, shape (z, y, x)
    grid : Grid
    margin_mm : float
    """
    chambers = np.isin(structures, CHAMBERS)
    if not chambers.any():
        return chambers
    distance = ndimage.distance_transform_edt(~chambers, sampling=grid.spacing_mm)
    vessels = np.isin(structures, (Structure.AORTA, Structure.PULMONARY_ARTERY)) & (distance <= GREAT_VESSEL_REACH_MM)
    return (distance <= margin_mm) | vessels


def heart_volume_ml(structures: np.ndarray, grid: Grid) -> float:
    """Return the volume of all structures in ml."""
    return float(np.count_nonzero(structures)) * float(np.prod(grid.spacing_mm)) / 1000.0


def heart_cut(structures: np.ndarray) -> tuple[float, float]:
    """Return the shares of the heart's largest cross-section that the lowest and the highest slice hold.

    Parameters
    ----------
    structures : ndarray of uint8, shape (z, y, x)
        On the coarse grid of the whole scan, caudal first.
    """
    area = np.isin(structures, CHAMBERS).sum(axis=(1, 2))
    largest = max(int(area.max(initial=0)), 1)
    return float(area[0]) / largest, float(area[-1]) / largest
