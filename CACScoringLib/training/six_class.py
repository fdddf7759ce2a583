"""Train ``six-class``: the category of a slice, labelled as in Nguyen 2025 or by its own score."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from CACScoringLib.methods.six_class import LABELLINGS, NAME, SCHEME, Aggregation
from CACScoringLib.models import ModelBundle
from CACScoringLib.networks.six_class import CATEGORIES, SixClassConfig, SixClassNet
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.training.localiser import LOCALISER_SETTINGS
from CACScoringLib.training.run_request import TrainingRequest
from CACScoringLib.training.slice_regression import load_cases, split_patients, train_localisers_of
from CACScoringLib.training.slice_regression_cases import SliceCase, as_units
from CACScoringLib.training.slice_regression_loop import SliceTrainer, SliceTrainingSettings, seed_weights

VALIDATION_SHARE = 0.3
"""The paper keeps 21 % of all scans for validation and 49 % for training: 3 to 7."""
PAPER_EPOCHS = 15


@dataclass(frozen=True)
class SixClassSettings(SliceTrainingSettings):
    """The paper's batch of 32 and lowest learning rate of 1e-6; the first one is five times the paper's 1e-4.

    Attributes
    ----------
    epoch_steps : int
        Steps after which the validation loss is measured; 0: as many as show every slice once.
    patience : int
        Epochs without a lower validation loss after which the learning rate is halved.
    lowest_rate : float
    move : bool
        Shift the field at random by up to 8 mm, as the middle of a found box differs from the true one.
    rare_share : float
        For labels of the slices: share of the steps in which a rare category is drawn more often, in proportion to the
        square root of its slices; then slices come as they are, so that the network says how probable it is.
    """

    batch: int = 32
    learning_rate: float = 5e-4
    warmup_steps: int = 0
    epoch_steps: int = 0
    patience: int = 2
    lowest_rate: float = 1e-6
    move: bool = True
    rare_share: float = 0.7


@dataclass
class Plateau:
    """Halves the learning rate when the validation loss stops falling.

    Attributes
    ----------
    rate : float
    lowest : float
    patience : int
    best : float
        Lowest loss so far.
    waited : int
        Epochs since then, or since the last halving.
    """

    rate: float
    lowest: float
    patience: int
    best: float = float("inf")
    waited: int = 0

    def update(self, loss: float) -> bool:
        """Take the loss of an epoch; returns whether it is the lowest so far."""
        if loss < self.best:
            self.best, self.waited = loss, 0
            return True
        self.waited += 1
        if self.waited >= self.patience:
            self.rate, self.waited = max(self.rate / 2, self.lowest), 0
        return False


def slice_labels(case: SliceCase, labelling: str) -> np.ndarray:
    """Return the category of every slice of a case: int64 (slices,).

    Parameters
    ----------
    case : SliceCase
    labelling : str
        ``patient``: the patient's, as in the paper. ``slice``: that of the slice's own Agatston score.
    """
    check_labelling(labelling)
    if labelling == "patient":
        return np.full(len(case.slices), patient_category(case), np.int64)
    scheme = SCHEMES[SCHEME]
    return np.array([scheme.index(float(score)) for score in case.slice_agatston], np.int64)


def check_labelling(labelling: str) -> None:
    """Raise ValueError for a labelling that there is not."""
    if labelling not in LABELLINGS:
        raise ValueError(f"the labelling is one of {', '.join(LABELLINGS)}, not {labelling!r}")


def patient_category(case: SliceCase) -> int:
    """Return the category of a patient's total."""
    return SCHEMES[SCHEME].index(float(case.clinical_agatston))


def class_weights(labels: np.ndarray) -> np.ndarray:
    """Return the weight of each category: slices / (categories x slices of it), 0 where there are none.

    Examples
    --------
    >>> [round(float(weight), 3) for weight in class_weights(np.array([0, 0, 0, 1]))]
    [0.222, 0.667, 0.0, 0.0, 0.0, 0.0]
    """
    count = np.bincount(labels, minlength=CATEGORIES)
    return np.where(count > 0, len(labels) / (CATEGORIES * np.maximum(count, 1)), 0.0).astype(np.float32)


