"""``cacscoring evaluate --ablation`` and ``cacscoring train --ablation``: what each rule and each choice buys."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib.training.progress import progress_display, shown_in
from CACScoringLib.training.synthetic_patients import (
    FIRST_VALIDATION_SEED,
    evaluation_patients,
    validation_patients,
)
from CACScoringLib.training.train_commands import request_of

if TYPE_CHECKING:
    from rich.progress import Progress

    from CACScoringLib.training.trainer import Tick
    from CACScoringLib.training.training_ablation import Variant

DECISION_PAGE, TRAINING_PAGE = "ablation.md", "training-ablation.md"
STEPS = 600
"""Of each short training."""


def run_decision_ablation(args: argparse.Namespace) -> int:
    """Leave out one rule of the decision at a time, print and write the table; returns the exit status."""
    from CACScoringLib.inference.lesions import DecisionSettings
    from CACScoringLib.methods.registry import METHODS
    from CACScoringLib.models import ModelError, open_bundle
    from CACScoringLib.training.ablation import ablate, as_markdown
    from CACScoringLib.training.validation import see_patients

    bundle = open_bundle(args.model or METHODS[args.method].model)
    if not {item.name for item in fields(DecisionSettings)} & set(bundle.settings):
        raise ModelError(f"--ablation is for methods that decide about lesions: '{args.method}' labels none.")
    wanted = evaluation_patients(args.patients, FIRST_VALIDATION_SEED)
    with progress_display() as progress:
        seen = see_patients(
            wanted,
            bundle.folder,
            cache=args.output / "validation",
            workers=args.workers,
            tick=_looking(progress, len(wanted)),
        )
    alone = DecisionSettings.of_network(bundle.settings) if "network_decision" in bundle.settings else None
    text = as_markdown(ablate(seen, DecisionSettings.from_bundle(bundle.settings), alone), len(seen))
    _write(args.output / DECISION_PAGE, text)
    return 0


def run_training_ablation(args: argparse.Namespace) -> int:
    """Train once for every choice, print and write the table; returns the exit status."""
    from CACScoringLib.models import ModelError
    from CACScoringLib.training.loop import TrainingSettings
    from CACScoringLib.training.multibranch_training import load_patients
    from CACScoringLib.training.training_ablation import VARIANTS, as_markdown, compare_variants, train_with_seeds

    if args.validation_patients < 1:
        raise ModelError("--ablation measures on validation patients: give --validation-patients 1 or more.")
    if args.ablation_seeds < 1:
        raise ModelError("--ablation-seeds needs 1 or more.")
    wanted = validation_patients(args.validation_patients)
    with progress_display() as progress:
        request = request_of(args, STEPS, shown_in(progress))
        steps, seeds = request.steps, args.ablation_seeds
        settings = replace(TrainingSettings(), steps=steps, seed=request.seed, device=request.device)
        cases, groups = load_patients(request)

        def tick(variant: Variant, number: int) -> Tick:
            before = (number * len(VARIANTS) + VARIANTS.index(variant)) * steps
            text, total = f"Training: {variant.title}", seeds * len(VARIANTS) * steps
            return lambda step, losses: request.report(text, before + step, total)

        drawn = list(groups.values())
        bundles = train_with_seeds(cases, drawn, settings, request.output, seeds, resume=request.resume, tick=tick)
        rows = compare_variants(
            wanted,
            bundles,
            cache=args.output / "validation",
            workers=args.workers,
            tick=_looking(progress, len(wanted)),
        )
    text = as_markdown(rows, patients=request.patients, steps=steps, validation=len(wanted), seeds=seeds)
    _write(args.output / TRAINING_PAGE, text)
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
