"""p values as papers write them."""

from __future__ import annotations

import math

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
