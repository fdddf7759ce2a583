"""Model bundles: find, verify, load, write, import and remove them."""

from __future__ import annotations

from CACScoringLib.models.bundle import (
    ModelBundle,
    ModelError,
    find_model,
    imported_models,
    installed_models,
    load_weights,
    open_bundle,
    part_of,
    shipped_models,
    without_part,
    write_bundle,
)
from CACScoringLib.models.eight_bit import in_eight_bits
from CACScoringLib.models.folders import MODELS_VARIABLE, user_models_dir
from CACScoringLib.models.store import import_model, remove_model

__all__ = [
    "MODELS_VARIABLE",
    "ModelBundle",
    "ModelError",
    "find_model",
    "import_model",
    "in_eight_bits",
    "imported_models",
    "installed_models",
    "load_weights",
    "open_bundle",
    "part_of",
    "remove_model",
    "shipped_models",
    "user_models_dir",
    "without_part",
    "write_bundle",
]
