from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from ball_heart import SPACING, BallFinder
from ball_heart import a_ct as a_ct_of

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.windows import CancelledError
from CACScoringLib.methods.convlstm import as_branches, predict_convlstm
from CACScoringLib.models import write_bundle
from CACScoringLib.networks.convlstm import ConvLSTMConfig, ConvLSTMNet
from CACScoringLib.vocabulary import NonCoronary, Vessel

SMALL = ConvLSTMConfig(channels=(8, 16, 16))
a_ct = partial(a_ct_of, kvp=None)


class OracleSlices:
    """Takes candidates for RCA in the left half of the plane, else for non-coronary; keeps what it was shown."""

    def __init__(self):
        self.seen = None

    def at_pixels(self, x, index):
        self.seen = x.numpy()
        left = index[:, 3] < x.shape[-1] // 2
        mask, vessel = torch.zeros(len(index), 3), torch.zeros(len(index), 4)
        mask[left, 1], mask[~left, 2], vessel[:, 3] = 9.0, 9.0, 9.0
        return {"mask": mask, "vessel": vessel}


@pytest.fixture
def a_bundle(tmp_path):
    torch.manual_seed(0)
    return write_bundle(
        tmp_path / "slices",
        ConvLSTMNet(SMALL).state_dict(),
        settings={"method": "convlstm", "network": SMALL.as_dict()},
        metadata={"version": "0"},
        card="",
        licence="",
    )


def run(ct, bundle, **options):
    return predict_convlstm(ct, bundle=bundle, heart_network=BallFinder(), **({"network": OracleSlices()} | options))


def test_lesions_are_labelled_on_the_cts_own_voxels_and_only_near_the_heart(a_bundle):
    out = run(a_ct((22, 60, 44, 300), (20, 70, 98, 250), (22, 17, 17, 900)), a_bundle)
    rca, other = (np.argwhere(out.labels == v) for v in (Vessel.RCA, NonCoronary.OTHER))
    assert set(map(tuple, rca)) == {(22, y, x) for y in (60, 61) for x in (44, 45)}
    assert set(map(tuple, other)) == {(20, y, x) for y in (70, 71) for x in (98, 99)}
    assert np.count_nonzero(out.labels) == 8
    assert out.lesion_index.max() == len(out.lesion_probability) == 2
    assert (out.lesion_probability > 0.99).all()


def test_what_lies_below_the_threshold_is_never_labelled(a_bundle):
    assert run(a_ct((22, 60, 44, 129)), a_bundle).labels.max() == 0
    assert np.count_nonzero(run(a_ct((22, 60, 44, 129)), a_bundle, threshold_hu=120).labels) == 4


def test_a_lesion_over_several_slices_gets_one_label(a_bundle):
    # Columns 66 to 69 lie in the half that the oracle calls RCA, 70 in the other: 6 of 42 mm3 are too few for a part of
    # its own.
    ct = a_ct((22, 60, 66, 300), (22, 60, 68, 300), (23, 60, 68, 300), (23, 60, 69, 300))
    assert set(np.unique(run(ct, a_bundle).labels)) == {0, int(Vessel.RCA)}


def test_the_network_sees_the_slices_from_the_feet_up(a_bundle):
    oracle = OracleSlices()
    run(a_ct((18, 70, 50, 200), (25, 70, 50, 400)), a_bundle, network=oracle)
    assert oracle.seen.shape[0] == 1
    assert oracle.seen.shape[2:] == (12, 128, 128)
    peak = oracle.seen[0, :, 1].max(axis=(1, 2))
    low, high = np.flatnonzero(peak)
    assert high - low == 7
    assert (peak[low], peak[high]) == (pytest.approx(0.5), pytest.approx(1.0))


def test_the_heart_is_shown_to_the_network(a_bundle):
    oracle = OracleSlices()
    run(a_ct((22, 60, 44, 300)), a_bundle, network=oracle)
    middle = oracle.seen[0, oracle.seen.shape[1] // 2]
    assert middle[5, 64, 64] > 0.99
    assert middle[5, 2, 2] < 0.01


def test_the_prediction_says_which_weights_were_used_and_how_long_it_took(a_bundle):
    out = run(a_ct(), a_bundle)
    assert (out.method, out.model_id, out.model_sha256) == ("convlstm", "slices", a_bundle.sha256)
    assert set(out.timings_s) == {"heart", "candidates", "calcium"}
    assert out.structures.max() == 1
    assert out.uncertainty is None


def test_a_scan_without_a_heart_is_said_to_have_none(a_bundle):
    out = run(CTVolume(np.full((30, 80, 80), -1000, np.int16), SPACING), a_bundle)
    assert [f.code for f in out.findings] == ["heart-not-found"]
    assert out.labels.max() == 0


def test_somebody_else_may_find_the_heart(a_bundle):
    def heart(ct, hu, coarse, network):
        out = np.zeros((8, *coarse.shape), np.float32)
        out[0] = 0.5
        out[1, :, :, : coarse.shape[2] // 2] = 0.9
        return out

    # The heart is said to be the left half: a lesion far in the right half is none of it.
    out = run(a_ct((22, 60, 44, 300), (22, 70, 98, 250)), a_bundle, heart=heart)
    assert set(np.unique(out.labels)) == {0, int(Vessel.RCA)}


def test_progress_rises_to_one(a_bundle):
    seen = []
    run(a_ct((22, 60, 44, 300)), a_bundle, progress=lambda fraction, text: seen.append(fraction))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)


def test_cancelling_stops_before_the_end(a_bundle):
    calls = []
    with pytest.raises(CancelledError):
        run(a_ct(), a_bundle, cancelled=lambda: len(calls) > 0 or bool(calls.append(1)))


def test_the_bundles_own_network_runs(a_bundle):
    ct = a_ct((22, 60, 44, 300))
    out = run(ct, a_bundle, network=None)
    assert set(np.unique(out.labels)) <= {0, 1, 2, 3, 4, 14}
    assert not np.any(out.labels[ct.hu < 130])


def test_masks_become_the_rows_that_a_lesion_is_decided_by():
    mask = np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]], np.float32)
    vessel = np.array([[0.1, 0.2, 0.3, 0.4], [1.0, 0.0, 0.0, 0.0]], np.float32)
    calcium, other = as_branches(mask, vessel)
    np.testing.assert_allclose(calcium, [[0.5, 0.05, 0.1, 0.15, 0.2], [0, 1, 0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(other, [[0.4, 0, 0, 0, 0.6], [1, 0, 0, 0, 0]], atol=1e-6)
