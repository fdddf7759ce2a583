"""Progress of long work on the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from CACScoringLib.training.run_request import Tell


def progress_display() -> Progress:
    """Return a progress display on stderr that is quiet when nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def shown_in(progress: Progress) -> Tell:
    """Return what a ``TrainingRequest`` tells: a bar for each kind of work, named by the text before its details."""
    tasks: dict[str, int] = {}

    def tell(text: str, done: int, total: int) -> None:
        what = text.split(" (")[0].split(":")[0]
        if what.startswith("generated"):
            what, text = "generated", f"Generating {text.removeprefix('generated ')}"
        if what not in tasks:
            tasks[what] = progress.add_task(text, total=total)
        progress.update(tasks[what], completed=done, total=total, description=text)

    return tell
