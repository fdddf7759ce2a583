"""Which of several CT series to score, and the words that explain it.

Points are given against a series for what makes a calcium score less trustworthy (SCCT 2017:
non-contrast, gated, 2.5-3 mm, medium-smooth kernel); the series with the fewest is taken. The
order decides, the size of the points does not appear in any result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from CACScoringLib.ct.acquisition import gated_of, kernel_is_sharp, kernel_of, series_words
from CACScoringLib.ct.series import Series, rejection
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse

_CONTRAST_WORDS = re.compile(
    r"\b(?:cta|ccta|ctca|angio\w*|contrast|km|post|arter\w*|art|ven\w*|portal\w*|enhanced|delay|iodine|iv)\b",
    re.IGNORECASE,
)
_NO_CONTRAST_WORDS = re.compile(
    r"\b(?:non?[ -]?contrast|without|w/o|wo|native?|nativ|unenhanced|nc|plain|pre)\b", re.IGNORECASE
)
_DERIVED_WORDS = re.compile(
    r"\b(?:mono\w*|kev|vmi|vnc|z ?eff|iodine|map|fused|fusion|subtract\w*|bone removal|mip|minip)\b", re.I
)
_ELSEWHERE = re.compile(r"\b(?:head|brain|skull|neck|pelvis|extremity|knee|hip|foot|hand|leg)\b", re.IGNORECASE)

HEART_EXTENT_MM = 80.0
HEART_FIELD_MM = 120.0
"""Shorter or narrower than this and a heart does not fit (SYNTHETIC.md section 1: 88-111 mm long, 97-130 mm wide)."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A series that could be scored, with points and words against and for it."""

    series: Series
    points: float
    against: tuple[str, ...]
    favour: tuple[str, ...]


def rank_series(series: list[Series]) -> tuple[list[Candidate], list[tuple[Series, str, str]]]:
    """Return (candidates, best first; rejected as (series, finding code, reason))."""
    rejected = []
    candidates = []
    for item in series:
        reason = rejection(item)
        if reason is None:
            candidates.append(_judge(item))
        else:
            rejected.append((item, *reason))
    candidates.sort(key=lambda item: (item.points, -round(item.series.extent_mm), item.series.number or 0))
    return candidates, rejected


def choose_by_uid(series: list[Series], uid: str) -> list[Series]:
    """Return the stacks of one series.

    Raises
    ------
    InputRefusedError
        ``series-not-found``, with the series that are there.
    """
    chosen = [item for item in series if item.first.series_uid == uid]
    if not chosen:
        known = "; ".join(f"{item.first.series_uid} ({item.name})" for item in series[:8] if item.first.series_uid)
        raise InputRefusedError(refuse("series-not-found", f"No series {uid} is there; found: {known or 'none'}."))
    return chosen


def refuse_all(rejected: list[tuple[Series, str, str]]) -> InputRefusedError:
    """Return the refusal for an input in which no series can be scored: the nearest miss speaks."""
    order = ("too-few-slices", "non-axial", "no-geometry", "not-axial-ct", "not-ct")
    nearest = min(rejected, key=lambda item: (order.index(item[1]), -len(item[0].slices)))
    others = len(rejected) - 1
    more = f" ({others} more cannot be scored either)" if others else ""
    return InputRefusedError(
        refuse(
            nearest[1], f"No axial CT series was found: {nearest[0].name} {nearest[2]}{more}; give a CT of the chest."
        )
    )


def choice_finding(
    chosen: Candidate, others: list[Candidate], rejected: list[tuple[Series, str, str]], enhanced: list[Candidate]
) -> Finding | None:
    """Return ``series-chosen``, or None where there was nothing to choose."""
    if not others and not rejected and not enhanced:
        return None
    text = f"{_capital(chosen.series.name)} ({_facts(chosen.series)}) is scored"
    if chosen.favour:
        text += f": {', '.join(chosen.favour)}"
    passed = [f"{item.series.name} (blood measured as contrast-enhanced)" for item in enhanced]
    passed += [f"{item.series.name} ({', '.join(item.against) or _facts(item.series)})" for item in others]
    passed += [f"{item.name} ({reason})" for item, _, reason in rejected]
    shown, hidden = passed[:12], len(passed) - 12
    text += "; not taken: " + "; ".join(shown) + (f"; and {hidden} more" if hidden > 0 else "") + "."
    return info("series-chosen", text)


def contrast_hint(series: Series) -> bool:
    """Return whether the header speaks of contrast agent given for this series."""
    header = series.first
    words = series_words(header)
    if _NO_CONTRAST_WORDS.search(words):
        return False
    agent = str(header.get("ContrastBolusAgent") or "").strip().upper()
    if agent and agent not in ("NONE", "NO", "N", "NA", "N/A", "NO CONTRAST", "ORAL"):
        return True
    return bool(_CONTRAST_WORDS.search(words)) or bool(header.get("ContrastBolusAgentSequence"))


def _judge(series: Series) -> Candidate:
    header = series.middle
    against: list[tuple[float, str]] = []
    favour: list[str] = []
    increment = series.increment_mm
    if contrast_hint(series):
        against.append((4.0, "contrast agent according to the header"))
    if gated_of(header):
        favour.append("gated or made for calcium scoring")
    if increment < 1.4:
        against.append((2.5, f"thin slices of {increment:.3g} mm"))
    elif increment > 5.05:
        against.append((4.0, f"thick slices of {increment:.3g} mm"))
    elif not 2.4 <= increment <= 3.4:
        against.append((1.0, f"slices of {increment:.3g} mm"))
    else:
        favour.append(f"slices of {increment:.3g} mm")
    sharp = kernel_is_sharp(kernel_of(header))
    if sharp:
        against.append((2.0, f"sharp kernel {kernel_of(header)}"))
    elif sharp is None:
        against.append((0.5, "unknown kernel"))
    else:
        favour.append(f"soft kernel {kernel_of(header)}")
    if series.extent_mm < HEART_EXTENT_MM:
        against.append((4.0, f"only {series.extent_mm:.0f} mm long"))
    if min(header.rows * header.spacing[0], header.columns * header.spacing[1]) < HEART_FIELD_MM:
        against.append((4.0, "small field of view"))
    words = series_words(header)
    if _DERIVED_WORDS.search(words):
        against.append((3.0, "computed from other images"))
    if _ELSEWHERE.search(f"{words} {header.get('BodyPartExamined') or ''}"):
        against.append((5.0, "another part of the body"))
    points = sum(item[0] for item in against) - (3.0 if gated_of(header) else 0.0)
    return Candidate(series, points, tuple(item[1] for item in against), tuple(favour))


def _facts(series: Series) -> str:
    return f"{len(series.slices)} slices, {series.increment_mm:.3g} mm apart"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
