"""A folder -> what is a scan of its own in it: one folder a DICOM study, and volume files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

VOLUME_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".zip")
"""Files that are a scan of their own wherever they lie."""
NOT_A_SCAN = frozenset(
    (
        "label", "labels", "labelmap", "labelmaps", "mask", "masks", "seg", "segmentation", "segmentations",
        "structure", "structures", "truth", "attention",
    )
)  # fmt: skip
"""Words in the name of a volume file found in a folder that is not a scan but belongs to one."""
_WORD = re.compile(r"[^\W\d_]+")
_DICOMDIR = "1.2.840.10008.1.3.10"


@dataclass
class FolderScans:
    """What was found in a folder, and what was not taken from it.

    Attributes
    ----------
    scans : list of Path
        Folders of DICOM studies and volume files.
    left_out : list of Path
        Volume files whose names say that they are masks or labels.
    mixed : dict of Path to int
        Folders that stand for several studies, and for how many.
    not_entered : list of Path
        Folders that may not be looked into, and links to folders.
    """

    scans: list[Path] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    mixed: dict[Path, int] = field(default_factory=dict)
    not_entered: list[Path] = field(default_factory=list)


def scans_in_folder(folder: Path) -> FolderScans:
    """Return what is a scan of its own in a folder.

    Where nothing looks like a scan, the folder itself is returned, so that loading it says why not.
    """
    from CACScoringLib.ct.headers import SYSTEM_FOLDERS

    found = FolderScans()
    studies: dict[str, list[Path]] = {}
    for name, folders, files in os.walk(folder, onerror=lambda error: found.not_entered.append(Path(error.filename))):
        here = Path(name)
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each not in SYSTEM_FOLDERS)
        found.not_entered += [here / each for each in folders if (here / each).is_symlink()]
        shown = sorted(file for file in files if not file.startswith("."))
        volumes = [here / file for file in shown if file.lower().endswith(VOLUME_ENDINGS)]
        found.left_out += [file for file in volumes if _belongs_to_a_scan(file.name)]
        found.scans += [file for file in volumes if not _belongs_to_a_scan(file.name)]
        study = _study_of(here, [file for file in shown if not file.lower().endswith(VOLUME_ENDINGS)])
        if study is not None:
            studies.setdefault(study, []).append(here)
    if studies:
        found.mixed = _study_folders(folder, studies)
        found.scans = sorted([*found.scans, *found.mixed])
        found.mixed = {place: count for place, count in found.mixed.items() if count > 1}
    found.scans = found.scans or [folder]
    return found


def _belongs_to_a_scan(name: str) -> bool:
    """Return whether a word of a file's name says that it is no scan.

    >>> [_belongs_to_a_scan(name) for name in ("b-labels.nrrd", "c.seg.nrrd", "Segal.nrrd", "Unlabelled_3.nrrd")]
    [True, True, False, False]
    """
    return not NOT_A_SCAN.isdisjoint(_WORD.findall(name.lower()))


def _study_folders(folder: Path, studies: dict[str, list[Path]]) -> dict[Path, int]:
    """Return for each study the highest folder below ``folder`` that holds no other study; and how many it holds.

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
    tops = set()
    for places in studies.values():
        top = Path(os.path.commonpath(places))
        while top != folder and len(inside[top.parent]) == 1:
            top = top.parent
        tops.add(top)
    return {top: len(inside[top]) for top in tops if not any(other in top.parents for other in tops)}


def _study_of(folder: Path, names: list[str]) -> str | None:
    """Return the study of a folder's first DICOM file, or None where it holds none.

    Every file is tried: what lies on a medium beside its scans (AUTORUN.INF, README, DICOMDIR) comes first in order.
    """
    import pydicom

    from CACScoringLib.ct.headers import looks_like_dicom

    otherwise = None
    for name in names:
        if not looks_like_dicom(folder / name):
            continue
        try:
            wanted = ["StudyInstanceUID"]
            header = pydicom.dcmread(folder / name, stop_before_pixels=True, specific_tags=wanted, force=True)
            if str(header.file_meta.get("MediaStorageSOPClassUID", "")) == _DICOMDIR:
                continue
            study = str(header.get("StudyInstanceUID", "") or "")
        # Pydicom raises many kinds on damaged files; those are left to loading, which says what is wrong.
        except Exception:
            study = ""
        if study:
            return study
        otherwise = str(folder)
    return otherwise
