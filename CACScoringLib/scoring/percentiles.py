"""Where a score stands among people of the same age and sex: the Hoff and the MESA tables.

Both tables are secondary: read in transcriptions, not in the papers themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CACScoringLib.findings import InputRefusedError, refuse

HOFF_PERCENTILES = (25, 50, 75, 90)
HOFF_AGES = (0, 40, 45, 50, 55, 60, 65, 70, 75)
HOFF: dict[str, tuple[tuple[float, ...], ...]] = {
    "M": (
        (0, 1, 3, 14),
        (0, 1, 9, 59),
        (0, 3, 36, 154),
        (1, 15, 103, 332),
        (4, 48, 215, 554),
        (13, 113, 410, 994),
        (32, 180, 566, 1299),
        (64, 310, 892, 1774),
        (166, 473, 1071, 1982),
    ),
    "F": (
        (0, 0, 1, 3),
        (0, 0, 1, 4),
        (0, 0, 2, 22),
        (0, 0, 5, 55),
        (0, 1, 23, 121),
        (0, 3, 57, 193),
        (1, 24, 145, 410),
        (3, 52, 210, 631),
        (9, 75, 241, 709),
    ),
}
"""Score at the percentiles by sex, for ages from ``HOFF_AGES`` on (<40, 40-44, ..., >74): Hoff et al., Am J Cardiol
2001;87:1335-9. Status: secondary."""

MESA_PERCENTILES = (25, 50, 75, 90, 95)
MESA_AGES = (45, 55, 65, 75)
MESA_LAST_AGE = 84
MESA: dict[tuple[str, str], tuple[tuple[float, ...], ...]] = {
    ("white", "M"): (
        (0, 0, 22, 110, 207), (0, 28, 155, 452, 743), (21, 145, 540, 1345, 2271), (103, 385, 1200, 2933, 4619),
    ),
    ("white", "F"): ((0, 0, 0, 8, 31), (0, 0, 16, 102, 209), (0, 13, 119, 391, 674), (20, 106, 370, 921, 1535)),
    ("chinese", "M"): ((0, 0, 14, 89, 184), (0, 5, 67, 242, 429), (0, 34, 174, 487, 803), (11, 81, 305, 769, 1299)),
    ("chinese", "F"): ((0, 0, 0, 12, 44), (0, 0, 18, 105, 213), (0, 5, 70, 246, 436), (0, 32, 146, 398, 656)),
    ("black", "M"): ((0, 0, 2, 45, 105), (0, 0, 40, 173, 318), (0, 32, 191, 575, 945), (23, 141, 516, 1281, 2176)),
    ("black", "F"): ((0, 0, 0, 9, 38), (0, 0, 5, 74, 173), (0, 0, 77, 310, 561), (0, 47, 214, 582, 953)),
    ("hispanic", "M"): ((0, 0, 9, 88, 195), (0, 3, 75, 291, 512), (1, 56, 247, 666, 1091), (36, 153, 494, 1221, 1943)),
    ("hispanic", "F"): ((0, 0, 0, 2, 18), (0, 0, 2, 50, 118), (0, 1, 51, 203, 361), (0, 45, 205, 557, 917)),
}  # fmt: skip
"""Score at the percentiles by group and sex, for ages 45-54, 55-64, 65-74 and 75-84, treated diabetics excluded:
McClelland et al., Circulation 2006;113:30-7. Status: secondary."""

ETHNICITIES = ("white", "chinese", "black", "hispanic")


@dataclass(frozen=True)
class Demographics:
    """Who the patient is, as far as the tables ask.

    Attributes
    ----------
    age_years : float
    sex : str
        ``M`` or ``F`` (``male`` and ``female`` are understood).
    ethnicity : str or None
        ``white``, ``chinese``, ``black`` or ``hispanic``: the groups of MESA.
    """

    age_years: float
    sex: str
    ethnicity: str | None = None

    def __post_init__(self) -> None:
        sex = str(self.sex).strip().upper()[:1]
        if sex not in ("M", "F"):
            raise InputRefusedError(refuse("unknown-sex", f"Sex is M or F in the published tables, not {self.sex!r}."))
        if not 0 < self.age_years < 130:
            raise InputRefusedError(refuse("implausible-age", f"An age of {self.age_years} years is implausible."))
        ethnicity = None if self.ethnicity is None else self.ethnicity.strip().lower()
        if ethnicity is not None and ethnicity not in ETHNICITIES:
            raise InputRefusedError(
                refuse("unknown-ethnicity", f"MESA knows the groups {', '.join(ETHNICITIES)}, not {self.ethnicity!r}.")
            )
        object.__setattr__(self, "sex", sex)
        object.__setattr__(self, "ethnicity", ethnicity)


@dataclass(frozen=True)
class Percentile:
    """Where a score stands.

    Attributes
    ----------
    table : str
        ``hoff-2001`` or ``mesa-2006``.
    reached : int
        Highest tabulated percentile that the score reaches; 0 below the first. A score of 0 reaches none.
    band : str
        Tabulated percentiles on either side, such as ``50-75``, ``<25`` or ``>=90``.
    estimate : float or None
        Linear in the score between tabulated percentiles; None for a score of 0 and beyond the last percentile.
    status : str
        ``secondary``.
    """

    table: str
    reached: int
    band: str
    estimate: float | None
    status: str = "secondary"

    def as_dict(self) -> dict[str, object]:
        """Return the percentile as ``scores.json`` writes it."""
        return {"reached": self.reached, "band": self.band, "estimate": self.estimate, "status": self.status}


def hoff_percentile(agatston: float, demographics: Demographics) -> Percentile:
    """Return the percentile by age and sex (Hoff 2001, secondary)."""
    row = int(np.searchsorted(HOFF_AGES, int(demographics.age_years), side="right")) - 1
    return _place("hoff-2001", agatston, HOFF_PERCENTILES, HOFF[demographics.sex][row])


def mesa_percentile(agatston: float, demographics: Demographics) -> Percentile | None:
    """Return the percentile by age, sex and group (MESA 2006, secondary); None outside 45-84 years or without group."""
    age = int(demographics.age_years)
    if demographics.ethnicity is None or not MESA_AGES[0] <= age <= MESA_LAST_AGE:
        return None
    row = int(np.searchsorted(MESA_AGES, age, side="right")) - 1
    return _place("mesa-2006", agatston, MESA_PERCENTILES, MESA[demographics.ethnicity, demographics.sex][row])


def percentiles(agatston: float, demographics: Demographics) -> dict[str, Percentile]:
    """Return the percentile in every table that covers the patient."""
    found = (hoff_percentile(agatston, demographics), mesa_percentile(agatston, demographics))
    return {percentile.table: percentile for percentile in found if percentile is not None}


def _place(table: str, agatston: float, tabulated: tuple[int, ...], scores: tuple[float, ...]) -> Percentile:
    """Return where a score stands in one row of a table."""
    zeros = sum(score == 0 for score in scores)
    if agatston <= 0:
        band = f"<={tabulated[zeros - 1]}" if zeros else f"<{tabulated[0]}"
        return Percentile(table, 0, band, None)
    at = sum(agatston >= score for score in scores)
    reached = tabulated[at - 1] if at else 0
    if at == len(tabulated):
        return Percentile(table, reached, f">={reached}", None)
    low_score, low = (scores[at - 1], tabulated[at - 1]) if at else (0.0, 0)
    share = (agatston - low_score) / (scores[at] - low_score)
    band = f"{reached}-{tabulated[at]}" if at else f"<{tabulated[0]}"
    return Percentile(table, reached, band, low + share * (tabulated[at] - low))
