"""Import somebody else's network: a MONAI bundle, or TorchScript, with a declaration of what goes in and out.

A state dict is data. TorchScript is a program: it is imported only where its user says so, and the consent is kept by
checksum beside the imported models, so that no file can bring its own.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib.models.bundle import (
    CARD,
    LARGEST_METADATA_BYTES,
    LARGEST_WEIGHTS_BYTES,
    METADATA,
    WEIGHTS,
    ModelBundle,
    ModelError,
    sha256_of,
)
from CACScoringLib.models.declaration import Declaration, read_declaration
from CACScoringLib.models.folders import user_models_dir
from CACScoringLib.models.json_files import json_object
from CACScoringLib.models.store import check_id, copied, import_model

if TYPE_CHECKING:
    import torch

METHOD = "imported"
"""The method that runs such networks."""
INFERENCE = Path("configs") / "inference.json"
SCRIPT = Path("models") / "model.ts"
NETWORKS = (
    "AttentionUnet",
    "BasicUNet",
    "BasicUNetPlusPlus",
    "DynUNet",
    "FlexibleUNet",
    "SegResNet",
    "SwinUNETR",
    "UNETR",
    "UNet",
    "VNet",
)
"""Classes of ``monai.networks.nets`` that a bundle may ask for; a configuration can name any Python function."""
MOST_ITEMS, LARGEST_NUMBER, LONGEST_TEXT = 64, 4096, 64
"""Bounds of the arguments of a network."""
TRUSTED = ".trusted-torchscript"
CARD_TEXT = """# {name}

**Imported from `{source}`, not made by this project. Research use only, not a medical device.**
Nothing is known here about how well it does, on what it was trained, or under which terms it may be used: see its own
documentation.

- Format: {kind}.
- SHA-256 of its weights: {sha256}.
- Labels: {labels}.
"""


def import_foreign(
    source: str | Path,
    label_map: str | Path,
    *,
    name: str | None = None,
    trust_torchscript: bool = False,
    folder: Path | None = None,
    replace: bool = False,
) -> ModelBundle:
    """Import a network as a model of the method ``imported``.

    Parameters
    ----------
    source : path
        A MONAI bundle (folder or zip) or a TorchScript file.
    label_map : path
        See ``models/declaration.py``.
    name : str, optional
        Id of the model; that of the source when absent.
    trust_torchscript : bool
        Whether its user trusts the program in a TorchScript file.
    folder, replace
        As ``import_model`` takes them.

    Raises
    ------
    ModelError
        If it is none, too large, untrusted, or does not do what is declared.
    InputRefusedError
        If the declaration is none.
    """
    path = Path(source).expanduser()
    name = name or _plain_name(path)
    check_id(name)
    declaration = read_declaration(Path(label_map).expanduser())
    target = folder or user_models_dir()
    try:
        with tempfile.TemporaryDirectory(prefix="cacscoring-import-") as temporary:
            built = Path(temporary) / name
            weights, settings, metadata, licence = _opened(path, Path(temporary) / "source", trust_torchscript)
            _build(built, path, weights, {**settings, **declaration.as_dict()}, metadata, licence)
            bundle = ModelBundle(built.name, built, {"cacscoring": settings}, sha256_of(built / WEIGHTS))
            _try_out(load_network(bundle, trusted=trust_torchscript), declaration)
            done = import_model(built, folder, replace=replace)
            if settings["format"] == "torchscript":
                _trust(done.sha256, target)
            return done
    except OSError as error:
        raise ModelError(f"'{path.name}' could not be imported: {error.strerror or error}.") from error


def _plain_name(path: Path) -> str:
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in path.stem.lower())
    return plain.strip("._-") or "imported"


def _opened(path: Path, temporary: Path, trusted: bool) -> tuple[Path, dict, dict, str]:
    """Return the weights file, settings, metadata and licence of whatever was given."""
    if path.is_file() and path.stat().st_size > LARGEST_WEIGHTS_BYTES:
        raise ModelError(f"'{path.name}' is larger than any network that CACScoring runs.")
    if path.is_file() and _is_torchscript(path):
        _need_trust(path, trusted)
        return path, {"method": METHOD, "format": "torchscript"}, {}, ""
    temporary.mkdir()
    bundle = copied(path, temporary, what="a MONAI bundle nor a TorchScript file")
    metadata = _json(bundle / METADATA)
    licence = bundle / "LICENSE"
    small = licence.is_file() and licence.stat().st_size <= LARGEST_METADATA_BYTES
    terms = licence.read_text(encoding="utf-8", errors="replace") if small else ""
    if (bundle / WEIGHTS).is_file() and (bundle / INFERENCE).is_file() and not _is_torchscript(bundle / WEIGHTS):
        network = _network_definition(_json(bundle / INFERENCE), path.name)
        return bundle / WEIGHTS, {"method": METHOD, "format": "monai", "network": network}, metadata, terms
    script = next((p for p in (bundle / SCRIPT, bundle / WEIGHTS) if p.is_file() and _is_torchscript(p)), None)
    if script is None:
        raise ModelError(
            f"'{path.name}' is no MONAI bundle that can be run: it needs {WEIGHTS.as_posix()} and the network in "
            f"{INFERENCE.as_posix()}, or {SCRIPT.as_posix()}."
        )
    _need_trust(path, trusted)
    return script, {"method": METHOD, "format": "torchscript"}, metadata, terms


def _is_torchscript(path: Path) -> bool:
    """Return whether a file is an archive with code, as torch.jit writes it; nothing is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False
    return any("/code/" in name for name in names) and any(name.endswith("/constants.pkl") for name in names)


