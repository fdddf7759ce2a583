"""Train ``slice-regression``: the score of a slice from the slice, by the four experiments of de Vos 2017."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from CACScoringLib.methods.slice_regression import BOX_MARGIN_MM, NAME, TARGETS, on_canvas
from CACScoringLib.models import ModelBundle
from CACScoringLib.networks.axis_localiser import AxisLocalisers
from CACScoringLib.networks.slice_regression import EXPERIMENTS, SliceRegressionConfig, SliceRegressionNet
from CACScoringLib.training.localiser import LOCALISER_SETTINGS, train_localisers
from CACScoringLib.training.run_request import TrainingRequest
from CACScoringLib.training.slice_regression_cases import (
    JITTER_MM,
    SLICE_CASES,
    SliceCase,
    as_units,
)
from CACScoringLib.training.slice_regression_loop import SliceTrainer, SliceTrainingSettings, seed_weights

DEFAULT_EXPERIMENT = "iii"
"""Of the paper's four the best for risk categories (accuracy 0.85, kappa 0.90)."""
VALIDATION_SHARE = 1.0 / 3.0
"""As in the paper: 772 to design, 386 to validate."""
VALIDATION_BATCHES = 8
BATCH = 48
"""Slices a step; 100 in the paper."""
FOLLOWING_SHARE = 0.25
"""The second target's network starts from the first one's weights, with this share of its steps and learning rate."""
ROOM_MM = BOX_MARGIN_MM + JITTER_MM
"""How much of a cached slab lies outside the true box on each side."""


@dataclass(frozen=True)
class RegressionSettings(SliceTrainingSettings):
    """As ``SliceTrainingSettings``; the paper's learning rate of 0.01.

    Attributes
    ----------
    validate_every : int
        Steps after which the error on the validation patients is measured; the best weights are kept.
    vary_walls : bool
        Crop to boxes whose walls differ from the true one by up to 8 mm, as those that are found do.
    calcified_share : float
        So many slices of a batch hold calcium, where the training patients' have it in 7 % ...
    balanced_share : float
        ... for this share of the steps; then slices come as they are, as in the paper, so that the network says how
        much there mostly is.
    """

    batch: int = BATCH
    validate_every: int = 100
    vary_walls: bool = True
    calcified_share: float = 0.5
    balanced_share: float = 0.6


