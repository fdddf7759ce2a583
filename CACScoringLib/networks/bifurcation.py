"""A small 3-D U-Net that says where the left main divides: to which of LM, LAD and LCX each place would belong.

It sees the surroundings of the left main alone, at a higher resolution than the body of the multi-branch network, which
decides what is calcium. Whether a place is in an artery at all is not its question; a second head learns it so that the
features follow the vessels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

LEFT_VESSELS = 3
"""LM, LAD, LCX."""
ARTERY_CLASSES = 5
"""None, LM, LAD, LCX, RCA."""
FOLD = (1, 2, 2)
"""The body works at half the resolution in the slice; the fine level above it at that of the crop."""


@dataclass(frozen=True)
class BifurcationConfig:
    """Shape of the network; stored in the model bundle.

    Attributes
    ----------
    in_channels : int
    channels : tuple of int
        Of the body's levels.
    fine_channels : int
        Of the level at the crop's resolution; 0: none, as in bundles written before there was one.
    """

    in_channels: int = 4
    channels: tuple[int, ...] = (32, 48, 64, 96)
    fine_channels: int = 16

    def as_dict(self) -> dict[str, object]:
        """Return the configuration as the bundle's metadata stores it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entries: dict[str, object]) -> BifurcationConfig:
        """Read what ``as_dict`` has written."""
        return cls(int(entries["in_channels"]), tuple(entries["channels"]), int(entries.get("fine_channels", 0)))


def _unit(cin: int, cout: int, stride: int = 1) -> nn.Sequential:
    layers: list[nn.Module] = []
    for first, step in ((cin, stride), (cout, 1)):
        layers += [nn.Conv3d(first, cout, 3, step, 1, bias=False), nn.GroupNorm(cout, cout), nn.LeakyReLU(0.05, True)]
    return nn.Sequential(*layers)


class BifurcationUNet(nn.Module):
    """Crop round the left main -> logits of LM, LAD and LCX at every place.

    Parameters
    ----------
    config : BifurcationConfig

    Notes
    -----
    Input (N, C, z, y, x): sides of z a multiple of 8, of y and x of 16. Two convolutions a level with instance
    normalisation, four levels (Cicek 2016, doi 10.1007/978-3-319-46723-8_49). A fine level above them sees the
    crop itself and adds to the body's logits; at first it adds nothing.
    """

    def __init__(self, config: BifurcationConfig | None = None):
        super().__init__()
        self.config = config or BifurcationConfig()
        widths = self.config.channels
        self.fold = nn.Conv3d(self.config.in_channels, widths[0], FOLD, FOLD)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList([_unit(widths[0], widths[0]), *(_unit(a, b, 2) for a, b in pairs)])
        self.up = nn.ModuleList([nn.ConvTranspose3d(b, a, 2, 2) for a, b in pairs])
        self.join = nn.ModuleList([_unit(a, a) for a, _ in pairs])
        self.vessel = nn.Conv3d(widths[0], LEFT_VESSELS, 1)
        self.artery = nn.Conv3d(widths[0], ARTERY_CLASSES, 1)
        self.fine = FineLevel(self.config) if self.config.fine_channels else None

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features: (N, F, z, y/2, x/2)."""
        levels, out = [], self.fold(x)
        for unit in self.down:
            out = unit(out)
            levels.append(out)
        for up, join, skip in reversed(list(zip(self.up, self.join, levels[:-1], strict=True))):
            out = join(up(out) + skip)
        return out

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the logits ``vessel`` (N, 3, z, y, x) and ``artery`` (N, 5, z, y, x)."""
        return self._said_by(x, ("vessel", "artery"))

    def left_vessels(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits ``vessel`` alone: what a prediction needs."""
        return self._said_by(x, ("vessel",))["vessel"]

    def _said_by(self, x: torch.Tensor, heads: tuple[str, ...]) -> dict[str, torch.Tensor]:
        """Return the logits of some heads: the body's, and what the fine level adds."""
        features = self.features(x)
        logits = {head: _unfolded(getattr(self, head)(features)) for head in heads}
        if self.fine is None:
            return logits
        details = self.fine(x, features)
        return {head: said + getattr(self.fine, head)(details) for head, said in logits.items()}


class FineLevel(nn.Module):
    """The level at the crop's own resolution: the crop and the body's features -> features (N, F, z, y, x).

    Its heads, ``vessel`` and ``artery``, say what is to be added to the body's logits; they begin with zeros.
    """

    def __init__(self, config: BifurcationConfig):
        super().__init__()
        width = config.fine_channels
        self.crop = _unit(config.in_channels, width)
        self.narrow = nn.Conv3d(config.channels[0], width, 1)
        self.join = _unit(width, width)
        self.vessel = nn.Conv3d(width, LEFT_VESSELS, 1)
        self.artery = nn.Conv3d(width, ARTERY_CLASSES, 1)
        for head in (self.vessel, self.artery):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return the features; ``x`` (N, C, z, y, x), ``features`` (N, W, z, y/2, x/2) of the body."""
        return self.join(self.crop(x) + _unfolded(self.narrow(features)))


def _unfolded(values: torch.Tensor) -> torch.Tensor:
    """Return logits, or features, at the resolution of the crop.

    Slice by slice, since ``FOLD`` leaves z alone: torch is several times faster in two dimensions.
    """
    slices = values.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
    fine = functional.interpolate(slices, scale_factor=FOLD[1:], mode="bilinear", align_corners=False)
    return fine.unflatten(0, (len(values), -1)).transpose(1, 2)
