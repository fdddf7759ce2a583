"""What a segment is called -> the label value it means."""

from __future__ import annotations

import re

from CACScoringLib.vocabulary import LABELS, NonCoronary, Vessel

_PATTERNS: tuple[tuple[int, str], ...] = (
    (Vessel.LM, r"lm|lmca|lms|left main( \w+)*|leftmain"),
    (Vessel.LAD, r"lad|left anterior descending|anterior descending|left anterior interventricular"),
    (Vessel.LCX, r"lcx|lcxa|cx|rcx|lccx|(left )?circumflex"),
    (Vessel.RCA, r"rca|right coronary"),
    (NonCoronary.AORTIC_VALVE, r"aortic (heart )?valve|aorticvalve|avc"),
    (NonCoronary.MITRAL_VALVE, r"mitral( heart)?( valve)?( and| valve)?( annulus| annular)?|mitralvalve|mac|mvc"),
    (NonCoronary.AORTA, r"aorta|(ascending|descending|thoracic) aorta|aortic (wall|root|arch)|tac"),
    (NonCoronary.OTHER, r"other|non coronary|noncoronary|metal"),
)
_COMPILED = tuple((int(value), re.compile(rf"\b(?:{pattern})\b")) for value, pattern in _PATTERNS)
_BY_CODE = {label.region.value: int(label.value) for label in LABELS if label.value != NonCoronary.OTHER}

EXPECTED_NAMES = ", ".join(label.name for label in LABELS)
EXPECTED_VALUES = ", ".join(f"{int(label.value)} {label.name}" for label in LABELS)


def label_value(name: str, codes: tuple[str, ...] = ()) -> int | None:
    """Return the label value that a segment's name, or else one of its SNOMED CT codes, stands for.

    None where the name means nothing here, or more than one vessel.

    Examples
    --------
    >>> label_value("Calcium LAD"), label_value("Left circumflex"), label_value("LM/LAD"), label_value("heart")
    (2, 3, None, None)
    """
    text = " ".join(re.findall(r"[a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))
    found = [value for value, pattern in _COMPILED if pattern.search(text)]
    specific = [value for value in found if value != NonCoronary.OTHER]
    if len(specific) > 1:
        return None
    if found:
        return (specific or found)[0]
    coded = {_BY_CODE[code] for code in codes if code in _BY_CODE}
    return coded.pop() if len(coded) == 1 else None
