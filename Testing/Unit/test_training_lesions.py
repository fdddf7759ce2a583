from __future__ import annotations

import numpy as np
import pytest
import torch
from ball_heart import BallFinder, a_ct

from CACScoringLib.inference.lesion_classifier import LesionClassifier
from CACScoringLib.inference.lesion_features import FEATURES
from CACScoringLib.inference.lesions import DecisionSettings
from CACScoringLib.methods.multibranch_unet import NAME, look, predict_multibranch
from CACScoringLib.models import ModelError, load_weights, write_bundle
from CACScoringLib.phantom import PROTOCOLS
from CACScoringLib.training import calibration, lesion_training, multibranch_training
from CACScoringLib.training.bundle_writer import with_classifier
from CACScoringLib.training.calibration import choose_for, looked_again
from CACScoringLib.training.lesion_training import LEAST_ISLANDS_OF_A_KIND, boosted, fit_for, fit_lesions, is_coronary
from CACScoringLib.training.run_request import TrainingRequest
from CACScoringLib.training.synthetic_patients import FIRST_LESION_SEED, lesion_options, lesion_patients
from CACScoringLib.training.validation import SeenPatient

PEAK = FEATURES.index("peak")
TWO_LESIONS = (20, 60, 50, 400), (24, 60, 80, 600)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(lesion_training, "TREES", 20)


def features(rng, coronary):
    """Coronary islands are brighter than 300 HU, others darker."""
    table = rng.normal(size=(len(coronary), len(FEATURES))).astype(np.float32)
    table[:, PEAK] = np.where(coronary, 400, 200) + rng.uniform(-90, 90, len(coronary))
    return table


def patient(rng, coronary, *, said=0.5, reference=None):
    """Islands of two voxels, of 20 mm3, that the network gives ``said``."""
    count = len(coronary)
    index = np.array([(0, 2 * n, k) for n in range(count) for k in (0, 1)], np.int32).reshape(-1, 3)
    lesion = np.repeat(np.arange(count), 2).astype(np.int32)
    calcium = np.tile(np.array([1 - said, 0, said, 0, 0], np.float32), (2 * count, 1))
    other = np.tile(np.array([1, 0, 0, 0, 0], np.float32), (2 * count, 1))
    truth = np.where(coronary, 2, 0).repeat(2).astype(np.uint8)
    total = 8.0 * np.count_nonzero(coronary) if reference is None else reference
    return SeenPatient(
        np.array([3.0, 1.0, 1.0]), np.array(120.0), index, np.full(2 * count, 400, np.int16), lesion,
        np.full(count, 20, np.float32), calcium, other, calcium, np.arange(count), features(rng, coronary), truth,
        np.array([total, 0, total, 0, 0]),
    )  # fmt: skip


def some_patients(count=10, islands=12):
    rng = np.random.default_rng(4)
    return [patient(rng, rng.random(islands) < 0.5) for _ in range(count)]


def test_the_arrays_say_what_scikit_learn_says(monkeypatch):
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(1)
    coronary = rng.random(400) < 0.3
    table, weight = features(rng, coronary), rng.uniform(0.1, 2.0, 400)
    table[:, PEAK] += rng.normal(0, 120, 400).astype(np.float32)
    monkeypatch.setattr(lesion_training, "REPEATS", 1)
    ours = boosted(table, coronary, weight, seed=3)
    theirs = HistGradientBoostingClassifier(
        learning_rate=lesion_training.RATE, max_iter=20, max_leaf_nodes=lesion_training.LEAVES,
        min_samples_leaf=lesion_training.LEAST_ISLANDS, l2_regularization=lesion_training.SHRINKAGE,
        max_features=lesion_training.SHARE_OF_FEATURES, early_stopping=False, random_state=3,
    ).fit(table, coronary, sample_weight=weight)  # fmt: skip
    fresh = features(rng, rng.random(200) < 0.5)
    np.testing.assert_allclose(ours.probability(fresh), theirs.predict_proba(fresh)[:, 1], atol=1e-12)


def test_repeats_are_averaged(monkeypatch):
    rng = np.random.default_rng(1)
    coronary = rng.random(200) < 0.5
    table, weight = features(rng, coronary), np.ones(200)
    each = []
    for seed in range(3):
        monkeypatch.setattr(lesion_training, "REPEATS", 1)
        p = boosted(table, coronary, weight, seed).probability(table)
        each.append(np.log(p / (1 - p)))
    monkeypatch.setattr(lesion_training, "REPEATS", 3)
    p = boosted(table, coronary, weight, 0).probability(table)
    np.testing.assert_allclose(np.log(p / (1 - p)), np.mean(each, axis=0), atol=1e-9)


