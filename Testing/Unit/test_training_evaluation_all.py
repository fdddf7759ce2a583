"""Every method on the same patients: what is measured, and what a stopped run goes on with."""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import replace

import evaluation_samples as samples
import numpy as np
import pytest
from evaluation_samples import HereAndNow, a_patient

from CACScoringLib import phantom
from CACScoringLib.cli import main
from CACScoringLib.findings import warning
from CACScoringLib.methods import registry
from CACScoringLib.methods.registry import MethodInfo
from CACScoringLib.methods.score_prediction import ScorePrediction
from CACScoringLib.models import ModelError, write_bundle
from CACScoringLib.scoring import score
from CACScoringLib.training import evaluation, methods_evaluation, patient_result
from CACScoringLib.training.evaluated_patient import EvaluatedPatient, evaluate_methods
from CACScoringLib.training.evaluation import run_id
from CACScoringLib.training.evaluation_page import BEGIN, END
from CACScoringLib.training.method_slices import slice_categories, true_slice_agatston
from CACScoringLib.training.methods_evaluation import ROWS, choose_methods, measured_with_all, megabytes, run_methods
from CACScoringLib.training.patient_result import evaluate_patient

PRESET, SCHEME = "agatston-1990", "spect-pet-4"


@pytest.fixture
def generated(monkeypatch):
    """Seeds of the patients that were generated, and which method was run on a patient (not to warm it up)."""
    seen = {"patients": [], "methods": []}

    def synthesize(*, seed, protocol, options=None):
        seen["patients"].append(seed)
        return a_patient()

    def predict(ct, method, model=None):
        if ct.hu.max() > -1000:
            seen["methods"].append(method)
            return samples.METHODS[method](ct)
        return ScorePrediction(method, "", "", "nguyen-6")

    monkeypatch.setattr(phantom, "synthesize", synthesize)
    monkeypatch.setattr(patient_result, "predict", predict)
    patient_result._warm_up.cache_clear()
    yield seen
    patient_result._warm_up.cache_clear()


@pytest.fixture
def bundles(tmp_path, monkeypatch):
    """The three stand-ins as methods with models; returns what writes the weights of one."""
    import torch

    def write(name, value):
        settings = {"method": name} | ({"heart_model": str(tmp_path / "heart")} if name == "totals" else {})
        write_bundle(
            tmp_path / name, {"w": torch.full((4,), value)}, settings=settings, metadata={}, card="", licence=""
        )

    write("heart", 1.0)
    infos = {}
    for name in samples.METHODS:
        write(name, 1.0)
        infos[name] = MethodInfo(name, name, "", "", str(tmp_path / name))
    monkeypatch.setattr(registry, "METHODS", infos)
    monkeypatch.setattr(methods_evaluation, "METHODS", infos)
    monkeypatch.setattr(evaluation, "ProcessPoolExecutor", HereAndNow)
    return write


def test_a_patient_is_generated_once_and_every_method_is_judged_by_what_it_gives(generated):
    methods = [(name, None) for name in samples.METHODS]
    labels, totals, classes = evaluate_methods("gated", 7, methods, preset=PRESET, scheme=SCHEME)
    assert generated == {"patients": [7], "methods": ["labels", "totals", "classes"]}
    truth = {"total": 104.0, "LM": 0.0, "LAD": 72.0, "LCX": 0.0, "RCA": 32.0}
    for result in (labels, totals, classes):
        assert result.patient.reference == pytest.approx(truth)
        assert result.patient.reference_category == ">100-400"
        assert result.six_category[0] == ">100-400"
        assert result.ct_slices == 20
        assert (result.patient.protocol, result.patient.seed) == ("gated", 7)
    assert labels.patient.predicted == pytest.approx(truth | {"total": 72.0, "RCA": 0.0})
    assert (labels.patient.lesions, labels.patient.lesions_found, labels.patient.false_lesions) == (2, 1, 0)
    assert totals.patient.predicted == {"total": 96.0}
    assert classes.patient.predicted == {}
    for result in (totals, classes):
        assert (result.patient.lesions, result.patient.false_lesions) == (None, None)
    assert [r.patient.predicted_category for r in (labels, totals, classes)] == [">0-100"] * 3
    assert [r.six_category[1] for r in (labels, totals, classes)] == [">10-100"] * 3
    # nguyen-6 says nothing of groups that begin below 1.
    assert [r.screening_category[1] for r in (labels, totals, classes)] == ["10-100", "10-100", None]


