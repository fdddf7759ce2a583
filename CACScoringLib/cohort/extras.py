"""The packages that only cohorts need: imported where they are used, missed in one sentence."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from CACScoringLib.findings import InputRefusedError, refuse

EXTRA = "cacscoring[cohort]"


def require(module: str) -> ModuleType:
    """Return a module of the extra ``cohort``.

    Raises
    ------
    InputRefusedError
        ``cohort-extra-missing``, which says what to install.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = module.split(".")[0]
        message = f"Cohort statistics need the package {name}: install it with: pip install '{EXTRA}'."
        raise InputRefusedError(refuse("cohort-extra-missing", message)) from error
