"""The methods by name, and the one function that runs any of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.models import ModelError, imported_models, open_bundle
from CACScoringLib.models.bundle import METADATA

if TYPE_CHECKING:
    from CACScoringLib.inference.heart import HeartFinder
    from CACScoringLib.methods.score_prediction import ScorePrediction

DEFAULT_METHOD = "multibranch-unet"


@dataclass(frozen=True)
class MethodInfo:
    """A method that can be chosen by name.

    Attributes
    ----------
    name : str
    title : str
        For a person.
    source : str
        The publication that it follows.
    entry : str
        ``module:function`` that runs it.
    model : str
        Id of the model that ships for it; empty where models come from elsewhere only.
    finds_heart : bool
        Whether it looks for the heart first, so that somebody else may do that for it.
    labels_voxels : bool
        Whether it marks calcium; without that it gives a ``ScorePrediction``, and there is nothing to edit.
    """

    name: str
    title: str
    source: str
    entry: str
    model: str
    finds_heart: bool = False
    labels_voxels: bool = True


METHODS: dict[str, MethodInfo] = {
    "multibranch-unet": MethodInfo(
        "multibranch-unet",
        "Multi-branch 3-D U-Net: heart first, then every candidate lesion",
        "Sartoretti 2023, doi 10.1007/s12350-022-02940-7",
        "CACScoringLib.methods.multibranch_unet:predict_multibranch",
        "multibranch-unet",
        finds_heart=True,
    ),
    "convlstm": MethodInfo(
        "convlstm",
        "Convolutional LSTM: heart first, then the axial slices in sequence",
        "Pieszko 2022, doi 10.1016/j.jcmg.2022.06.006",
        "CACScoringLib.methods.convlstm:predict_convlstm",
        "convlstm",
        finds_heart=True,
    ),
    "slice-regression": MethodInfo(
        "slice-regression",
        "Slice regression: a score for every slice of the heart, without marking calcium",
        "de Vos 2017, arXiv 1712.02982",
        "CACScoringLib.methods.slice_regression:predict_slice_regression",
        "slice-regression",
        labels_voxels=False,
    ),
    "six-class": MethodInfo(
        "six-class",
        "Six categories: every slice of the heart is put into a risk category; the score is made of categories",
        "Nguyen 2025",
        "CACScoringLib.methods.six_class:predict_six_class",
        "six-class",
        labels_voxels=False,
    ),
}

IMPORTED = MethodInfo(
    "imported",
    "A network from elsewhere, run as declared when it was imported",
    "its own documentation",
    "CACScoringLib.methods.imported:predict_imported",
    "",
)
"""Runs models that ``cacscoring models import --label-map`` made; it has none of its own."""


def available() -> tuple[MethodInfo, ...]:
    """Return the methods that can be chosen; ``imported`` only where there is a model for it."""
    return (*METHODS.values(), *((IMPORTED,) if _models_of(IMPORTED.name) else ()))


def labels_voxels(method: str) -> bool:
    """Return whether a method marks calcium; True for one that is not known."""
    return METHODS.get(method, IMPORTED).labels_voxels


def unknown_method(method: str) -> ModelError:
    """Return the refusal of a method that there is not."""
    return ModelError(f"There is no method '{method}': choose one of {', '.join(METHODS)}.")


def model_of(method: str, model: str | Path | None = None) -> str | Path:
    """Return the model that a method runs with: the one that is asked for, else its own.

    Raises
    ------
    ModelError
        If there is no such method, or none or several models for it.
    """
    if method not in METHODS and method != IMPORTED.name:
        raise unknown_method(method)
    if model or method in METHODS:
        return model or METHODS[method].model
    known = _models_of(method)
    if len(known) == 1:
        return known[0]
    if not known:
        raise ModelError("No network was imported: 'cacscoring models import FILE --label-map FILE' does that.")
    raise ModelError(f"Several networks were imported: choose one of {', '.join(known)}.")


def _models_of(method: str) -> list[str]:
    """Return the ids of the imported models of a method; their weights are not looked at."""
    out = []
    for folder in imported_models():
        try:
            metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
            found = metadata["cacscoring"]["method"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if found == method:
            out.append(folder.name)
    return out


def predict(
    ct: CTVolume,
    method: str = DEFAULT_METHOD,
    *,
    model: str | Path | None = None,
    device: str = "cpu",
    threshold_hu: float | None = None,
    heart: str = "network",
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Prediction | ScorePrediction:
    """Run a method on a CT.

    Parameters
    ----------
    ct : CTVolume
    method : str
        Name of a method (``available``).
    model : str or Path, optional
        Id or folder of a model bundle; the method's own when absent.
    device : str
        As torch names it.
    threshold_hu : float, optional
        Lowest HU that can score; by default the threshold for the scan's tube voltage, at most 130 HU.
    heart : str
        Who finds the heart: ``network`` (the method itself) or ``totalsegmentator``, where that is installed.
    progress : callable, optional
        Called with a fraction in 0..1 and a text.
    cancelled : callable, optional
        Asked now and then; True raises ``inference.windows.CancelledError``.

    Returns
    -------
    Prediction or ScorePrediction
        The latter from methods that label no voxels.

    Raises
    ------
    ModelError
        If the method or its model is not there, damaged, or of another method.
    """
    bundle = open_bundle(model_of(method, model))
    info = METHODS.get(method, IMPORTED)
    if bundle.method != method:
        raise ModelError(f"Model '{bundle.id}' belongs to method '{bundle.method}', not to '{method}'.")
    module, function = info.entry.split(":")
    run = getattr(import_module(module), function)
    threshold = candidate_threshold(ct) if threshold_hu is None else threshold_hu
    extra = {} if heart == "network" else {"heart": _other_heart(info, heart, device)}
    return run(
        ct, bundle=bundle, device=device, threshold_hu=threshold, progress=progress, cancelled=cancelled, **extra
    )


def _other_heart(info: MethodInfo, name: str, device: str) -> HeartFinder:
    """Return who finds the heart in place of the method."""
    from CACScoringLib.inference.heart import HEARTS, heart_finder

    if not info.finds_heart:
        raise ModelError(f"Method '{info.name}' does not look for the heart: leave --heart out.")
    try:
        return heart_finder(name, device)
    except ValueError as error:
        raise ModelError(f"There is no '{name}' to find the heart: choose one of {', '.join(HEARTS)}.") from error


def candidate_threshold(ct: CTVolume) -> float:
    """Return the lowest HU that any preset counts at the scan's tube voltage, never above 130 HU."""
    from CACScoringLib.scoring.thresholds import thresholds_for_kvp

    return min(130.0, float(thresholds_for_kvp(ct.acquisition.kvp).hu[0]))
