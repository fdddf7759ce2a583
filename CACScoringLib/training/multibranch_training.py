"""``cacscoring train multibranch-unet``: synthetic patients -> a trained network in a bundle."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from CACScoringLib.training.run_request import TrainingRequest
from CACScoringLib.training.synthetic_patients import (
    LESION_PATIENTS,
    VALIDATION_PATIENTS,
    by_protocol,
    training_patients,
)

if TYPE_CHECKING:
    from CACScoringLib.models import ModelBundle
    from CACScoringLib.training.cases import TrainingCase

NAME = "multibranch-unet"
BIFURCATION_STEPS = 8000
"""Of the network that says where the left main divides."""


def train_multibranch(
    request: TrainingRequest,
    *,
    validation_patients: int = VALIDATION_PATIENTS,
    lesion_patients: int = LESION_PATIENTS,
    bifurcation_steps: int = BIFURCATION_STEPS,
    mixed_precision: bool = False,
) -> ModelBundle:
    """Train both networks, fit the lesion classifier, choose what a lesion needs, and write the bundle.

    Parameters
    ----------
    request : TrainingRequest
    validation_patients : int
        Synthetic patients that choose the decision settings; 0: do not choose, and fit no classifier.
    lesion_patients : int
        Synthetic patients that the lesion classifier learns from; 0: none.
    bifurcation_steps : int
        Optimiser steps of the network that says where the left main divides; 0: none is trained.
    mixed_precision : bool
        Of that network: ``BifurcationSettings.mixed_precision``.
    """
    from CACScoringLib.training.bifurcation_training import train_bifurcation
    from CACScoringLib.training.bundle_writer import write_trained_bundle
    from CACScoringLib.training.calibration import choose_for
    from CACScoringLib.training.lesion_training import check_installed, fit_for
    from CACScoringLib.training.loop import Trainer, TrainingSettings

    fits = validation_patients > 0 and lesion_patients > 0
    if fits:
        check_installed()
    cases, groups = load_patients(request)
    settings = replace(TrainingSettings(), steps=request.steps, seed=request.seed, device=request.device)
    trainer = Trainer(cases, list(groups.values()), settings, request.output)
    if request.resume:
        trainer.resume()
    trainer.run(lambda step, losses: request.report(losses_text(losses), step, request.steps))
    beside = None
    if bifurcation_steps > 0:
        beside = train_bifurcation(request, cases, groups, bifurcation_steps, mixed_precision=mixed_precision)
    folder = request.bundle_folder(NAME)
    write = partial(write_trained_bundle, folder, trainer, patients=request.patients, bifurcation=beside)
    bundle = write()
    if validation_patients > 0:
        classifier = fit_for(request, folder, lesion_patients) if fits else None
        choice = choose_for(request, folder, validation_patients, classifier)
        bundle = write(choice=choice, classifier=classifier)
    return bundle


def load_patients(request: TrainingRequest) -> tuple[list[TrainingCase], dict[str, list[int]]]:
    """Generate the training patients that are not cached yet, load all, and group them by protocol."""
    from CACScoringLib.training.cases import CASES, TrainingCase

    cases = [TrainingCase.load(path) for path in CASES.of_training(request)]
    return cases, by_protocol(training_patients(request.patients))


def losses_text(losses: dict[str, float]) -> str:
    """Return the losses of a step for the progress display."""
    return f"Training (calcium {losses['calcium']:.3f}, structures {losses['structure_coarse']:.3f})"
