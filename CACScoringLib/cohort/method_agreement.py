"""Agreement between every two of several methods that scored the same cases, and a reference where there is one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from CACScoringLib.cohort.agreement import Estimate, LimitsOfAgreement, bland_altman, confusion_matrix, icc_2_1
from CACScoringLib.cohort.agreement_categories import CategoryAgreement, category_agreement
from CACScoringLib.cohort.score_pairs import FEW, FEWEST, TOTAL, pair_scores
from CACScoringLib.findings import Finding, InputRefusedError, warning
from CACScoringLib.scoring.risk import SCHEMES

FROM_TOTAL = tuple(name for name in SCHEMES if name not in ("cac-drs", "scct-2017"))
"""Schemes whose group follows from a total alone."""
MEASURES = ("agatston", "volume_mm3")
REFERENCE = "reference"
NO_VOLUMES = ("no-score-columns", "too-few-cases")
"""Codes with which a reference without volumes, or with few of them, is passed over for volumes."""


@dataclass(frozen=True)
class CaseSays:
    """What a method, or the reference, says about one case.

    Attributes
    ----------
    agatston, volume_mm3 : float or None
    risk : dict of str to str
        Group in each scheme that it speaks of.
    """

    agatston: float | None = None
    volume_mm3: float | None = None
    risk: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class MeasureAgreement:
    """Agreement of two series of totals.

    Attributes
    ----------
    measure : str
        ``agatston`` or ``volume_mm3``.
    n : int
        Cases that both score.
    icc : Estimate
        ICC(2,1).
    limits : LimitsOfAgreement
        Of second minus first.
    """

    measure: str
    n: int
    icc: Estimate
    limits: LimitsOfAgreement


@dataclass(frozen=True, eq=False)
class PairAgreement:
    """Agreement of two methods.

    Attributes
    ----------
    first, second : str
        The reference, where there is one, comes first.
    measures : tuple of MeasureAgreement
        Of the totals that both give for enough cases.
    categories : tuple of CategoryAgreement
        In each scheme that both speak of for enough cases; ``kappa["linear"]`` among them.
    """

    first: str
    second: str
    measures: tuple[MeasureAgreement, ...]
    categories: tuple[CategoryAgreement, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the agreement as plain values; what is not defined is None."""
        return {
            "first": self.first,
            "second": self.second,
            "measures": [
                {
                    "measure": entry.measure,
                    "n": entry.n,
                    "icc": _plain(entry.icc),
                    "bias": _plain(entry.limits.bias),
                    "limits": [_known(entry.limits.low), _known(entry.limits.high)],
                }
                for entry in self.measures
            ],
            "categories": [
                {
                    "scheme": entry.scheme,
                    "n": int(entry.matrix.sum()),
                    "groups": list(entry.categories),
                    "rows_first_columns_second": entry.matrix.tolist(),
                    "kappa_linear": _plain(entry.kappa["linear"]),
                    "equal": _plain(entry.accuracy),
                }
                for entry in self.categories
            ],
        }


def method_agreement(
    says: Mapping[str, Mapping[str, CaseSays]], confidence: float = 0.95
) -> tuple[tuple[PairAgreement, ...], tuple[Finding, ...]]:
    """Return the agreement of every two methods, and what to know about it.

    Parameters
    ----------
    says : mapping of str to mapping of str to CaseSays
        By method, by case; cases that a method gave no result for are absent.
    confidence : float
        Of the intervals.

    Returns
    -------
    pairs : tuple of PairAgreement
        In the order of the methods; those without ``FEWEST`` cases in common have neither measures nor categories.
    findings : tuple of Finding
    """
    pairs, short, small = [], [], False
    for first, second in combinations(says, 2):
        common = [case for case in says[first] if case in says[second]]
        both = [(says[first][case], says[second][case]) for case in common]
        measures = tuple(found for name in MEASURES if (found := _measure(name, both, confidence)))
        categories = tuple(found for name in SCHEMES if (found := _category(name, both, confidence)))
        pairs.append(PairAgreement(first, second, measures, categories))
        if not measures and not categories:
            short.append(f"{first} and {second} ({len(both)})")
        small = small or (bool(both) and len(both) < FEW)
    findings = []
    if short:
        text = f"Agreement needs at least {FEWEST} cases that both score; there are fewer for {', '.join(short)}."
        findings.append(warning("too-few-cases", text))
    elif small:
        text = f"Fewer than {FEW} cases: intervals are wide, and those for large samples are not to be relied on."
        findings.append(warning("few-cases", text))
    return tuple(pairs), tuple(findings)


def reference_says(table: Any, cases: Sequence[str], case: str = "") -> tuple[dict[str, CaseSays], tuple[Finding, ...]]:
    """Return what a table of reference scores says of cases.

    Parameters
    ----------
    table : DataFrame
        From ``tables.read_table``, with a column for the case and one for the total Agatston score; columns by their
        usual names (``score_pairs``), a volume where there is one.
    cases : sequence of str
    case : str
        Column that names the case; found by its usual names when empty.

    Raises
    ------
    InputRefusedError
        If the table has no such columns, or none of the cases.
    """
    import pandas as pd

    says: dict[str, dict[str, float]] = {}
    findings: tuple[Finding, ...] = ()
    for measure in MEASURES:
        ours = pd.DataFrame({case or "case": list(cases), measure: [0.0] * len(cases)})
        ours.attrs["name"] = "the compared cases"
        try:
            pairs = pair_scores(table, ours, case=(case,) if case else (), measure=measure)
        except InputRefusedError as error:
            if measure == MEASURES[0] or error.finding.code not in NO_VOLUMES:
                raise
            continue
        findings = findings or tuple(f for f in pairs.findings if f.code in ("unmatched-case", "missing-score"))
        for name, value in zip(pairs.cases, pairs.reference[TOTAL], strict=True):
            if math.isfinite(value):
                says.setdefault(name, {})[measure] = float(value)
    return {
        name: CaseSays(
            given.get("agatston"),
            given.get("volume_mm3"),
            {s: SCHEMES[s].group(given["agatston"]) for s in FROM_TOTAL} if "agatston" in given else {},
        )
        for name, given in says.items()
    }, findings


def _measure(name: str, both: Sequence[tuple[CaseSays, CaseSays]], confidence: float) -> MeasureAgreement | None:
    values = [(getattr(a, name), getattr(b, name)) for a, b in both]
    values = [(float(a), float(b)) for a, b in values if a is not None and b is not None]
    if len(values) < FEWEST:
        return None
    a, b = zip(*values, strict=True)
    return MeasureAgreement(name, len(values), icc_2_1(a, b, confidence), bland_altman(a, b, confidence))


def _category(name: str, both: Sequence[tuple[CaseSays, CaseSays]], confidence: float) -> CategoryAgreement | None:
    groups = SCHEMES[name].groups
    index = [
        (groups.index(a.risk[name]), groups.index(b.risk[name]))
        for a, b in both
        if a.risk.get(name) in groups and b.risk.get(name) in groups  # those of CAC-DRS with vessels are not
    ]
    if len(index) < FEWEST:
        return None
    a, b = zip(*index, strict=True)
    return category_agreement(confusion_matrix(a, b, len(groups)), groups, name, confidence)


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {key: _known(getattr(estimate, key)) for key in ("value", "low", "high")}


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
