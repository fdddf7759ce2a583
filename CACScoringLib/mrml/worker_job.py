"""A job that a worker process does in a folder of its own, without the scene ever waiting for it.

The desktop calls ``poll`` from a timer; everything that touches nodes happens there, in the main thread.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from CACScoringLib.findings import Finding, InputRefusedError, refuse
from CACScoringLib.methods.job_files import CANCEL
from CACScoringLib.mrml.processes import Launcher, RunningProcess, SubprocessLauncher

GRACE_S = 5.0
"""How long a worker may take to stop by itself before it is ended: a window takes about a second."""
MAX_LOG_LINES = 200


class JobState(str, Enum):
    """Where a job stands."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    FAILED = "failed"


WORDS = {JobState.DONE: "Done", JobState.CANCELLED: "Cancelled; nothing was changed."}


class WorkerJob:
    """One worker process at a time.

    Subclasses start it (``_launch``) and take its result (``_take_result``).

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
        Why there is no result, or what to know about one; ``message`` is for the person.
    log : list of str
        What the worker said besides its reports, the last lines.
    """

    WHAT = "worker process"
    """In sentences: the WHAT could not be started."""
    BUSY = "A job is running: wait for it, or cancel."
    CANCELLED_FINDING: Finding | None = None
    """Why there is no result after ``cancel``; None: that need not be told."""
    FOLDER_PREFIX = "cacscoring-job-"

    def __init__(self, launcher: Launcher | None = None, clock: Callable[[], float] = time.monotonic):
        self._launcher = launcher or SubprocessLauncher()
        self._clock = clock
        self._process: RunningProcess | None = None
        self._folder: Path | None = None
        self._asked_to_stop_at = 0.0
        self._stopped_because: Finding | None = None
        self._event: dict[str, Any] = {}
        self._reset()

    def _reset(self) -> None:
        """Forget the last job; subclasses forget its result."""
        self.state, self.fraction, self.text = JobState.IDLE, 0.0, ""
        self.finding: Finding | None = None
        self.log: list[str] = []
        self._event, self._stopped_because = {}, None

    @property
    def running(self) -> bool:
        """Return whether a worker is at work or being stopped."""
        return self.state in (JobState.RUNNING, JobState.CANCELLING)

    def cancel(self) -> None:
        """Ask the worker to stop; a second time, or when it does not within ``GRACE_S``, it is ended."""
        if self.state is JobState.RUNNING:
            self._ask_to_stop(None)
        elif self.state is JobState.CANCELLING:
            self._kill()

    def poll(self) -> JobState:
        """Take note of what the worker said; return the state."""
        if not self.running:
            return self.state
        self._listen()
        if self.state is JobState.RUNNING:
            because = self._useless()
            if because is not None:
                self._ask_to_stop(because)
        status = self._process.status()
        if status is not None:
            self._listen()
            self._finish(status)
        elif self.state is JobState.CANCELLING and self._clock() - self._asked_to_stop_at >= GRACE_S:
            self._kill()
        return self.state

    def wait(self, timeout_s: float = 600.0, interval_s: float = 0.05) -> JobState:
        """Poll until the job has ended, or cancel it after ``timeout_s``; for scripts and tests."""
        until = self._clock() + timeout_s
        while self.running:
            if self._clock() > until:
                self.cancel()
            self.poll()
            if self.running:
                time.sleep(interval_s)
        return self.state

    def cleanup(self) -> None:
        """End the worker at once and remove its files, as when the module or Slicer is closed."""
        if self.running:
            self._kill()

    def _refuse_while_running(self) -> None:
        if self.running:
            raise InputRefusedError(refuse("job-running", self.BUSY))

    def _launch(self, fill: Callable[[Path], None], command: Callable[[Path], list[str]]) -> None:
        """Make a folder, let ``fill`` write the job into it, and start the worker on it."""
        self._folder = Path(tempfile.mkdtemp(prefix=self.FOLDER_PREFIX))
        try:
            fill(self._folder)
            self._process = self._launcher.launch(command(self._folder))
        except OSError as error:
            why = f"The {self.WHAT} could not be started ({error.strerror or error}): check the disk and try again."
            self._end(JobState.FAILED, refuse("worker-not-started", why))
            return
        self._change(JobState.RUNNING, text="Starting")

    def _useless(self) -> Finding | None:
        """Say why a result could not be used any more, if so."""
        return None

    def _take_result(self) -> None:
        """Read the result from the folder and end the job."""
        raise NotImplementedError

    def _listen(self) -> None:
        for line in self._process.lines():
            self._hear(line)

    def _hear(self, line: str) -> None:
        try:
            event = json.loads(line)
            name = event["event"]
        except (ValueError, TypeError, KeyError):
            self.log.append(line)
            del self.log[:-MAX_LOG_LINES]
            return
        if name == "progress":
            if self.state is JobState.RUNNING:
                fraction = event.get("fraction")
                known = isinstance(fraction, (int, float)) and np.isfinite(fraction)
                text = str(event.get("text", ""))
                self._change(self.state, fraction=min(max(fraction, 0.0), 1.0) if known else None, text=text)
        elif name != "started":
            self._event = event

    def _ask_to_stop(self, because: Finding | None) -> None:
        self._asked_to_stop_at, self._stopped_because = self._clock(), because
        with suppress(OSError):
            (self._folder / CANCEL).touch()
        self._process.closeInput()
        self._change(JobState.CANCELLING, text="Stopping")

    def _kill(self) -> None:
        self._process.kill()
        self._end_stopped()

    def _end_stopped(self) -> None:
        why = self._stopped_because
        self._end(JobState.CANCELLED if why is None else JobState.FAILED, why)

    def _finish(self, status: int) -> None:
        event = self._event.get("event")
        if self.state is JobState.CANCELLING:
            self._end_stopped()
        elif status == 0 and event == "done":
            self._take_result()
        elif event == "cancelled":
            self._end(JobState.CANCELLED)
        elif event in ("refused", "failed"):
            state = JobState.REFUSED if event == "refused" else JobState.FAILED
            message = str(self._event.get("message", f"The {self.WHAT} failed."))
            self._end(state, refuse(str(self._event.get("code", event)), message))
        else:
            self._end(JobState.FAILED, self._crashed(status))

    def _crashed(self, status: int) -> Finding:
        errors = self._process.errors()
        last = next((line.strip() for line in reversed(errors.splitlines()) if line.strip()), "")
        how = f"signal {-status}" if status < 0 else f"status {status}"
        hint = " perhaps for want of memory;" if status == -9 else ""
        said = f" It said: {last[:200]}" if last else ""
        message = f"The {self.WHAT} ended before there was a result ({how});{hint} try again.{said}"
        return refuse("worker-crashed", message)

    def _change(self, state: JobState, *, fraction: float | None = None, text: str | None = None) -> None:
        self.state = state
        self.fraction = self.fraction if fraction is None else fraction
        self.text = self.text if text is None else text

    def _end(self, state: JobState, finding: Finding | None = None) -> None:
        process, folder = self._process, self._folder
        self._process = self._folder = None
        if process is not None:
            process.closeInput()
            self.log += process.errors().splitlines()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if state is JobState.CANCELLED and finding is None:
            finding = self.CANCELLED_FINDING
        self.finding = finding
        self._change(state, text=finding.message if finding is not None else WORDS.get(state, ""))
