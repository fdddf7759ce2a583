"""The bright doubled edge of a moving heart against lung in ungated scans; nobody labels it."""

from __future__ import annotations

import numpy as np

from CACScoringLib.phantom import sdf
from CACScoringLib.phantom.canvas import Canvas, Field
from CACScoringLib.phantom.draws import lognormal, stream, uniform
from CACScoringLib.phantom.scanner import Scanner

MEDIAN_HU = 35.0
MOST_HU = 220.0
"""A tenth of ungated scans shows rims beyond the calcium threshold in places (SYNTHETIC numbers, advice 5) ..."""
SOFT_MOST_HU = 45.0
"""... those of sharp kernels; a soft kernel's rim stays below it, but for noise."""
PATCH_MM, PATCH_LEVEL = 16.0, 0.4
SHARP_GAIN = 2.0


def add_rim(canvas: Canvas, sac: Field, scanner: Scanner) -> None:
    """Brighten patches of a line 1 to 5 mm inside the pericardial sac, others in each slice; none in gated scans.

    Parameters
    ----------
    sac : distance to the pericardial sac in mm, negative inside
    """
    if scanner.gated:
        return
    rng = stream(scanner.seed, "rim", scanner.protocol)
    most = MOST_HU if scanner.kernel == "sharp" else SOFT_MOST_HU
    strength = lognormal(rng, MEDIAN_HU * (1.0 + SHARP_GAIN * scanner.overshoot), 0.7, 0.0, most)
    depth, half = uniform(rng, 1.0, 4.0), uniform(rng, 0.5, 1.2)
    patches = canvas.noise(rng, PATCH_MM)
    gain = np.round(0.5 + rng.random(canvas.grid.shape[0]), 4).astype(np.float32)
    for block in canvas.chunks(canvas.grid.everything):
        distance = sac(block)
        if float(distance.min()) > 0.0:
            continue
        line = sdf.alpha(np.abs(distance + np.float32(depth)) - np.float32(half), canvas.edge)
        shown = np.clip(patches(block) - np.float32(PATCH_LEVEL), 0.0, 1.0) * gain[block[0]][:, None, None]
        view = canvas.hu[block]
        view += line * shown * np.float32(strength)
