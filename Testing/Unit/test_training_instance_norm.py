from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from CACScoringLib.networks.bifurcation import BifurcationConfig, BifurcationUNet
from CACScoringLib.training.instance_norm import InstanceNormLeakyReLU, for_training


def a_block(channels=5):
    torch.manual_seed(3)
    block = nn.Sequential(nn.GroupNorm(channels, channels), nn.LeakyReLU(0.05, True))
    nn.init.normal_(block[0].weight)
    nn.init.normal_(block[0].bias)
    return block


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last_3d])
def test_it_does_and_learns_what_the_two_do_one_after_the_other(order):
    one, other = a_block().double(), for_training(a_block()).double()
    maps = (torch.randn(2, 5, 4, 6, 8, dtype=torch.float64) * 3 + 7).contiguous(memory_format=order)
    wanted = torch.randn_like(maps)
    results = []
    for block in (one, other):
        given = maps.clone().requires_grad_()
        out = block(given)
        ((out - wanted) ** 2).sum().backward()
        results.append((out, given.grad, *(p.grad for p in block.parameters())))
    for expected, said in zip(*results, strict=True):
        torch.testing.assert_close(said, expected, rtol=1e-8, atol=1e-8)


def test_in_bfloat16_it_stays_as_near_as_its_digits_allow():
    one, other = a_block(), for_training(a_block())
    maps = (torch.randn(2, 5, 8, 8, 8) * 3 + 7).contiguous(memory_format=torch.channels_last_3d)
    given = maps.bfloat16().requires_grad_()
    out = other(given)
    assert out.dtype is torch.bfloat16
    torch.testing.assert_close(out.float(), one(maps), rtol=0.05, atol=0.1)
    out.float().square().sum().backward()
    assert given.grad.dtype is torch.bfloat16
    assert other[0].weight.grad.dtype is torch.float32


def test_a_networks_weights_keep_their_names_and_other_layers_are_left_alone():
    network = BifurcationUNet(BifurcationConfig(channels=(4, 4, 4, 4), fine_channels=2))
    names = list(network.state_dict())
    changed = for_training(deepcopy(network))
    assert list(changed.state_dict()) == names
    kinds = [type(module) for module in changed.modules()]
    assert InstanceNormLeakyReLU in kinds
    assert nn.GroupNorm not in kinds
    assert nn.LeakyReLU not in kinds
    changed.load_state_dict(network.state_dict())
    x = torch.randn(1, 4, 16, 32, 32)
    torch.testing.assert_close(changed(x)["vessel"], network(x)["vessel"], rtol=1e-3, atol=1e-4)
    groups = for_training(nn.Sequential(nn.GroupNorm(2, 4), nn.LeakyReLU(), nn.GroupNorm(4, 4), nn.ReLU()))
    assert [type(part) for part in groups] == [nn.GroupNorm, nn.LeakyReLU, nn.GroupNorm, nn.ReLU]
