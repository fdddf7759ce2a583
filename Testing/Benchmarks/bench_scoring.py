"""How long scoring takes, in passes of ``hu >= 130`` over the same scan.

Run ``python Testing/Benchmarks/bench_scoring.py`` from the repository root.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.scoring import PRESETS, score

SHAPE = (60, 512, 512)
SPACING_MM = (3.0, 0.4, 0.4)
LESIONS = 60
REPEATS = 15


def labelled_scan(seed: int = 0) -> tuple[CTVolume, np.ndarray]:
    """Return a noisy scan with lesions of all vessels and of the aorta, some 10,000 voxels: a heavy burden."""
    rng = np.random.default_rng(seed)
    hu = rng.normal(40, 20, SHAPE).astype(np.int16)
    labels = np.zeros(SHAPE, np.uint8)
    for _ in range(LESIONS):
        center = np.array([rng.integers(10, 50), rng.integers(180, 330), rng.integers(180, 330)])
        radius = np.array([rng.uniform(0.6, 2.0), rng.uniform(2, 9), rng.uniform(2, 9)])
        low, high = np.floor(center - radius).astype(int), np.ceil(center + radius).astype(int) + 1
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)
        inside = (((grid - center) / radius) ** 2).sum(-1) <= 1
        hu[box][inside] += np.int16(rng.integers(100, 800))
        labels[box][inside] = rng.choice([1, 2, 2, 2, 3, 4, 4, 11])
    return CTVolume(hu, SPACING_MM, acquisition=Acquisition(kvp=120, slice_thickness_mm=3.0)), labels


def best_seconds(work: Callable[[], object]) -> float:
    """Return the shortest of several runs."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print milliseconds and threshold passes for each preset."""
    ct, labels = labelled_scan()
    one_pass = best_seconds(lambda: ct.hu >= 130)
    voxels = score(ct, labels).total.voxels
    lines = [f"{SHAPE} voxels, {voxels} count as coronary calcium; one pass of hu >= 130: {1e3 * one_pass:.2f} ms"]
    for preset in PRESETS:
        seconds = best_seconds(lambda preset=preset: score(ct, labels, preset=preset))
        lines.append(f"{preset:18s} {1e3 * seconds:7.2f} ms = {seconds / one_pass:4.1f} passes")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
