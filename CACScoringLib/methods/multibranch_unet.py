"""``multibranch-unet``: heart first, then every candidate lesion in and around it.

After Sartoretti 2023 (doi 10.1007/s12350-022-02940-7): one network of residual units with a coronary and a structure
branch, run on 64x64x64 patches; calcium is kept only near the heart that the structure
branch finds. Beyond the paper: the network runs only where candidates are, a second one says where the left main
divides, a classifier looks again at each lesion as a whole, and a lesion is decided as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.bifurcation import divide_left_main
from CACScoringLib.inference.candidates import CANDIDATE_HU, Candidates, find_candidates
from CACScoringLib.inference.fine import at_candidates, fine_channels, fine_grid_over
from CACScoringLib.inference.grids import AIR_HU, Grid, ct_grid
from CACScoringLib.inference.heart import (
    HeartFinder,
    coarse_volume,
    heart_region,
    largest_heart,
    network_heart,
    search_windows,
    segment_structures,
)
from CACScoringLib.inference.inputs import scale_hu
from CACScoringLib.inference.lesion_classifier import second_look
from CACScoringLib.inference.lesion_features import CandidateRows, islands_to_look_at, lesion_features
from CACScoringLib.inference.windows import CancelledError, plan_windows, run_at_cells
from CACScoringLib.methods.evidence import Evidence, NetworkView, decided
from CACScoringLib.methods.multibranch_model import load_model
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.models import ModelBundle

NAME = "multibranch-unet"
BRANCHES = {"calcium": 5, "non_coronary": 5, "artery": 5}
STRUCTURE_CHANNELS = 7
Progress = Callable[[float, str], None]


class _Pass:
    """Counts windows, reports progress, and stops when asked to."""

    def __init__(self, progress: Progress | None, cancelled: Callable[[], bool] | None):
        self.progress, self.cancelled = progress, cancelled
        self.low, self.high, self.total, self.done, self.text = 0.0, 1.0, 1, 0, ""

    def start(self, low: float, high: float, total: int, text: str) -> None:
        self.low, self.high, self.total, self.done, self.text = low, high, max(total, 1), 0, text
        self.report(low)

    def tick(self) -> None:
        self.done += 1
        self.report(self.low + (self.high - self.low) * min(self.done / self.total, 1.0))

    def report(self, fraction: float) -> None:
        if self.cancelled is not None and self.cancelled():
            raise CancelledError("Stopped on request; nothing was changed.")
        if self.progress is not None:
            self.progress(fraction, self.text)


def predict_multibranch(
    ct: CTVolume,
    *,
    bundle: ModelBundle,
    device: str = "cpu",
    threshold_hu: float = CANDIDATE_HU,
    network: object | None = None,
    heart: HeartFinder = network_heart,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Prediction:
    """Label the calcium of a CT.

    Parameters
    ----------
    ct : CTVolume
    bundle : ModelBundle
        Which weights.
    device : str
    threshold_hu : float
        Lowest HU of a candidate.
    network : object, optional
        Used in place of the bundle's network; has ``structures`` and ``at_voxels`` of ``MultiBranchUNet``.
    heart : callable
        Who finds the heart; the network's coarse branch unless something else is given.
    progress : callable, optional
        Called with a fraction in 0..1 and what is being done.
    cancelled : callable, optional
        Asked between windows; True raises ``CancelledError``.

    Returns
    -------
    Prediction
    """
    steps = _Pass(progress, cancelled)
    evidence = look(
        ct, bundle=bundle, device=device, threshold_hu=threshold_hu, network=network, heart=heart, steps=steps
    )
    prediction = decided(ct, evidence, bundle, method=NAME, heart=heart)
    steps.start(1.0, 1.0, 1, "Done")
    return prediction


def look(
    ct: CTVolume,
    *,
    bundle: ModelBundle,
    device: str = "cpu",
    threshold_hu: float = CANDIDATE_HU,
    network: object | None = None,
    heart: HeartFinder = network_heart,
    steps: _Pass | None = None,
) -> Evidence:
    """Run the network: the heart on the coarse grid, then the calcium branches at every candidate.

    Parameters are those of ``predict_multibranch``.
    """
    model = load_model(bundle, device)
    run = network or model.network
    steps = steps or _Pass(None, None)
    clock, timings = time.perf_counter(), {}
    hu, coarse = coarse_volume(ct)
    steps.start(0.0, 0.4, search_windows(hu.shape), "Finding the heart")
    context = int(bundle.settings["network"]["in_channels"]) - 4
    probability = heart(
        ct,
        hu,
        coarse,
        lambda: segment_structures(hu, run.structures, context_channels=context, device=device, tick=steps.tick),
    )
    structures = largest_heart(probability)
    timings["heart"] = time.perf_counter() - clock
    clock = time.perf_counter()
    grid = ct_grid(ct.shape, ct.spacing_mm)
    region = heart_region(structures, coarse)
    candidates = find_candidates(ct.hu, grid, region, coarse, threshold_hu)
    timings["candidates"] = time.perf_counter() - clock
    clock = time.perf_counter()
    if not candidates.count:
        nothing = np.zeros((0, 5), np.float32)
        return Evidence(structures, coarse, candidates, nothing, nothing, timings | {"calcium": 0.0})
    rows = _calcium_rows(ct, grid, candidates, probability, coarse, region, run, device, steps)
    islands = islands_to_look_at(candidates, rows.calcium)
    kvp = ct.acquisition.kvp
    features = lesion_features(ct.hu, ct.spacing_mm, kvp, candidates, rows, structures, coarse, islands)
    alone = rows.calcium
    if model.divider is not None:
        alone = divide_left_main(ct.hu, grid, candidates, alone, model.divider, model.divider.weights)
    calcium = second_look(candidates, alone, islands, features, model.classifier)
    timings["calcium"] = time.perf_counter() - clock
    seen = NetworkView(alone, islands, features)
    return Evidence(structures, coarse, candidates, calcium, rows.non_coronary, timings, seen)


def find_structures(
    ct: CTVolume, *, bundle: ModelBundle, device: str = "cpu", network: object | None = None
) -> tuple[np.ndarray, Grid]:
    """Run the coarse branch alone.

    Returns
    -------
    probability : ndarray of float32, shape (8, z, y, x)
    coarse : Grid
    """
    run = network or load_model(bundle, device).network
    hu, coarse = coarse_volume(ct)
    context = int(bundle.settings["network"]["in_channels"]) - 4
    return segment_structures(hu, run.structures, context_channels=context, device=device), coarse


def _calcium_rows(
    ct: CTVolume,
    grid: Grid,
    candidates: Candidates,
    probability: np.ndarray,
    coarse: Grid,
    region: np.ndarray,
    run: object,
    device: str,
    steps: _Pass,
) -> CandidateRows:
    """Run the network on the windows that hold candidates."""
    fine = fine_grid_over(region, coarse, candidates, grid)
    channels = fine_channels(ct.hu, grid, candidates, probability, coarse, fine)
    cells = np.argwhere(channels[1] > 0)
    corners = plan_windows(fine.shape, channels[1] > 0)
    steps.start(0.4, 1.0, len(corners), "Looking at candidate lesions")
    fill = [float(scale_hu(np.array(AIR_HU, np.float32)))] + [0.0] * (len(channels) - 1)
    out = run_at_cells(channels, corners, run.at_voxels, cells, BRANCHES, fill=fill, device=device, tick=steps.tick)
    structure = np.ascontiguousarray(channels[(slice(-STRUCTURE_CHANNELS, None), *cells.T)].T)
    values = [out["calcium"], out["non_coronary"], out["artery"], structure]
    return CandidateRows(*(at_candidates(value, cells, candidates, grid, fine) for value in values))
