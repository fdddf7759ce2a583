"""Run a network over a grid in overlapping windows, only where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

BATCH = 2
"""Windows a batch: enough for a CPU, and little memory."""
WINDOW = 64
"""Edge of a window in voxels (Sartoretti 2023: 64x64x64 patches)."""

OVERLAP = 0.2
MARGIN = 4
"""Voxels round what is asked about."""


class CancelledError(RuntimeError):
    """The person asked to stop."""


def window_starts(length: int, window: int = WINDOW, overlap: float = OVERLAP) -> list[int]:
    """Return the first voxels of evenly spread windows that cover an axis.

    An axis shorter than the window gets one window at 0 (the caller pads).

    Examples
    --------
    >>> window_starts(64), window_starts(100)
    ([0], [0, 36])
    """
    if length <= window:
        return [0]
    count = int(np.ceil((length - window) / (window * (1 - overlap)))) + 1
    return sorted({round(v) for v in np.linspace(0, length - window, count)})


def plan_windows(
    shape: Sequence[int], wanted: np.ndarray | None = None, window: int = WINDOW, overlap: float = OVERLAP
) -> list[tuple[int, int, int]]:
    """Return the corners of the windows to run.

    Parameters
    ----------
    shape : sequence of int
        Grid shape (z, y, x).
    wanted : ndarray of bool, shape (z, y, x), optional
        Only the box that holds the wanted voxels, with a margin, is covered; windows without a wanted voxel
        are left out.
    """
    low, high = np.zeros(3, int), np.asarray(shape)
    if wanted is not None:
        if not wanted.any():
            return []
        index = np.argwhere(wanted)
        low = np.maximum(index.min(axis=0) - MARGIN, 0)
        high = np.minimum(index.max(axis=0) + 1 + MARGIN, shape)
    starts = [
        [min(a + s, max(n - window, 0)) for s in window_starts(b - a, window, overlap)]
        for a, b, n in zip(low, high, shape, strict=True)
    ]
    corners = [(int(z), int(y), int(x)) for z in starts[0] for y in starts[1] for x in starts[2]]
    if wanted is None:
        return corners
    return [c for c in corners if wanted[tuple(slice(v, v + window) for v in c)].any()]


def blending_weight(window: int = WINDOW) -> np.ndarray:
    """Return the weight of each voxel of a window: highest in the middle; float32 (w, w, w)."""
    ramp = np.minimum(np.arange(window) + 1, np.arange(window)[::-1] + 1) / (window / 2)
    return (ramp[:, None, None] * ramp[None, :, None] * ramp[None, None, :] + 1e-3).astype(np.float32)


def cut_windows(
    channels: np.ndarray, corners: Sequence[tuple[int, int, int]], fill: Sequence[float], device: str = "cpu"
) -> Iterator[tuple[list[tuple[int, int, int]], torch.Tensor]]:
    """Cut windows out of a grid, two at a time.

    Parameters
    ----------
    channels : ndarray of float32, shape (c, z, y, x)
    corners : sequence of (z, y, x)
    fill : sequence of float, length c
        Channel values outside the grid.

    Yields
    ------
    corners of the batch, and its Tensor (n, c, 64, 64, 64). A tensor may hold one window more than
    there are corners: on a CPU, torch convolves a single window several times slower than two.
    """
    import torch

    for first in range(0, len(corners), BATCH):
        batch = list(corners[first : first + BATCH])
        count = BATCH if device == "cpu" else len(batch)
        patches = np.empty((count, WINDOW, WINDOW, WINDOW, len(channels)), np.float32)  # as torch wants them on a CPU
        patches[:] = np.asarray(fill, np.float32)
        for patch, corner in zip(patches, batch, strict=False):
            box, inner = boxes(corner, channels.shape[1:])
            patch[inner] = np.moveaxis(channels[(slice(None), *box)], 0, -1)
        yield batch, torch.from_numpy(patches).movedim(-1, 1).to(device)


def boxes(corner: tuple[int, int, int], shape: Sequence[int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where a window lies on its grid, and which part of the window that is."""
    box = tuple(slice(c, min(c + WINDOW, n)) for c, n in zip(corner, shape, strict=True))
    return box, tuple(slice(0, s.stop - s.start) for s in box)


