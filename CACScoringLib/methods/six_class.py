"""``six-class``: each slice of the heart gets one of six categories, and the patient one of all slices.

After Nguyen 2025 (Predicting coronary artery calcium severity based on non-contrast cardiac CT images using deep
learning): a classifier of single slices. The paper gives every slice its patient's category and reports slices; how
slices become a patient is not said. Two labellings are possible here, and the aggregation is stated (``aggregate``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.grids import Grid, ct_grid, resample_mean
from CACScoringLib.methods.score_prediction import HeartBox, ScorePrediction, counted
from CACScoringLib.methods.slice_regression import (
    Teller,
    averaged_slices,
    find_heart_box,
    kvp_factor,
    network_units,
    no_heart_findings,
)
from CACScoringLib.models import ModelBundle, load_weights, open_bundle, part_of
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.scoring.stack import Stack, acquired_stack, averaged_stack

NAME = "six-class"
SCHEME = "nguyen-6"
PIXEL_MM = 1.0
"""The network is not told how large a pixel is, so it is always this."""
THIN_MM = 2.0
CONTIGUOUS_MM = 3.0
"""Slices closer than 2 mm are averaged to contiguous 3 mm; all others are taken as acquired."""
SLICE_MARGIN_MM = 4.0
"""Slices this far above and below the box are looked at too."""
LABELLINGS = ("patient", "slice")
"""``patient``: every slice has its patient's category, as in the paper. ``slice``: that of its own Agatston score."""
BATCH = 4
Progress = Callable[[float, str], None]


def scored_stack(ct: CTVolume) -> Stack:
    """Return the slices that are looked at."""
    if ct.spacing_mm[0] < THIN_MM:
        return averaged_stack(ct.hu, ct.spacing_mm, CONTIGUOUS_MM, CONTIGUOUS_MM)
    return acquired_stack(ct.hu, ct.spacing_mm)


