"""Arterial age: the age at which a score is what is expected.

McClelland et al., Am J Cardiol 2009;103:59-63 (secondary): 39.1 + 7.25 ln(Agatston + 1).
"""

from __future__ import annotations

import math

from CACScoringLib.findings import InputRefusedError, refuse

INTERCEPT_YEARS = 39.1
SLOPE_YEARS = 7.25


def arterial_age(agatston: float) -> float:
    """Return the arterial age in years.

    Examples
    --------
    >>> round(arterial_age(250))
    79
    """
    if not agatston >= 0:
        raise InputRefusedError(refuse("negative-score", f"{agatston} is not an Agatston score: it is 0 or more."))
    return INTERCEPT_YEARS + SLOPE_YEARS * math.log(agatston + 1)
