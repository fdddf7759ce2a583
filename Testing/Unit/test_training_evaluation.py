from __future__ import annotations

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest
from evaluation_samples import HereAndNow

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.training import evaluation, evaluation_page
from CACScoringLib.training.evaluation import ROWS, run_patients, summarize
from CACScoringLib.training.evaluation_page import BEGIN, END, as_markdown, update_page, write_evaluation
from CACScoringLib.training.floors import FLOORS, Floor, check_floors
from CACScoringLib.training.patient_result import PatientResult, match_lesions
from CACScoringLib.training.synthetic_patients import evaluation_patients, training_patients
from CACScoringLib.training.train_commands import add_train_arguments

SPACING = (3.0, 0.5, 0.5)


def a_scan(*blocks):
    """Blocks are (z, y, x, HU, truth, predicted), 3x3 pixels each: 2.25 mm2."""
    hu = np.full((8, 40, 40), 40, np.int16)
    truth, predicted = np.zeros(hu.shape, np.uint8), np.zeros(hu.shape, np.uint8)
    for z, y, x, value, is_label, said in blocks:
        box = (z, slice(y, y + 3), slice(x, x + 3))
        hu[box], truth[box], predicted[box] = value, is_label, said
    return CTVolume(hu, SPACING, acquisition=Acquisition(kvp=120.0)), truth, predicted


def test_lesions_are_found_missed_misplaced_and_invented():
    ct, truth, predicted = a_scan(
        (1, 5, 5, 300, 2, 2),
        (1, 20, 5, 300, 3, 2),
        (3, 5, 20, 300, 4, 0),
        (5, 30, 30, 300, 0, 1),
        (6, 5, 5, 300, 11, 0),
    )
    assert match_lesions(ct, truth, predicted, 130) == (3, 2, 1, 1)


def test_lesions_that_cannot_score_are_not_counted():
    ct, truth, predicted = a_scan((1, 5, 5, 129, 2, 2), (1, 20, 20, 129, 0, 3))
    assert match_lesions(ct, truth, predicted, 130) == (0, 0, 0, 0)
    ct.hu[1, 5, 5:8] = 200
    assert match_lesions(ct, truth, predicted, 130) == (0, 0, 0, 0)
    ct.hu[1, 6, 5] = 200
    assert match_lesions(ct, truth, predicted, 130) == (1, 1, 1, 0)


def test_non_coronary_labels_are_no_coronary_lesions():
    ct, truth, predicted = a_scan((1, 5, 5, 300, 2, 11), (3, 5, 5, 300, 12, 2))
    assert match_lesions(ct, truth, predicted, 130) == (1, 0, 0, 1)


def a_result(seed, reference, predicted, groups=("0", ">0-100"), protocol="gated"):
    vessels = {"LM": 0.0, "LCX": 0.0, "RCA": 0.0}
    return PatientResult(
        protocol=protocol,
        seed=seed,
        reference={"total": reference, **vessels, "LAD": reference},
        predicted={"total": predicted, **vessels, "LAD": predicted},
        reference_category=groups[reference > 0],
        predicted_category=groups[predicted > 0],
        lesions=4,
        lesions_found=3,
        lesions_right_vessel=2,
        false_lesions=1,
        seconds=0.5 + seed,
    )


def test_the_summary_counts_as_by_hand():
    results = [a_result(0, 0.0, 0.0), a_result(1, 0.0, 5.0), a_result(2, 50.0, 48.0), a_result(3, 80.0, 0.0)]
    out = summarize(results)
    assert set(out) == {"all", "gated"}
    group = out["all"]
    assert group["patients"] == 4
    assert (group["reclassified"], group["reclassified_up"], group["reclassified_down"]) == (0.5, 1, 1)
    assert group["lesion_sensitivity"] == 0.75
    assert group["right_vessel"] == pytest.approx(2 / 3)
    assert group["false_lesions_per_scan"] == 1.0
    assert (group["zero_patients"], group["zero_scored_zero"]) == (2, 1)
    assert (group["seconds_mean"], group["seconds_max"]) == (2.0, 3.5)
    assert group["kappa_linear"] == pytest.approx(0.0)


def test_a_protocol_with_gated_and_other_scans_is_summarised_by_kind_as_well():
    spect = [replace(a_result(n, 9.0, 9.0 * n, protocol="spect-ctac"), gated=n < 2) for n in range(3)]
    out = summarize([*spect, replace(a_result(3, 0.0, 0.0), gated=True)])
    assert list(out) == ["all", "gated", "spect-ctac", "spect-ctac, ECG-gated", "spect-ctac, not gated"]
    assert [group["patients"] for group in out.values()] == [4, 1, 3, 2, 1]
    assert [group["reclassified"] for group in list(out.values())[2:]] == [pytest.approx(1 / 3), 0.5, 0.0]


def test_whether_a_scan_was_gated_is_kept_with_its_result():
    result = replace(a_result(0, 9.0, 9.0), gated=True)
    assert PatientResult.from_dict(result.as_dict()).gated is True
    assert PatientResult.from_dict({k: v for k, v in result.as_dict().items() if k != "gated"}).gated is None


