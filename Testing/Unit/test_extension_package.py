"""What the Extensions Index checks and its reviewers ask, a test each, and the build with Slicer's own macros."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "CACScoring"
ENTRY = ROOT / "CACScoring.json"
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
NAME = re.search(r"^project\((\w+)\)$", CMAKE, re.MULTILINE).group(1)
SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json#"
)

RULES = {
    "$schema": lambda value: value == SCHEMA,
    "category": lambda value: isinstance(value, str) and value,
    "scm_url": lambda value: isinstance(value, str) and value.startswith("https://"),
    "scm_revision": lambda value: isinstance(value, str) and value,
    "scm_type": lambda value: value in ("git", "local"),
    "build_dependencies": lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    "build_subdirectory": lambda value: isinstance(value, str),
    "enabled": lambda value: isinstance(value, bool),
    "tier": lambda value: type(value) is int and 1 <= value <= 5,
}
"""Catalog entry schema v1.0.1: every key that may be there, and what its value must be."""
REQUIRED = ("$schema", "category", "scm_url")
MAX_CLONE_MIB = 100
"""The Extensions Index counts every file of a clone, in units of 2**20 bytes (``check_repository_size`` of its
``check_description_files.py``). Its clones have no history; this limit holds for those that do."""
SLICERS_OWN = {"slicer", "vtk", "qt", "ctk", "SimpleITK", "numpy", "scipy", "SegmentEditorEffects"}
SLICERS_OWN |= {"SegmentStatisticsPlugins"}
AT_FILE_SCOPE = {*sys.stdlib_module_names, *SLICERS_OWN}
OURS = {"CACScoringLib", "CACScoringDesktop", "SegmentEditorCACScoringLib"}
NETWORK = {"requests", "urllib", "http", "ftplib", "smtplib", "socket", "aiohttp", "httpx", "paramiko", "boto3"}

entry = json.loads(ENTRY.read_text(encoding="utf-8"))
extension_files = sorted(MODULES.rglob("*.py"))
library_files = sorted((ROOT / "CACScoringLib").rglob("*.py"))


def setting(name):
    return re.search(rf'^set\(EXTENSION_{name} "([^"\n]+)"\)$', CMAKE, re.MULTILINE).group(1)


def problems(candidate):
    """Return what the schema says against an entry."""
    missing = [f"{key} is missing" for key in REQUIRED if key not in candidate]
    wrong = [f"{key} is not right" for key, value in candidate.items() if key in RULES and not RULES[key](value)]
    return missing + wrong + [f"{key} must not be there" for key in candidate if key not in RULES]


def top_level_imports(path):
    """Return the packages that loading a file imports at once, ``try`` and ``if`` included."""
    found = set()

    def visit(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.update(alias.name.split(".")[0] for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                found.add((child.module or "").split(".")[0])
            elif not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def test_the_catalog_entry_keeps_to_the_schema():
    assert problems(entry) == []


@pytest.mark.parametrize(
    "change",
    [
        {"homepage": "x"},
        {"tier": 6},
        {"tier": True},
        {"scm_type": "svn"},
        {"build_dependencies": "PyTorch"},
        {"category": ""},
    ],
)
def test_the_check_of_the_schema_would_notice(change):
    assert problems({**entry, **change})
    assert problems({key: value for key, value in entry.items() if key != "scm_url"})


def test_the_rules_are_those_of_slicers_schema_where_its_sources_are_at_hand():
    source = os.environ.get("SLICER_SOURCE_DIR")
    if not source:
        pytest.skip("SLICER_SOURCE_DIR does not name Slicer's sources")
    schema = json.loads((Path(source) / "Schemas" / "slicer-extension-catalog-entry-schema-v1.0.1.json").read_text())
    assert set(schema["properties"]) == set(RULES)
    assert schema["required"] == list(REQUIRED)
    assert schema["additionalProperties"] is False
    assert schema["$id"] == SCHEMA


def test_the_entry_has_the_projects_name_and_unix_line_ends():
    assert NAME == ENTRY.stem == "CACScoring"
    data = ENTRY.read_bytes()
    assert b"\r" not in data
    assert data.endswith(b"}\n")


def test_the_repositorys_name_starts_with_slicer():
    repository = entry["scm_url"].removesuffix(".git").split("/")[-1]
    assert repository == f"Slicer{NAME}"
    assert setting("HOMEPAGE") == entry["scm_url"].removesuffix(".git")


def test_build_dependencies_are_those_of_cmake():
    assert setting("DEPENDS").split() == entry["build_dependencies"] == ["PyTorch"]


def test_the_category_is_the_modules_category():
    source = (MODULES / "CACScoring.py").read_text(encoding="utf-8")
    assert f'translate("qSlicerAbstractCoreModule", "{entry["category"]}")' in source


def test_a_licence_lies_in_the_root_and_is_packaged():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert 'set(EXTENSION_LICENSE_FILE "${CMAKE_CURRENT_SOURCE_DIR}/LICENSE")' in CMAKE
    assert 'set(EXTENSION_README_FILE "${CMAKE_CURRENT_SOURCE_DIR}/README.md")' in CMAKE


def test_a_clone_is_small():
    """The files, and the pack that a clone fetches: a checkout's store may hold other objects, and some unpacked."""

    def git(*words: str, text: str | None = None) -> subprocess.CompletedProcess:
        given = None if text is None else text.encode()
        return subprocess.run(["git", *words], cwd=ROOT, input=given, capture_output=True, check=False)

    done = git("ls-files", "-z")
    if done.returncode:
        pytest.skip("not a git checkout")
    names = done.stdout.decode().split("\0")
    files = sum(path.stat().st_size for name in names if name and (path := ROOT / name).is_file())
    packed = git("pack-objects", "--revs", "--stdout", "-q", text="HEAD\n")
    assert packed.returncode == 0
    assert packed.stdout.startswith(b"PACK")
    assert (files + len(packed.stdout)) / 2**20 < MAX_CLONE_MIB


