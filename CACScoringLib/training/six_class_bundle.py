"""Write the bundle of ``six-class`` with its card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib.methods.six_class import SCHEME
from CACScoringLib.models import ModelBundle, write_bundle
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.training.bundle_writer import LICENCE
from CACScoringLib.training.slice_regression_bundle import HONEST, joined, slice_metadata

if TYPE_CHECKING:
    from CACScoringLib.methods.six_class import Aggregation
    from CACScoringLib.networks.axis_localiser import AxisLocalisers
    from CACScoringLib.networks.six_class import SixClassNet

CARD = """# six-class

{honest}
- What it does: puts a non-contrast CT into one of six categories of the Agatston score (0, >0-10, >10-100, >100-400,
  >400-1000, >1000); no voxel is marked and no vessel is named.
- Follows: Nguyen 2025, five convolutional layers of 32 to 512 filters, 30 % dropout, a dense layer of 512.
- {labelling}
- Differs: see `Resources/Documentation/six-class.md`.
- Trained on {patients} synthetic patients (gated, SPECT-CTAC, PET-CTAC and chest in equal parts, seeds from 1000), of
  which {validation_patients} set the learning rate and chose the weights; {steps} steps of {batch} slices, seed {seed}.
- Limits: stents, bypass grafts, pacemakers and contrast-enhanced scans.
"""
WORDS = {
    "patient": """Every slice was labelled with its patient's category, as in the paper, which is wrong for slices
  without calcium; a patient's category is the most probable one of the slices' mean.""",
    "slice": """Every slice was labelled with the category of its own Agatston score, unlike in the paper; a patient's
  category is that of the sum of the slices' expected scores.""",
}


def write_six_class_bundle(
    folder: Path,
    localisers: AxisLocalisers,
    network: SixClassNet,
    how: Aggregation,
    *,
    run: dict[str, object],
    review_below: float | None = None,
) -> ModelBundle:
    """Write localisers and classifier as a bundle.

    Parameters
    ----------
    folder : Path
    localisers : AxisLocalisers
    network : SixClassNet
    how : Aggregation
    run : dict
        How they were trained: patients, validation_patients, steps, batch, seed.
    review_below : float, optional
        From ``review_limit``.
    """
    settings = {
        "method": "six-class",
        "labelling": how.labelling,
        "localisers": localisers.config.as_dict(),
        "network": network.config.as_dict(),
        "slice_agatston": list(how.slice_agatston),
        "calcified_from": how.calcified_from,
        "review_below": review_below,
    }
    names = {str(n): group for n, group in enumerate(SCHEMES[SCHEME].groups)}
    outputs = {"category": {"type": "probabilities", "num_channels": len(names), "channel_def": names}}
    metadata = slice_metadata("Six categories of coronary artery calcium", network.config.size, outputs)
    card = CARD.format(honest=HONEST, labelling=WORDS[how.labelling], **run)
    state = joined({"localisers": localisers, "classifier": network})
    return write_bundle(folder, state, settings=settings, metadata=metadata, card=card, licence=LICENCE)
