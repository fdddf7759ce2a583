"""Where a network runs: the device that was asked for, or the processor where there is none such."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from CACScoringLib.findings import Finding, info, warning

AUTO, CPU = "auto", "cpu"
DEVICES = (AUTO, CPU, "cuda", "mps")
"""What a person can choose from; ``cuda:1`` and the like are understood too."""
Predicted = TypeVar("Predicted")


def choose_device(name: str) -> tuple[str, Finding | None]:
    """Return the device to use and, where it is not the one asked for, a finding that says so.

    Parameters
    ----------
    name : str
        ``auto`` takes a graphics processor where torch can use one.
    """
    if name in ("", CPU):
        return CPU, None
    import torch

    if name == AUTO:
        return next((device for device in ("cuda", "mps") if _usable(torch, device)), CPU), None
    if _usable(torch, name):
        return name, None
    return CPU, info("device-unavailable", f"The device '{name}' is not available here: the processor was used.")


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a graphics processor ran out of memory."""
    words = f"{type(error).__name__} {error}".lower()
    return "outofmemory" in words or "out of memory" in words


def memory_finding(device: str) -> Finding:
    """Return the finding for a network that had to go on without the graphics processor."""
    message = f"The device '{device}' ran out of memory: the processor was used instead, which takes longer."
    return warning("device-out-of-memory", message)


def on_device(run: Callable[[str], Predicted], device: str) -> Predicted:
    """Return the prediction of a device; of the processor, with a finding, where the device has not enough memory.

    Parameters
    ----------
    run : callable
        Takes the name of a device, returns a prediction (a dataclass with ``findings``).
    device : str
    """
    try:
        return run(device)
    except RuntimeError as error:
        if device == CPU or not out_of_memory(error):
            raise
    prediction = run(CPU)
    return replace(prediction, findings=(memory_finding(device), *prediction.findings))


def _usable(torch: object, device: str) -> bool:
    kind, _, number = device.partition(":")
    if kind == "cuda":
        return torch.cuda.is_available() and (not number or int(number) < torch.cuda.device_count())
    if kind == "mps":
        return bool(getattr(torch.backends, "mps", None)) and torch.backends.mps.is_available()
    return kind == CPU
