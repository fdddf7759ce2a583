"""``cacscoring train multibranch-unet --left-main-only``: go on learning where the left main divides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from CACScoringLib import __version__
from CACScoringLib.inference.lesion_classifier import LesionClassifier
from CACScoringLib.methods.multibranch_model import BIFURCATION, CLASSIFIER
from CACScoringLib.models import ModelBundle, ModelError, load_weights, part_of, without_part, write_bundle
from CACScoringLib.networks.bifurcation import BifurcationConfig, BifurcationUNet
from CACScoringLib.training.bifurcation_training import (
    BifurcationSettings,
    BifurcationTrainer,
    Surroundings,
    surroundings_of,
)
from CACScoringLib.training.bifurcation_validation import CrossEntropy, cross_entropy
from CACScoringLib.training.bundle_writer import with_bifurcation, with_classifier
from CACScoringLib.training.case_cache import CaseKind
from CACScoringLib.training.cases import CACHE_VERSION, case_of_synthetic
from CACScoringLib.training.run_request import TrainingRequest
from CACScoringLib.training.synthetic_patients import left_main_patients, left_main_validation_patients

if TYPE_CHECKING:
    from CACScoringLib.phantom import SyntheticPatient

FOLDER = "multibranch-unet-left-main"
"""Folder, and so id, of the bundle."""
VALIDATION = "left-main.json"
HALF_WAY = "half-way.pt"
"""Averaged weights half way through a run, beside its checkpoint."""
AVERAGING = 0.998
"""Of weights that have learned already: steadier than from the beginning."""
BEFORE = "before"
Weights = dict[str, torch.Tensor]

CARD = """
## Since then

