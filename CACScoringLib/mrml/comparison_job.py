"""Compare methods on a volume in a worker process, without the scene ever waiting for it."""

from __future__ import annotations

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import info, refuse
from CACScoringLib.methods.job_files import JobFileError
from CACScoringLib.mrml.processes import module_command
from CACScoringLib.mrml.worker_job import WORDS, JobState, WorkerJob
from CACScoringLib.report.comparison.job_files import CompareJob, CompareResult, read_compare_result, write_compare_job

MODULE = "CACScoringLib.batch.compare_worker"


class ComparisonJob(WorkerJob):
    """One comparison at a time.

    Attributes
    ----------
    result : CompareResult or None
        Of a job that is done.
    """

    WHAT = "comparison"
    BUSY = "Methods are being compared: wait for them, or cancel."
    CANCELLED_FINDING = info("cancelled", WORDS[JobState.CANCELLED])
    FOLDER_PREFIX = "cacscoring-compare-"

    def _reset(self) -> None:
        super()._reset()
        self.result: CompareResult | None = None

    def start(self, job: CompareJob, ct: CTVolume) -> None:
        """Start comparing methods on a scan, as ``ScoringLogic.prepare`` gives it.

        Raises
        ------
        InputRefusedError
            If a job is running.
        """
        self._refuse_while_running()
        self._reset()
        self._launch(
            lambda folder: write_compare_job(folder, job, ct),
            lambda folder: [*module_command(MODULE, folder), "--watch-stdin"],
        )

    def _take_result(self) -> None:
        try:
            self.result = read_compare_result(self._folder)
        except JobFileError as error:
            self._end(JobState.FAILED, refuse("result-unreadable", f"{error} Compare again."))
        else:
            self.fraction = 1.0
            self._end(JobState.DONE)
