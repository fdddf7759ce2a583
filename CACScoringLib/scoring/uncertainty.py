"""How sure a risk category is: the distribution of the total, as a sum over lesions that may be coronary or not.

Every part of the candidate calcium is coronary with a probability of its own, independent of the others but for a shift
of all log-odds of a scan together (what one scan makes look more coronary, it makes so everywhere). The probability of
a category is that of a sum that falls into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtr

from CACScoringLib.scoring.risk import SCHEMES, RiskScheme

REVIEW_SCHEME = "spect-pet-4"
"""The scheme whose category is checked: the categories of the papers that are followed."""
REVIEW = "needs-review"
SCHEMES_GIVEN = ("spect-pet-4", "clinical-5", "screening-5", "nguyen-6")
INTERVAL = (0.05, 0.5, 0.95)
"""Quantiles of the total that are given."""
HARDLY = 0.002
"""Parts less probable than this are taken together ..."""
TOGETHER = 0.02
"""... as long as one of them counts with at most this probability; two at once are then as good as excluded."""
STEP = 0.25
"""Agatston: sums closer than this are taken together where there are many. Every bound of a scheme is a multiple."""
MOST_SUMS = 2048
LEAST_PROBABILITY = 1e-9
"""Sums less probable than this are dropped where there are many."""
LEAST_EXTENT = 1e-6
"""Spreads of ln(total) below this count as none."""
FAR = 9.0
"""Standard deviations beyond which nothing lies."""
NODES = 5
"""Points at which the shift of a scan is integrated (Gauss and Hermite)."""


@dataclass(frozen=True)
class Spread:
    """What the probabilities of the lesions do not say; chosen on validation patients.

    Attributes
    ----------
    scan_shift : float
        Standard deviation of the shift of a scan's log-odds.
    extent : float
        Standard deviation of ln(total) from lesions that are marked too large or too small.
    unforeseen : float
        Probability that everything is different: spread evenly over the categories.
    decision : float
        Log-odds by which the category of the labels as decided is more probable than the lesions alone make it: the
        decision knows what their probabilities do not say.
    """

    scan_shift: float = 0.0
    extent: float = 0.0
    unforeseen: float = 0.0
    decision: float = 0.0

    def apply(self, share: np.ndarray, stated: np.ndarray | int | None) -> np.ndarray:
        """Return category probabilities (..., groups) with what is unforeseen and what was decided.

        Parameters
        ----------
        share : ndarray of float64, shape (..., groups)
        stated : ndarray of int, shape (...), or None
            Group of the labels as decided.
        """
        share = (1.0 - self.unforeseen) * share + self.unforeseen / share.shape[-1]
        if stated is not None and self.decision:
            is_stated = np.arange(share.shape[-1]) == np.asarray(stated)[..., None]
            share = np.where(is_stated, share * np.exp(self.decision), share)
        return share / share.sum(axis=-1, keepdims=True)


NO_SPREAD = Spread()


@dataclass(frozen=True)
class ScoreUncertainty:
    """How sure the score of one scan is.

    Attributes
    ----------
    categories : dict of str to dict of str to float
        By scheme, the probability of each group; they add up to 1.
    agatston_interval : tuple of float
        5 %, 50 % and 95 % quantiles of the total.
    review_below : float or None
        A stated category of ``REVIEW_SCHEME`` less probable than this needs review; None where no limit was chosen.
    """

    categories: dict[str, dict[str, float]]
    agatston_interval: tuple[float, float, float]
    review_below: float | None = None

    def of(self, risk: Mapping[str, str], scheme: str = REVIEW_SCHEME) -> float:
        """Return the probability of the stated category."""
        return self.categories[scheme][risk[scheme]]

    def needs_review(self, risk: Mapping[str, str]) -> bool | None:
        """Return whether the stated category is in doubt; None where no limit was chosen."""
        return None if self.review_below is None else self.of(risk) < self.review_below

    def as_dict(self, risk: Mapping[str, str]) -> dict[str, object]:
        """Return the uncertainty as ``scores.json`` writes it."""
        low, middle, high = self.agatston_interval
        return {
            "categories": {scheme: dict(groups) for scheme, groups in self.categories.items()},
            "agatston_interval": {"p5": low, "p50": middle, "p95": high},
            "scheme": REVIEW_SCHEME,
            "stated_probability": self.of(risk),
            "review_below": self.review_below,
            "needs_review": self.needs_review(risk),
            "calibrated_on": "synthetic patients only",
        }


def review_message(uncertainty: ScoreUncertainty, risk: Mapping[str, str]) -> str:
    """Return why a person should look, in one sentence."""
    stated = risk[REVIEW_SCHEME]
    others = {group: p for group, p in uncertainty.categories[REVIEW_SCHEME].items() if group != stated}
    next_one = max(others, key=others.get)
    return (
        f"Look at the lesions: the risk category {stated} ({REVIEW_SCHEME}) has a probability of "
        f"{uncertainty.of(risk):.1%}, below the limit for review of {uncertainty.review_below or 1.0:.1%} "
        f"(next: {next_one}, {others[next_one]:.1%}); calibrated on synthetic patients only."
    )


def score_uncertainty(
    agatston: np.ndarray,
    probability: np.ndarray,
    spread: Spread = NO_SPREAD,
    *,
    stated: float | None = None,
    review_below: float | None = None,
) -> ScoreUncertainty:
    """Return category probabilities and interval of a total that is a sum over parts.

    Parameters
    ----------
    agatston : ndarray, shape (parts,)
        What each part adds if it is coronary.
    probability : ndarray, shape (parts,)
        That it is.
    spread : Spread
    stated : float, optional
        Total of the labels as decided.
    review_below : float, optional
    """
    values, chance = spread_distribution(agatston, probability, spread.scan_shift)
    categories = {}
    for name in SCHEMES_GIVEN:
        scheme = SCHEMES[name]
        share = category_probabilities(values, chance, scheme, spread.extent)
        share = spread.apply(share, None if stated is None else scheme.index(stated))
        categories[name] = dict(zip(scheme.groups, share.tolist(), strict=True))
    if stated is not None and spread.decision:
        known = SCHEMES[REVIEW_SCHEME]
        as_decided = np.array([known.index(value) for value in values]) == known.index(stated)
        chance = np.where(as_decided, chance * np.exp(spread.decision), chance)
    low, middle, high = total_quantiles(values, chance, spread.extent).tolist()
    return ScoreUncertainty(categories, (low, middle, high), review_below)


def spread_distribution(
    agatston: np.ndarray, probability: np.ndarray, scan_shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums that are possible, ascending, and their probabilities, over all shifts of the scan."""
    if scan_shift <= 0:
        return total_distribution(agatston, probability)
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    odds = logit(np.clip(probability, 1e-12, 1.0 - 1e-12))
    parts = [total_distribution(agatston, expit(odds + scan_shift * node)) for node in nodes]
    values = np.concatenate([v for v, _ in parts])
    chance = np.concatenate([c * w for (_, c), w in zip(parts, weights / weights.sum(), strict=True)])
    order = np.argsort(values, kind="stable")
    return values[order], chance[order]


