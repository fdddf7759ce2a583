"""The jobs of a batch on a Dask cluster whose workers see the same files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from CACScoringLib.batch.case import one_line
from CACScoringLib.batch.processes import Outcome


class DaskUnavailableError(RuntimeError):
    """Dask is not installed or its scheduler does not answer; the message says what to do."""


def connect(address: str) -> Any:
    """Return a client of the scheduler at ``address``.

    Raises
    ------
    DaskUnavailableError
        If dask.distributed is not installed or nobody answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        message = "--dask needs dask.distributed: pip install 'dask[distributed]', or use --workers instead."
        raise DaskUnavailableError(message) from error
    try:
        return Client(address, timeout=20)
    except (OSError, ValueError) as error:
        raise DaskUnavailableError(f"No Dask scheduler answers at {address} ({one_line(error)}).") from error


def run_on_dask(function: str, jobs: Sequence[Any], address: str) -> Iterator[Outcome]:
    """Call ``function(job)`` for each job on a cluster; yield outcomes as they come.

    A job whose worker dies is not tried on another one more than once: a scan that ends a worker would end them all.
    """
    from distributed import as_completed

    with connect(address) as client:
        module, name = function.split(":")
        futures = client.map(getattr(import_module(module), name), jobs, pure=False, retries=0)
        index = {future.key: i for i, future in enumerate(futures)}
        for future in as_completed(futures):
            error = future.exception()
            if error is None:
                yield Outcome(index[future.key], value=future.result())
            else:
                message = f"The worker failed on this scan ({type(error).__name__}: {one_line(error)})."
                yield Outcome(index[future.key], code="worker-crashed", message=message)
