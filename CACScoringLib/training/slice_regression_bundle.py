"""Write the bundles of the methods that score slices, each with its card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib.models import ModelBundle, write_bundle
from CACScoringLib.training.bundle_writer import LICENCE, bundle_metadata, image_format

if TYPE_CHECKING:
    from torch import nn

    from CACScoringLib.networks.axis_localiser import AxisLocalisers
    from CACScoringLib.training.slice_regression_evaluation import MeasuredSpread

HONEST = """**Trained on synthetic patients only. Research use only, not a medical device.** No real patient's image
and no expert's label was used. Accuracy on real scans was not measured against experts.
"""
CARD = """# slice-regression

{honest}
- What it does: Agatston score and calcium volume of each slice of the heart in non-contrast CT, and their totals;
  no voxel is marked and no vessel is named.
- Follows: de Vos 2017 (arXiv 1712.02982), experiment {experiment}: {words}.
- Differs: see `Resources/Documentation/slice-regression.md`.
- Trained on {patients} synthetic patients (gated, SPECT-CTAC, PET-CTAC and chest in equal parts, seeds from 1000), of
  which {validation_patients} chose the weights; {steps} steps of {batch} slices, seed {seed}.
- {scale}
- {review}
- Limits: slices thicker than 3 mm, stents, bypass grafts, pacemakers and contrast-enhanced scans.
"""
SLICE_INPUT = "(HU + 200) / 200, HU scaled so that the threshold is 130 at any tube voltage"
NOT_MEASURED = "Uncertainty: not measured."
MEASURED = """Uncertainty: ln(1 + Agatston) is off by {spread:.3f} (root mean square) on {patients} validation patients,
  with the true heart box and on the patients that chose the weights, so this is optimistic."""


def write_slice_regression_bundle(
    folder: Path,
    localisers: AxisLocalisers,
    networks: dict[str, nn.Module],
    *,
    run: dict[str, object],
    spread: MeasuredSpread | None = None,
    factors: dict[str, float] | None = None,
) -> ModelBundle:
    """Write localisers and regression networks as a bundle.

    Parameters
    ----------
    folder : Path
    localisers : AxisLocalisers
    networks : dict of SliceRegressionNet
        By target.
    run : dict
        How they were trained: patients, validation_patients, experiment, steps, batch, seed.
    spread : MeasuredSpread, optional
    factors : dict of str to float, optional
        By what scores are multiplied, by target: as much as totals of validation patients were too low.
    """
    measured = {} if spread is None else {"spread": spread.spread, "review_below": spread.review_below}
    settings = {
        "method": "slice-regression",
        "experiment": run["experiment"],
        "localisers": localisers.config.as_dict(),
        "networks": {target: network.config.as_dict() for target, network in networks.items()},
        **({"factors": factors} if factors else {}),
        **measured,
    }
    config = next(iter(networks.values())).config
    words = "ln(y + 1) as target" if config.log_target else "plain target"
    words += ", shared kernels" if config.shared_kernels else ", separate kernels"
    review = NOT_MEASURED if spread is None else MEASURED.format(spread=spread.spread, patients=spread.patients)
    card = CARD.format(honest=HONEST, words=words, review=review, scale=scale_words(factors), **run)
    outputs = {target: {"type": "value", "num_channels": 1, "dtype": "float32"} for target in networks}
    metadata = slice_metadata("Coronary artery calcium quantification by slice regression", config.size, outputs)
    state = joined({"localisers": localisers, **networks})
    return write_bundle(folder, state, settings=settings, metadata=metadata, card=card, licence=LICENCE)


def scale_words(factors: dict[str, float] | None) -> str:
    """Return by what scores are multiplied.

    >>> scale_words({"agatston": 1.21, "volume": 1.0})
    'Scores of slices are multiplied by 1.21 (agatston), 1.00 (volume): as much as totals were too low.'
    """
    if not factors:
        return "Scores of slices are taken as the networks say them."
    by = ", ".join(f"{value:.2f} ({target})" for target, value in factors.items())
    return f"Scores of slices are multiplied by {by}: as much as totals were too low."


def joined(networks: dict[str, nn.Module]) -> dict[str, object]:
    """Return the weights of several networks as one state dict, each under its name."""
    return {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}


def slice_metadata(task: str, size: int, outputs: dict[str, object]) -> dict[str, object]:
    """Return MONAI's fields for a network of slices of ``size`` pixels."""
    seen = image_format(
        "image", ["(HU + 200) / 200, HU scaled to a threshold of 130 at any tube voltage"], [size, size]
    )
    return bundle_metadata(
        task,
        f"{task}, trained on synthetic patients only. Research use only.",
        {"inputs": {"image": seen | {"value_range": [0, 5.1], "is_patch_data": False}}, "outputs": outputs},
    )
