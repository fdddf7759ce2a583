"""The words everything else shares: vessels, structures, label values, colours and codes.

A label map is ``uint8`` with axes (z, y, x) on the CT's own grid. Values 1 to 4 are
coronary vessels, 11 to 14 calcification that does not count towards the coronary score.
Structure maps are separate arrays with the values of :class:`Structure`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Vessel(IntEnum):
    """A coronary artery; the value is its label in a label map."""

    LM = 1
    LAD = 2
    LCX = 3
    RCA = 4


class NonCoronary(IntEnum):
    """Calcification or metal outside the coronary arteries; the value is its label."""

    AORTA = 11
    AORTIC_VALVE = 12
    MITRAL_VALVE = 13
    OTHER = 14


class Structure(IntEnum):
    """A cardiac structure; the value is its channel in the structure branch (0 is background)."""

    LEFT_VENTRICLE = 1
    MYOCARDIUM = 2
    RIGHT_VENTRICLE = 3
    LEFT_ATRIUM = 4
    RIGHT_ATRIUM = 5
    AORTA = 6
    PULMONARY_ARTERY = 7


BACKGROUND = 0


def is_vessel(label: Any) -> Any:
    """Say whether labels are coronary vessels; for a number, or element by element for an array.

    >>> is_vessel(Vessel.RCA), is_vessel(NonCoronary.AORTA)
    (True, False)
    """
    return (label >= Vessel.LM) & (label <= Vessel.RCA)


@dataclass(frozen=True)
class Code:
    """A coded concept as DICOM writes it."""

    scheme: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Label:
    """How one label value is named, coloured and coded.

    Attributes
    ----------
    value : int
        Voxel value in a label map.
    name : str
        Short name used in tables, files and segment names.
    title : str
        Name for a person.
    color : tuple of float
        RGB in 0..1, the same in every picture, table and segmentation.
    region : Code
        Anatomic region (SNOMED CT).
    """

    value: int
    name: str
    title: str
    color: tuple[float, float, float]
    region: Code

    @property
    def coronary(self) -> bool:
        """Whether the label counts towards the coronary calcium score."""
        return self.value in set(Vessel)


CALCIFICATION = Code("SCT", "237897009", "Vascular calcification")
CORONARY_ARTERY = Code("SCT", "41801008", "Coronary artery")
AGATSTON_SCORE = Code("SCT", "450360000", "Coronary artery calcium score")

LABELS: tuple[Label, ...] = (
    Label(Vessel.LM, "LM", "Left main", (1.00, 0.84, 0.10), Code("SCT", "3227004", "Left main coronary artery")),
    Label(
        Vessel.LAD,
        "LAD",
        "Left anterior descending",
        (0.93, 0.20, 0.20),
        Code("SCT", "59438005", "Left anterior descending coronary artery"),
    ),
    Label(
        Vessel.LCX, "LCX", "Left circumflex", (0.20, 0.60, 1.00), Code("SCT", "57396003", "Circumflex coronary artery")
    ),
    Label(
        Vessel.RCA, "RCA", "Right coronary artery", (0.20, 0.80, 0.35), Code("SCT", "13647002", "Right coronary artery")
    ),
    Label(NonCoronary.AORTA, "aorta", "Aorta", (0.80, 0.50, 0.20), Code("SCT", "15825003", "Aorta")),
    Label(
        NonCoronary.AORTIC_VALVE,
        "aortic_valve",
        "Aortic valve",
        (0.75, 0.35, 0.75),
        Code("SCT", "34202007", "Aortic valve"),
    ),
    Label(
        NonCoronary.MITRAL_VALVE,
        "mitral_valve",
        "Mitral valve and annulus",
        (0.55, 0.40, 0.95),
        Code("SCT", "91134007", "Mitral valve"),
    ),
    Label(
        NonCoronary.OTHER,
        "other",
        "Other calcification or metal",
        (0.40, 0.70, 0.70),
        Code("SCT", "51185008", "Thorax"),
    ),
)
"""Every label in the order of tables and segments. Codes: SNOMED CT."""

LABEL_BY_VALUE: dict[int, Label] = {int(label.value): label for label in LABELS}
LABEL_BY_NAME: dict[str, Label] = {label.name: label for label in LABELS}
CORONARY_LABELS: tuple[Label, ...] = tuple(label for label in LABELS if label.coronary)
NON_CORONARY_LABELS: tuple[Label, ...] = tuple(label for label in LABELS if not label.coronary)
