"""The sample scan: a synthetic patient, made on this machine when it is asked for, the same one everywhere."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.mrml.processes import PACKAGE_ROOT, Launcher, SubprocessLauncher, python_executable
from CACScoringLib.mrml.volume import volume_from_ct

SAMPLE_NAME = "CACScoring synthetic gated CT"
PROTOCOL, SEED = "gated", 7
WAIT_S = 0.1
LONGEST_S = 600.0


def sample_folder(cache: Path) -> Path:
    """Return where the sample scan lies in a cache folder."""
    return cache / f"CACScoring-{PROTOCOL}-{SEED}"


def make_sample(cache: Path, launcher: Launcher | None = None, busy: Callable[[], None] = lambda: None) -> Path:
    """Return the folder of the sample scan, made first if it is not there; ``busy`` is called meanwhile.

    Raises
    ------
    InputRefusedError
        If it cannot be made; nothing is left behind.
    """
    folder = sample_folder(cache)
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".sample-", dir=cache) as temporary:
        part = Path(temporary) / "scan"
        process = (launcher or SubprocessLauncher()).launch(sample_command(part))
        started = time.monotonic()
        while process.status() is None:
            process.lines()
            busy()
            time.sleep(WAIT_S)
            if time.monotonic() - started > LONGEST_S:
                process.kill()
        if process.status() != 0 or not part.is_dir():
            said = process.errors().strip().splitlines()[-1:] or ["no reason given"]
            raise InputRefusedError(refuse("no-sample", f"The sample scan could not be made ({said[0][:200]})."))
        shutil.move(part, folder)
    return folder


def sample_command(folder: Path) -> list[str]:
    """Return the command that makes the sample scan."""
    code = (
        f"import sys; sys.path.insert(0, {str(PACKAGE_ROOT)!r}); from CACScoringLib.cli import main; sys.exit(main())"
    )
    options = ["--protocol", PROTOCOL, "--seed", str(SEED), "--output", str(folder), "--quiet"]
    return [python_executable(), "-c", code, "phantom", *options]


def load_sample(scene: Any, folder: Path) -> Any:
    """Add the sample scan to a scene and return its volume node, tube voltage included."""
    from CACScoringLib.ct import load_ct

    return volume_from_ct(scene, load_ct(folder / "ct"), SAMPLE_NAME)
