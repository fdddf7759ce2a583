"""Read a small JSON file that may come from anybody."""

from __future__ import annotations

import json
from pathlib import Path


def json_object(path: Path, largest_bytes: int) -> dict:
    """Return the object that a JSON file holds.

    Raises
    ------
    ValueError
        What is wrong, worded to follow the file's name: too large, no JSON, or no object.
    """
    if path.stat().st_size > largest_bytes:
        raise ValueError(f"is too large: at most {largest_bytes // 1024} kB are read")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError("is not valid JSON") from error
    if not isinstance(document, dict):
        raise ValueError("holds no JSON object")
    return document
