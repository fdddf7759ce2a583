"""Train the convolutional LSTM on synthetic patients: patients, steps, decision settings, bundle."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from CACScoringLib.methods.convlstm import NAME
from CACScoringLib.models import ModelBundle
from CACScoringLib.training.run_request import TrainingRequest
from CACScoringLib.training.synthetic_patients import VALIDATION_PATIENTS, by_protocol, training_patients

if TYPE_CHECKING:
    from CACScoringLib.training.convlstm_loop import ConvLSTMSettings

DRAWN_TWICE = ("pet-ctac", "spect-ctac")
"""What the method is made for: two thirds of the sequences; Pieszko 2022 had 81 % CTAC and 19 % gated scans."""


def train_convlstm(
    request: TrainingRequest,
    *,
    validation_patients: int = VALIDATION_PATIENTS,
    settings: ConvLSTMSettings | None = None,
) -> ModelBundle:
    """Train on synthetic patients, choose what a lesion needs, write ``output/bundle/convlstm``.

    Parameters
    ----------
    request : TrainingRequest
    validation_patients : int
        Synthetic patients that choose the decision settings; 0: do not choose.
    settings : ConvLSTMSettings, optional
        Whatever else decides the run; its steps, seed and device are not used.

    Returns
    -------
    ModelBundle
    """
    from CACScoringLib.training.convlstm_bundle import write_convlstm_bundle
    from CACScoringLib.training.convlstm_cases import CASES, SequenceCase
    from CACScoringLib.training.convlstm_loop import ConvLSTMSettings, ConvLSTMTrainer

    wanted, patients = training_patients(request.patients), request.patients
    cases = [SequenceCase.load(path) for path in CASES.of_training(request)]
    own = {"steps": request.steps, "seed": request.seed, "device": request.device}
    trainer = ConvLSTMTrainer(cases, groups_of(wanted), replace(settings or ConvLSTMSettings(), **own), request.output)
    if request.resume:
        trainer.resume()
    trainer.run(lambda step, losses: request.report(losses_text(losses), step, request.steps))
    folder = request.bundle_folder(NAME)
    bundle = write_convlstm_bundle(folder, trainer, patients=patients)
    if validation_patients > 0:
        from CACScoringLib.training.calibration import choose_for

        choice = choose_for(request, folder, validation_patients)
        bundle = write_convlstm_bundle(folder, trainer, patients=patients, choice=choice)
    return bundle


def groups_of(wanted: list[tuple[str, int]]) -> list[list[int]]:
    """Return the indices of patients by protocol; ``DRAWN_TWICE`` come twice."""
    groups = []
    for name, members in by_protocol(wanted).items():
        groups += [members] * (2 if name in DRAWN_TWICE else 1)
    return groups


def losses_text(losses: dict[str, float]) -> str:
    """Return the losses of a step for a progress display."""
    return f"Training (masks {losses['mask']:.3f}, vessels {losses['vessel']:.3f})"
