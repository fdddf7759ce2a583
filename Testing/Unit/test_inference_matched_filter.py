from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from CACScoringLib.inference.matched_filter import SPOTS, UNKNOWN_NOISE_HU, matched_filter

SPACING = np.array([3.0, 1.0, 1.0])


def ct_noise(sd=20.0, seed=0, shape=(24, 96, 96)):
    """Blood of 45 HU in noise without low frequencies, as CT's is: a difference of two blurred white noises."""
    white = np.random.default_rng(seed).standard_normal(shape)
    band = ndimage.gaussian_filter(white, (0.4, 0.7, 0.7)) - ndimage.gaussian_filter(white, (0.4, 2.0, 2.0))
    return (45.0 + sd * band / band.std()).astype(np.float32)


def spot(shape, place, height, sd=1.2):
    """A blurred spot: Gaussian in the slice, with a third of its height in the slices beside it."""
    z, y, x = np.indices(shape)
    bell = np.exp(-((y - place[1]) ** 2 + (x - place[2]) ** 2) / (2 * sd**2))
    return (height * bell * np.choose(np.minimum(abs(z - place[0]), 2), (1.0, 0.3, 0.0))).astype(np.float32)


def tops_of_noise(hu, count=40):
    """The brightest local maxima, away from the border."""
    inner = hu[2:-2, 8:-8, 8:-8]
    tops = np.argwhere(inner == ndimage.maximum_filter(inner, 5))
    order = np.argsort(-inner[tuple(tops.T)])[:count]
    return tops[order] + (2, 8, 8)


def test_noise_answers_with_a_standard_deviation_of_one():
    hu = ct_noise()
    find = matched_filter(hu, SPACING)
    places = np.random.default_rng(1).integers((2, 10, 10), (22, 86, 86), size=(3000, 3))
    answer = find(places)
    assert answer.shape == (3000, len(SPOTS))
    assert answer.std(axis=0) == pytest.approx(np.ones(len(SPOTS)), rel=0.15)


def test_the_noise_is_measured():
    find = matched_filter(ct_noise(sd=30.0), SPACING)
    assert find.noise_hu == pytest.approx(30.0, rel=0.05)
    along_x, along_y, to_next, two_x, two_y = find.correlation
    assert along_x == pytest.approx(along_y, abs=0.05)
    assert two_x == pytest.approx(two_y, abs=0.05)
    assert along_x > 0.3 > to_next > two_x


def test_a_spot_no_brighter_than_noise_answers_better_than_any_noise():
    hu = ct_noise()
    noise = matched_filter(hu, SPACING)(tops_of_noise(hu))[:, 1]
    brightest = hu[tuple(tops_of_noise(hu)[0])]
    place = (12, 48, 48)
    with_spot = hu + spot(hu.shape, place, brightest - hu[place])
    assert with_spot[place] == pytest.approx(brightest)
    (answer,) = matched_filter(with_spot, SPACING)(np.array([place]))
    assert answer[1] > noise.max()


def test_filters_answer_best_to_their_own_form():
    clean = np.full((9, 41, 41), 45.0, np.float32)
    hu = ct_noise()
    find = matched_filter(hu, SPACING)
    for n, (sd, share) in enumerate(SPOTS[:3]):
        shown = spot(clean.shape, (4, 20, 20), 100.0, sd)
        shown[[3, 5]] = share * shown[4]
        answer = (shown[tuple((np.array([4, 20, 20]) + find.offsets).T)]) @ find.weights.T
        assert np.argmax(answer[:3]) == n


@pytest.mark.parametrize("hu", [np.full((2, 30, 30), 45.0), np.full((9, 30, 30), -900.0), np.full((9, 5, 5), 45.0)])
def test_without_soft_tissue_the_noise_is_taken_for_white(hu):
    find = matched_filter(hu.astype(np.float32), SPACING)
    assert find.noise_hu == pytest.approx(UNKNOWN_NOISE_HU)
    assert find.correlation == pytest.approx(np.zeros(5))
    assert find(np.array([[0, 0, 0], [1, 4, 4]])) == pytest.approx(np.zeros((2, len(SPOTS))), abs=1e-9)


def test_steps_are_about_a_millimetre_where_pixels_are_smaller():
    fine = matched_filter(ct_noise(), np.array([3.0, 0.4, 0.4]))
    coarse = matched_filter(ct_noise(), SPACING)
    assert fine.offsets.max(axis=0).tolist() == [1, 8, 8]
    assert coarse.offsets.max(axis=0).tolist() == [1, 4, 4]
