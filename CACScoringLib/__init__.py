"""Coronary artery calcium scoring for 3D Slicer and the command line. Research use only.

The three functions of the road from scan to score are loaded when first used, so that
``import CACScoringLib`` stays light::

    from CACScoringLib import load_ct, predict, score
    ct = load_ct("folder")
    result = score(ct, predict(ct).labels)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["__version__", "load_ct", "predict", "score"]

if TYPE_CHECKING:
    from CACScoringLib.ct import load_ct
    from CACScoringLib.methods import predict
    from CACScoringLib.scoring import score

_HOMES = {"load_ct": "CACScoringLib.ct", "predict": "CACScoringLib.methods", "score": "CACScoringLib.scoring"}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