@pytest.mark.parametrize("name", ["ICONURL", "SCREENSHOTURLS"])
def test_icon_and_screenshot_are_one_quoted_line_each_and_lie_in_the_repository(name):
    assert len(re.findall(rf"EXTENSION_{name}\b", CMAKE)) == 1
    for url in setting(name).split():
        base, path = url.split("/main/")
        assert base == entry["scm_url"].removesuffix(".git").replace("github.com", "raw.githubusercontent.com")
        data = (ROOT / path).read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n", path
        if name == "ICONURL":
            assert struct.unpack(">II", data[16:24]) == (128, 128)


def test_the_description_says_research_use_only():
    assert "Research use only" in setting("DESCRIPTION")
    assert setting("CONTRIBUTORS")


def test_old_cmake_is_enough_and_the_last_lines_package():
    assert re.match(r"cmake_minimum_required\(VERSION 3\.16[.\d]*\.\.\.", CMAKE)
    assert CMAKE.rstrip().endswith("include(${Slicer_EXTENSION_GENERATE_CONFIG})\ninclude(${Slicer_EXTENSION_CPACK})")


@pytest.mark.parametrize("path", extension_files, ids=lambda path: str(path.relative_to(MODULES)))
def test_at_file_scope_only_what_slicer_has(path):
    assert top_level_imports(path) <= AT_FILE_SCOPE | OURS


