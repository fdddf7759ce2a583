"""The multi-branch 3-D U-Net: one body of residual units, one head a branch.

After Sartoretti 2023 (doi 10.1007/s12350-022-02940-7), which describes a 3-D U-Net with residual
units on 64x64x64 patches with a coronary branch of 5 channels and a structure branch of
8 channels over the same features. What differs here is said in the model card: the body sees
several input channels and works at half resolution and below (for speed on a CPU), a
small branch names calcification that is not coronary, and another one says where the coronary
arteries run, which the calcium branches are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from monai.networks.blocks import ResidualUnit
from torch import nn
from torch.nn import functional

CALCIUM_CLASSES = 5
"""Background, LM, LAD, LCX, RCA."""
STRUCTURE_CLASSES = 8
"""Background and seven cardiac structures (``vocabulary.Structure``)."""
NON_CORONARY_CLASSES = 5
"""None, aorta, aortic valve, mitral valve and annulus, other."""

ARTERY_CLASSES = 5
"""None, and the four vessels of ``CALCIUM_CLASSES``."""

HU_CHANNELS = 4
"""Soft-tissue HU, highest candidate HU, candidate fraction, size of the candidate's lesion."""
CONTEXT_CHANNELS = STRUCTURE_CLASSES - 1
"""Structure probabilities of the coarse pass; zero in the coarse pass itself."""

ACTIVATION = ("LEAKYRELU", {"negative_slope": 0.05, "inplace": True})
HEAD_WIDTH = 32


@dataclass(frozen=True)
class MultiBranchConfig:
    """Shape of the network; stored in the model bundle."""

    in_channels: int = HU_CHANNELS + CONTEXT_CHANNELS
    channels: tuple[int, ...] = (16, 32, 64, 128)
    patch: int = 64

    def as_dict(self) -> dict[str, object]:
        """Return the configuration as the bundle's metadata stores it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entries: Mapping[str, object]) -> MultiBranchConfig:
        """Read what ``as_dict`` has written."""
        return cls(**{**entries, "channels": tuple(entries["channels"])})


def _unit(cin: int, cout: int, stride: int = 1, subunits: int = 2) -> ResidualUnit:
    # One group a channel is instance normalisation, which torch would compute in another memory layout.
    norm = ("GROUP", {"num_groups": cout, "affine": True})
    return ResidualUnit(3, cin, cout, stride, 3, subunits=subunits, act=ACTIVATION, norm=norm)


class _Up(nn.Module):
    """Double the resolution, add the skip connection, one residual unit."""

    def __init__(self, cin: int, cout: int):
        super().__init__()
        self.up = nn.ConvTranspose3d(cin, cout, 2, stride=2)
        self.unit = _unit(cout, cout, subunits=1)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.unit(self.up(x) + skip)


def _head(width: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, HEAD_WIDTH), nn.LeakyReLU(0.05), nn.Linear(HEAD_WIDTH, classes))


class MultiBranchUNet(nn.Module):
    """Shared body and three branches.

    Parameters
    ----------
    config : MultiBranchConfig

    Notes
    -----
    Input (N, C, 64, 64, 64) with axes (z, y, x). The structure branch is a 1x1x1 convolution of the body's features
    at half resolution. So is the artery branch, with one layer between. The calcium branches look at one voxel's
    input channels together with the features and the artery probabilities round it, so that they can be asked
    about candidate voxels alone (``rows``); they do not train the artery branch.
    """

    def __init__(self, config: MultiBranchConfig | None = None):
        super().__init__()
        self.config = config or MultiBranchConfig()
        a, b, c, d = self.config.channels
        self.fold = nn.Conv3d(self.config.in_channels, a, 2, stride=2)
        self.level0 = _unit(a, a)
        self.level1 = _unit(a, b, stride=2)
        self.level2 = _unit(b, c, stride=2)
        self.level3 = _unit(c, d, stride=2)
        self.up2 = _Up(d, c)
        self.up1 = _Up(c, b)
        self.up0 = _Up(b, a)
        self.structure = nn.Conv3d(a, STRUCTURE_CLASSES, 1)
        self.artery = nn.Sequential(
            nn.Conv3d(a, HEAD_WIDTH, 1), nn.LeakyReLU(0.05), nn.Conv3d(HEAD_WIDTH, ARTERY_CLASSES, 1)
        )
        known = a + self.config.in_channels + ARTERY_CLASSES
        self.calcium = _head(known, CALCIUM_CLASSES)
        self.non_coronary = _head(known, NON_CORONARY_CLASSES)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the shared features at half resolution: (N, F, z/2, y/2, x/2)."""
        s0 = self.level0(self.fold(x))
        s1 = self.level1(s0)
        s2 = self.level2(s1)
        return self.up0(self.up1(self.up2(self.level3(s2), s2), s1), s0)

    def rows(self, x: torch.Tensor, features: torch.Tensor, index: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the calcium branches' logits at single voxels, and the artery branch's, which learns nothing here.

        Parameters
        ----------
        x : Tensor, shape (N, C, z, y, x)
        features : Tensor, shape (N, F, z/2, y/2, x/2)
        index : Tensor of int64, shape (n, 4)
            (patch, z, y, x) of each voxel.

        Returns
        -------
        dict of Tensor, shape (n, classes)
        """
        n, z, y, column = index.unbind(1)
        own = x[n, :, z, y, column]
        near = self.with_arteries(features)[n, :, z // 2, y // 2, column // 2]
        both = torch.cat((near, own), dim=1)
        artery = torch.log(near[:, -ARTERY_CLASSES:].clamp_min(1e-9))
        return {"calcium": self.calcium(both), "non_coronary": self.non_coronary(both), "artery": artery}

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the logits of the branches ``calcium``, ``structure`` and ``non_coronary``: (N, classes, z, y, x)."""
        features = self.features(x)
        near = functional.interpolate(self.with_arteries(features), scale_factor=2, mode="nearest")
        both = torch.cat((near, x), dim=1).permute(0, 2, 3, 4, 1)
        dense = {name: getattr(self, name)(both).permute(0, 4, 1, 2, 3) for name in ("calcium", "non_coronary")}
        return dense | {"structure": self.structure_logits(features)}

    def with_arteries(self, features: torch.Tensor) -> torch.Tensor:
        """Return the features with the artery branch's probabilities after them: (N, F + 5, z/2, y/2, x/2)."""
        probability = torch.softmax(self.artery(features.detach()).detach(), dim=1)
        return torch.cat((features, probability), dim=1)

    def structures(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of the structure branch alone: (N, 8, z, y, x)."""
        return self.structure_logits(self.features(x))

    def at_voxels(self, x: torch.Tensor, index: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the logits of the branches at single voxels, (patch, z, y, x), as ``rows``: (n, classes) by branch."""
        return self.rows(x, self.features(x), index)

    def structure_logits(self, features: torch.Tensor) -> torch.Tensor:
        """Return the structure branch's logits at full resolution: (N, 8, z, y, x)."""
        return functional.interpolate(self.structure(features), scale_factor=2, mode="trilinear", align_corners=False)
