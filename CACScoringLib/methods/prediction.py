"""What a method says about a scan, before anything is scored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.findings import Finding
from CACScoringLib.scoring.uncertainty import ScoreUncertainty

if TYPE_CHECKING:
    from CACScoringLib.scoring.result import CalciumScore


@dataclass(frozen=True, eq=False)
class Said:
    """Which method said something, with which weights.

    Attributes
    ----------
    method : str
        Name of the method.
    model_id, model_sha256 : str
        The weights that were used.
    """

    method: str
    model_id: str
    model_sha256: str

    @property
    def model(self) -> dict[str, str]:
        """Return which model said it, as score documents and tables keep it."""
        return {"id": self.model_id, "sha256": self.model_sha256, "method": self.method}


@dataclass(frozen=True, eq=False)
class Prediction(Said):
    """The output of one method on one CT; also who said it (``Said``).

    Attributes
    ----------
    labels : ndarray of uint8, shape (z, y, x), or None
        Label map on the CT's own grid (``vocabulary``); None for methods that score without labels.
    structures : ndarray of uint8, shape (z, y, x), or None
        Cardiac structures (``vocabulary.Structure``) on the grid given by ``structures_spacing_mm``
        and ``structures_offset_mm``, which is coarser than the CT's.
    structures_spacing_mm, structures_offset_mm : tuple of float
        (z, y, x) in mm: voxel size of that grid, and the position of its first voxel's centre relative
        to the centre of the CT's first voxel.
    lesion_probability : ndarray of float32, shape (lesions,)
        For each lesion in ``labels`` (order of ``lesion_index`` values 1..n): probability of its label; calibrated
        where ``uncertainty`` is known.
    slice_scores : ndarray of float32, shape (z,), or None
    category_probability : dict of str to float
    uncertainty : ScoreUncertainty or None
        How sure the score and its risk category are, where the model was calibrated for that.
    findings : tuple of Finding
    timings_s : dict of str to float
    """

    labels: np.ndarray | None = None
    structures: np.ndarray | None = None
    structures_spacing_mm: tuple[float, float, float] | None = None
    structures_offset_mm: tuple[float, float, float] | None = None
    lesion_index: np.ndarray | None = None
    lesion_probability: np.ndarray | None = None
    slice_scores: np.ndarray | None = None
    category_probability: dict[str, float] = field(default_factory=dict)
    uncertainty: ScoreUncertainty | None = None
    findings: tuple[Finding, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)

    def judged(self, score: CalciumScore) -> CalciumScore:
        """Return the score of these labels with how sure lesions and category are, as far as the method says so."""
        if self.lesion_index is not None and self.lesion_probability is not None:
            score = score.with_confidence(self.lesion_index, self.lesion_probability)
        return score if self.uncertainty is None else score.with_uncertainty(self.uncertainty)
