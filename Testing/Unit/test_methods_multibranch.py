from __future__ import annotations

import numpy as np
import pytest
import torch
from ball_heart import SPACING, BallFinder, a_ct

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.windows import CancelledError
from CACScoringLib.methods import available, predict
from CACScoringLib.methods.multibranch_unet import predict_multibranch
from CACScoringLib.methods.registry import candidate_threshold
from CACScoringLib.models import ModelError, write_bundle


class OracleNetwork(BallFinder):
    """Takes a candidate in the left half of the heart for LAD, else for aorta."""

    def at_voxels(self, x, index):
        n, z, y, column = index.unbind(1)
        middle = x[n, 4, z, y, column] > 2
        calcium = torch.zeros(len(index), 5)
        lad = (column < 32) & ~middle
        calcium[lad, 2], calcium[~lad, 0] = 9.0, 9.0
        other = torch.zeros(len(index), 5)
        other[:, 1] = 9.0
        return {"calcium": calcium, "non_coronary": other, "artery": torch.zeros(len(index), 5)}


@pytest.fixture
def a_bundle(tmp_path):
    return write_bundle(
        tmp_path / "oracle",
        {"nothing": torch.zeros(1)},
        settings={"method": "multibranch-unet", "network": {"in_channels": 11, "channels": [16, 32, 64, 128]}},
        metadata={"version": "0"},
        card="",
        licence="",
    )


def run(ct, bundle, **options):
    return predict_multibranch(ct, bundle=bundle, network=OracleNetwork(), **options)


def test_lesions_are_labelled_on_the_cts_own_voxels_and_only_near_the_heart(a_bundle):
    ct = a_ct((22, 60, 44, 300), (22, 70, 98, 250), (22, 17, 17, 900))
    out = run(ct, a_bundle)
    assert set(map(tuple, np.argwhere(out.labels == 2))) == {(22, y, x) for y in (60, 61) for x in (44, 45)}
    assert set(map(tuple, np.argwhere(out.labels == 11))) == {(22, y, x) for y in (70, 71) for x in (98, 99)}
    assert np.count_nonzero(out.labels) == 8
    assert out.lesion_index.max() == len(out.lesion_probability) == 2
    assert (out.lesion_probability > 0.99).all()


def test_what_lies_below_the_threshold_is_never_labelled(a_bundle):
    out = run(a_ct((22, 60, 44, 129)), a_bundle)
    assert out.labels.max() == 0
    assert len(out.lesion_probability) == 0
    assert np.count_nonzero(run(a_ct((22, 60, 44, 129)), a_bundle, threshold_hu=120).labels) == 4


def test_the_prediction_says_which_weights_were_used_and_how_long_it_took(a_bundle):
    out = run(a_ct(), a_bundle)
    assert (out.model_id, out.model_sha256) == ("oracle", a_bundle.sha256)
    assert set(out.timings_s) == {"heart", "candidates", "calcium"}
    assert out.structures.max() == 1


def test_a_scan_without_a_heart_is_said_to_have_none(a_bundle):
    ct = CTVolume(np.full((30, 80, 80), -1000, np.int16), SPACING)
    out = run(ct, a_bundle)
    assert [f.code for f in out.findings] == ["heart-not-found"]
    assert out.labels.max() == 0


def test_a_corner_of_a_heart_gets_a_warning(a_bundle):
    whole = a_ct()
    cut = CTVolume(whole.hu[28:], SPACING)
    assert [f.code for f in run(cut, a_bundle).findings] == ["heart-incomplete"]
    assert run(whole, a_bundle).findings == ()


def test_progress_rises_to_one(a_bundle):
    seen = []
    run(a_ct((22, 60, 44, 300)), a_bundle, progress=lambda fraction, text: seen.append(fraction))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)


def test_cancelling_stops_before_the_end(a_bundle):
    calls = []
    with pytest.raises(CancelledError):
        run(a_ct(), a_bundle, cancelled=lambda: len(calls) > 0 or bool(calls.append(1)))


def test_unknown_methods_and_models_of_other_methods_are_refused(tmp_path):
    with pytest.raises(ModelError, match="choose one of multibranch-unet"):
        predict(a_ct(), "no-such-method")
    other = write_bundle(tmp_path / "other", {}, settings={"method": "convlstm"}, metadata={}, card="", licence="")
    with pytest.raises(ModelError, match="belongs to method 'convlstm'"):
        predict(a_ct(), model=other.folder)


@pytest.mark.parametrize(("kvp", "threshold"), [(None, 130), (120, 130), (100, 130), (135, 119)])
def test_candidates_start_at_the_lowest_threshold_that_can_count(kvp, threshold):
    assert candidate_threshold(a_ct(kvp=kvp)) == threshold


def test_the_default_method_is_listed():
    assert available()[0].name == "multibranch-unet"
