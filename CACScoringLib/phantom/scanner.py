"""How a protocol images: voltage, slices, field of view, blur, noise, motion (SYNTHETIC numbers, section 4)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.canvas import Grid
from CACScoringLib.phantom.draws import chance, lognormal, normal, stream, uniform

PROTOCOLS = ("gated", "spect-ctac", "pet-ctac", "chest")
RENDER_PIXEL_OF_FWHM = 0.55
"""Anatomy is painted on pixels of this share of the in-plane blur (0.8 to 1.25 mm) and interpolated."""


@dataclass(frozen=True)
class Scanner:
    """One acquisition. Lengths in mm, noise in HU, frequencies per mm.

    Attributes
    ----------
    fwhm : in-plane point-spread function of small objects
    noise_peak, noise_width : frequency where the noise power peaks, and the half-Gaussian fall beyond it
    noise_stretch : ratio of noise frequencies along x and y
    streaks : extra noise power along one axis; shading : SD of slow HU errors
    slice_mixing : share of each slice's noise that comes from its neighbour
    overshoot : edge enhancement of the kernel
    motion : blur of the heart during one slice; ``phase_step`` cardiac cycles from slice to slice
    window : fraction of the cycle that one slice sees
    """

    protocol: str
    gated: bool
    kvp: float
    mas: float
    kernel: str
    thickness: float
    increment: float
    fov: float
    matrix: int
    fwhm: float
    noise_sd: float
    noise_peak: float
    noise_width: float
    noise_stretch: float
    streaks: float
    shading: float
    slice_mixing: float
    overshoot: float
    padding: int
    circle: bool
    motion: float
    window: float
    phase: float
    phase_step: float
    angle_deg: float
    seed: int

    @property
    def pixel(self) -> float:
        """Return the pixel size in mm."""
        return self.fov / self.matrix

    def as_dict(self) -> dict[str, object]:
        """Return the drawn values."""
        return asdict(self)


def render_columns(scanner: Scanner) -> int:
    """Return the number of columns that anatomy is painted on; at most those of the image."""
    pixel = min(max(RENDER_PIXEL_OF_FWHM * scanner.fwhm, 0.8), 1.25)
    return min(int(round(scanner.fov / pixel)), scanner.matrix)


def draw_scanner(seed: int, protocol: str, anatomy: Anatomy, matrix: int, wide: bool) -> Scanner:
    """Draw an acquisition of a protocol."""
    rng = stream(seed, "scanner", protocol)
    spread = 1.5 if wide else 1.0

    def pick(values, weights):
        return float(rng.choice(np.array(values, dtype=float), p=np.array(weights) / np.sum(weights)))

    sharp = False
    if protocol == "gated":
        kvp = pick([120, 100, 80], [0.85, 0.11, 0.04])
        thickness = pick([3.0, 2.5], [0.75, 0.25])
        increment, fov, mas = thickness, uniform(rng, 180, 250), uniform(rng, 30, 90)
        sd, fwhm, peak = (
            normal(rng, 20, 4 * spread, 9, 38),
            normal(rng, 1.55, 0.15 * spread, 1.0, 2.2),
            normal(rng, 0.26, 0.05, 0.15, 0.42),
        )
        mixing, motion, window, step = (
            uniform(rng, 0.0, 0.15),
            lognormal(rng, 1.6, 0.5, 0.4, 4.5),
            uniform(rng, 0.08, 0.2),
            0.0,
        )
        angle = normal(rng, 0, 2.5 * spread, -10, 10)
    elif protocol == "chest":
        kvp = pick([120, 100, 140], [0.8, 0.1, 0.1])
        thickness = pick([1.5, 2.0, 2.5, 3.0, 1.25], [0.15, 0.3, 0.3, 0.15, 0.1])
        increment, fov, mas = thickness, uniform(rng, 280, 400), uniform(rng, 25, 120)
        sharp = chance(rng, 0.35)
        sd = normal(rng, 38 if sharp else 24, 7 * spread, 10, 60)
        fwhm = normal(rng, 1.05 if sharp else 1.5, 0.15 * spread, 0.8, 2.2)
        peak = normal(rng, 0.45 if sharp else 0.25, 0.07, 0.15, 0.7)
        mixing, motion, window, step = (
            uniform(rng, 0.2, 0.45),
            lognormal(rng, 4.5, 0.45, 1.5, 15),
            uniform(rng, 0.3, 0.6),
            uniform(rng, 0.05, 0.5),
        )
        angle = normal(rng, 0, 3 * spread, -10, 10)
    elif protocol == "pet-ctac":
        kvp = pick([100, 120, 140], [0.45, 0.3, 0.25])
        thickness, increment = (3.75, 3.27) if chance(rng, 0.4) else (3.0, 3.0)
        if chance(rng, 0.3):
            thickness = increment = pick([2.5, 4.0, 5.0], [0.5, 0.25, 0.25])
        fov, mas = pick([500, 550, 600, 700], [0.6, 0.1, 0.1, 0.2]), uniform(rng, 9, 40)
        sd, fwhm, peak = (
            normal(rng, 19, 6 * spread, 8, 45),
            normal(rng, 2.3, 0.25 * spread, 1.6, 3.2),
            normal(rng, 0.20, 0.03, 0.13, 0.3),
        )
        mixing, motion, window, step = (
            uniform(rng, 0.1, 0.35),
            lognormal(rng, 6, 0.4, 2.5, 15),
            uniform(rng, 0.5, 1.1),
            uniform(rng, 0.1, 0.5),
        )
        angle = normal(rng, 0, 3 * spread, -10, 10)
    elif protocol == "spect-ctac":
        kvp = pick([120, 130], [0.6, 0.4])
        thickness = increment = pick([2.5, 3.0, 4.0, 5.0], [0.25, 0.25, 0.15, 0.35])
        fov, mas = pick([500, 550, 600], [0.7, 0.15, 0.15]), uniform(rng, 10, 40)
        sd, fwhm, peak = (
            normal(rng, 24, 8 * spread, 10, 55),
            normal(rng, 2.5, 0.35 * spread, 1.7, 3.5),
            normal(rng, 0.19, 0.03, 0.12, 0.3),
        )
        mixing, motion, window, step = (
            uniform(rng, 0.1, 0.35),
            lognormal(rng, 7, 0.4, 3, 15),
            uniform(rng, 0.6, 1.5),
            uniform(rng, 0.1, 0.5),
        )
        angle = normal(rng, 0, 3 * spread, -10, 10)
    else:
        raise ValueError(f"the protocol is one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    gated = protocol == "gated"
    return Scanner(
        protocol=protocol, gated=gated, kvp=kvp, mas=round(mas, 1), kernel="sharp" if sharp else "soft" if fwhm > 1.9 else "medium",
        thickness=thickness, increment=increment, fov=round(fov, 1), matrix=matrix, fwhm=fwhm, noise_sd=sd, noise_peak=peak,
        noise_width=normal(rng, 0.95 * peak, 0.12 * peak), noise_stretch=lognormal(rng, 1.1, 0.15, 0.75, 1.6),
        streaks=lognormal(rng, 1.0 if protocol == "gated" else 2.5, 0.7, 0.1, 12.0),
        shading=lognormal(rng, 2.5 if protocol == "gated" else 4.0, 0.4, 0.5, 12.0),
        slice_mixing=mixing, overshoot=uniform(rng, 0.15, 0.5) if sharp else uniform(rng, 0.0, 0.2),
        padding=int(pick([-1024, -2048, -2000], [0.5, 0.2, 0.3])), circle=chance(rng, 0.5), motion=motion, window=window,
        phase=uniform(rng, 0, 1), phase_step=step, angle_deg=angle, seed=seed,
    )  # fmt: skip


def scan_grid(scanner: Scanner, anatomy: Anatomy, pixel: float) -> Grid:
    """Return the voxel grid of the scan with a given pixel: the protocol's field of view and range along z."""
    rng = stream(scanner.seed, "range", scanner.protocol)
    s = float(anatomy.box_size[2])
    x0, depth = float(anatomy.box_origin[0] + 0.5 * anatomy.box_size[0]), anatomy.chest_depth
    if scanner.protocol == "gated":
        low, high = -uniform(rng, 4, 18), s * uniform(rng, 1.08, 1.32)
        center = (
            x0 + normal(rng, 0, 9),
            float(anatomy.box_origin[1]) + 0.5 * float(anatomy.box_size[1]) + normal(rng, 6, 8),
        )
    elif scanner.protocol == "chest":
        low, high = -uniform(rng, 45, 80), anatomy.apex_height + uniform(rng, 0, 20)
        center = (normal(rng, 0, 6), 0.5 * depth + 4 + normal(rng, 0, 6))
    else:
        low, high = -uniform(rng, 40, 110), s + uniform(rng, 55, 150)
        center = (normal(rng, 0, 12), 0.5 * depth + 20 + normal(rng, 0, 12))
        if scanner.protocol == "spect-ctac":
            low, high = -uniform(rng, 20, 70), s + uniform(rng, 15, 70)
    count = max(int(round((high - low) / scanner.increment)), 8)
    columns = int(round(scanner.fov / pixel))
    half = 0.5 * (scanner.fov - pixel)
    half = 0.5 * pixel * (columns - 1) if columns * pixel != scanner.fov else half
    angle = np.deg2rad(scanner.angle_deg)
    return Grid(
        shape=(count, columns, columns), spacing=(scanner.increment, pixel, pixel),
        origin=(round(low, 3), round(center[1] - half, 4), round(center[0] - half, 4)),
        cosine=round(float(np.cos(angle)), 8), sine=round(float(np.sin(angle)), 8), pivot=(0.5 * depth, 0.0),
    )  # fmt: skip
