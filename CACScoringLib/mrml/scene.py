"""A MRML scene to work in: Slicer's own where there is one, else a new one on slicer-core."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.report.staging import staged_file
from CACScoringLib.resources import resources_dir

TERMINOLOGY_FILES = ("CACScoring.term.json", "CACScoringRegions.term.json")
"""Terminology and anatomic context in ``Resources/Terminology``."""

MAX_SCENE_BYTES = 8 * 2**30
"""Unpacked size above which a scene file is refused."""


class SceneUnavailableError(InputRefusedError):
    """No MRML libraries are installed."""

    def __init__(self) -> None:
        super().__init__(
            refuse("scene-unavailable", "MRML scenes need the slicer-core package: pip install 'cacscoring[scene]'.")
        )


@dataclass(frozen=True)
class WorkingScene:
    """A scene in which segmentations, tables and the subject hierarchy work.

    Keep it as long as the scene is used: it owns the logic objects.

    Attributes
    ----------
    scene : vtkMRMLScene
    logics : dict of str to object
        The logic objects behind a scene made on slicer-core; empty inside Slicer, which has its own.
    """

    scene: Any
    logics: dict[str, Any] = field(default_factory=dict)


def import_slicer() -> ModuleType:
    """Return the ``slicer`` package, of the application or of slicer-core.

    Raises
    ------
    SceneUnavailableError
        If neither is there.
    """
    try:
        import slicer
        import vtk  # noqa: F401
    except ImportError as error:
        raise SceneUnavailableError from error
    if not hasattr(slicer, "vtkMRMLScene"):
        raise SceneUnavailableError
    return slicer


def working_scene() -> WorkingScene:
    """Return Slicer's scene inside Slicer, and a new scene elsewhere.

    Raises
    ------
    SceneUnavailableError
        If there are no MRML libraries.
    """
    slicer = import_slicer()
    if getattr(slicer, "mrmlScene", None) is not None:
        return WorkingScene(slicer.mrmlScene)
    return new_scene()


def new_scene() -> WorkingScene:
    """Return a new scene on slicer-core with the logics that Slicer would register.

    With a bare scene ``AddEmptySegment`` and the label map import fail without a word: segments need the
    default colour nodes and the terminology, colour and segmentation logics of an application logic.

    Raises
    ------
    SceneUnavailableError
        If there are no MRML libraries.
    RuntimeError
        Inside Slicer, whose scene is the only one.
    """
    slicer = import_slicer()
    if getattr(slicer, "mrmlScene", None) is not None:
        raise RuntimeError("3D Slicer has its own scene: use working_scene().")
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    logics: dict[str, Any] = {"Application": application}

    def register(name: str, logic: Any) -> Any:
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
        application.SetModuleLogic(name, logic)
        logics[name] = logic
        return logic

    register("Colors", slicer.vtkMRMLColorLogic()).AddDefaultColorNodes()
    terminologies = slicer.vtkSlicerTerminologiesModuleLogic()
    terminologies.SetModuleShareDirectory(str(terminology_dir()))
    with quiet_vtk():  # Slicer's own terminology files are not part of slicer-core
        register("Terminologies", terminologies)
    load_terminology(terminologies)
    register("Segmentations", slicer.vtkSlicerSegmentationsModuleLogic())
    register("SubjectHierarchy", slicer.vtkSlicerSubjectHierarchyModuleLogic())
    return WorkingScene(scene, logics)


def terminology_dir() -> Path:
    """Return the folder with our terminology files."""
    return resources_dir() / "Terminology"


def load_terminology(terminologies_logic: Any) -> None:
    """Load our terminology and anatomic regions into Slicer's terminologies logic.

    Raises
    ------
    RuntimeError
        If a file is missing or Slicer does not take it.
    """
    for name in TERMINOLOGY_FILES:
        if not terminologies_logic.LoadContextFromFile(str(terminology_dir() / name)):
            raise RuntimeError(f"The terminology file {name} could not be loaded: install CACScoring again.")


@contextmanager
def quiet_vtk() -> Iterator[None]:
    """Keep VTK from logging what is known and expected."""
    import vtk

    shown = vtk.vtkObject.GetGlobalWarningDisplay()
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtk.vtkObject.SetGlobalWarningDisplay(shown)


def save_scene(scene: Any, path: str | Path) -> Path:
    """Write everything in the scene as one ``.mrb`` file, under a temporary name and then renamed.

    Parameters
    ----------
    scene : vtkMRMLScene
    path : path
        Ends with ``.mrb``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the name does not end with ``.mrb``.
    OSError
        If the scene cannot be written; nothing is left behind.
    """
    slicer = import_slicer()
    target = Path(path).resolve()
    if target.suffix.lower() != ".mrb":
        raise ValueError(f"a scene file must be named *.mrb, not {target.name}")
    messages = slicer.vtkMRMLMessageCollection()
    with staged_file(target) as temporary:
        written = scene.WriteToMRB(str(temporary), None, messages)
        if not written or not zipfile.is_zipfile(temporary):
            raise OSError(f"The scene could not be written to {target}: {messages.GetAllMessagesAsString()}".strip())
    return target


def open_scene(path: str | Path, working: WorkingScene | None = None) -> WorkingScene:
    """Read a ``.mrb`` file into a scene, a new one unless given.

    The file is unpacked by us and treated as hostile: no entry may leave the temporary folder, nor may
    all of them together exceed ``MAX_SCENE_BYTES``.

    Parameters
    ----------
    path : path
    working : WorkingScene, optional
        Where to; what it holds is replaced.

    Raises
    ------
    InputRefusedError
        If the file is no scene or cannot be read.
    """
    slicer = import_slicer()
    import vtk

    source = Path(path)
    working = working or working_scene()
    with tempfile.TemporaryDirectory(prefix="cacscoring-") as folder:
        description = _unpack(source, Path(folder))
        messages = slicer.vtkMRMLMessageCollection()
        working.scene.SetURL(str(description))
        working.scene.SetRootDirectory(str(description.parent))
        errors = vtk.vtkCommand.ErrorEvent
        if not working.scene.Connect(messages) or messages.GetNumberOfMessagesOfType(errors):
            raise _refused(source, messages.GetAllMessagesAsString().strip() or "its description is unreadable")
    working.scene.SetRootDirectory(str(source.resolve().parent))
    return working


def _unpack(source: Path, folder: Path) -> Path:
    """Unpack a bundle and return its one ``.mrml`` file."""
    if not zipfile.is_zipfile(source):
        raise _refused(source, "it is missing or not a bundle")
    with zipfile.ZipFile(source) as bundle:
        entries = [entry for entry in bundle.infolist() if not entry.is_dir()]
        if sum(entry.file_size for entry in entries) > MAX_SCENE_BYTES:
            raise _refused(source, "it is too large")
        for entry in entries:
            name = PurePosixPath(entry.filename.replace("\\", "/"))
            if name.is_absolute() or ".." in name.parts or ":" in entry.filename:
                raise _refused(source, "it names files outside itself")
            target = folder.joinpath(*name.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with bundle.open(entry) as packed, target.open("xb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
    descriptions = sorted(folder.rglob("*.mrml"))
    if len(descriptions) != 1:
        raise _refused(source, "it holds no scene description")
    return descriptions[0]


def _refused(source: Path, why: str) -> InputRefusedError:
    return InputRefusedError(refuse("scene-unreadable", f"The scene {source.name} cannot be opened: {why}."))
