"""The figures that an evaluation has to reach, and whether it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Floor:
    """A figure of a group of patients and the value it has to reach.

    Attributes
    ----------
    group : str
        Protocol.
    key : str
        Figure of the summary: ``icc:NAME``, ``zero_share`` or a name of it.
    title : str
    limit : float
    at_most : bool
        True: smaller is better.
    """

    group: str
    key: str
    title: str
    limit: float
    at_most: bool = False


FLOORS: tuple[Floor, ...] = (
    Floor("gated", "icc:total", "ICC total", 0.99),
    Floor("spect-ctac", "icc:total", "ICC total", 0.985),
    Floor("pet-ctac", "icc:total", "ICC total", 0.97),
    Floor("chest", "icc:total", "ICC total", 0.98),
    Floor("gated", "icc:LAD", "ICC LAD", 0.96),
    Floor("gated", "icc:LCX", "ICC LCX", 0.96),
    Floor("gated", "icc:RCA", "ICC RCA", 0.96),
    Floor("gated", "icc:LM", "ICC LM", 0.90),
    Floor("gated", "kappa_quadratic", "quadratic kappa", 0.98),
    Floor("spect-ctac", "kappa_quadratic", "quadratic kappa", 0.98),
    Floor("gated", "reclassified", "reclassified", 0.036, at_most=True),
    Floor("spect-ctac", "reclassified", "reclassified", 0.036, at_most=True),
    Floor("pet-ctac", "kappa_linear", "linear kappa", 0.90),
    Floor("gated", "zero_share", "calcium-free patients scored 0", 0.95),
    Floor("pet-ctac", "zero_share", "calcium-free patients scored 0", 0.90),
)
"""Sartoretti 2023 reached ICC 0.986 (total), quadratic kappa 0.977 and 3.6 % reclassified; Pieszko 2022 linear kappa
0.83."""
SHARES = {"reclassified", "zero_share"}
SECONDS = {"gated": 1.0, "chest": 3.0}
"""Seconds for ``predict`` and ``score``, model warm, by protocol; that of chest CT is meant for 300 slices."""
SECONDS_SLICES = {"chest": 300}
MEGABYTES = 40.0
"""Weights of all methods together, in 10^6 bytes."""
ATTENTION = 0.9
"""Share of calcified slices in which the attention is highest on calcium."""

MOST_DIGITS = 9
"""More than these are not told, however close a value comes to its floor."""


@dataclass(frozen=True)
class Reached:
    """A floor, the value that was reached (None: not measured), and whether it is enough."""

    floor: Floor
    value: float | None
    passed: bool

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return protocol, figure, floor, value and verdict as a table shows them.

        A value that misses its floor is told with as many digits as show it.
        """
        floor, sign = self.floor, "at most" if self.floor.at_most else "at least"
        value, more = "not measured", 0
        if self.value is not None:
            while not self.passed and more < MOST_DIGITS and self._reads_like_its_floor(more):
                more += 1
            value = _number(floor, self.value, more)
        verdict = "reached" if self.passed else "**missed**"
        return floor.group, floor.title, f"{sign} {_number(floor, floor.limit)}", value, verdict

    def _reads_like_its_floor(self, more: int) -> bool:
        return _number(self.floor, self.value, more) == _number(self.floor, self.floor.limit, more)


def check_floors(summary: Mapping[str, Mapping[str, Any]], floors: tuple[Floor, ...] = FLOORS) -> list[Reached]:
    """Return each floor with the value that an evaluation reached.

    Parameters
    ----------
    summary : mapping
        ``training.evaluation.summarize``.
    floors : tuple of Floor
    """
    out = []
    for floor in floors:
        value = _value(summary.get(floor.group), floor.key)
        passed = value is not None and (value <= floor.limit if floor.at_most else value >= floor.limit)
        out.append(Reached(floor, value, passed))
    return out


def _value(group: Mapping[str, Any] | None, key: str) -> float | None:
    if group is None:
        return None
    if key.startswith("icc:"):
        return group["icc"][key[4:]]["value"]
    if key == "zero_share":
        known = group["zero_patients"] and group["zero_scored_zero"] is not None
        return group["zero_scored_zero"] / group["zero_patients"] if known else None
    return group[key]


def _number(floor: Floor, value: float, more: int = 0) -> str:
    """Return a value as a table shows it, with some digits more."""
    return f"{100 * value:.{1 + more}f} %" if floor.key in SHARES else f"{value:.{3 + more}f}"
