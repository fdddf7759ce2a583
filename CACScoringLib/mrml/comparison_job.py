"""Compare methods on a volume in a worker process, without the scene ever waiting for it."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse
from CACScoringLib.methods.job_files import CANCEL, JobFileError
from CACScoringLib.mrml.job import GRACE_S, JobState
from CACScoringLib.mrml.processes import Launcher, RunningProcess, SubprocessLauncher, module_command
from CACScoringLib.report.comparison.job_files import CompareJob, CompareResult, read_compare_result, write_compare_job

MODULE = "CACScoringLib.batch.compare_worker"
STATES = {"cancelled": JobState.CANCELLED, "refused": JobState.REFUSED, "failed": JobState.FAILED}


class ComparisonJob:
    """One comparison at a time.

    Parameters
    ----------
    launcher : Launcher, optional
        Starts the process; a real one when absent.
    clock : callable, optional
        Seconds, monotonic.

    Attributes
    ----------
    state : JobState
    fraction : float
        Done, 0 to 1.
    text : str
        What is being done, in words.
    finding : Finding or None
        Why there is no result.
    result : CompareResult or None
        Of a job that is done.
    """

    def __init__(self, launcher: Launcher | None = None, clock: Callable[[], float] = time.monotonic):
        self._launcher = launcher or SubprocessLauncher()
        self._clock = clock
        self._process: RunningProcess | None = None
        self._folder: Path | None = None
        self._asked_to_stop_at = 0.0
        self._reset()

    def _reset(self) -> None:
        self.state, self.fraction, self.text = JobState.IDLE, 0.0, ""
        self.finding: Finding | None = None
        self.result: CompareResult | None = None
        self._event: dict[str, Any] = {}

    @property
    def running(self) -> bool:
        """Return whether a worker is at work or being stopped."""
        return self.state in (JobState.RUNNING, JobState.CANCELLING)

    def start(self, job: CompareJob, ct: CTVolume) -> None:
        """Start comparing methods on a scan, as ``ScoringLogic.prepare`` gives it.

        Raises
        ------
        InputRefusedError
            If a job is running.
        """
        if self.running:
            raise InputRefusedError(refuse("job-running", "Methods are being compared: wait for them, or cancel."))
        self._reset()
        self._folder = Path(tempfile.mkdtemp(prefix="cacscoring-compare-"))
        try:
            write_compare_job(self._folder, job, ct)
            self._process = self._launcher.launch([*module_command(MODULE, self._folder), "--watch-stdin"])
        except OSError as error:
            message = f"The comparison could not be started ({error}): restart Slicer and try again."
            self._end(JobState.FAILED, refuse("not-started", message))
            return
        self.state, self.text = JobState.RUNNING, "Starting"

    def cancel(self) -> None:
        """Ask the worker to stop; a second time, or when it does not within ``GRACE_S``, it is ended."""
        if self.state is JobState.RUNNING:
            self._asked_to_stop_at = self._clock()
            with suppress(OSError):
                (self._folder / CANCEL).touch()
            self._process.closeInput()
            self.state, self.text = JobState.CANCELLING, "Stopping"
        elif self.state is JobState.CANCELLING:
            self._kill()

    def poll(self) -> JobState:
        """Take note of what the worker said; return the state."""
        if not self.running:
            return self.state
        self._listen()
        status = self._process.status()
        if status is not None:
            self._listen()
            self._finish(status)
        elif self.state is JobState.CANCELLING and self._clock() - self._asked_to_stop_at >= GRACE_S:
            self._kill()
        return self.state

    def cleanup(self) -> None:
        """End the worker at once and remove its files."""
        if self.running:
            self._kill()

    def _listen(self) -> None:
        for line in self._process.lines():
            try:
                event = json.loads(line)
                name = event["event"]
            except (ValueError, TypeError, KeyError):
                continue
            if name != "progress":
                self._event = event
            elif self.state is JobState.RUNNING:
                self.fraction = min(max(float(event.get("fraction") or 0.0), 0.0), 1.0)
                self.text = str(event.get("text", ""))

    def _kill(self) -> None:
        self._process.kill()
        self._end(JobState.CANCELLED)

    def _finish(self, status: int) -> None:
        name = self._event.get("event")
        if self.state is JobState.CANCELLING:
            self._end(JobState.CANCELLED)
        elif name == "done" and status == 0:
            try:
                self.result = read_compare_result(self._folder)
            except JobFileError as error:
                self._end(JobState.FAILED, refuse("result-unreadable", f"{error} Compare again."))
            else:
                self.fraction = 1.0
                self._end(JobState.DONE)
        elif name in STATES:
            code, message = (str(self._event.get(key, name)) for key in ("code", "message"))
            self._end(STATES[name], None if name == "cancelled" else refuse(code, message))
        else:
            last = (self._process.errors().strip().splitlines() or [""])[-1][:200]
            message = f"The comparison ended unexpectedly (status {status}). {last}".strip()
            self._end(JobState.FAILED, refuse("worker-ended", message))

    def _end(self, state: JobState, finding: Finding | None = None) -> None:
        if self._process is not None:
            self._process.closeInput()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._process = self._folder = None
        if state is JobState.CANCELLED and finding is None:
            finding = info("cancelled", "Cancelled; nothing was changed.")
        self.state, self.finding = state, finding
        self.text = finding.message if finding is not None else "Done"
