"""``convlstm``: heart first, then the axial slices in sequence, both ways.

After Pieszko 2022 (doi 10.1016/j.jcmg.2022.06.006), made for the attenuation-correction CT of PET and SPECT with
slices of 2.5-5 mm: a heart segmentation, then a convolutional LSTM over adjacent slices that marks coronary and
non-coronary calcification. Beyond the paper: the heart is found by the structure branch of ``multibranch-unet``, a
vessel is named, and a lesion is decided as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.candidates import CANDIDATE_HU, Candidates, find_candidates
from CACScoringLib.inference.fine import at_candidates
from CACScoringLib.inference.grids import Grid, ct_grid
from CACScoringLib.inference.heart import HeartFinder, coarse_volume, heart_region, largest_heart, network_heart
from CACScoringLib.inference.sequence import sequence_channels, sequence_grid
from CACScoringLib.inference.windows import CancelledError
from CACScoringLib.methods.evidence import Evidence, decided
from CACScoringLib.methods.multibranch_unet import find_structures
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.models import ModelBundle, load_weights, open_bundle

NAME = "convlstm"
HEART_MODEL = "multibranch-unet"
"""Whose structure branch finds the heart, unless the bundle names another model."""
Progress = Callable[[float, str], None]


@lru_cache(maxsize=4)
def _network(folder: Path, sha256: str, device: str):
    """Load a network once a process."""
    import torch

    from CACScoringLib.networks.convlstm import ConvLSTMConfig, ConvLSTMNet

    bundle = open_bundle(folder)
    network = ConvLSTMNet(ConvLSTMConfig.from_dict(bundle.settings["network"]))
    network.load_state_dict(load_weights(bundle, device))
    return network.to(device, memory_format=torch.channels_last).eval()


def predict_convlstm(
    ct: CTVolume,
    *,
    bundle: ModelBundle,
    device: str = "cpu",
    threshold_hu: float = CANDIDATE_HU,
    network: object | None = None,
    heart: HeartFinder = network_heart,
    heart_network: object | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Prediction:
    """Label the calcium of a CT: the four vessels, and all other calcification as ``other``.

    Parameters
    ----------
    ct : CTVolume
    bundle : ModelBundle
        Which weights.
    device : str
    threshold_hu : float
        Lowest HU of a candidate; nothing below it is labelled.
    network : object, optional
        Used in place of the bundle's network; has ``at_pixels`` of ``ConvLSTMNet``.
    heart : callable
        Who finds the heart; the structure branch of ``multibranch-unet`` unless something else is given.
    heart_network : object, optional
        Used in place of that branch's network; has ``structures`` of ``MultiBranchUNet``.
    progress : callable, optional
        Called with a fraction in 0..1 and what is being done.
    cancelled : callable, optional
        Asked between the parts; True raises ``CancelledError``.

    Returns
    -------
    Prediction
    """
    evidence = look(
        ct,
        bundle=bundle,
        device=device,
        threshold_hu=threshold_hu,
        network=network,
        heart=heart,
        heart_network=heart_network,
        report=_reporter(progress, cancelled),
    )
    prediction = decided(ct, evidence, bundle, method=NAME, heart=heart)
    if progress is not None:
        progress(1.0, "Done")
    return prediction


def look(
    ct: CTVolume,
    *,
    bundle: ModelBundle,
    device: str = "cpu",
    threshold_hu: float = CANDIDATE_HU,
    network: object | None = None,
    heart: HeartFinder = network_heart,
    heart_network: object | None = None,
    report: Progress | None = None,
) -> Evidence:
    """Find the heart, then run the slices that hold it: probabilities at every candidate, before anything is decided.

    Parameters are those of ``predict_convlstm``; ``report`` may raise ``CancelledError``.
    """
    report = report or _reporter(None, None)
    clock, timings = time.perf_counter(), {}
    report(0.0, "Finding the heart")
    probability, coarse = _structures(ct, bundle, device, heart, heart_network)
    structures = largest_heart(probability)
    timings["heart"] = time.perf_counter() - clock
    clock = time.perf_counter()
    grid = ct_grid(ct.shape, ct.spacing_mm)
    region = heart_region(structures, coarse)
    candidates = find_candidates(ct.hu, grid, region, coarse, threshold_hu)
    timings["candidates"] = time.perf_counter() - clock
    clock = time.perf_counter()
    report(0.5, "Going through the slices")
    rows = np.zeros((0, 5), np.float32), np.zeros((0, 5), np.float32)
    if candidates.count:
        run = network or _network(bundle.folder, bundle.sha256, device)
        slices = sequence_grid(region, coarse, candidates, grid)
        channels = sequence_channels(ct.hu, grid, candidates, probability, coarse, slices)
        rows = _rows(channels, run, candidates, grid, slices, device)
    timings["calcium"] = time.perf_counter() - clock
    report(1.0, "Going through the slices")
    return Evidence(structures, coarse, candidates, *rows, timings)


def _structures(
    ct: CTVolume, bundle: ModelBundle, device: str, heart: HeartFinder, network: object | None
) -> tuple[np.ndarray, Grid]:
    """Return the structure probabilities (8, z, y, x) on the coarse grid, and that grid."""

    def branch() -> tuple[np.ndarray, Grid]:
        known = open_bundle(bundle.settings.get("heart_model", HEART_MODEL))
        return find_structures(ct, bundle=known, device=device, network=network)

    if heart is network_heart:
        return branch()
    hu, coarse = coarse_volume(ct)
    return heart(ct, hu, coarse, lambda: branch()[0]), coarse


def _rows(
    channels: np.ndarray, network: object, candidates: Candidates, grid: Grid, slices: Grid, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Run the network on the sequence: two (n, 5) arrays of probabilities, as ``decide`` takes them."""
    import torch

    cells = np.argwhere(channels[1] > 0)
    x = torch.from_numpy(np.ascontiguousarray(channels.swapaxes(0, 1)))[None].to(device)
    index = torch.from_numpy(np.column_stack((np.zeros(len(cells), np.int64), cells))).to(device)
    with torch.inference_mode():
        logits = network.at_pixels(x, index)
        mask, vessel = (torch.softmax(logits[name].float(), dim=1).cpu().numpy() for name in ("mask", "vessel"))
    calcium, other = as_branches(mask, vessel)
    return (
        at_candidates(calcium, cells, candidates, grid, slices),
        at_candidates(other, cells, candidates, grid, slices),
    )