def test_the_screening_totals_are_those_of_the_papers_preset_or_the_methods_own(generated):
    patient = a_patient()
    methods = [(name, None) for name in samples.METHODS]
    labels, totals, classes = evaluate_methods("chest", 1, methods, preset=PRESET, scheme=SCHEME)
    reference = score(patient.ct, patient.labels, preset="nlst-de-vos-2017").total
    found = score(patient.ct, samples.labelling(patient.ct).labels, preset="nlst-de-vos-2017").total
    for result in (labels, totals, classes):
        assert result.screening_reference == {"agatston": reference.agatston, "volume_mm3": reference.volume_mm3}
    assert labels.screening_predicted == {"agatston": found.agatston, "volume_mm3": found.volume_mm3}
    assert 0 < found.agatston < reference.agatston
    assert totals.screening_predicted == {"agatston": 96.0, "volume_mm3": 70.0}
    assert classes.screening_predicted == {}


def test_attention_heart_and_slices_are_measured_where_a_method_gives_them(generated):
    methods = [(name, None) for name in samples.METHODS]
    labels, totals, classes = evaluate_methods("gated", 1, methods, preset=PRESET, scheme=SCHEME)
    # Calcium in slices 9, 10 and 12; the highest attention lies on it in slice 9 alone.
    assert (totals.attention_slices, totals.attention_hits) == (3, 1)
    assert (labels.attention_slices, classes.attention_slices) == (None, None)
    assert labels.heart_overlap is None
    assert 0.3 < totals.heart_overlap == classes.heart_overlap < 1
    assert (labels.slices, totals.slices) == ((), ())
    # Slices 9 and 10 hold 36 and are said to; 11 holds nothing and is said to; 12 holds 32, said to be at most 10.
    expected = np.zeros((6, 6), int)
    expected[2, 2], expected[0, 0], expected[2, 1] = 2, 1, 1
    assert np.array(classes.slices).tolist() == expected.tolist()


def test_slices_between_those_that_are_scored_have_no_known_truth():
    patient = a_patient()
    assert true_slice_agatston(patient.ct, patient.labels, np.array([28.0, 31.0])) is None
    np.testing.assert_allclose(
        true_slice_agatston(patient.ct, patient.labels, np.array([27.0, 30.0, 33.0])), (36, 36, 0)
    )
    # 40 slabs of 3 mm every 1.5 mm: one centred on slice 12 holds it as it is, scaled by 1.5 / 3.
    slabs = true_slice_agatston(patient.ct, patient.labels, np.arange(40) * 1.5 - 0.75)
    assert slabs.sum() == pytest.approx(score(patient.ct, patient.labels, preset="nlst-de-vos-2017").total.agatston)


def test_slice_scores_become_the_categories_they_fall_into():
    told = ScorePrediction("m", "", "", "screening-5", slice_agatston=np.array([-0.2, 0.4, 7.0, 90.0, 2000.0]))
    assert slice_categories(told).tolist() == [0, 0, 1, 2, 5]
    assert slice_categories(ScorePrediction("m", "", "", "screening-5")) is None


def test_a_scan_without_a_heart_counts_as_no_calcium(generated, monkeypatch):
    nothing = ScorePrediction("t", "", "", "screening-5", findings=(warning("heart-not-found", "No heart."),))
    monkeypatch.setitem(samples.METHODS, "totals", lambda ct: nothing)
    (result,) = evaluate_methods("gated", 1, [("totals", None)], preset=PRESET, scheme=SCHEME)
    assert (result.patient.predicted, result.patient.predicted_category) == ({"total": 0.0}, "0")
    assert (result.six_category[1], result.screening_category[1]) == ("0", "<1")
    assert result.screening_predicted == {"agatston": 0.0, "volume_mm3": 0.0}
    assert (result.heart_found, result.heart_overlap, result.attention_slices) == (False, 0.0, None)


