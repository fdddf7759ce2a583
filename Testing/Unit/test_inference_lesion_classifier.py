from __future__ import annotations

import numpy as np
import pytest

from CACScoringLib.inference.candidates import Candidates
from CACScoringLib.inference.lesion_classifier import LesionClassifier, second_look, with_island_probability
from CACScoringLib.inference.lesion_features import FEATURES

PEAK, SIZE = FEATURES.index("peak"), FEATURES.index("size")


def a_tree(**changes):
    """Two trees: a stump on the peak, and one that asks for the size where the peak is high. Start: even odds."""
    arrays = {
        "feature": np.array([PEAK, -1, -1, PEAK, -1, SIZE, -1, -1]),
        "threshold": np.array([300.0, 0, 0, 500, 0, 2.0, 0, 0]),
        "left": np.array([1, 0, 0, 4, 0, 6, 0, 0]),
        "right": np.array([2, 0, 0, 5, 0, 7, 0, 0]),
        "value": np.array([0, -1.0, 1.0, 0, 0.5, 0, 2.0, -3.0]),
        "root": np.array([0, 3]),
        "start": np.array([0.25]),
    }
    return arrays | changes


def rows(*islands):
    table = np.zeros((len(islands), len(FEATURES)), np.float32)
    table[:, PEAK], table[:, SIZE] = zip(*islands, strict=True)
    return table


def candidates(*sizes):
    index = np.array([(0, n, k) for n, size in enumerate(sizes) for k in range(size)], np.int32)
    lesion = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    return Candidates(index, np.full(len(index), 300, np.int16), lesion, np.array(sizes, np.float32))


def test_trees_are_followed_to_their_leaves():
    classifier = LesionClassifier.from_arrays(a_tree())
    log_odds = np.array([0.25 - 1 + 0.5, 0.25 + 1 + 0.5, 0.25 + 1 + 2, 0.25 + 1 - 3])
    found = classifier.probability(rows((300, 0), (301, 9), (501, 2), (501, 2.5)))
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-log_odds)))
    assert classifier.probability(rows((1, 1))[:0]).shape == (0,)


def test_arrays_are_given_and_taken():
    classifier = LesionClassifier.from_arrays(a_tree())
    again = LesionClassifier.from_arrays(classifier.as_arrays())
    table = rows((200, 1), (600, 1))
    np.testing.assert_array_equal(again.probability(table), classifier.probability(table))


@pytest.mark.parametrize(
    "changes",
    [
        {"left": np.array([1, 0, 0, 4, 0, 99, 0, 0])},
        {"right": np.array([-2, 0, 0, 5, 0, 7, 0, 0])},
        {"feature": np.array([len(FEATURES), -1, -1, PEAK, -1, SIZE, -1, -1])},
        {"root": np.array([], int)},
        {"root": np.array([50])},
        {"value": np.array([0, np.nan, 1.0, 0, 0.5, 0, 2.0, -3.0])},
        {"threshold": np.array([np.inf, 0, 0, 500, 0, 2.0, 0, 0])},
        {"start": np.array([0.0, 1.0])},
        {"value": np.zeros(3)},
    ],
)
def test_damaged_trees_are_refused(changes):
    with pytest.raises(ValueError, match="damaged"):
        LesionClassifier.from_arrays(a_tree(**changes))


def test_a_missing_array_is_named():
    arrays = a_tree()
    del arrays["threshold"]
    with pytest.raises(ValueError, match="no threshold"):
        LesionClassifier.from_arrays(arrays)


def test_trees_in_circles_end_in_a_sentence():
    circle = LesionClassifier.from_arrays(a_tree(right=np.array([2, 0, 0, 3, 0, 7, 0, 0])))
    with pytest.raises(ValueError, match="no end"):
        circle.probability(rows((600, 1)))


def test_islands_get_their_probability_and_keep_what_tells_their_parts_apart():
    found = candidates(4, 3, 2)
    coronary = np.array([0.9, 0.9, 0.2, 0.2, 0.5, 0.5, 0.5, 0.3, 0.3], np.float32)
    calcium = np.zeros((9, 5), np.float32)
    calcium[:, 0], calcium[:, 1], calcium[:, 3] = 1 - coronary, 0.25 * coronary, 0.75 * coronary
    before = calcium.copy()
    out = with_island_probability(found, calcium, np.array([0, 1]), np.array([0.3, 0.99]))
    np.testing.assert_array_equal(calcium, before)
    mean = [1 - out[found.lesion == n, 0].mean() for n in range(3)]
    assert mean == pytest.approx([0.3, 0.99, 0.3], abs=1e-5)
    np.testing.assert_array_equal(out[7:], before[7:])
    np.testing.assert_allclose(out.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(out[:, 1] / out[:, 3], 1 / 3, rtol=1e-4)
    # one factor on the odds of all voxels of an island
    odds = (1 - out[:4, 0]) / out[:4, 0] / ((1 - before[:4, 0]) / before[:4, 0])
    np.testing.assert_allclose(odds, odds[0], rtol=1e-3)


@pytest.mark.parametrize("wanted", [0.0, 1e-9, 1.0])
def test_even_certainty_leaves_probabilities(wanted):
    found = candidates(3)
    calcium = np.tile(np.array([0.5, 0.1, 0.2, 0.1, 0.1], np.float32), (3, 1))
    out = with_island_probability(found, calcium, np.array([0]), np.array([wanted]))
    assert np.isfinite(out).all()
    assert (1 - out[:, 0].mean()) == pytest.approx(wanted, abs=1e-5)


def test_without_a_classifier_or_an_island_nothing_changes():
    found = candidates(2)
    calcium = np.full((2, 5), 0.2, np.float32)
    classifier = LesionClassifier.from_arrays(a_tree())
    assert second_look(found, calcium, np.array([0]), rows((500, 1)), None) is calcium
    nothing = np.zeros((0, len(FEATURES)), np.float32)
    assert second_look(found, calcium, np.zeros(0, int), nothing, classifier) is calcium
    again = second_look(found, calcium, np.array([0]), rows((200, 1)), classifier)
    assert 1 - again[0, 0] == pytest.approx(1 / (1 + np.exp(0.25)), abs=1e-5)
