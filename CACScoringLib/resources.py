"""Where the files that ship with the project lie: beside the package, or inside it once installed."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resources_dir() -> Path:
    """Return the folder ``Resources``.

    ``pip install`` puts it inside the package; in a checkout and in Slicer it lies beside it.

    Raises
    ------
    FileNotFoundError
        If the installation is incomplete.
    """
    for folder in (_PACKAGE / "Resources", _PACKAGE.parent / "Resources"):
        if (folder / "Models").is_dir():
            return folder
    raise FileNotFoundError("The Resources folder is missing: install CACScoring again.")
