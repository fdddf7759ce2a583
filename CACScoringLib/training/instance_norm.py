"""Instance normalisation and leaky ReLU in one step, for training in bfloat16 on a CPU.

What torch does going back through ``GroupNorm`` takes longer in bfloat16 than all convolutions of a small 3-D network
together, and a third as long as them in float32. Here both ways are a few passes over the map, sums in float32.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn


class _NormaliseAndActivate(torch.autograd.Function):
    """Maps (N, C, ...) -> leaky ReLU of the maps, each of mean 0 and variance 1, scaled and shifted by channel."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float, slope: float
    ) -> torch.Tensor:
        rows, kind = _rows(x), _of_sums(x)
        mean = rows.sum(1, dtype=kind) / rows.shape[1]
        square = torch.linalg.vector_norm(rows, dim=1, dtype=kind).square() / rows.shape[1]
        rate = ((square - mean.square()).clamp_min(0.0) + eps).rsqrt()
        scale = rate * weight
        out = torch.addcmul(_per_row(bias - mean * scale, x), rows, _per_row(scale, x))
        out = nn.functional.leaky_relu_(out, slope)
        ctx.slope = slope
        ctx.save_for_backward(x, out, mean, rate, weight)
        return _maps(out, x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, out, mean, rate, weight = ctx.saved_tensors
        rows, count, kind = _rows(x), x[0, 0].numel(), _of_sums(x)
        of_rows = _rows(gradients[0])
        of_rows = torch.where(out > 0, of_rows, of_rows * ctx.slope)
        of_bias = of_rows.sum(1, dtype=kind)
        of_weight = ((of_rows * rows).sum(1, dtype=kind) - mean * of_bias) * rate
        # With y = rate (x - mean): d x = rate weight (g - mean(g) - y mean(g y)), a line in x and g for each map.
        along_g = rate * weight
        along_x = -along_g * rate * of_weight / count
        constant = -along_g * of_bias / count - along_x * mean
        of_x = torch.addcmul(_per_row(constant, x), rows, _per_row(along_x, x))
        of_x = torch.addcmul(of_x, of_rows, _per_row(along_g, x))
        return _maps(of_x, x), of_weight.sum(0), of_bias.sum(0), None, None


def _of_sums(maps: torch.Tensor) -> torch.dtype:
    """Return the precision of sums over maps: at least float32."""
    return torch.promote_types(maps.dtype, torch.float32)


def _rows(maps: torch.Tensor) -> torch.Tensor:
    """Return maps (N, C, ...) as (N, places, C); no copy where channels come last in memory."""
    return maps.movedim(1, -1).flatten(1, -2)


def _maps(rows: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return rows (N, places, C) as maps of the shape of ``like``."""
    return rows.unflatten(1, like.shape[2:]).movedim(-1, 1)


def _per_row(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return values (N, C) in the precision of maps, to be used with their rows."""
    return values.to(like.dtype)[:, None]


class InstanceNormLeakyReLU(nn.GroupNorm):
    """Does what ``GroupNorm`` with a group for each channel and the ``LeakyReLU`` after it do.

    Parameters
    ----------
    norm : GroupNorm
        Whose weight and bias it shares: a network's ``state_dict`` stays what it was.
    slope : float
        Of the leaky ReLU below zero.
    """

    def __init__(self, norm: nn.GroupNorm, slope: float):
        super().__init__(norm.num_groups, norm.num_channels, norm.eps)
        self.weight, self.bias, self.slope = norm.weight, norm.bias, slope

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the normalised and activated maps, (N, C, ...) like the input."""
        return _NormaliseAndActivate.apply(input, self.weight, self.bias, self.eps, self.slope)


def for_training(network: nn.Module) -> nn.Module:
    """Put ``InstanceNormLeakyReLU`` where a network has the two in turn; the network is changed and returned."""
    for parts in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for place, (norm, after) in enumerate(pairwise(list(parts))):
            if _of_instances(norm) and isinstance(after, nn.LeakyReLU):
                parts[place] = InstanceNormLeakyReLU(norm, after.negative_slope)
                parts[place + 1] = nn.Identity()
    return network


def _of_instances(module: nn.Module) -> bool:
    return isinstance(module, nn.GroupNorm) and module.num_groups == module.num_channels and module.affine
