"""What a bundle of ``multibranch-unet`` holds: two networks and a classifier, in one file of weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CACScoringLib.inference.bifurcation import BifurcationWeights
from CACScoringLib.inference.lesion_classifier import LesionClassifier
from CACScoringLib.inference.lesion_features import FEATURES
from CACScoringLib.models import ModelBundle, ModelError, load_weights, open_bundle, part_of, without_part

if TYPE_CHECKING:
    from CACScoringLib.networks.multibranch_unet import MultiBranchUNet

CLASSIFIER = "lesions"
"""What the arrays of the lesion classifier are called in a bundle's weights."""
BIFURCATION = "bifurcation"
"""What the weights of the network are called that says where the left main divides."""


@dataclass(frozen=True, eq=False)
class LeftMainDivider:
    """Says where the left main divides.

    Attributes
    ----------
    network : BifurcationUNet
    weights : BifurcationWeights
        How much it counts beside the network that sees the whole heart.
    """

    network: Any
    weights: BifurcationWeights

    def __call__(self, channels: np.ndarray) -> np.ndarray:
        """Return log-probabilities of LM, LAD and LCX in crops (n, 4, z, y, x): float32 (n, 3, z, y, x)."""
        import torch

        device = next(self.network.parameters()).device
        with torch.inference_mode():
            logits = self.network.left_vessels(torch.from_numpy(channels).to(device))
            return torch.log_softmax(logits, dim=1).cpu().numpy()


@dataclass(frozen=True, eq=False)
class MultiBranchModel:
    """A bundle whose file of weights is read once; its parts are built when they are first asked for.

    Attributes
    ----------
    bundle : ModelBundle
    weights : dict
        All parts.
    device : str
    """

    bundle: ModelBundle
    weights: dict
    device: str

    @cached_property
    def network(self) -> Any:
        """The network that sees the whole heart."""
        import torch

        network = whole_heart_network(self.bundle, self.weights)
        return network.to(self.device, memory_format=torch.channels_last_3d).eval()

    @cached_property
    def divider(self) -> LeftMainDivider | None:
        """Who says where the left main divides; None where the bundle has no such network."""
        import torch

        from CACScoringLib.networks.bifurcation import BifurcationConfig, BifurcationUNet

        weights = part_of(self.weights, BIFURCATION)
        if not weights:
            return None
        settings = self.bundle.settings["bifurcation"]
        network = BifurcationUNet(BifurcationConfig.from_dict(settings["network"]))
        network.load_state_dict(weights)
        network = network.to(self.device, memory_format=torch.channels_last_3d).eval()
        return LeftMainDivider(network, BifurcationWeights.from_dict(settings["weights"]))

    @cached_property
    def classifier(self) -> LesionClassifier | None:
        """Who looks again at whole lesions; None where the bundle has none.

        Raises
        ------
        ModelError
            If it is damaged, or asks for other features.
        """
        arrays = part_of(self.weights, CLASSIFIER)
        if not arrays:
            return None
        model = self.bundle.id
        if self.bundle.settings.get("lesion_features") != list(FEATURES):
            raise ModelError(
                f"The lesion classifier of model '{model}' is for another version of CACScoring: get the model again."
            )
        try:
            return LesionClassifier.from_arrays({name: tensor.cpu().numpy() for name, tensor in arrays.items()})
        except ValueError as error:
            raise ModelError(
                f"The weights of model '{model}' cannot be used ({error}): get the model again."
            ) from error


def load_model(bundle: ModelBundle, device: str = "cpu") -> MultiBranchModel:
    """Return what a bundle holds, read once a process."""
    return _load(bundle.folder, bundle.sha256, device)


@lru_cache(maxsize=4)
def _load(folder: Path, sha256: str, device: str) -> MultiBranchModel:
    bundle = open_bundle(folder)
    return MultiBranchModel(bundle, load_weights(bundle, device), device)


def whole_heart_network(bundle: ModelBundle, weights: dict) -> MultiBranchUNet:
    """Return the network that sees the whole heart, built from a bundle's settings and weights."""
    from CACScoringLib.networks.multibranch_unet import MultiBranchConfig, MultiBranchUNet

    network = MultiBranchUNet(MultiBranchConfig.from_dict(bundle.settings["network"]))
    network.load_state_dict(whole_heart(weights))
    return network


def whole_heart(weights: dict) -> dict:
    """Return the weights of the network that sees the whole heart."""
    return without_part(without_part(weights, CLASSIFIER), BIFURCATION)
