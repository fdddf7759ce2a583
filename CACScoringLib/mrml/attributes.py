"""Values kept in node attributes as JSON; what others wrote there is not trusted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from CACScoringLib.findings import Finding, readable_findings

FINDINGS_ATTRIBUTE = "CACScoring.Findings"
"""Attribute of a volume or segmentation: what was noticed about it."""


def write_json(node: Any, attribute: str, value: Any) -> None:
    """Write a plain value into a node attribute; None removes it."""
    node.SetAttribute(attribute, None if value is None else json.dumps(value, allow_nan=False))


def read_json(node: Any, attribute: str, kind: type | tuple[type, ...]) -> Any:
    """Return the value of a node attribute, or None if it is not there, unreadable, or not of a kind."""
    try:
        value = json.loads(node.GetAttribute(attribute) or "null")
    except ValueError:
        return None
    return value if isinstance(value, kind) else None


def write_findings(node: Any, findings: Iterable[Finding]) -> None:
    """Write findings into a node's attributes."""
    write_json(node, FINDINGS_ATTRIBUTE, [finding.as_dict() for finding in findings])


def read_findings(node: Any) -> tuple[Finding, ...]:
    """Return the findings that a node's attributes hold."""
    return readable_findings(read_json(node, FINDINGS_ATTRIBUTE, list))
