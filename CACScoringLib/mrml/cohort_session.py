"""What the Cohort section of the module does; the panel shows it and calls its methods."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from CACScoringLib.cohort.guess import EVENT, SCORE, TIME, guess_column, guess_unit
from CACScoringLib.cohort.request import CohortRequest, check_request
from CACScoringLib.cohort.tables import table_columns
from CACScoringLib.findings import Finding, InputRefusedError, Severity, refuse
from CACScoringLib.installing import COHORT, Installer
from CACScoringLib.mrml.cohort import CohortNodes, CohortResult
from CACScoringLib.mrml.cohort_job import CohortJob
from CACScoringLib.mrml.processes import Launcher
from CACScoringLib.mrml.worker_job import JobState

MARKS = {Severity.REFUSE: "Refused", Severity.WARNING: "Warning", Severity.INFO: "Note"}


class CohortSession:
    """Takes the statistics of a cohort and shows them in a scene.

    Parameters
    ----------
    scene : callable
        Returns the vtkMRMLScene.
    installer : Installer, optional
        Asked before statistics are taken; has ``ensure``.
    launcher : Launcher, optional
        Of processes.
    wheels : callable, optional
        Returns the folder to install from, if any.
    """

    def __init__(
        self,
        scene: Callable[[], Any],
        *,
        installer: Installer | None = None,
        launcher: Launcher | None = None,
        wheels: Callable[[], Any] = lambda: None,
    ):
        self._scene = scene
        self.installer = installer or Installer(needs=COHORT)
        self._wheels = wheels
        self.job = CohortJob(launcher)
        self.finding: Finding | None = None

    @property
    def running(self) -> bool:
        """Return whether statistics are being taken."""
        return self.job.running

    def columns(self, path: str) -> list[str]:
        """Return the columns of a file; empty where they are not known yet."""
        return table_columns(path) if path else []

    def defaults(self, columns: list[str]) -> dict[str, str]:
        """Return which columns are probably meant: ``time``, ``event``, ``score``, and the ``unit`` of the time."""
        time = guess_column(columns, TIME)
        return {
            "time": time,
            "event": guess_column(columns, EVENT),
            "score": guess_column(columns, SCORE),
            "unit": guess_unit(time),
        }

    def start(self, request: CohortRequest) -> bool:
        """Take statistics, in a process of its own; return whether it was started.

        Missing packages are installed first, after asking.
        """
        try:
            check_request(request)
            self.installer.ensure(wheels=self._wheels())
            self.job.start(request)
        except InputRefusedError as error:
            self.finding = error.finding
            return False
        self.finding = self.job.finding
        return self.job.running

    def poll(self) -> bool:
        """Take note of how far it is, from a timer while ``running``; return whether there is a new result."""
        if not self.job.running:
            return False
        state = self.job.poll()
        if self.job.running:
            return False
        self.finding = self.job.finding
        if state is JobState.DONE:
            CohortNodes(self._scene()).show(self.job.request.kind, self.job.views)
        return state is JobState.DONE

    def cancel(self) -> None:
        """End the process."""
        self.job.cancel()
        self.finding = self.job.finding

    def results(self, kind: str) -> list[CohortResult]:
        """Return the charts and tables of the last answer of a kind that the scene holds."""
        return CohortNodes(self._scene()).results(kind)

    def status(self) -> str:
        """Return how things stand, in a line."""
        if self.job.running:
            return self.job.text
        if self.finding is not None:
            return self.finding.message
        return self.job.views.headline if self.job.views is not None else ""

    def findingsText(self) -> str:
        """Return what was noticed, a line each, the worst first."""
        order = list(MARKS)
        found = sorted(self.job.findings, key=lambda finding: order.index(finding.severity))
        return "\n".join(f"{MARKS[finding.severity]}: {finding.message}" for finding in found)

    @property
    def folder(self) -> Path | None:
        """Return the folder with report, numbers and figures of the last answer."""
        return self.job.folder

    def reportName(self) -> str:
        """Return a name for the report."""
        return self.job.page.name if self.job.page is not None else "report.html"

    def saveReport(self, path: str) -> bool:
        """Write the report of the last answer, one page with all figures in it; return whether it was."""
        if self.job.page is None:
            self.finding = refuse("no-report", "There is no report: run the statistics first.")
            return False
        target = Path(path)
        target = target if target.suffix.lower() in (".html", ".htm") else target.with_name(f"{target.name}.html")
        try:
            shutil.copyfile(self.job.page, target)
        except OSError as error:
            message = f"The report could not be written ({error.strerror or error}): choose another place."
            self.finding = refuse("report-not-written", message)
            return False
        return True

    def close(self) -> None:
        """End what runs, and remove the files of the last answer."""
        self.job.cleanup()
