"""What a method says that scores a scan without marking a single voxel, and the heart box that it looks at."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr

from CACScoringLib.findings import Finding
from CACScoringLib.inference.grids import Grid, ct_grid, resample_linear
from CACScoringLib.inference.heart import heart_region
from CACScoringLib.methods.prediction import Prediction, Said
from CACScoringLib.scoring.presets import DEFAULT_PRESET
from CACScoringLib.scoring.risk import SCHEMES, get_scheme, implied_groups

NO_CALCIUM_BELOW = 1.0
"""A regressed total is hardly ever exactly 0: below this it counts as 0 (de Vos 2017: very low risk, < 1)."""


@dataclass(frozen=True)
class HeartBox:
    """A box round the heart, axis-aligned with the CT.

    Attributes
    ----------
    low_mm, high_mm : tuple of float
        Its walls along (z, y, x), from the centre of the CT's first voxel.
    """

    low_mm: tuple[float, float, float]
    high_mm: tuple[float, float, float]

    @property
    def size_mm(self) -> np.ndarray:
        """Return the lengths of its sides."""
        return np.subtract(self.high_mm, self.low_mm)

    @property
    def center_mm(self) -> np.ndarray:
        """Return its middle."""
        return np.add(self.low_mm, self.high_mm) / 2

    def grown(self, margin_mm: float) -> HeartBox:
        """Return the box with its walls moved outwards."""
        return heart_box(np.subtract(self.low_mm, margin_mm), np.add(self.high_mm, margin_mm))

    def contains(self, points_mm: np.ndarray) -> np.ndarray:
        """Return which points (n, 3) in mm lie inside: bool (n,)."""
        return ((points_mm >= self.low_mm) & (points_mm <= self.high_mm)).all(axis=1)


def heart_box(low_mm: np.ndarray, high_mm: np.ndarray) -> HeartBox:
    """Return the box between two corners."""
    return HeartBox(tuple(float(v) for v in low_mm), tuple(float(v) for v in high_mm))


def box_of_region(region: np.ndarray, grid: Grid) -> HeartBox | None:
    """Return the box round the voxels of a region, their outer faces included; None where there are none."""
    if not region.any():
        return None
    runs = [np.flatnonzero(region.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    first, last = np.array([r[0] for r in runs]), np.array([r[-1] for r in runs])
    spacing, offset = np.asarray(grid.spacing_mm), np.asarray(grid.offset_mm)
    return heart_box(offset + (first - 0.5) * spacing, offset + (last + 0.5) * spacing)


def structure_box(structures: np.ndarray, grid: Grid) -> HeartBox | None:
    """Return the box round chambers and myocardium with the roots of the great vessels; None without a heart.

    Parameters
    ----------
    structures : ndarray of uint8, shape (z, y, x)
        ``vocabulary.Structure`` on ``grid``.
    """
    return box_of_region(heart_region(structures, grid, margin_mm=0.0), grid)


@dataclass(frozen=True)
class BoxComparison:
    """How two boxes differ.

    Attributes
    ----------
    overlap : float
        Intersection over union of their volumes, 0 to 1.
    wall_distance_mm : tuple of float
        Of the low walls along (z, y, x), then of the high ones.
    center_distance_mm : float
    """

    overlap: float
    wall_distance_mm: tuple[float, ...]
    center_distance_mm: float


def compare_boxes(box: HeartBox, other: HeartBox) -> BoxComparison:
    """Return how two boxes on the same CT differ."""
    shared = np.minimum(box.high_mm, other.high_mm) - np.maximum(box.low_mm, other.low_mm)
    both = float(np.prod(np.maximum(shared, 0.0)))
    union = float(np.prod(box.size_mm) + np.prod(other.size_mm)) - both
    walls = np.abs(np.subtract((*box.low_mm, *box.high_mm), (*other.low_mm, *other.high_mm)))
    distance = float(np.linalg.norm(box.center_mm - other.center_mm))
    return BoxComparison(both / union if union > 0 else 0.0, tuple(float(w) for w in walls), distance)


def compare_with_structures(box: HeartBox | None, prediction: Prediction) -> BoxComparison | None:
    """Compare a heart box with the one round the heart that a structure branch found in the same CT.

    Returns None where either of them found no heart.
    """
    if box is None or prediction.structures is None:
        return None
    shape = prediction.structures.shape
    grid = Grid(prediction.structures_spacing_mm, prediction.structures_offset_mm, shape)
    other = structure_box(prediction.structures, grid)
    return None if other is None else compare_boxes(box, other)


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """What in the slices a network's score rests on.

    Attributes
    ----------
    values : ndarray of float32, shape (z, y, x)
        0 or more; higher: more of the score.
    grid : Grid
        Where they lie, from the centre of the CT's first voxel.
    """

    values: np.ndarray
    grid: Grid

    def on_ct(self, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> np.ndarray:
        """Return the map on a CT's own grid: float32 (z, y, x), 0 outside the slices that were looked at."""
        return resample_linear(self.values, self.grid, ct_grid(shape, spacing_mm))


