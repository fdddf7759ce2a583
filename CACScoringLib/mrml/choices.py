"""What a person chose in the module, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from CACScoringLib.mrml.logic import DEFAULT_METHOD, DEFAULT_PRESET
from CACScoringLib.report.segments import NonCoronaryMode

UNKNOWN = "unknown"
SEXES = (UNKNOWN, "F", "M")
GROUPS = (UNKNOWN, "white", "chinese", "black", "hispanic")
"""The groups of MESA, as ``scoring.percentiles`` has them."""


@dataclass(frozen=True)
class ScoringChoices:
    """What a person chose; plain values, as a parameter node keeps them.

    Attributes
    ----------
    method, preset : str
    model : str
        Id of a model; empty for the method's own.
    kvp : float
        Tube voltage in kV for a volume that does not say it; 0 for unknown.
    ageYears : float
        0 for unknown.
    sex : str
        One of ``SEXES``.
    group : str
        One of ``GROUPS``.
    separateNonCoronary : bool
        A segment for each calcified structure outside the coronary arteries instead of one for all.
    allowContrast : bool
        Score contrast-enhanced scans too.
    live : bool
        Score again at every edit.
    """

    method: str = DEFAULT_METHOD
    preset: str = DEFAULT_PRESET
    model: str = ""
    kvp: float = 0.0
    ageYears: float = 0.0  # noqa: N815
    sex: str = UNKNOWN
    group: str = UNKNOWN
    separateNonCoronary: bool = False  # noqa: N815
    allowContrast: bool = False  # noqa: N815
    live: bool = True

    @classmethod
    def of(cls, parameters: Any) -> ScoringChoices:
        """Return the choices that an object with these attributes holds, such as a parameter node."""
        known = {item.name: getattr(parameters, item.name) for item in fields(cls) if hasattr(parameters, item.name)}
        return cls(**known)

    @property
    def nonCoronary(self) -> NonCoronaryMode:
        """Return how calcium outside the coronary arteries is kept."""
        return NonCoronaryMode.SEPARATE if self.separateNonCoronary else NonCoronaryMode.MERGED

    def demographics(self) -> Any:
        """Return who the patient is, None unless both age and sex were entered."""
        if self.ageYears <= 0 or self.sex == UNKNOWN:
            return None
        from CACScoringLib.scoring.percentiles import Demographics

        return Demographics(self.ageYears, self.sex, None if self.group == UNKNOWN else self.group)
