"""Measure ``six-class``: precision, recall, F1, accuracy and kappa of slices and of patients, and cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from CACScoringLib.cohort.agreement import Estimate, confusion_matrix, kappa_of_matrix
from CACScoringLib.methods.six_class import Aggregation, aggregate, classify_slices
from CACScoringLib.networks.six_class import CATEGORIES, SixClassConfig
from CACScoringLib.training.six_class import (
    SixClassSettings,
    SixClassTrainer,
    aggregation_of,
    field_of,
    patient_category,
    slice_labels,
)
from CACScoringLib.training.slice_regression_cases import SliceCase

FOLDS = 5
LEAST_PATIENTS = 20
"""Fewer validation patients give no limit for review."""
REVIEW_SENSITIVITY = 0.9
TRIED_SHARES = tuple(round(0.3 + 0.05 * n, 2) for n in range(14))
"""From which probability of calcium a slice may count: 0.3 to 0.95."""


@dataclass(frozen=True)
class ClassReport:
    """Table 1 of Nguyen 2025.

    Attributes
    ----------
    matrix : ndarray of int, shape (6, 6)
        Rows: reference.
    precision, recall, f1 : ndarray of float64, shape (6,)
        NaN where a category never occurs, neither in the reference nor in the result; 0 where it occurs and is never
        right.
    accuracy : float
    kappa : Estimate
        Unweighted.
    kappa_linear : Estimate
    """

    matrix: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    accuracy: float
    kappa: Estimate
    kappa_linear: Estimate

    @property
    def means(self) -> tuple[float, float, float]:
        """Return precision, recall and F1 averaged over the categories that occur in the reference."""
        here = self.matrix.sum(axis=1) > 0
        return tuple(float(values[here].mean()) for values in (self.precision, self.recall, self.f1))


def class_report(matrix: np.ndarray) -> ClassReport:
    """Return the figures of a confusion matrix (rows: reference)."""
    matrix = np.asarray(matrix)
    right, reference, measured = np.diag(matrix).astype(float), matrix.sum(axis=1), matrix.sum(axis=0)
    occurs = reference + measured > 0

    def share(of: np.ndarray) -> np.ndarray:
        return np.where(occurs, right / np.maximum(of, 1), np.nan)

    return ClassReport(
        matrix=matrix,
        precision=share(measured),
        recall=share(reference),
        f1=share((reference + measured) / 2),
        accuracy=float(right.sum() / max(matrix.sum(), 1)),
        kappa=kappa_of_matrix(matrix),
        kappa_linear=kappa_of_matrix(matrix, "linear"),
    )


@dataclass(frozen=True)
class SixClassRow:
    """One patient.

    Attributes
    ----------
    truth, predicted : int
        Category of the patient.
    share : ndarray of float64, shape (6,)
        As ``aggregate`` returns it.
    slice_truth, slice_predicted : ndarray of int64, shape (slices,)
        Truth by the labelling of the network.
    """

    truth: int
    predicted: int
    share: np.ndarray
    slice_truth: np.ndarray
    slice_predicted: np.ndarray


@dataclass(frozen=True)
class SixClassEvaluation:
    """What a labelling is worth.

    Attributes
    ----------
    labelling : str
    rows : tuple of SixClassRow
    slices : ClassReport
        Slices against the truth of the labelling: with ``patient`` what the paper reports. The two labellings cannot be
        compared by it, since they mean different things by the category of a slice.
    patients : ClassReport
        Patients against their own category: the same question for both labellings.
    """

    labelling: str
    rows: tuple[SixClassRow, ...]
    slices: ClassReport
    patients: ClassReport


def evaluate_six_class(
    network: object, cases: Sequence[SliceCase], how: Aggregation, *, device: str = "cpu"
) -> SixClassEvaluation:
    """Evaluate a classifier on cases, of either labelling.

    Parameters
    ----------
    network : SixClassNet
        In evaluation mode.
    cases : sequence of SliceCase
        Patients that it was not trained on.
    how : Aggregation
        Says the labelling too.
    """
    return evaluation_of([row_of(network, case, how, device) for case in cases], how.labelling)


def chosen_aggregation(
    network: object, cases: Sequence[SliceCase], how: Aggregation, *, device: str = "cpu"
) -> Aggregation:
    """Choose from which probability a slice counts, on validation patients: the best linear kappa of the patients.

    Parameters
    ----------
    network : SixClassNet
        In evaluation mode.
    cases : sequence of SliceCase
        Patients that it was not trained on; without them, and for ``patient``, nothing is chosen.
    how : Aggregation
    """
    if how.labelling != "slice" or not len(cases):
        return how
    said = [classify_slices(network, field_of(case.slices, network.config.size, None), device) for case in cases]
    truth = [patient_category(case) for case in cases]

    def kappa(tried: Aggregation) -> float:
        given = [aggregate(probability, tried)[0] for probability in said]
        return float(
            np.nan_to_num(kappa_of_matrix(confusion_matrix(truth, given, CATEGORIES), "linear").value, nan=-1.0)
        )

    tried = [replace(how, calcified_from=share) for share in TRIED_SHARES]
    return max(tried, key=lambda each: (kappa(each), -abs(each.calcified_from - how.calcified_from)))


def row_of(network: object, case: SliceCase, how: Aggregation, device: str = "cpu") -> SixClassRow:
    """Return the result of one patient."""
    probability = classify_slices(network, field_of(case.slices, network.config.size, None), device)
    predicted, share, _ = aggregate(probability, how)
    truth = slice_labels(case, how.labelling)
    return SixClassRow(patient_category(case), predicted, share, truth, probability.argmax(axis=1).astype(np.int64))


def evaluation_of(rows: Sequence[SixClassRow], labelling: str) -> SixClassEvaluation:
    """Return the figures of patients, of one network or of several folds."""
    slices = confusion_matrix(
        np.concatenate([row.slice_truth for row in rows]),
        np.concatenate([row.slice_predicted for row in rows]),
        CATEGORIES,
    )
    patients = confusion_matrix([row.truth for row in rows], [row.predicted for row in rows], CATEGORIES)
    return SixClassEvaluation(labelling, tuple(rows), class_report(slices), class_report(patients))


def review_limit(evaluation: SixClassEvaluation) -> float | None:
    """Return the probability below which a stated category needs review; None where none was measured.

    It flags at least 90 % of the wrong patients. The sums of slice-wise labels come without a probability.
    """
    if evaluation.labelling != "patient" or len(evaluation.rows) < LEAST_PATIENTS:
        return None
    wrong = [row.share[row.predicted] for row in evaluation.rows if row.predicted != row.truth]
    if not wrong:
        return None
    return float(np.nextafter(np.quantile(wrong, REVIEW_SENSITIVITY, method="higher"), 2.0))


def check_folds(folds: int, patients: int) -> None:
    """Raise ValueError where folds cannot be made."""
    if folds < 3 or patients < folds:
        raise ValueError(
            f"{folds} folds of {patients} patients leave none to learn from, validate by and test on: "
            "it takes at least 3 folds, and a patient for each"
        )


def patient_folds(categories: Sequence[int], folds: int = FOLDS, seed: int = 20260) -> np.ndarray:
    """Return the fold of each patient, 0 to ``folds - 1``: every category is spread over the folds as evenly as can be.

    Raises
    ------
    ValueError
        If there are fewer patients than folds, or fewer than three folds (to test, to validate, to learn).
    """
    categories = np.asarray(categories)
    check_folds(folds, len(categories))
    rng = np.random.default_rng([seed, len(categories)])
    order = rng.permutation(len(categories))
    order = order[np.argsort(categories[order], kind="stable")]
    out = np.empty(len(categories), np.int64)
    out[order] = np.arange(len(categories)) % folds
    return out


def cross_validate(
    cases: Sequence[SliceCase],
    folder: Path,
    labelling: str,
    settings: SixClassSettings,
    *,
    folds: int = FOLDS,
    config: SixClassConfig | None = None,
    resume: bool = True,
    tick: Callable[[int, int, dict[str, float]], None] | None = None,
) -> SixClassEvaluation:
    """Train and test once a fold; no patient is ever on two sides.

    Each fold in turn is tested on, the next one chooses weights and learning rate, the others are learned from.

    Parameters
    ----------
    cases : sequence of SliceCase
    folder : Path
        Checkpoints and logs of each fold; a stopped run goes on.
    labelling : str
    settings : SixClassSettings
    folds : int
    tick : callable, optional
        Called with the fold, the step and its losses.

    Returns
    -------
    SixClassEvaluation
        Every patient once, by the network that never saw it.
    """
    fold = patient_folds([patient_category(case) for case in cases], folds, settings.seed)
    rows: dict[int, SixClassRow] = {}
    for number in range(folds):
        tested, validated = fold == number, fold == (number + 1) % folds
        training = [cases[n] for n in np.flatnonzero(~tested & ~validated)]
        validation = [cases[n] for n in np.flatnonzero(validated)]
        trainer = SixClassTrainer(
            training, validation, labelling, replace(settings), folder / f"{labelling}-fold-{number}", config
        )
        if resume:
            trainer.resume()
        trainer.run(None if tick is None else lambda step, losses, n=number: tick(n, step, losses))
        network = trainer.chosen()
        how = chosen_aggregation(network, validation, aggregation_of(training, labelling), device=settings.device)
        for n in np.flatnonzero(tested):
            rows[int(n)] = row_of(network, cases[n], how, settings.device)
    return evaluation_of([rows[n] for n in range(len(cases))], labelling)
