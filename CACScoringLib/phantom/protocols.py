"""How each protocol images, as ranges to draw from (SYNTHETIC numbers, section 4; DESIGN section 7)."""

from __future__ import annotations

from dataclasses import dataclass, replace

PROTOCOLS = ("gated", "spect-ctac", "pet-ctac", "chest")
Choices = tuple[tuple[float, float], ...]
"""Values with their weights."""
Spread = tuple[float, float, float, float]
"""Mean, SD, lowest, highest."""


@dataclass(frozen=True)
class Prior:
    """Ranges of one protocol. Lengths in mm, noise in HU, frequencies per mm, times in cardiac cycles.

    Attributes
    ----------
    slices : (thickness, increment, weight)
    motion : median, SD of the logarithm, lowest and highest path of the heart
    window : what one slice sees of the cycle; ``step`` how much later in the cycle the next slice is
    along : how far the scan reaches below the heart and above it
    """

    gated: bool
    kvp: Choices
    slices: tuple[tuple[float, float, float], ...]
    fov: Choices | tuple[float, float]
    mas: tuple[float, float]
    noise: Spread
    blur: Spread
    noise_peak: Spread
    mixing: tuple[float, float]
    motion: Spread
    window: tuple[float, float]
    step: tuple[float, float]
    streaks: float
    shading: float
    below: tuple[float, float]
    above: tuple[float, float]


CTAC_FOV: Choices = ((500.0, 0.65), (550.0, 0.12), (600.0, 0.11), (700.0, 0.12))
PRIORS: dict[str, Prior] = {
    "gated": Prior(
        gated=True,
        kvp=((120, 0.85), (100, 0.11), (80, 0.04)),
        slices=((3.0, 3.0, 0.75), (2.5, 2.5, 0.25)),
        fov=(180.0, 250.0),
        mas=(30, 90),
        noise=(19.0, 4.0, 9.0, 38.0),
        blur=(1.55, 0.15, 1.0, 2.2),
        noise_peak=(0.26, 0.05, 0.15, 0.42),
        mixing=(0.0, 0.15),
        motion=(1.6, 0.5, 0.4, 4.5),
        window=(0.08, 0.20),
        step=(0.0, 0.0),
        streaks=1.0,
        shading=2.5,
        below=(4, 18),
        above=(8, 30),
    ),
    "chest": Prior(
        gated=False,
        kvp=((120, 0.8), (100, 0.1), (140, 0.1)),
        slices=((1.25, 1.25, 0.1), (1.5, 1.5, 0.15), (2.0, 2.0, 0.3), (2.5, 2.5, 0.3), (3.0, 3.0, 0.15)),
        fov=(280.0, 400.0),
        mas=(25, 120),
        noise=(23.0, 6.0, 10.0, 60.0),
        blur=(1.5, 0.15, 0.9, 2.2),
        noise_peak=(0.25, 0.05, 0.15, 0.4),
        mixing=(0.15, 0.60),
        motion=(4.5, 0.45, 1.5, 15.0),
        window=(0.2, 0.5),
        step=(0.05, 0.5),
        streaks=1.8,
        shading=4.0,
        below=(45, 80),
        above=(85, 125),
    ),
    "pet-ctac": Prior(
        gated=False,
        kvp=((100, 0.45), (120, 0.3), (140, 0.25)),
        slices=((3.75, 3.27, 0.3), (3.0, 3.0, 0.3), (2.5, 2.5, 0.15), (4.0, 4.0, 0.1), (5.0, 5.0, 0.15)),
        fov=CTAC_FOV,
        mas=(9, 40),
        noise=(18.0, 6.0, 8.0, 45.0),
        blur=(2.3, 0.25, 1.6, 3.2),
        noise_peak=(0.20, 0.03, 0.13, 0.3),
        mixing=(0.10, 0.45),
        motion=(5.0, 0.4, 2.0, 13.0),
        window=(0.3, 0.8),
        step=(0.1, 0.5),
        streaks=3.0,
        shading=4.0,
        below=(40, 110),
        above=(55, 150),
    ),
    "spect-ctac": Prior(
        gated=False,
        kvp=((120, 0.6), (130, 0.4)),
        slices=((2.5, 2.5, 0.25), (3.0, 3.0, 0.25), (4.0, 4.0, 0.15), (5.0, 5.0, 0.35)),
        fov=CTAC_FOV[:3],
        mas=(10, 40),
        noise=(23.0, 8.0, 10.0, 55.0),
        blur=(2.5, 0.35, 1.7, 3.5),
        noise_peak=(0.19, 0.03, 0.12, 0.3),
        mixing=(0.10, 0.45),
        motion=(6.0, 0.4, 2.5, 14.0),
        window=(0.4, 1.2),
        step=(0.1, 0.5),
        streaks=3.0,
        shading=5.0,
        below=(20, 70),
        above=(15, 70),
    ),
}
TRIGGERED: dict[str, Prior] = {
    "spect-ctac": replace(
        PRIORS["gated"],
        kvp=((120, 1.0),),
        slices=((2.5, 2.5, 1.0),),
        fov=(250.0, 250.0),
        mas=(70, 177),
        noise=(21.0, 5.0, 10.0, 40.0),
        window=(0.11, 0.19),
        below=(6, 25),
        above=(12, 40),
    ),
}
"""The ECG-triggered scans of a protocol that has such scans beside others.

SPECT-CTAC: as in Sartoretti 2023 (doi 10.1007/s12350-022-02940-7, "CACS Imaging"): prospectively triggered, in
breath-hold, 120 kVp, 440.5 +- 96 mA for 280 ms, field of view 25 cm, 12 to 16 cm along the patient, filtered back
projection. Not printed there: slices (assumed: what the scanner's vendor uses for calcium), noise (assumed), blur and
motion (those of gated scans; half a rotation is 0.11 to 0.19 of the cycle at 47 to 81 beats a minute).
"""
TRIGGERED_FRACTION = 0.5
"""Their share, assumed. The other SPECT-CTAC scans are the low-dose ones of a SPECT/CT, in free breathing."""
SHARP_FRACTION = 0.35
"""Share of chest scans reconstructed with a sharp (lung) kernel."""
SHARP_NOISE: Spread = (36.0, 7.0, 20.0, 60.0)
SHARP_BLUR: Spread = (1.05, 0.12, 0.8, 1.4)
SHARP_NOISE_PEAK: Spread = (0.43, 0.07, 0.3, 0.7)
PLATEAU, SHARP_PLATEAU = (0.0, 0.5), (0.2, 0.8)
"""Width of the band of highest noise power as a share of its middle: 0.2 and 0.65 in the two real scans."""


def gated_kinds(protocol: str) -> tuple[bool, ...]:
    """Return which scans a protocol has: ECG-gated ones, others, or both.

    >>> gated_kinds("chest"), gated_kinds("spect-ctac")
    ((False,), (False, True))
    """
    return (PRIORS[protocol].gated, *((True,) if protocol in TRIGGERED else ()))
