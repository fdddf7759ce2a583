"""Records of arrays on disk: numpy archives without pickle."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import numpy as np

Record = TypeVar("Record", bound="StoredArrays")


class StoredArrays:
    """Base of dataclasses all of whose fields are arrays."""

    def save(self, path: Path) -> None:
        """Write the record; an existing file is replaced at once."""
        temporary = path.with_name(path.stem + ".tmp.npz")
        np.savez_compressed(temporary, **{f.name: getattr(self, f.name) for f in fields(self)})
        temporary.replace(path)

    @classmethod
    def load(cls: type[Record], path: Path) -> Record:
        """Read a record."""
        with np.load(path, allow_pickle=False) as archive:
            return cls(**{f.name: archive[f.name] for f in fields(cls)})
