"""Output that is there completely or not at all: written aside, then renamed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

OUTPUT_FILES = ("scores.json", "scores.csv", "segmentation.seg.nrrd", "overview.png")
"""What the output folder of one scan may hold."""


@contextmanager
def staged_folder(output: Path, files: Sequence[str] = OUTPUT_FILES) -> Iterator[Path]:
    """Give a folder to write into; its files move to ``output`` when the block ends well.

    Where the block fails, ``output`` is left as it was: not created, or with its earlier files. Those of
    ``files`` from an earlier run that were not written again are removed, so that everything in
    the folder belongs to the same result.

    Parameters
    ----------
    output : Path
        Folder; it and its parents are created at the end if need be.
    files : sequence of str
        Names of all files that a result may have.

    Yields
    ------
    Path
        A temporary folder on the same file system.

    Raises
    ------
    NotADirectoryError
        If ``output`` or one of its parents is a file.
    """
    output = Path(output).resolve()
    existing = next(folder for folder in (output, *output.parents) if folder.exists())
    if not existing.is_dir():
        raise NotADirectoryError(f"{existing} is a file, not a folder.")
    staging = Path(tempfile.mkdtemp(prefix=".cacscoring-", suffix=".tmp", dir=existing))
    try:
        yield staging
        output.mkdir(parents=True, exist_ok=True)
        written = {path.name for path in staging.iterdir()}
        for name in sorted(written):
            (staging / name).replace(output / name)
        for name in set(files) - written:
            (output / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def staged_file(target: Path) -> Iterator[Path]:
    """Give a temporary name with the same ending beside ``target``; it is renamed when the block ends well.

    Parameters
    ----------
    target : Path
        Its folder is created at the end if need be.

    Yields
    ------
    Path
        Where to write.
    """
    target = Path(target).resolve()
    existing = next(folder for folder in target.parents if folder.exists())
    if not existing.is_dir():
        raise NotADirectoryError(f"{existing} is a file, not a folder.")
    staging = Path(tempfile.mkdtemp(prefix=".cacscoring-", suffix=".tmp", dir=existing))
    try:
        yield staging / target.name
        target.parent.mkdir(parents=True, exist_ok=True)
        (staging / target.name).replace(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file as a whole (UTF-8, line ends as they are)."""
    with staged_file(target) as path:
        path.write_bytes(text.encode("utf-8"))
