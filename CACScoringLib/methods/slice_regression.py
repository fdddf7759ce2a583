"""``slice-regression``: a box round the heart, then the score of every slice in it, without marking calcium.

After de Vos 2017 (arXiv 1712.02982): three networks, one an axis, give the heart box; slices of 3.0 mm every 1.5 mm,
cropped to it and padded with zeros to 256x256, go through a regression network each for Agatston and for volume; the
total is the sum over slices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, warning
from CACScoringLib.inference.grids import Grid, resample_linear
from CACScoringLib.inference.heart import coarse_volume
from CACScoringLib.inference.inputs import scale_hu
from CACScoringLib.inference.windows import CancelledError
from CACScoringLib.methods.score_prediction import (
    AttentionMap,
    HeartBox,
    ScorePrediction,
    counted,
    heart_box,
    spread_probability,
)
from CACScoringLib.models import ModelBundle, load_weights, open_bundle, part_of
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.scoring.settings import settle
from CACScoringLib.scoring.stack import Stack
from CACScoringLib.scoring.thresholds import AGATSTON_HU, choose_thresholds

NAME = "slice-regression"
PRESET = "nlst-de-vos-2017"
"""How the reference is scored, and to which slices the scan is averaged."""
SCHEME = "screening-5"
TARGETS = ("agatston", "volume")
BOX_MARGIN_MM = 8.0
"""The box is grown by this: arteries run in the fat round the chambers, whose box was learned."""
LEAST_SCORE = {"agatston": 0.5, "volume": 1.5}
"""What a slice scores that holds the smallest lesion of the reference preset, 1.5 mm3 in slices every 1.5 mm (Agatston:
1 mm2, weight 1, half of 3 mm); less is no calcium. Without this, what the network says of plain slices adds up."""
LARGEST_GAP = 2
"""Slices without a heart, between slices with one, that are taken for a mistake."""
THICKEST_MM = 3.0
"""The paper leaves out scans of thicker slices."""
LOW_HU, UNIT_HU = -200.0, 200.0
"""Network input = (HU - LOW_HU) / UNIT_HU, 0 where lower; so the padding looks like lung."""
HIGH_HU = 820.0
BATCH = 4
"""Slices at a time: more do not fit the caches of a CPU."""
LOCALISER_BATCH = 32
Progress = Callable[[float, str], None]


def network_units(hu: np.ndarray, kvp_factor: float) -> np.ndarray:
    """Return HU as the slice networks are fed: float32, 0 for -200 HU and less, 5.1 for 820 HU and more."""
    return (np.clip(hu * np.float32(kvp_factor), LOW_HU, HIGH_HU) - LOW_HU).astype(np.float32) / UNIT_HU


def kvp_factor(ct: CTVolume) -> float:
    """Return by what HU are multiplied so that the threshold at the scan's tube voltage becomes 130 HU."""
    return AGATSTON_HU[0] / choose_thresholds(ct.acquisition)[0].calcium


def axis_slices(hu: np.ndarray, axis: str, multiple: int) -> np.ndarray:
    """Return the slices of a coarse volume along an axis, as the localisers are fed.

    Parameters
    ----------
    hu : ndarray, shape (z, y, x)
    axis : str
        ``z``, ``y`` or ``x``.
    multiple : int
        Rows and columns are padded with zeros (air) to multiples of this.

    Returns
    -------
    ndarray of float32, shape (slices, rows, columns)
    """
    slices = np.moveaxis((scale_hu(hu) + 1.0) / 2.0, "zyx".index(axis), 0)
    pads = [(0, -n % multiple) for n in slices.shape[1:]]
    return np.ascontiguousarray(np.pad(slices, [(0, 0), *pads]))


def presence_run(probability: np.ndarray) -> tuple[int, int] | None:
    """Return the first and the last slice of the longest run with a heart; None without any."""
    seen = ndimage.binary_closing(np.pad(probability >= 0.5, LARGEST_GAP), np.ones(LARGEST_GAP + 1))
    runs, count = ndimage.label(seen[LARGEST_GAP:-LARGEST_GAP])
    if not count:
        return None
    longest = np.flatnonzero(runs == 1 + int(np.argmax(np.bincount(runs)[1:])))
    return int(longest[0]), int(longest[-1])


