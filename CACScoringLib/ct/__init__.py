"""Files and DICOM -> :class:`CTVolume`, with findings about everything that was noticed on the way.

The readers are loaded when first used: code that only handles volumes never imports pydicom.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from CACScoringLib.ct.volume import Acquisition, CTVolume

if TYPE_CHECKING:
    from CACScoringLib.ct.labels_file import load_labels
    from CACScoringLib.ct.load import load_ct

__all__ = ["Acquisition", "CTVolume", "load_ct", "load_labels"]

_HOMES = {"load_ct": "CACScoringLib.ct.load", "load_labels": "CACScoringLib.ct.labels_file"}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
