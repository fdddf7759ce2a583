"""The tables of a report on outcomes, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from CACScoringLib.cohort.cox import CoxModel, HazardRatio
from CACScoringLib.cohort.figures_outcomes import ratio_words, time_ticks
from CACScoringLib.cohort.number_words import p_words

if TYPE_CHECKING:
    from CACScoringLib.cohort.agreement import Estimate
    from CACScoringLib.cohort.outcomes import Outcomes, ScoreOutcomes
    from CACScoringLib.cohort.progression_table import CohortProgression
    from CACScoringLib.cohort.proportional import ProportionalHazards


@dataclass(frozen=True)
class WordTable:
    """A table of a report: a title, the names of its columns, its rows and a note below it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def percent(estimate: Estimate, digits: int = 1) -> str:
    """Return a share with its interval in percent; a dash where it is not defined.

    Examples
    --------
    >>> from CACScoringLib.cohort.agreement import Estimate
    >>> percent(Estimate(0.85, 0.8, 0.895, 0.95, 100))
    '85.0% (80.0–89.5%)'
    """
    if not math.isfinite(estimate.value):
        return "–"
    value, low, high = (f"{100 * part:.{digits}f}" for part in (estimate.value, estimate.low, estimate.high))
    return f"{value}% ({low}{'–' if estimate.low >= 0 else ' to '}{high}%)"


