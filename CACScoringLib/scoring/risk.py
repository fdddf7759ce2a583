"""Risk categories: named schemes over the continuous total Agatston score.

Zero means that there is no lesion. A score between 0 and 1 belongs to the first non-zero group, except in
``screening-5``, whose first group is everything below 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from CACScoringLib.findings import InputRefusedError, refuse

SCORE_DECIMALS = 6
"""Scores are rounded to this before they are compared: a sum of 400 pixels of 0.25 mm2 is 100, not 100.00000000001."""

HIGH_PERCENTILE = 75
"""SCCT 2017: at or above this percentile the highest group applies, whatever the score."""


@dataclass(frozen=True)
class RiskScheme:
    """Groups of the total score.

    Attributes
    ----------
    name, title, source : str
    bounds : tuple of float
        Where one group ends and the next begins.
    groups : tuple of str
        One more than ``bounds``.
    upper_inclusive : bool
        True: a score equal to a bound belongs to the lower group (``>0-100``); False: to the upper one.
    """

    name: str
    title: str
    bounds: tuple[float, ...]
    groups: tuple[str, ...]
    source: str
    upper_inclusive: bool = True

    def index(self, agatston: float) -> int:
        """Return the group of a score, counted from 0."""
        score = round(float(agatston), SCORE_DECIMALS)
        if not score >= 0:
            raise InputRefusedError(refuse("negative-score", f"{agatston} is not an Agatston score: it is 0 or more."))
        if self.upper_inclusive:
            return sum(score > bound for bound in self.bounds)
        return sum(score >= bound for bound in self.bounds)

    def group(self, agatston: float) -> str:
        """Return the name of the group of a score.

        Examples
        --------
        >>> SCHEMES["spect-pet-4"].group(100.0), SCHEMES["screening-5"].group(100.0)
        ('>0-100', '100-400')
        """
        return self.groups[self.index(agatston)]


@dataclass(frozen=True)
class _ZeroThenLower(RiskScheme):
    """Zero alone, then groups that begin at their lower bound: 0 / 1-99 / 100-299 / >=300."""

    def index(self, agatston: float) -> int:
        return 0 if round(float(agatston), SCORE_DECIMALS) == 0 else super().index(agatston)


SCHEMES: dict[str, RiskScheme] = {
    scheme.name: scheme
    for scheme in (
        RiskScheme(
            "spect-pet-4",
            "SPECT and PET, four groups",
            (0, 100, 400),
            ("0", ">0-100", ">100-400", ">400"),
            "Sartoretti et al. 2023; Pieszko et al. 2022",
        ),
        RiskScheme(
            "clinical-5",
            "Clinical, five groups",
            (0, 10, 100, 400),
            ("0", ">0-10", ">10-100", ">100-400", ">400"),
            "Rumberger et al., Mayo Clin Proc 1999;74:243-52 (secondary)",
        ),
        RiskScheme(
            "screening-5",
            "Lung screening, five groups",
            (1, 10, 100, 400),
            ("<1", "1-10", "10-100", "100-400", ">=400"),
            "de Vos et al. 2017",
            upper_inclusive=False,
        ),
        RiskScheme(
            "nguyen-6",
            "Six groups",
            (0, 10, 100, 400, 1000),
            ("0", ">0-10", ">10-100", ">100-400", ">400-1000", ">1000"),
            "Nguyen et al. 2025",
        ),
        _ZeroThenLower(
            "cac-drs",
            "CAC-DRS",
            (0, 100, 300),
            ("A0", "A1", "A2", "A3"),
            "Hecht et al., J Cardiovasc Comput Tomogr 2018;12:185-91 (secondary)",
            upper_inclusive=False,
        ),
        _ZeroThenLower(
            "scct-2017",
            "SCCT 2017",
            (0, 100, 300),
            ("0", "1-99", "100-299", ">=300 or >=75th percentile"),
            "Hecht et al., J Cardiovasc Comput Tomogr 2017;11:157-68 (secondary)",
            upper_inclusive=False,
        ),
        RiskScheme(
            "nlst-visual-4",
            "NLST visual, four groups",
            (0, 100, 1000),
            ("0", "1-100", "101-1000", ">1000"),
            "Chiles et al., Radiology 2015;276:82-90 (secondary)",
        ),
    )
}
"""Every scheme by name."""

MACE_HAZARD_RATIOS: dict[str, tuple[float, float, float]] = {
    ">0-100": (1.30, 1.00, 1.67),
    ">100-400": (1.72, 1.34, 2.20),
    ">400": (2.28, 1.81, 2.86),
}
"""Adjusted hazard ratio of major adverse cardiac events against a score of 0, with its 95 % interval, by group of
``spect-pet-4`` scored by deep learning in PET/CT without prior coronary disease: Pieszko et al. 2022, Table 3
(verified)."""


def get_scheme(name: str) -> RiskScheme:
    """Return a scheme by name.

    Raises
    ------
    InputRefusedError
        If there is none of that name.
    """
    if name not in SCHEMES:
        raise InputRefusedError(
            refuse("unknown-risk-scheme", f"There is no risk scheme {name!r}; choose one of {', '.join(SCHEMES)}.")
        )
    return SCHEMES[name]


def risk_index(scheme: str, agatston: float) -> int:
    """Return the group of a score in a scheme, counted from 0."""
    return get_scheme(scheme).index(agatston)


def risk_groups(agatston: float, calcified_vessels: int, percentile: float | None = None) -> dict[str, str]:
    """Return the group in every scheme.

    Parameters
    ----------
    agatston : float
        Total score.
    calcified_vessels : int
        0 to 4, for the N of CAC-DRS.
    percentile : float, optional
        Of the patient's age and sex (and group), for SCCT 2017.
    """
    groups = {name: scheme.group(agatston) for name, scheme in SCHEMES.items()}
    groups["cac-drs"] += f"/N{calcified_vessels}"
    if percentile is not None and percentile >= HIGH_PERCENTILE and agatston > 0:
        groups["scct-2017"] = SCHEMES["scct-2017"].groups[-1]
    return groups


def implied_groups(scheme: str, group: str) -> dict[str, str]:
    """Return the groups of coarser schemes that a group of a scheme lies in as a whole, the scheme's own included.

    Examples
    --------
    >>> implied_groups("nguyen-6", ">400-1000")
    {'spect-pet-4': '>400', 'clinical-5': '>400', 'nguyen-6': '>400-1000', 'nlst-visual-4': '101-1000'}
    """
    own = get_scheme(scheme)
    index = own.groups.index(group)
    out = {}
    for other in SCHEMES.values():
        # Schemes of the same rule, so that a bound belongs to the same side in both.
        alike = type(other) is type(own) and other.upper_inclusive == own.upper_inclusive
        if alike and set(other.bounds) <= set(own.bounds):
            out[other.name] = other.groups[sum(bound in other.bounds for bound in own.bounds[:index])]
    return out
