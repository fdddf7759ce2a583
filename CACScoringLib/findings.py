"""What was noticed about the input or the result, in words and with a stable code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum


class Severity(str, Enum):
    """How much a finding matters: ``refuse`` means that no score is given."""

    INFO = "info"
    WARNING = "warning"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Finding:
    """One observation about the input or the result.

    Attributes
    ----------
    severity : Severity
    code : str
        Kebab-case and stable between versions: for programs.
    message : str
        One clear sentence: what is the matter and what to do. For a person.
    """

    severity: Severity
    code: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """Return the finding as ``scores.json`` writes it."""
        return {**asdict(self), "severity": self.severity.value}

    @classmethod
    def from_dict(cls, entry: Mapping[str, object]) -> Finding:
        """Read what ``as_dict`` has written; KeyError or ValueError where it is something else."""
        return cls(Severity(entry["severity"]), str(entry["code"]), str(entry["message"]))


def readable_findings(entries: object) -> tuple[Finding, ...]:
    """Read what ``as_dict`` has written where others may have changed it since; what is no finding is left out."""
    known = {severity.value for severity in Severity}
    return tuple(
        Finding(Severity(entry["severity"]), str(entry.get("code", "")), str(entry.get("message", "")))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and entry.get("severity") in known
    )


def info(code: str, message: str) -> Finding:
    """Return an informative finding."""
    return Finding(Severity.INFO, code, message)


def warning(code: str, message: str) -> Finding:
    """Return a finding that casts doubt on the score."""
    return Finding(Severity.WARNING, code, message)


def refuse(code: str, message: str) -> Finding:
    """Return a finding for which no score can be given."""
    return Finding(Severity.REFUSE, code, message)


class InputRefusedError(ValueError):
    """The input cannot be scored; ``finding`` says why in one sentence."""

    def __init__(self, finding: Finding):
        super().__init__(finding.message)
        self.finding = finding
