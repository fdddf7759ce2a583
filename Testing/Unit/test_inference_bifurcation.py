from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from CACScoringLib.inference.bifurcation import (
    CROP_SHAPE,
    LEAST_LEFT_MAIN,
    SEEN_SHAPE,
    BifurcationWeights,
    divide_left_main,
    look_twice,
    seen_channels,
    surroundings_of_left_main,
    with_left_vessels,
)
from CACScoringLib.inference.candidates import Candidates
from CACScoringLib.inference.grids import FINE_SPACING_MM, ct_grid
from CACScoringLib.networks.bifurcation import BifurcationConfig, BifurcationUNet

SPACING = (3.0, 0.5, 0.5)
SHAPE = (40, 200, 200)
GRID = ct_grid(SHAPE, SPACING)


def a_lesion(columns=range(60, 140), row=100, slice_=20):
    """A lesion along x."""
    index = np.array([(slice_, row, column) for column in columns], np.int32)
    n = len(index)
    return Candidates(index, np.full(n, 400, np.int16), np.zeros(n, np.int32), np.array([n * 0.75], np.float32))


def rows(candidates, *, lm=0.4, lad=0.3, lcx=0.1, rca=0.1):
    each = np.array([1.0 - lm - lad - lcx - rca, lm, lad, lcx, rca], np.float32)
    return np.tile(each, (len(candidates.index), 1))


def divided_at(x_mm, seen_first_x):
    """A network that calls all that is left of ``x_mm`` LM and the rest LAD, and is sure of it."""

    def ask(channels):
        assert channels.shape == (2, 4, *CROP_SHAPE)
        said = np.full((2, 3, *CROP_SHAPE), -9.0, np.float32)
        for look in (0, 1):
            x = seen_first_x + FINE_SPACING_MM[2] * (look + np.arange(CROP_SHAPE[2]))
            said[look, 0][..., x < x_mm] = 0.0
            said[look, 1][..., x >= x_mm] = 0.0
        return said

    return ask


def test_the_surroundings_lie_round_what_may_be_left_main():
    candidates = a_lesion()
    calcium = rows(candidates, lm=0.1, lad=0.7)
    assert surroundings_of_left_main(candidates, calcium, SPACING) is None
    calcium[10:14, 1] = LEAST_LEFT_MAIN
    calcium[40, 1] = LEAST_LEFT_MAIN - 0.01  # too little to count
    seen = surroundings_of_left_main(candidates, calcium, SPACING)
    middle = np.array(seen.offset_mm) + (np.array(SEEN_SHAPE) - 1) / 2 * np.array(FINE_SPACING_MM)
    np.testing.assert_allclose(middle, [60.0, 50.0, (60 + 11.5) * 0.5])
    calcium[13, 1] = 1.0  # surer voxels pull harder
    pulled = surroundings_of_left_main(candidates, calcium, SPACING)
    assert pulled.offset_mm[2] > seen.offset_mm[2]


def test_what_is_fed_are_the_hu_and_the_candidates_of_the_surroundings():
    hu = np.full(SHAPE, -80, np.int16)
    candidates = a_lesion()
    hu[tuple(candidates.index.T)] = candidates.hu
    seen = surroundings_of_left_main(candidates, rows(candidates), SPACING)
    channels = seen_channels(hu, GRID, candidates, seen)
    bright = np.argwhere(channels[1] > 0) * np.array(FINE_SPACING_MM) + np.array(seen.offset_mm)
    assert np.abs(bright[:, 1] - 50.0).max() <= 1.25
    assert bright[:, 2].min() == pytest.approx(30.0, abs=1.25)
    assert channels[1].max() == pytest.approx(1.0)  # 400 HU
    assert channels[0].min() < channels[0].max()


def test_two_looks_a_voxel_apart_are_averaged_where_both_see():
    channels = np.random.default_rng(0).normal(size=(4, *SEEN_SHAPE)).astype(np.float32)

    def ask(crops):
        """Says what it sees; the second time one more."""
        assert crops.shape == (2, 4, *CROP_SHAPE)
        return crops[:, :3] + np.arange(2)[:, None, None, None, None]

    np.testing.assert_allclose(look_twice(channels, ask), channels[:3, 1:-1, 1:-1, 1:-1] + 0.5, atol=1e-6)