def test_a_perfect_method_agrees_perfectly():
    results = [a_result(n, v, v) for n, v in enumerate((0.0, 0.0, 20.0, 70.0))]
    group = summarize(results)["all"]
    assert group["icc"]["total"]["value"] == pytest.approx(1.0)
    assert group["kappa_linear"] == pytest.approx(1.0)


def test_one_patient_has_no_agreement_and_is_still_summarised():
    group = summarize([a_result(0, 20.0, 18.0)])["all"]
    assert group["icc"]["total"] == {"value": None, "low": None, "high": None}
    assert group["patients"] == 1


def test_the_page_says_that_patients_are_synthetic():
    page = as_markdown(summarize([a_result(0, 0.0, 0.0), a_result(1, 9.0, 8.0)]), {"method": "multibranch-unet"})
    assert "Synthetic patients only" in page
    assert "| patients | 2 | 2 |" in page


def test_no_evaluation_patient_was_trained_on_and_protocols_share_no_seed():
    trained = {seed for _, seed in training_patients(5000)}
    evaluated = evaluation_patients(100, 900_000)
    seeds = [seed for _, seed in evaluated]
    assert not trained & set(seeds)
    assert len(set(seeds)) == len(seeds) == 400
    assert sorted({p for p, _ in evaluated}) == ["chest", "gated", "pet-ctac", "spect-ctac"]


@pytest.mark.parametrize("arguments", [["--patients", "0"], ["--steps", "-1"], ["--workers", "two"]])
def test_impossible_numbers_are_usage_errors(arguments, capsys):
    parser = argparse.ArgumentParser()
    add_train_arguments(parser)
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["multibranch-unet", "--output", "x", *arguments])
    assert end.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def with_certainty(result, stated, flag):
    """The stated category with a probability, the rest on the next one."""
    other = "0" if result.predicted_category == ">0-100" else ">0-100"
    groups = {"0": 0.0, ">0-100": 0.0, ">100-400": 0.0, ">400": 0.0}
    groups |= {result.predicted_category: stated, other: 1 - stated}
    total = result.predicted["total"]
    return replace(result, category_probability=groups, agatston_interval=(total - 3, total + 3), needs_review=flag)


def test_the_summary_says_whether_stated_probabilities_are_kept():
    results = [
        with_certainty(a_result(0, 0.0, 0.0), 0.95, False),
        with_certainty(a_result(1, 0.0, 5.0), 0.65, True),
        with_certainty(a_result(2, 50.0, 48.0), 0.65, True),
        with_certainty(a_result(3, 80.0, 0.0), 0.95, False),
    ]
    group = summarize(results)["all"]
    # stated 0.95: one of two right; 0.65: one of two right
    assert group["calibration_error"] == pytest.approx((2 * 0.45 + 2 * 0.15) / 4)
    assert (group["review_wrong"], group["review_sensitivity"], group["review_share"]) == (2, 0.5, 0.5)
    assert group["interval_coverage"] == 0.5  # 50 lies in 45 to 51, 0 in -3 to 3; 0 and 80 do not
    # squared errors 2 x 0.05^2, 2 x 0.65^2, 2 x 0.35^2, 2 x 0.95^2
    assert group["brier"] == pytest.approx(2 * (0.0025 + 0.4225 + 0.1225 + 0.9025) / 4)


def test_a_method_without_probabilities_is_summarised_without_them():
    summary = summarize([a_result(0, 0.0, 0.0), a_result(1, 9.0, 8.0)])
    assert summary["all"]["calibration_error"] is None
    assert "| scans flagged for review | - | - |" in as_markdown(summary, {"method": "m"})


@pytest.fixture
def evaluated(monkeypatch):
    """Patients that were really evaluated, in their order; 13 breaks."""
    seeds = []

    def evaluate(protocol, seed, **_):
        if seed == 13:
            raise KeyboardInterrupt
        seeds.append(seed)
        return with_certainty(a_result(seed, 10.0 * seed, 10.0 * seed, protocol=protocol), 0.9, False)

    monkeypatch.setattr(evaluation, "evaluate_patient", evaluate)
    monkeypatch.setattr(evaluation, "ProcessPoolExecutor", HereAndNow)
    return seeds


def run(folder, seeds, **options):
    options = {"method": "m", "model": None, "preset": "p", "run": "a1"} | options
    return run_patients([("gated", seed) for seed in seeds], folder, **options)


def test_a_stopped_evaluation_goes_on_where_it_was(tmp_path, evaluated):
    first = run(tmp_path, [1, 2])
    with (tmp_path / ROWS).open("a", encoding="utf-8") as file:
        file.write('{"run": "a1", "protocol": "gated", "se')  # the machine stopped here
    told = []
    results = run(tmp_path, [1, 2, 3], tick=told.append)
    assert evaluated == [1, 2, 3]
    assert results[:2] == first
    assert [r.seed for r in results] == [1, 2, 3]
    assert sorted(told) == ["gated 1", "gated 2", "gated 3"]
    lines = (tmp_path / ROWS).read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(line)["seed"] for line in lines) == [1, 2, 3]