def rare_first(labels: np.ndarray) -> np.ndarray:
    """Return how often to draw each slice, so that a category comes as the square root of its slices: sums to 1.

    Examples
    --------
    >>> [round(float(share), 3) for share in rare_first(np.array([0, 0, 0, 0, 1]))]
    [0.167, 0.167, 0.167, 0.167, 0.333]
    """
    share = 1.0 / np.sqrt(np.bincount(labels, minlength=CATEGORIES)[labels])
    return share / share.sum()


def aggregation_of(cases: Sequence[SliceCase], labelling: str) -> Aggregation:
    """Return how slices become a patient: for slice-wise labels, with the mean score of each category's slices.

    A category without a training slice takes the mean score of the one below it.
    """
    if labelling == "patient":
        return Aggregation(labelling)
    score = np.concatenate([case.slice_agatston for case in cases]).astype(float)
    label = np.concatenate([slice_labels(case, labelling) for case in cases])
    means: list[float] = []
    for category in range(CATEGORIES):
        here = label == category
        means.append(float(score[here].mean()) if here.any() else (means[-1] if means else 0.0))
    return Aggregation(labelling, tuple(means))


class SixClassTrainer(SliceTrainer):
    """Trains the classifier.

    Parameters
    ----------
    cases, validation : sequence of SliceCase
        Different patients. Without validation the learning rate stays as it is.
    labelling : str
        One of ``LABELLINGS``.
    settings : SixClassSettings
    folder : Path
    config : SixClassConfig, optional
    """

    def __init__(
        self,
        cases: Sequence[SliceCase],
        validation: Sequence[SliceCase],
        labelling: str,
        settings: SixClassSettings,
        folder: Path,
        config: SixClassConfig | None = None,
    ):
        seed_weights(settings)
        super().__init__(SixClassNet(config), settings, folder)
        self.cases, self.validation, self.labelling = cases, validation, labelling
        self.labels = [slice_labels(case, labelling) for case in cases]
        self.index = np.array([(c, n) for c, label in enumerate(self.labels) for n in range(len(label))])
        label = np.concatenate(self.labels)
        # Few slices hold much calcium: their weights would be hundreds, and one slice would sway a step.
        self.weights = class_weights(label) if labelling == "patient" else np.ones(CATEGORIES, np.float32)
        self.rare_first = rare_first(label) if labelling == "slice" else None
        self.epoch_steps = settings.epoch_steps or -(-len(self.index) // settings.batch)
        self.plateau = Plateau(settings.learning_rate, settings.lowest_rate, settings.patience)
        self.best = deepcopy(self.average)

    def draw(self, rng: np.random.Generator, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return slices (n, 1, size, size) of all patients in random order, and their categories (n,)."""
        s = self.settings
        share = self.rare_first if step < s.rare_share * s.steps else None
        chosen = self.index[rng.choice(len(self.index), size=s.batch, p=share)]
        size = self.network.config.size
        rng = rng if s.move else None
        x = [field_of(self.cases[c].slices[n : n + 1], size, rng) for c, n in chosen]
        return np.concatenate(x)[:, None], np.array([self.labels[c][n] for c, n in chosen])

    def loss(self, batch: tuple[np.ndarray, np.ndarray]) -> torch.Tensor:
        """Return the class-weighted cross-entropy."""
        x, label = (self.tensor(part) for part in batch)
        return functional.cross_entropy(self.network(x), label, weight=self.tensor(self.weights))

    def rate_factor(self) -> float:
        """Return how far the learning rate has been halved."""
        return self.plateau.rate / self.settings.learning_rate

    def after_step(self) -> dict[str, float]:
        """Measure the validation loss after every epoch; lower the learning rate, keep the best weights."""
        if self.step % self.epoch_steps and self.step != self.settings.steps:
            return {}
        if not len(self.validation):
            self.best = deepcopy(self.average)
            return {}
        loss = self.validation_loss()
        if self.plateau.update(loss):
            self.best = deepcopy(self.average)
        return {"validation": loss, "rate": self.plateau.rate}

    def validation_loss(self) -> float:
        """Return the class-weighted cross-entropy of the averaged network on all validation slices."""
        from CACScoringLib.methods.six_class import classify_slices

        network, size = self.averaged(), self.network.config.size
        loss = weight = 0.0
        for case in self.validation:
            label = slice_labels(case, self.labelling)
            probability = classify_slices(network, field_of(case.slices, size, None), self.settings.device)
            own = self.weights[label].astype(float)
            loss -= float((own * np.log(np.maximum(probability[np.arange(len(label)), label], 1e-12))).sum())
            weight += float(own.sum())
        return loss / max(weight, 1e-12)

    def chosen(self) -> SixClassNet:
        """Return the network with the best weights, for evaluation."""
        network = deepcopy(self.network)
        network.load_state_dict(self.best)
        return network.eval()

    def extra_state(self) -> dict[str, object]:
        """Return the state of the learning rate and the best weights so far."""
        return {"plateau": asdict(self.plateau), "best": self.best}

    def load_extra_state(self, state: dict[str, object]) -> None:
        """Take up learning rate and best weights."""
        self.plateau, self.best = Plateau(**state["plateau"]), state["best"]


def field_of(slices: np.ndarray, size: int, rng: np.random.Generator | None) -> np.ndarray:
    """Return kept slices (n, s, s) as the network sees them, (n, size, size): their middle, or moved at random."""
    room = slices.shape[1] - size
    top, left = (room // 2, room // 2) if rng is None else rng.integers(0, room + 1, 2)
    return as_units(slices[:, top : top + size, left : left + size])


def train_six_class(
    request: TrainingRequest,
    *,
    labelling: str = "patient",
    localiser_steps: int = LOCALISER_SETTINGS.steps,
    localiser_folder: Path | None = None,
    batch: int = 32,
    validation_share: float = VALIDATION_SHARE,
) -> ModelBundle:
    """Generate synthetic patients, train localisers and classifier on them, and write the bundle.

    Parameters
    ----------
    request : TrainingRequest
        Its folder of generated cases can be that of ``train_slice_regression``.
    labelling : str
        ``patient``, as in the paper, or ``slice``.
    localiser_folder : Path, optional
        Where the localisers are trained (default ``output/localisers``). That of a finished ``train_slice_regression``
        with the same patients and seed spares training them again.
    batch : int
        Slices a step; 32 in the paper.
    """
    from CACScoringLib.training.six_class_bundle import write_six_class_bundle
    from CACScoringLib.training.six_class_evaluation import chosen_aggregation, evaluate_six_class, review_limit

    check_labelling(labelling)
    device = request.device
    cases = load_cases(request)
    learn, held = split_patients(len(cases), validation_share, request.seed)
    training, validation = [cases[n] for n in learn], [cases[n] for n in held]
    localisers = train_localisers_of(request, training, localiser_steps, localiser_folder)
    settings = SixClassSettings(steps=request.steps, batch=batch, seed=request.seed, device=device)
    trainer = SixClassTrainer(training, validation, labelling, settings, request.output / f"classifier-{labelling}")
    if request.resume:
        trainer.resume()
    trainer.run(request.steps_of("categories", request.steps))
    network = trainer.chosen()
    how = chosen_aggregation(network, validation, aggregation_of(training, labelling), device=device)
    limit = None
    if validation and labelling == "patient":  # sums of slice-wise labels come without a probability
        limit = review_limit(evaluate_six_class(network, validation, how, device=device))
    run = {"patients": request.patients, "validation_patients": len(held), **asdict(settings)}
    return write_six_class_bundle(request.bundle_folder(NAME), localisers, network, how, run=run, review_below=limit)