def find_heart_box(ct: CTVolume, localisers: object, device: str = "cpu") -> HeartBox | None:
    """Return the box in which all three localisers see a heart; None where one of them sees none.

    Parameters
    ----------
    ct : CTVolume
    localisers : AxisLocalisers
        In evaluation mode.
    device : str
    """
    import torch

    hu, grid = coarse_volume(ct)
    low, high = [], []
    for number, axis in enumerate("zyx"):
        slices = torch.from_numpy(axis_slices(hu, axis, localisers.config.multiple))[:, None]
        with torch.inference_mode():
            logits = [localisers.axes[axis](part.to(device)) for part in slices.split(LOCALISER_BATCH)]
        run = presence_run(torch.sigmoid(torch.cat(logits).float()).cpu().numpy())
        if run is None:
            return None
        low.append(grid.offset_mm[number] + (run[0] - 0.5) * grid.spacing_mm[number])
        high.append(grid.offset_mm[number] + (run[1] + 0.5) * grid.spacing_mm[number])
    return heart_box(np.array(low), np.array(high))


@dataclass(frozen=True, eq=False)
class HeartSlices:
    """Slices cropped to a box, at most ``size`` pixels a side.

    Attributes
    ----------
    hu : ndarray of float32, shape (n, rows, columns)
    grid : Grid
        From the centre of the CT's first voxel.
    number : ndarray of int, shape (n,)
        Which slices of the stack.
    """

    hu: np.ndarray
    grid: Grid
    number: np.ndarray


def slice_scores(output: object, network: object, target: str, factor: float = 1.0) -> np.ndarray:
    """Return what a network's output says of slices: float32 (n,), 0 where it is less than the smallest lesion's score.

    Parameters
    ----------
    output : Tensor, shape (n,)
    network : SliceRegressionNet
    target : str
        ``agatston`` or ``volume``.
    factor : float
        By which totals of validation patients were too low: the least absolute error of logarithms is reached by
        medians, whose sum is less than the sum of the scores.
    """
    score = network.config.decode(output).cpu().numpy() * np.float32(factor)
    return np.where(score >= LEAST_SCORE[target], score, np.float32(0.0))


def cut_slices(ct: CTVolume, stack: Stack, box: HeartBox, size: int) -> HeartSlices:
    """Return the slices of a stack inside a box, in the scan's own pixels where these are few enough.

    Where the box is wider than ``size`` pixels, pixels are enlarged by interpolation until it fits (the paper leaves
    such scans out).
    """
    z_mm = np.asarray(stack.acquired_z(np.arange(stack.n_slices)), float) * stack.acquired_mm
    number = np.flatnonzero((z_mm >= box.low_mm[0]) & (z_mm <= box.high_mm[0]))
    spacing = np.asarray(ct.spacing_mm[1:])
    last = np.asarray(ct.shape[1:]) - 1
    first = np.clip(np.ceil(np.asarray(box.low_mm[1:]) / spacing), 0, last).astype(int)
    end = np.clip(np.floor(np.asarray(box.high_mm[1:]) / spacing), first, last).astype(int) + 1
    hu = averaged_slices(stack, number, slice(first[0], end[0]), slice(first[1], end[1]))
    z0 = float(z_mm[number[0]]) if len(number) else 0.0
    own = Grid(
        (stack.spacing_mm[0], *map(float, spacing)), (z0, *map(float, first * spacing)), hu.shape
    )  # fmt: skip
    factor = float(np.max((end - first) / size))
    if factor <= 1.0 or not len(number):
        return HeartSlices(hu, own, number)
    shape = tuple(np.maximum(np.floor((end - first) / factor + 1e-6).astype(int), 1))
    target = Grid(
        (own.spacing_mm[0], *map(float, spacing * factor)),
        (z0, *map(float, (first + (factor - 1) / 2) * spacing)),
        (len(number), *(int(n) for n in shape)),
    )
    return HeartSlices(resample_linear(hu, own, target), target, number)


