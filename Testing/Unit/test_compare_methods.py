"""Several methods on one CT: rows, categories, lesions and slices, worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from comparison_samples import (
    BROKEN,
    CHOICES,
    FIRST,
    SECOND,
    SLICES,
    TOTALS,
    a_ct,
    first_labels,
    predict,
)

from CACScoringLib.findings import InputRefusedError, refuse, warning
from CACScoringLib.inference.windows import CancelledError
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.methods.score_prediction import ScorePrediction
from CACScoringLib.report.comparison import MethodChoice, compare_methods
from CACScoringLib.report.comparison.lesions import CORONARY, EXTENT, VESSEL, lesion_differences
from CACScoringLib.report.comparison.slices import slice_differences
from CACScoringLib.scoring import score
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.scoring.uncertainty import SCHEMES_GIVEN, ScoreUncertainty


@pytest.fixture(scope="module")
def compared():
    return compare_methods(a_ct(), CHOICES, predict=predict)


def test_every_method_has_its_row_in_the_order_asked_for(compared):
    assert [row.name for row in compared.methods] == [FIRST, BROKEN, SLICES, SECOND]
    rows = {row.name: row for row in compared.methods}
    assert {name: rows[name].agatston for name in TOTALS} == pytest.approx(TOTALS)
    assert rows[FIRST].volume_mm3 == pytest.approx(3 * (6 + 4 + 3 + 8))
    assert rows[SLICES].volume_mm3 == pytest.approx(90.0)
    vessels = {name: value.agatston for name, value in rows[FIRST].score.vessels.items()}
    assert vessels == pytest.approx({"LM": 0, "LAD": 12, "LCX": 16, "RCA": 27})
    assert (rows[FIRST].model_id, rows[FIRST].model_sha256) == ("f1", "a" * 64)
    assert rows[SLICES].score is None
    assert rows[SLICES].labels is None


def test_a_method_that_fails_is_a_row_that_says_why_and_the_others_still_run(compared):
    row = compared.methods[1]
    assert (row.failure.code, row.failure.message) == ("model", "Model 'broken' has no weights.")
    assert row.agatston is row.category is row.score is None
    assert row.risk == {}
    assert [row.name for row in compared.done] == [FIRST, SLICES, SECOND]


def test_each_method_says_its_own_category_and_those_that_follow(compared):
    first, _, slices, _ = compared.methods
    assert (first.scheme, first.category) == ("spect-pet-4", ">0-100")
    assert (slices.scheme, slices.category) == ("screening-5", "100-400")
    groups = {entry.scheme: entry for entry in compared.categories}
    assert groups["spect-pet-4"].groups == {FIRST: ">0-100", SLICES: ">100-400", SECOND: ">0-100"}
    assert groups["nguyen-6"].groups == {FIRST: ">10-100", SLICES: ">100-400", SECOND: ">10-100"}
    assert not groups["spect-pet-4"].agree
    assert groups["cac-drs"].groups == {FIRST: "A1/N3", SECOND: "A1/N2"}  # needs vessels: not from a total alone
    assert groups["scct-2017"].agree
    assert set(groups) == set(SCHEMES)


def test_review_and_doubts_of_a_method_stay_with_it(compared):
    first, _, slices, _ = compared.methods
    assert (first.needs_review, slices.needs_review) == (None, True)
    assert (first.warnings(), slices.warnings()) == ((), ("slices-too-thick",))
    assert [finding.code for finding in compared.findings] == ["scores-by-own-rules"]
    assert compared.findings[0].message.endswith("as they were trained: slices.")


def test_lesions_that_are_marked_differently_are_named_with_what_they_add_to_the_difference(compared):
    assert compared.lesions_agreed == 1
    vessel, shorter, missed = compared.lesions
    assert [entry.id for entry in compared.lesions] == [1, 2, 3]
    assert (vessel.kind, shorter.kind, missed.kind) == (VESSEL, EXTENT, CORONARY)
    assert vessel.called == {FIRST: ("LCX",), SECOND: ("LAD",)}
    assert (vessel.difference(FIRST, SECOND), vessel.moved(FIRST, SECOND), vessel.at_stake) == (0.0, 16.0, 16.0)
    assert vessel.centroid_voxel == (3.0, 10.5, 10.5)
    assert vessel.centroid_lps_mm == pytest.approx((20.5, 30.5, -91.0))  # origin + (10.5, 10.5, 3 x 3 mm)
    assert (vessel.slices, vessel.voxels, vessel.max_hu) == ((3, 3), 4, 450)
    assert missed.called == {FIRST: ("RCA",), SECOND: ("aorta",)}
    assert missed.agatston == {FIRST: 3.0, SECOND: 0.0}
    assert missed.volume_mm3 == {FIRST: 9.0, SECOND: 0.0}
    assert shorter.called == {FIRST: ("RCA",), SECOND: ("RCA",)}
    assert shorter.difference(FIRST, SECOND) == -12.0
    assert shorter.slices == (6, 7)


def test_the_lesions_explain_the_whole_difference_of_two_totals(compared):
    pairs = {(pair.first, pair.second): pair for pair in compared.pairs}
    assert set(pairs) == {(FIRST, SLICES), (FIRST, SECOND), (SLICES, SECOND)}
    pair = pairs[FIRST, SECOND]
    assert pair.agatston == pytest.approx(40.0 - 55.0)
    assert pair.volume_mm3 == pytest.approx(42.0 - 63.0)
    assert pair.agatston_by_kind == pytest.approx({CORONARY: -3.0, EXTENT: -12.0, VESSEL: 0.0})
    assert sum(pair.agatston_by_kind.values()) == pytest.approx(pair.agatston)
    assert pair.agatston_moved == pytest.approx(16.0)
    assert pairs[FIRST, SLICES].agatston == pytest.approx(65.0)
    assert pairs[FIRST, SLICES].agatston_moved is None


def test_slices_that_a_score_without_labels_sees_otherwise(compared):
    """By 3 mm: scored 10, 5+20, 0, 60, 25 in slices 2 to 6; the first labels 12, 16, -, 3, 12 and 12 in slice 7."""
    mine = [entry for entry in compared.slices if entry.labelled_by == FIRST]
    assert [(entry.slice, entry.difference) for entry in mine] == [(5, 57), (6, 13), (7, -12), (3, 9), (2, -2)]
    assert (mine[0].scored_by, mine[0].z_mm, mine[0].thickness_mm) == (SLICES, 15.0, 3.0)
    assert {entry.labelled_by for entry in compared.slices} == {FIRST, SECOND}


def test_slices_farther_apart_than_the_scans_are_the_pieces_that_are_compared():
    ct = a_ct()
    scores = {FIRST: score(ct, first_labels())}
    pieces = slice_differences(ct, {SLICES: (np.array([7.0, 13.0, 19.0]), np.array([28.0, 3.0, 0.0]))}, scores)
    # Pieces of 6 mm round 7, 13 and 19 mm: 12 + 16 (slices at 6 and 9), 3 (at 15), 24 (at 18 and 21).
    assert [(entry.z_mm, entry.agatston_scored, entry.agatston_labelled) for entry in pieces] == [(19.0, 0.0, 24.0)]
    assert (pieces[0].slice, pieces[0].thickness_mm) == (6, 6.0)


def test_a_lesion_split_between_vessels_counts_as_moved_by_its_part():
    ct = a_ct()
    split = first_labels()
    split[6, 16:18, 12:14] = 3
    labels = {FIRST: first_labels(), SECOND: split}
    (entry,), agreed = lesion_differences(ct, labels, {name: score(ct, given) for name, given in labels.items()})
    assert agreed == 3
    assert (entry.kind, entry.called[SECOND]) == (VESSEL, ("LCX", "RCA"))
    assert entry.vessels == {FIRST: {"RCA": 24.0}, SECOND: {"LCX": 12.0, "RCA": 12.0}}
    assert (entry.moved(FIRST, SECOND), entry.difference(FIRST, SECOND)) == (12.0, 0.0)


@pytest.mark.parametrize("preset", ["literature", "philips", "orcascore", "nlst-de-vos-2017"])
def test_with_every_kind_of_rules_the_lesions_add_up_to_the_difference(preset):
    compared = compare_methods(a_ct(), CHOICES, predict=predict, score_options={"preset": preset})
    (pair,) = [pair for pair in compared.pairs if (pair.first, pair.second) == (FIRST, SECOND)]
    assert pair.agatston < 0
    assert sum(pair.agatston_by_kind.values()) == pytest.approx(pair.agatston)
    assert compared.preset["name"] == preset


def test_three_methods_with_labels_are_compared_in_one_list():
    def three(ct, method, **options):
        return Prediction(method, "m", "0", labels=np.zeros(ct.shape, np.uint8)) if method == "none" else predict(
            ct, method, **options
        )  # fmt: skip

    compared = compare_methods(a_ct(), [MethodChoice(name) for name in (FIRST, SECOND, "none")], predict=three)
    assert compared.lesions_agreed == 0
    assert [entry.kind for entry in compared.lesions] == [CORONARY] * 4
    stakes = {entry.slices[0]: entry.at_stake for entry in compared.lesions}
    assert stakes == pytest.approx({2: 12.0, 3: 16.0, 5: 3.0, 6: 24.0})
    assert compared.lesions[0].called["none"] == ()


def test_the_tube_voltage_given_is_that_of_prediction_and_scores():
    asked = []

    def note(ct, method, **options):
        asked.append(ct.acquisition.kvp)
        return predict(ct, method, **options)

    compared = compare_methods(a_ct(), CHOICES[:1], kvp=100.0, predict=note)
    assert asked == [100.0]
    assert compared.preset["threshold_hu"] == 145.0
    # 250 HU: weight 2; 450: 4; 150: 1; 350: 3 (100 kVp: 145/222/334/446)
    assert compared.methods[0].agatston == pytest.approx(55.0)


def test_the_certainty_of_a_method_is_its_category_probability_and_review():
    categories = {name: dict.fromkeys(SCHEMES[name].groups, 0.0) for name in SCHEMES_GIVEN}
    for name, groups in categories.items():
        groups[SCHEMES[name].group(55.0)], groups[SCHEMES[name].group(0.0)] = 0.6, 0.4
    sure = ScoreUncertainty(categories, (0.0, 55.0, 60.0), 0.9)

    def unsure(ct, method, **options):
        return Prediction(method, "m", "0", labels=first_labels(), uncertainty=sure)

    (row,) = compare_methods(a_ct(), [MethodChoice(FIRST)], predict=unsure).methods
    assert row.needs_review is True
    assert row.category_probability[">0-100"] == 0.6
    assert row.warnings() == ("needs-review",)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputRefusedError(refuse("no-heart", "No heart.")), "no-heart"),
        (ImportError("torch"), "packages-missing"),
        (MemoryError(), "memory"),
        (RuntimeError("a layer\nis missing"), "method-failed"),
    ],
)
def test_whatever_goes_wrong_is_one_sentence(error, code):
    def failing(ct, method, **options):
        raise error

    (row,) = compare_methods(a_ct(), [MethodChoice(FIRST)], predict=failing).methods
    assert row.failure.code == code
    assert "\n" not in row.failure.message


def test_a_method_that_finds_no_heart_has_no_result_and_says_so():
    def nothing(ct, method, **options):
        found = (warning("heart-not-found", "No heart was found."),)
        return ScorePrediction(method, "m", "0", "nguyen-6", needs_review=True, findings=found)

    compared = compare_methods(a_ct(), [MethodChoice(SLICES)], predict=nothing)
    (row,) = compared.methods
    assert (row.failure.message, row.model_id) == ("No heart was found.", "m")
    assert compared.done == ()


def test_stopping_stops_all_of_it():
    def stopped(ct, method, **options):
        raise CancelledError("Stopped.")

    with pytest.raises(CancelledError):
        compare_methods(a_ct(), CHOICES, predict=stopped)


def test_progress_runs_through_all_methods():
    told = []
    compare_methods(a_ct(), CHOICES, predict=predict, progress=lambda fraction, text: told.append((fraction, text)))
    assert (0.125, "first: Looking") in told
    assert (0.875, "second: Looking") in told
    assert told == sorted(told, key=lambda entry: entry[0])
    assert told[-1] == (1.0, "Done")


def test_the_same_method_runs_with_two_models_but_not_twice_with_one():
    assert [MethodChoice("a", "b").name, MethodChoice("a", "/x/b").name, MethodChoice("a").name] == ["a:b", "a:b", "a"]
    with pytest.raises(ValueError, match="different"):
        compare_methods(a_ct(), [MethodChoice("a"), MethodChoice("a")], predict=predict)


def test_rules_that_do_not_exist_are_refused_before_anything_runs():
    def never(*words, **options):
        raise AssertionError

    with pytest.raises(InputRefusedError, match="no preset"):
        compare_methods(a_ct(), CHOICES, predict=never, score_options={"preset": "none"})


def test_the_comparison_is_plain_json(compared):
    document = json.loads(json.dumps(compared.as_dict()))
    assert document["methods"][0]["vessels"]["RCA"]["agatston"] == pytest.approx(27.0)
    assert document["methods"][1]["failure"]["code"] == "model"
    assert document["lesions"][0]["called"] == {FIRST: ["LCX"], SECOND: ["LAD"]}
    assert document["lesions"][0]["at_stake"] == 16.0
    assert document["categories"][0] == {
        "scheme": "spect-pet-4",
        "groups": {FIRST: ">0-100", SLICES: ">100-400", SECOND: ">0-100"},
        "agree": False,
    }


def test_without_any_labels_there_is_nothing_to_say_lesion_by_lesion():
    compared = compare_methods(a_ct(), [MethodChoice(SLICES), MethodChoice(BROKEN)], predict=predict)
    assert (compared.lesions, compared.lesions_agreed, compared.slices, compared.categories) == ((), 0, (), ())
