"""A zip archive -> a temporary folder, with limits against archives made to harm."""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from CACScoringLib.findings import InputRefusedError, refuse

MAX_ARCHIVE_FILES = 20_000
MAX_ARCHIVE_BYTES = 8 * 2**30
"""8 GiB unpacked: fifteen thousand 512 x 512 slices."""

MAX_RATIO = 200.0
"""CT compresses two- to tenfold; deflate reaches 1,032 on zeros."""

RATIO_APPLIES_FROM_BYTES = 50 * 2**20
_CHUNK_BYTES = 2**20


@contextmanager
def extracted(archive: Path) -> Iterator[Path]:
    """Unpack ``archive`` into a temporary folder that is removed on leaving, whatever happens.

    Raises
    ------
    InputRefusedError
        ``archive-unsafe`` (size, number of files, ratio, a path that leaves the folder) or ``unreadable``.
    """
    with tempfile.TemporaryDirectory(prefix="cacscoring-") as folder:
        target = Path(folder)
        try:
            with zipfile.ZipFile(archive) as file:
                members = _checked_members(file, archive)
                budget = MAX_ARCHIVE_BYTES
                for member, name in members:
                    budget -= _write(file, member, target / name, budget, archive)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
            raise InputRefusedError(
                refuse(
                    "unreadable",
                    f"The archive {archive.name} could not be unpacked (damaged or encrypted): make it again.",
                )
            ) from error
        yield target


def _checked_members(file: zipfile.ZipFile, archive: Path) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    members = [item for item in file.infolist() if not item.is_dir()]
    if len(members) > MAX_ARCHIVE_FILES:
        raise _unsafe(archive, f"holds {len(members)} files, more than {MAX_ARCHIVE_FILES}")
    total = sum(item.file_size for item in members)
    packed = sum(item.compress_size for item in members)
    if total > MAX_ARCHIVE_BYTES:
        raise _unsafe(archive, f"unpacks to {total / 2**30:.1f} GiB, more than {MAX_ARCHIVE_BYTES / 2**30:.0f}")
    if total > RATIO_APPLIES_FROM_BYTES and total > MAX_RATIO * max(packed, 1):
        raise _unsafe(archive, f"unpacks to {total / max(packed, 1):.0f} times its size")
    checked = []
    for item in members:
        name = PurePosixPath(item.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in item.filename or "\0" in item.filename:
            raise _unsafe(archive, "holds a file whose path leads out of its folder")
        if "__MACOSX" not in name.parts and not _is_link(item):
            checked.append((item, name))
    return checked


def _is_link(item: zipfile.ZipInfo) -> bool:
    return (item.external_attr >> 16) & 0o170000 == 0o120000


def _write(file: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, budget: int, archive: Path) -> int:
    """Unpack one member, counting the bytes that really come out."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with file.open(member) as source, target.open("wb") as sink:
        while chunk := source.read(_CHUNK_BYTES):
            written += len(chunk)
            if written > budget:
                raise _unsafe(archive, "unpacks to more than it declares")
            sink.write(chunk)
    return written


def _unsafe(archive: Path, reason: str) -> InputRefusedError:
    return InputRefusedError(refuse("archive-unsafe", f"The archive {archive.name} {reason}: it is not unpacked."))
