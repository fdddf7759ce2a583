"""A process of its own for one cohort: reads ``request.json`` of a folder, fills the folder, says how far it is.

Standard output has one JSON object a line: ``progress`` (fraction, text), then ``done`` (findings), ``refused`` or
``failed`` (code, message). It ends when it is killed: everything is written into its own folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from CACScoringLib.cohort.request import CohortRequest, answer
from CACScoringLib.findings import InputRefusedError

REQUEST = "request.json"
MODULE = "CACScoringLib.cohort.worker"


def write_request(folder: Path, request: CohortRequest) -> None:
    """Write what is asked into the worker's folder."""
    (folder / REQUEST).write_text(json.dumps(asdict(request)), encoding="utf-8")


def read_request(folder: Path) -> CohortRequest:
    """Return what is asked."""
    document = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    known = {field.name for field in fields(CohortRequest)}
    return CohortRequest(**{name: _value(value) for name, value in document.items() if name in known})


def main(arguments: list[str] | None = None) -> int:
    """Answer the request in the folder that is named; return the exit status."""
    folder = Path((sys.argv[1:] if arguments is None else arguments)[0])
    try:
        findings = answer(read_request(folder), folder, lambda done, text: _say("progress", fraction=done, text=text))
    except InputRefusedError as error:
        _say("refused", **error.finding.as_dict())
    except Exception as error:  # the last line of defence: a person reads one sentence
        words = " ".join(str(error).split())[:300]
        _say("failed", code="cohort-failed", message=f"The statistics failed ({type(error).__name__}: {words}).")
    else:
        _say("done", findings=[finding.as_dict() for finding in findings])
        return 0
    return 1


def _say(event: str, **more: Any) -> None:
    line: Mapping[str, Any] = {"event": event, **more}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _value(value: Any) -> Any:
    return tuple(map(str, value)) if isinstance(value, list) else str(value)