def test_a_lesion_is_divided_where_the_network_says_and_keeps_how_sure_it_is():
    candidates = a_lesion()
    calcium = rows(candidates)
    seen = surroundings_of_left_main(candidates, calcium, SPACING)
    hu = np.zeros(SHAPE, np.int16)
    ask = divided_at(50.0, seen.offset_mm[2])
    out = divide_left_main(hu, GRID, candidates, calcium, ask, BifurcationWeights(0.5, 1.0))
    x = candidates.index[:, 2] * SPACING[2]
    vessel = out[:, 1:].argmax(axis=1) + 1
    assert set(vessel[x < 48.5]) == {1}
    assert set(vessel[x > 51.5]) == {2}
    np.testing.assert_array_equal(out[:, [0, 4]], calcium[:, [0, 4]])
    np.testing.assert_allclose(out.sum(axis=1), 1.0, atol=1e-6)
    assert calcium[0, 1] == np.float32(0.4)  # what was given stays


def test_nothing_changes_outside_the_crop_or_without_left_main():
    candidates = a_lesion(range(200))
    calcium = rows(candidates, lm=0.0, lad=0.8)
    calcium[:4, 1] = 0.6
    calcium[:4, 2] = 0.2
    hu = np.zeros(SHAPE, np.int16)
    sure = np.log(np.full((2, 3, *CROP_SHAPE), 1 / 3, np.float32))
    out = divide_left_main(hu, GRID, candidates, calcium, lambda channels: sure, BifurcationWeights(0.0, 1.0))
    changed = np.abs(out - calcium).max(axis=1) > 1e-6
    assert changed[:50].all()
    assert not changed[70:].any()
    nowhere = rows(candidates, lm=0.1)
    out = divide_left_main(hu, GRID, candidates, nowhere, lambda channels: 1 / 0, BifurcationWeights())
    assert out is nowhere


def test_the_weights_are_exponents():
    calcium = np.array([[0.2, 0.4, 0.2, 0.1, 0.1]], np.float32)
    said = np.log(np.array([[0.1, 0.1, 0.8]], np.float32))
    inside = np.array([0])
    unmoved = with_left_vessels(calcium, inside, said, BifurcationWeights(1.0, 0.0))
    np.testing.assert_allclose(unmoved, calcium, atol=1e-5)
    taken = with_left_vessels(calcium, inside, said, BifurcationWeights(0.0, 1.0))
    np.testing.assert_allclose(taken[0, 1:4], 0.7 * np.exp(said[0]), atol=1e-5)
    both = with_left_vessels(calcium, inside, said, BifurcationWeights(0.5, 2.0))
    product = np.sqrt(calcium[0, 1:4] / 0.7) * np.exp(said[0]) ** 2
    np.testing.assert_allclose(both[0, 1:4], 0.7 * product / product.sum(), atol=1e-5)
    assert BifurcationWeights.from_dict(BifurcationWeights(0.3, 0.7).as_dict()) == BifurcationWeights(0.3, 0.7)


def test_the_network_answers_at_every_place_of_a_crop():
    network = BifurcationUNet(BifurcationConfig(channels=(4, 6, 8, 8)))
    out = network(torch.zeros(2, 4, *CROP_SHAPE))
    assert {name: tuple(logits.shape) for name, logits in out.items()} == {
        "vessel": (2, 3, *CROP_SHAPE),
        "artery": (2, 5, *CROP_SHAPE),
    }
    assert BifurcationConfig.from_dict(network.config.as_dict()) == network.config


def test_the_fine_level_adds_to_what_the_body_says():
    config = BifurcationConfig(channels=(4, 6, 8, 8), fine_channels=4)
    network = BifurcationUNet(config).eval()
    plain = BifurcationUNet(replace(config, fine_channels=0)).eval()
    plain.load_state_dict({name: value for name, value in network.state_dict().items() if "fine" not in name})
    crop = torch.randn(1, 4, *CROP_SHAPE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert all(torch.equal(network(crop)[name], logits) for name, logits in plain(crop).items())
        torch.nn.init.normal_(network.fine.vessel.weight)
        added = network(crop)["vessel"] - plain(crop)["vessel"]
        torch.testing.assert_close(network.left_vessels(crop), network(crop)["vessel"])
    assert added.abs().max() > 0.1


def test_a_bundle_from_before_the_fine_level_has_none():
    entries = {"in_channels": 4, "channels": [4, 6, 8, 8]}
    assert BifurcationConfig.from_dict(entries).fine_channels == 0
