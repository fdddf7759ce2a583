"""What each part of a scan's candidate calcium would add to the Agatston score, if it were coronary."""

from __future__ import annotations

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.scoring.agatston import weights
from CACScoringLib.scoring.islands import counted_islands
from CACScoringLib.scoring.presets import DEFAULT_PRESET, Preset
from CACScoringLib.scoring.settings import settle
from CACScoringLib.scoring.voxels import Voxels, reaches
from CACScoringLib.vocabulary import Vessel


def part_agatston(
    ct: CTVolume,
    index: np.ndarray,
    hu: np.ndarray,
    part: np.ndarray,
    count: int,
    *,
    group: np.ndarray | None = None,
    preset: str | Preset = DEFAULT_PRESET,
) -> np.ndarray:
    """Return the Agatston score of each part, on the acquired slices.

    Parameters
    ----------
    ct : CTVolume
        Only its spacing and acquisition are used.
    index : ndarray of int, shape (n, 3)
        (z, y, x) of the voxels.
    hu : ndarray of int, shape (n,)
    part : ndarray of int, shape (n,)
        Part that each voxel belongs to, 0..count-1: whole islands, or pieces of islands.
    count : int
    group : ndarray of uint8, shape (n,), optional
        Only voxels of the same group are neighbours, as two vessels that touch score as their parts; one group when
        absent.
    preset : str or Preset

    Returns
    -------
    ndarray of float64, shape (count,)
    """
    settings = settle(ct, preset=preset, thickness_mode="scale")
    label = np.ones(len(part), np.uint8) if group is None else group.astype(np.uint8)
    kept = np.flatnonzero(reaches(hu, settings.thresholds.calcium, strict=settings.rules.strict))
    kept = kept[np.lexsort(tuple(index[kept].T[::-1]))]
    if not len(kept):
        return np.zeros(count)
    z, y, x = index[kept].T.astype(np.int64)
    voxels = Voxels(z, y, x, label[kept], np.asarray(hu)[kept].astype(np.int32))
    pixels, rows, columns = int(settings.minima[0]), int(y.max()) + 1, int(x.max()) + 1
    scored, islands = counted_islands(voxels, settings.rules.connectivity, pixels, settings.minima[1])
    if not len(islands):
        return np.zeros(count)
    weighted = islands.pixels * weights(islands.max_hu, settings.thresholds.hu)
    shape = (int(z.max()) + 1, rows, columns)
    place = np.searchsorted(voxels.flat_index(shape), scored.flat_index(shape)[islands.first_voxel])
    total = np.bincount(part[kept[place]], weights=weighted, minlength=count)
    return total * settings.agatston_of_weighted


def vessel_agatston(
    ct: CTVolume, index: np.ndarray, hu: np.ndarray, label: np.ndarray, *, preset: str | Preset = DEFAULT_PRESET
) -> np.ndarray:
    """Return the Agatston scores of labelled voxels: total, LM, LAD, LCX, RCA.

    What ``score`` gives, without a label map; for presets that count the left main by itself.

    Parameters
    ----------
    ct : CTVolume
        Only its spacing and acquisition are used.
    index : ndarray of int, shape (n, 3)
    hu : ndarray of int, shape (n,)
    label : ndarray of uint8, shape (n,)
        Values of the vocabulary; what is not coronary does not count.
    preset : str or Preset
    """
    coronary = np.isin(label, [int(vessel) for vessel in Vessel])
    index, hu, label = index[coronary], hu[coronary], label[coronary]
    vessels = part_agatston(ct, index, hu, label.astype(np.int64) - 1, len(Vessel), group=label, preset=preset)
    return np.concatenate([[vessels.sum()], vessels])