def test_it_learns_from_islands_and_not_from_lone_stents():
    patients = some_patients()
    classifier = fit_lesions(patients, [False] * len(patients))
    found = classifier.probability(patients[0].features)
    assert ((found > 0.5) == is_coronary(patients[0])).all()
    rng = np.random.default_rng(8)
    # A stent that is alone, with the features of calcium: were it learned from, bright islands would be doubtful.
    stents = [patient(rng, np.ones(12, bool), reference=0.0) for _ in range(10)]
    for stent in stents:
        stent.truth[:] = 14
    again = fit_lesions([*patients, *stents], [False] * 10 + [True] * 10)
    np.testing.assert_array_equal(again.probability(stents[0].features), classifier.probability(stents[0].features))
    with_calcium = [patient(rng, np.ones(12, bool), reference=50.0) for _ in range(10)]
    for stent in with_calcium:
        stent.truth[:] = 14
    moved = fit_lesions([*patients, *with_calcium], [False] * 10 + [True] * 10)
    bright = stents[0].features
    assert moved.probability(bright).mean() < classifier.probability(bright).mean()
    heavy = fit_lesions([*patients, *with_calcium], [False] * 20)
    assert heavy.probability(bright).mean() < moved.probability(bright).mean()


def test_an_island_is_what_most_of_it_is():
    rng = np.random.default_rng(0)
    one = patient(rng, np.array([True, True, False]))
    one.truth[0] = 14
    assert is_coronary(one).tolist() == [False, True, False]


def test_with_too_little_nothing_is_fitted():
    patients = some_patients(2, LEAST_ISLANDS_OF_A_KIND - 2)
    assert fit_lesions(patients, [False, False]) is None
    assert fit_lesions([], []) is None
    rng = np.random.default_rng(0)
    assert fit_lesions([patient(rng, np.ones(100, bool))], [False]) is None


def test_every_protocol_has_patients_with_and_without_stents_and_the_same_ones_every_time():
    patients = lesion_patients(32)[:32]
    assert [p for p, _ in patients[:4]] == list(PROTOCOLS)
    assert patients[0][1] == FIRST_LESION_SEED
    stented = {p: sum("stent" in lesion_options(q, s).mimics for q, s in patients if q == p) for p in PROTOCOLS}
    assert stented == {"gated": 3, "spect-ctac": 1, "pet-ctac": 3, "chest": 3}
    without = [lesion_options(p, s).zero_fraction == 1.0 for p, s in patients if p == "spect-ctac"]
    assert sum(without) == 2
    assert lesion_patients(8)[:8] == patients[:8]
    more = lesion_patients(32)[32:]
    assert [p for p, _ in more] == ["spect-ctac"] * 32
    assert len({seed for _, seed in lesion_patients(33)}) == 66
    assert all((seed - FIRST_LESION_SEED) % 4 == PROTOCOLS.index(p) for p, seed in lesion_patients(33))


def test_a_training_asks_for_its_own_patients_and_chooses_with_and_without(monkeypatch, tmp_path):
    asked, told = {}, []
    patients = some_patients(42)

    def see(wanted, folder, *, cache, workers, tick, options=None):
        asked[cache.name] = (list(wanted), folder, options)
        for n, _ in enumerate(wanted):
            tick(f"patient {n}")
        return patients[: len(wanted)]

    monkeypatch.setattr(lesion_training, "see_patients", see)
    monkeypatch.setattr(calibration, "see_patients", see)
    request = TrainingRequest(tmp_path, 2, 1, tell=lambda text, done, total: told.append((done, total)))
    classifier = fit_for(request, tmp_path / "bundle", 21)
    assert asked["lesions"] == (lesion_patients(21), tmp_path / "bundle", lesion_options)
    assert told[-1] == (42, 42)
    choice = choose_for(request, tmp_path / "bundle", 20, classifier)
    assert choice.uncertainty is not None
    # The network gives every island one half: alone it cannot tell any from another.
    assert choice.network is not None
    assert min(choice.error) < 0.05
    kept = choice.as_settings()
    assert DecisionSettings.of_network(kept) == choice.network
    assert DecisionSettings.from_bundle(kept) == choice.settings
    assert DecisionSettings.of_network({"coronary_probability": 0.7}).coronary_probability == 0.7
    assert "network_decision" not in choose_for(request, tmp_path / "bundle", 20).as_settings()
    again = looked_again(patients[0], classifier)
    assert ((again.calcium[::2, 2] > 0.5) == is_coronary(patients[0])).all()


