from __future__ import annotations

import pytest
import torch

from CACScoringLib.models import ModelError, in_eight_bits, load_weights, write_bundle
from CACScoringLib.models.eight_bit import LARGEST, restored


def a_state():
    torch.manual_seed(1)
    kernel = torch.randn(6, 3, 3, 3) * torch.logspace(-6, 2, 6)[:, None, None, None]
    return {
        "part.kernel.weight": kernel,
        "part.kernel.bias": torch.randn(6),
        "part.count": torch.arange(4).reshape(2, 2),
    }


def test_weights_come_back_within_half_a_step_of_their_channel_and_the_rest_as_it_was():
    state = a_state()
    reduced = in_eight_bits(state)
    assert set(reduced) == {"part.kernel.weight.eight_bit", "part.kernel.weight.step", "part.kernel.bias", "part.count"}
    assert reduced["part.kernel.weight.eight_bit"].dtype is torch.int8
    back = restored(reduced)
    assert set(back) == set(state)
    weight = state["part.kernel.weight"]
    step = weight.abs().amax((1, 2, 3), keepdim=True) / LARGEST
    assert bool(((back["part.kernel.weight"] - weight).abs() <= step * 0.5001).all())
    assert (back["part.kernel.weight"] - weight).abs().max() > 0
    for name in ("part.kernel.bias", "part.count"):
        assert torch.equal(back[name], state[name])


def test_what_was_restored_is_reduced_to_the_same_again():
    first = in_eight_bits(a_state())
    again = in_eight_bits(restored(first))
    name = "part.kernel.weight.eight_bit"
    assert torch.equal(first[name], again[name])


def test_a_channel_of_zeros_stays_one():
    state = {"weight": torch.zeros(2, 5)}
    assert torch.equal(restored(in_eight_bits(state))["weight"], state["weight"])


def test_a_bundle_keeps_them_in_a_byte_each_and_loads_them_as_float32(tmp_path):
    state = {"weight": torch.randn(64, 1000)}
    words = {"settings": {"method": "convlstm"}, "metadata": {}, "card": "card", "licence": "licence"}
    bundle = write_bundle(tmp_path / "small", in_eight_bits(state), **words)
    assert (bundle.folder / "models" / "model.pt").stat().st_size < 64 * 1000 * 1.1
    loaded = load_weights(bundle)
    assert loaded["weight"].dtype is torch.float32
    assert torch.equal(loaded["weight"], restored(in_eight_bits(state))["weight"])


@pytest.mark.parametrize("step", [None, torch.ones(3), torch.ones(())])
def test_weights_without_steps_that_fit_are_refused(tmp_path, step):
    reduced = in_eight_bits({"weight": torch.randn(2, 5)})
    del reduced["weight.step"]
    if step is not None:
        reduced["weight.step"] = step
    words = {"settings": {"method": "convlstm"}, "metadata": {}, "card": "card", "licence": "licence"}
    bundle = write_bundle(tmp_path / "damaged", reduced, **words)
    with pytest.raises(ModelError, match=r"'damaged' cannot be read.*'weight' has no steps that fit it.*get the model"):
        load_weights(bundle)
