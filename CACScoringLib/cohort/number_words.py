"""p values and estimates as papers write them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from CACScoringLib.cohort.agreement import Estimate

DASH = "–"
SMALLEST = 0.001
"""Below this, a p value is written as smaller than it."""
PRECISE_BELOW = 0.1
"""Below this, three decimals are written; two above."""


def p_words(p: float, *, name: bool = True) -> str:
    """Return a p value in words; without its name as a cell of a table has it, a dash where it is not defined.

    Examples
    --------
    >>> p_words(0.0432), p_words(0.00001), p_words(0.25, name=False)
    ('p = 0.043', 'p < 0.001', '0.25')
    """
    if not math.isfinite(p):
        return "p not defined" if name else DASH
    if p < SMALLEST:
        return f"p < {SMALLEST}" if name else f"< {SMALLEST}"
    words = f"{p:.3f}" if p < PRECISE_BELOW else f"{p:.2f}"
    return f"p = {words}" if name else words


def estimate(value: Estimate, decimals: int = 3) -> str:
    """Return a number with its interval, or a dash."""
    return interval(value.value, value.low, value.high, decimals)


def interval(value: float, low: float, high: float, decimals: int = 3) -> str:
    """Return ``value [low, high]``; without the interval where there is none.

    >>> interval(0.977, 0.95, 0.99, 2), interval(1.0, float("nan"), float("nan"), 1)
    ('0.98 [0.95, 0.99]', '1.0')
    """
    if math.isnan(value):
        return DASH
    if math.isnan(low) or math.isnan(high):
        return fixed(value, decimals)
    return f"{value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"


def fixed(value: float, decimals: int = 3) -> str:
    """Return a number with fixed decimals, or a dash."""
    return DASH if math.isnan(value) else f"{value:,.{decimals}f}"
