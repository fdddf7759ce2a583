"""Score many scans with 3D Slicer's Python and no window; what ``cacscoring batch`` does, exit status included.

    Slicer --no-main-window --python-script .../CACScoringDesktop/batch.py -- INPUT... --output DIR [options]

All options of ``cacscoring batch`` are understood, and ``--install-packages``, which installs missing Python packages
without asking (there is no window to ask in). The scans are scored in processes of their own: Slicer only waits.
"""

import subprocess
import sys
from pathlib import Path

INSTALL = "--install-packages"
FAILURE = 1
INTERRUPTED = 130
_HERE = Path(__file__).resolve().parent


def findLibrary():
    """Put the library's place on the path: beside the module once installed, one folder up in a checkout."""
    for root in (_HERE.parent, _HERE.parents[1]):
        if (root / "CACScoringLib" / "__init__.py").is_file():
            if str(root) not in sys.path:
                sys.path.insert(0, str(root))
            return root
    raise ImportError("CACScoringLib is missing: install the CACScoring extension again.")


def arguments(argv):
    """Return the words after ``--``, or all but the program's name where there is none."""
    return argv[argv.index("--") + 1 :] if "--" in argv else argv[1:]


def main(argv, installer=None, call=subprocess.call):
    """Score the scans and return the exit status of ``cacscoring batch``."""
    root = findLibrary()
    from CACScoringLib.mrml.processes import python_executable

    words = arguments(argv)
    wanted = INSTALL in words
    words = [word for word in words if word != INSTALL]
    if not {"-h", "--help"} & set(words):
        problem = packagesProblem(wanted, installer)
        if problem:
            sys.stderr.write(f"cacscoring: {problem}\n")
            return FAILURE
    code = f"import sys; sys.path.insert(0, {str(root)!r}); from CACScoringLib.cli import main; sys.exit(main())"
    try:
        return call([python_executable(), "-c", code, "batch", *words])
    except KeyboardInterrupt:
        return INTERRUPTED


def packagesProblem(install, installer=None):
    """Return what keeps the network from running, in one sentence; nothing where it can run."""
    from CACScoringLib.installing import Installer, InstallError

    installer = installer or Installer()
    try:
        if install:
            installer.ensure(ask=False)
            return ""
        missing = installer.missing()
    except InstallError as error:
        return "" if error.finding.code == "no-installer" else error.finding.message
    return f"Python packages are missing ({', '.join(missing)}): add {INSTALL}." if missing else ""


def leave(status):
    """End Slicer, or Python, with a status."""
    import slicer

    if hasattr(slicer, "app"):
        slicer.util.exit(status)
    else:
        sys.exit(status)


if __name__ == "__main__":
    leave(main(sys.argv))
