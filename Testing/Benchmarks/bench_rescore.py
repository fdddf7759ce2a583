"""How long it takes until the tables follow an edit of one lesion on 512 x 512 x 60 voxels, step by step.

Run ``python Testing/Benchmarks/bench_rescore.py`` from the repository root; it needs slicer-core. Times are the
shortest of several runs; the target for everything from the edit's event to the filled tables is 50 ms.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Unit"), str(ROOT / "Testing" / "Benchmarks")]

from bench_scoring import labelled_scan  # noqa: E402
from live_samples import Desk, a_desk, a_labelmap  # noqa: E402

from CACScoringLib.mrml.live import LiveScores  # noqa: E402
from CACScoringLib.mrml.logic import ScoringLogic  # noqa: E402
from CACScoringLib.mrml.outcome import OutcomeView  # noqa: E402
from CACScoringLib.mrml.scene import new_scene  # noqa: E402
from CACScoringLib.scoring import PRESETS  # noqa: E402

TARGET_MS = 50.0
REPEATS = 30
LAYERS = ("shared layer, cropped", "shared layer, whole scan", "a layer for each vessel, whole scan")


@dataclass
class Timing:
    """Shortest times in ms."""

    rescore: float
    steps: dict[str, float]
    tables: float
    full: float
    voxels: int


def best_ms(work: Callable[[], Any]) -> float:
    """Return the shortest of several runs."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def spread(desk: Desk, layers: str) -> None:
    """Lay the segments out as the benchmark asks: Slicer does so after edits with other tools."""
    if layers == LAYERS[0]:
        return
    segmentation = desk.segmentation.GetSegmentation()
    name = "Binary labelmap"
    if layers == LAYERS[1]:
        whole = a_labelmap(np.where(desk.labels > 10, 14, desk.labels), desk.volume)
        for index in range(segmentation.GetNumberOfSegments()):
            segment = segmentation.GetNthSegment(index)
            segment.RemoveRepresentation(name)
            segment.AddRepresentation(name, whole)
        return
    for segment_id, value in (("LM", 1), ("LAD", 2), ("LCX", 3), ("RCA", 4), ("non_coronary", 11)):
        segment = segmentation.GetSegment(segment_id)
        segment.RemoveRepresentation(name)
        segment.SetLabelValue(1)
        segment.AddRepresentation(name, a_labelmap(desk.labels == value, desk.volume))


def edit_lesion(desk: Desk, live: LiveScores) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return an edit of one lesion, giving it to the LCX and back to the RCA."""
    lesions = [lesion for lesion in live.scores.lesions if lesion.vessel == "RCA"]
    lesion = sorted(lesions, key=lambda lesion: lesion.voxels)[len(lesions) // 2]
    low, high = lesion.slices
    y, x = (round(place) for place in lesion.centroid_voxel[1:])
    stroke = np.zeros(desk.ct.shape, np.uint8)
    stroke[low : high + 1, y - 9 : y + 10, x - 9 : x + 10] = 1
    stroke[desk.labels != 4] = 0
    image = a_labelmap(stroke, desk.volume)

    def give(segment: str) -> None:
        editor = desk.editor
        editor.ModifySegmentByLabelmap(desk.segmentation, segment, image, editor.ModificationModeAdd, True, False)

    return lambda: give("LCX"), lambda: give("RCA")


def measure(layers: str, preset: str) -> Timing:
    """Time an edit: the event's rescoring, its steps, the tables, and the same scores from scratch."""
    working = new_scene()
    ct, labels = labelled_scan()
    desk = a_desk(working, ct=ct, labels=np.where(labels == 11, 14, labels))
    spread(desk, layers)
    live, view = LiveScores(ScoringLogic()), OutcomeView(working.scene)
    live.automatic = False  # the edit itself is Slicer's time, not ours
    live.watch(desk.volume, desk.segmentation, preset=preset)
    live.refresh()
    edits = edit_lesion(desk, live)
    times: list[float] = []
    steps: dict[str, list[float]] = {}
    before = live.scores
    for number in range(REPEATS):
        edits[number % 2]()
        start = time.perf_counter()
        live.refresh()
        times.append(1e3 * (time.perf_counter() - start))
        for name, seconds in live.timings.items():
            steps.setdefault(name, []).append(1e3 * seconds)
        assert live.scores is not before
        before = live.scores
    expected = ScoringLogic().computeScores(desk.volume, desk.segmentation, preset=preset)
    assert live.scores.as_dict() == expected.as_dict()
    return Timing(
        rescore=min(times),
        steps={name: min(values) for name, values in steps.items()},
        tables=best_ms(lambda: view.update(live.scores, True)),
        full=best_ms(lambda: ScoringLogic().computeScores(desk.volume, desk.segmentation, preset=preset)),
        voxels=live.recomputedVoxels,
    )


def main() -> None:
    """Print a line for each way in which segments are stored, and for each preset."""
    ct, _ = labelled_scan()
    one_pass = best_ms(lambda: ct.hu >= 130)
    write = sys.stdout.write
    write(
        f"one lesion edited on {ct.shape} voxels; target {TARGET_MS:g} ms; one pass of hu >= 130: {one_pass:.2f} ms\n"
    )
    cases = [(layers, "agatston-1990") for layers in LAYERS]
    cases += [(LAYERS[1], preset) for preset in PRESETS if preset != "agatston-1990"]
    for layers, preset in cases:
        timing = measure(layers, preset)
        steps = ", ".join(f"{name} {value:.2f}" for name, value in timing.steps.items())
        write(
            f"{preset:17s} {layers:36s} rescored {timing.rescore:6.2f} ms ({steps}) + tables {timing.tables:5.2f} ms; "
            f"from scratch {timing.full:6.2f} ms = {timing.full / timing.rescore:4.1f} x; "
            f"{timing.voxels} voxels measured again"
            f"{'' if timing.rescore + timing.tables <= TARGET_MS else '  OVER THE TARGET'}\n"
        )


if __name__ == "__main__":
    main()
