"""How long the actions of the Segment Editor effect take on a 512 x 512 x 60 scan.

Run ``python Testing/Benchmarks/bench_editing.py`` from the repository root.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.mrml.editing.editor import LogicSegmentEditor
from CACScoringLib.mrml.editing.logic import EditingLogic
from CACScoringLib.mrml.geometry import volume_ijk_to_ras
from CACScoringLib.mrml.scene import new_scene
from CACScoringLib.mrml.segmentation import segmentation_from_labels
from CACScoringLib.mrml.volume import volume_from_ct

SHAPE = (60, 512, 512)
SPACING_MM = (3.0, 0.68, 0.68)
LAD, RCA = 2, 4
SEED = 7
NOISE_HU = 30.0
REPEATS = 5


def a_scan() -> tuple[CTVolume, np.ndarray, list[tuple[int, int, int]]]:
    """Return tissue with noise, a bony ring through all slices, and forty lesions; labels of half of them."""
    random = np.random.default_rng(SEED)
    hu = random.normal(40.0, NOISE_HU, SHAPE).astype(np.int16)
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    radius = np.hypot((y - 256) / 1.2, x - 256)
    hu[:, (radius > 170) & (radius < 185)] += 350
    labels, places = np.zeros(SHAPE, np.uint8), []
    for number in range(40):
        z, row, column = int(random.integers(5, 53)), *(int(value) for value in random.integers(180, 330, 2))
        box = np.s_[z : z + 3, row : row + 6, column : column + 8]
        hu[box] = 420
        places.append((z + 1, row + 2, column + 2))
        if number % 2:
            labels[box] = LAD
    return CTVolume(hu, SPACING_MM, acquisition=Acquisition(kvp=120.0)), labels, places


def best(action) -> float:
    """Return the shortest time in ms of an action."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def main() -> None:
    """Print milliseconds for each action."""
    ct, labels, places = a_scan()
    working = new_scene()
    volume = volume_from_ct(working.scene, ct)
    editor = LogicSegmentEditor(working, volume, segmentation_from_labels(working.scene, labels, volume))
    editing = EditingLogic(editor)
    z, y, x = places[0]
    ras = (volume_ijk_to_ras(volume) @ (x, y, z, 1))[:3]
    start = time.perf_counter()
    candidates = editing.scan().candidates
    found = (time.perf_counter() - start) * 1000
    size = f"{len(candidates)} voxels, {len(candidates.lesion_voxels)} lesions"
    lines = [f"candidates found once: {found:.0f} ms ({size})"]
    toggle = iter(range(10**6))
    actions = {
        "click in 2-D": lambda: editing.click(ras, label=(LAD, RCA)[next(toggle) % 2]),
        "click in 3-D": lambda: editing.click(ras, whole=True, label=(LAD, RCA)[next(toggle) % 2]),
        "sphere of 20 mm": lambda: editing.sphere(ras, 20.0, label=(LAD, RCA)[next(toggle) % 2]),
        "undo and redo": lambda: (editor.undo(), editor.redo()),
        "next lesion": editing.nextLesion,
    }
    for shown in (False, True):
        editing.showCandidates(shown)
        for name, action in actions.items():
            lines.append(f"{name}{', candidates shown' if shown else ''}: {best(action):.1f} ms")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
