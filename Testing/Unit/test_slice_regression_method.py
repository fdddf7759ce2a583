from __future__ import annotations

import numpy as np
import pytest
import torch

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.inference.grids import Grid
from CACScoringLib.inference.windows import CancelledError
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.methods.score_prediction import (
    AttentionMap,
    HeartBox,
    ScorePrediction,
    compare_boxes,
    compare_with_structures,
    spread_probability,
)
from CACScoringLib.methods.slice_regression import (
    LEAST_SCORE,
    PRESET,
    Networks,
    averaged_slices,
    cut_slices,
    find_heart_box,
    kvp_factor,
    network_units,
    on_canvas,
    part_of,
    predict_slice_regression,
    presence_run,
    slice_scores,
)
from CACScoringLib.models import write_bundle
from CACScoringLib.networks.axis_localiser import LocaliserConfig
from CACScoringLib.networks.slice_regression import EXPERIMENTS, SliceRegressionConfig, SliceRegressionNet
from CACScoringLib.scoring.presets import get_preset
from CACScoringLib.scoring.settings import settle

TINY = SliceRegressionConfig(size=64, kernels=4, dense=6, unit=1.0)


def a_network(config=TINY, seed=0):
    """A network whose normalisation is not the identity."""
    torch.manual_seed(seed)
    network = SliceRegressionNet(config)
    for norm in (*network.norms, *network.dense_norms):
        norm.running_mean.uniform_(-0.5, 0.5)
        norm.running_var.uniform_(0.5, 2.0)
        torch.nn.init.uniform_(norm.weight, -1.5, 1.5)
        torch.nn.init.uniform_(norm.bias, -0.5, 0.5)
    for bias in network.biases:
        torch.nn.init.uniform_(bias, -0.5, 0.5)
    return network.eval()


def a_ct(*lesions, spacing=(3.0, 1.0, 1.0), thickness=None, kvp=120.0):
    """A ball of a heart, 60 mm wide, in fat, in air; lesions are (z, y, x, HU) of 2x2 pixels."""
    hu = np.full((40, 120, 120), -1000, np.int16)
    hu[:, 10:110, 10:110] = -95
    z, y, x = np.ogrid[:40, :120, :120]
    hu[((z - 20) * spacing[0]) ** 2 + (y - 60.0) ** 2 + (x - 60.0) ** 2 < 30**2] = 40
    for k, j, i, value in lesions:
        hu[k, j : j + 2, i : i + 2] = value
    return CTVolume(hu, spacing, acquisition=Acquisition(kvp=kvp, slice_thickness_mm=thickness))


class BrightSlices(torch.nn.Module):
    """Sees a heart where anything in the slice is brighter than 0 HU (0.4 in the localisers' input)."""

    config = LocaliserConfig()

    def __init__(self):
        super().__init__()
        self.axes = {axis: lambda x: (x.amax(dim=(1, 2, 3)) - 0.4) * 100 for axis in "zyx"}


class CountsBright:
    """Says how many pixels are at 130 HU or more (1.65 in network units), and that they are why."""

    config = SliceRegressionConfig(size=128, unit=1.0)

    def __call__(self, x, voxel):
        return (x >= 1.65).sum(dim=(1, 2, 3)).float()

    def attention(self, x, voxel):
        bright = (x[:, 0] >= 1.65).float()
        return self(x, voxel), torch.nn.functional.avg_pool2d(bright, 4)


@pytest.fixture
def a_bundle(tmp_path):
    settings = {"method": "slice-regression", "spread": 0.2, "review_below": 0.9}
    return write_bundle(tmp_path / "counts", {}, settings=settings, metadata={}, card="", licence="")


ORACLE = Networks(BrightSlices(), {"agatston": CountsBright(), "volume": CountsBright()})


