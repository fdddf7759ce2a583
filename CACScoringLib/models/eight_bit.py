"""Weights in eight bits: half of what they take as float16, where a model has to stay small.

The largest weight of each channel, an index of the first axis (in a transposed convolution that of its input), gives
the channel's step, and weights are whole numbers of steps from -127 to 127 (symmetric quantisation per channel:
Krishnamoorthi 2018, arXiv 1806.08342). They are restored on loading; what computes is float32 as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

EIGHT_BIT, STEP = ".eight_bit", ".step"
"""How the two parts of what was a weight are named, after its own name."""
LARGEST = 127


def in_eight_bits(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a state dict with its kernels and matrices in eight bits; vectors, such as biases, stay as they are.

    Parameters
    ----------
    state : dict of Tensor

    Returns
    -------
    dict of Tensor
        For each weight of two or more axes ``<name>.eight_bit`` (int8, of its shape) and ``<name>.step`` (float64, one
        for each index of the first axis).
    """
    out = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point() or tensor.dim() < 2:
            out[name] = tensor
            continue
        rows = tensor.detach().double().flatten(1)
        step = rows.abs().amax(1) / LARGEST
        whole = (rows / step.clamp_min(1e-30)[:, None]).round().char()
        out[name + EIGHT_BIT], out[name + STEP] = whole.reshape(tensor.shape), step
    return out


def restored(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a state dict with what ``in_eight_bits`` has reduced as float32 again.

    Raises
    ------
    ValueError
        The steps of a weight are missing or do not fit it.
    """
    out = {}
    for name, tensor in state.items():
        if name.endswith(STEP) and name.removesuffix(STEP) + EIGHT_BIT in state:
            continue
        if not name.endswith(EIGHT_BIT):
            out[name] = tensor
            continue
        plain = name.removesuffix(EIGHT_BIT)
        step = state.get(plain + STEP)
        if step is None or step.shape != tensor.shape[:1]:
            raise ValueError(f"the eight-bit weight '{plain}' has no steps that fit it")
        out[plain] = tensor.float() * step.float().reshape(-1, *(1,) * (tensor.dim() - 1))
    return out
