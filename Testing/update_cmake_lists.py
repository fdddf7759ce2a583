"""Rewrite the lists of scripts and resources in CMakeLists.txt from the tree.

Slicer's build installs only what is listed; a test holds the lists against the tree.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CMAKE = ROOT / "CMakeLists.txt"
MODULES_CMAKE = ROOT / "CACScoring" / "CMakeLists.txt"
LISTS = re.compile(r"(?<=# BEGIN lists\n).*?(?=# END lists\n)", re.DOTALL)
NOT_INSTALLED = ("Documentation", "Screenshots")
"""Folders of Resources for readers of the repository only."""


def scripts() -> list[str]:
    """Return the library's Python files, relative to the root."""
    return _listed(ROOT / "CACScoringLib", "*.py")


def resources() -> list[str]:
    """Return the resource files that are installed, relative to the root."""
    return [name for name in _listed(ROOT / "Resources", "*") if name.split("/")[1] not in NOT_INSTALLED]


def module_scripts() -> list[str]:
    """Return the Python files of the desktop's modules, relative to their folder."""
    return sorted(name.removeprefix("CACScoring/") for name in _listed(ROOT / "CACScoring", "*.py"))


def modules_text() -> str:
    """Return what CACScoring/CMakeLists.txt should say."""
    lists = _set("MODULE_PYTHON_SCRIPTS", module_scripts())
    return LISTS.sub(lambda _match: lists, MODULES_CMAKE.read_text(encoding="utf-8"))


def text() -> str:
    """Return what CMakeLists.txt should say."""
    lists = _set("CACSCORING_SCRIPTS", scripts()) + _set("CACSCORING_RESOURCES", resources())
    return LISTS.sub(lambda _match: lists, CMAKE.read_text(encoding="utf-8"))


def _listed(folder: Path, pattern: str) -> list[str]:
    files = (path.relative_to(ROOT) for path in folder.rglob(pattern) if path.is_file())
    return sorted(
        path.as_posix()
        for path in files
        if not any(part.startswith((".", "__pycache__")) for part in path.parts) and path.suffix != ".pyc"
    )


def _set(variable: str, names: list[str]) -> str:
    return f"set({variable}\n" + "".join(f"  {name}\n" for name in names) + "  )\n"


if __name__ == "__main__":
    CMAKE.write_text(text(), encoding="utf-8", newline="\n")
    MODULES_CMAKE.write_text(modules_text(), encoding="utf-8", newline="\n")
