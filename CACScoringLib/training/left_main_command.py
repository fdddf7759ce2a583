"""``cacscoring train multibranch-unet --left-main-only``."""

from __future__ import annotations

import argparse
import sys

from CACScoringLib.models import ModelError, open_bundle
from CACScoringLib.training.synthetic_patients import FIRST_LEFT_MAIN_SEED, PATIENTS, left_main_patients
from CACScoringLib.training.train_commands import request_of

STEPS = 2000
LEARNING_RATE = 1e-3
"""Half of what training from the beginning starts with."""


def run_left_main(args: argparse.Namespace) -> int:
    """Go on training the network that says where the left main divides; returns the exit status."""
    from CACScoringLib.methods.registry import METHODS
    from CACScoringLib.training.bifurcation_further import FurtherTraining, train_left_main
    from CACScoringLib.training.progress import progress_display, shown_in

    start = open_bundle(args.from_model or METHODS[args.method].model)
    if start.method != args.method:
        raise ModelError(f"Model '{start.id}' belongs to method '{start.method}', not to '{args.method}'.")
    if args.learning_rate is not None and not args.learning_rate > 0:
        raise ModelError("--learning-rate has to be above 0.")
    first_seed = FIRST_LEFT_MAIN_SEED if args.first_seed is None else args.first_seed
    try:
        left_main_patients(args.patients or PATIENTS, first_seed)
    except ValueError as error:
        raise ModelError(f"--first-seed: {error}.") from error
    with progress_display() as progress:
        request = request_of(args, STEPS, shown_in(progress))
        how = FurtherTraining(
            first_seed=first_seed,
            learning_rate=args.learning_rate or LEARNING_RATE,
            validation_patients=max(args.validation_patients, 0),
            mixed_precision=args.mixed_precision,
        )
        bundle, choice = train_left_main(request, start, how)
    lines = ["Cross-entropy of LM, LAD and LCX, at calcium and along the arteries:"] if choice.tried else []
    lines += [f"  {name}: {said.calcium:.4f}, {said.course:.4f}" for name, said in choice.tried.items()]
    lines += [f"Model with the weights '{choice.name}' in {bundle.folder}", "Research use only, not a medical device."]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0
