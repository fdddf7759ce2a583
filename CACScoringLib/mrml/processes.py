"""Start a worker process, read its lines without waiting, and end it with all its children."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
WORKER = "CACScoringLib.batch.predict_worker"
END_WAIT_S = 5.0


class RunningProcess(Protocol):
    """A process that was started."""

    def lines(self) -> list[str]:
        """Return the lines that came on standard output since the last call."""

    def errors(self) -> str:
        """Return the end of what came on standard error."""

    def status(self) -> int | None:
        """Return the exit status once the process has ended and all its lines were read, else None."""

    def closeInput(self) -> None:
        """End the process's standard input, which asks it to stop."""

    def kill(self) -> None:
        """End the process and all its children at once."""


class Launcher(Protocol):
    """Starts processes."""

    def launch(self, arguments: Sequence[str]) -> RunningProcess:
        """Start a process; OSError if that cannot be done."""


def worker_command(folder: Path, python: str | None = None) -> list[str]:
    """Return the command that runs the network's worker on a job folder."""
    return [*module_command(WORKER, folder, python), "--watch-stdin"]


def module_command(module: str, folder: Path, python: str | None = None) -> list[str]:
    """Return the command that runs the ``main`` of one of our modules on a folder.

    The package's place is handed over, since Slicer's Python does not look for modules where extensions are.
    """
    code = f"import sys; sys.path.insert(0, {str(PACKAGE_ROOT)!r}); from {module} import main; sys.exit(main())"
    return [python or python_executable(), "-c", code, str(folder)]


def python_executable() -> str:
    """Return the Python that runs worker processes: PythonSlicer inside 3D Slicer, else this one.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    """
    found = shutil.which("PythonSlicer") or sys.executable
    if not found or not Path(found).is_file():
        raise FileNotFoundError("PythonSlicer was not found")
    return found


class SubprocessLauncher:
    """Starts real processes, hidden and in a group of their own, so that all of it can be ended."""

    def launch(self, arguments: Sequence[str]) -> RunningProcess:
        """Start a process."""
        options: dict[str, object] = {}
        if os.name == "nt":
            options["creationflags"] = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
        else:
            options["start_new_session"] = True
        pipe = subprocess.PIPE
        return _Subprocess(subprocess.Popen(list(arguments), stdin=pipe, stdout=pipe, stderr=pipe, **options))


class _Subprocess:
    """A process whose output is read by threads that touch nothing but queues."""

    LAST_ERRORS = 50

    def __init__(self, process: subprocess.Popen):
        self._process = process
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(process.stdout, self._lines.put), daemon=True),
            threading.Thread(target=self._read, args=(process.stderr, self._note), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def lines(self) -> list[str]:
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._lines.get_nowait())
        return found

    def errors(self) -> str:
        return "\n".join(self._errors)

    def status(self) -> int | None:
        status = self._process.poll()
        if status is None or self._readers[0].is_alive() or not self._lines.empty():
            return None
        return status

    def closeInput(self) -> None:
        with suppress(OSError):
            self._process.stdin.close()

    def kill(self) -> None:
        if os.name == "nt":
            command = ["taskkill", "/F", "/T", "/PID", str(self._process.pid)]
            subprocess.run(command, capture_output=True, check=False, creationflags=subprocess.CREATE_NO_WINDOW)
        else:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(OSError):
            self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_WAIT_S)
        self.closeInput()
        for reader in self._readers:
            reader.join(1.0)

    def _note(self, line: str) -> None:
        self._errors.append(line)
        del self._errors[: -self.LAST_ERRORS]

    @staticmethod
    def _read(stream: object, take: object) -> None:
        with suppress(ValueError, OSError):
            for line in stream:
                take(line.decode("utf-8", "replace").rstrip("\r\n"))
        with suppress(OSError):
            stream.close()
