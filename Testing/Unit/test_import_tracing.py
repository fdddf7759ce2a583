"""Loading the module and the effect in Slicer loads nothing heavy: traced in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "monai", "pandas", "highdicom", "matplotlib", "skimage", "lifelines", "statsmodels", "dask"}

TRACE = f"""
import json, sys
seen = set()
sys.addaudithook(lambda event, args: seen.add(str(args[0]).split(".")[0]) if event == "import" else None)
sys.path.insert(0, {str(ROOT / "CACScoring")!r})
"""
REPORT = "\nprint(json.dumps(sorted(seen)))"

DESKTOP = """
import types
from unittest.mock import MagicMock
import slicer, slicer.util
class Base:
    def __init__(self, parent=None): pass
def module(name, **members):
    made = types.ModuleType(name)
    made.__dict__.update(members)
    sys.modules[name] = made
    parent, _, child = name.rpartition(".")
    if parent: setattr(sys.modules[parent], child, made)
names = ("", "Widget", "Logic", "Test")
module("slicer.ScriptedLoadableModule", **{"ScriptedLoadableModule" + name: Base for name in names})
module("slicer.i18n", tr=str, translate=lambda context, text: text)
annotations = {name: lambda *values: values for name in ("Choice", "Default", "WithinRange")}
module("slicer.parameterNodeWrapper", parameterNodeWrapper=lambda wrapped: wrapped, **annotations)
module("SegmentEditorEffects", AbstractScriptedSegmentEditorEffect=Base)
for name in ("qt", "ctk", "qSlicerSegmentationsEditorEffectsPythonQt", "SegmentStatisticsPlugins"):
    sys.modules[name] = MagicMock()
slicer.app = slicer.modules = MagicMock()
"""


def traced(code):
    """Return the top-level names that were looked for while ``code`` ran."""
    done = subprocess.run(
        [sys.executable, "-c", TRACE + code + REPORT], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_trace_would_notice():
    assert "matplotlib" in traced("import matplotlib")


@pytest.mark.parametrize("desktop", ["", DESKTOP], ids=["slicer-core", "stand-in for the desktop"])
def test_loading_the_modules_and_the_effect_imports_nothing_heavy(desktop):
    modules = sorted(path.stem for path in (ROOT / "CACScoring").glob("*.py"))
    assert "CACScoring" in modules
    code = desktop + "".join(f"\nimport {name}" for name in modules)
    if desktop:
        folders = ("CACScoringDesktop", "SegmentEditorCACScoringLib")
        parts = sorted(path for folder in folders for path in (ROOT / "CACScoring" / folder).glob("*.py"))
        code += "".join(f"\nimport {path.parent.name}.{path.stem}" for path in parts if path.stem != "__init__")
    code += "\nCACScoring.CACScoringLogic()"
    assert not traced(code) & HEAVY


def test_what_is_looked_for_before_the_network_runs_is_not_imported():
    code = (
        "import CACScoring\nfrom CACScoringLib.mrml.session import ScoringSession\n"
        "from CACScoringLib.mrml.settings import DesktopSettings\n"
        "DesktopSettings().models(); ScoringSession(CACScoring.CACScoringLogic()).status()"
    )
    assert not traced(code) & HEAVY
