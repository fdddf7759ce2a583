"""Labels of training cases beyond the vocabulary: what an expert left open."""

from __future__ import annotations

import numpy as np

from CACScoringLib.vocabulary import BACKGROUND, Vessel

LEFT_MAIN_OR_LAD = 5
"""The expert did not tell LM from LAD: either is right."""
NOT_CORONARY = 6
"""The expert marked coronary calcium only: what else this is, is not known."""


def with_doubt(labels: np.ndarray, *, left_main_is_lad: bool, names_non_coronary: bool) -> np.ndarray:
    """Return labels that say what the expert left open.

    Parameters
    ----------
    labels : ndarray of uint8
        Values of the vocabulary.
    left_main_is_lad : bool
        LAD may be LM.
    names_non_coronary : bool
        Background is neither coronary nor any other calcium; if not, it is only not coronary.
    """
    out = labels.astype(np.uint8)
    if left_main_is_lad:
        out[(labels == Vessel.LAD) | (labels == Vessel.LM)] = LEFT_MAIN_OR_LAD
    if not names_non_coronary:
        out[labels == BACKGROUND] = NOT_CORONARY
    return out
