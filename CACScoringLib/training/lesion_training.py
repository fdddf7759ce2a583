"""Fit the classifier that looks again at whole lesions, on patients that the network was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.inference.lesion_classifier import LesionClassifier
from CACScoringLib.inference.lesions import island_means
from CACScoringLib.training.run_request import TrainingRequest
from CACScoringLib.training.synthetic_patients import lesion_options, lesion_patients
from CACScoringLib.training.validation import SeenPatient, see_patients
from CACScoringLib.vocabulary import is_vessel

if TYPE_CHECKING:
    from pathlib import Path

REPEATS = 3
"""Fits that are averaged; they draw other features for each split."""
TREES = 400
"""Trees of a fit."""
RATE, LEAVES, LEAST_ISLANDS, SHRINKAGE, SHARE_OF_FEATURES = 0.05, 20, 15, 5.0, 0.4
LARGER_WEIGHS_MM3 = 10.0
LARGEST_WEIGHT_MM3 = 300.0
"""Between these volumes an island weighs with the square root of its size: errors of large ones cost a score more."""
STENTED_WEIGHS = 0.08
"""Weight of a patient with a stent: there are far more of them in training than in any cohort."""
LEAST_ISLANDS_OF_A_KIND = 20
"""With fewer coronary islands, or fewer others, nothing is fitted."""


def check_installed() -> None:
    """Say early that scikit-learn is missing: the classifier is fitted hours after a training begins.

    Raises
    ------
    ModelError
        If it is not installed.
    """
    from CACScoringLib.models import ModelError

    if find_spec("sklearn") is None:
        raise ModelError(
            "Fitting the lesion classifier needs scikit-learn: pip install 'cacscoring[train]', or give "
            "--lesion-patients 0 to train without it."
        )


def fit_for(request: TrainingRequest, folder: Path, patients: int) -> LesionClassifier | None:
    """Generate patients, ask the network of a bundle about them, and fit; part of a training.

    Parameters
    ----------
    request : TrainingRequest
    folder : Path
        Of the bundle that was just trained.
    patients : int
    """
    wanted = lesion_patients(patients)
    tick = request.counted("Looking again at lesions:", len(wanted))
    cache = request.output / "lesions"
    seen = see_patients(wanted, folder, cache=cache, workers=request.workers, tick=tick, options=lesion_options)
    stented = ["stent" in lesion_options(*patient).mimics for patient in sorted(wanted, key=lambda one: one[::-1])]
    return fit_lesions(seen, stented, seed=request.seed)


def fit_lesions(patients: Sequence[SeenPatient], stented: Sequence[bool], seed: int = 0) -> LesionClassifier | None:
    """Fit the classifier.

    An island is coronary when more than half of its voxels are. Patients with a stent and no calcium are left out: a
    stent that is alone is hardly ever seen.

    Parameters
    ----------
    patients : sequence of SeenPatient
        As the network alone sees them.
    stented : sequence of bool
        Whether each patient was given a stent.
    seed : int

    Returns
    -------
    LesionClassifier or None
        None where there is too little to learn from.
    """
    features, coronary, weight = [], [], []
    for patient, stent in zip(patients, stented, strict=True):
        if stent and patient.reference[0] == 0:
            continue
        features.append(patient.features)
        coronary.append(is_coronary(patient))
        size = np.clip(
            patient.size_mm3[patient.islands] / LARGER_WEIGHS_MM3, 1.0, LARGEST_WEIGHT_MM3 / LARGER_WEIGHS_MM3
        )
        weight.append(np.sqrt(size) * (STENTED_WEIGHS if stent else 1.0))
    if not features:
        return None
    x, y, w = np.concatenate(features), np.concatenate(coronary), np.concatenate(weight)
    if min(np.count_nonzero(y), np.count_nonzero(~y)) < LEAST_ISLANDS_OF_A_KIND:
        return None
    return boosted(x, y, w, seed)


def is_coronary(patient: SeenPatient) -> np.ndarray:
    """Return whether each island that is looked at is calcium of a coronary artery; bool (k,)."""
    true = is_vessel(patient.truth)
    return island_means(true[:, None], patient.candidates)[patient.islands, 0] > 0.5


def boosted(features: np.ndarray, coronary: np.ndarray, weight: np.ndarray, seed: int) -> LesionClassifier:
    """Fit boosted trees ``REPEATS`` times and return the mean of their log-odds.

    Parameters
    ----------
    features : ndarray of float32, shape (n, len(FEATURES))
    coronary : ndarray of bool, shape (n,)
    weight : ndarray of float64, shape (n,)
    seed : int
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees, root, start, count = [], [], 0.0, 0
    for repeat in range(REPEATS):
        fitted = HistGradientBoostingClassifier(
            learning_rate=RATE,
            max_iter=TREES,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=LEAST_ISLANDS,
            l2_regularization=SHRINKAGE,
            max_features=SHARE_OF_FEATURES,
            early_stopping=False,
            random_state=seed + repeat,
        ).fit(features, coronary, sample_weight=weight)
        start += float(np.ravel(fitted._baseline_prediction)[0]) / REPEATS
        for (predictor,) in fitted._predictors:
            root.append(count)
            trees.append(_nodes(predictor.nodes, count))
            count += len(predictor.nodes)
    feature, threshold, left, right, value = (np.concatenate(column) for column in zip(*trees, strict=True))
    return LesionClassifier(
        feature, threshold, left, right, value / REPEATS, np.array(root, np.int64), np.array([start])
    )


def _nodes(nodes: np.ndarray, first: int) -> tuple[np.ndarray, ...]:
    """Return feature, threshold, left, right and value of the nodes of one tree, numbered from ``first``."""
    leaf = nodes["is_leaf"].astype(bool)
    feature = np.where(leaf, -1, nodes["feature_idx"]).astype(np.int64)
    threshold = np.where(leaf, 0.0, nodes["num_threshold"])
    left, right = (np.where(leaf, 0, nodes[side].astype(np.int64) + first) for side in ("left", "right"))
    return feature, threshold, left, right, np.where(leaf, nodes["value"], 0.0)