@pytest.mark.parametrize(("name", "log", "shared"), [("i", 0, 0), ("ii", 0, 1), ("iii", 1, 0), ("iv", 1, 1)])
def test_the_four_experiments_are_those_of_the_papers_tables(name, log, shared):
    config = EXPERIMENTS[name]
    assert (config.log_target, config.shared_kernels, config.size) == (bool(log), bool(shared), 256)


def test_the_network_has_six_convolutions_of_3x3_two_dense_layers_and_is_told_the_voxel_size():
    network = SliceRegressionNet()
    assert [tuple(k.shape) for k in network.kernels] == [(32, 1, 3, 3)] + 5 * [(32, 32, 3, 3)]
    assert network.dense1.in_features == 32 * 4 * 4 + 3
    assert network.out.out_features == 1


def test_shared_kernels_are_one_tensor_with_six_biases():
    network = SliceRegressionNet(EXPERIMENTS["ii"])
    assert [tuple(k.shape) for k in network.kernels] == [(32, 1, 3, 3), (32, 32, 3, 3)]
    assert len(network.biases) == 6
    assert network.kernel_of(1) is network.kernel_of(5)


@pytest.mark.parametrize("name", ["i", "iii"])
def test_targets_are_read_back_and_never_below_zero(name):
    config = EXPERIMENTS[name]
    score = torch.tensor([0.0, 1.0, 250.0])
    torch.testing.assert_close(config.decode(config.encode(score)), score)
    assert config.decode(torch.tensor([-3.0])).item() == 0.0
    if name == "iii":
        assert config.encode(torch.tensor([np.e - 1])).item() == pytest.approx(1.0)


def test_a_layer_is_convolution_pooling_normalisation_and_activation():
    network = a_network()
    x, voxel = torch.rand(3, 1, 64, 64), torch.tensor([[1.5, 0.7, 0.7]]).expand(3, 3)
    plain = x
    for n, norm in enumerate(network.norms):
        plain = torch.nn.functional.conv2d(plain, network.kernel_of(n), network.biases[n], padding=1)
        plain = torch.nn.functional.elu(norm(torch.nn.functional.max_pool2d(plain, 2)))
    assert plain.shape == (3, 4, 1, 1)
    torch.testing.assert_close(network(x, voxel), network._dense(plain, voxel))


def test_transposed_convolutions_carry_the_response_back_to_the_third_layer_exactly():
    """The response carried back is the slope of the output with the third layer's maps: autograd finds the same."""
    network = a_network()
    x, voxel = torch.rand(2, 1, 64, 64), torch.tensor([[1.5, 0.7, 0.7]]).expand(2, 3)
    output, heat = network.attention(x, voxel)
    maps = x
    for layer in range(3):
        maps = torch.nn.functional.elu(network._layer(maps, layer)[0])
    maps = maps.detach().requires_grad_()
    rest = maps
    for layer in (3, 4, 5):
        rest = torch.nn.functional.elu(network._layer(rest, layer)[0])
    again = network._dense(rest, voxel)
    (slope,) = torch.autograd.grad(again.sum(), maps)
    torch.testing.assert_close(output, again)
    assert heat.shape == (2, 16, 16)
    # Each pooled map lies where its maximum was; neighbouring cells are averaged, zeros beyond the border.
    joint = (slope * (maps - maps.flatten(2).median(dim=2).values[..., None, None])).detach()
    before = x
    for layer in range(2):
        before = torch.nn.functional.elu(network._layer(before, layer)[0])
    responses = torch.nn.functional.conv2d(before, network.kernel_of(2), padding=1)
    _, where = torch.nn.functional.max_pool2d(responses, 2, return_indices=True)
    placed = torch.nn.functional.max_unpool2d(joint, where, 2).sum(dim=1)
    expected = torch.nn.functional.avg_pool2d(placed, 3, stride=1, padding=1).clamp_min(0)
    assert (expected > 0).any()
    torch.testing.assert_close(heat, expected, rtol=1e-4, atol=1e-6)


