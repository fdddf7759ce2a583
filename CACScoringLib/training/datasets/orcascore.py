"""orCaScore (Wolterink 2016, doi 10.1118/1.4945696): MetaImage scans and reference label maps.

``<case>CTI.mhd`` is the scan without contrast agent, ``<case>CTAI.mhd`` the angiography (not used), ``<case>R.mhd`` the
reference: 1 LAD, 2 LCX, 3 RCA. The left main is labelled LAD there. The scans lie in one folder or in several.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from CACScoringLib.ct.load import load_ct
from CACScoringLib.findings import info
from CACScoringLib.training.datasets.scan import LabelledScan, ScanFiles
from CACScoringLib.training.datasets.values import load_values
from CACScoringLib.vocabulary import Vessel

NAME = re.compile(r"(?P<case>.+?)[-_]?(?P<role>CTAI|CTA|CTI|CT|R|reference|ref)\.(?:mhd|mha)", re.IGNORECASE)
SCAN_ROLES, REFERENCE_ROLES = ("cti", "ct"), ("r", "reference", "ref")
MEANING = {1: Vessel.LAD, 2: Vessel.LCX, 3: Vessel.RCA}
"""Published at orcascore.grand-challenge.org (data page)."""


def list_orcascore(folder: Path) -> list[ScanFiles]:
    """Return the scans that have a reference, anywhere below the folder."""
    places: dict[str, dict[str, Path]] = {}
    for path in sorted([*folder.rglob("*.mhd"), *folder.rglob("*.mha")]):
        match = NAME.fullmatch(path.name)
        if match is None or path.name.startswith("."):
            continue
        role = match["role"].lower()
        kind = "scan" if role in SCAN_ROLES else "reference" if role in REFERENCE_ROLES else "angiography"
        places.setdefault(match["case"], {}).setdefault(kind, path)
    return [
        ScanFiles(
            case,
            case,
            (str(found["scan"]), str(found["reference"])),
            partial(read_orcascore, found["scan"], found["reference"]),
        )
        for case, found in sorted(places.items())
        if "scan" in found and "reference" in found
    ]


def read_orcascore(scan: Path, reference: Path) -> LabelledScan:
    """Read one patient.

    Raises
    ------
    InputRefusedError
    """
    ct = load_ct(scan)
    labels, findings = load_values(reference, ct, {value: int(vessel) for value, vessel in MEANING.items()})
    said = info("left-main-is-lad", "The reference labels calcium of the left main as LAD.")
    return LabelledScan(ct, labels.astype(np.uint8), left_main_is_lad=True, findings=(*findings, said))
