"""A small CT on disk, and what may stand in for scoring in a worker process. No test lives here."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from CACScoringLib.vocabulary import Vessel

SPACING_MM = (3.0, 3.0, 3.0)
SHAPE = (48, 64, 64)
LAD_VOXELS = (slice(20, 21), slice(30, 32), slice(30, 32))
"""Four voxels of 450 HU in one slice: 36 mm2, weight 4, 3 mm increment -> Agatston 144, 108 mm3."""
LAD_AGATSTON = 144.0
LAD_VOLUME_MM3 = 108.0


def small_hu() -> np.ndarray:
    """Return a cylinder of soft tissue with two lungs and one dense spot."""
    _, y, x = np.indices(SHAPE)
    hu = np.full(SHAPE, -1000, np.int16)
    hu[((y - 32) / 24) ** 2 + ((x - 32) / 30) ** 2 < 1] = 40
    hu[((y - 32) / 14) ** 2 + ((x - 14) / 8) ** 2 < 1] = -850
    hu[((y - 32) / 14) ** 2 + ((x - 50) / 8) ** 2 < 1] = -850
    hu[LAD_VOXELS] = 450
    return hu


def write_image(array: np.ndarray, path: Path) -> Path:
    """Write an array (z, y, x) on the small scan's grid."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_MM[::-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), True)
    return path


def write_small_scan(path: Path) -> Path:
    """Write the small CT."""
    return write_image(small_hu(), path)


def small_labels() -> np.ndarray:
    """Return the label map of the small CT: its dense spot is LAD."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[LAD_VOXELS] = Vessel.LAD
    return labels


def write_small_labels(path: Path) -> Path:
    """Write the label map of the small CT."""
    return write_image(small_labels(), path)


def double(job: int) -> int:
    """Return twice the job; 13 ends the whole process, 99 takes long."""
    if job == 13:
        os._exit(11)
    if job == 99:
        time.sleep(60)
    return 2 * job


def crash_on_second(job) -> dict:
    """Score a batch job, except that the scan named ``b`` ends the process."""
    from CACScoringLib.batch.worker import score_job

    if job.case.name == "b":
        os._exit(11)
    return score_job(job)
