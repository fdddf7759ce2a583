"""How much calcium grew between two scans.

The square-root rule (Hokanson et al., AJR 2004;182:1327-32; secondary) calls a change real when the square root of
the volume grew by at least 2.5 mm^1.5, which is beyond the variation between repeated scans.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from CACScoringLib.findings import InputRefusedError, refuse

SQUARE_ROOT_LIMIT = 2.5
"""mm^1.5, Hokanson 2004. Status: secondary."""


@dataclass(frozen=True)
class Change:
    """Change of one score.

    Attributes
    ----------
    baseline, follow_up, absolute : float
    percent : float or None
        None where the baseline is 0.
    per_year, percent_per_year : float or None
        Divided by the time between the scans; None if that is unknown.
    """

    baseline: float
    follow_up: float
    absolute: float
    percent: float | None
    per_year: float | None
    percent_per_year: float | None


@dataclass(frozen=True)
class Progression:
    """Change between two scans of one patient.

    Attributes
    ----------
    agatston, volume_mm3 : Change
    years : float or None
    square_root_difference : float
        sqrt(follow-up volume) - sqrt(baseline volume) in mm^1.5.
    progressed : bool
        Whether that difference reaches 2.5.
    """

    agatston: Change
    volume_mm3: Change
    years: float | None
    square_root_difference: float
    progressed: bool


def change(baseline: float, follow_up: float, years: float | None = None) -> Change:
    """Return the change of a score over ``years``."""
    if years is not None and not years > 0:
        raise InputRefusedError(
            refuse("follow-up-not-later", f"The follow-up must lie after the baseline, not {years:g} years after it.")
        )
    absolute = follow_up - baseline
    percent = 100 * absolute / baseline if baseline > 0 else None
    return Change(
        baseline,
        follow_up,
        absolute,
        percent,
        None if years is None else absolute / years,
        None if years is None or percent is None else percent / years,
    )


def progression(
    *,
    baseline_agatston: float,
    follow_up_agatston: float,
    baseline_volume_mm3: float,
    follow_up_volume_mm3: float,
    years: float | None = None,
) -> Progression:
    """Return how the calcium of one patient changed.

    Scores of both scans must come from the same preset and comparable acquisitions.

    Examples
    --------
    >>> grown = progression(baseline_agatston=100, follow_up_agatston=150, baseline_volume_mm3=100,
    ...                     follow_up_volume_mm3=156.25, years=2)
    >>> grown.agatston.percent_per_year, grown.square_root_difference, grown.progressed
    (25.0, 2.5, True)
    """
    difference = math.sqrt(follow_up_volume_mm3) - math.sqrt(baseline_volume_mm3)
    return Progression(
        change(baseline_agatston, follow_up_agatston, years),
        change(baseline_volume_mm3, follow_up_volume_mm3, years),
        years,
        difference,
        difference >= SQUARE_ROOT_LIMIT,
    )
