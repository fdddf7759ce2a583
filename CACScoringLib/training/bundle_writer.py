"""Turn a trained network into a model bundle with its card."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib import __version__
from CACScoringLib.inference.bifurcation import BifurcationWeights
from CACScoringLib.inference.lesion_features import FEATURES
from CACScoringLib.inference.lesions import DecisionSettings
from CACScoringLib.methods.multibranch_model import BIFURCATION, CLASSIFIER
from CACScoringLib.models import ModelBundle, in_eight_bits, write_bundle
from CACScoringLib.training.calibration import EQUAL, DecisionChoice

if TYPE_CHECKING:
    from CACScoringLib.inference.lesion_classifier import LesionClassifier
    from CACScoringLib.networks.bifurcation import BifurcationConfig
    from CACScoringLib.training.bifurcation_training import BifurcationTrainer
    from CACScoringLib.training.loop import Trainer
    from CACScoringLib.training.uncertainty_fit import UncertaintyFit

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20220324.json"
HU_INPUTS = ["HU -200..300", "peak candidate HU / 400", "candidate fraction", "ln(1 + lesion mm3) / 5"]
STRUCTURES = [
    "left ventricle",
    "myocardium",
    "right ventricle",
    "left atrium",
    "right atrium",
    "aorta",
    "pulmonary artery",
]
LICENCE = """The weights in this folder are released under the Apache License, Version 2.0
(https://www.apache.org/licenses/LICENSE-2.0), like the project that made them.
Research use only; not a medical device.
"""

CARD = """# multibranch-unet

**Trained on synthetic patients only. Research use only, not a medical device.** No real patient's image
and no expert's label was used, because no licence lets such data ship with the project. Accuracy on
real scans was not measured against experts.

- What it does: labels calcification in non-contrast CT as LM, LAD, LCX, RCA or non-coronary.
- Follows: Sartoretti 2023 (doi 10.1007/s12350-022-02940-7), a 3-D U-Net with residual units, 64x64x64 patches,
  a coronary branch of 5 channels and a structure branch of 8 channels over one body.
- Differs: the body starts at half resolution; it sees candidate maps and, on the fine grid, the structures of its
  own coarse pass beside the HU; a third branch names non-coronary calcification; a fourth says where the coronary
  arteries run, which the others are told; instance normalisation.
- Trained on {patients} synthetic patients (gated, SPECT-CTAC, PET-CTAC and chest in equal parts, seeds from 1000),
  {steps} steps, seed {seed}, by `cacscoring train multibranch-unet --patients {patients} --steps {steps}`.
- {bifurcation}
- {second_look}
- Input: CT in HU on 4 mm (structures) and 2 x 1.25 x 1.25 mm (calcium) grids, made by the project itself.
- {decision}
- Limits: stents, bypass grafts, pacemakers, congenital disease and contrast-enhanced scans are outside what it can do
  reliably. Look at every result.

Measured figures: `Resources/Documentation/evaluation.md`.
"""
DIVIDES = """A second network, a 3-D U-Net on 24x48x48 voxels round the calcium that may be left main, says where that
  divides: LM, LAD and LCX share a voxel by the product of both networks' probabilities (exponents
  {weights.whole_heart:g} and {weights.left_main:g}). It is asked about two crops a voxel apart, whose mean
  counts. It learned in {steps} steps along the arteries of the same patients, calcified or not. Its weights are
  kept in eight bits, a step for each channel."""
DOES_NOT_DIVIDE = "No second network says where the left main divides."
SECOND_LOOK = """A classifier of {trees} boosted trees looks again at every lesion that the network gives 3 % or
  more: size, shape, density, surroundings, what the network says, the rest of the scan, and how it stands out of the
  noise. It learned from other synthetic patients (seeds from 60000) than the network; those with a stent count little,
  since there are far more of them than in any cohort."""
NO_SECOND_LOOK = "No classifier looks again at whole lesions."
CHOSEN = """A lesion is coronary from a probability of {settings.coronary_probability} on, one of 60 mm3 from 0.5, a
  speck below 8 mm3 from {settings.speck_probability} (more in scans with many); a part of another lesion joins the
  coronaries from {settings.joins_mm3:g} mm3 on, other parts are split off from {settings.split_mm3:g} mm3 on; the odds
  of LM are taken {settings.left_main_odds} times against what is no vessel, {settings.left_main_vessel_odds} times
  against the other vessels. Of {tried} settings tried, these have the smallest mean error of ln(1 + Agatston), total
  and vessels (within {equal:g} %, the best ICC of LM), on {patients} synthetic patients of their own (seeds from
  800000)."""
REVIEWED = """
- Uncertainty: probability of each risk category, calibrated on the same {patients} synthetic patients (expected
  calibration error of the stated category {error:.3f} on patients left out of the fit). A scan needs review where its
  category (spect-pet-4) is less probable than {below:.2f}: that flagged {sensitivity:.0%} of the {wrong} wrong
  categories and {share:.0%} of all scans there. Chosen and measured on synthetic patients only."""
NOT_CHOSEN = "A lesion is coronary from a probability of 0.5 on; no other value was tried."


def write_trained_bundle(
    folder: Path,
    trainer: Trainer,
    *,
    patients: int,
    choice: DecisionChoice | None = None,
    bifurcation: BifurcationTrainer | None = None,
    classifier: LesionClassifier | None = None,
) -> ModelBundle:
    """Write the averaged network of a trainer as a bundle, with what stands beside it and the settings chosen."""
    settings = {
        "method": "multibranch-unet",
        "network": trainer.network.config.as_dict(),
        **(choice.as_settings() if choice else asdict(DecisionSettings())),
        **({} if bifurcation is None else bifurcation_settings(bifurcation.network.config)),
        **({} if classifier is None else {"lesion_features": list(FEATURES)}),
    }
    metadata = bundle_metadata(
        "Coronary artery calcium segmentation in non-contrast CT",
        "Multi-branch 3-D U-Net, trained on synthetic patients only. Research use only.",
        _data_format(trainer.network.config.in_channels),
    )
    decision = decision_words(choice)
    divides = DOES_NOT_DIVIDE
    if bifurcation is not None:
        divides = DIVIDES.format(steps=bifurcation.step, weights=BifurcationWeights())
    again = NO_SECOND_LOOK if classifier is None else SECOND_LOOK.format(trees=len(classifier.root))
    card = CARD.format(
        patients=patients,
        steps=trainer.step,
        seed=trainer.settings.seed,
        decision=decision,
        bifurcation=divides,
        second_look=again,
    )
    beside = {} if bifurcation is None else bifurcation.average
    state = with_classifier(with_bifurcation(trainer.average, beside), classifier)
    return write_bundle(folder, state, settings=settings, metadata=metadata, card=card, licence=LICENCE)


def bifurcation_settings(config: BifurcationConfig, weights: BifurcationWeights | None = None) -> dict[str, object]:
    """Return what a bundle keeps of the network that says where the left main divides."""
    counts = weights or BifurcationWeights()
    return {"bifurcation": {"network": config.as_dict(), "weights": counts.as_dict()}}


def with_bifurcation(state: dict, bifurcation: dict) -> dict:
    """Return a network's state dict with that of the one beside it that says where the left main divides, in 8 bits."""
    return state | in_eight_bits({f"{BIFURCATION}.{name}": tensor for name, tensor in bifurcation.items()})


