"""A scan, real or synthetic, in the numbers by which a generator version is accepted or rejected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

from CACScoringLib.ct import CTVolume
from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.phantom.edges import Edge, measure_edge
from CACScoringLib.phantom.regions import Regions, coarse_mask, find_regions, heart_blocks
from CACScoringLib.phantom.texture import Texture, mean_texture, measure_texture

LUNG_PERCENTILES = (5, 25, 50, 75, 95)
BONE_PERCENTILES = (50, 90, 99)
BONE_HU = 200
FAT_HU = (-140.0, -60.0)
MUSCLE_HU = (5.0, 95.0)
WALL_MM = 45.0
"""Depth of the body wall behind the chest in which muscle is sought."""
LEAST_SLICES = 6


@dataclass(frozen=True)
class Tissues:
    """HU: heart (blood and muscle), fat under the skin, lung and bone by percentile, muscle of the back."""

    heart: float
    fat: float
    muscle: float
    lung: tuple[float, ...]
    bone: tuple[float, ...]


@dataclass(frozen=True)
class ScanMeasures:
    """What one scan shows.

    Attributes
    ----------
    texture : Texture
        Mean over the blocks of uniform heart.
    tissues : Tissues
    skin, heart_border : Edge
        Air to skin in front; lung to heart on the left.
    blocks : int
        Blocks of uniform heart that were found (34 x 34 x 20 mm).
    """

    texture: Texture
    tissues: Tissues
    skin: Edge
    heart_border: Edge
    blocks: int

    def as_dict(self) -> dict[str, object]:
        """Return everything as plain values for JSON."""
        return asdict(self)

    def rows(self) -> dict[str, float]:
        """Return the measures as one flat table, in the order of the documentation."""
        tissues, t = self.tissues, self.texture
        lung = {f"lung p{p}": value for p, value in zip(LUNG_PERCENTILES, tissues.lung, strict=True)}
        bone = {f"bone p{p}": value for p, value in zip(BONE_PERCENTILES, tissues.bone, strict=True)}
        return {
            "heart, HU": tissues.heart,
            "fat, HU": tissues.fat,
            "muscle, HU": tissues.muscle,
            **{f"{name}, HU": value for name, value in {**lung, **bone}.items()},
            "noise SD, HU": t.sd_hu,
            "noise spectrum peak, 1/mm": t.nps_peak,
            "noise spectrum mean, 1/mm": t.nps_mean,
            "noise power along x : y": t.power_x_to_y,
            "autocorrelation width x, mm": t.acf_x_mm,
            "autocorrelation width y, mm": t.acf_y_mm,
            "correlation with the next slice": t.acf_next_slice,
            "air-skin edge FWHM, mm": self.skin.fwhm_mm,
            "air-skin overshoot, %": self.skin.overshoot_percent,
            "lung-heart edge FWHM, mm": self.heart_border.fwhm_mm,
            "voxels >= 130 HU, %": t.over_threshold_percent,
            "islands >= 130 HU per slice (25 cm2)": t.islands_per_slice,
            "of them 1 pixel": t.single_islands,
            "of them 2 pixels": t.double_islands,
            "of them 5 or more": t.chunky_islands,
            "their mean peak, HU": t.island_peak_mean,
            "their 95th percentile peak, HU": t.island_peak_p95,
        }


def measure_scan(ct: CTVolume) -> ScanMeasures:
    """Measure a chest or heart scan; the places are found from the CT alone.

    Raises
    ------
    InputRefusedError
        If no block of uniform heart is found.
    """
    regions = find_regions(ct)
    blocks = heart_blocks(regions) if ct.shape[0] >= LEAST_SLICES else []
    if not blocks:
        raise InputRefusedError(
            refuse("no-uniform-heart", "No block of uniform heart was found: give a CT that shows the whole heart.")
        )
    textures = [measure_texture(ct.hu[block], ct.spacing_mm) for block in blocks]
    return ScanMeasures(
        texture=mean_texture(textures),
        tissues=tissues_of(regions, blocks),
        skin=skin_edge(ct, regions),
        heart_border=heart_edge(ct, regions, blocks),
        blocks=len(blocks),
    )


def tissues_of(regions: Regions, blocks: Sequence[tuple[slice, slice, slice]]) -> Tissues:
    """Return the HU of the tissues in the slices of the heart and its neighbours."""
    heart = float(np.mean([regions.hu[coarse_mask(regions, block)].mean() for block in blocks]))
    body = regions.body & (regions.hu > -300.0)
    smooth = ndimage.gaussian_filter(regions.hu, (0.5, 0.7, 0.7))
    fat = body & (smooth > FAT_HU[0]) & (smooth < FAT_HU[1])
    rows = np.arange(body.shape[1])[None, :, None]
    back = np.max(np.where(regions.body, rows, 0), axis=1, keepdims=True)
    wall = (back - rows) * regions.spacing[1] < WALL_MM
    muscle = ndimage.binary_erosion(
        (smooth > MUSCLE_HU[0]) & (smooth < MUSCLE_HU[1]) & regions.body, np.ones((1, 3, 3))
    )
    lung = ndimage.binary_erosion(regions.lung, np.ones((1, 3, 3)))
    bone = regions.hu[body & (regions.hu > BONE_HU)]

    def middle(mask: np.ndarray) -> float:
        return float(np.median(regions.hu[mask])) if mask.sum() > 200 else float("nan")

    def percentiles(values: np.ndarray, wanted: tuple[int, ...]) -> tuple[float, ...]:
        if values.size < 200:
            return (float("nan"),) * len(wanted)
        return tuple(round(float(value), 1) for value in np.percentile(values, wanted))

    return Tissues(
        heart=round(heart, 1),
        fat=round(middle(fat), 1),
        muscle=round(middle(muscle & wall), 1),
        lung=percentiles(regions.hu[lung], LUNG_PERCENTILES),
        bone=percentiles(bone, BONE_PERCENTILES),
    )


def skin_edge(ct: CTVolume, regions: Regions) -> Edge:
    """Return the edge from air to skin in front of the chest."""
    places = []
    half = regions.body.shape[2] // 2
    reach = round(70.0 / regions.spacing[2])
    for z in range(0, len(regions.body), 2):
        columns = np.arange(max(half - reach, 0), min(half + reach, regions.body.shape[2]))
        first = np.argmax(regions.body[z][:, columns], axis=0)
        seen = regions.body[z][:, columns].any(axis=0) & (first * regions.spacing[1] > 8.0)
        places += [(z, row, column) for row, column in zip(first[seen], columns[seen], strict=True)]
    return measure_edge(
        ct.hu, ct.spacing_mm[2], _fine(places, regions.step), low=-850.0, high=-150.0, plateau=(2.0, 5.0)
    )


def heart_edge(ct: CTVolume, regions: Regions, blocks: Sequence[tuple[slice, slice, slice]]) -> Edge:
    """Return the edge from the left lung to the heart, beside the blocks."""
    places = []
    for block in blocks:
        zs, ys, xs = coarse_mask(regions, block)
        for z in range(zs.start, zs.stop):
            for row in range(max(ys.start - 6, 0), min(ys.stop + 6, regions.hu.shape[1])):
                line = regions.lung[z, row, xs.stop :]
                if line.any():
                    places.append((z, row, xs.stop + int(np.argmax(line))))
    return measure_edge(
        ct.hu, ct.spacing_mm[2], _fine(sorted(set(places)), regions.step), low=-600.0, high=-200.0, plateau=(2.5, 5.0)
    )


def _fine(places: Sequence[tuple[int, int, int]], step: int) -> np.ndarray:
    """Return coarse voxels as voxels of the scan."""
    out = np.array(places, dtype=np.intp).reshape(-1, 3)
    out[:, 1:] = out[:, 1:] * step + step // 2
    return out
