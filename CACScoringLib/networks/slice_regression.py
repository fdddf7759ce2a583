"""The regression network: a slice of the heart -> its Agatston score or its calcium volume, without any mask.

After de Vos 2017 (arXiv 1712.02982): six layers of 3x3 convolutions with 2x2 max pooling, two dense layers, batch
normalisation after each layer, exponential linear units, voxel size appended to the first dense layer, 256x256 input,
one output. The text gives neither the number of kernels nor the width of the dense layers; those here are our choice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional

LAYERS = 6
ATTENTION_LAYER = 3
"""The paper follows the response back to the third convolutional layer."""
ATTENTION_STEP = 2 ** (ATTENTION_LAYER - 1)
"""Input pixels along one side of a cell of that layer."""
NEIGHBOURS = 3
"""Cells along a side over which the joint response is averaged: the kernels of a layer reach so far."""
VOXEL_SIZES = 3


@dataclass(frozen=True)
class SliceRegressionConfig:
    """Shape of the network and of its target; stored in the model bundle.

    Attributes
    ----------
    log_target : bool
        The network learns ln(y + 1) instead of y (experiments iii and iv).
    shared_kernels : bool
        Layers 2 to 6 share their kernels and keep biases of their own (experiments ii and iv). The first layer has one
        input channel, so its kernels cannot be theirs.
    size : int
        Side of the input in pixels; a multiple of 64.
    kernels, dense : int
    unit : float
        An output of 1 means this much Agatston or mm3; 1 for logarithmic targets.
    """

    log_target: bool = False
    shared_kernels: bool = False
    size: int = 256
    kernels: int = 32
    dense: int = 64
    unit: float = 20.0

    def __post_init__(self) -> None:
        if self.size % 2**LAYERS:
            raise ValueError(f"size must be a multiple of {2**LAYERS}, not {self.size}")

    def as_dict(self) -> dict[str, object]:
        """Return the configuration as the bundle's metadata stores it."""
        return asdict(self)

    def encode(self, score: torch.Tensor) -> torch.Tensor:
        """Return what the network should say for a score (0 or more)."""
        return torch.log1p(score) if self.log_target else score / self.unit

    def decode(self, output: torch.Tensor) -> torch.Tensor:
        """Return the score that an output stands for; there is none below 0."""
        return (torch.expm1(output) if self.log_target else output * self.unit).clamp_min(0.0)


EXPERIMENTS: dict[str, SliceRegressionConfig] = {
    "i": SliceRegressionConfig(),
    "ii": SliceRegressionConfig(shared_kernels=True),
    "iii": SliceRegressionConfig(log_target=True),
    "iv": SliceRegressionConfig(log_target=True, shared_kernels=True),
}
"""The four experiments of Tables 1 and 2."""


