"""A bidirectional convolutional LSTM over the axial slices of the heart.

After Pieszko 2022 (doi 10.1016/j.jcmg.2022.06.006): slices are taken as a video's frames, a convolutional LSTM
carries what it saw from slice to slice, and every slice gets a mask of coronary and one of non-coronary
calcification. The architecture itself is in that paper's supplement; what is built here is said in the model card.
The cell is that of Shi 2015 (arXiv 1506.04214) without peepholes. Naming the vessel is an addition.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn

MASK_CLASSES = 3
"""Neither, coronary calcification, non-coronary calcification: the two masks of the paper."""
VESSEL_CLASSES = 4
"""LM, LAD, LCX, RCA: not in the paper."""
HU_CHANNELS = 4
"""Soft-tissue HU, highest candidate HU, candidate fraction, size of the candidate's lesion (``hu_channels``)."""
STEP_CHANNELS = 1
"""Distance to the next slice."""
HEART_CHANNELS = 7
"""Probabilities of the seven cardiac structures: the heart segmentation that comes first."""
IN_CHANNELS = HU_CHANNELS + STEP_CHANNELS + HEART_CHANNELS
HEAD_WIDTH = 32
GROUPS = 8
SLOPE = 0.05
FORGET_BIAS = 1.0
"""The cell keeps what it knows until it has learned to forget (Jozefowicz 2015)."""
MULTIPLE = 8
"""Rows and columns of the input must be multiples of it."""


@dataclass(frozen=True)
class ConvLSTMConfig:
    """Shape of the network; stored in the model bundle.

    Attributes
    ----------
    in_channels : int
    channels : tuple of int
        Features at a half, a quarter and an eighth of the input's resolution; even multiples of ``GROUPS``.
    """

    in_channels: int = IN_CHANNELS
    channels: tuple[int, int, int] = (24, 48, 96)

    def as_dict(self) -> dict[str, object]:
        """Return the configuration as the bundle's metadata stores it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> ConvLSTMConfig:
        """Read what ``as_dict`` has written, also from JSON."""
        return cls(**{**values, "channels": tuple(values["channels"])})


class _Unit(nn.Module):
    """Residual unit of two 3x3 convolutions with group normalisation."""

    def __init__(self, cin: int, cout: int, stride: int = 1):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(cin, cout, 3, stride, 1, bias=False),
            nn.GroupNorm(GROUPS, cout),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(cout, cout, 3, 1, 1, bias=False),
            nn.GroupNorm(GROUPS, cout),
        )
        self.same = nn.Identity() if cin == cout and stride == 1 else nn.Conv2d(cin, cout, 1, stride)
        self.act = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.body(x) + self.same(x))


class BidirectionalConvLSTM(nn.Module):
    """Two convolutional LSTMs over the same slices: from the feet up and from the head down.

    Parameters
    ----------
    channels : int
        Features of the input; each way returns half as many.

    Notes
    -----
    (N, T, C, y, x) -> (N, T, C, y, x): the states of both ways, concatenated.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.hidden = channels // 2
        self.from_slice = nn.Conv2d(channels, 2 * 4 * self.hidden, 3, padding=1)
        self.upward = nn.Conv2d(self.hidden, 4 * self.hidden, 3, padding=1, bias=False)
        self.downward = nn.Conv2d(self.hidden, 4 * self.hidden, 3, padding=1, bias=False)
        with torch.no_grad():
            for first in (self.hidden, 5 * self.hidden):
                self.from_slice.bias[first : first + self.hidden] = FORGET_BIAS

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return both ways' states at every slice."""
        n, count = x.shape[:2]
        gates = self.from_slice(x.flatten(0, 1))
        gates = gates.reshape(n, count, 2, 4 * self.hidden, *gates.shape[2:])
        up = self._pass(gates[:, :, 0], self.upward, range(count))
        down = self._pass(gates[:, :, 1], self.downward, range(count - 1, -1, -1))
        return torch.cat((torch.stack(up, dim=1), torch.stack(down, dim=1)), dim=2)

    def _pass(self, gates: torch.Tensor, recurrent: nn.Conv2d, order: range) -> list[torch.Tensor]:
        """Return the hidden state of every slice, in the slices' order."""
        cell = hidden = None
        out: list[torch.Tensor] = [gates] * len(order)
        for at in order:
            now = gates[:, at] if hidden is None else gates[:, at] + recurrent(hidden)
            write, keep, show, new = now.split(self.hidden, dim=1)
            fresh = torch.sigmoid(write) * torch.tanh(new)
            cell = fresh if cell is None else torch.sigmoid(keep) * cell + fresh
            hidden = torch.sigmoid(show) * torch.tanh(cell)
            out[at] = hidden
        return out


