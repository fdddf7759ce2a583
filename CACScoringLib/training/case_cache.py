"""Training cases on disk: generated once, in as many processes as are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path


def cached_cases(
    folder: Path,
    wanted: Iterable[tuple[str, int]],
    path_of: Callable[[Path, str, int], Path],
    make: Callable[[Path, str, int, bool], Path],
    *,
    enriched: bool = True,
    workers: int = 1,
    tick: Callable[[str], None] | None = None,
) -> list[Path]:
    """Generate and cache the cases that are not there yet.

    Parameters
    ----------
    folder : Path
    wanted : iterable of (protocol, seed)
    path_of : callable
        Returns where the case of a patient lies in the folder.
    make : callable
        Writes it there; a function of a module, since it runs in another process.
    enriched : bool
        As in ``PhantomOptions``.
    workers : int
    tick : callable, optional
        Called with a text after every case.

    Returns
    -------
    list of Path
        In the order of ``wanted``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = list(wanted)
    missing = [job for job in jobs if not path_of(folder, *job).exists()]
    if missing:
        with ProcessPoolExecutor(max_workers=workers) as pool:
            running = {pool.submit(make, folder, *job, enriched): job for job in missing}
            for future in as_completed(running):
                future.result()
                if tick is not None:
                    tick(f"patient {running[future][1]}")
    return [path_of(folder, *job) for job in jobs]