def test_the_order_of_values_in_memory_changes_nothing():
    network, other = a_network(), a_network().to(memory_format=torch.channels_last)
    x, voxel = torch.rand(2, 1, 64, 64), torch.tensor([[1.5, 0.7, 0.7]]).expand(2, 3)
    for one, same in zip(network.attention(x, voxel), other.attention(x, voxel), strict=True):
        torch.testing.assert_close(one, same, rtol=1e-4, atol=1e-5)


def test_attention_is_refused_while_training():
    with pytest.raises(RuntimeError, match="evaluation mode"):
        SliceRegressionNet(TINY).train().attention(torch.zeros(2, 1, 64, 64), torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("probability", "run"),
    [
        ([0, 0, 1, 1, 1, 0], (2, 4)),
        ([1, 0, 0, 0, 0, 1, 1, 0], (5, 6)),
        ([0, 1, 1, 0, 0, 1, 1, 1, 0], (1, 7)),
        ([1, 1, 1], (0, 2)),
        ([0.4, 0.1], None),
    ],
)
def test_the_heart_is_the_longest_run_of_slices_whose_small_gaps_are_mistakes(probability, run):
    assert presence_run(np.array(probability, float)) == run


def test_the_box_encloses_the_heart_on_the_coarse_grid():
    box = find_heart_box(a_ct(), BrightSlices())
    np.testing.assert_allclose(box.low_mm, (30, 30, 30), atol=6)
    np.testing.assert_allclose(box.high_mm, (90, 90, 90), atol=6)


def test_a_scan_without_a_heart_has_no_box_and_no_score(a_bundle):
    ct = CTVolume(np.full((30, 80, 80), -1000, np.int16), (3.0, 1.0, 1.0))
    out = predict_slice_regression(ct, bundle=a_bundle, networks=ORACLE)
    assert [f.code for f in out.findings] == ["heart-not-found"]
    assert (out.agatston, out.volume_mm3, out.category, out.heart_box, out.needs_review) == (None,) * 4 + (True,)
    assert out.risk() == {}


def test_boxes_are_compared_by_overlap_and_walls():
    box, other = HeartBox((0, 0, 0), (10, 10, 10)), HeartBox((5, 0, 0), (15, 10, 10))
    found = compare_boxes(box, other)
    assert found.overlap == pytest.approx(500 / 1500)
    assert found.wall_distance_mm == (5, 0, 0, 5, 0, 0)
    assert found.center_distance_mm == 5
    assert compare_boxes(box, HeartBox((20, 0, 0), (30, 10, 10))).overlap == 0


def test_the_box_is_compared_with_that_of_the_structure_branch():
    structures = np.zeros((6, 8, 8), np.uint8)
    structures[2:4, 2:5, 3:6] = 1
    prediction = Prediction("m", "", "", None, structures, (4.0, 4.0, 4.0), (10.0, 0.0, 0.0))
    same = HeartBox((16, 6, 10), (24, 18, 22))
    assert compare_with_structures(same, prediction).overlap == pytest.approx(1.0)
    assert compare_with_structures(None, prediction) is None
    assert compare_with_structures(same, Prediction("m", "", "")) is None


def test_slices_are_averaged_to_3_mm_every_1_5_mm():
    hu = np.arange(4, dtype=np.int16)[:, None, None] * np.ones((4, 2, 2), np.int16) * 100
    stack = settle(CTVolume(hu, (1.5, 1.0, 1.0)), preset="nlst-de-vos-2017").stack
    assert (stack.spacing_mm[0], stack.n_slices) == (1.5, 4)
    slices = averaged_slices(stack, np.arange(4), slice(0, 2), slice(0, 1))
    # A slab of 3 mm holds the whole slice in its middle and half of each neighbour; at the ends one is missing.
    np.testing.assert_array_equal(slices[:, 0, 0], [33, 100, 200, 267])
    assert slices.shape == (4, 2, 1)


