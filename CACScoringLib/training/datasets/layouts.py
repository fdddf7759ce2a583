"""The layouts by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, refuse
from CACScoringLib.training.datasets.coca import list_coca
from CACScoringLib.training.datasets.orcascore import list_orcascore
from CACScoringLib.training.datasets.plain import list_plain
from CACScoringLib.training.datasets.scan import LabelledScan, ScanFiles, named

LAYOUTS: dict[str, str] = {
    "coca": "COCA, gated scans: patient/<n>/<series>/*.dcm and calcium_xml/<n>.xml",
    "orcascore": "orCaScore: <case>CTI.mhd and <case>R.mhd",
    "plain": "folders of a CT and its label map each, or images/ and labels/",
}
"""Layouts and what they look like."""
Refused = Callable[[str, Finding], None]


def list_scans(folder: str | Path, layout: str, *, label_map: Path | None = None) -> list[ScanFiles]:
    """Return the labelled scans of a data set, in the order of their ids.

    Parameters
    ----------
    folder : path
    layout : str
        One of ``LAYOUTS``.
    label_map : Path, optional
        What the values of the label maps mean (JSON); only for ``plain``.

    Raises
    ------
    InputRefusedError
        ``no-data``: there is no such folder or layout, or no scan with labels in it.
    """
    folder = Path(folder)
    if layout not in LAYOUTS:
        raise InputRefusedError(
            refuse("no-data", f"There is no layout '{layout}': choose one of {', '.join(LAYOUTS)}.")
        )
    if not folder.is_dir():
        raise InputRefusedError(refuse("no-data", f"There is no folder {folder} with data to read."))
    if label_map is not None and layout != "plain":
        raise InputRefusedError(
            refuse("no-data", f"The layout '{layout}' has labels of its own: leave the label map out.")
        )
    if layout == "coca":
        scans = list_coca(folder)
    elif layout == "orcascore":
        scans = list_orcascore(folder)
    else:
        scans = list_plain(folder, label_map)
    if not scans:
        raise InputRefusedError(
            refuse("no-data", f"{folder} holds no labelled scan in the layout '{layout}' ({LAYOUTS[layout]}).")
        )
    return scans


def load_dataset(
    folder: str | Path, layout: str, *, label_map: Path | None = None, refused: Refused | None = None
) -> Iterator[tuple[str, CTVolume, np.ndarray]]:
    """Read a data set scan by scan.

    Parameters
    ----------
    folder, layout, label_map
        As ``list_scans`` takes them.
    refused : callable, optional
        Told case and finding of a scan that cannot be used, which is then left out; without it the first
        such scan ends the reading.

    Yields
    ------
    case_id : str
    ct : CTVolume
        With the findings of the labels too; among them ``left-main-is-lad`` where the left main is labelled LAD, and
        what it is compared with needs ``merge_left_main``.
    labels : ndarray of uint8, shape (z, y, x)

    Raises
    ------
    InputRefusedError
    """
    for files, scan in read_scans(list_scans(folder, layout, label_map=label_map), refused):
        yield files.case_id, replace(scan.ct, findings=(*scan.ct.findings, *scan.findings)), scan.labels


def read_scans(scans: list[ScanFiles], refused: Refused | None = None) -> Iterator[tuple[ScanFiles, LabelledScan]]:
    """Read scans one by one; see ``load_dataset``."""
    read = 0
    for files in scans:
        try:
            scan = files.load()
        except InputRefusedError as error:
            if refused is None:
                raise
            refused(files.case_id, named(files.case_id, error.finding))
            continue
        read += 1
        yield files, scan
    if not read:
        raise InputRefusedError(refuse("no-data", f"None of the {len(scans)} labelled scans can be used."))
