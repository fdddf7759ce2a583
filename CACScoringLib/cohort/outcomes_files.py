"""A cohort's outcomes as files: figures, ``outcomes.json``, ``outcomes.html``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib.cohort.figures_outcomes import OutcomePanel, forest_figure, outcome_figure, save_outcome_figure
from CACScoringLib.cohort.outcomes_json import outcomes_json
from CACScoringLib.cohort.outcomes_methods import methods, provenance
from CACScoringLib.cohort.outcomes_report import outcome_sections
from CACScoringLib.cohort.outcomes_words import progression_table, tables
from CACScoringLib.cohort.report_html import write_page
from CACScoringLib.report.staging import write_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from CACScoringLib.cohort.outcomes import Outcomes
    from CACScoringLib.cohort.progression_table import CohortProgression

REPORT, NUMBERS = "outcomes.html", "outcomes.json"


def write_outcomes(
    result: Outcomes,
    folder: Path,
    *,
    table: pd.DataFrame | None = None,
    event_name: str = "event",
    progress: CohortProgression | None = None,
) -> list[Path]:
    """Write report, numbers and figures of a cohort, and return their paths.

    Parameters
    ----------
    result : Outcomes
    folder : Path
    table : DataFrame, optional
        Where the scores come from, for the methods paragraph.
    event_name : str
    progress : CohortProgression, optional
    """
    words = methods(result, event_name, "" if table is None else provenance(table), progress is not None)
    folder.mkdir(parents=True, exist_ok=True)
    written, pictures = [], []
    for name, caption, figure in figures(result, event_name):
        files = save_outcome_figure(figure, folder / name)
        written += files
        pictures.append((files[0], caption))
    shown = tables(result) + ([progression_table(progress)] if progress else [])
    findings = (*result.findings, *(progress.findings if progress else ()))
    sections = outcome_sections(result, pictures, shown, findings, words)
    write_page(folder / REPORT, f"Outcomes by calcium score: {event_name}", lead(result), sections)
    write_text(folder / NUMBERS, outcomes_json(result, words, progress))
    return [folder / REPORT, folder / NUMBERS, *written]


def figures(result: Outcomes, event_name: str = "event") -> list[tuple[str, str, Figure]]:
    """Return the figures of a cohort: name of the file, caption, and the figure."""
    groups = len(result.patients.scheme.groups)
    panels = [
        OutcomePanel(part.score.name, part.curves, part.log_rank, part.univariable, groups) for part in result.scores
    ]
    made = [
        (
            "outcomes",
            f"{event_name}-free survival by calcium score (Kaplan-Meier with 95 % bands and numbers at risk), and "
            "hazard ratios of univariable Cox models.",
            outcome_figure(panels, result.patients.unit, event_name),
        )
    ]
    for place, part in enumerate(result.scores, start=1):
        if part.multivariable:
            title = f"Multivariable model of {part.score.name}"
            name = "forest" if len(result.scores) == 1 else f"forest-{place}"
            made.append(
                (name, f"{title}: hazard ratios with 95 % intervals.", forest_figure(part.multivariable.terms, title))
            )
    return made


def lead(result: Outcomes) -> str:
    """Return the cohort in one line."""
    patients = result.patients
    middle, low, high = result.follow_up
    events = int(patients.event.sum())
    return (
        f"{patients.n:,} patients, {events:,} with an event ({events / patients.n:.0%}), observed for a median of "
        f"{middle:.3g} {patients.unit} (quartiles {low:.3g}, {high:.3g})."
    )
