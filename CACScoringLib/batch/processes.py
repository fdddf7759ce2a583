"""Run a function over many jobs in worker processes that may crash without ending the run."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from CACScoringLib.environment import environment

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
"""Read by the libraries when they are loaded."""
DEBUG_VARIABLE = "CACSCORING_DEBUG"
"""When set, workers do not hide what they and native libraries write to standard error."""


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    Attributes
    ----------
    index : int
        Position in the list of jobs.
    value : object
        What the function returned; None when it did not return.
    code, message : str or None
        Why it did not return.
    """

    index: int
    value: Any = None
    code: str | None = None
    message: str | None = None


@dataclass
class _Worker:
    """A process, the line to it, and the job it is at."""

    process: Any
    connection: Connection
    job: int | None = None
    since: float = math.inf


def run_jobs(
    function: str, jobs: Sequence[Any], workers: int = 1, *, timeout_s: float | None = None
) -> Iterator[Outcome]:
    """Call ``function(job)`` for each job in worker processes; yield outcomes as they come.

    A worker that crashes, is killed, or works longer than ``timeout_s`` on one job is replaced, and that job's
    outcome says so. When the iterator is closed early, the workers are ended.

    Parameters
    ----------
    function : str
        ``module:name`` of a function of one argument.
    jobs : sequence
        Arguments; each is pickled to the worker.
    workers : int
        Processes at a time.
    timeout_s : float, optional
        Longest time for one job, in seconds.

    Yields
    ------
    Outcome
    """
    waiting = list(range(len(jobs)))[::-1]
    threads = max(1, (os.cpu_count() or 1) // max(1, workers))
    pool = [_start(function, threads) for _ in range(min(workers, len(jobs)))]
    try:
        while waiting or any(worker.job is not None for worker in pool):
            for place, worker in enumerate(pool):
                if worker.job is None and waiting:
                    pool[place] = _hand_over(worker, waiting.pop(), jobs, function, threads)
            for place, outcome in _finished(pool, timeout_s):
                if outcome.code is not None:
                    _end(pool[place])
                    pool[place] = _start(function, threads)
                else:
                    pool[place].job = None
                yield outcome
    finally:
        for worker in pool:
            _end(worker)


def _hand_over(worker: _Worker, job: int, jobs: Sequence[Any], function: str, threads: int) -> _Worker:
    """Send a job to an idle worker, or to a new one where the idle one has died."""
    for _ in range(2):
        with suppress(BrokenPipeError, ConnectionError):
            worker.connection.send((job, jobs[job]))
            break
        _end(worker)
        worker = _start(function, threads)
    worker.job, worker.since = job, math.inf
    return worker


def _finished(pool: list[_Worker], timeout_s: float | None) -> list[tuple[int, Outcome]]:
    """Wait for something to happen; return (place in the pool, outcome) of what ended."""
    busy = {worker.connection: place for place, worker in enumerate(pool) if worker.job is not None}
    ready = wait(list(busy), timeout=None if timeout_s is None else 0.2)
    ended: list[tuple[int, Outcome]] = []
    for connection in ready:
        place = busy[connection]
        job = pool[place].job
        try:
            begun, value = connection.recv()
            if begun:  # a new process may take long to start; the time of the job counts from here
                pool[place].since = time.monotonic()
            else:
                ended.append((place, Outcome(job, value=value)))
        except (EOFError, ConnectionError):
            pool[place].process.join(5)
            ended.append((place, Outcome(job, code="worker-crashed", message=_how_it_ended(pool[place].process))))
    if timeout_s is not None:
        for place in set(busy.values()) - {place for place, _ in ended}:
            if time.monotonic() - pool[place].since > timeout_s:
                message = f"Scoring took longer than {timeout_s:g} s and was stopped."
                ended.append((place, Outcome(pool[place].job, code="timeout", message=message)))
    return ended


def _how_it_ended(process: Any) -> str:
    """Say why a worker is gone."""
    code = process.exitcode
    if code is not None and code < 0:
        with suppress(ValueError):
            how = f"signal {signal.Signals(-code).name}"
            hint = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
            return f"The process that scored this scan crashed ({how}{hint}); the others went on."
    return f"The process that scored this scan ended unexpectedly (status {code}); the others went on."


def _start(function: str, threads: int) -> _Worker:
    """Start a worker process."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(there, function), daemon=True)
    with environment(dict.fromkeys(THREAD_VARIABLES, str(threads))):
        process.start()
    there.close()
    return _Worker(process, here)


def _end(worker: _Worker) -> None:
    """End a worker process, idle or not."""
    worker.connection.close()
    if worker.job is not None:
        worker.process.terminate()
    worker.process.join(2)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join(5)


def _work(connection: Connection, function: str) -> None:
    """Do jobs until the other side hangs up (in the worker process)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to every process; the first one decides
    if not os.environ.get(DEBUG_VARIABLE):
        quiet = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):  # what native libraries say about a damaged file would break the progress display
            os.dup2(quiet, stream)
    module, name = function.split(":")
    call = getattr(import_module(module), name)
    with suppress(EOFError, ConnectionError):
        while True:
            _, job = connection.recv()
            connection.send((True, None))
            connection.send((False, call(job)))