def as_branches(mask: np.ndarray, vessel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write the masks' and the vessels' probabilities as ``inference.lesions.decide`` takes them.

    Parameters
    ----------
    mask : ndarray of float32, shape (n, 3)
        Neither, coronary, non-coronary.
    vessel : ndarray of float32, shape (n, 4)
        LM, LAD, LCX, RCA, given that it is coronary.

    Returns
    -------
    calcium : ndarray of float32, shape (n, 5)
        Not coronary, LM, LAD, LCX, RCA.
    non_coronary : ndarray of float32, shape (n, 5)
        None, aorta, aortic valve, mitral valve, other, given that it is not coronary; the paper's mask does not tell
        the four apart, so all of it is ``other``.
    """
    calcium = np.concatenate((1.0 - mask[:, 1:2], mask[:, 1:2] * vessel), axis=1)
    rest = np.maximum(mask[:, 0] + mask[:, 2], 1e-6)
    other = np.zeros((len(mask), 5), np.float32)
    other[:, 4] = mask[:, 2] / rest
    other[:, 0] = 1.0 - other[:, 4]
    return calcium.astype(np.float32), other


def _reporter(progress: Progress | None, cancelled: Callable[[], bool] | None) -> Progress:
    """Return what reports progress and stops when asked to."""

    def report(fraction: float, text: str) -> None:
        if cancelled is not None and cancelled():
            raise CancelledError("Stopped on request; nothing was changed.")
        if progress is not None:
            progress(fraction, text)

    return report
