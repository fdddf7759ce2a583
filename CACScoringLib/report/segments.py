"""The segments of a calcium segmentation: names, colours, label values and codes.

One table for everything that writes segments: ``.seg.nrrd`` files and MRML segmentation nodes.
Nothing here needs 3D Slicer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from CACScoringLib.ct.labels_names import label_value
from CACScoringLib.vocabulary import (
    CALCIFICATION,
    CORONARY_LABELS,
    LABEL_BY_NAME,
    LABEL_BY_VALUE,
    NON_CORONARY_LABELS,
    Code,
    Label,
    NonCoronary,
    Vessel,
)

CATEGORY = Code("SCT", "49755003", "Morphologically Altered Structure")
"""Category of every segment (DICOM CID 7150)."""

TERMINOLOGY_CONTEXT = "CACScoring calcification"
"""Name of the terminology in ``Resources/Terminology/CACScoring.term.json``."""

REGION_CONTEXT = "CACScoring regions"
"""Name of the anatomic context in ``Resources/Terminology/CACScoringRegions.term.json``."""

LABEL_TAG = "CACScoring.Label"
"""Tag by which a segment is known as ours, whatever it was renamed to."""

MERGED_NAME = "Non-coronary"
MERGED_ID = "non_coronary"


class NonCoronaryMode(str, Enum):
    """How calcification outside the coronary arteries becomes segments."""

    MERGED = "merged"
    """One segment, ``Non-coronary``; read back as ``NonCoronary.OTHER``."""
    SEPARATE = "separate"
    """A segment for each structure (aorta, aortic valve, mitral valve, other)."""


@dataclass(frozen=True)
class SegmentSpec:
    """One segment to be written.

    Attributes
    ----------
    segment_id : str
        Stable identifier; also the value of the tag ``LABEL_TAG``.
    name : str
        What a person sees.
    color : tuple of float
        RGB in 0..1.
    values : tuple of int
        Values of the label map that belong to the segment.
    stored_value : int
        The one value they are written as.
    terminology : str
        Slicer's serialised terminology entry.
    """

    segment_id: str
    name: str
    color: tuple[float, float, float]
    values: tuple[int, ...]
    stored_value: int
    terminology: str

    @property
    def tags(self) -> dict[str, str]:
        """Return the segment's tags, sorted as Slicer writes them."""
        return {LABEL_TAG: self.segment_id, "TerminologyEntry": self.terminology}


def terminology_entry(region: Code) -> str:
    """Return Slicer's serialised entry for calcification of ``region``.

    The format is ``context~category~type~modifier~anatomic context~region~modifier``, each code
    ``scheme^value^meaning``.
    """
    codes = [f"{code.scheme}^{code.value}^{code.meaning}" for code in (CATEGORY, CALCIFICATION, region)]
    return "~".join((TERMINOLOGY_CONTEXT, codes[0], codes[1], "^^", REGION_CONTEXT, codes[2], "^^"))


def segment_specs(non_coronary: str | NonCoronaryMode = NonCoronaryMode.MERGED) -> tuple[SegmentSpec, ...]:
    """Return the segments in their fixed order: LM, LAD, LCX, RCA, then what is not coronary.

    Parameters
    ----------
    non_coronary : {"merged", "separate"}
        See :class:`NonCoronaryMode`.
    """
    coronary = tuple(_spec(label, label.name) for label in CORONARY_LABELS)
    if NonCoronaryMode(non_coronary) is NonCoronaryMode.SEPARATE:
        return coronary + tuple(_spec(label, label.title) for label in NON_CORONARY_LABELS)
    other = LABEL_BY_VALUE[NonCoronary.OTHER]
    merged = SegmentSpec(
        MERGED_ID,
        MERGED_NAME,
        other.color,
        tuple(int(label.value) for label in NON_CORONARY_LABELS),
        int(other.value),
        terminology_entry(other.region),
    )
    return (*coronary, merged)


def stored_labels(labels: np.ndarray, specs: tuple[SegmentSpec, ...]) -> np.ndarray:
    """Return the label map with each segment's values replaced by its stored value.

    Parameters
    ----------
    labels : ndarray of uint8, shape (z, y, x)
        Values of the vocabulary.
    specs : tuple of SegmentSpec

    Returns
    -------
    ndarray of uint8, shape (z, y, x)

    Raises
    ------
    ValueError
        If the label map is not uint8 or holds a value that no segment takes.
    """
    if labels.dtype != np.uint8 or labels.ndim != 3:
        raise ValueError(f"labels must be uint8 with axes (z, y, x), not {labels.dtype} with {labels.ndim} axes")
    table = np.zeros(256, np.uint8)
    for spec in specs:
        table[list(spec.values)] = spec.stored_value
    present = np.unique(labels[labels != 0])  # few voxels, whatever the size of the scan
    unknown = [int(value) for value in present if not table[value]]
    if unknown:
        raise ValueError(f"the label map holds values that are no label: {unknown}")
    if all(table[value] == value for value in present):
        return labels
    return table[labels]


def label_value_of(name: str, terminology: str = "", tag: str = "") -> int | None:
    """Return the label value that a segment stands for, or None if it is not a calcium segment.

    What a person can see decides: the name of a vessel, then the terminology, then our tag. A structure's
    name alone ("aorta") is not enough, since other tools name the whole organ so.

    Parameters
    ----------
    name : str
        The segment's name.
    terminology : str
        Its serialised terminology entry.
    tag : str
        The value of its tag ``LABEL_TAG``.
    """
    by_name = label_value(name)
    if by_name in set(Vessel):
        return by_name
    if name.strip().casefold() == MERGED_NAME.casefold():
        return int(NonCoronary.OTHER)
    by_code = _label_of_terminology(terminology)
    if by_code is not None:
        return by_code
    if tag == MERGED_ID:
        return int(NonCoronary.OTHER)
    return int(LABEL_BY_NAME[tag].value) if tag in LABEL_BY_NAME else None


def _spec(label: Label, name: str) -> SegmentSpec:
    value = int(label.value)
    return SegmentSpec(label.name, name, label.color, (value,), value, terminology_entry(label.region))


def _label_of_terminology(terminology: str) -> int | None:
    parts = terminology.split("~")
    if len(parts) < 6 or parts[2].split("^")[:2] != [CALCIFICATION.scheme, CALCIFICATION.value]:
        return None
    region = parts[5].split("^")[:2]
    for label in LABEL_BY_VALUE.values():
        if region == [label.region.scheme, label.region.value]:
            return int(label.value)
    return None