def test_small_pixels_are_kept_and_a_box_that_does_not_fit_is_enlarged():
    ct, box = a_ct((20, 60, 60, 400)), HeartBox((30, 30, 30), (90, 89, 89))
    stack = settle(ct, preset="nlst-de-vos-2017").stack
    own = cut_slices(ct, stack, box, 64)
    assert own.grid.spacing_mm == (1.5, 1.0, 1.0)
    assert own.hu.shape[1:] == (60, 60)
    assert own.grid.offset_mm[1:] == (30, 30)
    fitted = cut_slices(ct, stack, box, 30)
    assert fitted.grid.spacing_mm == (1.5, 2.0, 2.0)
    assert fitted.hu.shape[1:] == (30, 30)
    bright = np.argwhere(fitted.hu > 130).mean(axis=0) * fitted.grid.spacing_mm + fitted.grid.offset_mm
    np.testing.assert_allclose(bright[1:], (60.5, 60.5), atol=1.0)


def test_slices_lie_in_the_middle_of_zeros():
    out, before = on_canvas(np.ones((2, 3, 5), np.float32), 8)
    assert out.shape == (2, 8, 8)
    assert before == (2, 1)
    assert out.sum() == 30
    assert out[0, 2:5, 1:6].all()


@pytest.mark.parametrize(("kvp", "hu"), [(120, 130), (80, 177), (None, 130)])
def test_the_threshold_is_the_same_number_at_every_tube_voltage(kvp, hu):
    factor = kvp_factor(a_ct(kvp=kvp))
    assert network_units(np.array([hu]), factor)[0] == pytest.approx(1.65)
    np.testing.assert_allclose(network_units(np.array([-1000, -200, 900]), 1.0), [0, 0, 5.1])


def test_totals_are_the_sums_over_the_slices_of_the_box(a_bundle):
    out = predict_slice_regression(a_ct((20, 60, 60, 380), (2, 12, 12, 900)), bundle=a_bundle, networks=ORACLE)
    # Slabs every 1.5 mm lie off the slices of 3 mm: two hold 3/4 of the lesion (295 HU), two 1/4 (125 HU).
    assert out.slice_agatston.max() == 4
    assert out.agatston == out.slice_agatston.sum() == 8
    assert out.volume_mm3 == 8
    assert np.diff(out.slice_z_mm) == pytest.approx(1.5)
    np.testing.assert_allclose(out.slice_z_mm[out.slice_agatston > 0].mean(), 60.0)
    assert out.category == "1-10"
    assert out.risk()["spect-pet-4"] == ">0-100"
    assert out.labels is None


def test_slices_that_score_less_than_the_smallest_lesion_hold_no_calcium():
    smallest, thickness = get_preset(PRESET).minimum_volume_mm3, get_preset(PRESET).resample_mm[0]
    assert {"agatston": smallest / thickness, "volume": smallest} == LEAST_SCORE
    output = torch.tensor([-1.0, 0.1, 0.49, 0.5, 1.49, 1.5, 40.0])
    assert slice_scores(output, CountsBright(), "agatston").tolist() == pytest.approx([0, 0, 0, 0.5, 1.49, 1.5, 40])
    assert slice_scores(output, CountsBright(), "volume").tolist() == pytest.approx([0, 0, 0, 0, 0, 1.5, 40])


def test_scores_are_multiplied_by_what_the_bundle_says_before_little_counts_as_nothing(tmp_path, a_bundle):
    settings = {"method": "slice-regression", "factors": {"agatston": 2.0, "volume": 0.3}}
    scaled = write_bundle(tmp_path / "scaled", {}, settings=settings, metadata={}, card="", licence="")
    ct = a_ct((20, 60, 60, 380))
    plain, out = (predict_slice_regression(ct, bundle=b, networks=ORACLE) for b in (a_bundle, scaled))
    assert out.agatston == 2 * plain.agatston == 16
    assert plain.slice_volume_mm3.max() == 4
    assert out.volume_mm3 == 0  # 1.2 mm3 a slice are less than the smallest lesion