def test_a_line_is_read_back_as_it_was_written(generated):
    for result in evaluate_methods("gated", 1, [(n, None) for n in samples.METHODS], preset=PRESET, scheme=SCHEME):
        assert EvaluatedPatient.from_dict(json.loads(json.dumps(result.as_dict()))) == result


def test_one_method_alone_is_judged_in_the_same_way(generated):
    alone = evaluate_patient("gated", 3, method="totals", model=None, preset=PRESET, scheme=SCHEME)
    (beside,) = evaluate_methods("gated", 3, [("totals", None)], preset=PRESET, scheme=SCHEME)
    assert replace(alone, seconds=0) == replace(beside.patient, seconds=0)


def run(folder, wanted, names=None, **options):
    wanted = [("gated", seed) for seed in wanted]
    return run_methods(wanted, folder, choose_methods(PRESET, names), preset=PRESET, **options)


def test_a_method_with_new_weights_is_run_again_alone(tmp_path, generated, bundles):
    told = []
    first = run(tmp_path / "out", [1, 2], tick=told.append)
    assert sorted(generated["patients"]) == [1, 2]
    assert sorted(told) == ["gated 1", "gated 2"]
    generated["methods"].clear()
    assert run(tmp_path / "out", [1, 2], tick=told.append) == first
    assert generated["methods"] == []
    bundles("classes", 2.0)
    again = run(tmp_path / "out", [1, 2])
    assert generated["methods"] == ["classes", "classes"]
    assert generated["patients"] == [1, 2, 1, 2]
    assert again["labels"] == first["labels"]
    rows = [json.loads(line) for line in (tmp_path / "out" / ROWS).read_text(encoding="utf-8").splitlines()]
    assert sorted((row["method"], row["patient"]["seed"]) for row in rows) == sorted(
        (name, seed) for name in samples.METHODS for seed in (1, 2)
    )
    assert all(set(row) >= {"run", "method", "patient"} for row in rows)


def test_a_stopped_run_goes_on_with_what_is_missing(tmp_path, generated, bundles):
    run(tmp_path, [1], ["labels", "totals"])
    with (tmp_path / ROWS).open("a", encoding="utf-8") as file:
        file.write('{"run": "a1", "method": "labels", "pati')  # the machine stopped here
    generated["methods"].clear()
    results = run(tmp_path, [1, 2])
    assert generated["methods"] == ["classes", "labels", "totals", "classes"]
    assert list(results) == list(samples.METHODS)
    assert all([r.patient.seed for r in rows] == [1, 2] for rows in results.values())
    assert len((tmp_path / ROWS).read_text(encoding="utf-8").splitlines()) == 6


def test_one_method_alone_takes_what_was_measured_with_all(tmp_path, generated, bundles):
    both = run(tmp_path, [1, 2])
    bundle = choose_methods(PRESET, ["labels"])[0].bundle
    known = measured_with_all(tmp_path, "labels", bundle, PRESET)
    assert sorted(known, key=lambda result: result.seed) == [r.patient for r in both["labels"]]
    assert measured_with_all(tmp_path, "labels", bundle, "nlst-de-vos-2017") == []
    assert measured_with_all(tmp_path / "elsewhere", "labels", bundle, PRESET) == []
    bundles("labels", 2.0)
    assert measured_with_all(tmp_path, "labels", choose_methods(PRESET, ["labels"])[0].bundle, PRESET) == []


def test_lines_of_methods_and_patients_that_nobody_asked_for_are_kept(tmp_path, generated, bundles):
    run(tmp_path, [1, 2])
    assert [r.patient.seed for r in run(tmp_path, [2], ["labels"])["labels"]] == [2]
    assert len((tmp_path / ROWS).read_text(encoding="utf-8").splitlines()) == 6


def test_running_again_from_the_start_is_for_the_chosen_methods_only(tmp_path, generated, bundles):
    run(tmp_path, [1])
    generated["methods"].clear()
    run(tmp_path, [1], ["labels"], resume=False)
    assert generated["methods"] == ["labels"]
    assert len((tmp_path / ROWS).read_text(encoding="utf-8").splitlines()) == 3