def cut_field(ct: CTVolume, stack: Stack, box: HeartBox, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the heart's slices on a field of ``size`` pixels of 1 mm round the box's middle.

    Returns
    -------
    hu : ndarray of float32, shape (n, size, size)
        Air outside the scan.
    number : ndarray of int, shape (n,)
        Which slices of the stack.
    """
    z_mm = slice_centers_mm(stack)
    number = np.flatnonzero((z_mm >= box.low_mm[0] - SLICE_MARGIN_MM) & (z_mm <= box.high_mm[0] + SLICE_MARGIN_MM))
    start = box.center_mm[1:] - (size - 1) / 2 * PIXEL_MM
    source = ct_grid((1, *ct.shape[1:]), (1.0, *ct.spacing_mm[1:]))
    target = Grid((1.0, PIXEL_MM, PIXEL_MM), (0.0, float(start[0]), float(start[1])), (1, size, size))
    out = np.zeros((len(number), size, size), np.float32)
    for k, n in enumerate(number):
        whole = averaged_slices(stack, np.array([n]), slice(0, ct.shape[1]), slice(0, ct.shape[2]))
        out[k] = resample_mean(whole, source, target)[0]
    return out, number


def slice_centers_mm(stack: Stack) -> np.ndarray:
    """Return where the slices of a stack lie, from the centre of the CT's first slice."""
    return np.asarray(stack.acquired_z(np.arange(stack.n_slices)), float) * stack.acquired_mm


@dataclass(frozen=True)
class Aggregation:
    """How slices become a patient.

    Attributes
    ----------
    labelling : str
        What the network was trained on (``LABELLINGS``).
    slice_agatston : tuple of float
        For ``slice``: mean Agatston score of a training slice of each category.
    calcified_from : float
        For ``slice``: a slice adds to the sum where it is calcified with at least this probability.
    """

    labelling: str = "patient"
    slice_agatston: tuple[float, ...] = ()
    calcified_from: float = 0.5

    @classmethod
    def from_bundle(cls, settings: Mapping[str, object]) -> Aggregation:
        """Read it from a model bundle's settings."""
        means = tuple(float(score) for score in settings.get("slice_agatston", ()))
        return cls(str(settings["labelling"]), means, float(settings.get("calcified_from", 0.5)))

    def __post_init__(self) -> None:
        if self.labelling not in LABELLINGS:
            raise ValueError(f"the labelling is one of {', '.join(LABELLINGS)}, not {self.labelling!r}")
        groups = len(SCHEMES[SCHEME].groups)
        if self.labelling == "slice" and len(self.slice_agatston) != groups:
            raise ValueError(f"slice-wise labels need {groups} mean scores, not {len(self.slice_agatston)}")


def aggregate(probability: np.ndarray, how: Aggregation) -> tuple[int, np.ndarray, float | None]:
    """Return a patient's category from those of the slices.

    ``patient``: the probabilities of all slices are averaged, and the most probable category is taken. ``slice``: every
    slice adds its expected Agatston score, the sum of probability times mean score of the category; the sum decides the
    category. A slice counts there only where it is calcified with enough probability, or noise in many empty slices
    would add up.

    Parameters
    ----------
    probability : ndarray, shape (slices, 6)
    how : Aggregation

    Returns
    -------
    category : int
    share : ndarray of float64, shape (6,)
        Mean probability of the slices, or 1 for the category that the sum falls into.
    agatston : float or None
        The sum; None for ``patient``.
    """
    if how.labelling == "patient":
        share = probability.astype(float).mean(axis=0)
        return int(share.argmax()), share, None
    calcified = 1.0 - probability[:, 0] >= how.calcified_from
    score = np.where(calcified, probability @ np.asarray(how.slice_agatston), 0.0)
    total = float(score.sum())
    category = SCHEMES[SCHEME].index(counted(total))
    return category, np.eye(probability.shape[1])[category], total


@dataclass(frozen=True, eq=False)
class SixClassNetworks:
    """The networks of a bundle."""

    localisers: object
    classifier: object


@lru_cache(maxsize=2)
def _networks(folder: Path, sha256: str, device: str) -> SixClassNetworks:
    """Load the networks once a process."""
    import torch

    from CACScoringLib.networks.axis_localiser import AxisLocalisers, LocaliserConfig
    from CACScoringLib.networks.six_class import SixClassConfig, SixClassNet

    bundle = open_bundle(folder)
    weights = load_weights(bundle, device)
    localisers = AxisLocalisers(LocaliserConfig.from_dict(bundle.settings["localisers"]))
    localisers.load_state_dict(part_of(weights, "localisers"))
    classifier = SixClassNet(SixClassConfig.from_dict(bundle.settings["network"]))
    classifier.load_state_dict(part_of(weights, "classifier"))
    return SixClassNetworks(
        localisers.to(device).eval(), classifier.to(device, memory_format=torch.channels_last).eval()
    )


def classify_slices(
    classifier: object, units: np.ndarray, device: str = "cpu", tick: Callable[[float], None] | None = None
) -> np.ndarray:
    """Return the probabilities of slices (n, size, size) in network units: float32 (n, 6)."""
    import torch

    out = [np.zeros((0, len(SCHEMES[SCHEME].groups)), np.float32)]
    for start in range(0, len(units), BATCH):
        if tick is not None:
            tick(start / len(units))
        x = torch.from_numpy(np.ascontiguousarray(units[start : start + BATCH]))[:, None].to(device)
        with torch.inference_mode():
            out.append(torch.softmax(classifier(x).float(), dim=1).cpu().numpy())
    return np.concatenate(out)


def predict_six_class(
    ct: CTVolume,
    *,
    bundle: ModelBundle,
    device: str = "cpu",
    threshold_hu: float | None = None,
    networks: SixClassNetworks | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> ScorePrediction:
    """Put a CT into one of six categories; the parameters are those of ``predict_slice_regression``."""
    run = networks or _networks(bundle.folder, bundle.sha256, device)
    how = Aggregation.from_bundle(bundle.settings)
    tell = Teller(progress, cancelled)
    tell(0.0, "Finding the heart")
    clock = time.perf_counter()
    found = find_heart_box(ct, run.localisers, device)
    timings = {"heart": time.perf_counter() - clock}
    common = {"method": NAME, "model_id": bundle.id, "model_sha256": bundle.sha256, "scheme": SCHEME}
    if found is None:
        tell(1.0, "Done")
        return ScorePrediction(**common, needs_review=True, findings=no_heart_findings(found), timings_s=timings)
    clock = time.perf_counter()
    stack = scored_stack(ct)
    hu, number = cut_field(ct, stack, found, run.classifier.config.size)
    units = network_units(hu, kvp_factor(ct))
    timings["slices"] = time.perf_counter() - clock
    clock = time.perf_counter()
    slices = classify_slices(run.classifier, units, device, lambda f: tell(0.2 + 0.8 * f, "Looking at slices"))
    category, share, total = aggregate(slices, how)
    timings["categories"] = time.perf_counter() - clock
    groups = SCHEMES[SCHEME].groups
    limit = bundle.settings.get("review_below")
    tell(1.0, "Done")
    return ScorePrediction(
        **common,
        category=groups[category],
        category_probability={g: float(p) for g, p in zip(groups, share, strict=True)} if total is None else {},
        agatston=total,
        slice_z_mm=slice_centers_mm(stack)[number],
        slice_category_probability=slices,
        heart_box=found,
        needs_review=None if limit is None or total is not None else bool(share[category] < float(limit)),
        timings_s=timings,
    )