def number(estimate: Estimate, digits: int = 3) -> str:
    """Return a number with its interval; a dash where it is not defined."""
    if not math.isfinite(estimate.value):
        return "–"
    value, low, high = (f"{part:.{digits}f}" for part in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def tables(result: Outcomes) -> list[WordTable]:
    """Return the tables of a report."""
    made = []
    for part in result.scores:
        made.append(_survival_table(result, part))
        if part.log_rank.pairs:
            made.append(_pairs_table(part))
        for model, kind in ((part.univariable, "univariable"), (part.multivariable, "multivariable")):
            if model:
                made.append(_model_table(model, f"Cox model, {kind}: {part.score.name}"))
    if result.covariates:
        rows = tuple((name, *more) for name, _counts, *more in map(_ratio_row, result.covariates))
        header = (_RATIO_HEADER[0], *_RATIO_HEADER[2:])
        made.append(WordTable("Covariates, each on its own", header, rows, _PER_UNIT))
    made.append(_discrimination_table(result))
    if result.reclassification:
        made += _reclassification_tables(result)
    return made


def at_risk_table(result: Outcomes, part: ScoreOutcomes) -> WordTable:
    """Return the numbers at risk below a survival curve."""
    end = max(float(curve.time[-1]) for curve in part.curves)
    times = time_ticks(end)
    rows = tuple((curve.name, *(f"{count:,}" for count in curve.at_risk(times))) for curve in part.curves)
    return WordTable(f"Numbers at risk: {part.score.name}", (result.patients.unit, *(f"{t:g}" for t in times)), rows)


def progression_table(progress: CohortProgression) -> WordTable:
    """Return the table of a cohort scanned twice."""
    low, middle, high = progress.years
    appeared = f"{percent(progress.new_calcium)} of {progress.new_calcium.n:,}"
    rows = [
        ("Patients with two scans", f"{len(progress.patients):,}"),
        ("Years between the scans, median (quartiles)", f"{middle:.2f} ({low:.2f}, {high:.2f})"),
        ("Progressed: square root of volume grew by 2.5 mm^1.5 or more", percent(progress.progressed)),
        ("Calcium in the second scan after a score of 0", appeared),
    ]
    for name, values in (
        ("Change of the Agatston score a year", progress.per_year),
        ("Change in percent a year, first score above 0", progress.percent_per_year),
    ):
        if math.isfinite(values[1]):
            rows.append((f"{name}, median (quartiles)", f"{values[1]:.1f} ({values[0]:.1f}, {values[2]:.1f})"))
    return WordTable("Progression between the two scans", ("", ""), tuple(rows))


_RATIO_HEADER = ("", "Events / n", "Hazard ratio (95% CI)", "p", "p of Schoenfeld test")
_PER_UNIT = "Hazard ratio of one unit of the covariate."


def _ratio_row(term: HazardRatio) -> tuple[str, ...]:
    counts = "" if term.events is None else f"{term.events:,} / {term.n:,}"
    schoenfeld = "" if term.reference else p_words(term.schoenfeld_p, name=False)
    return (term.name, counts, *ratio_words(term), schoenfeld)


def proportional_words(test: ProportionalHazards) -> str:
    """Return the test of proportional hazards of a whole model in words."""
    if not math.isfinite(test.p):
        return "proportional hazards not tested"
    terms = "degree" if test.df == 1 else "degrees"
    chi_square = f"chi-square {test.statistic:.2f} with {test.df} {terms} of freedom"
    return f"proportional hazards of the whole model: {chi_square}, {p_words(test.p)}"


def _model_table(model: CoxModel, title: str) -> WordTable:
    note = f"{model.events:,} events in {model.n:,} patients; C of the model {model.concordance:.3f}; "
    note += f"likelihood-ratio test {p_words(model.likelihood_ratio_p)}; {proportional_words(model.proportional)}."
    if any(term.n is None for term in model.terms):
        note += " Covariates: hazard ratio of one unit."
    return WordTable(title, _RATIO_HEADER, tuple(map(_ratio_row, model.terms)), note)


def _survival_table(result: Outcomes, part: ScoreOutcomes) -> WordTable:
    time = _shown_time(result)
    rows = []
    for curve in part.curves:
        counts = (f"{curve.n:,}", f"{curve.events:,}")
        rows.append((curve.name, *counts, percent(curve.at(time)), f"{curve.at_risk([time])[0]:,}"))
    free = f"Event-free at {time:g} {result.patients.unit} (95% CI)"
    header = ("Category", "Patients", "Events", free, "At risk then")
    note = f"Log-rank test of all categories: {p_words(part.log_rank.p)}." if part.log_rank.pairs else ""
    return WordTable(f"Survival by category: {part.score.name}", header, tuple(rows), note)


def _shown_time(result: Outcomes) -> float:
    """Return the time at which survival is given: the whole number below the median follow-up, if there is one."""
    middle = result.follow_up[0]
    return float(math.floor(middle)) if middle >= 1 else float(f"{middle:.2g}")


def _pairs_table(part: ScoreOutcomes) -> WordTable:
    rows = [(f"{a} against {b}", p_words(p, name=False), p_words(q, name=False)) for a, b, p, q in part.log_rank.pairs]
    note = f"Adjusted by Holm for {len(rows)} comparisons."
    return WordTable(f"Pairwise log-rank tests: {part.score.name}", ("", "p", "p adjusted"), tuple(rows), note)


def _discrimination_table(result: Outcomes) -> WordTable:
    names = [part.score.name for part in result.scores]
    rows = [
        (name, number(c), percent(part.zero), f"{part.zero.n:,}")
        for name, c, part in zip(names, result.concordance.scores, result.scores, strict=True)
    ]
    note = ""
    if result.zero and result.concordance.difference:
        rows.append(("Difference", number(result.concordance.difference), percent(result.zero.difference), ""))
        note = f"Difference of C: {p_words(result.concordance.p)}. Predictive values of zero: generalised score "
        note += f"statistic {_statistic(result.zero.score)}; weighted form {_statistic(result.zero.weighted)}."
    header = ("Score", "C-index (95% CI)", "Negative predictive value of zero (95% CI)", "Patients with zero")
    return WordTable("Discrimination and predictive value of zero", header, tuple(rows), note)


def _statistic(test: object) -> str:
    return f"{test.statistic:.2f}, {p_words(test.p)}" if math.isfinite(test.p) else "not defined"


def _reclassification_tables(result: Outcomes) -> list[WordTable]:
    moved = result.reclassification
    first, second = (part.score.name for part in result.scores)
    rows = tuple(
        (name, f"{part.n:,}", number(part))
        for name, part in (("Events", moved.event), ("Non-events", moved.non_event), ("Overall", moved.overall))
    )
    note = f"Overall against 0, asymptotic: {p_words(moved.p)}. Positive: {second} moves patients the right way."
    title = f"Net reclassification improvement of {second} over {first}"
    made = [WordTable(title, ("", "n", "NRI (95% CI)"), rows, note)]
    groups = result.patients.scheme.groups
    for name, counts in (("with an event", moved.event_table), ("without an event", moved.non_event_table)):
        body = tuple(
            (f"{first}: {group}", *(f"{count:,}" for count in line)) for group, line in zip(groups, counts, strict=True)
        )
        made.append(WordTable(f"Patients {name}", ("", *(f"{second}: {group}" for group in groups)), body))
    return made
