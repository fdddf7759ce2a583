"""What the label values of somebody else mean: a small JSON file, read as hostile input."""

from __future__ import annotations

from pathlib import Path

from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.models.json_files import json_object
from CACScoringLib.vocabulary import BACKGROUND, LABEL_BY_NAME, Vessel

LARGEST_BYTES = 64 * 1024
LARGEST_VALUE = 255
LEFT_MAIN_OR_LAD = "LM+LAD"
"""Name for labels that do not tell the left main from the LAD, as in orCaScore; they become LAD."""
NAMES: dict[str, int] = {
    "background": BACKGROUND,
    **{name: int(label.value) for name, label in LABEL_BY_NAME.items()},
    LEFT_MAIN_OR_LAD: int(Vessel.LAD),
}


def read_json(path: Path, what: str) -> dict:
    """Return the object of a small JSON file.

    Raises
    ------
    InputRefusedError
        ``label-map``: missing, too large, no JSON, or no object.
    """
    if not path.is_file():
        raise _refused(f"There is no {what} {path}.")
    try:
        return json_object(path, LARGEST_BYTES)
    except ValueError as error:
        raise _refused(f"The {what} {path.name} {error}.") from error


def parse_labels(labels: object, name: str) -> dict[int, str]:
    """Return the meaning of each label value, by our names.

    Parameters
    ----------
    labels : object
        From JSON: value (a whole number, as text) to name, such as ``{"1": "LAD", "2": "LCX"}``.
    name : str
        Of the file, for the refusal.

    Raises
    ------
    InputRefusedError
        ``label-map``: a value or a name that is none.
    """
    if not isinstance(labels, dict) or not labels:
        raise _refused(f"{name} declares no labels: give 'labels' such as {{'1': 'LAD', '2': 'LCX', '3': 'RCA'}}.")
    by_lower = {known.lower(): known for known in NAMES}
    out: dict[int, str] = {}
    for value, meaning in labels.items():
        if not str(value).isdecimal() or int(value) > LARGEST_VALUE:
            raise _refused(f"{name} declares the label value '{str(value)[:40]}': values are 0 to {LARGEST_VALUE}.")
        if not isinstance(meaning, str) or meaning.lower() not in by_lower:
            raise _refused(
                f"{name} gives value {value} the meaning '{str(meaning)[:40]}': choose one of {', '.join(NAMES)}."
            )
        out[int(value)] = by_lower[meaning.lower()]
    return out


def read_label_map(path: Path) -> dict[int, str]:
    """Return the label map of a file: ``{"labels": {...}}`` or the labels alone."""
    document = read_json(path, "label map")
    return parse_labels(document.get("labels", document), path.name)


def _refused(message: str) -> InputRefusedError:
    return InputRefusedError(refuse("label-map", message))
