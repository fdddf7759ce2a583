from __future__ import annotations

import numpy as np
import pytest
import torch

from CACScoringLib.inference.windows import (
    CancelledError,
    cut_windows,
    plan_windows,
    run_at_cells,
    run_windows,
    window_starts,
)


def identity(tensor):
    """Logits whose softmax is the input: class 1 has probability x[0]."""
    p = tensor[:, :1].clamp(1e-4, 1 - 1e-4)
    return torch.cat((torch.log(1 - p), torch.log(p)), dim=1)


def at_voxels(tensor, index):
    n, z, y, x = index.unbind(1)
    return {"calcium": identity(tensor)[n, :, z, y, x]}


@pytest.mark.parametrize("length", [10, 64, 65, 100, 128, 300])
def test_windows_cover_every_voxel(length):
    starts = window_starts(length)
    covered = np.zeros(max(length, 64), int)
    for s in starts:
        covered[s : s + 64] += 1
    assert covered[:length].min() >= 1
    assert starts[-1] + 64 == max(length, 64)


def test_windows_without_a_wanted_voxel_are_not_run():
    wanted = np.zeros((64, 64, 200), bool)
    wanted[10, 10, 199] = True
    corners = plan_windows(wanted.shape, wanted)
    assert corners == [(0, 0, 136)]
    assert plan_windows((64, 200, 200), np.pad(np.ones((9, 60, 40), bool), ((20, 35), (90, 50), (100, 60)))) == [
        (0, 86, 96),
        (0, 90, 96),
    ]
    assert plan_windows(wanted.shape, np.zeros_like(wanted)) == []


def test_blended_windows_return_what_the_network_says_at_every_voxel():
    rng = np.random.default_rng(1)
    channels = rng.uniform(0.05, 0.95, (1, 20, 70, 110)).astype(np.float32)
    out = run_windows(channels, plan_windows(channels.shape[1:]), identity, 2, fill=[0.5])
    np.testing.assert_allclose(out[1], channels[0], atol=1e-4)
    np.testing.assert_allclose(out.sum(axis=0), 1.0, atol=1e-4)


def test_voxels_that_several_windows_see_are_blended_and_each_is_read_at_its_own_place():
    rng = np.random.default_rng(2)
    channels = rng.uniform(0.05, 0.95, (1, 20, 70, 110)).astype(np.float32)
    cells = np.column_stack([rng.integers(0, n, 200) for n in channels.shape[1:]])
    out = run_at_cells(channels, plan_windows(channels.shape[1:]), at_voxels, cells, {"calcium": 2}, fill=[0.5])
    np.testing.assert_allclose(out["calcium"][:, 1], channels[0][tuple(cells.T)], atol=1e-4)


def test_a_processor_is_never_given_a_single_window():
    channels = np.ones((1, 64, 64, 200), np.float32)
    corners = [(0, 0, 0), (0, 0, 64), (0, 0, 136)]
    batches = list(cut_windows(channels, corners, [0.5]))
    assert [batch for batch, _ in batches] == [corners[:2], corners[2:]]
    assert [tuple(tensor.shape) for _, tensor in batches] == [(2, 1, 64, 64, 64)] * 2
    assert (batches[1][1][1] == 0.5).all()  # nothing but the fill


def test_the_tick_can_stop_the_run():
    def stop():
        raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        run_windows(np.zeros((1, 8, 8, 8), np.float32), [(0, 0, 0)], identity, 2, fill=[0], tick=stop)
