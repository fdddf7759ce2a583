"""Simulated cohorts with known hazard ratios: what the statistics must find again. No patient is behind any number.

The defaults follow Pieszko et al. 2022 (paper 001): the category mix of the patients with a calcium scan (Table 2), the
adjusted hazard ratios of the deep-learning score (text), 31 % with an event, and a follow-up whose median and
quartiles are 4.3 (2.5, 6.6) years.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.cohort.extras import require

if TYPE_CHECKING:
    import pandas as pd

PATIENTS = 4000
CATEGORY_COUNTS = (685, 662, 586, 804)
"""Patients with 0, 1-100, 101-400 and more than 400: Pieszko et al. 2022, Table 2 (verified)."""
HAZARD_RATIOS = (1.0, 1.25, 1.74, 2.45)
"""Against a score of 0, adjusted: Pieszko et al. 2022, Results (verified)."""
BASE_HAZARD = 0.051
"""Events per patient and year at a score of 0, chosen so that 31 % have an event."""
FOLLOW_UP_SHAPE, FOLLOW_UP_SCALE = 1.62, 5.39
"""Weibull distribution, in years, whose quartiles are 2.5, 4.3 and 6.6."""
LONGEST = 10.0
"""Years: patients of 2010, followed until 2020."""
SCORE_BOUNDS = ((0.0, 0.0), (1.0, 100.0), (100.0, 400.0), (400.0, 4000.0))
"""Scores of each category of ``spect-pet-4``, drawn evenly on a logarithmic scale."""
FLOW_RESERVE, ISCHAEMIA_RATIO, FLOW_RATIO = (2.4, 0.8), 1.04, 0.75
"""Mean and SD of the flow reserve, and the hazard ratios of one point of ischaemia and of flow reserve; invented."""
OTHER_SCORE_NOISE = 0.9
"""SD of ln(1 + score) between the two simulated scores; invented."""
MONTHS = 12


@dataclass(frozen=True)
class Truth:
    """What a simulated cohort was made with.

    Attributes
    ----------
    hazard_ratios : tuple of float
        Of each category against the lowest.
    mix : tuple of float
        Share of each category.
    base_hazard : float
        Events per patient and year in the lowest category.
    """

    hazard_ratios: tuple[float, ...] = HAZARD_RATIOS
    mix: tuple[float, ...] = tuple(count / sum(CATEGORY_COUNTS) for count in CATEGORY_COUNTS)
    base_hazard: float = BASE_HAZARD


def simulated_cohort(
    seed: int, patients: int = PATIENTS, truth: Truth | None = None, *, covariates: bool = False, months: bool = False
) -> pd.DataFrame:
    """Return a table of simulated patients.

    Parameters
    ----------
    seed, patients : int
    truth : Truth, optional
    covariates : bool
        With ``mfr`` and ``sds``, which change the hazard, and ``agatston_standard``, a second, noisier score.
    months : bool
        Follow-up known to the month only, as many registries have it.

    Returns
    -------
    DataFrame
        Columns case, agatston, years, mace and, where asked for, the others.
    """
    require("pandas")
    import pandas as pd

    truth = truth or Truth()
    rng = np.random.default_rng(seed)
    category = rng.choice(len(truth.mix), size=patients, p=truth.mix)
    score = _scores(category, rng)
    hazard = truth.base_hazard * np.asarray(truth.hazard_ratios)[category]
    more = {}
    if covariates:
        more = _covariates(score, rng)
        hazard = hazard * FLOW_RATIO ** (more["mfr"] - FLOW_RESERVE[0]) * ISCHAEMIA_RATIO ** more["sds"]
    until_event = rng.exponential(1 / hazard)
    followed = np.minimum(FOLLOW_UP_SCALE * rng.weibull(FOLLOW_UP_SHAPE, patients), LONGEST)
    years = np.minimum(until_event, followed)
    if months:
        years = np.ceil(years * MONTHS) / MONTHS
    columns = {
        "case": [f"s{number:06d}" for number in range(1, patients + 1)],
        "agatston": score,
        "years": years,
        "mace": (until_event <= followed).astype(int),
    }
    return pd.DataFrame({**columns, **more})


def _scores(category: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    low, high = np.asarray(SCORE_BOUNDS).T
    low, high = low[category], high[category]
    drawn = np.exp(rng.uniform(np.log(np.maximum(low, 1)), np.log(np.maximum(high, 1))))
    return np.where(high > 0, np.ceil(drawn * 10) / 10, 0.0)


def _covariates(score: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return flow reserve, summed difference score and a second score."""
    noisy = np.expm1(np.log1p(score) + rng.normal(0, OTHER_SCORE_NOISE, len(score)))
    return {
        "mfr": np.round(np.clip(rng.normal(*FLOW_RESERVE, len(score)), 0.8, 5.5), 2),
        "sds": rng.poisson(1.2, len(score)).astype(float),
        "agatston_standard": np.round(np.where(noisy < 1, 0, noisy), 1),
    }
