"""One labelled scan of a data set, and how patients are divided."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError
from CACScoringLib.vocabulary import Vessel


@dataclass(frozen=True, eq=False)
class LabelledScan:
    """A scan with what an expert drew.

    Attributes
    ----------
    ct : CTVolume
    labels : ndarray of uint8, shape (z, y, x)
        Values of the vocabulary.
    structures : ndarray of uint8, shape (z, y, x), or None
        Heart structures, where the data set has them.
    left_main_is_lad : bool
        Whether the left main is labelled LAD, so that the two cannot be told apart.
    names_non_coronary : bool
        Whether calcium outside the coronaries is labelled too; if not, what has no label is only known
        to be no coronary calcium.
    findings : tuple of Finding
    """

    ct: CTVolume
    labels: np.ndarray
    structures: np.ndarray | None = None
    left_main_is_lad: bool = False
    names_non_coronary: bool = False
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class ScanFiles:
    """Where a labelled scan lies; nothing is read before ``load``.

    Attributes
    ----------
    case_id : str
    patient_id : str
        Scans of one patient never stand on both sides of a split.
    files : tuple of str
        What the scan is made of: a change in one of them makes a new case.
    reader : callable
        Reads the scan; raises ``InputRefusedError``.
    """

    case_id: str
    patient_id: str
    files: tuple[str, ...]
    reader: Callable[[], LabelledScan]

    def load(self) -> LabelledScan:
        """Read the scan.

        Raises
        ------
        InputRefusedError
            With one sentence that names the case.
        """
        try:
            return self.reader()
        except InputRefusedError as error:
            raise InputRefusedError(named(self.case_id, error.finding)) from error


def named(case_id: str, finding: Finding) -> Finding:
    """Return a finding whose sentence begins with the case."""
    start = f"Case {case_id}: "
    return finding if finding.message.startswith(start) else replace(finding, message=start + finding.message)


def merge_left_main(labels: np.ndarray) -> np.ndarray:
    """Return labels in which the left main counts as LAD, as orCaScore has it."""
    return np.where(labels == Vessel.LM, np.uint8(Vessel.LAD), labels).astype(np.uint8)


def split_patients(patients: Iterable[str], share: float, seed: int = 0) -> tuple[list[str], list[str]]:
    """Divide patients into those to train on and those to validate on.

    The patients with the smallest hashes of seed and id validate, so the division does not depend on the order of
    files, and a patient added later moves few others.

    Parameters
    ----------
    patients : iterable of str
        May name a patient several times.
    share : float
        Of patients to validate on, 0 to 0.5; at least one where there are two or more and the share is not 0.
    seed : int

    Returns
    -------
    training, validation : list of str
    """
    if not 0.0 <= share <= 0.5:
        raise ValueError(f"the share of patients to validate on is 0 to 0.5, not {share}")
    unique = sorted(set(patients))
    ordered = sorted(unique, key=lambda p: hashlib.sha256(f"{seed}:{p}".encode()).digest())
    count = round(share * len(ordered))
    if share > 0 and len(ordered) > 1:
        count = max(count, 1)
    chosen = set(ordered[:count])
    return [p for p in unique if p not in chosen], [p for p in unique if p in chosen]
