"""Small scans to review, a network that marks every bright voxel as LAD, and sessions. No test lives here."""

from __future__ import annotations

import csv
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import small_scan

from CACScoringLib.batch.review_list import review_cases
from CACScoringLib.findings import InputRefusedError, warning
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.scene import new_scene
from CACScoringLib.mrml.segmentation import labels_from_segmentation, update_segmentation
from CACScoringLib.mrml.worklist import ReviewSession
from CACScoringLib.mrml.worklist_files import WorkList
from CACScoringLib.mrml.worklist_table import ReviewSettings

SETTINGS = ReviewSettings(kvp=120.0)
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
ONE, BOTH = small_scan.LAD_AGATSTON, 2 * small_scan.LAD_AGATSTON
SECOND_SPOT = (slice(25, 26), slice(34, 36), slice(30, 32))
"""Four voxels of 450 HU more, in some scans: another Agatston 144 and 108 mm3."""


def write_scan(path: Path, *, two: bool = False) -> Path:
    """Write the small scan, with a second dense spot if asked for."""
    hu = small_scan.small_hu()
    if two:
        hu[SECOND_SPOT] = 450
    return small_scan.write_image(hu, path)


def a_folder(folder: Path, *names: str) -> Path:
    """Write scans; those whose name begins with ``broken`` are no image, those with ``missing`` are not there."""
    lines = ["input"]
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if name.startswith("broken"):
            (folder / f"{name}.nrrd").write_text("not an image")
        elif not name.startswith("missing"):
            write_scan(folder / f"{name}.nrrd", two=True)
        lines.append(f"{name}.nrrd")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    return folder / "list.csv"


class CountingNetwork:
    """Marks voxels from 400 HU as LAD, and counts how often it runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, ct, method, **options):
        self.runs += 1
        labels = np.where(ct.hu >= 400, 2, 0).astype(np.uint8)
        return Prediction(method, "m1", "ab12", labels, findings=(warning("unsure", "Look at this one."),))


def logic(network=None) -> ScoringLogic:
    return ScoringLogic(predictor=network or CountingNetwork())


def give_to(case, box, label: int) -> None:
    """Edit the open case as an effect does: the voxels of a box become a label's (0: nobody's)."""
    labels = labels_from_segmentation(case.nodes.segmentation, case.nodes.volume)
    labels[box] = label
    update_segmentation(case.nodes.segmentation, labels, case.nodes.volume)


def begin(working, source, folder, *, reader="A. Reader", network=None, **options) -> ReviewSession:
    work = WorkList.begin(review_cases(source), folder, options.pop("settings", SETTINGS))
    return ReviewSession(working.scene, work, reader=reader, logic=logic(network), now=lambda: NOON, **options)


def after_a_crash(folder, *, network=None, reader="A. Reader") -> ReviewSession:
    """A new program on a new scene; the one before saved nothing on its way out."""
    return ReviewSession(
        new_scene().scene, WorkList.resume(folder), reader=reader, logic=logic(network), now=lambda: NOON
    )


def labels_of(session) -> np.ndarray:
    return labels_from_segmentation(session.current.nodes.segmentation, session.current.nodes.volume)


def exported(session, path) -> list[dict[str, str]]:
    with session.exportCsv(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def code_of(call, *arguments) -> str:
    with pytest.raises(InputRefusedError) as refused:
        call(*arguments)
    assert refused.value.finding.message.endswith(".")
    assert "\n" not in refused.value.finding.message
    return refused.value.finding.code
