"""Where the models lie that a person imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

MODELS_VARIABLE = "CACSCORING_MODELS"
"""Environment variable: another folder for imported models."""


def user_models_dir() -> Path:
    """Return the folder of imported models; it need not exist.

    ``CACSCORING_MODELS`` where that is set, else the place for such data on each system.
    """
    named = os.environ.get(MODELS_VARIABLE)
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "CACScoring" / "Models"
