"""Choose the probability from which a lesion counts as coronary, on patients kept for that alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FIRST_VALIDATION_SEED = 800_000
"""Seeds from here to 899999 choose settings; they are neither trained on nor evaluated on."""
PROBABILITIES = tuple(round(0.3 + 0.05 * n, 2) for n in range(14))
"""What is tried: 0.30 to 0.95."""


@dataclass(frozen=True)
class ProbabilityChoice:
    """The choice and what it rests on.

    Attributes
    ----------
    probability : float
    patients : int
    error : tuple of float
        Mean ``|ln(1 + predicted) - ln(1 + reference)|`` of the total Agatston for each of ``PROBABILITIES``.
    """

    probability: float
    patients: int
    error: tuple[float, ...]


def sweep_patient(protocol: str, seed: int, folder: Path) -> tuple[float, list[float]]:
    """Return a synthetic patient's true total Agatston and the network's for each of ``PROBABILITIES``."""
    from CACScoringLib.inference.lesions import decide
    from CACScoringLib.methods.multibranch_unet import look, paint
    from CACScoringLib.methods.registry import candidate_threshold
    from CACScoringLib.models import open_bundle
    from CACScoringLib.phantom import synthesize
    from CACScoringLib.scoring import score

    patient = synthesize(seed=seed, protocol=protocol)
    ct = patient.ct
    evidence = look(ct, bundle=open_bundle(folder), threshold_hu=candidate_threshold(ct))
    totals = []
    for probability in PROBABILITIES:
        decision = decide(
            evidence.candidates, evidence.calcium, evidence.non_coronary, ct.voxel_volume_mm3, probability
        )
        labels, _, _ = paint(ct.shape, evidence.candidates, decision)
        totals.append(float(score(ct, labels).total.agatston))
    return float(score(ct, patient.labels).total.agatston), totals


def best_probability(reference: np.ndarray, predicted: np.ndarray) -> ProbabilityChoice:
    """Choose the probability with the smallest mean error of ln(1 + Agatston).

    The logarithm weighs a false speck in a calcium-free patient as a reader would: it moves the category, where the
    same points in a heavily calcified patient move nothing. Of equal ones, the one nearest to 0.5 is taken.

    Parameters
    ----------
    reference : ndarray, shape (patients,)
    predicted : ndarray, shape (patients, len(PROBABILITIES))
    """
    error = np.abs(np.log1p(predicted) - np.log1p(reference)[:, None]).mean(axis=0)
    equal = np.flatnonzero(error <= error.min() + 1e-9)
    chosen = min(equal, key=lambda n: abs(PROBABILITIES[n] - 0.5))
    return ProbabilityChoice(PROBABILITIES[chosen], len(reference), tuple(float(e) for e in error))


def choose_probability(
    folder: Path,
    wanted: Iterable[tuple[str, int]],
    *,
    workers: int = 1,
    tick: Callable[[str], None] | None = None,
) -> ProbabilityChoice:
    """Try ``PROBABILITIES`` on synthetic patients with the bundle in ``folder``.

    Parameters
    ----------
    wanted : iterable of (protocol, seed)
    tick : callable, optional
        Called with a text after every patient.
    """
    from CACScoringLib.training.evaluation import one_thread

    totals: dict[tuple[str, int], tuple[float, list[float]]] = {}
    with ProcessPoolExecutor(max_workers=workers, initializer=one_thread) as pool:
        running = {pool.submit(sweep_patient, *job, folder): job for job in wanted}
        for future in as_completed(running):
            totals[running[future]] = future.result()
            if tick is not None:
                tick("patient {1}".format(*running[future]))
    rows = [totals[job] for job in sorted(totals)]
    return best_probability(np.array([r[0] for r in rows]), np.array([r[1] for r in rows]))