def _head(width: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, HEAD_WIDTH), nn.LeakyReLU(SLOPE), nn.Linear(HEAD_WIDTH, classes))


class ConvLSTMNet(nn.Module):
    """Encoder and decoder of each slice, with what the other slices say at the two coarsest levels.

    Parameters
    ----------
    config : ConvLSTMConfig

    Notes
    -----
    Input (N, T, C, y, x): N sequences of T axial slices from the feet up; y and x multiples of ``MULTIPLE``. Blocks of
    2x2 pixels are folded into channels, so that features are computed at half resolution and below. The branches
    look at one pixel's input channels together with the features round it, so that they can be asked about
    candidates alone (``rows``).
    """

    def __init__(self, config: ConvLSTMConfig | None = None):
        super().__init__()
        self.config = config or ConvLSTMConfig()
        a, b, c = self.config.channels
        self.fold = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * self.config.in_channels, a, 1))
        self.level0 = _Unit(a, a)
        self.level1 = _Unit(a, b, stride=2)
        self.level2 = _Unit(b, c, stride=2)
        self.along1 = BidirectionalConvLSTM(b)
        self.along2 = BidirectionalConvLSTM(c)
        self.up1, self.join1 = nn.ConvTranspose2d(c, b, 2, stride=2), _Unit(b, b)
        self.up0, self.join0 = nn.ConvTranspose2d(b, a, 2, stride=2), _Unit(a, a)
        known = a + self.config.in_channels
        self.mask = _head(known, MASK_CLASSES)
        self.vessel = _head(known, VESSEL_CLASSES)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features at half resolution: (N, T, F, y/2, x/2)."""
        n, count = x.shape[:2]
        s0 = self.level0(self.fold(x.flatten(0, 1)))
        s1 = self.level1(s0)
        s2 = self.level2(s1)
        d2 = s2 + self.along2(s2.unflatten(0, (n, count))).flatten(0, 1)
        d1 = self.join1(self.up1(d2) + s1 + self.along1(s1.unflatten(0, (n, count))).flatten(0, 1))
        d0 = self.join0(self.up0(d1) + s0)
        return d0.unflatten(0, (n, count))

    def rows(self, x: torch.Tensor, features: torch.Tensor, index: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the branches' logits at single pixels.

        Parameters
        ----------
        x : Tensor, shape (N, T, C, y, x)
        features : Tensor, shape (N, T, F, y/2, x/2)
        index : Tensor of int64, shape (n, 4)
            (sequence, slice, y, x) of each pixel.

        Returns
        -------
        dict of Tensor, shape (n, classes)
            ``mask`` and ``vessel``.
        """
        n, at, y, column = index.unbind(1)
        both = torch.cat((features[n, at, :, y // 2, column // 2], x[n, at, :, y, column]), dim=1)
        return {"mask": self.mask(both), "vessel": self.vessel(both)}

    def at_pixels(self, x: torch.Tensor, index: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the logits of ``mask`` (n, 3) and ``vessel`` (n, 4) at single pixels, (sequence, slice, y, x)."""
        return self.rows(x, self.features(x), index)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the logits of ``mask`` and ``vessel`` at every pixel of every slice: (N, T, classes, y, x)."""
        near = self.features(x).repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)
        both = torch.cat((near, x), dim=2).movedim(2, -1)
        return {"mask": self.mask(both).movedim(-1, 2), "vessel": self.vessel(both).movedim(-1, 2)}
