"""What the user names as input of a batch -> one case a scan: folders, patterns, lists, files."""

from __future__ import annotations

import csv
import glob
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

VOLUME_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".zip")
"""Files that are a scan of their own wherever they lie."""
NOT_A_SCAN = ("label", "mask", "seg", "structure", "truth")
"""Words in the name of a volume file found in a folder that is not a scan but belongs to one."""
LIST_COLUMNS = ("input", "path", "scan")
"""Names of the column with the scans in a CSV list, the first that is there; otherwise the first column."""
HEADERS_TRIED = 3
"""Files of a folder that are opened to see whether it holds DICOM."""


class NoInputError(ValueError):
    """Nothing can be made of what the user named; the message says what and why."""


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


def find_cases(inputs: Iterable[str]) -> list[Case]:
    """Return one case for each scan among the inputs, in their order, each once.

    Parameters
    ----------
    inputs : iterable of str
        Scan files; folders; patterns with ``*``; ``.csv`` lists with a column ``input`` and perhaps ``mask``.
        A folder with the DICOM files of one study is one scan; with several studies, one scan a study. Each
        NIfTI, NRRD, MetaImage or zip file in a folder without DICOM is a scan.

    Raises
    ------
    NoInputError
        If a pattern matches nothing or a list cannot be read.
    """
    found: dict[str, str | None] = {}
    for item in inputs:
        for source, mask in _expand(item):
            found.setdefault(source, mask)
    return _named(found)


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


def _expand(item: str) -> Iterator[tuple[str, str | None]]:
    """Yield (scan, mask) for one input."""
    path = Path(item)
    if not path.exists() and glob.has_magic(item):
        matches = sorted(glob.glob(item, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not matches:
            raise NoInputError(f"No file or folder matches '{item}'.")
        for match in matches:
            yield from _expand(match)
    elif path.suffix.lower() == ".csv" and path.is_file():
        yield from _read_list(path)
    elif path.is_dir():
        for scan in scans_in_folder(path):
            yield str(scan), None
    else:
        yield item, None


def _read_list(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield (scan, mask) from a CSV list; relative paths start at the list's folder."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NoInputError(f"The list '{path}' cannot be read as CSV ({error}).") from error
    if not rows:
        raise NoInputError(f"The list '{path}' is empty: give one scan a row.")
    header = [cell.strip().lower() for cell in rows[0]]
    column = next((header.index(name) for name in LIST_COLUMNS if name in header), None)
    masks = header.index("mask") if "mask" in header else None
    for row in rows if column is None else rows[1:]:
        cells = [cell.strip() for cell in row]
        scan = cells[column or 0] if len(cells) > (column or 0) else ""
        if scan:
            mask = cells[masks] if column is not None and masks is not None and len(cells) > masks else ""
            yield str(path.parent / scan), str(path.parent / mask) if mask else None


def scans_in_folder(folder: Path) -> list[Path]:
    """Return what is a scan of its own in a folder: one folder a DICOM study, or volume files.

    Where nothing looks like a scan, the folder itself is returned, so that loading it says why not.
    """
    studies: dict[str, list[Path]] = {}
    volumes: list[Path] = []
    for name, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        here = Path(name)
        study = _study_of(here, sorted(files))
        if study is not None:
            studies.setdefault(study, []).append(here)
        else:
            volumes += [here / file for file in sorted(files) if _is_volume(file)]
    if studies:
        return _study_folders(folder, studies)
    return volumes or [folder]


def _study_folders(folder: Path, studies: dict[str, list[Path]]) -> list[Path]:
    """Return for each study the highest folder below ``folder`` that holds no other study.

    Studies that share a folder cannot be told apart by path: that folder stands for all of them, and loading
    chooses the best series in it.
    """
    inside: dict[Path, set[str]] = {}
    for study, places in studies.items():
        for place in places:
            for each in (place, *place.parents):
                inside.setdefault(each, set()).add(study)
                if each == folder:
                    break
    tops = []
    for places in studies.values():
        top = Path(os.path.commonpath(places))
        while top != folder and len(inside[top.parent]) == 1:
            top = top.parent
        tops.append(top)
    return sorted({top for top in tops if not any(other in top.parents for other in tops)})


def _is_volume(name: str) -> bool:
    lower = name.lower()
    return lower.endswith(VOLUME_ENDINGS) and not any(word in lower for word in NOT_A_SCAN)


def _study_of(folder: Path, names: list[str]) -> str | None:
    """Return the study of a folder's first DICOM file, or None where it holds none."""
    import pydicom

    candidates = [name for name in names if not _is_volume(name) and not name.startswith(".")]
    for name in candidates[:HEADERS_TRIED]:
        try:
            header = pydicom.dcmread(folder / name, stop_before_pixels=True, specific_tags=["StudyInstanceUID"])
        except (OSError, ValueError, pydicom.errors.InvalidDicomError):
            continue
        # Pydicom also raises other kinds on damaged files; those are left to loading, which says what is wrong.
        except Exception:
            return str(folder)
        return str(header.get("StudyInstanceUID", "")) or str(folder)
    return None


def _named(found: dict[str, str | None]) -> list[Case]:
    """Give each scan a name that can be a folder; the same names get an ending made from their path."""
    stems = {source: _stem(source) for source in found}
    counts: dict[str, int] = {}
    for stem in stems.values():
        counts[stem.lower()] = counts.get(stem.lower(), 0) + 1
    cases = []
    for source, mask in found.items():
        name = stems[source]
        if counts[name.lower()] > 1:
            name += "-" + hashlib.sha256(str(Path(source).resolve()).encode()).hexdigest()[:8]
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
