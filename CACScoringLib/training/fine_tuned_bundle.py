"""The bundle of a model that was tuned on somebody's own scans, with a card that says so."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib import __version__
from CACScoringLib.inference.lesions import DecisionSettings
from CACScoringLib.methods.multibranch_model import BIFURCATION
from CACScoringLib.models import ModelBundle, load_weights, part_of, write_bundle
from CACScoringLib.training.bundle_writer import with_bifurcation

if TYPE_CHECKING:
    from CACScoringLib.training.loop import Trainer

LICENCE = """Tuned from the weights '{start}' of the CACScoring project (Apache License, Version 2.0,
https://www.apache.org/licenses/LICENSE-2.0) on scans that the project does not know. The terms of
those scans may limit what this model may be used for, and to whom it may be given.
Research use only; not a medical device.
"""
CARD = """# {name}

**Tuned by its user on {scans} of {patients}. Research use only, not a medical device.**
The published figures of `{start}` do not hold for it.

- Began with: `{start}` (sha256 {start_sha256}).
- Trained on: {scans} of {patients} in the layout `{layout}`{synthetic}, {steps} steps, seed {seed}.
- The network that says where the left main divides is that of `{start}`, where that has one.
- Without the classifier of `{start}` that looks again at whole lesions: it learned from what that network says.
- Heart structures of scans without any came from the coarse branch of `{start}`.
- {left_main}
- {decision}
- {validation}

Made by `cacscoring train multibranch-unet --data FOLDER --layout {layout}` (CACScoring {version}).
"""
OF_ONE_MODEL = ("sha256", "uncertainty", "lesion_features", "network_decision")
"""Settings that were measured with the first model and say nothing about the tuned one. Its lesion classifier, which
learned from what the first network says about synthetic patients, is not taken over either."""
MERGED = "The labels count the left main as LAD: the two were not told apart in training or validation."
APART = "The labels tell the left main from the LAD."


@dataclass(frozen=True)
class TuningFacts:
    """What a card tells about a tuned model.

    Attributes
    ----------
    layout : str
    scans, patients : int
        Trained on.
    synthetic : int
        Synthetic patients that were mixed in.
    left_main_is_lad : bool
    validation : str
        A sentence.
    decision_scans : int
        Validation scans that chose what a lesion needs; 0: taken over from the first model.
    """

    layout: str
    scans: int
    patients: int
    synthetic: int
    left_main_is_lad: bool
    validation: str = "Not validated: no patient was held back."
    decision_scans: int = 0


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "scan"), counted(3, "scan")
    ('1 scan', '3 scans')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")


def write_tuned_bundle(
    folder: Path, trainer: Trainer, start: ModelBundle, facts: TuningFacts, decision: DecisionSettings
) -> ModelBundle:
    """Write the averaged network of a trainer that began with ``start``."""
    settings = {key: value for key, value in start.settings.items() if key not in OF_ONE_MODEL}
    settings |= {**asdict(decision), "tuned_from": {"id": start.id, "sha256": start.sha256}}
    scans, patients = counted(facts.scans, "labelled scan"), counted(facts.patients, "patient")
    metadata = {key: value for key, value in start.metadata.items() if key != "cacscoring"}
    metadata |= {
        "version": __version__,
        "description": f"Multi-branch 3-D U-Net, tuned by its user on {scans}. Research use only.",
        "authors": "the user who tuned it, and CACScoring contributors",
        "copyright": "see LICENSE",
    }
    mixed = f", mixed with {facts.synthetic} synthetic patients" if facts.synthetic else ""
    chosen = f"What a lesion needs was chosen on {facts.decision_scans} validation scans."
    card = CARD.format(
        name=folder.name,
        scans=scans,
        patients=patients,
        start=start.id,
        start_sha256=start.sha256,
        layout=facts.layout,
        synthetic=mixed,
        steps=trainer.step,
        seed=trainer.settings.seed,
        left_main=MERGED if facts.left_main_is_lad else APART,
        decision=chosen if facts.decision_scans else f"What a lesion needs is that of `{start.id}`.",
        validation=facts.validation,
        version=__version__,
    )
    licence = LICENCE.format(start=start.id)
    state = with_bifurcation(trainer.average, part_of(load_weights(start), BIFURCATION))
    return write_bundle(folder, state, settings=settings, metadata=metadata, card=card, licence=licence)
