"""Take the statistics of a cohort in a process of its own, without the scene ever waiting for it."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from CACScoringLib.cohort.request import PAGES, VIEWS, CohortRequest
from CACScoringLib.cohort.views import CohortViews, ViewsError, views_from_json
from CACScoringLib.cohort.worker import MODULE, REQUEST, write_request
from CACScoringLib.findings import Finding, InputRefusedError, Severity, info, refuse
from CACScoringLib.mrml.job import JobState
from CACScoringLib.mrml.processes import Launcher, RunningProcess, SubprocessLauncher, module_command

MAX_VIEWS_BYTES = 2**28
"""Of the file with what is to be shown: 100,000 patients take a tenth of it."""


class CohortJob:
    """One cohort at a time.

    Parameters
    ----------
    launcher : Launcher, optional
        Starts the process; a real one when absent.

    Attributes
    ----------
    state : JobState
    fraction : float
        Done, 0 to 1.
    text : str
        What is being done, in words.
    finding : Finding or None
        Why there is no result.
    findings : tuple of Finding
        What was noticed about the tables and the result.
    request, answered : CohortRequest or None
        The last one, and the last one that was answered.
    views : CohortViews or None
        Of a job that is done.
    folder : Path or None
        Of the last job that was done: report, numbers and figures; kept until another is done, or until ``cleanup``.
    """

    def __init__(self, launcher: Launcher | None = None):
        self._launcher = launcher or SubprocessLauncher()
        self._process: RunningProcess | None = None
        self._working: Path | None = None
        self._event: dict[str, Any] = {}
        self.folder: Path | None = None
        self.request: CohortRequest | None = None
        self.answered: CohortRequest | None = None
        self._reset()

    def _reset(self) -> None:
        self.state, self.fraction, self.text = JobState.IDLE, 0.0, ""
        self.finding: Finding | None = None
        self.findings: tuple[Finding, ...] = ()
        self.views: CohortViews | None = None

    @property
    def running(self) -> bool:
        """Return whether statistics are being taken."""
        return self.state is JobState.RUNNING

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
        if self.running:
            raise InputRefusedError(refuse("job-running", "Statistics are being taken: wait for them, or cancel."))
        self._reset()
        self.request, self._event = request, {}
        self._working = Path(tempfile.mkdtemp(prefix="cacscoring-cohort-"))
        write_request(self._working, request)
        try:
            self._process = self._launcher.launch(module_command(MODULE, self._working))
        except OSError as error:
            message = f"The statistics could not be started ({error}): restart Slicer and try again."
            self._end(JobState.FAILED, refuse("not-started", message))
            return
        self.state, self.text = JobState.RUNNING, "Starting"

    def cancel(self) -> None:
        """End the process at once: nothing but its own folder is lost."""
        if self.running:
            self._process.kill()
            self._end(JobState.CANCELLED, info("cancelled", "Cancelled; the last result is still shown."))

    def poll(self) -> JobState:
        """Take note of what the process said; return the state."""
        if not self.running:
            return self.state
        for line in self._process.lines():
            self._hear(line)
        status = self._process.status()
        if status is not None:
            for line in self._process.lines():
                self._hear(line)
            self._finish(status)
        return self.state

    def cleanup(self) -> None:
        """End the process and remove all files."""
        self.cancel()
        self._remove_result()

    def _hear(self, line: str) -> None:
        try:
            event = json.loads(line)
            name = event["event"]
        except (ValueError, TypeError, KeyError):
            return
        if name == "progress":
            self.fraction = min(max(float(event.get("fraction") or 0.0), 0.0), 1.0)
            self.text = str(event.get("text", ""))
        else:
            self._event = event

    def _finish(self, status: int) -> None:
        name = self._event.get("event")
        if name == "done" and status == 0:
            self._take_result()
        elif name in ("refused", "failed"):
            state = JobState.REFUSED if name == "refused" else JobState.FAILED
            message = str(self._event.get("message", "The statistics failed."))
            self._end(state, refuse(str(self._event.get("code", name)), message))
        else:
            last = (self._process.errors().strip().splitlines() or [""])[-1][:200]
            message = f"The statistics ended unexpectedly (status {status}). {last}".strip()
            self._end(JobState.FAILED, refuse("worker-ended", message))

    def _take_result(self) -> None:
        file = self._working / VIEWS
        try:
            if file.stat().st_size > MAX_VIEWS_BYTES:
                raise ViewsError("The result is too large to be shown; its report is not.")
            views = views_from_json(file.read_text(encoding="utf-8"))
        except (OSError, ViewsError) as error:
            self._end(JobState.FAILED, refuse("result-unreadable", f"The result could not be read: {error}"))
            return
        for name in (VIEWS, REQUEST):
            (self._working / name).unlink(missing_ok=True)
        self.views, self.fraction = views, 1.0
        self.findings = tuple(_findings(self._event.get("findings")))
        self._remove_result()
        self.folder, self._working, self.answered = self._working, None, self.request
        self._end(JobState.DONE)

    def _end(self, state: JobState, finding: Finding | None = None) -> None:
        if self._process is not None:
            self._process.closeInput()
        if self._working is not None:
            shutil.rmtree(self._working, ignore_errors=True)
        self._process = self._working = None
        self.state, self.finding = state, finding
        self.text = finding.message if finding is not None else "Done"

    def _remove_result(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = None


def _findings(entries: Any) -> list[Finding]:
    known = {severity.value for severity in Severity}
    return [
        Finding(Severity(entry["severity"]), str(entry.get("code", "")), str(entry.get("message", "")))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and entry.get("severity") in known
    ]
