"""Measure ``slice-regression`` on validation patients: how far its totals are off, and the limit for review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.methods.score_prediction import counted, spread_probability
from CACScoringLib.methods.slice_regression import BATCH, BOX_MARGIN_MM, SCHEME, slice_scores
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.training.slice_regression_cases import SliceCase

if TYPE_CHECKING:
    from torch import Tensor

TOTALS = {"agatston": "agatston", "volume": "volume_mm3"}
CALCIFIED, LEAST_CALCIFIED = 10.0, 10
"""The factor is that of patients with a score of at least 10, where there are at least 10 of them."""
LEAST_PATIENTS = 20
"""Fewer validation patients give no spread."""
REVIEW_SENSITIVITY = 0.9
"""The limit for review is set so that this share of wrong categories of validation patients would be flagged."""


def case_outputs(case: SliceCase, networks: dict[str, object], device: str = "cpu") -> dict[str, Tensor]:
    """Return what networks say of a case's slices by target, in its true box with the margin of inference."""
    import torch

    from CACScoringLib.training.slice_regression import slab_on_canvas

    z = case.slab_offset_mm[0] + case.slab_spacing_mm[0] * np.arange(len(case.slabs))
    box = case.box.grown(BOX_MARGIN_MM)
    number = np.flatnonzero((z >= box.low_mm[0]) & (z <= box.high_mm[0]))
    said: dict[str, list[Tensor]] = {target: [] for target in networks}
    for start in range(0, len(number), BATCH):
        chosen = number[start : start + BATCH]
        for target, network in networks.items():
            x = torch.from_numpy(slab_on_canvas(case, chosen, network.config.size, None))[:, None].to(device)
            voxel = torch.tensor(case.slab_spacing_mm, dtype=torch.float32, device=device).expand(len(x), 3)
            with torch.inference_mode():
                said[target].append(network(x, voxel).cpu())
    return {target: torch.cat(parts) if parts else torch.zeros(0) for target, parts in said.items()}


def totals_of(
    outputs: Mapping[str, Tensor], networks: dict[str, object], factors: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return the totals by target that outputs of slices stand for."""
    by = factors or {}
    return {
        target: float(slice_scores(output, networks[target], target, by.get(target, 1.0)).sum())
        for target, output in outputs.items()
    }


@dataclass(frozen=True)
class MeasuredSpread:
    """How far regressed totals are off on validation patients.

    Attributes
    ----------
    patients : int
    spread : float
        Root mean square of ln(1 + predicted) - ln(1 + reference).
    review_below : float or None
        A stated category less probable than this needs review; None where no category was wrong.
    """

    patients: int
    spread: float
    review_below: float | None

    def as_dict(self) -> dict[str, object]:
        """Return what a bundle keeps."""
        return asdict(self)


def measure_factors(
    cases: Sequence[SliceCase], said: Sequence[Mapping[str, Tensor]], networks: dict[str, object]
) -> dict[str, float]:
    """Return by what the totals of each target are too low on cases (``factor_of``); ``said``: their outputs."""
    predicted = [totals_of(outputs, networks) for outputs in said]
    return {
        target: factor_of([float(getattr(case, TOTALS[target])) for case in cases], [p[target] for p in predicted])
        for target in networks
    }


def factor_of(reference: Sequence[float], predicted: Sequence[float]) -> float:
    """Return the median of reference / predicted of patients with calcium; 1 with too few of them.

    Examples
    --------
    >>> factor_of([120.0] * 10, [100.0] * 10), factor_of([120.0], [100.0])
    (1.2, 1.0)
    """
    pairs = [(r, p) for r, p in zip(reference, predicted, strict=True) if min(r, p) >= CALCIFIED]
    return float(np.median([r / p for r, p in pairs])) if len(pairs) >= LEAST_CALCIFIED else 1.0


def measure_spread(
    cases: Sequence[SliceCase],
    said: Sequence[Mapping[str, Tensor]],
    networks: dict[str, object],
    factors: Mapping[str, float] | None = None,
) -> MeasuredSpread | None:
    """Measure the spread of the Agatston totals on cases; None with too few of them or without that network."""
    if len(cases) < LEAST_PATIENTS or "agatston" not in networks:
        return None
    predicted = [totals_of(outputs, networks, factors)["agatston"] for outputs in said]
    return spread_of([float(case.agatston) for case in cases], predicted)


def spread_of(reference: Sequence[float], predicted: Sequence[float]) -> MeasuredSpread:
    """Return the spread of totals, and the limit for review that follows from it."""
    off = np.log1p(predicted) - np.log1p(reference)
    spread = max(float(np.sqrt(np.mean(off**2))), 1e-3)
    scheme = SCHEMES[SCHEME]
    wrong = []
    for true, value in zip(reference, predicted, strict=True):
        stated = scheme.group(counted(value))
        if stated != scheme.group(counted(true)):
            wrong.append(spread_probability(value, spread, SCHEME)[stated])
    limit = None
    if wrong:
        # The stated category must be less probable than the limit, so the limit lies just above.
        limit = float(np.nextafter(np.quantile(wrong, REVIEW_SENSITIVITY, method="higher"), 2.0))
    return MeasuredSpread(len(off), spread, limit)
