"""A plain folder of scans and label maps.

Either one folder a case, ``<case>/ct`` (a DICOM folder) or ``<case>/ct.nrrd`` with ``<case>/labels.nrrd`` and perhaps
``<case>/structures.nrrd``, as ``cacscoring phantom`` writes them; or ``images/<case>.nii.gz`` and
``labels/<case>.nii.gz`` (``imagesTr``, ``labelsTr`` and ``<case>_0000`` too). Values are ours, or those
that ``labels.json`` declares. ``patients.json`` says which cases are of one patient.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from CACScoringLib.ct.image_file import IMAGE_SUFFIXES, is_image_file
from CACScoringLib.ct.labels_file import load_labels
from CACScoringLib.ct.load import load_ct
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse
from CACScoringLib.models.label_map import LEFT_MAIN_OR_LAD, NAMES, read_json, read_label_map
from CACScoringLib.training.datasets.scan import LabelledScan, ScanFiles
from CACScoringLib.training.datasets.values import load_values
from CACScoringLib.vocabulary import NonCoronary, Structure

PAIRS = (("images", "labels"), ("imagesTr", "labelsTr"))
LABEL_MAP = "labels.json"
PATIENTS = "patients.json"


def list_plain(folder: Path, label_map: Path | None = None) -> list[ScanFiles]:
    """Return the cases that have labels.

    Parameters
    ----------
    folder : Path
    label_map : Path, optional
        ``labels.json`` in the folder when absent, or our own values when there is none.

    Raises
    ------
    InputRefusedError
        If the label map or the list of patients cannot be used.
    """
    place = label_map or folder / LABEL_MAP
    meaning = read_label_map(place) if label_map is not None or place.is_file() else None
    patients = _patients(folder / PATIENTS)
    extra = (str(place),) if meaning is not None else ()
    scans = []
    for case, (scan, labels, structures) in sorted(_pairs(folder).items()):
        files = (str(scan), str(labels), *([str(structures)] if structures else []), *extra)
        reader = partial(read_plain, scan, labels, structures, meaning)
        scans.append(ScanFiles(case, patients.get(case, case), files, reader))
    return scans


def _patients(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    document = read_json(path, "list of patients")
    if not all(isinstance(patient, str) for patient in document.values()):
        message = f"{path.name} must give each case its patient as text, such as {{'case-1': 'patient-1'}}."
        raise InputRefusedError(refuse("label-map", message))
    return document


def _pairs(folder: Path) -> dict[str, tuple[Path, Path, Path | None]]:
    """Return scan, labels and structures of each case."""
    found: dict[str, tuple[Path, Path, Path | None]] = {}
    for images, labels in PAIRS:
        marked = {_stem(path): path for path in _images_in(folder / labels)}
        for path in _images_in(folder / images):
            case = _stem(path).removesuffix("_0000")
            if case in marked:
                found[case] = (path, marked[case], None)
    names = {name for pair in PAIRS for name in pair}
    for case in sorted(folder.iterdir()):
        if not case.is_dir() or case.name in names or case.name.startswith("."):
            continue
        inside = {_stem(path): path for path in _images_in(case)}
        scan = inside.get("ct") or (case / "ct" if (case / "ct").is_dir() else None)
        if scan is not None and "labels" in inside:
            found[case.name] = (scan, inside["labels"], inside.get("structures"))
    return found


def _images_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_file() and is_image_file(p) and not p.name.startswith("."))


def _stem(path: Path) -> str:
    """Return a file's name without its ending; ``labels.seg.nrrd`` is ``labels``."""
    name = path.name
    ending = max((s for s in IMAGE_SUFFIXES if name.lower().endswith(s)), key=len)
    return name[: -len(ending)].removesuffix(".seg")


def read_plain(scan: Path, labels: Path, structures: Path | None, meaning: dict[int, str] | None) -> LabelledScan:
    """Read one case.

    Raises
    ------
    InputRefusedError
    """
    ct = load_ct(scan)
    findings: list[Finding] = []
    merged = meaning is not None and LEFT_MAIN_OR_LAD in meaning.values()
    if meaning is None:
        values, noticed = load_labels(labels, ct)
    else:
        values, noticed = load_values(labels, ct, {value: NAMES[name] for value, name in meaning.items()})
    findings.extend(noticed)
    if merged:
        findings.append(info("left-main-is-lad", "The labels do not tell the left main from the LAD."))
    heart = None
    if structures is not None:
        heart, noticed = load_values(structures, ct, {int(s): int(s) for s in Structure})
        findings.extend(noticed)
    named = bool(np.isin(values, [int(v) for v in NonCoronary]).any())
    return LabelledScan(ct, values, heart, merged, named, tuple(findings))