class SliceRegressionNet(nn.Module):
    """One slice and its voxel size -> one number.

    Parameters
    ----------
    config : SliceRegressionConfig

    Notes
    -----
    A layer is a convolution and its pooling; normalisation and activation follow it.
    """

    def __init__(self, config: SliceRegressionConfig | None = None):
        super().__init__()
        self.config = config or SliceRegressionConfig()
        k, dense = self.config.kernels, self.config.dense
        own = 2 if self.config.shared_kernels else LAYERS
        self.kernels = nn.ParameterList(nn.Parameter(torch.empty(k, 1 if n == 0 else k, 3, 3)) for n in range(own))
        for kernel in self.kernels:
            nn.init.kaiming_normal_(kernel)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(k)) for _ in range(LAYERS))
        self.norms = nn.ModuleList(nn.BatchNorm2d(k) for _ in range(LAYERS))
        cells = (self.config.size // 2**LAYERS) ** 2
        self.dense1 = nn.Linear(k * cells + VOXEL_SIZES, dense)
        self.dense2 = nn.Linear(dense, dense)
        self.dense_norms = nn.ModuleList(nn.BatchNorm1d(dense) for _ in range(2))
        self.out = nn.Linear(dense, 1)

    def kernel_of(self, layer: int) -> torch.Tensor:
        """Return the kernels of a layer, counted from 0."""
        return self.kernels[min(layer, len(self.kernels) - 1)]

    def forward(self, x: torch.Tensor, voxel_mm: torch.Tensor) -> torch.Tensor:
        """Return the output (N,), to be read by ``config.decode``.

        Parameters
        ----------
        x : Tensor, shape (N, 1, size, size)
        voxel_mm : Tensor, shape (N, 3)
            Increment, row and column spacing.
        """
        for layer in range(LAYERS):
            x = functional.elu(self._layer(x, layer)[0])
        return self._dense(x, voxel_mm)

    def attention(self, x: torch.Tensor, voxel_mm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output and where in the slice it comes from.

        The output's response is carried back by transposed convolutions, with unpooling to where each maximum lay,
        to the feature maps of the third layer; their joint response is its product with what the maps hold beyond
        their median in the slice, summed over maps and averaged over neighbouring cells, where it raises the output.
        Without the median, cells of plain tissue take part in what every slice has in common. Only in evaluation mode.

        Returns
        -------
        output : Tensor, shape (N,)
        heat : Tensor, shape (N, size / 4, size / 4)
        """
        if self.training:
            raise RuntimeError("attention is for evaluation mode: call eval() first")
        before, switches = [], []
        for layer in range(LAYERS):
            normalised, where = self._layer(x, layer, switches=layer + 1 >= ATTENTION_LAYER)
            before.append(normalised)
            switches.append(where)
            x = functional.elu(normalised)
        output, signal = self._dense_and_back(x, voxel_mm)
        for layer in reversed(range(ATTENTION_LAYER, LAYERS)):
            signal = signal * _elu_slope(before[layer]) * _norm_scale(self.norms[layer])[:, None, None]
            signal = functional.max_unpool2d(signal, switches[layer], 2)
            signal = functional.conv_transpose2d(signal, self.kernel_of(layer), padding=1)
        maps = functional.elu(before[ATTENTION_LAYER - 1])
        joint = signal * (maps - maps.flatten(2).median(dim=2).values[:, :, None, None])
        joint = functional.max_unpool2d(joint, switches[ATTENTION_LAYER - 1], 2).sum(dim=1)
        return output, functional.avg_pool2d(joint, NEIGHBOURS, stride=1, padding=NEIGHBOURS // 2).clamp_min(0.0)

    def _layer(self, x: torch.Tensor, layer: int, switches: bool = False) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return a layer's normalised response before activation, and where its maxima lay where these are wanted."""
        x = functional.conv2d(x, self.kernel_of(layer), padding=1)
        pooled, where = (
            functional.max_pool2d(x, 2, return_indices=True) if switches else (functional.max_pool2d(x, 2), None)
        )
        return self.norms[layer](pooled + self.biases[layer][:, None, None]), where

    def _dense(self, x: torch.Tensor, voxel_mm: torch.Tensor) -> torch.Tensor:
        x = torch.cat((x.flatten(1), voxel_mm), dim=1)
        x = functional.elu(self.dense_norms[0](self.dense1(x)))
        x = functional.elu(self.dense_norms[1](self.dense2(x)))
        return self.out(x)[:, 0]

    def _dense_and_back(self, x: torch.Tensor, voxel_mm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output, and its response carried back to the dense layers' input map."""
        before1 = self.dense_norms[0](self.dense1(torch.cat((x.flatten(1), voxel_mm), dim=1)))
        before2 = self.dense_norms[1](self.dense2(functional.elu(before1)))
        output = self.out(functional.elu(before2))[:, 0]
        signal = self.out.weight.expand(len(x), -1) * _elu_slope(before2) * _norm_scale(self.dense_norms[1])
        signal = (signal @ self.dense2.weight) * _elu_slope(before1) * _norm_scale(self.dense_norms[0])
        signal = signal @ self.dense1.weight
        return output, signal[:, :-VOXEL_SIZES].reshape(x.shape)


def _elu_slope(before: torch.Tensor) -> torch.Tensor:
    """Return the slope of the activation where its input is ``before``."""
    return torch.where(before > 0, torch.ones_like(before), torch.exp(before))


def _norm_scale(norm: nn.Module) -> torch.Tensor:
    """Return the slope of a normalisation in evaluation mode, by channel."""
    return norm.weight * torch.rsqrt(norm.running_var + norm.eps)