def total_distribution(agatston: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of independent parts that are possible, ascending, and their probabilities.

    Exact while there are few sums; sums closer than ``STEP`` are then replaced by their mean. A sum of zero
    keeps its exact probability always.

    Examples
    --------
    >>> values, chance = total_distribution([60.0, 50.0], [0.5, 0.9])
    >>> values.tolist(), chance.round(3).tolist()
    ([0.0, 50.0, 60.0, 110.0], [0.05, 0.45, 0.05, 0.45])
    """
    agatston, probability = _bundled(np.asarray(agatston, float), np.asarray(probability, float))
    values, chance = np.zeros(1), np.ones(1)
    for points, p in zip(agatston.tolist(), probability.tolist(), strict=True):
        values = np.concatenate([values, values + points])
        chance = np.concatenate([chance * (1.0 - p), chance * p])
        if len(values) > MOST_SUMS:
            values, chance = _merged(values, chance)
    order = np.argsort(values, kind="stable")
    return values[order], chance[order]


def category_probabilities(
    values: np.ndarray, chance: np.ndarray, scheme: RiskScheme, extent: float = 0.0
) -> np.ndarray:
    """Return the probability of each group of a scheme.

    Parameters
    ----------
    values, chance : ndarray, shape (n,)
        A distribution of the total.
    scheme : RiskScheme
    extent : float
        Standard deviation of ln(total) round each of the values.
    """
    if extent < LEAST_EXTENT:
        return np.bincount([scheme.index(v) for v in values], weights=chance, minlength=len(scheme.groups))
    positive = values > 0
    logarithm = np.log(values[positive])
    beyond = [float(chance.sum())]
    for bound in scheme.bounds:
        if bound <= 0:
            beyond.append(float(chance[positive].sum()))
        else:
            beyond.append(float(chance[positive] @ ndtr((logarithm - np.log(bound)) / extent)))
    return -np.diff([*beyond, 0.0])


def total_quantiles(values: np.ndarray, chance: np.ndarray, extent: float = 0.0) -> np.ndarray:
    """Return the quantiles ``INTERVAL`` of the total.

    Parameters
    ----------
    values, chance : ndarray, shape (n,)
        A distribution of the total, ascending; the chances need not add up to 1.
    extent : float
        Standard deviation of ln(total) round each of the values. It smooths the distribution, so that the quantile
        lies between the values; a total of zero stays zero.
    """
    wanted = np.array(INTERVAL) * chance.sum()
    if extent < LEAST_EXTENT:
        return values[np.minimum(np.searchsorted(np.cumsum(chance), wanted), len(values) - 1)]
    from scipy.optimize import brentq

    positive = values > 0
    logarithm, weight, zero = np.log(values[positive]), chance[positive], float(chance[~positive].sum())

    def quantile(goal: float) -> float:
        if goal <= zero or not positive.any():
            return 0.0
        ends = logarithm.min() - FAR * extent, logarithm.max() + FAR * extent
        found = brentq(lambda x: zero + weight @ ndtr((x - logarithm) / extent) - goal, *ends, maxiter=1000)
        return float(np.exp(found))

    return np.array([quantile(goal) for goal in wanted])


def _bundled(agatston: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop parts that add nothing, and take those together that hardly can; ascending by what they add."""
    counts = (agatston > 0) & (probability > 0)
    agatston, probability = agatston[counts], probability[counts]
    order = np.argsort(agatston, kind="stable")
    agatston, probability = agatston[order], probability[order]
    hardly = probability < HARDLY
    few, some = probability[hardly], agatston[hardly]
    bundle = (np.cumsum(few) / TOGETHER).astype(int)
    together = -np.expm1(np.bincount(bundle, weights=np.log1p(-few)))
    mean = np.bincount(bundle, weights=few * some) / np.maximum(np.bincount(bundle, weights=few), 1e-300)
    kept = together > 0
    agatston = np.concatenate([agatston[~hardly], mean[kept]])
    probability = np.concatenate([probability[~hardly], together[kept]])
    order = np.argsort(agatston, kind="stable")
    return agatston[order], probability[order]


def _merged(values: np.ndarray, chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replace sums within the same ``STEP`` by their mean; zero stays alone."""
    cell = np.ceil(values / STEP).astype(np.int64)
    together = np.bincount(cell, weights=chance)
    mean = np.bincount(cell, weights=chance * values) / np.maximum(together, 1e-300)
    kept = together > LEAST_PROBABILITY
    kept[0] = True
    return mean[kept], together[kept] / together[kept].sum()