def _need_trust(path: Path, trusted: bool) -> None:
    if not trusted:
        raise ModelError(
            f"'{path.name}' is TorchScript, a program that runs with your rights whenever the model is used: import "
            "it with --trust-torchscript if you trust where it comes from."
        )


def _json(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        return json_object(path, LARGEST_METADATA_BYTES)
    except ValueError as error:
        raise ModelError(f"{path.name} of the bundle {error}.") from error


def _network_definition(config: dict, name: str) -> dict:
    """Return class and arguments of the network; only known classes and plain values are let through."""
    definition = config.get("network_def", config.get("network"))
    target = definition.get("_target_") if isinstance(definition, dict) else None
    known = str(target).removeprefix("monai.networks.nets.")
    if known not in NETWORKS:
        raise ModelError(
            f"'{name}' asks for the network '{str(target)[:60]}', which is not run from a configuration: known are "
            f"{', '.join(NETWORKS)}; export others as TorchScript."
        )
    arguments = {key: value for key, value in definition.items() if key != "_target_"}
    if any(key.startswith("_") for key in arguments) or not _plain(arguments):
        raise ModelError(f"'{name}' gives its network arguments that are not plain numbers, words and lists.")
    return {"class": known, "arguments": arguments}


def _plain(value: object, depth: int = 0) -> bool:
    """Return whether a JSON value is a small literal: no expression ($), no reference (@, %)."""
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT and not value.startswith(("$", "@", "%"))
    if isinstance(value, (list, dict)):
        items = list(value.values()) + list(value) if isinstance(value, dict) else value
        return depth < 4 and len(items) <= MOST_ITEMS and all(_plain(item, depth + 1) for item in items)
    if isinstance(value, bool) or value is None:
        return True
    return isinstance(value, (int, float)) and abs(value) <= LARGEST_NUMBER


def _build(folder: Path, source: Path, weights: Path, settings: dict, metadata: dict, licence: str) -> None:
    """Write the bundle as CACScoring has it; the weights are copied as they are."""
    for name in (WEIGHTS, METADATA, CARD):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, folder / WEIGHTS)
    digest = sha256_of(folder / WEIGHTS)
    full = {**metadata, "cacscoring": {**settings, "source": source.name, "sha256": digest}}
    (folder / METADATA).write_text(json.dumps(full, indent=2) + "\n", encoding="utf-8")
    labels = ", ".join(f"{value} {name}" for value, name in settings["labels"].items())
    card = CARD_TEXT.format(name=folder.name, source=source.name, kind=settings["format"], sha256=digest, labels=labels)
    (folder / CARD).write_text(card, encoding="utf-8")
    (folder / "LICENSE").write_text(
        licence or "No licence came with this model: ask whoever made it.\n", encoding="utf-8"
    )