def test_attention_comes_back_on_the_cts_grid_and_lies_on_the_lesion(a_bundle):
    ct = a_ct((20, 50, 70, 400))
    out = predict_slice_regression(ct, bundle=a_bundle, networks=ORACLE)
    volume = out.attention.on_ct(ct.shape, ct.spacing_mm)
    assert volume.shape == ct.shape
    peak = np.unravel_index(volume.argmax(), volume.shape)
    np.testing.assert_allclose(peak, (20, 50.5, 70.5), atol=2.5)
    assert volume[:8].max() == 0
    quiet = predict_slice_regression(ct, bundle=a_bundle, networks=ORACLE, attention=False)
    assert quiet.attention is None
    assert quiet.agatston == out.agatston


def test_cells_of_the_attention_lie_where_their_pixels_do():
    values = np.zeros((1, 2, 2), np.float32)
    values[0, 1, 0] = 1
    attention = AttentionMap(values, Grid((3.0, 4.0, 4.0), (0.0, 1.5, 1.5), (1, 2, 2)))
    volume = attention.on_ct((1, 8, 8), (3.0, 1.0, 1.0))
    assert volume[0, 6:, :2].min() == 1
    assert volume[0, :2].max() == 0


def test_review_is_asked_for_where_the_category_is_in_doubt(a_bundle):
    clear = predict_slice_regression(a_ct((20, 60, 60, 400)), bundle=a_bundle, networks=ORACLE)
    assert sum(clear.category_probability.values()) == pytest.approx(1.0)
    doubtful = clear.category_probability[clear.category] < 0.9
    assert clear.needs_review is doubtful
    probability = spread_probability(9.0, 0.2, "screening-5")
    # (ln 11 - ln 10) / 0.2 = 0.477: the normal distribution has 0.683 below.
    assert probability["1-10"] == pytest.approx(0.683, abs=0.001)


def test_without_a_measured_spread_nothing_is_said_about_review(tmp_path):
    settings = {"method": "slice-regression"}
    bundle = write_bundle(tmp_path / "plain", {}, settings=settings, metadata={}, card="", licence="")
    out = predict_slice_regression(a_ct(), bundle=bundle, networks=ORACLE)
    assert (out.needs_review, out.category_probability) == (None, {})
    assert (out.agatston, out.category) == (0.0, "<1")


@pytest.mark.parametrize(("increment", "thickness", "codes"), [(3.0, None, []), (5.0, None, 1), (2.5, 3.75, 1)])
def test_thick_slices_are_warned_of(a_bundle, increment, thickness, codes):
    ct = a_ct(spacing=(increment, 1.0, 1.0), thickness=thickness)
    out = predict_slice_regression(ct, bundle=a_bundle, networks=ORACLE)
    assert [f.code for f in out.findings] == (["slices-too-thick"] if codes else [])


def test_progress_rises_to_one_and_cancelling_stops(a_bundle):
    seen = []
    predict_slice_regression(a_ct(), bundle=a_bundle, networks=ORACLE, progress=lambda f, _: seen.append(f))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    with pytest.raises(CancelledError):
        predict_slice_regression(a_ct(), bundle=a_bundle, networks=ORACLE, cancelled=lambda: True)


def test_a_total_below_one_counts_as_no_calcium_in_every_scheme():
    out = ScorePrediction("m", "", "", "screening-5", category="<1", agatston=0.6)
    assert out.risk()["spect-pet-4"] == out.risk()["nguyen-6"] == "0"
    assert out.as_dict()["agatston"] == 0.6


def test_the_weights_of_one_network_are_taken_out_of_a_bundle():
    assert part_of({"a.x": 1, "ab.x": 2, "a.y.z": 3}, "a") == {"x": 1, "y.z": 3}
