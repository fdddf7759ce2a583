"""The methods by name, and the one function that runs any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.models import ModelError, open_bundle

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
        Id of the model that ships for it.
    """

    name: str
    title: str
    source: str
    entry: str
    model: str


METHODS: dict[str, MethodInfo] = {
    "multibranch-unet": MethodInfo(
        "multibranch-unet",
        "Multi-branch 3-D U-Net: heart first, then every candidate lesion",
        "Sartoretti 2023, doi 10.1007/s12350-022-02940-7",
        "CACScoringLib.methods.multibranch_unet:predict_multibranch",
        "multibranch-unet",
    ),
}


def available() -> tuple[MethodInfo, ...]:
    """Return the methods that can be chosen."""
    return tuple(METHODS.values())


def predict(
    ct: CTVolume,
    method: str = DEFAULT_METHOD,
    *,
    model: str | Path | None = None,
    device: str = "cpu",
    threshold_hu: float | None = None,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Prediction:
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
    progress : callable, optional
        Called with a fraction in 0..1 and a text.
    cancelled : callable, optional
        Asked now and then; True raises ``inference.windows.CancelledError``.

    Returns
    -------
    Prediction

    Raises
    ------
    ModelError
        If the method or its model is not there, damaged, or of another method.
    """
    if method not in METHODS:
        raise ModelError(f"There is no method '{method}': choose one of {', '.join(METHODS)}.")
    info = METHODS[method]
    bundle = open_bundle(model or info.model)
    if bundle.method != method:
        raise ModelError(f"Model '{bundle.id}' belongs to method '{bundle.method}', not to '{method}'.")
    module, function = info.entry.split(":")
    run = getattr(import_module(module), function)
    threshold = candidate_threshold(ct) if threshold_hu is None else threshold_hu
    return run(ct, bundle=bundle, device=device, threshold_hu=threshold, progress=progress, cancelled=cancelled)


def candidate_threshold(ct: CTVolume) -> float:
    """Return the lowest HU that any preset counts at the scan's tube voltage, never above 130 HU."""
    from CACScoringLib.scoring.thresholds import thresholds_for_kvp

    return min(130.0, float(thresholds_for_kvp(ct.acquisition.kvp).hu[0]))
