"""What an action did, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass

from CACScoringLib.mrml.editing.candidates import Candidates
from CACScoringLib.vocabulary import LABEL_BY_VALUE, NonCoronary

MM3_PER_CM3 = 1000.0


@dataclass(frozen=True)
class EditResult:
    """What an action did.

    Attributes
    ----------
    changed : int
        Voxels that have another label than before; 0 means that nothing was done, and that there is nothing to undo.
    kept : int
        Voxels that masking or visibility settings protected.
    message : str
        For a person.
    """

    changed: int
    kept: int
    message: str

    def __bool__(self) -> bool:
        """Return whether anything changed."""
        return self.changed > 0


def nothing(message: str, kept: int = 0) -> EditResult:
    """Return that nothing was done, and why."""
    return EditResult(0, kept, message)


def no_candidate(candidates: Candidates) -> EditResult:
    """Return that there is no calcium where it was looked for."""
    return nothing(f"There is no calcium at or above {candidates.rules.threshold_hu:g} HU here.")


def too_large(candidates: Candidates, number: int) -> EditResult:
    """Return that a lesion is too large to be one."""
    size = candidates.lesion_voxels[candidates.lesion[number]] * candidates.voxel_mm3 / MM3_PER_CM3
    return nothing(
        f"This belongs to {size:.0f} cm3 of connected voxels at or above {candidates.rules.threshold_hu:g} HU (bone, "
        "contrast or metal): choose the island in the slice, a lasso or a sphere instead."
    )


def hidden(names: list[str]) -> EditResult:
    """Return that segments cannot be edited since nobody would see it."""
    if len(names) == 1:
        return nothing(f"The segment {names[0]} is hidden: show it to edit it.")
    return nothing(f"The segments {' and '.join(names)} are hidden: show them to edit them.")


def unchanged(kept: int) -> EditResult:
    """Return that nothing had to be, or could be, changed."""
    if kept:
        return nothing("The masking and visibility settings of the Segment Editor leave nothing to change here.", kept)
    return nothing("Nothing had to be changed: the labels are so already.")


def done(after: dict[int, int], kept: int) -> EditResult:
    """Return what was done.

    Parameters
    ----------
    after : dict of int to int
        Number of changed voxels for each label that they have now.
    kept : int
        Voxels that were protected.
    """
    changed = sum(after.values())
    parts = [
        f"{count} voxel{'s' if count != 1 else ''} {f'to {label_title(label)}' if label else 'taken away'}"
        for label, count in after.items()
    ]
    text = ", ".join(parts) + "."
    if kept:
        text += f" {kept} stayed, as masking or visibility say."
    return EditResult(changed, kept, text)


def label_title(label: int) -> str:
    """Return how a label is called in a sentence."""
    return "non-coronary" if label == NonCoronary.OTHER else LABEL_BY_VALUE[label].name.replace("_", " ")