def run_windows(
    channels: np.ndarray,
    corners: Sequence[tuple[int, int, int]],
    network: Callable[[torch.Tensor], torch.Tensor],
    classes: int,
    *,
    fill: Sequence[float],
    device: str = "cpu",
    tick: Callable[[], None] | None = None,
) -> np.ndarray:
    """Run a network on windows and blend its probabilities.

    Parameters
    ----------
    channels : ndarray of float32, shape (c, z, y, x)
    corners : sequence of (z, y, x)
    network : callable
        (n, c, 64, 64, 64) -> logits (n, classes, 64, 64, 64).
    classes : int
    fill : sequence of float, length c
        Channel values outside the grid.
    tick : callable, optional
        Called after every window; may raise ``CancelledError``.

    Returns
    -------
    ndarray of float32, shape (classes, z, y, x)
        Probabilities; all zero where no window was run.
    """
    import torch

    shape = channels.shape[1:]
    sums, total, weight = np.zeros((classes, *shape), np.float32), np.zeros(shape, np.float32), blending_weight()
    for batch, tensor in cut_windows(channels, corners, fill, device):
        with torch.inference_mode():
            probability = torch.softmax(network(tensor).float(), dim=1).cpu().numpy()
        for corner, p in zip(batch, probability, strict=False):
            box, inner = boxes(corner, shape)
            sums[(slice(None), *box)] += (p * weight)[(slice(None), *inner)]
            total[box] += weight[inner]
            if tick is not None:
                tick()
    return sums / np.maximum(total, 1e-6)


def run_at_cells(
    channels: np.ndarray,
    corners: Sequence[tuple[int, int, int]],
    network: Callable[[torch.Tensor, torch.Tensor], dict[str, torch.Tensor]],
    cells: np.ndarray,
    classes: dict[str, int],
    *,
    fill: Sequence[float],
    device: str = "cpu",
    tick: Callable[[], None] | None = None,
) -> dict[str, np.ndarray]:
    """Run a network on windows and read its branches at single voxels only.

    Parameters
    ----------
    channels : ndarray of float32, shape (c, z, y, x)
    corners : sequence of (z, y, x)
    network : callable
        (n, c, 64, 64, 64) and index (m, 4) of (window, z, y, x) -> logits (m, classes) by branch.
    cells : ndarray of int, shape (m, 3)
        The voxels that are asked about.
    classes : dict of str to int
        Branches and their number of classes.

    Returns
    -------
    dict of ndarray of float32, shape (m, classes)
        Probabilities, blended over the windows that see a voxel.
    """
    import torch

    sums = {name: np.zeros((len(cells), count), np.float32) for name, count in classes.items()}
    total, weight = np.zeros(len(cells), np.float32), blending_weight()
    for batch, tensor in cut_windows(channels, corners, fill, device):
        rows, places = [], []
        for number, corner in enumerate(batch):
            place = cells - np.asarray(corner)
            inside = np.flatnonzero(((place >= 0) & (place < WINDOW)).all(axis=1))
            rows.append(inside)
            places.append(np.column_stack((np.full(len(inside), number), place[inside])))
        row, index = np.concatenate(rows), np.concatenate(places)
        with torch.inference_mode():
            logits = network(tensor, torch.from_numpy(index).to(device))
        trust = weight[tuple(index[:, 1:].T)]
        for name in classes:
            p = torch.softmax(logits[name].float(), dim=1).cpu().numpy()
            np.add.at(sums[name], row, p * trust[:, None])
        np.add.at(total, row, trust)
        if tick is not None:
            for _ in batch:
                tick()
    return {name: values / np.maximum(total, 1e-6)[:, None] for name, values in sums.items()}