@pytest.mark.parametrize("path", extension_files, ids=lambda path: str(path.relative_to(MODULES)))
def test_nothing_runs_when_a_file_is_loaded(path):
    """At file scope: imports, definitions, constants, and the search for the library; no calls that do something."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant), f"{path.name}:{node.lineno} calls something"


def test_modules_are_the_files_beside_each_other_and_each_has_its_class():
    modules = sorted(path.stem for path in MODULES.glob("*.py"))
    assert "CACScoring" in modules
    for name in modules:
        tree = ast.parse((MODULES / f"{name}.py").read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}, name
    assert not (MODULES / "__init__.py").exists()


def listed(text, variable):
    return re.search(rf"set\({variable}\n(.*?)\n? *\)", text, re.DOTALL).group(1).split()


def test_every_file_of_the_modules_is_installed_and_no_other():
    text = (MODULES / "CMakeLists.txt").read_text(encoding="utf-8")
    names = set(listed(text, "MODULE_PYTHON_SCRIPTS"))
    advice = "run Testing/update_cmake_lists.py"
    assert names == {path.relative_to(MODULES).as_posix() for path in extension_files}, advice


def test_every_desktop_test_is_run_by_slicers_test_runner():
    folder = ROOT / "Testing" / "Slicer"
    listed_tests = re.findall(
        r"slicer_add_python_unittest\(SCRIPT (\w+\.py)\)", (folder / "CMakeLists.txt").read_text()
    )
    assert sorted(listed_tests) == sorted(path.name for path in folder.glob("*Test.py"))
    modules_cmake = (MODULES / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "slicer_add_python_unittest(SCRIPT ${MODULE_NAME}.py)" in modules_cmake


def test_no_package_is_installed_under_a_name_that_others_use():
    text = (MODULES / "CMakeLists.txt").read_text(encoding="utf-8")
    names = [*listed(CMAKE, "CACSCORING_SCRIPTS"), *listed(text, "MODULE_PYTHON_SCRIPTS")]
    packages = {name.split("/")[0] for name in names if "/" in name}
    assert packages <= OURS


def test_torch_is_never_installed_by_pip_from_code():
    for path in extension_files + library_files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pip_install\(|pip install torch|ensurepip", text), path


def test_nothing_is_uploaded():
    """The library speaks to no server; Dask's scheduler, where one is named, is reached through its own client."""
    for path in extension_files + library_files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {a.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
        names |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not names & NETWORK, path


def test_the_readme_has_what_reviewers_look_for():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "Research use only" in text
    assert re.search(r"!\[[^\]]*\]\(|<img ", text), "a picture"


REAL_CONFIG = """
set(Slicer_USE_FILE "${{CMAKE_CURRENT_LIST_DIR}}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${{CMAKE_CURRENT_LIST_DIR}}/Nothing.cmake")
set(Slicer_EXTENSION_CPACK "${{CMAKE_CURRENT_LIST_DIR}}/Nothing.cmake")
set(Slicer_USE_PYTHONQT ON)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer-5.12/qt-scripted-modules)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer-5.12/qt-scripted-modules)
set(CTK_CMAKE_DIR "{ctk}/CMake")
set(PYTHONINTERP_FOUND TRUE)
set(PYTHONLIBS_FOUND TRUE)
set(PYTHON_EXECUTABLE "{python}")
set(PYTHON_LIBRARIES "{python}")
"""
REAL_MACROS = """
include("{ctk}/CMake/ctkMacroParseArguments.cmake")
include("{ctk}/CMake/ctkFunctionExtractOptimizedLibrary.cmake")
include("{ctk}/CMake/ctkMacroCompilePythonScript.cmake")
include("{slicer}/CMake/SlicerMacroBuildScriptedModule.cmake")
"""


def test_the_real_macros_build_and_install_what_slicer_loads(tmp_path):
    slicer, ctk = os.environ.get("SLICER_SOURCE_DIR"), os.environ.get("CTK_SOURCE_DIR")
    if not (slicer and ctk and shutil.which("cmake") and shutil.which("cc")):
        pytest.skip("needs cmake, a compiler, and the sources named by SLICER_SOURCE_DIR and CTK_SOURCE_DIR")
    places = {"slicer": Path(slicer).resolve(), "ctk": Path(ctk).resolve(), "python": sys.executable}
    stand_in = tmp_path / "slicer"
    stand_in.mkdir()
    (stand_in / "SlicerConfig.cmake").write_text(REAL_CONFIG.format(**places))
    (stand_in / "UseSlicer.cmake").write_text(REAL_MACROS.format(**places))
    (stand_in / "Nothing.cmake").write_text("")
    build, prefix = tmp_path / "build", tmp_path / "installed"
    for command in (
        ["-S", str(ROOT), "-B", str(build), f"-DSlicer_DIR={stand_in}", "-DBUILD_TESTING=OFF"],
        ["--build", str(build)],
        ["--install", str(build), "--prefix", str(prefix)],
    ):
        done = subprocess.run(["cmake", *command], capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    place = prefix / "lib" / "Slicer-5.12" / "qt-scripted-modules"
    assert {path.stem for path in place.glob("*.py")} == {path.stem for path in MODULES.glob("*.py")}
    assert (place / "Resources" / "Models" / "multibranch-unet" / "models" / "model.pt").is_file()
    assert not list(place.rglob("Testing"))
    code = (
        "import sys, CACScoring, CACScoringLib; from CACScoringLib.resources import resources_dir; "
        "print(CACScoringLib.__file__); print(resources_dir()); print(CACScoring.resource('Icons/CACScoring.png'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(str(place)) for line in done.stdout.split()), done.stdout
