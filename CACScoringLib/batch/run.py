"""Many scans, one table: resumable, in processes or on a Dask cluster."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import CACScoringLib
from CACScoringLib.batch.case import ScoreSettings
from CACScoringLib.batch.inputs import Case, input_identity
from CACScoringLib.batch.previous import finished_rows, keep_earlier_rows
from CACScoringLib.batch.processes import Outcome, run_jobs
from CACScoringLib.batch.table import DONE, FAILED, RESULTS, ResultsTable, not_scored_row
from CACScoringLib.batch.worker import Job

SCORE_JOB = "CACScoringLib.batch.worker:score_job"


@dataclass(frozen=True)
class BatchPlan:
    """What a batch has to do.

    Attributes
    ----------
    cases : list of Case
        Every scan, in order.
    kept : dict of str to mapping
        Rows of an earlier run that are still valid, by the name of the case.
    identities : dict of str to str
        Fingerprint of each case's files.
    settings_key : str
        Fingerprint of version, model and settings.
    """

    cases: list[Case]
    kept: dict[str, dict[str, Any]]
    identities: dict[str, str]
    settings_key: str

    @property
    def todo(self) -> list[Case]:
        """Return the cases that are still to be scored."""
        return [case for case in self.cases if case.name not in self.kept]


@dataclass
class BatchResult:
    """How a batch ended: how many rows of each status, how many were kept, which scans hold several studies."""

    table: Path
    counts: dict[str, int] = field(default_factory=dict)
    kept: int = 0
    several_studies: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Return how many scans have no score."""
        return sum(count for status, count in self.counts.items() if status != DONE)


def holds_several_studies(row: Mapping[str, Any]) -> bool:
    """Return whether a row is of a scan with several studies, of which loading chose one."""
    return "several-studies" in str(row.get("warnings") or "").split()


def settings_key(settings: ScoreSettings, model_sha256: str = "") -> str:
    """Return a fingerprint of everything that decides about scores besides the scan itself."""
    parts = {**asdict(settings), "overview": None, "version": CACScoringLib.__version__, "model": model_sha256}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def plan_batch(cases: list[Case], output: Path, key: str, *, resume: bool) -> BatchPlan:
    """Decide which scans still have to be scored.

    Parameters
    ----------
    cases : list of Case
    output : Path
        Folder of the batch.
    key : str
        See :func:`settings_key`.
    resume : bool
        Keep rows of ``results.csv``, and of the tables it replaced, whose scan, settings, model and version are the
        same and that are done. Refused and failed scans are tried again.

    Returns
    -------
    BatchPlan
    """
    identities = {case.name: input_identity(case) for case in cases}
    kept = {}
    if resume:
        finished = {name: row for name, row in finished_rows(output).items() if row["settings"] == key}
        kept = {
            name: finished[name]
            for name, identity in identities.items()
            if name in finished and finished[name]["identity"] == identity
        }
    return BatchPlan(cases, kept, identities, key)


def run_batch(
    plan: BatchPlan,
    settings: ScoreSettings,
    output: Path,
    *,
    workers: int = 1,
    timeout_s: float | None = None,
    dask_address: str | None = None,
    function: str = SCORE_JOB,
    finished: Callable[[dict[str, Any]], None] | None = None,
) -> BatchResult:
    """Score the scans of a plan and write ``results.csv`` as they are done.

    Parameters
    ----------
    plan : BatchPlan
    settings : ScoreSettings
    output : Path
        Gets ``results.csv`` and one folder a scan; finished rows that were there are kept in ``results-previous.csv``.
    workers : int
        Processes at a time.
    timeout_s : float, optional
        Longest time for one scan, in seconds.
    dask_address : str, optional
        Scheduler of a Dask cluster that does the work instead of local processes.
    function : str
        ``module:name`` of what scores one :class:`~CACScoringLib.batch.worker.Job`.
    finished : callable, optional
        Is given each row as it is written.

    Returns
    -------
    BatchResult
    """
    results = output / RESULTS
    keep_earlier_rows(output)
    table = ResultsTable(results, plan.kept.values())
    todo = plan.todo
    jobs = [Job(case, settings, output / case.name) for case in todo]
    for outcome in _outcomes(function, jobs, workers, timeout_s, dask_address):
        case = todo[outcome.index]
        row = outcome.value or not_scored_row(FAILED, outcome.code or "error", outcome.message or "No result.")
        row = {"case": case.name, "input": case.source, "version": CACScoringLib.__version__, **row}
        row |= {"identity": plan.identities[case.name], "settings": plan.settings_key}
        table.add(row)
        if finished is not None:
            finished(row)
    table.finish(case.name for case in plan.cases)
    counts: dict[str, int] = {}
    for row in table.rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    several = [str(row["case"]) for row in table.rows if holds_several_studies(row)]
    return BatchResult(results, counts, len(plan.kept), several)


def _outcomes(
    function: str, jobs: Sequence[Job], workers: int, timeout_s: float | None, dask_address: str | None
) -> Iterator[Outcome]:
    """Choose who does the work."""
    if dask_address is None:
        return run_jobs(function, jobs, workers, timeout_s=timeout_s)
    from CACScoringLib.batch.dask_cluster import run_on_dask

    return run_on_dask(function, jobs, dask_address)