class EvenNetwork(BallFinder):
    """Gives every candidate one half for the LAD."""

    def at_voxels(self, x, index):
        calcium = torch.full((len(index), 5), -20.0)
        calcium[:, 0] = calcium[:, 2] = 0.0
        return {"calcium": calcium, "non_coronary": torch.zeros(len(index), 5), "artery": torch.zeros(len(index), 5)}


def stump(threshold=450.0):
    """Return a classifier for which peaks beyond the threshold are no calcium of the coronaries."""
    return LesionClassifier.from_arrays(
        {
            "feature": np.array([PEAK, -1, -1]),
            "threshold": np.array([threshold, 0, 0]),
            "left": np.array([1, 0, 0]),
            "right": np.array([2, 0, 0]),
            "value": np.array([0, 3.0, -3.0]),
            "root": np.array([0]),
            "start": np.array([0.0]),
        }
    )


def a_bundle(folder, classifier, **settings):
    kept = {"method": NAME, "network": {"in_channels": 11, "channels": [16, 32, 64, 128]}} | settings
    state = with_classifier({"nothing": torch.zeros(1)}, classifier)
    return write_bundle(folder, state, settings=kept, metadata={"version": "0"}, card="", licence="")


def test_a_bundle_keeps_its_classifier_to_the_last_bit_and_a_scan_is_decided_by_it(tmp_path):
    threshold = 450.0 + 1e-9
    bundle = a_bundle(tmp_path / "one", stump(threshold), lesion_features=list(FEATURES))
    assert load_weights(bundle)["lesions.threshold"][0].item() == threshold
    assert load_weights(bundle)["nothing"].dtype is torch.float32
    seen = look(a_ct(*TWO_LESIONS), bundle=bundle, network=EvenNetwork())
    np.testing.assert_allclose(seen.network.calcium[:, 2], 0.5, atol=1e-5)
    expected = np.where(seen.candidates.hu == 400, 1 / (1 + np.exp(-3)), 1 / (1 + np.exp(3)))
    np.testing.assert_allclose(seen.calcium[:, 2], expected, atol=1e-5)
    labels = predict_multibranch(a_ct(*TWO_LESIONS), bundle=bundle, network=EvenNetwork()).labels
    assert set(np.unique(a_ct(*TWO_LESIONS).hu[(labels >= 1) & (labels <= 4)])) == {400}
    without = a_bundle(tmp_path / "none", None)
    assert np.array_equal(look(a_ct(*TWO_LESIONS), bundle=without, network=EvenNetwork()).calcium, seen.network.calcium)


def test_a_classifier_of_other_features_or_damaged_is_refused_in_a_sentence(tmp_path):
    other = a_bundle(tmp_path / "other", stump(), lesion_features=["length"])
    with pytest.raises(ModelError, match="another version of CACScoring: get the model again"):
        look(a_ct(*TWO_LESIONS), bundle=other, network=EvenNetwork())
    damaged = stump()
    damaged.left[0] = 7
    with pytest.raises(ModelError, match=r"'damaged' cannot be used .*damaged.*get the model again"):
        look(
            a_ct(*TWO_LESIONS),
            bundle=a_bundle(tmp_path / "damaged", damaged, lesion_features=list(FEATURES)),
            network=EvenNetwork(),
        )


def test_without_scikit_learn_a_training_says_so_before_it_begins(monkeypatch, tmp_path):
    monkeypatch.setattr(lesion_training, "find_spec", lambda name: None)
    monkeypatch.setattr(multibranch_training, "load_patients", lambda request: pytest.fail("it began"))
    request = TrainingRequest(tmp_path, 2, 1)
    with pytest.raises(ModelError, match=r"needs scikit-learn: pip install 'cacscoring\[train\]'"):
        multibranch_training.train_multibranch(request)
    monkeypatch.setattr(multibranch_training, "load_patients", lambda request: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        multibranch_training.train_multibranch(request, lesion_patients=0)
