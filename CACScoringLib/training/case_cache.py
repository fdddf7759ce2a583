"""Training cases on disk: synthetic patients are generated once, in as many processes as are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib.training.stored_arrays import StoredArrays
from CACScoringLib.training.synthetic_patients import training_patients

if TYPE_CHECKING:
    from CACScoringLib.phantom import SyntheticPatient
    from CACScoringLib.training.run_request import TrainingRequest


@dataclass(frozen=True)
class CaseKind:
    """A kind of training case, and where those of synthetic patients are kept.

    Attributes
    ----------
    prefix : str
        Of the file names: tells the kinds apart in one folder.
    version : int
        Files of another version are not used.
    reduce : callable
        Reduces a synthetic patient to a case; a function of a module, since it runs in other processes.
    """

    prefix: str
    version: int
    reduce: Callable[[SyntheticPatient], StoredArrays]

    def path(self, folder: Path, protocol: str, seed: int) -> Path:
        """Return where the case of a synthetic patient is cached."""
        return folder / f"{self.prefix}{protocol}-{seed:06d}-v{self.version}.npz"

    def make(self, folder: Path, protocol: str, seed: int, enriched: bool) -> None:
        """Generate one synthetic patient and cache its case, unless it is there (worker entry point)."""
        from CACScoringLib.phantom import PhantomOptions, synthesize

        path = self.path(folder, protocol, seed)
        if not path.exists():
            options = PhantomOptions(enriched=enriched)
            self.reduce(synthesize(seed=seed, protocol=protocol, options=options)).save(path)

    def of_training(self, request: TrainingRequest) -> list[Path]:
        """Generate and cache the training patients that a request asks for, as far as they are not there yet."""
        wanted = training_patients(request.patients)
        tick = request.counted("generated", len(wanted))
        return self.build(request.cases, wanted, workers=request.workers, tick=tick)

    def build(
        self,
        folder: Path,
        wanted: Iterable[tuple[str, int]],
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
        missing = [job for job in jobs if not self.path(folder, *job).exists()]
        if missing:
            with ProcessPoolExecutor(max_workers=workers) as pool:
                running = {pool.submit(self.make, folder, *job, enriched): job for job in missing}
                for future in as_completed(running):
                    future.result()
                    if tick is not None:
                        tick(f"patient {running[future][1]}")
        return [self.path(folder, *job) for job in jobs]
