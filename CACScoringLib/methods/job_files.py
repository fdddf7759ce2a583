"""The folder through which a program hands one scan to a worker process and gets its prediction back.

    job.json  ct.npy            what to do, and the voxels (int16, z y x)
    cancel                      appears when the person wants to stop
    prediction.npz  .json       the result; the ``.json`` is written last, so that half a result is none

Both sides treat what they read as hostile: no pickles, sizes and values checked.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.findings import Finding
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.methods.score_files import score_arrays, score_entries, score_of
from CACScoringLib.methods.score_prediction import ScorePrediction
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.scoring.uncertainty import SCHEMES_GIVEN, ScoreUncertainty

SCHEMA = "cacscoring-job/1"
JOB, VOXELS, CANCEL = "job.json", "ct.npy", "cancel"
ARRAYS, RESULT = "prediction.npz", "prediction.json"
MAX_JSON_BYTES = 1024 * 1024
MAX_VOXELS = 2**31
"""2048 slices of 1024 x 1024: no CT of a chest is larger."""
SPARSE = ("labels", "lesion_index")
"""Arrays on the CT's grid of which nearly all is zero: kept as positions and values."""


class JobFileError(ValueError):
    """A file of a job folder is missing, damaged or not ours."""


@dataclass(frozen=True)
class PredictJob:
    """What a worker process is asked to do.

    Attributes
    ----------
    method : str
    model : str or None
        Id or folder of a model; the method's own when None.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``, or as torch names it.
    threads : int or None
        Processor cores to use; all when None.
    threshold_hu : float or None
        Lowest HU of a candidate; by tube voltage when None.
    models_folder : str or None
        Folder of imported models.
    """

    method: str
    model: str | None = None
    device: str = "auto"
    threads: int | None = None
    threshold_hu: float | None = None
    models_folder: str | None = None


def write_job(folder: Path, job: PredictJob, ct: CTVolume) -> None:
    """Write what the worker needs to know into an existing folder."""
    np.save(folder / VOXELS, np.ascontiguousarray(ct.hu), allow_pickle=False)
    _write_json(
        folder / JOB,
        {
            "schema": SCHEMA,
            "job": asdict(job),
            "spacing_mm": list(ct.spacing_mm),
            "origin_mm": list(ct.origin_mm),
            "direction": list(ct.direction),
            "acquisition": ct.acquisition.as_dict(),
        },
    )


def read_job(folder: Path) -> tuple[PredictJob, CTVolume]:
    """Return the job and the scan of a folder.

    Raises
    ------
    JobFileError
        If a file is missing, damaged or too large.
    """
    document = _read_json(folder / JOB)
    hu = _load_voxels(folder / VOXELS)
    try:
        known = {item.name for item in fields(Acquisition)}
        acquisition = {name: value for name, value in document["acquisition"].items() if name in known}
        ct = CTVolume(
            hu=hu,
            spacing_mm=tuple(float(value) for value in document["spacing_mm"]),
            origin_mm=tuple(float(value) for value in document["origin_mm"]),
            direction=tuple(float(value) for value in document["direction"]),
            acquisition=Acquisition(**acquisition),
        )
        return PredictJob(**document["job"]), ct
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JobFileError(f"The job in {folder} cannot be read ({error}).") from error


def write_prediction(folder: Path, prediction: Prediction | ScorePrediction) -> None:
    """Write a worker's result; the ``.json`` appears last, under its final name at once."""
    if isinstance(prediction, ScorePrediction):
        np.savez(folder / ARRAYS, **score_arrays(prediction))
        _write_json(folder / RESULT, {"schema": SCHEMA, "labels": False, **score_entries(prediction)})
        return
    arrays: dict[str, np.ndarray] = {}
    for name in SPARSE:
        array = getattr(prediction, name)
        if array is not None:
            place = np.flatnonzero(array)
            arrays[f"{name}_at"], arrays[f"{name}_value"] = place, array.ravel()[place]
    for name in ("structures", "lesion_probability", "slice_scores"):
        if getattr(prediction, name) is not None:
            arrays[name] = getattr(prediction, name)
    shape = next((getattr(prediction, name).shape for name in SPARSE if getattr(prediction, name) is not None), None)
    np.savez(folder / ARRAYS, **arrays)
    _write_json(
        folder / RESULT,
        {
            "schema": SCHEMA,
            "method": prediction.method,
            "model_id": prediction.model_id,
            "model_sha256": prediction.model_sha256,
            "shape": None if shape is None else [int(length) for length in shape],
            "sparse": [name for name in SPARSE if getattr(prediction, name) is not None],
            "structures_spacing_mm": prediction.structures_spacing_mm,
            "structures_offset_mm": prediction.structures_offset_mm,
            "category_probability": {key: float(value) for key, value in prediction.category_probability.items()},
            "uncertainty": None if prediction.uncertainty is None else asdict(prediction.uncertainty),
            "findings": [finding.as_dict() for finding in prediction.findings],
            "timings_s": {key: float(value) for key, value in prediction.timings_s.items()},
        },
    )


