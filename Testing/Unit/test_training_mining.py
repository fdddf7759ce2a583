from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from CACScoringLib.training.labels import LEFT_MAIN_OR_LAD
from CACScoringLib.training.loop import Batch, Trainer, TrainingSettings, costs
from CACScoringLib.training.mining import MOST, UNSEEN, HardExamples
from CACScoringLib.training.sampling import coarse_patch, fine_patch, fine_patch_at
from Testing.Unit.test_training_loop import a_case  # noqa: F401


def test_a_candidate_is_drawn_in_proportion_to_what_it_cost(a_case):  # noqa: F811
    hard = HardExamples([a_case])
    lesions = np.flatnonzero(a_case.size >= 8)
    assert len(lesions) < len(a_case.cell)
    assert hard.loss[0].tolist() == [UNSEEN] * len(a_case.cell)
    aorta = np.flatnonzero(a_case.label == 11)
    for _ in range(30):
        hard.learn(0, np.arange(len(a_case.cell)), np.zeros(len(a_case.cell)))
    hard.learn(0, aorta, np.full(len(aorta), 2.0, np.float32))
    drawn = {tuple(hard.draw(0, np.random.default_rng(n))) for n in range(40)}
    assert drawn <= {tuple(cell) for cell in a_case.cell[aorta]}
    assert len(drawn) > 5


def test_the_loss_is_remembered_by_halves_and_bounded(a_case):  # noqa: F811
    hard = HardExamples([a_case])
    hard.learn(0, np.array([1, 2]), np.array([0.0, 100.0], np.float32))
    assert hard.loss[0][:3].tolist() == [UNSEEN, 0.5, 0.5 + MOST / 2]
    other = HardExamples([a_case])
    other.restore(hard.loss)
    assert other.loss[0].tolist() == hard.loss[0].tolist()
    other.restore([np.zeros(3)])
    assert other.loss[0].tolist() == hard.loss[0].tolist()


def test_costs_belong_to_the_cells_of_their_case(a_case):  # noqa: F811
    rng = np.random.default_rng(0)
    patches = [fine_patch_at(a_case, np.array(start), None) for start in ((2, 3, 4), (0, 10, 0))]
    coarse = [coarse_patch(a_case, rng) for _ in patches]
    batch = Batch([0, 0], coarse, patches, np.zeros((2, 3)), np.zeros(2, bool), np.zeros(3, int))
    weight, label = (np.stack([getattr(p, name) for p in patches]) for name in ("weight", "label"))
    here = np.argwhere(weight > 0)
    truth = label[tuple(here.T)].astype(np.int64)
    chance = torch.full((len(here), 5), 0.1)
    chance[:, 2] = 0.6
    for (case, cells, loss), patch in zip(costs(batch, here, truth, chance.log()), patches, strict=True):
        assert case == 0
        np.testing.assert_array_equal(
            a_case.cell[cells] - patch.place, np.tile(a_case.cell[cells[0]] - patch.place[0], (len(cells), 1))
        )
        expected = np.where(a_case.label[cells] == 2, -math.log(0.6), -math.log(0.1))
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
    either = costs(batch, here, np.full(len(here), LEFT_MAIN_OR_LAD), chance.log())
    np.testing.assert_allclose(either[0][2], -math.log(0.7), rtol=1e-5)


def test_a_patch_can_be_asked_for(a_case):  # noqa: F811
    about = a_case.cell[np.flatnonzero(a_case.label == 11)[0]]
    for seed in range(5):
        patch = fine_patch(a_case, np.random.default_rng(seed), about=about)
        assert (patch.label == 11).any()


def test_a_stopped_run_draws_the_same_hard_examples(a_case, tmp_path):  # noqa: F811
    def trainer(folder):
        settings = TrainingSettings(
            steps=4, patients_per_step=1, warmup_steps=1, checkpoint_every=1, hard_share=1.0, learning_rate=1e-4
        )
        return Trainer([a_case], [[0]], settings, tmp_path / folder)

    def stop(step, losses):
        if step == 3:
            raise KeyboardInterrupt

    whole, first, second = trainer("whole"), trainer("parts"), trainer("parts")
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        first.run(stop)
    assert second.resume()
    assert second.step == 2
    second.run()
    np.testing.assert_allclose(second.hard.loss[0], whole.hard.loss[0], rtol=1e-3)
    assert (whole.hard.loss[0] != UNSEEN).any()
