from __future__ import annotations

import numpy as np
import pytest
import torch

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.methods.score_prediction import HeartBox
from CACScoringLib.methods.six_class import (
    Aggregation,
    SixClassNetworks,
    aggregate,
    cut_field,
    predict_six_class,
    scored_stack,
    slice_centers_mm,
)
from CACScoringLib.models import write_bundle
from CACScoringLib.networks.axis_localiser import LocaliserConfig
from CACScoringLib.networks.six_class import SixClassConfig, SixClassNet

TINY = SixClassConfig(size=64, filters=(4, 6), cells=4, dense=8)
MEANS = (0.0, 5.0, 40.0, 150.0, 500.0, 1500.0)


def a_ct(*lesions, increment=3.0):
    """A ball of a heart, 40 mm wide, in fat, in air; lesions are (z, y, x, HU) of 2x2 pixels."""
    hu = np.full((20, 60, 60), -1000, np.int16)
    hu[:, 4:56, 4:56] = -95
    z, y, x = np.ogrid[:20, :60, :60]
    hu[((z - 10) * increment) ** 2 + (y - 30.0) ** 2 + (x - 30.0) ** 2 < 20**2] = 40
    for k, j, i, value in lesions:
        hu[k, j : j + 2, i : i + 2] = value
    return CTVolume(hu, (increment, 1.0, 1.0))


class BrightSlices(torch.nn.Module):
    """Sees a heart where anything in the slice is brighter than 0 HU (0.4 in the localisers' input)."""

    config = LocaliserConfig()

    def __init__(self):
        super().__init__()
        self.axes = {axis: lambda x: (x.amax(dim=(1, 2, 3)) - 0.4) * 100 for axis in "zyx"}


class BrightIsTwo:
    """Category 2 for a slice with anything above 300 HU (2.5 in network units), else 0."""

    config = TINY

    def __call__(self, x):
        bright = x.amax(dim=(1, 2, 3)) > 2.5
        return 9.0 * torch.nn.functional.one_hot(torch.where(bright, 2, 0), 6).float()


ORACLE = SixClassNetworks(BrightSlices(), BrightIsTwo())


def a_bundle(tmp_path, **settings):
    settings = {"method": "six-class", **settings}
    return write_bundle(tmp_path / "bright", {}, settings=settings, metadata={}, card="", licence="")


def test_the_network_is_that_of_the_paper():
    network = SixClassNet()
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [32, 64, 128, 256, 512]
    assert {c.kernel_size for c in convolutions} == {(3, 3)}
    assert [m.out_features for m in network.modules() if isinstance(m, torch.nn.Linear)] == [512, 6]
    assert [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)] == [0.3]
    assert sum(isinstance(m, torch.nn.MaxPool2d) for m in network.modules()) == 5


def test_the_weights_stay_below_8_mb():
    assert sum(p.numel() for p in SixClassNet().parameters()) * 2 < 8 * 2**20


def test_a_size_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="multiple of 96"):
        SixClassConfig(size=100)
    assert SixClassConfig.from_dict(SixClassConfig().as_dict()) == SixClassConfig()


def test_thin_slices_are_averaged_and_others_taken_as_they_are():
    assert scored_stack(a_ct(increment=3.0)).first is None
    assert scored_stack(a_ct(increment=2.5)).spacing_mm[0] == 2.5
    thin = scored_stack(a_ct(increment=1.0))
    assert (thin.spacing_mm[0], thin.n_slices) == (3.0, 7)
    np.testing.assert_allclose(slice_centers_mm(thin)[1] - slice_centers_mm(thin)[0], 3.0)


def test_the_field_lies_round_the_middle_of_the_box():
    ct = a_ct((10, 30, 40, 900))
    hu, number = cut_field(ct, scored_stack(ct), HeartBox((25, 20, 20), (35, 40, 40)), 32)
    np.testing.assert_array_equal(number, [7, 8, 9, 10, 11, 12, 13])
    assert hu.shape == (7, 32, 32)
    # The middle is 30; pixels run from 14.5 to 45.5, so the lesion at 30 to 31, 40 to 41 lies at 16, 26.
    np.testing.assert_allclose(np.argwhere(hu[3] > 500).mean(axis=0), (16, 26), atol=0.6)


