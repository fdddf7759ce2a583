"""What every training on synthetic patients is asked: where to write, how much, on what, and whom to tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Tell = Callable[[str, int, int], None]
"""Called with what is being done, how many parts of it are done, and of how many."""


@dataclass(frozen=True)
class TrainingRequest:
    """A training of one of the methods on synthetic patients.

    Attributes
    ----------
    output : Path
        Folder for cache, checkpoints, logs and the bundle (``output/bundle/METHOD``).
    patients, steps : int
        Patients have the protocols in turn and seeds from 1000, those of ``training_patients``.
    seed : int
        Of weights and batches.
    workers : int
        Processes that generate patients.
    device : str
        As torch names it.
    cache : Path, optional
        Folder of generated patients; ``output/cache`` when absent.
    resume : bool
        Go on from checkpoints that are there.
    tell : callable, optional
        See ``Tell``.
    """

    output: Path
    patients: int
    steps: int
    seed: int = 20260
    workers: int = 1
    device: str = "cpu"
    cache: Path | None = None
    resume: bool = True
    tell: Tell | None = None

    @property
    def cases(self) -> Path:
        """Return the folder of generated patients."""
        return self.cache or self.output / "cache"

    def bundle_folder(self, method: str) -> Path:
        """Return where the bundle of a method goes."""
        return self.output / "bundle" / method

    def report(self, text: str, done: int, total: int) -> None:
        """Tell, if anybody listens."""
        if self.tell is not None:
            self.tell(text, done, total)

    def counted(self, what: str, total: int) -> Callable[[str], None]:
        """Return what is called with a text after each of ``total`` parts."""
        done = 0

        def tick(text: str) -> None:
            nonlocal done
            done += 1
            self.report(f"{what} {text}", done, total)

        return tick

    def steps_of(self, what: str, steps: int) -> Callable[[int, dict[str, float]], None]:
        """Return what a trainer with one loss calls after every step."""
        return lambda step, losses: self.report(f"{what} (loss {losses['loss']:.3f})", step, steps)