class RegressionTrainer(SliceTrainer):
    """Trains the network of one target.

    Parameters
    ----------
    cases, validation : sequence of SliceCase
        Patients to learn from, and others to choose the weights by; without these the last ones are kept.
    target : str
        ``agatston`` or ``volume``.
    config : SliceRegressionConfig
    settings : RegressionSettings
    folder : Path
    start : SliceRegressionNet, optional
        Network of the same shape whose weights to start from; random weights without.
    """

    def __init__(
        self,
        cases: Sequence[SliceCase],
        validation: Sequence[SliceCase],
        target: str,
        config: SliceRegressionConfig,
        settings: RegressionSettings,
        folder: Path,
        start: SliceRegressionNet | None = None,
    ):
        if target not in TARGETS:
            raise ValueError(f"the target is one of {', '.join(TARGETS)}, not {target!r}")
        seed_weights(settings)
        super().__init__(SliceRegressionNet(config) if start is None else deepcopy(start), settings, folder)
        self.cases, self.validation, self.target, self.config = cases, validation, target, config
        self.slices = slice_index(cases)
        scores = np.concatenate([case.slab_agatston for case in cases])
        self.calcified, self.empty = self.slices[scores > 0], self.slices[scores <= 0]
        self.best_error, self.best = float("inf"), deepcopy(self.average)

    def draw(self, rng: np.random.Generator, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw the slices of a step: input (n, 1, s, s), voxel size (n, 3) and score (n,)."""
        s = self.settings
        if step < s.balanced_share * s.steps and len(self.calcified) and len(self.empty):
            count = round(s.batch * s.calcified_share)
            kinds = ((self.calcified, count), (self.empty, s.batch - count))
        else:
            kinds = ((self.slices, s.batch),)
        chosen = np.concatenate([slices[rng.integers(len(slices), size=n)] for slices, n in kinds])
        return self._batch(self.cases, chosen, rng if self.settings.vary_walls else None)

    def loss(self, batch: tuple[np.ndarray, np.ndarray, np.ndarray]) -> torch.Tensor:
        """Return the mean absolute difference between target and output, the paper's error."""
        x, voxel, score = (self.tensor(part) for part in batch)
        return (self.network(x, voxel) - self.config.encode(score)).abs().mean()

    def after_step(self) -> dict[str, float]:
        """Measure the error on the validation patients now and then, and keep the best weights."""
        due = self.step % self.settings.validate_every == 0 or self.step == self.settings.steps
        if not due:
            return {}
        error = self.validation_error() if len(self.validation) else -float(self.step)
        if error < self.best_error:
            self.best_error, self.best = error, deepcopy(self.average)
        return {"validation": error} if len(self.validation) else {}

    def validation_error(self) -> float:
        """Return the mean absolute difference on validation slices, the same ones every time."""
        network, index = self.averaged(), slice_index(self.validation)
        rng = np.random.default_rng(self.settings.seed)
        errors = []
        for _ in range(VALIDATION_BATCHES):
            chosen = index[rng.integers(len(index), size=self.settings.batch)]
            x, voxel, score = (self.tensor(part) for part in self._batch(self.validation, chosen, None))
            with torch.inference_mode():
                errors.append(float((network(x, voxel) - self.config.encode(score)).abs().mean()))
        return float(np.mean(errors))

    def chosen(self) -> SliceRegressionNet:
        """Return the network with the best weights, for evaluation."""
        network = deepcopy(self.network)
        network.load_state_dict(self.best)
        return network.eval()

    def extra_state(self) -> dict[str, object]:
        """Return the best weights so far."""
        return {"best_error": self.best_error, "best": self.best}

    def load_extra_state(self, state: dict[str, object]) -> None:
        """Take up the best weights so far."""
        self.best_error, self.best = float(state["best_error"]), state["best"]

    def _batch(
        self, cases: Sequence[SliceCase], chosen: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scores = f"slab_{self.target}"
        x = [slab_on_canvas(cases[c], np.array([n]), self.config.size, rng) for c, n in chosen]
        voxel = [cases[c].slab_spacing_mm for c, _ in chosen]
        score = [getattr(cases[c], scores)[n] for c, n in chosen]
        return np.concatenate(x)[:, None], np.array(voxel, np.float32), np.array(score, np.float32)


def slice_index(cases: Sequence[SliceCase]) -> np.ndarray:
    """Return (case, slab) of every slab of all cases: int (n, 2)."""
    pairs = [np.column_stack((np.full(len(c.slabs), k), np.arange(len(c.slabs)))) for k, c in enumerate(cases)]
    return np.concatenate(pairs)


def slab_on_canvas(case: SliceCase, number: np.ndarray, size: int, rng: np.random.Generator | None) -> np.ndarray:
    """Return slabs as the network sees them: float32 (n, size, size).

    Parameters
    ----------
    case : SliceCase
    number : ndarray of int
        Which slabs.
    rng : Generator or None
        Draws the walls between the true box and 16 mm outside; without, they lie 8 mm outside, as in inference.
    """
    shape = case.slabs.shape[1:]
    room = np.full(4, ROOM_MM - BOX_MARGIN_MM) if rng is None else rng.uniform(0.0, ROOM_MM, 4)
    cut = np.rint(room / np.repeat(case.slab_spacing_mm[1:], 2)).astype(int)
    cut = np.minimum(cut, np.repeat([(n - 1) // 2 for n in shape], 2))
    part = case.slabs[number][:, cut[0] : shape[0] - cut[1], cut[2] : shape[1] - cut[3]]
    over = [max(n - size, 0) for n in part.shape[1:]]
    part = part[:, over[0] // 2 : part.shape[1] - (over[0] + 1) // 2, over[1] // 2 : part.shape[2] - (over[1] + 1) // 2]
    return on_canvas(as_units(part), size)[0]


def split_patients(count: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Return the patients to learn from and those to validate by; the same for the same seed."""
    order = np.random.default_rng([seed, count]).permutation(count)
    held = min(round(count * share), count - 1)
    return sorted(order[held:].tolist()), sorted(order[:held].tolist())


def train_slice_regression(
    request: TrainingRequest,
    *,
    experiment: str = DEFAULT_EXPERIMENT,
    targets: Sequence[str] = TARGETS,
    localiser_steps: int = LOCALISER_SETTINGS.steps,
    batch: int = BATCH,
    validation_share: float = VALIDATION_SHARE,
) -> ModelBundle:
    """Generate synthetic patients, train localisers and regression networks on them, and write the bundle.

    Parameters
    ----------
    request : TrainingRequest
        Its folder of generated cases can be that of ``train_six_class``.
    experiment : str
        ``i`` to ``iv``, as in the paper's tables: log-transformed target, shared kernels.
    targets : sequence of str
        ``agatston``, ``volume``: one network each. The second starts from the first and takes ``FOLLOWING_SHARE`` of
        the steps, since both tell how much calcium a slice holds; in the paper both start from random weights.
    localiser_steps : int
    batch : int
    validation_share : float
        Share of the patients that choose the weights and measure the spread.
    """
    if experiment not in EXPERIMENTS:
        raise ValueError(f"the experiment is one of {', '.join(EXPERIMENTS)}, not {experiment!r}")
    from CACScoringLib.training.slice_regression_bundle import write_slice_regression_bundle
    from CACScoringLib.training.slice_regression_evaluation import case_outputs, measure_factors, measure_spread

    cases = load_cases(request)
    learn, held = split_patients(len(cases), validation_share, request.seed)
    training, validation = [cases[n] for n in learn], [cases[n] for n in held]
    localisers = train_localisers_of(request, training, localiser_steps)
    settings = RegressionSettings(steps=request.steps, batch=batch, seed=request.seed, device=request.device)
    networks: dict[str, SliceRegressionNet] = {}
    for target in targets:
        start = next(iter(networks.values()), None)
        own = settings if start is None else following(settings)
        folder = request.output / f"{target}-{experiment}"
        trainer = RegressionTrainer(training, validation, target, EXPERIMENTS[experiment], own, folder, start)
        if request.resume:
            trainer.resume()
        trainer.run(request.steps_of(target, own.steps))
        networks[target] = trainer.chosen()
    said = [case_outputs(case, networks, request.device) for case in validation]
    factors = measure_factors(validation, said, networks)
    spread = measure_spread(validation, said, networks, factors)
    run = {"patients": request.patients, "validation_patients": len(held), "experiment": experiment, **asdict(settings)}
    return write_slice_regression_bundle(
        request.bundle_folder(NAME), localisers, networks, run=run, spread=spread, factors=factors
    )


def following(settings: RegressionSettings) -> RegressionSettings:
    """Return the settings of the network that starts from the other target's weights."""
    return replace(
        settings,
        steps=max(round(settings.steps * FOLLOWING_SHARE), 1),
        learning_rate=settings.learning_rate * FOLLOWING_SHARE,
    )


def train_localisers_of(
    request: TrainingRequest, training: Sequence[SliceCase], steps: int, folder: Path | None = None
) -> AxisLocalisers:
    """Train the networks that find the heart box, or take those that a given folder holds."""
    return train_localisers(
        folder or request.output / "localisers",
        training,
        steps,
        settings=replace(LOCALISER_SETTINGS, seed=request.seed, device=request.device),
        resume=request.resume or folder is not None,
        tick=request.steps_of("heart box", steps),
    )


def load_cases(request: TrainingRequest) -> list[SliceCase]:
    """Generate the training patients that are not cached yet, load all of them."""
    return [SliceCase.load(path) for path in SLICE_CASES.of_training(request)]