def test_the_papers_labelling_averages_the_slices():
    probability = np.array([[0.6, 0, 0.4, 0, 0, 0], [0.1, 0, 0.9, 0, 0, 0], [0.5, 0.5, 0, 0, 0, 0]])
    category, share, total = aggregate(probability, Aggregation("patient"))
    np.testing.assert_allclose(share, [0.4, 0.5 / 3, 1.3 / 3, 0, 0, 0])
    assert (category, total) == (2, None)


def test_slice_wise_labels_add_up_expected_scores():
    probability = np.array([[0, 0, 1, 0, 0, 0], [0, 0.5, 0.5, 0, 0, 0], [0.9, 0, 0, 0, 0, 0.1], [0, 0, 1, 0, 0, 0]])
    category, share, total = aggregate(probability, Aggregation("slice", MEANS))
    # 40 + 22.5 + 0 (more likely without calcium) + 40.
    assert total == pytest.approx(102.5)
    assert category == 3
    np.testing.assert_array_equal(share, np.eye(6)[3])
    assert aggregate(np.eye(6)[[0, 0]], Aggregation("slice", MEANS))[0] == 0
    assert aggregate(probability, Aggregation("slice", MEANS, calcified_from=1.1))[2] == 0
    everything = aggregate(probability, Aggregation("slice", MEANS, calcified_from=0.0))[2]
    assert everything == pytest.approx(102.5 + 0.1 * MEANS[5])


def test_the_aggregation_is_read_from_a_bundle_and_older_ones_count_from_one_half():
    assert Aggregation.from_bundle({"labelling": "patient", "slice_agatston": []}) == Aggregation("patient")
    settings = {"labelling": "slice", "slice_agatston": list(MEANS), "calcified_from": 0.7}
    assert Aggregation.from_bundle(settings) == Aggregation("slice", MEANS, 0.7)


def test_unknown_labellings_and_missing_means_are_refused():
    with pytest.raises(ValueError, match="patient, slice"):
        Aggregation("voxel")
    with pytest.raises(ValueError, match="6 mean scores"):
        Aggregation("slice")


def test_the_patient_category_comes_with_those_of_the_slices(tmp_path):
    bundle = a_bundle(tmp_path, labelling="slice", slice_agatston=list(MEANS))
    ct = a_ct((9, 30, 40, 900), (10, 30, 40, 900), (11, 30, 40, 900))
    out = predict_six_class(ct, bundle=bundle, networks=ORACLE)
    np.testing.assert_allclose(out.slice_z_mm[out.slice_category_probability.argmax(axis=1) == 2], [27, 30, 33])
    assert out.agatston == pytest.approx(3 * 40, rel=1e-2)
    assert (out.category, out.scheme, out.needs_review) == (">100-400", "nguyen-6", None)
    assert out.labels is None
    assert out.category_probability == {}


def test_the_papers_labelling_gives_probabilities_and_asks_for_review_in_doubt(tmp_path):
    bundle = a_bundle(tmp_path, labelling="patient", review_below=0.95)
    ct = a_ct((9, 30, 40, 900))
    out = predict_six_class(ct, bundle=bundle, networks=ORACLE)
    assert out.category == "0"
    assert sum(out.category_probability.values()) == pytest.approx(1.0)
    assert out.needs_review is True
    assert predict_six_class(a_ct(), bundle=bundle, networks=ORACLE).needs_review is False
    assert out.risk() == {"nguyen-6": "0", "spect-pet-4": "0", "clinical-5": "0", "nlst-visual-4": "0"}


def test_a_scan_without_a_heart_has_no_category(tmp_path):
    bundle = a_bundle(tmp_path, labelling="patient")
    out = predict_six_class(
        CTVolume(np.full((9, 40, 40), -1000, np.int16), (3.0, 1.0, 1.0)), bundle=bundle, networks=ORACLE
    )
    assert [f.code for f in out.findings] == ["heart-not-found"]
    assert (out.category, out.needs_review) == (None, True)


def test_progress_rises_to_one(tmp_path):
    seen = []
    bundle = a_bundle(tmp_path, labelling="patient")
    predict_six_class(a_ct(), bundle=bundle, networks=ORACLE, progress=lambda f, _: seen.append(f))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
