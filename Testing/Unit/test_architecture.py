"""The folder rule of Resources/Documentation/architecture.md, checked on the imports themselves."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "CACScoringLib"

LEVELS = (
    {"vocabulary", "findings", "resources", "environment"},
    {"ct", "installing"},
    {"scoring", "networks", "models"},
    {"inference"},
    {"methods"},
    {"phantom", "report"},
    {"cohort"},
    {"training", "batch", "mrml"},
    {"commands"},
    {"cli"},
)
"""From bottom to top; a part may import itself and what stands below it."""
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}

HEAVY = {
    "torch",
    "monai",
    "matplotlib",
    "pandas",
    "highdicom",
    "slicer",
    "vtk",
    "distributed",
    "dask",
    "rich",
    "skimage",
}
DESKTOP = {"qt", "ctk", "PythonQt", "slicer.app", "slicer.i18n", "slicer.ScriptedLoadableModule"}

SOURCES = [PACKAGE / "__init__.py", *sorted(set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py"})]
"""Every module; first the package itself, which names the functions of the road and loads them when they are used."""


def part_of(path: Path) -> str:
    """Return the folder, or the file's own name at the top of the package."""
    inside = path.relative_to(PACKAGE).parts
    return inside[0].removesuffix(".py")


def _does_not_run(node: ast.AST, at_once: bool) -> bool:
    """Return whether what is below ``node`` is for type checkers only, or runs only when called."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return True
    return at_once and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))


def imports_of(tree: ast.AST, *, top_level_only: bool = False) -> list[tuple[str, int]]:
    """Return (module, line) of every import; those behind ``if TYPE_CHECKING`` do not run and do not count."""
    found: list[tuple[str, int]] = []

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend((alias.name, child.lineno) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"relative import in line {child.lineno}"
                found.append((child.module or "", child.lineno))
                found.extend((f"{child.module}.{alias.name}", child.lineno) for alias in child.names)
            elif _does_not_run(child, top_level_only):
                continue
            else:
                visit(child)

    visit(tree)
    return found


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def test_every_part_has_its_place() -> None:
    parts = {part_of(path) for path in SOURCES} - {"__init__"}
    assert parts <= set(LEVEL), f"not in the folder rule: {sorted(parts - set(LEVEL))}"


MODULES = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))


@pytest.mark.parametrize("path", SOURCES[1:], ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downward_only(path: Path) -> None:
    part = part_of(path)
    wrong = []
    for module, line in imports_of(parse(path)):
        pieces = module.split(".")
        if pieces[0] != "CACScoringLib" or len(pieces) < 2 or pieces[1] not in LEVEL:
            continue
        other = pieces[1]
        if other != part and LEVEL[other] >= LEVEL[part]:
            wrong.append(f"line {line}: {part} imports {other}")
    assert not wrong, wrong


@MODULES
def test_the_library_does_not_know_the_desktop(path: Path) -> None:
    tree = parse(path)
    imported = {module for module, _ in imports_of(tree)}
    assert not imported & DESKTOP
    attributes = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not {name for name in attributes if name == "slicer.app" or name.startswith("slicer.app.")}


def heavy_imports(path: Path) -> set[str]:
    """Return the heavy packages that loading a module loads at once."""
    return {module.split(".")[0] for module, _ in imports_of(parse(path), top_level_only=True)} & HEAVY


def test_only_networks_and_training_load_torch_at_once() -> None:
    heavy = {part_of(path): heavy_imports(path) for path in SOURCES if heavy_imports(path)}
    assert set(heavy) <= {"networks", "training"}
    assert set().union(*heavy.values()) <= {"torch", "monai"}


def test_nothing_that_help_or_a_folder_loads_is_heavy() -> None:
    """Follow the imports that run when the command line or any folder of the package is imported."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES
    }
    folders = [name for name, path in modules.items() if path.name == "__init__.py"]
    commands = [name for name in modules if name.startswith("CACScoringLib.commands.")]
    reached: set[str] = set()
    waiting = ["CACScoringLib.cli", *folders, *commands]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in modules:
            continue
        reached.add(name)
        assert not heavy_imports(modules[name]), f"{name} loads {heavy_imports(modules[name])}"
        waiting += [module for module, _ in imports_of(parse(modules[name]), top_level_only=True)]


def loaded_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after running ``code``."""
    script = f"import sys\n{code}\nsys.stderr.write(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import CACScoringLib",
        "from CACScoringLib.cli import main; assert main(['--help']) == 0",
        "from CACScoringLib.cli import main; assert main(['score', '--help']) == 0",
        "from CACScoringLib.cli import main; assert main(['batch', '--help']) == 0",
        "from CACScoringLib.cli import main; assert main(['phantom', '--help']) == 0",
        "from CACScoringLib.cli import main; assert main(['train', '--help']) == 0",
        "from CACScoringLib.cli import main; assert main(['models', '--help']) == 0",
    ],
)
def test_help_and_import_load_nothing_heavy(code: str) -> None:
    assert not loaded_after(code) & HEAVY


def test_importing_the_package_loads_neither_numpy_nor_itk() -> None:
    assert not loaded_after("import CACScoringLib") & {"numpy", "scipy", "SimpleITK", "pydicom"}


def test_the_rule_written_for_people_names_every_part() -> None:
    page = (ROOT / "Resources" / "Documentation" / "architecture.md").read_text(encoding="utf-8")
    for part in LEVEL:
        assert part in page, f"architecture.md does not mention {part}"
