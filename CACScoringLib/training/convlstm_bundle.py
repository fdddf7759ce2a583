"""Turn a trained convolutional LSTM into a model bundle with its card."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib.inference.lesions import DecisionSettings
from CACScoringLib.inference.sequence import PLANE
from CACScoringLib.methods.convlstm import HEART_MODEL, NAME
from CACScoringLib.models import ModelBundle, write_bundle
from CACScoringLib.training.bundle_writer import (
    HU_INPUTS,
    LICENCE,
    STRUCTURES,
    bundle_metadata,
    decision_words,
    image_format,
)

if TYPE_CHECKING:
    from CACScoringLib.training.calibration import DecisionChoice
    from CACScoringLib.training.convlstm_loop import ConvLSTMTrainer

CARD = """# convlstm

**Trained on synthetic patients only. Research use only, not a medical device.** No real patient's image
and no expert's label was used, because no licence lets such data ship with the project. Accuracy on
real scans was not measured against experts.

- What it does: labels calcification in non-contrast CT as LM, LAD, LCX, RCA or not coronary (`other`).
- Made for: attenuation-correction CT of PET and SPECT with slices of 2.5-5 mm.
- Follows: Pieszko 2022 (doi 10.1016/j.jcmg.2022.06.006), a heart segmentation, then a convolutional LSTM over
  adjacent slices with a mask of coronary and one of non-coronary calcification.
- Differs: that paper's supplement, which describes the architecture, was not at hand, so encoder, decoder and sizes
  are this project's own, and the multi-scale attention that the paper cites is not built; the heart comes from the
  structure branch of `multibranch-unet`; the network sees candidate maps and that heart beside the HU; the vessel is
  an addition; a lesion is decided as a whole.
- Trained on {patients} synthetic patients (SPECT-CTAC, PET-CTAC, gated and chest in equal parts, seeds from 1000; the
  CTAC protocols drawn twice as often), {steps} steps, seed {seed}, by
  `cacscoring train convlstm --patients {patients} --steps {steps}`.
- Input: the CT's own axial slices on a grid of 1.5 mm in the plane, made by the project itself.
- {decision}
- Limits: stents, bypass grafts, pacemakers, congenital disease and contrast-enhanced scans are outside what it can do
  reliably. Look at every result.
"""


def write_convlstm_bundle(
    folder: Path, trainer: ConvLSTMTrainer, *, patients: int, choice: DecisionChoice | None = None
) -> ModelBundle:
    """Write the averaged network of a trainer as a bundle, with the decision settings that were chosen for it."""
    config = trainer.network.config
    settings = {
        "method": NAME,
        "network": config.as_dict(),
        "heart_model": HEART_MODEL,
        **(choice.as_settings() if choice else asdict(DecisionSettings())),
    }
    metadata = bundle_metadata(
        "Coronary artery calcium segmentation in non-contrast CT",
        "Bidirectional convolutional LSTM, trained on synthetic patients only. Research use only.",
        _data_format(config.in_channels),
    )
    decision = decision_words(choice)
    card = CARD.format(patients=patients, steps=trainer.step, seed=trainer.settings.seed, decision=decision)
    return write_bundle(folder, trainer.average, settings=settings, metadata=metadata, card=card, licence=LICENCE)


def _data_format(in_channels: int) -> dict[str, object]:
    """Describe input and outputs in MONAI's words; the sequence is as long as the heart has slices."""
    inputs, shape = [*HU_INPUTS, "slice distance / 5 mm", *STRUCTURES], ["*", PLANE, PLANE]
    if len(inputs) != in_channels:
        raise ValueError(f"the network has {in_channels} input channels, {len(inputs)} are described")
    named = {"mask": ["neither", "coronary", "non-coronary"], "vessel": ["LM", "LAD", "LCX", "RCA"]}
    return {
        "inputs": {"image": image_format("image", inputs, shape)},
        "outputs": {name: image_format("probabilities", names, shape) for name, names in named.items()},
    }
