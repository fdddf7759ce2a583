"""``cacscoring evaluate --ablation`` and ``cacscoring train --ablation``: what each rule and each choice buys."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib.training import commands

if TYPE_CHECKING:
    from rich.progress import Progress

DECISION_PAGE, TRAINING_PAGE = "ablation.md", "training-ablation.md"
STEPS = 600
"""Of each short training."""


def run_decision_ablation(args: argparse.Namespace) -> int:
    """Leave out one rule of the decision at a time, print and write the table; returns the exit status."""
    from CACScoringLib.inference.lesions import DecisionSettings
    from CACScoringLib.methods.registry import METHODS
    from CACScoringLib.models import ModelError, open_bundle
    from CACScoringLib.training.ablation import ablate, as_markdown
    from CACScoringLib.training.calibration import FIRST_VALIDATION_SEED
    from CACScoringLib.training.validation import see_patients

    bundle = open_bundle(args.model or METHODS[args.method].model)
    if not {item.name for item in fields(DecisionSettings)} & set(bundle.settings):
        raise ModelError(f"--ablation is for methods that decide about lesions: '{args.method}' labels none.")
    wanted = commands.evaluation_patients(args.patients, FIRST_VALIDATION_SEED)
    with commands.progress_display() as progress:
        seen = see_patients(
            wanted,
            bundle.folder,
            cache=args.output / "validation",
            workers=args.workers,
            tick=_looking(progress, len(wanted)),
        )
    text = as_markdown(ablate(seen, DecisionSettings.from_bundle(bundle.settings)), len(seen))
    _write(args.output / DECISION_PAGE, text)
    return 0


def run_training_ablation(args: argparse.Namespace) -> int:
    """Train once for every choice, print and write the table; returns the exit status."""
    from CACScoringLib.models import ModelError
    from CACScoringLib.training.calibration import FIRST_VALIDATION_SEED
    from CACScoringLib.training.loop import TrainingSettings
    from CACScoringLib.training.training_ablation import VARIANTS, as_markdown, compare_variants, train_variants

    if args.validation_patients < 1:
        raise ModelError("--ablation measures on validation patients: give --validation-patients 1 or more.")
    patients, steps = args.patients or commands.PATIENTS, args.steps or STEPS
    settings = replace(TrainingSettings(), steps=steps, seed=args.seed, device=args.device)
    wanted = commands.evaluation_patients(-(-args.validation_patients // 4), FIRST_VALIDATION_SEED)
    with commands.progress_display() as progress:
        cases, groups = commands.load_patients(args, patients, progress)
        task = progress.add_task("Training", total=steps * len(VARIANTS))
        bundles = train_variants(
            cases,
            groups,
            settings,
            args.output,
            resume=not args.no_resume,
            tick=lambda variant: (
                lambda step, losses: progress.update(
                    task, completed=VARIANTS.index(variant) * steps + step, description=f"Training: {variant.title}"
                )
            ),
        )
        rows = compare_variants(
            wanted,
            bundles,
            cache=args.output / "validation",
            workers=args.workers,
            tick=_looking(progress, len(wanted)),
        )
    _write(args.output / TRAINING_PAGE, as_markdown(rows, patients=patients, steps=steps, validation=len(wanted)))
    return 0


def _looking(progress: Progress, patients: int) -> Callable[[str], None]:
    """Show that networks look at patients; return what is called after each."""
    task = progress.add_task("Looking", total=patients)
    return lambda text: progress.update(task, advance=1, description=f"Looked at {text}")


def _write(page: Path, text: str) -> None:
    """Print and keep a table."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{text}Written to {page}. Research use only, not a medical device.\n")
