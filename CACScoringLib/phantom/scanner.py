"""One acquisition, drawn from the ranges of its protocol."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.canvas import Grid
from CACScoringLib.phantom.draws import chance, lognormal, normal, stream, uniform
from CACScoringLib.phantom.protocols import (
    PLATEAU,
    PRIORS,
    PROTOCOLS,
    SHARP_BLUR,
    SHARP_FRACTION,
    SHARP_NOISE,
    SHARP_NOISE_PEAK,
    SHARP_PLATEAU,
    TRIGGERED,
    TRIGGERED_FRACTION,
    Prior,
    Spread,
)

RENDER_PIXEL_OF_FWHM = 0.55
"""Anatomy is painted on pixels of this share of the in-plane blur (0.8 to 1.25 mm) and interpolated."""
SOFT_KERNEL_FWHM = 1.9
WIDER = 1.5
"""Enriched patients are drawn with standard deviations this much larger, and wider fields of view."""


@dataclass(frozen=True)
class Scanner:
    """One acquisition. Lengths in mm, noise in HU, frequencies per mm.

    Attributes
    ----------
    fwhm : in-plane point-spread function of small objects
    noise_peak, noise_plateau : middle and width of the band where the noise power is highest
    noise_width : of the half-Gaussian fall beyond it
    noise_floor : power at the lowest frequencies relative to the highest: blotches
    noise_stretch : ratio of noise frequencies along x and y
    streaks : extra noise power along one axis; shading : SD of slow HU errors
    slice_mixing : share of each slice's noise that comes from its neighbour
    overshoot : edge enhancement of the kernel
    motion : path of the heart
    window, phase, phase_step : fraction of the cycle that a slice sees, where it lies, and the step to the next slice
    below, above : how far the scan reaches beyond the heart
    offset : of the middle of the field of view (x, y)
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
    noise_plateau: float
    noise_width: float
    noise_floor: float
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
    below: float
    above: float
    offset: tuple[float, float]
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
    return min(round(scanner.fov / pixel), scanner.matrix)


def draw_scanner(seed: int, protocol: str, matrix: int, wide: bool, gated: bool | None = None) -> Scanner:
    """Draw an acquisition of a protocol; ``wide`` randomises past what is usual.

    Where a protocol has ECG-triggered scans beside others (``spect-ctac``), ``gated`` says which; None draws that as
    well.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"the protocol is one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    rng, prior = stream(seed, "scanner", protocol), _prior_of(seed, protocol, gated)
    wider = WIDER if wide else 1.0

    def spread(values: Spread) -> float:
        return normal(rng, values[0], values[1] * wider, values[2], values[3])

    sharp = protocol == "chest" and chance(rng, SHARP_FRACTION)
    thickness, increment, _ = prior.slices[_pick(rng, [row[2] for row in prior.slices])]
    fwhm, peak = spread(SHARP_BLUR if sharp else prior.blur), spread(SHARP_NOISE_PEAK if sharp else prior.noise_peak)
    return Scanner(
        protocol=protocol,
        gated=prior.gated,
        kvp=float(prior.kvp[_pick(rng, [weight for _, weight in prior.kvp])][0]),
        mas=round(uniform(rng, *prior.mas), 1),
        kernel="sharp" if sharp else "soft" if fwhm > SOFT_KERNEL_FWHM else "medium",
        thickness=thickness,
        increment=increment,
        fov=_draw_fov(rng, prior.fov, wide),
        matrix=matrix,
        fwhm=fwhm,
        noise_sd=spread(SHARP_NOISE if sharp else prior.noise),
        noise_peak=peak,
        noise_plateau=round(peak * uniform(rng, *(SHARP_PLATEAU if sharp else PLATEAU)), 6),
        noise_width=normal(rng, *((0.6 * peak, 0.12 * peak) if sharp else (0.8 * peak, 0.12 * peak))),
        noise_floor=lognormal(rng, 0.09, 0.8, 0.02, 0.6),
        noise_stretch=lognormal(rng, 1.1, 0.15, 0.75, 1.6),
        streaks=lognormal(rng, prior.streaks, 0.7, 0.1, 12.0),
        shading=lognormal(rng, prior.shading, 0.4, 0.5, 12.0),
        slice_mixing=uniform(rng, *prior.mixing),
        overshoot=uniform(rng, 0.04, 0.40) if sharp else uniform(rng, 0.0, 0.2),
        padding=(-1024, -2048, -2000)[_pick(rng, [0.5, 0.2, 0.3])],
        circle=chance(rng, 0.5),
        motion=lognormal(rng, prior.motion[0], prior.motion[1], *prior.motion[2:]),
        window=uniform(rng, *prior.window),
        phase=uniform(rng, 0.0, 1.0),
        phase_step=uniform(rng, *prior.step),
        angle_deg=normal(rng, 0.0, 2.5 * wider, -10.0, 10.0),
        below=uniform(rng, *prior.below),
        above=uniform(rng, *prior.above),
        offset=(normal(rng, 0.0, 8.0 * wider), normal(rng, 0.0, 7.0 * wider)),
        seed=seed,
    )


def _prior_of(seed: int, protocol: str, gated: bool | None) -> Prior:
    """Return the ranges to draw from; which, if there are two, is drawn from a stream of its own."""
    if protocol not in TRIGGERED:
        return PRIORS[protocol]
    if gated is None:
        gated = chance(stream(seed, "triggered", protocol), TRIGGERED_FRACTION)
    return TRIGGERED[protocol] if gated else PRIORS[protocol]


def _pick(rng: np.random.Generator, weights: list[float]) -> int:
    return int(rng.choice(len(weights), p=np.array(weights) / np.sum(weights)))


def _draw_fov(rng: np.random.Generator, fov, wide: bool) -> float:
    if isinstance(fov[0], tuple):
        return float(fov[_pick(rng, [weight for _, weight in fov])][0])
    low, high = fov
    return round(uniform(rng, 0.9 * low, 1.2 * high) if wide else uniform(rng, low, high), 1)


def scan_grid(scanner: Scanner, anatomy: Anatomy, columns: int) -> Grid:
    """Return the voxel grid of the scan with a number of columns."""
    size, depth = anatomy.box_size, anatomy.chest_depth
    low, high = -scanner.below, float(size[2]) + scanner.above
    if scanner.gated:
        middle = anatomy.box_origin[:2] + 0.5 * size[:2] + np.array([0.0, 6.0])
    else:
        middle = np.array([0.0, 0.5 * depth + (4.0 if scanner.protocol == "chest" else 20.0)])
    middle = middle + np.array(scanner.offset)
    pixel = scanner.fov / columns
    half = 0.5 * (scanner.fov - pixel)
    angle = np.deg2rad(scanner.angle_deg)
    return Grid(
        shape=(max(round((high - low) / scanner.increment), 8), columns, columns),
        spacing=(scanner.increment, pixel, pixel),
        origin=(round(low, 3), round(float(middle[1]) - half, 4), round(float(middle[0]) - half, 4)),
        cosine=round(float(np.cos(angle)), 8),
        sine=round(float(np.sin(angle)), 8),
        pivot=(0.5 * depth, 0.0),
    )