def with_classifier(state: dict, classifier: LesionClassifier | None) -> dict:
    """Return a network's state dict with the arrays of a lesion classifier beside it, none of them rounded."""
    import torch

    if classifier is None:
        return state
    arrays = {name: a.astype(np.int32) if a.dtype == np.int64 else a for name, a in classifier.as_arrays().items()}
    return state | {f"{CLASSIFIER}.{name}": torch.from_numpy(a) for name, a in arrays.items()}


def bundle_metadata(task: str, description: str, data_format: dict[str, object]) -> dict[str, object]:
    """Return MONAI's fields of a bundle that was trained by the project."""
    import monai
    import numpy
    import torch

    return {
        "schema": SCHEMA,
        "version": __version__,
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": numpy.__version__,
        "required_packages_version": {},
        "task": task,
        "description": description,
        "authors": "CACScoring contributors",
        "copyright": "CACScoring contributors, Apache-2.0",
        "network_data_format": data_format,
    }


def image_format(kind: str, names: list[str], shape: list[object]) -> dict[str, object]:
    """Describe channels in MONAI's words; ``kind`` is ``image`` or ``probabilities``."""
    return {
        "type": kind,
        "format": "hounsfield" if kind == "image" else "segmentation",
        "modality": "CT",
        "num_channels": len(names),
        "spatial_shape": shape,
        "dtype": "float32",
        "value_range": [-1, 5] if kind == "image" else [0, 1],
        "is_patch_data": True,
        "channel_def": {str(n): name for n, name in enumerate(names)},
    }


def decision_words(choice: DecisionChoice | None) -> str:
    """Say in the card what a lesion needs, and how that was chosen."""
    if choice is None:
        return NOT_CHOSEN
    tried = len(choice.error)
    words = CHOSEN.format(settings=choice.settings, patients=choice.patients, tried=tried, equal=100 * EQUAL)
    return words + _review_words(choice.uncertainty)


def _review_words(fit: UncertaintyFit | None) -> str:
    """Say in the card how sure the categories are, and what the flag does."""
    if fit is None or fit.settings.review_below is None:
        return ""
    return REVIEWED.format(
        below=fit.settings.review_below,
        sensitivity=fit.limit.sensitivity,
        share=fit.limit.share,
        wrong=fit.limit.wrong,
        patients=fit.patients,
        error=fit.calibration_error,
    )


def _data_format(in_channels: int) -> dict[str, object]:
    """Describe input and outputs in MONAI's words."""
    inputs = [*HU_INPUTS, *STRUCTURES]
    if len(inputs) != in_channels:
        raise ValueError(f"the network has {in_channels} input channels, {len(inputs)} are described")
    named = {
        "calcium": ["background", "LM", "LAD", "LCX", "RCA"],
        "structure": ["background", *STRUCTURES],
        "non_coronary": ["none", "aorta", "aortic valve", "mitral valve", "other"],
        "artery": ["none", "LM", "LAD", "LCX", "RCA"],
    }
    return {
        "inputs": {"image": image_format("image", inputs, [64, 64, 64])},
        "outputs": {name: image_format("probabilities", names, [64, 64, 64]) for name, names in named.items()},
    }