def averaged_slices(stack: Stack, number: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """Return whole slices of a stack, cropped: float32 (n, rows, columns), rounded to whole HU as a scanner stores."""
    if stack.first is None:
        return stack.hu[number, rows, columns].astype(np.float32)
    out = []
    for n in number:
        first, share = int(stack.first[n]), stack.share[n].astype(np.float32)
        part = stack.hu[first : first + len(share), rows, columns].astype(np.float32)
        out.append(np.tensordot(share[: len(part)], part, axes=1))
    shape = (0, rows.stop - rows.start, columns.stop - columns.start)
    return np.floor(np.stack(out) + np.float32(0.5)) if out else np.zeros(shape, np.float32)


def on_canvas(slices: np.ndarray, size: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Return slices (n, rows, columns) in the middle of zeros (n, size, size), and the pixels before them."""
    rows, columns = slices.shape[1:]
    top, left = (size - rows) // 2, (size - columns) // 2
    out = np.zeros((len(slices), size, size), np.float32)
    out[:, top : top + rows, left : left + columns] = slices
    return out, (top, left)


@dataclass(frozen=True, eq=False)
class Networks:
    """The networks of a bundle: ``localisers``, and one ``SliceRegressionNet`` a target."""

    localisers: object
    regressors: dict[str, object]


@lru_cache(maxsize=2)
def _networks(folder: Path, sha256: str, device: str) -> Networks:
    """Load the networks once a process."""
    import torch

    from CACScoringLib.networks.axis_localiser import AxisLocalisers, LocaliserConfig
    from CACScoringLib.networks.slice_regression import SliceRegressionConfig, SliceRegressionNet

    bundle = open_bundle(folder)
    weights = load_weights(bundle, device)
    localisers = AxisLocalisers(LocaliserConfig.from_dict(bundle.settings["localisers"]))
    localisers.load_state_dict(part_of(weights, "localisers"))
    regressors = {}
    for target in TARGETS:
        if target in bundle.settings["networks"]:
            network = SliceRegressionNet(SliceRegressionConfig(**bundle.settings["networks"][target]))
            network.load_state_dict(part_of(weights, target))
            regressors[target] = network.to(device, memory_format=torch.channels_last).eval()
    return Networks(localisers.to(device).eval(), regressors)


def predict_slice_regression(
    ct: CTVolume,
    *,
    bundle: ModelBundle,
    device: str = "cpu",
    threshold_hu: float | None = None,
    attention: bool = True,
    networks: Networks | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> ScorePrediction:
    """Score the slices of a CT.

    Parameters
    ----------
    ct : CTVolume
    bundle : ModelBundle
    device : str
    threshold_hu : float, optional
        Not used: no voxel is selected. Taken so that all methods are called alike.
    attention : bool
        Also say what in the slices the Agatston score rests on.
    networks : Networks, optional
        Used in place of the bundle's.
    progress, cancelled : callable, optional
        As in ``methods.predict``.
    """
    run = networks or _networks(bundle.folder, bundle.sha256, device)
    tell = Teller(progress, cancelled)
    tell(0.0, "Finding the heart")
    clock = time.perf_counter()
    found = find_heart_box(ct, run.localisers, device)
    timings = {"heart": time.perf_counter() - clock}
    common = {"method": NAME, "model_id": bundle.id, "model_sha256": bundle.sha256, "scheme": SCHEME, "preset": PRESET}
    findings = (*scan_findings(ct), *no_heart_findings(found))
    if found is None:
        tell(1.0, "Done")
        return ScorePrediction(**common, needs_review=True, findings=findings, timings_s=timings)
    clock = time.perf_counter()
    size = next(iter(run.regressors.values())).config.size
    slices = cut_slices(ct, settle(ct, preset=PRESET).stack, found.grown(BOX_MARGIN_MM), size)
    units = network_units(slices.hu, kvp_factor(ct))
    timings["slices"] = time.perf_counter() - clock
    clock = time.perf_counter()
    factors = {target: float(value) for target, value in dict(bundle.settings.get("factors", {})).items()}
    scores, heat = _run(run.regressors, units, slices.grid, device, attention, tell, factors)
    timings["scores"] = time.perf_counter() - clock
    total = float(scores["agatston"].sum()) if "agatston" in scores else None
    category, probability, review = _category(total, bundle.settings)
    tell(1.0, "Done")
    return ScorePrediction(
        **common,
        category=category,
        category_probability=probability,
        agatston=total,
        volume_mm3=float(scores["volume"].sum()) if "volume" in scores else None,
        slice_z_mm=np.asarray(slices.grid.axes_mm()[0]),
        slice_agatston=scores.get("agatston"),
        slice_volume_mm3=scores.get("volume"),
        attention=heat,
        heart_box=found,
        needs_review=review,
        findings=findings,
        timings_s=timings,
    )


class Teller:
    """Reports progress, and stops when asked to."""

    def __init__(self, progress: Progress | None, cancelled: Callable[[], bool] | None):
        self.progress, self.cancelled = progress, cancelled

    def __call__(self, fraction: float, text: str) -> None:
        """Report a fraction in 0..1 and what is being done."""
        if self.cancelled is not None and self.cancelled():
            raise CancelledError("Stopped on request; nothing was changed.")
        if self.progress is not None:
            self.progress(fraction, text)


def _run(
    regressors: dict[str, object],
    units: np.ndarray,
    grid: Grid,
    device: str,
    attention: bool,
    tell: Teller,
    factors: Mapping[str, float],
) -> tuple[dict[str, np.ndarray], AttentionMap | None]:
    """Run the regression networks on all slices: scores by target, and the attention of the Agatston network."""
    import torch

    from CACScoringLib.networks.slice_regression import ATTENTION_STEP

    size = next(iter(regressors.values())).config.size
    canvas, (top, left) = on_canvas(units, size)
    scores = {target: np.zeros(len(canvas), np.float32) for target in regressors}
    heat = np.zeros((len(canvas), size // ATTENTION_STEP, size // ATTENTION_STEP), np.float32)
    for start in range(0, len(canvas), BATCH):
        tell(0.2 + 0.8 * start / len(canvas), "Scoring slices")
        x = torch.from_numpy(canvas[start : start + BATCH])[:, None].to(device)
        voxel = torch.tensor(grid.spacing_mm, dtype=torch.float32, device=device).expand(len(x), 3)
        for target, network in regressors.items():
            with torch.inference_mode():
                if attention and target == "agatston":
                    output, here = network.attention(x, voxel)
                    heat[start : start + BATCH] = here.cpu().numpy()
                else:
                    output = network(x, voxel)
                scores[target][start : start + BATCH] = slice_scores(output, network, target, factors.get(target, 1.0))
    if not attention or "agatston" not in regressors or not len(canvas):
        return scores, None
    step = np.array([1, ATTENTION_STEP, ATTENTION_STEP])
    spacing = np.asarray(grid.spacing_mm)
    offset = np.asarray(grid.offset_mm) + spacing * ((step - 1) / 2 - np.array([0, top, left]))
    cells = Grid(tuple(map(float, spacing * step)), tuple(map(float, offset)), heat.shape)
    return scores, AttentionMap(heat, cells)


def _category(total: float | None, settings: dict) -> tuple[str | None, dict[str, float], bool | None]:
    """Return the stated category, the probability of each and whether it needs review, as far as was measured."""
    if total is None:
        return None, {}, None
    category = SCHEMES[SCHEME].group(counted(total))
    if not settings.get("spread"):
        return category, {}, None
    probability = spread_probability(total, float(settings["spread"]), SCHEME)
    limit = settings.get("review_below")
    return category, probability, None if limit is None else probability[category] < float(limit)


def no_heart_findings(box: HeartBox | None) -> tuple[Finding, ...]:
    """Say when no heart was found."""
    if box is not None:
        return ()
    advice = "so nothing was scored: check that the scan covers the heart."
    return (warning("heart-not-found", f"No heart was found in this scan, {advice}"),)


def scan_findings(ct: CTVolume) -> tuple[Finding, ...]:
    """Say when the slices are thicker than those that the paper takes."""
    thickness = ct.acquisition.slice_thickness_mm or ct.spacing_mm[0]
    if max(thickness, ct.spacing_mm[0]) <= THICKEST_MM + 0.05:
        return ()
    words = f"Slices are {max(thickness, ct.spacing_mm[0]):.2g} mm; this method is made for at most {THICKEST_MM:g} mm"
    return (warning("slices-too-thick", f"{words}, so its score is less certain."),)
