"""The channels that the multi-branch network is fed."""

from __future__ import annotations

import numpy as np

SOFT_TISSUE_HU = (-200.0, 300.0)
"""Window of the first channel, mapped to -1..1."""
PEAK_HU_SCALE = 400.0
SIZE_LOG_SCALE = 5.0
"""ln(1 + 150 mm3) is about 5."""


def scale_hu(hu: np.ndarray) -> np.ndarray:
    """Clip HU to the soft-tissue window and map it to -1..1 (float32)."""
    low, high = SOFT_TISSUE_HU
    return ((np.clip(hu, low, high) - low) * (2.0 / (high - low)) - 1.0).astype(np.float32)


def hu_channels(hu: np.ndarray, maps: dict[str, np.ndarray] | None = None) -> np.ndarray:
    """Stack the four HU channels.

    Parameters
    ----------
    hu : ndarray, shape (z, y, x)
        Mean HU on a network's grid.
    maps : dict of ndarray, optional
        From ``candidate_maps``; zeros without (the coarse pass).

    Returns
    -------
    ndarray of float32, shape (4, z, y, x)
    """
    out = np.zeros((4, *hu.shape), np.float32)
    out[0] = scale_hu(hu)
    if maps is not None:
        out[1] = np.minimum(maps["peak"], 2000.0) / PEAK_HU_SCALE
        out[2] = maps["fraction"]
        out[3] = np.log1p(maps["size"]) / SIZE_LOG_SCALE
    return out
