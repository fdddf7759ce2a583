"""Train the convolutional LSTM on synthetic patients: patients, steps, decision settings, bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib.methods.convlstm import NAME
from CACScoringLib.models import ModelBundle

if TYPE_CHECKING:
    from CACScoringLib.training.convlstm_loop import ConvLSTMSettings

PATIENTS, STEPS, VALIDATION_PATIENTS = 480, 3000, 40
DRAWN_TWICE = ("pet-ctac", "spect-ctac")
"""What the method is made for: two thirds of the sequences; Pieszko 2022 had 81 % CTAC and 19 % gated scans."""
Report = Callable[[str, int, int], None]


def train_convlstm(
    output: Path,
    patients: int = PATIENTS,
    steps: int = STEPS,
    *,
    seed: int = 20260,
    workers: int = 2,
    device: str = "cpu",
    cache: Path | None = None,
    validation_patients: int = VALIDATION_PATIENTS,
    resume: bool = True,
    settings: ConvLSTMSettings | None = None,
    report: Report | None = None,
) -> ModelBundle:
    """Train on synthetic patients, choose what a lesion needs, write ``output/bundle/convlstm``.

    Parameters
    ----------
    output : Path
        Folder for cache, checkpoint, log and bundle.
    patients, steps : int
        Patients have the protocols in turn and seeds from 1000, those of ``training.commands.training_patients``.
    seed : int
        Of weights and sequences.
    workers : int
        Processes that generate patients.
    device : str
        As torch names it.
    cache : Path, optional
        Folder of generated patients; ``output/cache`` when absent.
    validation_patients : int
        Synthetic patients that choose the decision settings; 0: do not choose.
    resume : bool
        Go on from a checkpoint that is there.
    settings : ConvLSTMSettings, optional
        Whatever else decides the run; its steps, seed and device are not used.
    report : callable, optional
        Called with what is being done, how many parts of it are done, and of how many.

    Returns
    -------
    ModelBundle
    """
    from CACScoringLib.training.commands import training_patients
    from CACScoringLib.training.convlstm_bundle import write_convlstm_bundle
    from CACScoringLib.training.convlstm_cases import SequenceCase, build_cache
    from CACScoringLib.training.convlstm_loop import ConvLSTMSettings, ConvLSTMTrainer

    report = report or (lambda text, done, total: None)
    wanted = training_patients(patients)
    tick = _counted(report, "Generating", len(wanted))
    paths = build_cache(cache or output / "cache", wanted, workers=workers, tick=tick)
    cases = [SequenceCase.load(path) for path in paths]
    settings = replace(settings or ConvLSTMSettings(), steps=steps, seed=seed, device=device)
    trainer = ConvLSTMTrainer(cases, groups_of(wanted), settings, output)
    if resume:
        trainer.resume()
    trainer.run(lambda step, losses: report(losses_text(losses), step, steps))
    folder = output / "bundle" / NAME
    bundle = write_convlstm_bundle(folder, trainer, patients=patients)
    if validation_patients > 0:
        from CACScoringLib.training.calibration import FIRST_VALIDATION_SEED, choose
        from CACScoringLib.training.commands import evaluation_patients
        from CACScoringLib.training.validation import see_patients

        kept_back = evaluation_patients(-(-validation_patients // 4), FIRST_VALIDATION_SEED)
        tick = _counted(report, "Choosing the decision", len(kept_back))
        seen = see_patients(kept_back, folder, cache=output / "validation", workers=workers, tick=tick)
        bundle = write_convlstm_bundle(folder, trainer, patients=patients, choice=choose(seen))
    return bundle


def groups_of(wanted: list[tuple[str, int]]) -> list[list[int]]:
    """Return the indices of patients by protocol; ``DRAWN_TWICE`` come twice."""
    groups = []
    for name in dict.fromkeys(protocol for protocol, _ in wanted):
        members = [n for n, (protocol, _) in enumerate(wanted) if protocol == name]
        groups += [members] * (2 if name in DRAWN_TWICE else 1)
    return groups


def losses_text(losses: dict[str, float]) -> str:
    """Return the losses of a step for a progress display."""
    return f"Training (masks {losses['mask']:.3f}, vessels {losses['vessel']:.3f})"


def _counted(report: Report, what: str, total: int) -> Callable[[str], None]:
    """Return a tick that counts."""
    done = 0

    def tick(text: str) -> None:
        nonlocal done
        done += 1
        report(f"{what}: {text}", done, total)

    return tick