def _trust(sha256: str, folder: Path) -> None:
    with (folder / TRUSTED).open("a", encoding="ascii") as file:
        file.write(sha256 + "\n")


def is_trusted(sha256: str, folder: Path | None = None) -> bool:
    """Return whether the person said that a TorchScript file may run."""
    path = (folder or user_models_dir()) / TRUSTED
    return path.is_file() and sha256 in path.read_text(encoding="ascii", errors="replace").split()


def load_network(bundle: ModelBundle, device: str = "cpu", *, trusted: bool = False) -> torch.nn.Module:
    """Return the network of an imported bundle, ready to run.

    Parameters
    ----------
    bundle : ModelBundle
    device : str
    trusted : bool
        Run TorchScript that its user has not said to trust before.

    Raises
    ------
    ModelError
    """
    import torch

    settings = bundle.settings
    if settings.get("format") == "torchscript":
        if not trusted and not is_trusted(bundle.sha256):
            raise ModelError(
                f"Model '{bundle.id}' is TorchScript that you have not said to trust: import it with "
                "--trust-torchscript first."
            )
        data = (bundle.folder / WEIGHTS).read_bytes()
        try:
            return torch.jit.load(io.BytesIO(data), map_location=device).eval()
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"The TorchScript of model '{bundle.id}' cannot be loaded: get it again.") from error
    return _from_state(bundle, device)


def _from_state(bundle: ModelBundle, device: str) -> torch.nn.Module:
    import monai.networks.nets
    import torch

    definition = bundle.settings.get("network") or {}
    if definition.get("class") not in NETWORKS or not _plain(definition.get("arguments")):
        raise ModelError(f"Model '{bundle.id}' asks for a network that is not known: import it again.")
    state = _tensors(bundle, device)
    kind = getattr(monai.networks.nets, definition["class"])
    try:
        with torch.device("meta"):  # no memory yet: the size is only known now
            blueprint = kind(**definition["arguments"])
        size = sum(value.numel() for value in blueprint.state_dict().values())
        if size != sum(value.numel() for value in state.values()):
            raise ModelError(f"The weights of model '{bundle.id}' are not those of the network that it declares.")
        network = kind(**definition["arguments"])
        network.load_state_dict(state)
    except (TypeError, ValueError, RuntimeError, NotImplementedError, AttributeError, KeyError) as error:
        if isinstance(error, ModelError):
            raise
        words = " ".join(str(error).split())[:120]
        raise ModelError(f"The network of model '{bundle.id}' cannot be built ({words}).") from error
    return network.to(device).eval()


def _tensors(bundle: ModelBundle, device: str) -> dict[str, torch.Tensor]:
    """Return the state dict, alone or under the names that trainers give it."""
    import torch

    try:
        state = torch.load(bundle.folder / WEIGHTS, map_location=device, weights_only=True)
    except Exception as error:
        raise ModelError(f"The weights of model '{bundle.id}' hold more than tensors, or are damaged.") from error
    for name in ("model", "state_dict", "model_state_dict", "network"):
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelError(f"The weights of model '{bundle.id}' are not a state dict.")
    return state


def _try_out(network: torch.nn.Module, declaration: Declaration) -> None:
    """Run the network once on nothing, so that a declaration that does not fit is said at once."""
    import torch

    size = declaration.patch_size if declaration.axes == "zyx" else declaration.patch_size[::-1]
    empty = torch.zeros((1, 1, *size))
    try:
        with torch.inference_mode():
            out = network(empty)
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ModelError(
            f"The network does not take one channel of {'x'.join(map(str, size))} voxels ({lines[-1].strip()[:120]})."
        ) from error
    out = first_output(out)
    if not isinstance(out, torch.Tensor) or tuple(out.shape[2:]) != tuple(size) or out.shape[0] != 1:
        shape = tuple(getattr(out, "shape", ()))
        raise ModelError(f"The network gives {shape} for an input of {tuple(empty.shape)}: voxel labels are needed.")
    if max(declaration.labels) >= out.shape[1]:
        raise ModelError(f"The label map names channel {max(declaration.labels)}; the network has {out.shape[1]}.")


def first_output(out: object) -> object:
    """Return the first of several outputs (deep supervision), or the only one."""
    while isinstance(out, (list, tuple)) and out:
        out = out[0]
    return out
