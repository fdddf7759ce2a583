"""Named scoring rules: what a scanner vendor's workstation or a study counts as calcium.

Every rule applies 130 HU at 120 kVp and scales with the slice increment (dz / 3 mm); they differ in connectivity,
in the smallest lesion that counts, and in how volume and mass are measured.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

from CACScoringLib.findings import InputRefusedError, refuse

FQM = "FQM_Analysis (van Praagh et al., Med Phys 2021, doi 10.1002/mp.14912)"
IN_PLANE = (4, 8)
THREE_DIMENSIONAL = (6, 26)
ROUNDING = 1e-9
"""Relative slack before a minimum is rounded up to whole voxels, so that 1 / 0.25 is 4 and not 5."""


@dataclass(frozen=True)
class Preset:
    """One way of turning labelled voxels into a score.

    Attributes
    ----------
    name, title : str
    connectivity : int
        4 or 8: a lesion is an island in its slice. 6 or 26: a lesion is a component of the volume, whose part in
        each slice is weighted by its maximum there.
    minimum_area_mm2 : float or None
        Smallest island, rounded up to whole pixels.
    minimum_pixels : int or None
        Smallest island in pixels, where the rule is a number of pixels.
    minimum_volume_mm3 : float or None
        Smallest component (of the preset's connectivity) in mm3.
    strict : bool
        True where the rule says above the threshold instead of at or above it.
    volume_rule : str
        ``voxels``: voxel count. ``isotropic``: count after linear interpolation along z (``volume``).
    mass_threshold_hu : float or None
        Threshold at 120 kVp of the voxels that count for volume and mass, where it differs from the Agatston one.
    resample_mm : tuple of float or None
        (thickness, increment) to which slices are averaged before scoring.
    lm_with_lad : bool
        Whether calcium of the left main counts as LAD.
    source : str
        Where the rule comes from.
    status : str
        ``verified``, ``secondary`` or ``derived``.
    """

    name: str
    title: str
    connectivity: int = 8
    minimum_area_mm2: float | None = None
    minimum_pixels: int | None = None
    minimum_volume_mm3: float | None = None
    strict: bool = False
    volume_rule: str = "voxels"
    mass_threshold_hu: float | None = None
    resample_mm: tuple[float, float] | None = None
    lm_with_lad: bool = False
    source: str = ""
    status: str = "verified"

    def __post_init__(self) -> None:
        if self.connectivity not in (*IN_PLANE, *THREE_DIMENSIONAL):
            raise InputRefusedError(
                refuse("unknown-connectivity", f"Connectivity {self.connectivity} is not one of 4, 8, 6 and 26.")
            )
        if self.volume_rule not in ("voxels", "isotropic"):
            raise InputRefusedError(
                refuse("unknown-volume-rule", f"Volume rule {self.volume_rule!r} is not 'voxels' or 'isotropic'.")
            )

    @property
    def in_plane(self) -> bool:
        """Return whether lesions are found slice by slice."""
        return self.connectivity in IN_PLANE

    @property
    def lesion_connectivity(self) -> int:
        """Return the connectivity of the lesion table: 26, except where the preset itself says 6."""
        return 6 if self.connectivity == 6 else 26

    def minimum_island_pixels(self, pixel_area_mm2: float) -> int:
        """Return the number of pixels that an island needs to count."""
        if self.minimum_pixels is not None:
            return max(1, self.minimum_pixels)
        return whole_voxels(self.minimum_area_mm2, pixel_area_mm2)

    def minimum_component_voxels(self, voxel_volume_mm3: float) -> int:
        """Return the number of voxels that a component needs to count."""
        return whole_voxels(self.minimum_volume_mm3, voxel_volume_mm3)

    def with_overrides(
        self,
        *,
        connectivity: int | None = None,
        minimum_area_mm2: float | None = None,
        minimum_pixels: int | None = None,
    ) -> Preset:
        """Return the preset with another connectivity or another minimum; a new minimum replaces the old rule."""
        if minimum_area_mm2 is not None and minimum_pixels is not None:
            raise InputRefusedError(
                refuse("two-minimum-areas", "Give the minimum lesion in mm2 or in pixels, not in both.")
            )
        if any(value is not None and value < 0 for value in (minimum_area_mm2, minimum_pixels)):
            raise InputRefusedError(refuse("negative-minimum-area", "The minimum lesion area cannot be negative."))
        preset = self if connectivity is None else replace(self, connectivity=connectivity)
        if minimum_area_mm2 is None and minimum_pixels is None:
            return preset
        return replace(
            preset, minimum_area_mm2=minimum_area_mm2, minimum_pixels=minimum_pixels, minimum_volume_mm3=None
        )

    def as_dict(self) -> dict[str, object]:
        """Return the numbers of the preset as ``scores.json`` writes them."""
        numbers = asdict(self)
        numbers["resample_mm"] = list(self.resample_mm) if self.resample_mm else None
        return numbers


def whole_voxels(minimum: float | None, voxel: float) -> int:
    """Return ``ceil(minimum / voxel)``, at least 1; None means that a single voxel counts."""
    return 1 if minimum is None else max(1, math.ceil(minimum / voxel * (1 - ROUNDING)))


_ALL = (
    Preset(
        "agatston-1990",
        "Agatston 1990",
        minimum_area_mm2=1.0,
        source="Agatston et al., J Am Coll Cardiol 1990;15:827-32; minimum of 1 mm2 as in " + FQM,
    ),
    Preset(
        "literature",
        "Literature (isotropic volume)",
        minimum_area_mm2=1.0,
        volume_rule="isotropic",
        source="Callister et al., Radiology 1998;208:807-14, as in " + FQM,
    ),
    Preset("ge-smartscore", "GE SmartScore", minimum_area_mm2=1.0, source=FQM + "; Sartoretti et al. 2023"),
    Preset("terarecon", "TeraRecon", minimum_area_mm2=1.0, source=FQM),
    Preset("philips", "Philips Heartbeat-CS", minimum_area_mm2=0.5, mass_threshold_hu=112.5, source=FQM),
    Preset("siemens", "Siemens syngo CaScore", source=FQM),
    Preset(
        "canon",
        "Canon CaScore",
        minimum_pixels=4,
        source=FQM + ": an island must exceed 3 pixels; its published scores reproduce with at least 4, not with 3",
    ),
    Preset(
        "orcascore",
        "orCaScore challenge",
        connectivity=6,
        strict=True,
        lm_with_lad=True,
        source="Wolterink et al., Med Phys 2016;43:2361-73",
        status="secondary",
    ),
    Preset(
        "nlst-de-vos-2017",
        "NLST, de Vos 2017",
        connectivity=26,
        minimum_volume_mm3=1.5,
        resample_mm=(3.0, 1.5),
        source="de Vos et al. 2017, arXiv 1712.02982, section Data",
    ),
    Preset(
        "deepcac",
        "DeepCAC",
        minimum_pixels=4,
        source="Zeleznik et al., Nat Commun 2021;12:715: islands of 3 pixels and fewer are dropped",
    ),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}
"""Every preset by name. Canon: FQM compares ``area > 3 * pixel area``; with 3 pixels the Medium_HD and Small_HD
inserts of the published Canon scan come out too large, with 4 all seven reproduce to the last digit."""

DEFAULT_PRESET = "agatston-1990"


def get_preset(preset: str | Preset) -> Preset:
    """Return a preset by name.

    Raises
    ------
    InputRefusedError
        If there is none of that name.
    """
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise InputRefusedError(
            refuse("unknown-preset", f"There is no preset {preset!r}; choose one of {', '.join(PRESETS)}.")
        )
    return PRESETS[preset]