def test_an_evaluation_that_is_interrupted_keeps_what_is_done(tmp_path, generated, bundles, monkeypatch):
    futures = []

    class StopsAtTheSecond(HereAndNow):
        """The first patient is done, the second interrupts, the third waits."""

        def submit(self, function, *args, **options):
            future = super().submit(function, *args, **options) if args[1] == 1 else Future()
            if args[1] == 2:
                future.set_exception(KeyboardInterrupt())
            futures.append(future)
            return future

    monkeypatch.setattr(evaluation, "ProcessPoolExecutor", StopsAtTheSecond)
    monkeypatch.setattr(evaluation, "as_completed", list)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [1, 2, 3], ["labels"])
    assert len((tmp_path / ROWS).read_text(encoding="utf-8").splitlines()) == 1
    assert futures[2].cancelled()


def test_new_weights_of_the_model_that_finds_the_heart_are_another_run(tmp_path, bundles):
    runs = {m.name: m.run for m in choose_methods(PRESET)}
    bundles("heart", 2.0)
    after = {m.name: m.run for m in choose_methods(PRESET)}
    assert after["totals"] != runs["totals"]
    assert (after["labels"], after["classes"]) == (runs["labels"], runs["classes"])
    (labels,) = choose_methods(PRESET, ["labels"])
    assert run_id(labels.bundle, "labels", "ge-smartscore") != run_id(labels.bundle, "labels", PRESET)


def test_an_unknown_method_is_refused_and_sizes_are_those_of_the_files(tmp_path, bundles):
    with pytest.raises(ModelError, match="There is no method 'nobody': choose one of labels, totals, classes"):
        choose_methods(PRESET, ["nobody"])
    size = (tmp_path / "labels" / "models" / "model.pt").stat().st_size
    assert megabytes(choose_methods(PRESET, ["labels"])) == {"labels": size / 1e6}


def test_the_command_runs_all_and_fills_the_page(tmp_path, generated, bundles, capsys):
    page = tmp_path / "methods.md"
    page.write_text(f"# Mine\n{BEGIN}\nnothing yet\n{END}\nafter\n", encoding="utf-8")
    out = tmp_path / "out"
    arguments = ["evaluate", "all", "--patients", "2", "--workers", "1", "--output", str(out), "--page", str(page)]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "### de Vos 2017" in shown
    assert len((out / ROWS).read_text(encoding="utf-8").splitlines()) == 8 * 3
    text = page.read_text(encoding="utf-8")
    assert "nothing yet" not in text
    assert text.startswith("# Mine\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "](figures/methods/totals.png)" in text
    assert (tmp_path / "figures" / "methods" / "classes.png").stat().st_size > 0
    document = json.loads((out / "methods.json").read_text(encoding="utf-8"))
    assert document["summary"]["labels"]["gated"]["six:accuracy"] == {
        "value": 0.0,
        "low": pytest.approx(0.0),
        "high": pytest.approx(0.6576, abs=1e-4),
        "n": 2,
    }
    assert [m["method"] for m in document["models"]] == list(samples.METHODS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["all", "--model", "x"], "--model goes with one method"),
        (["all", "--ablation"], "--ablation goes with one method"),
        (["all", "--with", "stent"], "--with goes with one method"),
        (["labels", "--with", "halo"], "There is no mimic 'halo'"),
        (["labels", "--with", "stent", "--page", "x.md"], "it does not go with --data, --ablation or --page"),
        (["all", "--methods", "nobody"], "There is no method 'nobody'"),
        (["labels", "--methods", "totals"], "--methods goes with 'cacscoring evaluate all'"),
        (["totals", "--ablation"], "--ablation is for methods that decide about lesions"),
    ],
)
def test_options_that_mean_nothing_are_refused(tmp_path, generated, bundles, capsys, arguments, words):
    assert main(["evaluate", *arguments, "--output", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert generated["patients"] == []


def test_a_page_without_a_place_is_refused_before_anything_is_generated(tmp_path, generated, bundles, capsys):
    page = tmp_path / "page.md"
    page.write_text("no place", encoding="utf-8")
    assert main(["evaluate", "all", "--output", str(tmp_path / "out"), "--page", str(page)]) == 2
    assert "needs one line" in capsys.readouterr().err
    assert generated["patients"] == []
