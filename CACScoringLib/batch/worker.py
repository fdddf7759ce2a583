"""One scan of a batch, in a worker process: never raises for a bad scan, returns its row."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CACScoringLib.batch.case import ScoreSettings, one_line, score_case, write_case
from CACScoringLib.batch.inputs import Case
from CACScoringLib.batch.table import FAILED, REFUSED, not_scored_row, scored_row
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.report.staging import staged_folder


@dataclass(frozen=True)
class Job:
    """A scan to score and the folder that its files go to."""

    case: Case
    settings: ScoreSettings
    folder: Path


def score_job(job: Job) -> dict[str, Any]:
    """Score one scan, write its files, and return its row of ``results.csv``."""
    start = time.perf_counter()
    try:
        case = score_case(job.case.source, job.settings, mask=job.case.mask)
        with staged_folder(job.folder) as folder:
            write_case(case, folder, overview=job.settings.overview)
        row = scored_row(case.document)
    except InputRefusedError as error:
        row = not_scored_row(REFUSED, error.finding.code, error.finding.message)
    # A batch goes on whatever one scan does; the row says what happened.
    except Exception as error:
        row = not_scored_row(FAILED, "error", f"Scoring failed ({type(error).__name__}: {one_line(error)}).")
    row["seconds"] = round(time.perf_counter() - start, 3)
    return row
