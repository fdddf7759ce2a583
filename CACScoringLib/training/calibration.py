"""Choose what a lesion needs to be coronary, on patients kept for that alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import astuple, dataclass
from itertools import product
from pathlib import Path

import numpy as np

from CACScoringLib.cohort.agreement import icc_2_1
from CACScoringLib.inference.lesions import DecisionSettings

FIRST_VALIDATION_SEED = 800_000
"""Seeds from here to 899999 choose settings; they are neither trained on nor evaluated on."""
TRIED: tuple[DecisionSettings, ...] = tuple(
    DecisionSettings(*values)
    for values in product((0.5, 0.6, 0.7, 0.8), (0.5, 0.7, 0.9), (0.2, 0.5, 1.0), (0.4, 0.6, 1.0))
)
EQUAL = 0.02
"""Errors that differ by at most this share count as equal."""


@dataclass(frozen=True)
class DecisionChoice:
    """The choice and what it rests on.

    Attributes
    ----------
    settings : DecisionSettings
    patients : int
    error : tuple of float
        Of each of ``TRIED``, as ``best_settings`` computes it.
    """

    settings: DecisionSettings
    patients: int
    error: tuple[float, ...]


def sweep_patient(protocol: str, seed: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Score a synthetic patient with its true labels and with the network's under each of ``TRIED``.

    Returns
    -------
    reference : ndarray, shape (5,)
        Agatston: total, LM, LAD, LCX, RCA.
    predicted : ndarray, shape (len(TRIED), 5)
    """
    from CACScoringLib.inference.lesions import decide
    from CACScoringLib.methods.multibranch_unet import look, paint
    from CACScoringLib.methods.registry import candidate_threshold
    from CACScoringLib.models import open_bundle
    from CACScoringLib.phantom import synthesize
    from CACScoringLib.scoring import score
    from CACScoringLib.training.patient_result import agatston_of

    patient = synthesize(seed=seed, protocol=protocol)
    ct = patient.ct
    seen = look(ct, bundle=open_bundle(folder), threshold_hu=candidate_threshold(ct))
    known: dict[bytes, list[float]] = {}
    predicted = []
    for settings in TRIED:
        decision = decide(seen.candidates, seen.calcium, seen.non_coronary, ct.voxel_volume_mm3, settings)
        key = decision.label.tobytes()
        if key not in known:
            labels, _, _ = paint(ct.shape, seen.candidates, decision)
            known[key] = list(agatston_of(score(ct, labels)).values())
        predicted.append(known[key])
    return np.array(list(agatston_of(score(ct, patient.labels)).values())), np.array(predicted)


def best_settings(reference: np.ndarray, predicted: np.ndarray) -> DecisionChoice:
    """Choose the settings with the smallest mean error of ln(1 + Agatston).

    The error of the total and the mean error of the four vessels count equally. The logarithm weighs a false speck in
    a calcium-free patient as a reader would: it moves the category, where the same points in a
    heavily calcified patient move nothing. Among settings within ``EQUAL`` of the smallest error, which the number of
    patients cannot tell apart, the best ICC of the left main decides, since it is the vessel with least calcium
    and most confusion; then nearness to the defaults.

    Parameters
    ----------
    reference : ndarray, shape (patients, 5)
    predicted : ndarray, shape (patients, len(TRIED), 5)
    """
    error = np.abs(np.log1p(predicted) - np.log1p(reference)[:, None]).mean(axis=0) @ [0.5, 0.125, 0.125, 0.125, 0.125]
    equal = np.flatnonzero(error <= error.min() * (1.0 + EQUAL) + 1e-9)
    agreement = {n: _agreement(reference[:, 1], predicted[:, n, 1]) for n in equal}
    chosen = max(equal, key=lambda n: (agreement[n], -_away_from_default(TRIED[n])))
    return DecisionChoice(TRIED[chosen], len(reference), tuple(float(e) for e in error))


def _agreement(reference: np.ndarray, predicted: np.ndarray) -> float:
    """Return the ICC, or -1 where there is none: one patient, or scores that do not vary."""
    if len(reference) < 2:
        return -1.0
    return float(np.nan_to_num(icc_2_1(reference, predicted).value, nan=-1.0))


def _away_from_default(settings: DecisionSettings) -> float:
    return sum(abs(a - b) for a, b in zip(astuple(settings), astuple(DecisionSettings()), strict=True))


def choose_settings(
    folder: Path,
    wanted: Iterable[tuple[str, int]],
    *,
    workers: int = 1,
    tick: Callable[[str], None] | None = None,
) -> DecisionChoice:
    """Try all of ``TRIED`` on synthetic patients with the bundle in ``folder``.

    Parameters
    ----------
    wanted : iterable of (protocol, seed)
    tick : callable, optional
        Called with a text after every patient.
    """
    from CACScoringLib.training.evaluation import one_thread

    scores: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]] = {}
    with ProcessPoolExecutor(max_workers=workers, initializer=one_thread) as pool:
        running = {pool.submit(sweep_patient, *job, folder): job for job in wanted}
        for future in as_completed(running):
            scores[running[future]] = future.result()
            if tick is not None:
                tick(f"patient {running[future][1]}")
    rows = [scores[job] for job in sorted(scores)]
    return best_settings(np.stack([r[0] for r in rows]), np.stack([r[1] for r in rows]))
