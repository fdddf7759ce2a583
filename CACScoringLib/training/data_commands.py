"""``cacscoring train METHOD --data FOLDER``: tune shipped weights on labelled scans."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib.findings import Finding, InputRefusedError, refuse
from CACScoringLib.models import ModelBundle, ModelError, open_bundle

if TYPE_CHECKING:
    import numpy as np

    from CACScoringLib.inference.lesions import DecisionSettings
    from CACScoringLib.training.datasets import ScanFiles
    from CACScoringLib.training.fine_tuned_bundle import TuningFacts
    from CACScoringLib.training.fine_tuning import BuiltCase, Tick, Validation

STEPS = 600
LEARNING_RATE = 3e-4
"""A tenth or so of what training from the beginning starts with: what was learned is to stay."""
WARMUP_SHARE = 0.1
BUNDLE = "multibranch-unet-tuned"
"""Folder, and so id, of the tuned model."""
VALIDATION = "validation.json"


def run_tune(args: argparse.Namespace) -> int:
    """Tune a model on labelled scans and write its bundle; returns the exit status."""
    from CACScoringLib.methods.registry import METHODS
    from CACScoringLib.training.datasets import list_scans, split_patients
    from CACScoringLib.training.progress import progress_display

    if args.layout is None:
        raise ModelError("--data needs --layout, which says how scans and labels lie: coca, orcascore or plain.")
    if not 0.0 <= args.validation_share <= 0.5:
        raise ModelError("--validation-share is the share of patients held back, 0 to 0.5.")
    start = open_bundle(args.from_model or METHODS[args.method].model)
    if start.method != args.method:
        raise ModelError(f"Model '{start.id}' belongs to method '{start.method}', not to '{args.method}'.")
    scans = list_scans(args.data, args.layout, label_map=args.label_map)
    training, held_back = split_patients((s.patient_id for s in scans), args.validation_share, args.seed)
    learn = [s for s in scans if s.patient_id in set(training)]
    check = [s for s in scans if s.patient_id in set(held_back)]
    cache = args.cache or args.output / "cache"
    with progress_display() as progress:
        task = progress.add_task("Reading scans", total=len(learn))
        built = _build(
            learn, cache, start, args, lambda text: progress.update(task, advance=1, description=f"Reading {text}")
        )
    _say(finding for case in built for finding in case.findings)
    used = [case for case in built if case.path is not None]
    if not used:
        raise InputRefusedError(refuse("no-data", f"None of the {len(learn)} scans to train on can be used."))
    return _train(args, start, used, check, cache)


def _build(
    learn: list[ScanFiles], cache: Path, start: ModelBundle, args: argparse.Namespace, tick: Tick
) -> list[BuiltCase]:
    from CACScoringLib.training.fine_tuning import build_cases

    workers = min(args.workers, len(learn)) or 1
    return build_cases(learn, cache, start.folder, workers=workers, device=args.device, tick=tick)


def _train(
    args: argparse.Namespace, start: ModelBundle, used: list[BuiltCase], check: list[ScanFiles], cache: Path
) -> int:
    from CACScoringLib.inference.lesions import DecisionSettings
    from CACScoringLib.training.cases import CASES, TrainingCase
    from CACScoringLib.training.fine_tuned_bundle import TuningFacts, write_tuned_bundle
    from CACScoringLib.training.labels import LEFT_MAIN_OR_LAD
    from CACScoringLib.training.loop import Trainer, TrainingSettings
    from CACScoringLib.training.multibranch_training import losses_text
    from CACScoringLib.training.progress import progress_display
    from CACScoringLib.training.synthetic_patients import training_patients

    steps = args.steps or STEPS
    mixed = CASES.build(cache, training_patients(args.patients or 0), workers=args.workers) if args.patients else []
    cases = [TrainingCase.load(case.path) for case in used]
    merged = any((case.label == LEFT_MAIN_OR_LAD).any() for case in cases)
    groups = [list(range(len(cases)))]
    if mixed:
        groups.append(list(range(len(cases), len(cases) + len(mixed))))
        cases += [TrainingCase.load(path) for path in mixed]
    settings = replace(
        TrainingSettings(),
        steps=steps,
        seed=args.seed,
        device=args.device,
        learning_rate=args.learning_rate or LEARNING_RATE,
        warmup_steps=max(round(WARMUP_SHARE * steps), 1),
    )
    trainer = Trainer(cases, groups, settings, args.output, start)
    if not args.no_resume:
        trainer.resume()
    with progress_display() as progress:
        task = progress.add_task("Training", total=steps, completed=trainer.step)
        trainer.run(lambda step, losses: progress.update(task, completed=step, description=losses_text(losses)))
    patients = len({case.files.patient_id for case in used})
    facts = TuningFacts(args.layout, len(used), patients, len(mixed), merged)
    decision = DecisionSettings.of_network(start.settings)
    folder = args.output / "bundle" / BUNDLE
    write_tuned_bundle(folder, trainer, start, facts, decision)
    if check:
        facts, decision = _validate(args, start, folder, check, facts)
        write_tuned_bundle(folder, trainer, start, facts, decision)
    _print([f"Tuned model in {folder}", facts.validation, "Research use only, not a medical device."])
    return 0


def _validate(
    args: argparse.Namespace, start: ModelBundle, folder: Path, check: list[ScanFiles], facts: TuningFacts
) -> tuple[TuningFacts, DecisionSettings]:
    """Compare the tuned model with the first one on patients held back, and choose what a lesion needs."""
    from CACScoringLib.inference.lesions import DecisionSettings
    from CACScoringLib.training.fine_tuned_bundle import counted
    from CACScoringLib.training.fine_tuning import LEAST_SCANS_TO_CHOOSE, validate, write_validation
    from CACScoringLib.training.progress import progress_display

    with progress_display() as progress:
        task = progress.add_task("Validating", total=len(check))
        workers = min(args.workers, len(check))
        validation, findings = validate(
            check,
            start.folder,
            folder,
            choose=len(check) >= LEAST_SCANS_TO_CHOOSE,
            workers=workers,
            tick=lambda _: progress.update(task, advance=1),
        )
    _say(findings)
    if validation is None:
        return facts, DecisionSettings.of_network(start.settings)
    decision, scores, chosen_on = _decision(validation, start)
    patients = sorted({files.patient_id for files in check})
    said = write_validation(
        args.output / VALIDATION,
        validation,
        scores,
        {"layout": args.layout, "patients": patients, "start": start.id, "start_sha256": start.sha256},
    )
    error = said["mean_error_ln_agatston"]
    change = error["after"] - error["before"]
    better = "smaller" if change < 0 else "larger: this tuning made it worse" if change > 0 else "the same"
    on = f"On {counted(said['scans'], 'scan')} of {counted(len(patients), 'patient')} held back"
    sentence = (
        f"{on}, the mean error of ln(1 + Agatston) is "
        f"{error['after']:.3f} after tuning and was {error['before']:.3f} before: {better}."
    )
    return replace(facts, validation=sentence, decision_scans=chosen_on), decision


def _decision(validation: Validation, start: ModelBundle) -> tuple[DecisionSettings, np.ndarray, int]:
    """Return what a lesion needs, the scores it gives, and how many scans chose it."""
    from CACScoringLib.inference.lesions import DecisionSettings
    from CACScoringLib.training.calibration import TRIED, best_settings

    if validation.after.shape[1] == 1:
        return DecisionSettings.of_network(start.settings), validation.after[:, 0], 0
    chosen = best_settings(validation.reference, validation.after).settings
    return chosen, validation.after[:, TRIED.index(chosen)], len(validation.case_ids)


def _say(findings: Iterable[Finding]) -> None:
    """Write findings to standard error."""
    for finding in findings:
        sys.stderr.write(f"{finding.severity.value}: {finding.message}\n")


def _print(lines: list[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
