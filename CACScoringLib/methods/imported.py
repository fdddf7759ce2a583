"""``imported``: somebody else's network, run as its user declared it.

The CT is resampled, windowed and scaled as declared, the network slides over it (``monai.inferers``), and
voxels that can count get the label of the most probable channel.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import ndimage

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import info
from CACScoringLib.inference.candidates import CANDIDATE_HU, WHOLE
from CACScoringLib.inference.grids import AIR_HU, Grid, covering_grid, ct_grid, resample_mean
from CACScoringLib.inference.windows import CancelledError
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.models import ModelBundle, ModelError, open_bundle
from CACScoringLib.models.declaration import Declaration
from CACScoringLib.models.foreign import METHOD, first_output, load_network
from CACScoringLib.models.label_map import NAMES

MOST_VALUES = 1_500_000_000
"""Largest output in numbers (channels times voxels), 6 GB: more does not fit into usual memory."""
HALF = 0.5
"""A channel of its own (sigmoid) is there from this probability on."""
Progress = Callable[[float, str], None]


@lru_cache(maxsize=2)
def _network(folder: Path, sha256: str, device: str):
    """Load a network once a process."""
    return load_network(open_bundle(folder), device)


def predict_imported(
    ct: CTVolume,
    *,
    bundle: ModelBundle,
    device: str = "cpu",
    threshold_hu: float = CANDIDATE_HU,
    network: Callable | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Prediction:
    """Label the calcium of a CT with an imported network.

    Parameters
    ----------
    ct : CTVolume
    bundle : ModelBundle
        Which weights, and what was declared about them.
    device : str
    threshold_hu : float
        Voxels below it get no label.
    network : callable, optional
        Used in place of the bundle's: (1, 1, ...) -> logits (1, channels, ...).
    progress, cancelled
        As ``predict`` takes them.

    Returns
    -------
    Prediction
    """
    declaration = Declaration.from_dict(bundle.settings, f"model '{bundle.id}'")
    run = network or _network(bundle.folder, bundle.sha256, device)
    clock = time.perf_counter()
    grid = ct_grid(ct.shape, ct.spacing_mm)
    target = grid
    if declaration.spacing_mm is not None:
        size = (np.asarray(ct.shape) - 1) * np.asarray(ct.spacing_mm)
        target = covering_grid(np.zeros(3), size, declaration.spacing_mm)
    tick = _ticker(target.shape, declaration, progress, cancelled)
    hu = resample_mean(ct.hu, grid, target) if target is not grid else ct.hu.astype(np.float32)
    probability = slide(scaled(hu, declaration), run, declaration, device=device, tick=tick)
    labels, lesion_index, sure = label_voxels(ct, probability, target, declaration, threshold_hu)
    if progress is not None:
        progress(1.0, "Done")
    return Prediction(
        method=METHOD,
        model_id=bundle.id,
        model_sha256=bundle.sha256,
        labels=labels,
        lesion_index=lesion_index,
        lesion_probability=sure,
        findings=(info("imported-model", f"Model '{bundle.id}' is not of this project: its accuracy is not known."),),
        timings_s={"network": time.perf_counter() - clock},
    )


def scaled(hu: np.ndarray, declaration: Declaration) -> np.ndarray:
    """Clip HU to the declared window and map it to the declared range (float32)."""
    (low, high), (first, last) = declaration.hu_window, declaration.scale_to
    return ((np.clip(hu, low, high) - low) * ((last - first) / (high - low)) + first).astype(np.float32)


def slide(
    image: np.ndarray,
    network: Callable,
    declaration: Declaration,
    *,
    device: str = "cpu",
    tick: Callable[[], None] | None = None,
) -> np.ndarray:
    """Slide the network over an image in the orientation that it was declared to expect.

    Parameters
    ----------
    image : ndarray of float32, shape (z, y, x)
    network : callable
    declaration : Declaration
    tick : callable, optional
        Called after every window; may raise ``CancelledError``.

    Returns
    -------
    ndarray of float32, shape (channels, z, y, x)
    """
    import torch
    from monai.inferers import sliding_window_inference

    size = declaration.patch_size
    seen = image[:, ::-1, ::-1] if declaration.orientation == "RAS" else image
    if declaration.axes == "xyz":
        seen, size = seen.transpose(2, 1, 0), size[::-1]
    voxels = int(np.prod(image.shape))

    def run(patch: torch.Tensor) -> torch.Tensor:
        out = first_output(network(patch))
        if out.shape[1] * voxels > MOST_VALUES:
            raise ModelError("The network's output on this scan is too large: declare a larger spacing_mm.")
        if tick is not None:
            tick()
        return torch.softmax(out.float(), 1) if declaration.activation == "softmax" else torch.sigmoid(out.float())

    outside = float(scaled(np.array(AIR_HU, np.float32), declaration))
    tensor = torch.from_numpy(np.ascontiguousarray(seen))[None, None]
    with torch.inference_mode():
        out = sliding_window_inference(
            tensor.to(device),
            size,
            1,
            run,
            overlap=declaration.overlap,
            mode="gaussian",
            padding_mode="constant",
            cval=outside,
            device=torch.device("cpu"),
        )
    probability = out[0].numpy()
    if declaration.axes == "xyz":
        probability = probability.transpose(0, 3, 2, 1)
    return probability[:, :, ::-1, ::-1] if declaration.orientation == "RAS" else probability


def label_voxels(
    ct: CTVolume, probability: np.ndarray, grid: Grid, declaration: Declaration, threshold_hu: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give every voxel that can count the label of its most probable channel.

    Parameters
    ----------
    ct : CTVolume
    probability : ndarray of float32, shape (channels, z, y, x)
        On ``grid``.
    grid : Grid
    declaration : Declaration
    threshold_hu : float

    Returns
    -------
    labels : ndarray of uint8, shape (z, y, x)
    lesion_index : ndarray of int32, shape (z, y, x)
        1..n for islands of one label (26-connected).
    probability : ndarray of float32, shape (n,)
        Mean over the island.
    """
    labels, lesions = np.zeros(ct.shape, np.uint8), np.zeros(ct.shape, np.int32)
    index = np.argwhere(ct.hu >= threshold_hu)
    if not len(index):
        return labels, lesions, np.zeros(0, np.float32)
    place = (index * np.asarray(ct.spacing_mm) - grid.offset_mm) / np.asarray(grid.spacing_mm)
    rows = np.stack([ndimage.map_coordinates(p, place.T, order=1, mode="nearest") for p in probability])
    channel, sure = rows.argmax(axis=0), rows.max(axis=0)
    table = np.zeros(len(probability), np.uint8)
    for value, name in declaration.labels.items():
        if value < len(table):
            table[value] = NAMES[name]
    found = table[channel]
    if declaration.activation == "sigmoid":
        found[sure < HALF] = 0
    labels[tuple(index.T)] = found
    confidence = np.zeros(ct.shape, np.float32)
    confidence[tuple(index.T)] = sure
    count = 0
    for value in np.unique(found[found > 0]):
        islands, more = ndimage.label(labels == value, structure=WHOLE)
        inside = islands > 0
        lesions[inside] = islands[inside] + count
        count += more
    mean = ndimage.mean(confidence, lesions, np.arange(1, count + 1)) if count else np.zeros(0)
    return labels, lesions, np.asarray(mean, np.float32)


def _ticker(
    shape: tuple[int, ...],
    declaration: Declaration,
    progress: Progress | None,
    cancelled: Callable[[], bool] | None,
) -> Callable[[], None]:
    """Return what counts windows, reports progress and stops when asked to."""
    step = np.maximum(np.asarray(declaration.patch_size) * (1 - declaration.overlap), 1)
    windows = np.ceil(np.maximum(np.asarray(shape) - declaration.patch_size, 0) / step) + 1
    total, done = float(np.prod(windows)), 0

    def tick() -> None:
        nonlocal done
        if cancelled is not None and cancelled():
            raise CancelledError("Stopped on request; nothing was changed.")
        if progress is not None:
            progress(min(done / total, 1.0), "Running the imported network")
        done += 1

    return tick
