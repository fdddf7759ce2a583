"""Three small networks that say in which axial, coronal and sagittal slices a heart is seen.

After de Vos 2017 (arXiv 1712.02982), which takes the heart box from three independent ConvNets, one an axis, each of
which classifies single slices. The paper cites their layers and does not list them; those here are our choice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn

AXES = ("z", "y", "x")
"""Axial slices lie along z, coronal ones along y, sagittal ones along x."""


@dataclass(frozen=True)
class LocaliserConfig:
    """Shape of the three networks; stored in the model bundle."""

    channels: tuple[int, ...] = (8, 16, 32, 32)
    dense: int = 32

    def as_dict(self) -> dict[str, object]:
        """Return the configuration as the bundle's metadata stores it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entries: dict[str, object]) -> LocaliserConfig:
        """Read what ``as_dict`` has written."""
        return cls(**{**entries, "channels": tuple(entries["channels"])})

    @property
    def multiple(self) -> int:
        """Return what the sides of a slice are padded to a multiple of."""
        return 2 ** len(self.channels)


class AxisLocaliser(nn.Module):
    """Slices along one axis -> logits of "the heart is here".

    Parameters
    ----------
    config : LocaliserConfig

    Notes
    -----
    Input (N, 1, rows, columns) of any size that is a multiple of ``config.multiple``, 0 outside the body. The strongest
    response anywhere in the slice decides, so padding does not.
    """

    def __init__(self, config: LocaliserConfig):
        super().__init__()
        layers: list[nn.Module] = []
        for cin, cout in zip((1, *config.channels[:-1]), config.channels, strict=True):
            layers += [nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.MaxPool2d(2), nn.ELU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(config.channels[-1], config.dense), nn.ELU(), nn.Linear(config.dense, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits: (N,)."""
        return self.head(self.body(x).amax(dim=(2, 3)))[:, 0]


class AxisLocalisers(nn.Module):
    """The three networks; they share nothing."""

    def __init__(self, config: LocaliserConfig | None = None):
        super().__init__()
        self.config = config or LocaliserConfig()
        self.axes = nn.ModuleDict({axis: AxisLocaliser(self.config) for axis in AXES})

    def forward(self, slices: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the logits of slices (N, 1, rows, columns) along each axis: (N,) by axis."""
        return {axis: self.axes[axis](x) for axis, x in slices.items()}