def test_results_of_other_weights_settings_or_code_are_not_used_again(tmp_path, evaluated):
    run(tmp_path, [1, 2])
    run(tmp_path, [1, 2], run="b2")
    assert evaluated == [1, 2, 1, 2]
    assert len((tmp_path / ROWS).read_text(encoding="utf-8").splitlines()) == 2


def test_what_was_measured_elsewhere_is_not_measured_again_and_kept(tmp_path, evaluated):
    known = [replace(result, seconds=7.0) for result in run(tmp_path / "all", [1, 2, 5])]
    evaluated.clear()
    assert [r.seed for r in run(tmp_path / "one", [2, 3], known=known)] == [2, 3]
    assert evaluated == [3]
    again = run(tmp_path / "one", [2, 3])
    assert evaluated == [3]
    assert [r.seconds for r in again if r.seed == 2] == [7.0]


def test_patients_that_nobody_asked_for_are_left_out(tmp_path, evaluated):
    run(tmp_path, [1, 2, 3])
    assert [r.seed for r in run(tmp_path, [2])] == [2]
    assert evaluated == [1, 2, 3]


def test_floors_are_compared_with_what_was_reached():
    floors = (
        Floor("gated", "icc:total", "ICC total", 0.99),
        Floor("gated", "reclassified", "reclassified", 0.036, at_most=True),
        Floor("gated", "zero_share", "zeros", 0.95),
        Floor("chest", "kappa_linear", "linear kappa", 0.9),
    )
    results = [a_result(n, v, v) for n, v in enumerate((0.0, 0.0, 20.0, 70.0))] + [a_result(9, 0.0, 4.0)]
    reached = check_floors(summarize(results), floors)
    assert [entry.passed for entry in reached] == [True, False, False, False]
    assert reached[1].value == pytest.approx(0.2)
    assert reached[2].cells() == ("gated", "zeros", "at least 95.0 %", "66.7 %", "**missed**")
    assert reached[3].cells()[3] == "not measured"


@pytest.mark.parametrize(
    ("key", "limit", "value", "at_most", "told"),
    [
        ("kappa_quadratic", 0.98, 0.97969, False, "0.9797"),
        ("kappa_quadratic", 0.98, 0.97999, False, "0.97999"),
        ("reclassified", 0.036, 0.03604, True, "3.604 %"),
        ("kappa_quadratic", 0.98, 0.961, False, "0.961"),
        ("kappa_quadratic", 0.98, 0.98004, False, "0.980"),
    ],
)
def test_a_value_that_misses_its_floor_never_reads_like_it(key, limit, value, at_most, told):
    (entry,) = check_floors({"chest": {key: value}}, (Floor("chest", key, "x", limit, at_most=at_most),))
    assert entry.passed == (value > limit and not at_most)
    assert entry.cells()[3] == told


def test_every_floor_of_the_project_names_a_figure_of_the_summary():
    protocols = ("gated", "spect-ctac", "pet-ctac", "chest")
    values = ((0.0, 0.0), (20.0, 20.0), (70.0, 70.0))
    results = [a_result(n, *v, protocol=p) for p in protocols for n, v in enumerate(values)]
    reached = check_floors(summarize(results))
    assert len(reached) == len(FLOORS) == 15
    totals = [entry for entry in reached if entry.floor.key != "icc:LCX"]
    assert all(entry.value is not None or entry.floor.key in ("icc:LM", "icc:RCA") for entry in totals)


def test_page_json_and_figures_are_written_together(tmp_path):
    results = [with_certainty(a_result(n, 20.0 * n, 19.0 * n), 0.9, False) for n in range(5)]
    context = {"method": "multibranch-unet"}
    written = write_evaluation(tmp_path, results, summarize(results), context)
    assert all((tmp_path / name).stat().st_size > 0 for name in written)
    assert {"figures/scatter.png", "figures/bland-altman.png", "figures/confusion.png"} <= set(written)
    assert {"figures/vessels.png", "figures/protocols.png", "figures/reliability.png"} <= set(written)
    page = (tmp_path / "evaluation.md").read_text(encoding="utf-8")
    assert "| gated | ICC total | at least 0.990 |" in page
    assert "](figures/scatter.png)" in page
    document = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert len(document["floors"]) == 15


def test_a_page_of_the_documentation_keeps_its_own_words(tmp_path, monkeypatch):
    folders = []
    monkeypatch.setattr(evaluation_page, "write_figures", lambda folder, *_: folders.append(folder) or ["scatter.png"])
    page = tmp_path / "evaluation.md"
    page.write_text(f"# Mine\n\nbefore\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    results = [a_result(n, 20.0 * n, 19.0 * n) for n in range(3)]
    for _ in range(2):
        update_page(page, results, summarize(results), {"method": "m"})
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Mine\n\nbefore\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert text.count("| patients | 3 | 3 |") == 1
    assert "](figures/evaluation/scatter.png)" in text
    assert folders == [tmp_path / "figures" / "evaluation"] * 2
    page.write_text("no place", encoding="utf-8")
    with pytest.raises(ValueError, match="needs one line"):
        update_page(page, results, summarize(results), {"method": "m"})