def read_prediction(folder: Path, shape: tuple[int, int, int]) -> Prediction | ScorePrediction:
    """Return a worker's result.

    Parameters
    ----------
    folder : Path
    shape : tuple of int
        (z, y, x) of the scan that was handed over.

    Raises
    ------
    JobFileError
        If there is none, or it is damaged, or of another scan.
    """
    document = _read_json(folder / RESULT)
    try:
        if document.get("labels") is False:
            with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
                return score_of(document, arrays)
        if document["sparse"] and tuple(document["shape"]) != tuple(shape):
            raise ValueError("it is of another scan")
        with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
            dense = {name: _dense(arrays, name, shape) for name in SPARSE if name in document["sparse"]}
            others = ("structures", "lesion_probability", "slice_scores")
            whole = {name: arrays[name] for name in others if name in arrays.files}
        return Prediction(
            method=str(document["method"]),
            model_id=str(document["model_id"]),
            model_sha256=str(document["model_sha256"]),
            **dense,
            **whole,
            structures_spacing_mm=_triple(document["structures_spacing_mm"]),
            structures_offset_mm=_triple(document["structures_offset_mm"]),
            category_probability=dict(document["category_probability"]),
            uncertainty=_uncertainty(document.get("uncertainty")),
            findings=tuple(map(Finding.from_dict, document["findings"])),
            timings_s=dict(document["timings_s"]),
        )
    except (OSError, KeyError, TypeError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise JobFileError(f"The network's result cannot be read ({error}).") from error


def _dense(arrays: Any, name: str, shape: tuple[int, int, int]) -> np.ndarray:
    place, value = arrays[f"{name}_at"], arrays[f"{name}_value"]
    if place.shape != value.shape or place.ndim != 1 or place.dtype.kind not in "iu" or value.dtype.kind not in "iu":
        raise ValueError(f"{name} are not positions and values")
    if place.size and (place.min() < 0 or place.max() >= np.prod(shape)):
        raise ValueError(f"{name} lie outside the scan")
    array = np.zeros(shape, np.uint8 if name == "labels" else np.int32)
    array.ravel()[place] = value
    return array


def _uncertainty(stored: Any) -> ScoreUncertainty | None:
    if stored is None:
        return None
    categories = {
        str(scheme): {str(group): float(share) for group, share in groups.items()}
        for scheme, groups in stored["categories"].items()
    }
    interval = _triple(stored["agatston_interval"])
    if interval is None or any(set(categories.get(name, ())) != set(SCHEMES[name].groups) for name in SCHEMES_GIVEN):
        raise ValueError("the uncertainty is not that of a score")
    below = stored["review_below"]
    return ScoreUncertainty(categories, interval, None if below is None else float(below))


def _triple(values: Any) -> tuple[float, float, float] | None:
    if values is None:
        return None
    first, second, third = (float(value) for value in values)
    return first, second, third


def _load_voxels(path: Path) -> np.ndarray:
    try:
        hu = np.load(path, mmap_mode="r", allow_pickle=False)
        if hu.dtype != np.int16 or hu.ndim != 3 or hu.size > MAX_VOXELS:
            raise ValueError(f"{hu.dtype} voxels of shape {hu.shape}")
        return np.array(hu)
    except (OSError, ValueError, EOFError) as error:
        raise JobFileError(f"The voxels of the job cannot be read ({error}).") from error


def _write_json(path: Path, document: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(document), encoding="utf-8")
    temporary.replace(path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError("it is too large")
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise ValueError("it is of another version")
        return document
    except (OSError, ValueError) as error:
        raise JobFileError(f"{path.name} cannot be read ({error}).") from error
