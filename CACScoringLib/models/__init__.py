"""Model bundles: find, verify, load and write them."""

from __future__ import annotations

from CACScoringLib.models.bundle import (
    ModelBundle,
    ModelError,
    find_model,
    load_weights,
    open_bundle,
    shipped_models,
    write_bundle,
)

__all__ = ["ModelBundle", "ModelError", "find_model", "load_weights", "open_bundle", "shipped_models", "write_bundle"]
