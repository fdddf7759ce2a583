"""What somebody else's network takes in and gives out, as its user declares it in a small JSON file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.models.label_map import parse_labels, read_json

LARGEST_PATCH = 512
SPACING_LIMITS_MM = (0.2, 20.0)
AXES, ORIENTATIONS, ACTIVATIONS = ("zyx", "xyz"), ("LPS", "RAS"), ("softmax", "sigmoid")
HU_LIMITS = (-4000.0, 10000.0)
SCALE_LIMIT = 10000.0


@dataclass(frozen=True)
class Declaration:
    """Input and output of a network.

    Attributes
    ----------
    labels : dict of int to str
        Meaning of each output channel, by the names of ``models/label_map.py``; a channel that is not named is
        background.
    spacing_mm : tuple of float or None
        (z, y, x) that the CT is resampled to; its own spacing when None.
    hu_window : tuple of float
        HU are clipped to it ...
    scale_to : tuple of float
        ... and mapped linearly to this.
    patch_size : tuple of int
        (z, y, x) of the sliding window.
    overlap : float
        Share by which windows overlap.
    axes : str
        Order of the axes that the network sees: ``zyx`` or ``xyz``.
    orientation : str
        Where x and y grow: ``LPS`` to the patient's left and back, ``RAS`` to the right and front.
    activation : str
        ``softmax`` over the channels, or ``sigmoid`` of each (background where none reaches 0.5).
    """

    labels: dict[int, str]
    spacing_mm: tuple[float, float, float] | None = None
    hu_window: tuple[float, float] = (-200.0, 300.0)
    scale_to: tuple[float, float] = (0.0, 1.0)
    patch_size: tuple[int, int, int] = (64, 64, 64)
    overlap: float = 0.25
    axes: str = "zyx"
    orientation: str = "LPS"
    activation: str = "softmax"

    def as_dict(self) -> dict[str, object]:
        """Return the declaration as JSON has it."""
        out = asdict(self)
        labels = {str(value): name for value, name in out.pop("labels").items()}
        activation = out.pop("activation")
        return {"labels": labels, "input": out, "output": {"activation": activation}}

    @classmethod
    def from_dict(cls, document: dict, name: str) -> Declaration:
        """Read a declaration from JSON.

        Parameters
        ----------
        document : dict
            ``{"labels": {...}, "input": {...}, "output": {"activation": ...}}``; all but the labels may be left out.
        name : str
            Of the file, for the refusal.

        Raises
        ------
        InputRefusedError
            ``label-map``: anything that is not as it should be.
        """
        given, output = document.get("input") or {}, document.get("output") or {}
        known = {"spacing_mm", "hu_window", "scale_to", "patch_size", "overlap", "axes", "orientation"}
        if not isinstance(given, dict) or not isinstance(output, dict) or set(given) - known:
            raise _refused(f"{name}: 'input' may declare {', '.join(sorted(known))}.")
        values: dict[str, object] = {"labels": parse_labels(document.get("labels"), name)}
        if given.get("spacing_mm") is not None:
            values["spacing_mm"] = _numbers(given["spacing_mm"], 3, SPACING_LIMITS_MM, f"{name}: spacing_mm")
        for key, limits in (("hu_window", HU_LIMITS), ("scale_to", (-SCALE_LIMIT, SCALE_LIMIT))):
            if key in given:
                values[key] = _numbers(given[key], 2, limits, f"{name}: {key}")
        if "hu_window" in values and values["hu_window"][0] >= values["hu_window"][1]:
            raise _refused(f"{name}: hu_window is the lower and then the upper limit.")
        if "patch_size" in given:
            size = _numbers(given["patch_size"], 3, (8, LARGEST_PATCH), f"{name}: patch_size")
            values["patch_size"] = tuple(int(length) for length in size)
        if "overlap" in given:
            values["overlap"] = _numbers([given["overlap"]], 1, (0.0, 0.9), f"{name}: overlap")[0]
        for key, allowed in (("axes", AXES), ("orientation", ORIENTATIONS)):
            if key in given:
                values[key] = _one_of(given[key], allowed, f"{name}: {key}")
        if "activation" in output:
            values["activation"] = _one_of(output["activation"], ACTIVATIONS, f"{name}: activation")
        return cls(**values)


def read_declaration(path: Path) -> Declaration:
    """Read the declaration of a file."""
    return Declaration.from_dict(read_json(path, "label map"), path.name)


def _numbers(values: object, count: int, limits: tuple[float, float], what: str) -> tuple[float, ...]:
    good = (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
        and all(limits[0] <= v <= limits[1] for v in values)
    )
    if not good:
        raise _refused(f"{what} must be {count} numbers from {limits[0]:g} to {limits[1]:g}.")
    return tuple(float(v) for v in values)


def _one_of(value: object, allowed: tuple[str, ...], what: str) -> str:
    if value not in allowed:
        raise _refused(f"{what} must be one of {', '.join(allowed)}.")
    return str(value)


def _refused(message: str) -> InputRefusedError:
    return InputRefusedError(refuse("label-map", message))
