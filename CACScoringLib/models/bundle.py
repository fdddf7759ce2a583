"""Model bundles: a folder with weights, metadata, licence and a model card (MONAI bundle layout)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from CACScoringLib.models.eight_bit import restored
from CACScoringLib.models.folders import user_models_dir
from CACScoringLib.resources import resources_dir

WEIGHTS = Path("models") / "model.pt"
METADATA = Path("configs") / "metadata.json"
CARD = Path("docs") / "README.md"
LARGEST_WEIGHTS_BYTES = 512 * 1024 * 1024
LARGEST_METADATA_BYTES = 1024 * 1024


class ModelError(RuntimeError):
    """A model bundle is missing, damaged or not for this version; the message says what to do."""


@dataclass(frozen=True)
class ModelBundle:
    """A model bundle whose checksum was verified.

    Attributes
    ----------
    id : str
        Name of the folder.
    folder : Path
    metadata : dict
        Contents of ``configs/metadata.json``.
    sha256 : str
        Checksum of the weights file.
    """

    id: str
    folder: Path
    metadata: dict
    sha256: str

    @property
    def method(self) -> str:
        """Return the method that the weights belong to."""
        return str(self.metadata["cacscoring"]["method"])

    @property
    def settings(self) -> dict:
        """Return what the method needs to know about the weights."""
        return dict(self.metadata["cacscoring"])

    @property
    def card(self) -> str:
        """Return the model card (Markdown)."""
        path = self.folder / CARD
        return path.read_text(encoding="utf-8") if path.is_file() else ""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def shipped_models() -> list[Path]:
    """Return the folders of the models that ship with the project."""
    return sorted(p.parent.parent for p in (resources_dir() / "Models").glob(f"*/{METADATA.as_posix()}"))


def imported_models(folder: Path | None = None) -> list[Path]:
    """Return the folders of the models that the person imported, from ``user_models_dir()`` unless given."""
    return sorted(p.parent.parent for p in (folder or user_models_dir()).glob(f"[!.]*/{METADATA.as_posix()}"))


def installed_models() -> list[Path]:
    """Return the folders of all models that can be chosen by id; what ships with the project comes first."""
    shipped = shipped_models()
    names = {folder.name for folder in shipped}
    return shipped + [folder for folder in imported_models() if folder.name not in names]


def find_model(model: str) -> Path:
    """Return the folder of a model given by id or by path.

    Raises
    ------
    ModelError
        If there is none; the message lists those that exist.
    """
    by_id = {folder.name: folder for folder in installed_models()}
    if model in by_id:
        return by_id[model]
    folder = Path(model)
    if (folder / METADATA).is_file():
        return folder
    if folder.is_dir():
        raise ModelError(
            f"The folder '{model}' holds no model bundle: it has no {METADATA.as_posix()}, which says what the weights "
            f"in {WEIGHTS.as_posix()} are."
        )
    known = f"choose one of {', '.join(sorted(by_id))}, or give" if by_id else "none is installed; give"
    raise ModelError(f"There is no model '{model}': {known} the folder of a model bundle.")


def open_bundle(model: str | Path) -> ModelBundle:
    """Read a bundle's metadata and verify its weights.

    Raises
    ------
    ModelError
        If a file is missing, too large, unreadable, or the checksum differs.
    """
    folder = find_model(str(model))
    path, weights = folder / METADATA, folder / WEIGHTS
    if path.stat().st_size > LARGEST_METADATA_BYTES:
        raise ModelError(f"The metadata of model '{folder.name}' is too large to be read: {path}.")
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
        expected = metadata["cacscoring"]["sha256"]
        metadata["cacscoring"]["method"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"The metadata of model '{folder.name}' cannot be read ({error}): get the model again."
        ) from error
    if not weights.is_file():
        raise ModelError(f"Model '{folder.name}' has no weights ({WEIGHTS.as_posix()}): get the model again.")
    if weights.stat().st_size > LARGEST_WEIGHTS_BYTES:
        raise ModelError(f"The weights of model '{folder.name}' are larger than any that CACScoring uses.")
    digest = sha256_of(weights)
    if digest != expected:
        raise ModelError(f"The weights of model '{folder.name}' do not match their checksum: get the model again.")
    return ModelBundle(folder.name, folder, metadata, digest)


def load_weights(bundle: ModelBundle, device: str = "cpu") -> dict:
    """Return the state dict of a bundle, what was kept in fewer bits as float32; nothing in the file is executed."""
    import torch

    half = (torch.float16, torch.bfloat16)
    try:
        state = torch.load(bundle.folder / WEIGHTS, map_location=device, weights_only=True)
        state = restored(state) if isinstance(state, dict) else state
    except Exception as error:
        raise ModelError(
            f"The weights of model '{bundle.id}' cannot be read ({error}): get the model again."
        ) from error
    if not isinstance(state, dict):
        raise ModelError(f"The weights of model '{bundle.id}' are not a state dict: get the model again.")
    return {name: tensor.float() if tensor.dtype in half else tensor for name, tensor in state.items()}


def part_of(weights: dict, name: str) -> dict:
    """Return the weights of one of the parts that a bundle holds under ``name.``."""
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def without_part(weights: dict, name: str) -> dict:
    """Return the weights that are not held under ``name.``."""
    return {key: value for key, value in weights.items() if not key.startswith(f"{name}.")}


def write_bundle(folder: Path, state: dict, *, settings: dict, metadata: dict, card: str, licence: str) -> ModelBundle:
    """Write a bundle: weights, metadata with the checksum, card and licence.

    Parameters
    ----------
    folder : Path
        Created; its files are replaced.
    state : dict
        State dict of the network. What is float32 is written as float16; everything else as it is, so that what
        ``in_eight_bits`` has reduced stays so.
    settings : dict
        Goes into the metadata under ``cacscoring``; needs ``method``.
    metadata : dict
        The rest of ``metadata.json`` (MONAI's fields).
    """
    import torch

    for name in (WEIGHTS, METADATA, CARD):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    weights = folder / WEIGHTS
    kept = {name: tensor.detach().cpu() for name, tensor in state.items()}
    half = {name: tensor.half() if tensor.dtype is torch.float32 else tensor for name, tensor in kept.items()}
    temporary = weights.with_suffix(".tmp")
    torch.save(half, temporary)
    temporary.replace(weights)
    full = {**metadata, "cacscoring": {**settings, "sha256": sha256_of(weights)}}
    (folder / METADATA).write_text(json.dumps(full, indent=2) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card, encoding="utf-8")
    (folder / "LICENSE").write_text(licence, encoding="utf-8")
    return open_bundle(folder)