The network that says where the left main divides went on learning by itself: {steps} steps of {patients_per_step} crops
on {patients} synthetic patients (seeds from {first_seed}), learning rate {rate:g}{mixed}, seed {seed}, by
`cacscoring train multibranch-unet --left-main-only` (CACScoring {version}), from `{start}` (sha256 {sha256}).
{chosen}
Everything else is that of `{start}`. Its settings, probabilities and published figures were chosen, fitted and measured
before, and do not hold for these weights until somebody measures them.
"""
NOT_CHOSEN = "The weights at the end ship; no others were tried."
CHOSEN = """Of the weights {names}, those called '{chosen}' have the smallest cross-entropy of the vessel at calcium of
{patients} validation patients (seeds from {first_seed}; {with_calcium} with calcium of the left tree near the left
main): {after:.3f}, before {before:.3f}."""


def reduce(patient: SyntheticPatient) -> Surroundings:
    """Reduce a synthetic patient to what lies round its left main.

    Raises
    ------
    ValueError
        If the patient does not say where the left main runs.
    """
    around = surroundings_of(case_of_synthetic(patient))
    if around is None:
        raise ValueError("this patient does not say where the left main runs")
    return around


SURROUNDINGS = CaseKind("left-main-", CACHE_VERSION, reduce)


@dataclass(frozen=True)
class FurtherTraining:
    """What the network learns from, and how.

    Attributes
    ----------
    first_seed : int
        Of the training patients; the protocols in turn.
    learning_rate : float
    validation_patients : int
        That choose among the weights of the run; 0: those at the end.
    mixed_precision : bool
        As in ``BifurcationSettings``.
    """

    first_seed: int
    learning_rate: float
    validation_patients: int
    mixed_precision: bool = False


@dataclass(frozen=True)
class Choice:
    """Which weights of a run were chosen, and what they and the others are worth."""

    name: str
    tried: dict[str, CrossEntropy]


def train_left_main(request: TrainingRequest, start: ModelBundle, how: FurtherTraining) -> tuple[ModelBundle, Choice]:
    """Train the network that says where the left main divides further, and write the model with it.

    Parameters
    ----------
    request : TrainingRequest
    start : ModelBundle
        Of ``multibranch-unet``; all its other parts are taken over.
    how : FurtherTraining

    Returns
    -------
    ModelBundle
        In ``request.bundle_folder(FOLDER)``.
    Choice

    Raises
    ------
    ModelError
        If ``start`` has no such network, or nothing that was learned is better than what it has.
    """
    weights = load_weights(start)
    first = part_of(weights, BIFURCATION)
    _check(start, first)
    groups = _groups(request, left_main_patients(request.patients, how.first_seed), enriched=True)
    held_back = _groups(request, left_main_validation_patients(how.validation_patients), enriched=False)
    settings = BifurcationSettings(
        steps=request.steps,
        learning_rate=how.learning_rate,
        averaging=AVERAGING,
        seed=request.seed,
        device=request.device,
        mixed_precision=how.mixed_precision,
    )
    trainer = BifurcationTrainer(groups, settings, request.output / "bifurcation", first)
    half_way = _run(trainer, request)
    end = trainer.step, {name: value.cpu() for name, value in trainer.average.items()}
    found = weights_of_a_run(first, half_way, end)
    choice = choose(found, held_back, request)
    _write_choice(request.output / VALIDATION, choice)
    if choice.name == BEFORE:
        raise ModelError(
            f"After {request.steps} steps no weights are better on the validation patients than those of '{start.id}', "
            f"so no model was written; see {request.output / VALIDATION}. More patients or more steps may help."
        )
    kept = without_part(without_part(weights, BIFURCATION), CLASSIFIER)
    arrays = {name: tensor.numpy() for name, tensor in part_of(weights, CLASSIFIER).items()}
    classifier = LesionClassifier.from_arrays(arrays) if arrays else None
    bundle = write_bundle(
        request.bundle_folder(FOLDER),
        with_classifier(with_bifurcation(kept, found[choice.name]), classifier),
        settings={key: value for key, value in start.settings.items() if key != "sha256"},
        metadata={key: value for key, value in start.metadata.items() if key != "cacscoring"},
        card=(start.folder / "docs" / "README.md").read_text(encoding="utf-8")
        + _card_words(request, start, how, choice, settings.patients_per_step),
        licence=(start.folder / "LICENSE").read_text(encoding="utf-8"),
    )
    return bundle, choice


def _check(start: ModelBundle, first: Weights) -> None:
    """Refuse a model without such a network, or with one of another form."""
    if not first:
        raise ModelError(
            f"Model '{start.id}' has no network that says where the left main divides: nothing to go on from."
        )
    expected = {name: value.shape for name, value in BifurcationUNet(BifurcationConfig()).state_dict().items()}
    if {name: value.shape for name, value in first.items()} != expected:
        raise ModelError(
            f"The network of '{start.id}' that says where the left main divides has another form than those that are "
            "trained here; choose another --from-model."
        )


def _groups(
    request: TrainingRequest, wanted: Sequence[tuple[str, int]], *, enriched: bool
) -> dict[str, list[Surroundings]]:
    """Generate what is not cached yet, and load all by protocol."""
    tick = request.counted("generated", len(wanted))
    paths = SURROUNDINGS.build(request.cases, wanted, enriched=enriched, workers=request.workers, tick=tick)
    groups: dict[str, list[Surroundings]] = {}
    for (protocol, _), path in zip(wanted, paths, strict=True):
        groups.setdefault(protocol, []).append(Surroundings.load(path))
    return groups


def _run(trainer: BifurcationTrainer, request: TrainingRequest) -> tuple[int, Weights]:
    """Train; return a step, half way where that was passed, and the averaged weights there."""
    path = trainer.folder / HALF_WAY
    half = max(request.steps // 2, 1)
    if not (request.resume and trainer.resume()):
        path.unlink(missing_ok=True)

    def tick(step: int, losses: dict[str, float]) -> None:
        request.report(f"Left main (calcium {losses['calcium']:.3f})", step, request.steps)
        if step == half:
            torch.save({"step": step, "average": trainer.average}, path)

    trainer.run(tick)
    if not path.is_file():  # gone on from a checkpoint beyond half of what is asked for now
        return trainer.step, trainer.average
    kept = torch.load(path, map_location="cpu", weights_only=True)
    return kept["step"], kept["average"]


def weights_of_a_run(before: Weights, half_way: tuple[int, Weights], end: tuple[int, Weights]) -> dict[str, Weights]:
    """Return the averaged weights of a run, and means of two of them, by name, those at the end first.

    A mean of the weights of a network before and after training goes on often knows more than either:
    Wortsman 2022, arXiv 2203.05482.
    """
    half, last = (f"step {step:,}" for step, _ in (half_way, end))
    return {
        last: end[1],
        half: half_way[1],
        f"mean of {half} and {last}": _mean_of(half_way[1], end[1]),
        f"mean of {BEFORE} and {last}": _mean_of(before, end[1]),
        BEFORE: before,
    }


def _mean_of(one: Weights, other: Weights) -> Weights:
    return {name: (value + other[name]) / 2 for name, value in one.items()}


def choose(
    found: Mapping[str, Weights], held_back: Mapping[str, Sequence[Surroundings]], request: TrainingRequest
) -> Choice:
    """Choose the weights with the smallest cross-entropy at calcium; the first ones where nobody has any."""
    first = next(iter(found))
    if not held_back:
        return Choice(first, {})
    network = BifurcationUNet(BifurcationConfig()).to(request.device).eval()
    tried = {}
    for number, (name, weights) in enumerate(found.items(), start=1):
        network.load_state_dict(weights)
        tried[name] = cross_entropy(network, held_back)
        request.report(f"Validating ({name})", number, len(found))
    known = {name: said.calcium for name, said in tried.items() if said.with_calcium}
    return Choice(min(known, key=lambda name: known[name]) if known else first, tried)


def _write_choice(path: Path, choice: Choice) -> None:
    """Write what each of the weights is worth."""
    tried = {name: asdict(said) for name, said in choice.tried.items()}
    path.write_text(json.dumps({"chosen": choice.name, "cross_entropy": tried}, indent=2) + "\n", encoding="utf-8")


def _card_words(
    request: TrainingRequest, start: ModelBundle, how: FurtherTraining, choice: Choice, patients_per_step: int
) -> str:
    """Say in the card what was done."""
    chosen = NOT_CHOSEN
    if choice.tried:
        said = choice.tried[choice.name]
        chosen = CHOSEN.format(
            names=", ".join(f"'{name}'" for name in choice.tried),
            chosen=choice.name,
            patients=said.patients,
            with_calcium=said.with_calcium,
            first_seed=left_main_validation_patients(1)[0][1],
            after=said.calcium,
            before=choice.tried[BEFORE].calcium,
        )
    return CARD.format(
        steps=request.steps,
        patients_per_step=patients_per_step,
        patients=request.patients,
        first_seed=how.first_seed,
        rate=how.learning_rate,
        mixed=", convolutions in bfloat16" if how.mixed_precision else "",
        seed=request.seed,
        version=__version__,
        start=start.id,
        sha256=start.sha256,
        chosen=chosen,
    )
