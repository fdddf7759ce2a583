"""What the user names as input of a batch -> one case a scan: folders, patterns, lists, files."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from CACScoringLib.batch.scan_folders import VOLUME_ENDINGS, FolderScans, scans_in_folder
from CACScoringLib.batch.scan_lists import NoInputError, Pair, read_list

NAMED = 4
"""So many files are named in a note; of the others there is the number."""


@dataclass(frozen=True)
class Case:
    """One scan of a batch.

    Attributes
    ----------
    name : str
        Unique in the batch: the name of its output folder.
    source : str
        Path of the scan.
    mask : str or None
        Labels to score instead of a method's.
    """

    name: str
    source: str
    mask: str | None = None


def find_cases(
    inputs: Iterable[str], *, each_mask: bool = False, note: Callable[[str], None] | None = None
) -> list[Case]:
    """Return one case for each scan among the inputs, in their order, each once however its path is written.

    Parameters
    ----------
    inputs : iterable of str
        Scan files; folders; patterns with ``*``; ``.csv`` lists with a column ``input`` and perhaps ``mask``.
        A folder with the DICOM files of one study is one scan; with several studies, one scan a study. Each
        NIfTI, NRRD, MetaImage or zip file in a folder is a scan, unless its name says that it is a mask.
    each_mask : bool
        Whether a scan that is listed with several masks is a case with each of them; otherwise the first counts.
    note : callable, optional
        Is given a sentence for what was left out.

    Raises
    ------
    NoInputError
        If a pattern matches nothing or a list cannot be read.
    """
    noticed = _Noticed()
    found: dict[Pair, Pair] = {}
    for item in inputs:
        for source, mask in _expand(item, noticed):
            key = (_place(source), _place(mask) if mask and each_mask else None)
            if key in found:
                noticed.twice.append(source)
            else:
                found[key] = (source, mask)
    for sentence in noticed.words() if note is not None else ():
        note(sentence)
    return _named(list(found.values()))


def input_identity(case: Case) -> str:
    """Return a fingerprint of a case's files: their names, sizes and times, not their contents."""
    digest = hashlib.sha256()
    for path in filter(None, (case.source, case.mask)):
        digest.update(str(Path(path).resolve()).encode())
        for name, size, changed in _files_below(Path(path)):
            digest.update(f"\n{name}\t{size}\t{changed}".encode())
    return digest.hexdigest()[:16]


def _files_below(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield (relative path, bytes, time of the last change in ns) of every file, sorted."""
    if path.is_file():
        status = path.stat()
        yield path.name, status.st_size, status.st_mtime_ns
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder) / name
            if file.is_file():
                status = file.stat()
                yield str(file.relative_to(path)), status.st_size, status.st_mtime_ns


@dataclass
class _Noticed:
    """What is not a case of its own among the inputs."""

    sentences: list[str] = field(default_factory=list)
    folders: list[FolderScans] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)

    def words(self) -> list[str]:
        """Return a sentence for each kind of thing."""
        sentences = list(self.sentences)
        left_out = _once(path for folder in self.folders for path in folder.left_out)
        if left_out:
            files = "1 file was" if len(left_out) == 1 else f"{len(left_out)} files were"
            why = "by name masks or labels; name one itself to score it"
            sentences.append(f"{files} left out, {why}: {_some(left_out)}.")
        mixed = {place: count for folder in self.folders for place, count in folder.mixed.items()}
        for place, count in mixed.items():
            why = f"{count} studies that share a folder, and only one is scored: give each a folder of its own"
            sentences.append(f"'{place}' holds {why}.")
        closed = _once(path for folder in self.folders for path in folder.not_entered)
        if closed:
            folders = "1 folder was" if len(closed) == 1 else f"{len(closed)} folders were"
            sentences.append(f"{folders} not looked into, closed or a link; name one itself: {_some(closed)}.")
        if self.twice:
            scans = "1 scan was" if len(self.twice) == 1 else f"{len(self.twice)} scans were"
            sentences.append(f"{scans} named again and counted once: {_some(self.twice)}.")
        return sentences


def _once(paths: Iterable[Path]) -> list[str]:
    """Return each path once, as it is written first."""
    places: dict[str, str] = {}
    for path in paths:
        places.setdefault(_place(str(path)), str(path))
    return list(places.values())


def _some(paths: list[str]) -> str:
    """Return paths in words, at most ``NAMED`` of them."""
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(f"'{path}'" for path in paths[:NAMED]) + more


def _place(path: str) -> str:
    """Return the path that is the same however it is written."""
    try:
        return os.path.realpath(path)
    except ValueError as error:
        raise NoInputError(f"{path!r} names something that is no path ({error}): correct it.") from error


def _expand(item: str, noticed: _Noticed) -> Iterator[Pair]:
    """Yield (scan, mask) for one input."""
    path = Path(item)
    if not path.exists() and glob.has_magic(item):
        matches = sorted(glob.glob(item, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not matches:
            raise NoInputError(f"No file or folder matches '{item}'.")
        for match in matches:
            yield from _expand(match, noticed)
    elif path.suffix.lower() == ".csv" and path.is_file():
        yield from read_list(path, noticed.sentences.append)
    elif path.is_dir():
        found = scans_in_folder(path)
        noticed.folders.append(found)
        for scan in found.scans:
            yield str(scan), None
    else:
        yield item, None


def _named(found: list[Pair]) -> list[Case]:
    """Give each scan a name that can be a folder; the same names get an ending made from their paths.

    Where a scan comes with several masks, the name of the mask follows that of the scan.
    """
    places = [_place(source) for source, _ in found]
    readings = Counter(places)
    names, written = [], []
    for place, (source, mask) in zip(places, found, strict=True):
        several = mask is not None and readings[place] > 1
        names.append(f"{_stem(source)}-{_stem(mask)}" if several else _stem(source))
        written.append(f"{place}\n{_place(mask)}" if several else place)
    counts = Counter(name.lower() for name in names)
    cases = []
    for name, text, (source, mask) in zip(names, written, found, strict=True):
        if counts[name.lower()] > 1:
            name += "-" + hashlib.sha256(text.encode()).hexdigest()[:8]
        cases.append(Case(name, source, mask))
    return cases


def _stem(source: str) -> str:
    """Return the name of a scan without its ending, made of letters that every file system takes."""
    name = Path(source).resolve().name
    for ending in sorted((*VOLUME_ENDINGS, ".dcm"), key=len, reverse=True):
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "scan"
