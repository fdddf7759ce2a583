"""Import a model bundle from a folder or a zip file into the person's own models, and remove it again."""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from CACScoringLib.models.bundle import (
    LARGEST_METADATA_BYTES,
    LARGEST_WEIGHTS_BYTES,
    METADATA,
    WEIGHTS,
    ModelBundle,
    ModelError,
    imported_models,
    open_bundle,
    shipped_models,
)
from CACScoringLib.models.folders import user_models_dir

ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""A model's id is the name of its folder on every system."""
MAX_FILES = 200
MAX_BYTES = LARGEST_WEIGHTS_BYTES + 64 * LARGEST_METADATA_BYTES


class ModelExistsError(ModelError):
    """A model of that id was imported before; ``model`` is the id."""

    def __init__(self, model: str):
        super().__init__(f"A model '{model}' was imported before: remove it first, or replace it.")
        self.model = model


def import_model(
    source: str | Path, folder: Path | None = None, *, name: str | None = None, replace: bool = False
) -> ModelBundle:
    """Copy a model bundle to the imported models; the weights are verified before it appears there.

    Parameters
    ----------
    source : path
        Folder of a bundle, or a zip file with one.
    folder : Path, optional
        Where imported models lie; ``user_models_dir()`` when absent.
    name : str, optional
        Id of the model here; that of the source, which is the name of its folder, when absent.
    replace : bool
        Take the place of an imported model with the same id.

    Returns
    -------
    ModelBundle

    Raises
    ------
    ModelError
        If there is no whole bundle, or its id is taken; nothing has changed then.
    """
    target = folder or user_models_dir()
    path = Path(source).expanduser()
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".import-", dir=target) as temporary:
            copy = copied(path, Path(temporary))
            final = target / _checked_id(name or copy.name, target, replace)
            _check_method(open_bundle(copy))
            if final.exists():
                final.replace(Path(temporary) / "former")
            copy.replace(final)
    except OSError as error:
        raise ModelError(f"The model could not be copied to {target}: {error.strerror or error}.") from error
    return open_bundle(final)


def remove_model(model: str, folder: Path | None = None) -> Path:
    """Delete an imported model and return the folder it had.

    Raises
    ------
    ModelError
        If there is none of that id, or it ships with CACScoring.
    """
    target = folder or user_models_dir()
    mine = {path.name: path for path in imported_models(target)}
    if model not in mine:
        if model in {path.name for path in shipped_models()}:
            raise ModelError(f"Model '{model}' ships with CACScoring and cannot be removed.")
        others = f"choose one of {', '.join(sorted(mine))}" if mine else "no models were imported"
        raise ModelError(f"There is no imported model '{model}' to remove: {others}.")
    try:
        shutil.rmtree(mine[model])
    except OSError as error:
        raise ModelError(f"Model '{model}' could not be removed: {error.strerror or error}.") from error
    return mine[model]


def copied(source: Path, temporary: Path, what: str = "the folder of a model bundle nor a zip file with one") -> Path:
    """Return a copy of the bundle in a temporary folder, whatever it comes in; ``what`` completes a refusal."""
    if source.is_dir():
        bundle = _bundle_in(source)
        files = [path for path in bundle.rglob("*") if path.is_file() and not path.is_symlink()]
        _check_amount(len(files), sum(path.stat().st_size for path in files))
        for path in files:
            place = temporary / bundle.name / path.relative_to(bundle)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        return temporary / bundle.name
    if source.is_file() and zipfile.is_zipfile(source):
        unpacked = temporary / source.stem
        _unpack(source, unpacked)
        return _bundle_in(unpacked)
    if not source.exists():
        raise ModelError(f"There is no file or folder '{source}' to import.")
    raise ModelError(f"'{source}' is neither {what}.")


def _bundle_in(folder: Path) -> Path:
    """Return the one bundle that a folder is or holds."""
    if (folder / METADATA).is_file():
        return folder
    inside = sorted(path.parent.parent for path in folder.glob(f"*/{METADATA.as_posix()}"))
    if len(inside) != 1:
        raise ModelError(
            f"'{folder.name}' holds {len(inside)} model bundles, not one: a bundle has {METADATA.as_posix()} "
            f"and {WEIGHTS.as_posix()}."
        )
    return inside[0]


def _unpack(source: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check_amount(len(entries), sum(entry.file_size for entry in entries))
            for entry in entries:
                name = PurePosixPath(entry.filename.replace("\\", "/"))
                if name.is_absolute() or ".." in name.parts or ":" in entry.filename:
                    raise ModelError(f"'{source.name}' names files outside itself and was not unpacked.")
                place = folder.joinpath(*name.parts)
                place.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as packed, place.open("xb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"'{source.name}' is damaged or locked and cannot be unpacked: get it again.") from error


def _check_amount(files: int, size: int) -> None:
    if files > MAX_FILES or size > MAX_BYTES:
        raise ModelError(f"That is no model bundle: {files} files of {size / 2**20:.0f} MB.")


def _check_method(bundle: ModelBundle) -> None:
    if not isinstance(bundle.metadata["cacscoring"]["method"], str):
        raise ModelError(f"Model '{bundle.id}' does not name its method: get the model again.")


def check_id(name: str) -> None:
    """Refuse what cannot be the name of a model's folder on every system."""
    if not ID.fullmatch(name):
        message = f"'{name}' is no id for a model: name its folder with a-z, 0-9, '.', '_' and '-' only"
        raise ModelError(f"{message}, or give such an id with --name.")


def _checked_id(name: str, target: Path, replace: bool) -> str:
    check_id(name)
    if name in {path.name for path in shipped_models()}:
        raise ModelError(f"A model '{name}' ships with CACScoring: rename the folder of yours, or use --name.")
    if (target / name).exists() and not replace:
        raise ModelExistsError(name)
    return name
