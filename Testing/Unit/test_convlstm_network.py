from __future__ import annotations

import math

import pytest
import torch

from CACScoringLib.networks.convlstm import (
    IN_CHANNELS,
    BidirectionalConvLSTM,
    ConvLSTMConfig,
    ConvLSTMNet,
)

SMALL = ConvLSTMConfig(channels=(8, 16, 16))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@pytest.fixture(scope="module")
def a_network():
    torch.manual_seed(0)
    return ConvLSTMNet(SMALL).eval()


def changed_slices(function, x, at):
    """Return the slices whose output changes when slice ``at`` of the input does, by half of the channels."""
    other = x.clone()
    other[:, at] += 1.0
    with torch.inference_mode():
        before, after = function(x), function(other)
    half = before.shape[2] // 2
    return [
        [n for n in range(x.shape[1]) if not torch.allclose(before[:, n, part], after[:, n, part], atol=1e-6)]
        for part in (slice(None, half), slice(half, None))
    ]


def test_one_way_sees_the_slices_below_and_the_other_those_above():
    torch.manual_seed(0)
    lstm = BidirectionalConvLSTM(8)
    assert changed_slices(lstm, torch.randn(1, 7, 8, 4, 4), 3) == [[3, 4, 5, 6], [0, 1, 2, 3]]


def test_the_cell_is_that_of_the_equations():
    lstm = BidirectionalConvLSTM(2)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        # Gates of the way up: write, keep, show, new; each reads channel 0 of the slice at its own pixel.
        for gate, weight in enumerate((1.0, 2.0, 3.0, 0.5)):
            lstm.from_slice.weight[gate, 0, 1, 1] = weight
        lstm.upward.weight[3, 0, 1, 1] = 0.25
        out = lstm(torch.tensor([[1.0, 0.0], [2.0, 0.0]]).reshape(1, 2, 2, 1, 1))
    cell = sigmoid(1.0) * math.tanh(0.5)
    hidden = sigmoid(3.0) * math.tanh(cell)
    assert out[0, 0, 0, 0, 0].item() == pytest.approx(hidden, rel=1e-5)
    cell = sigmoid(4.0) * cell + sigmoid(2.0) * math.tanh(1.0 + 0.25 * hidden)
    assert out[0, 1, 0, 0, 0].item() == pytest.approx(sigmoid(6.0) * math.tanh(cell), rel=1e-5)
    assert out[0, :, 1].abs().max() == 0


def test_a_new_cell_keeps_what_it_knows():
    bias = BidirectionalConvLSTM(8).from_slice.bias
    assert bias[4:8].tolist() == bias[20:24].tolist() == [1.0] * 4


def test_every_slice_is_decided_with_all_the_others(a_network):
    x = torch.randn(1, 6, IN_CHANNELS, 16, 16)
    assert changed_slices(a_network.features, x, 2) == [[0, 1, 2, 3, 4, 5]] * 2


def test_sequences_of_a_batch_do_not_see_each_other(a_network):
    x = torch.randn(2, 3, IN_CHANNELS, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(a_network.features(x)[1:], a_network.features(x[1:]), rtol=1e-4, atol=1e-5)


def test_single_pixels_get_what_the_masks_have_there(a_network):
    x = torch.randn(2, 3, IN_CHANNELS, 16, 24)
    index = torch.tensor([[0, 0, 0, 0], [1, 2, 15, 23], [0, 1, 7, 8], [1, 0, 8, 7]])
    with torch.inference_mode():
        masks, rows = a_network(x), a_network.at_pixels(x, index)
    assert masks["mask"].shape == (2, 3, 3, 16, 24)
    assert masks["vessel"].shape == (2, 3, 4, 16, 24)
    for name, values in rows.items():
        n, t, y, column = index.unbind(1)
        torch.testing.assert_close(values, masks[name][n, t, :, y, column], rtol=1e-4, atol=1e-5)


def test_no_pixel_may_be_asked_about(a_network):
    rows = a_network.at_pixels(torch.randn(1, 2, IN_CHANNELS, 16, 16), torch.zeros((0, 4), dtype=torch.int64))
    assert rows["mask"].shape == (0, 3)


def test_the_weights_are_small():
    assert sum(value.numel() for value in ConvLSTMNet().state_dict().values()) * 2 < 2 * 2**20


def test_a_configuration_comes_back_from_json():
    assert ConvLSTMConfig.from_dict({"in_channels": 12, "channels": [8, 16, 16]}) == SMALL
