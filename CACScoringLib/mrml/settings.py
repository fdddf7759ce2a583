"""What a person sets once for all scans: device, processor cores, folders. Kept where the desktop keeps settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from CACScoringLib.methods.devices import AUTO, DEVICES
from CACScoringLib.models import MODELS_VARIABLE, ModelBundle, import_model, remove_model, user_models_dir
from CACScoringLib.models.bundle import imported_models, shipped_models

GROUP = "CACScoring"
DEVICE, WORKERS, MODELS_FOLDER, WHEELS_FOLDER, READER = (
    f"{GROUP}/{name}" for name in ("device", "workers", "modelsFolder", "wheelsFolder", "reader")
)


class Store(Protocol):
    """What is used of ``QSettings``."""

    def value(self, key: str) -> Any:
        """Return what is kept under a key, None if nothing is; numbers may come back as text."""

    def setValue(self, key: str, value: Any) -> None:
        """Keep a value."""


class MemoryStore:
    """Keeps settings for as long as the program runs; stands in for ``QSettings``."""

    def __init__(self, **values: Any):
        self.values: dict[str, Any] = {f"{GROUP}/{key}": value for key, value in values.items()}

    def value(self, key: str) -> Any:
        """Return what is kept under a key."""
        return self.values.get(key)

    def setValue(self, key: str, value: Any) -> None:
        """Keep a value."""
        self.values[key] = value


class DesktopSettings:
    """The settings, read and checked each time, since another window may have changed them.

    Parameters
    ----------
    store : Store, optional
        ``QSettings`` on the desktop; memory when absent.
    """

    def __init__(self, store: Store | None = None):
        self.store = store or MemoryStore()

    @property
    def device(self) -> str:
        """Return where the network runs: one of ``DEVICES``."""
        kept = str(self.store.value(DEVICE) or AUTO)
        return kept if kept.split(":")[0] in DEVICES else AUTO

    def setDevice(self, device: str) -> None:
        """Choose where the network runs."""
        if device.split(":")[0] not in DEVICES:
            raise ValueError(f"device must be one of {', '.join(DEVICES)}, not {device!r}")
        self.store.setValue(DEVICE, device)

    @property
    def workers(self) -> int:
        """Return how many processor cores the worker process may use; 0 for all."""
        try:
            return min(max(int(self.store.value(WORKERS) or 0), 0), os.cpu_count() or 1)
        except (TypeError, ValueError):
            return 0

    def setWorkers(self, workers: int) -> None:
        """Choose how many processor cores the worker process may use; 0 for all."""
        self.store.setValue(WORKERS, max(int(workers), 0))

    @property
    def modelsFolder(self) -> Path:
        """Return the folder of imported models."""
        kept = str(self.store.value(MODELS_FOLDER) or "").strip()
        return Path(kept).expanduser() if kept else user_models_dir()

    def setModelsFolder(self, folder: str | Path) -> None:
        """Choose the folder of imported models; an empty text stands for the usual one."""
        self.store.setValue(MODELS_FOLDER, str(folder or ""))
        self.apply()

    def apply(self) -> None:
        """Have this process, and those that it starts, find the imported models."""
        kept = str(self.store.value(MODELS_FOLDER) or "").strip()
        if kept:
            os.environ[MODELS_VARIABLE] = str(Path(kept).expanduser())

    @property
    def wheelsFolder(self) -> Path | None:
        """Return the folder of wheels to install from without a network; None for the usual way."""
        kept = str(self.store.value(WHEELS_FOLDER) or "").strip()
        return Path(kept).expanduser() if kept else None

    def setWheelsFolder(self, folder: str | Path | None) -> None:
        """Choose the folder of wheels; nothing for the usual way."""
        self.store.setValue(WHEELS_FOLDER, str(folder or ""))

    @property
    def reader(self) -> str:
        """Return who reads, for the record of accepted scores."""
        return str(self.store.value(READER) or "").strip()

    def setReader(self, reader: str) -> None:
        """Say who reads."""
        self.store.setValue(READER, reader.strip())

    def models(self) -> tuple[tuple[str, bool], ...]:
        """Return the id of every model that can be chosen, and whether it was imported (and can be removed)."""
        shipped = [folder.name for folder in shipped_models()]
        mine = [folder.name for folder in imported_models(self.modelsFolder) if folder.name not in shipped]
        return (*((name, False) for name in shipped), *((name, True) for name in mine))

    def importModel(self, source: str | Path, *, replace: bool = False) -> ModelBundle:
        """Copy a model bundle (a folder or a zip file) to the imported models.

        Raises
        ------
        ModelError
            If it is none; the message says what to do.
        """
        return import_model(source, self.modelsFolder, replace=replace)

    def removeModel(self, model: str) -> None:
        """Delete an imported model.

        Raises
        ------
        ModelError
            If it was not imported.
        """
        remove_model(model, self.modelsFolder)
