"""What each choice of the training buys: short trainings from random weights that differ in one choice each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from CACScoringLib.training.ablation import Ablation, mean_of, summarized, table
from CACScoringLib.training.bundle_writer import write_trained_bundle
from CACScoringLib.training.calibration import TRIED, best_settings, sweep
from CACScoringLib.training.cases import TrainingCase
from CACScoringLib.training.loop import Trainer, TrainingSettings
from CACScoringLib.training.trainer import Tick
from CACScoringLib.training.validation import SeenPatient, see_with_all

HARD_SHARE = 0.25


@dataclass(frozen=True)
class Variant:
    """A training that differs in one choice.

    Attributes
    ----------
    name : str
        Of its folder.
    title : str
        In the table.
    changes : dict of str to object
        Fields of ``TrainingSettings``.
    """

    name: str
    title: str
    changes: dict[str, object]


VARIANTS = (
    Variant("as-trained", "as trained", {}),
    Variant("no-artery", "the artery branch learns nothing", {"artery_weight": 0.0}),
    Variant("hard", "a quarter of the patches round what was wrong before", {"hard_share": HARD_SHARE}),
    Variant("unbalanced", "vessels and mimics as they come, left main not oftener", {"balanced": False}),
    Variant("unvaried", "brightness, noise and sharpness not varied", {"varied": False}),
    Variant("exact-context", "structures never lost or shifted", {"lost_context": 0.0, "context_shift_mm": 0.0}),
)


def train_with_seeds(
    cases: list[TrainingCase],
    groups: list[list[int]],
    settings: TrainingSettings,
    folder: Path,
    seeds: int = 1,
    *,
    variants: Sequence[Variant] = VARIANTS,
    resume: bool = True,
    tick: Callable[[Variant, int], Tick] | None = None,
) -> list[list[Path]]:
    """Train every variant once for each of some seeds, the first of which is that of ``settings``.

    What belongs to the first seed lies in ``folder``, the rest in ``folder/seed-N``. ``tick`` is told the variant and
    how many seeds came before; other parameters are those of ``train_variants``.

    Returns
    -------
    list of list of Path
        The bundles of each seed, in the order of the variants.
    """
    bundles = []
    for number in range(seeds):
        seed = settings.seed + number
        bundles.append(
            train_variants(
                cases,
                groups,
                replace(settings, seed=seed),
                folder if number == 0 else folder / f"seed-{seed}",
                variants=variants,
                resume=resume,
                tick=None if tick is None else partial(tick, number=number),
            )
        )
    return bundles


def train_variants(
    cases: list[TrainingCase],
    groups: list[list[int]],
    settings: TrainingSettings,
    folder: Path,
    *,
    variants: Sequence[Variant] = VARIANTS,
    resume: bool = True,
    tick: Callable[[Variant], Tick] | None = None,
) -> list[Path]:
    """Train every variant for the same number of steps, and write its bundle.

    Parameters
    ----------
    cases, groups, settings
        As for ``Trainer``; every variant changes ``settings`` in its own way.
    folder : Path
        Each variant has its checkpoint, log and bundle in ``folder/NAME``.
    resume : bool
        Go on from checkpoints that are there; a variant that is done is not trained again.
    tick : callable, optional
        Returns what is called after every step of a variant.

    Returns
    -------
    list of Path
        Of the bundles, in the order of the variants.
    """
    bundles = []
    for variant in variants:
        trainer = Trainer(cases, groups, replace(settings, **variant.changes), folder / variant.name)
        if resume:
            trainer.resume()
        trainer.run(None if tick is None else tick(variant))
        bundles.append(folder / variant.name / "bundle")
        write_trained_bundle(bundles[-1], trainer, patients=len(cases))
    return bundles


def compare_variants(
    wanted: Iterable[tuple[str, int]],
    bundles: Sequence[Sequence[Path]],
    *,
    variants: Sequence[Variant] = VARIANTS,
    cache: Path | None = None,
    workers: int = 1,
    tick: Callable[[str], None] | None = None,
) -> list[Ablation]:
    """Score patients with every training, under the settings that suit it best on these patients; means over seeds.

    Parameters
    ----------
    wanted : iterable of (protocol, seed)
    bundles : sequence of sequence of Path
        Of each seed, in the order of ``variants``.
    cache, workers, tick
        As for ``see_with_all``.
    """
    seen = see_with_all(wanted, [one for each in bundles for one in each], cache=cache, workers=workers, tick=tick)
    step = len(variants)
    return [
        mean_of([judged(variant.title, [each[n] for each in seen]) for n in range(first, step * len(bundles), step)])
        for first, variant in enumerate(variants)
    ]


def judged(title: str, patients: Sequence[SeenPatient]) -> Ablation:
    """Return how a network does on patients under the settings that suit it best on them."""
    reference = np.stack([patient.reference for patient in patients])
    predicted = np.stack([sweep(patient) for patient in patients])
    best = TRIED.index(best_settings(reference, predicted).settings)
    return summarized(title, reference, predicted[:, best])


def as_markdown(rows: Sequence[Ablation], *, patients: int, steps: int, validation: int, seeds: int = 1) -> str:
    """Return the table with the sentence that says what it rests on."""
    many = f"{seeds} seeds each: means, and the error of each" if seeds > 1 else "one seed"
    return table(
        rows,
        f"{len(rows) * seeds} trainings from random weights with {many}; {steps} steps on {patients} synthetic "
        f"patients: far shorter than that of the shipped weights. Measured on {validation} synthetic patients with "
        "seeds from 800000, each with the settings that suit it best on them, so every row is optimistic; "
        "with so few seeds and patients, small differences mean nothing.",
    )
