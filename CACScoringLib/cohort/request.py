"""What is asked of a cohort, and doing it: from files to a folder with the report, the numbers and the views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from CACScoringLib.cohort.views import CohortViews, views_to_json
from CACScoringLib.findings import Finding, InputRefusedError, refuse
from CACScoringLib.report.staging import write_text

AGREEMENT, OUTCOMES = "agreement", "outcomes"
KINDS = (AGREEMENT, OUTCOMES)
PAGES = {AGREEMENT: "agreement.html", OUTCOMES: "outcomes.html"}
"""The report of each kind."""
VIEWS = "views.json"

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class CohortRequest:
    """What is asked; empty where the usual names are to be found, or nothing is wanted.

    Attributes
    ----------
    kind : str
        ``agreement`` or ``outcomes``.
    reference, measured : str
        Agreement: files with the two scores; one file may hold both.
    case, reference_score, measured_score : str
        Columns of the case and of the two total scores.
    measure : str
        Which scores are compared.
    table : str
        Outcomes: the file.
    time, event, score, compare : str
        Its columns.
    covariates : tuple of str
        Of the multivariable model, or of the differences.
    scheme : str
        Of the risk categories.
    unit, event_name : str
        For axes and texts.
    """

    kind: str
    reference: str = ""
    measured: str = ""
    case: str = ""
    reference_score: str = ""
    measured_score: str = ""
    measure: str = "agatston"
    table: str = ""
    time: str = ""
    event: str = ""
    score: str = ""
    compare: str = ""
    covariates: tuple[str, ...] = ()
    scheme: str = "spect-pet-4"
    unit: str = "years"
    event_name: str = "event"


def check_request(request: CohortRequest) -> None:
    """Refuse what lacks a file or a column, before anything is started.

    Raises
    ------
    InputRefusedError
        ``no-table`` or ``no-column``; the sentence says what to choose.
    """
    if request.kind == AGREEMENT:
        _need(request.reference, "no-table", "Choose the table with the reference scores.")
        if bool(request.reference_score) != bool(request.measured_score):
            message = "Choose the score column of both sides, or of neither."
            raise InputRefusedError(refuse("no-column", message))
    else:
        _need(request.table, "no-table", "Choose the table with scores and follow-up.")
        _need(request.time, "no-column", "Choose the column with the follow-up time.")
        _need(request.event, "no-column", "Choose the column that says whether an event happened.")
        _need(request.score, "no-column", "Choose the column with the score.")
    for name in (request.reference, request.measured, request.table):
        if name and not Path(name).is_file():
            raise InputRefusedError(refuse("no-table", f"There is no table '{name}': choose a file."))


def answer(request: CohortRequest, folder: Path, progress: Progress) -> tuple[Finding, ...]:
    """Take the statistics, write report, numbers, figures and views into a folder, and return what was noticed.

    Raises
    ------
    InputRefusedError
    """
    check_request(request)
    views, findings = (_agreement if request.kind == AGREEMENT else _outcomes)(request, folder, progress)
    write_text(folder / VIEWS, views_to_json(views))
    return findings


def _agreement(request: CohortRequest, folder: Path, progress: Progress) -> tuple[CohortViews, tuple[Finding, ...]]:
    from CACScoringLib.cohort.agreement_analysis import analyse
    from CACScoringLib.cohort.agreement_report import write_agreement
    from CACScoringLib.cohort.agreement_views import agreement_views
    from CACScoringLib.cohort.score_pairs import TOTAL, pair_scores
    from CACScoringLib.cohort.tables import read_second_table, read_table

    progress(0.05, "Reading the tables")
    reference = read_table(request.reference)
    measured = read_second_table(request.measured, request.reference)
    columns = {TOTAL: (request.reference_score, request.measured_score)} if request.reference_score else None
    case = tuple(filter(None, (request.case,)))
    pairs = pair_scores(reference, measured, case=case, columns=columns, measure=request.measure)
    progress(0.3, "Agreement")
    result = analyse(pairs, scheme=request.scheme, covariates=request.covariates)
    progress(0.5, "Figures and report")
    write_agreement(result, folder)
    progress(0.95, "Charts and tables")
    return agreement_views(result), result.findings


def _outcomes(request: CohortRequest, folder: Path, progress: Progress) -> tuple[CohortViews, tuple[Finding, ...]]:
    from CACScoringLib.cohort.follow_up import follow_up
    from CACScoringLib.cohort.outcomes import outcomes
    from CACScoringLib.cohort.outcomes_files import write_outcomes
    from CACScoringLib.cohort.outcomes_views import outcomes_views
    from CACScoringLib.cohort.tables import read_table

    progress(0.05, "Reading the table")
    table = read_table(request.table)
    patients = follow_up(
        table,
        time=request.time,
        event=request.event,
        score=request.score,
        compare=request.compare or None,
        covariates=request.covariates,
        scheme=request.scheme,
        unit=request.unit or "years",
    )
    progress(0.2, "Survival, hazard ratios" + (" and bootstrap" if request.compare else ""))
    result = outcomes(patients)
    progress(0.7, "Figures and report")
    write_outcomes(result, folder, table=table, event_name=request.event_name or "event")
    progress(0.95, "Charts and tables")
    return outcomes_views(result, request.event_name or "event"), result.findings


def _need(value: str, code: str, message: str) -> None:
    if not value:
        raise InputRefusedError(refuse(code, message))
