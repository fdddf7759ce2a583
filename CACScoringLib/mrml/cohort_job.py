"""Take the statistics of a cohort in a process of its own, without the scene ever waiting for it."""

from __future__ import annotations

import shutil
from pathlib import Path

from CACScoringLib.cohort.request import PAGES, VIEWS, CohortRequest
from CACScoringLib.cohort.views import CohortViews, ViewsError, views_from_json
from CACScoringLib.cohort.worker import MODULE, REQUEST, write_request
from CACScoringLib.findings import Finding, info, readable_findings, refuse
from CACScoringLib.mrml.processes import Launcher, module_command
from CACScoringLib.mrml.worker_job import JobState, WorkerJob

MAX_VIEWS_BYTES = 2**28
"""Of the file with what is to be shown: 100,000 patients take a tenth of it."""


class CohortJob(WorkerJob):
    """One cohort at a time.

    Attributes
    ----------
    findings : tuple of Finding
        What was noticed about the tables and the result.
    request, answered : CohortRequest or None
        The last one, and the last one that was answered.
    views : CohortViews or None
        Of a job that is done.
    folder : Path or None
        Of the last job that was done: report, numbers and figures; kept until another is done, or until ``cleanup``.
    """

    WHAT = "statistics"
    BUSY = "Statistics are being taken: wait for them, or cancel."
    CANCELLED_FINDING = info("cancelled", "Cancelled; the last result is still shown.")
    FOLDER_PREFIX = "cacscoring-cohort-"

    def __init__(self, launcher: Launcher | None = None):
        super().__init__(launcher)
        self.folder: Path | None = None
        self.request: CohortRequest | None = None
        self.answered: CohortRequest | None = None

    def _reset(self) -> None:
        super()._reset()
        self.findings: tuple[Finding, ...] = ()
        self.views: CohortViews | None = None

    @property
    def page(self) -> Path | None:
        """Return the report of the last job that was done."""
        return None if self.folder is None or self.answered is None else self.folder / PAGES[self.answered.kind]

    def start(self, request: CohortRequest) -> None:
        """Start taking statistics.

        Raises
        ------
        InputRefusedError
            If a job is running.
        """
        self._refuse_while_running()
        self._reset()
        self.request = request
        self._launch(lambda folder: write_request(folder, request), lambda folder: module_command(MODULE, folder))

    def cancel(self) -> None:
        """End the process at once: nothing but its own folder is lost."""
        if self.running:
            self._kill()

    def cleanup(self) -> None:
        """End the process and remove all files."""
        super().cleanup()
        self._remove_result()

    def _take_result(self) -> None:
        file = self._folder / VIEWS
        try:
            if file.stat().st_size > MAX_VIEWS_BYTES:
                raise ViewsError("The result is too large to be shown; its report is not.")
            views = views_from_json(file.read_text(encoding="utf-8"))
        except (OSError, ViewsError) as error:
            self._end(JobState.FAILED, refuse("result-unreadable", f"The result could not be read: {error}"))
            return
        for name in (VIEWS, REQUEST):
            (self._folder / name).unlink(missing_ok=True)
        self.views, self.fraction = views, 1.0
        self.findings = readable_findings(self._event.get("findings"))
        self._remove_result()
        self.folder, self._folder, self.answered = self._folder, None, self.request
        self._end(JobState.DONE)

    def _remove_result(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = None
