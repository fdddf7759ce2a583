"""A child process that compares methods on one scan: job folder in, JSON lines out, result as files.

    python -m CACScoringLib.batch.compare_worker FOLDER [--watch-stdin]

The folder is that of ``report.comparison.job_files``; it reports and stops as ``batch.reporting`` says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from CACScoringLib.batch.reporting import limit_threads, reported, use_models_folder, worker_main


def main(arguments: Sequence[str] | None = None, predict: Callable[..., Any] | None = None) -> int:
    """Run one job and return the exit status; arguments as of ``worker_main``."""
    return worker_main(run, "compare_worker", "Compare methods on one scan.", arguments, predict)


def run(folder: Path, out: TextIO, *, watch_stdin: bool = False, predict: Callable[..., Any] | None = None) -> int:
    """Run the job of a folder, report on ``out``, and return the exit status."""

    def work(progress: Callable[[float, str], None], cancelled: Callable[[], bool]) -> None:
        from CACScoringLib.inference.windows import CancelledError
        from CACScoringLib.report.comparison.job_files import read_compare_job, write_compare_result
        from CACScoringLib.report.comparison.run import compare_methods

        job, ct = read_compare_job(folder)
        use_models_folder(job.models_folder)
        if predict is None:
            limit_threads(job.threads)
        compared = compare_methods(
            ct,
            job.choices,
            kvp=job.kvp,
            device=job.device,
            score_options={"preset": job.preset},
            predict=predict,
            progress=progress,
            cancelled=cancelled,
        )
        if cancelled():
            raise CancelledError
        write_compare_result(folder, compared)

    return reported(work, folder, out, watch_stdin=watch_stdin)


if __name__ == "__main__":
    sys.exit(main())
