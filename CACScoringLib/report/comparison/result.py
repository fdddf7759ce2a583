"""What a comparison of methods on one CT holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.ct.volume import Acquisition
from CACScoringLib.findings import Finding, Severity
from CACScoringLib.report.comparison.lesions import LesionDifference
from CACScoringLib.report.comparison.slices import SliceDifference
from CACScoringLib.scoring.result import CalciumScore
from CACScoringLib.scoring.risk import SCHEMES

if TYPE_CHECKING:
    from CACScoringLib.methods.prediction import Prediction
    from CACScoringLib.methods.score_prediction import AttentionMap, ScorePrediction


@dataclass(frozen=True, eq=False)
class MethodResult:
    """What one method says about a scan, or why it says nothing.

    Attributes
    ----------
    name : str
        Unique in the comparison: the method, and its model where one was asked for.
    method : str
    model_id, model_sha256 : str or None
        None where the method did not get so far.
    agatston, volume_mm3 : float or None
        Totals; None where the method gives none.
    scheme, category : str or None
        The risk scheme in which the method states its category, and the category.
    category_probability : dict of str to float
        Of each group of ``scheme``; empty where the method does not say.
    risk : dict of str to str
        Group in every scheme that follows from what the method says.
    needs_review : bool or None
        None where no limit was measured for the model.
    seconds : float
        Predicting and scoring, with the time to load the weights where they were not loaded before.
    findings : tuple of Finding
        What the method noticed; those of the scan itself are in ``Comparison.findings``.
    failure : Finding or None
        Why there is no result.
    score : CalciumScore or None
        Of the method's labels, where it labels voxels.
    prediction : Prediction or ScorePrediction or None
    """

    name: str
    method: str
    model_id: str | None = None
    model_sha256: str | None = None
    agatston: float | None = None
    volume_mm3: float | None = None
    scheme: str | None = None
    category: str | None = None
    category_probability: dict[str, float] = field(default_factory=dict)
    risk: dict[str, str] = field(default_factory=dict)
    needs_review: bool | None = None
    seconds: float = 0.0
    findings: tuple[Finding, ...] = ()
    failure: Finding | None = None
    score: CalciumScore | None = None
    prediction: Prediction | ScorePrediction | None = None

    @property
    def labels(self) -> np.ndarray | None:
        """Return the method's label map, uint8 (z, y, x) on the CT's grid; None where it labels no voxels."""
        return None if self.prediction is None else self.prediction.labels

    @property
    def attention(self) -> AttentionMap | None:
        """Return what the score rests on, where the method says it."""
        return getattr(self.prediction, "attention", None)

    def as_dict(self) -> dict[str, object]:
        """Return the row as ``comparison.json`` writes it."""
        vessels = {} if self.score is None else self.score.vessels
        kept = ("name", "method", "agatston", "volume_mm3", "scheme", "category", "category_probability", "risk")
        return {
            **{key: getattr(self, key) for key in kept},
            "model": {"id": self.model_id, "sha256": self.model_sha256},
            "labels_vessels": self.score is not None,
            "vessels": {name: vessel.as_dict() for name, vessel in vessels.items()},
            "needs_review": self.needs_review,
            "seconds": round(self.seconds, 3),
            "findings": [finding.as_dict() for finding in self.findings],
            "failure": None if self.failure is None else self.failure.as_dict(),
        }

    def warnings(self) -> tuple[str, ...]:
        """Return the codes of the findings that cast doubt on the result."""
        return tuple(finding.code for finding in self.findings if finding.severity is Severity.WARNING)


@dataclass(frozen=True)
class CategoryComparison:
    """The groups of one risk scheme.

    Attributes
    ----------
    scheme : str
    groups : dict of str to str
        By method, those only that give a group.
    """

    scheme: str
    groups: dict[str, str]

    @property
    def agree(self) -> bool:
        """Return whether all of them say the same."""
        return len(set(self.groups.values())) == 1


@dataclass(frozen=True)
class PairDifference:
    """What two totals differ by, and through which lesions.

    Attributes
    ----------
    first, second : str
        Methods.
    agatston, volume_mm3 : float or None
        Second minus first; None where one of them gives none.
    agatston_by_kind : dict of str to float
        The Agatston difference by kind of lesion (``lesions.KINDS``); these add up to it. Empty unless both label
        voxels.
    agatston_moved : float or None
        Agatston that both call coronary, but put into different vessels; None unless both label voxels.
    """

    first: str
    second: str
    agatston: float | None
    volume_mm3: float | None
    agatston_by_kind: dict[str, float] = field(default_factory=dict)
    agatston_moved: float | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several methods on one CT.

    Attributes
    ----------
    methods : tuple of MethodResult
        In the order asked for, failed ones included.
    lesions : tuple of LesionDifference
        Where methods that label voxels disagree, the largest Agatston at stake first.
    lesions_agreed : int
        Lesions that all of them mark alike.
    slices : tuple of SliceDifference
        Where scores of slices without labels differ most from those with labels.
    preset : dict
        Scoring rules of the methods that label voxels.
    acquisition : Acquisition
    findings : tuple of Finding
        Of the scan and of the comparison.
    """

    methods: tuple[MethodResult, ...]
    lesions: tuple[LesionDifference, ...]
    lesions_agreed: int
    slices: tuple[SliceDifference, ...]
    preset: dict[str, object]
    acquisition: Acquisition
    findings: tuple[Finding, ...] = ()

    @property
    def done(self) -> tuple[MethodResult, ...]:
        """Return the methods that gave a result."""
        return tuple(row for row in self.methods if row.failure is None)

    @property
    def labelled(self) -> tuple[MethodResult, ...]:
        """Return the methods that label voxels."""
        return tuple(row for row in self.methods if row.score is not None)

    @property
    def categories(self) -> tuple[CategoryComparison, ...]:
        """Return the groups in every scheme that at least two methods speak of."""
        return category_comparisons(self.done)

    @property
    def pairs(self) -> tuple[PairDifference, ...]:
        """Return the difference of the totals of every two methods that gave a result."""
        return tuple(self._pair(a, b) for a, b in combinations(self.done, 2))

    def _pair(self, first: MethodResult, second: MethodResult) -> PairDifference:
        totals = (
            None if None in (a, b) else b - a
            for a, b in ((first.agatston, second.agatston), (first.volume_mm3, second.volume_mm3))
        )
        kinds: dict[str, float] = {}
        moved = None
        if first.score is not None and second.score is not None:
            moved = 0.0
            for lesion in self.lesions:
                kind = lesion.kind_between(first.name, second.name)
                if kind is not None:
                    kinds[kind] = kinds.get(kind, 0.0) + lesion.difference(first.name, second.name)
                    moved += lesion.moved(first.name, second.name)
        return PairDifference(first.name, second.name, *totals, kinds, moved)

    def as_dict(self) -> dict[str, object]:
        """Return the comparison as plain values for JSON; label maps and attention stay behind."""
        return {
            "methods": [row.as_dict() for row in self.methods],
            "categories": [{**asdict(entry), "agree": entry.agree} for entry in self.categories],
            "pairs": [asdict(pair) for pair in self.pairs],
            "lesions": [lesion.as_dict() for lesion in self.lesions],
            "lesions_agreed": self.lesions_agreed,
            "slices": [asdict(entry) for entry in self.slices],
            "preset": self.preset,
            "acquisition": self.acquisition.as_dict(),
            "findings": [finding.as_dict() for finding in self.findings],
        }


def category_comparisons(rows: Iterable[MethodResult], fewest: int = 2) -> tuple[CategoryComparison, ...]:
    """Return the groups of methods in each scheme that at least ``fewest`` of them speak of."""
    rows: Sequence[MethodResult] = tuple(rows)
    found = []
    for scheme in SCHEMES:
        groups = {row.name: row.risk[scheme] for row in rows if scheme in row.risk}
        if len(groups) >= fewest:
            found.append(CategoryComparison(scheme, groups))
    return tuple(found)