@dataclass(frozen=True, eq=False)
class ScorePrediction(Said):
    """The output of a method that gives a score or a category, but labels no voxels; also who said it (``Said``).

    Attributes
    ----------
    scheme : str
        Name of the risk scheme (``scoring.risk``) of ``category``.
    category : str or None
        Group of the scheme; None where nothing could be looked at.
    category_probability : dict of str to float
        Of each group; empty where the model does not say.
    agatston, volume_mm3 : float or None
        Totals; None where the method gives none.
    slice_z_mm : ndarray of float64, shape (n,)
        Centres of the slices that were looked at, from the centre of the CT's first slice.
    slice_agatston, slice_volume_mm3 : ndarray of float32, shape (n,), or None
        What each adds to the totals.
    slice_category_probability : ndarray of float32, shape (n, groups), or None
    attention : AttentionMap or None
    heart_box : HeartBox or None
        The box that was looked at.
    needs_review : bool or None
        Whether a person should look; None where no limit was measured for the model.
    findings : tuple of Finding
    timings_s : dict of str to float
    preset : str
        Name of the preset whose scores the method learned.
    """

    scheme: str
    category: str | None = None
    category_probability: dict[str, float] = field(default_factory=dict)
    agatston: float | None = None
    volume_mm3: float | None = None
    slice_z_mm: np.ndarray = field(default_factory=lambda: np.zeros(0))
    slice_agatston: np.ndarray | None = None
    slice_volume_mm3: np.ndarray | None = None
    slice_category_probability: np.ndarray | None = None
    attention: AttentionMap | None = None
    heart_box: HeartBox | None = None
    needs_review: bool | None = None
    findings: tuple[Finding, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)
    preset: str = DEFAULT_PRESET

    @property
    def labels(self) -> None:
        """Return None: no voxel is labelled (as ``Prediction.labels`` says it)."""
        return

    def risk(self) -> dict[str, str]:
        """Return the group of the total in every scheme that needs nothing else; the own category always.

        Without a total: the own category, and the groups of coarser schemes that it lies in.
        """
        own = {} if self.category is None else {self.scheme: self.category}
        if self.agatston is None:
            return own and implied_groups(self.scheme, self.category)
        total = counted(self.agatston)
        return {name: SCHEMES[name].group(total) for name in SCHEMES if name not in ("cac-drs", "scct-2017")} | own

    def as_dict(self) -> dict[str, object]:
        """Return the scores as plain values for JSON; arrays of slices as lists, without the attention map."""
        return {
            "method": self.method,
            "model": {"id": self.model_id, "sha256": self.model_sha256},
            "agatston": self.agatston,
            "volume_mm3": self.volume_mm3,
            "preset": self.preset,
            "scheme": self.scheme,
            "category": self.category,
            "category_probability": dict(self.category_probability),
            "risk": self.risk(),
            "needs_review": self.needs_review,
            "slices": {
                "z_mm": self.slice_z_mm.tolist(),
                "agatston": None if self.slice_agatston is None else self.slice_agatston.tolist(),
                "volume_mm3": None if self.slice_volume_mm3 is None else self.slice_volume_mm3.tolist(),
            },
            "findings": [finding.as_dict() for finding in self.findings],
            "timings_s": dict(self.timings_s),
        }


def counted(agatston: float) -> float:
    """Return a regressed total as it counts for categories."""
    return 0.0 if agatston < NO_CALCIUM_BELOW else agatston


def spread_probability(agatston: float, spread: float, scheme: str) -> dict[str, float]:
    """Return the probability of each group where ln(1 + total) is normally distributed round the regressed one.

    Parameters
    ----------
    agatston : float
    spread : float
        Standard deviation, measured on validation patients.
    scheme : str

    Examples
    --------
    >>> {k: round(v, 2) for k, v in spread_probability(100.0, 0.2, "screening-5").items()}
    {'<1': 0.0, '1-10': 0.0, '10-100': 0.5, '100-400': 0.5, '>=400': 0.0}
    """
    rules = get_scheme(scheme)
    bounds = np.maximum(rules.bounds, NO_CALCIUM_BELOW)
    below = ndtr((np.log1p(bounds) - np.log1p(agatston)) / spread)
    share = np.diff([0.0, *below, 1.0])
    return {name: float(p) for name, p in zip(rules.groups, share, strict=True)}
