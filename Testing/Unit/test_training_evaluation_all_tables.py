"""The papers' tables: figures worked out by hand, and how a page shows them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from cohort_samples import NGUYEN, SARTORETTI
from evaluation_samples import FIVE, FOUR, SIX, a_result

from CACScoringLib.cohort.agreement import icc_2_1, kappa_of_matrix
from CACScoringLib.cohort.agreement_categories import category_agreement
from CACScoringLib.resources import resources_dir
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.training import paper_figures
from CACScoringLib.training.evaluation import summarize
from CACScoringLib.training.evaluation_page import BEGIN, END, cell, check_page, write_evaluation
from CACScoringLib.training.evaluation_page import as_markdown as one_method
from CACScoringLib.training.method_figures import figures_of, share, summarize_method
from CACScoringLib.training.methods_page import as_markdown, paper_table, verdicts_of, write_methods
from CACScoringLib.training.paper_figures import (
    DE_VOS,
    NGUYEN_CLASSES,
    PIESZKO,
    TABLES,
    printed,
    verdict,
    with_interval,
)

MODELS = [{"method": "m", "model": "m", "sha256": "0" * 64, "megabytes": 12.0, "run": "a1"}]


def rows_of(lines):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_groups_of_the_lung_screening_paper_are_counted_by_hand():
    truth, found = [0.0, 5.0, 50.0, 200.0, 900.0], [0.5, 5.0, 99.0, 200.0, 300.0]
    results = [
        a_result(
            seed=n,
            protocol="chest",
            reference=a,
            predicted={"total": b},
            five=(FIVE[n], FIVE[min(n, 3)]),
            screening_reference={"agatston": a, "volume_mm3": 2 * a},
            screening_predicted={"agatston": b, "volume_mm3": 2 * b},
        )
        for n, (a, b) in enumerate(zip(truth, found, strict=True))
    ]
    figures = figures_of(results)
    assert figures["screening:accuracy"].value == pytest.approx(0.8)
    # Wilson's interval of 4 of 5.
    assert (figures["screening:accuracy"].low, figures["screening:accuracy"].high) == pytest.approx(
        (0.3755, 0.9638), abs=1e-4
    )
    # One step of four off in one of five; expected by chance from rows 1,1,1,1,1 and columns 1,1,1,2,0.
    distance = np.abs(np.subtract.outer(range(5), range(5))) / 4
    expected = (distance * np.outer(np.full(5, 0.2), np.array([1, 1, 1, 2, 0]) / 5)).sum()
    assert figures["screening:kappa"].value == pytest.approx(1 - (0.25 / 5) / expected)
    assert figures["screening:icc_agatston"] == icc_2_1(truth, found)
    assert figures["screening:icc_volume"].value == pytest.approx(figures["screening:icc_agatston"].value)
    assert figures["icc:total"] == icc_2_1(truth, found)
    assert "icc:LAD" not in figures


def test_four_groups_give_kappa_reclassification_and_the_share_right_in_each():
    pairs = [(FOUR[i], FOUR[j]) for i in range(4) for j in range(4) for _ in range(int(SARTORETTI[i, j]))]
    figures = figures_of([a_result(seed=n, four=pair) for n, pair in enumerate(pairs)])
    assert figures["kappa_quadratic"].value == pytest.approx(0.977, abs=0.0005)
    assert figures["kappa_linear"] == kappa_of_matrix(SARTORETTI, "linear")
    assert figures["reclassified"].value == pytest.approx(4 / 112)
    assert figures["right:>100-400"].value == pytest.approx(23 / 26)
    assert (figures["right:0"].value, figures["right:0"].n) == (0.0, 1)


def test_six_classes_are_measured_for_patients_and_for_slices_in_both_ways():
    slices = [tuple(tuple(int(v) for v in row) for row in matrix) for matrix in (np.eye(6, dtype=int), 2 * NGUYEN)]
    first = a_result(predicted=None, four=("0", "0"), six=("0", "0"), slices=slices[0])
    second = a_result(seed=1, predicted=None, four=(">400", ">400"), six=(">1000", ">400-1000"), slices=slices[1])
    figures = figures_of([first, second])
    assert (figures["six:accuracy"].value, figures["six:recall"].value) == (0.5, pytest.approx(1 / 3))
    own = category_agreement(np.eye(6, dtype=int) + 2 * NGUYEN)
    assert figures["own:accuracy"] == own.accuracy
    assert figures["own:precision:>10-100"].value == pytest.approx((1 + 2 * 206) / (1 + 2 * 210))
    # Against the category of the patient: six slices of the first, of which one is said to hold none, and
    # all others of the second, of which 2 x 299 are said to be above 1000.
    assert figures["slices:recall:0"].value == pytest.approx(1 / 6)
    assert figures["slices:recall:>1000"].value == pytest.approx(299 / 1385)
    assert figures["slices:accuracy"].n == 6 + 2 * 1385
    assert "icc:total" not in figures


def test_attention_heart_and_time_are_shares_and_means():
    results = [
        a_result(seed=0, attention_slices=3, attention_hits=3, heart_overlap=0.9, seconds=0.8, ct_slices=50),
        a_result(seed=1, attention_slices=7, attention_hits=5, heart_overlap=0.7, seconds=1.6, ct_slices=70),
        a_result(seed=2, heart_found=False, heart_overlap=0.0, seconds=0.6, ct_slices=60),
    ]
    figures = figures_of(results)
    assert figures["attention"] == share(8, 10)
    assert figures["heart_overlap"].value == pytest.approx(1.6 / 3)
    assert figures["heart_found"] == share(2, 3)
    assert (figures["seconds_mean"].value, figures["seconds_max"].value) == (pytest.approx(1.0), 1.6)
    assert figures["seconds_within"] == share(2, 3)
    assert figures["ct_slices"].value == 60
    assert "seconds_within" not in figures_of([a_result(protocol="pet-ctac")])
    assert "attention" not in figures_of([a_result()])


def test_figures_are_for_all_patients_and_for_each_protocol():
    results = [a_result(seed=n, protocol=p, reference=9.0, predicted=8.0) for n, p in enumerate(("gated", "chest"))]
    found = summarize_method(results)
    assert list(found) == ["all", "chest", "gated"]
    assert found["all"]["heart_found"].n == 2


def test_what_the_papers_print_agrees_with_itself():
    means = np.array(NGUYEN_CLASSES).mean(axis=0)
    np.testing.assert_allclose(means, 0.965, atol=1e-3)
    right = [figure.value for figure in paper_figures.SARTORETTI.figures if figure.key == "reclassified"]
    assert right == [pytest.approx(0.036, abs=5e-4)]
    best = [max(float(row[column][:4]) for row in paper_figures.DE_VOS_EXPERIMENTS) for column in (2, 3, 4, 5)]
    assert best == [figure.value for figure in DE_VOS.figures]
    assert {(table.paper, table.method) for table in TABLES} == {
        ("000", "multibranch-unet"),
        ("001", "convlstm"),
        ("003", "six-class"),
        ("004", "slice-regression"),
    }


def test_every_printed_figure_is_one_that_can_be_measured():
    assert SCHEMES["nguyen-6"].groups == SIX
    results = []
    for n in range(4):
        scores = dict.fromkeys(("total", "LM", "LAD", "LCX", "RCA"), 100.0 * n)
        one = a_result(
            seed=n,
            four=(FOUR[n], FOUR[n]),
            five=(FIVE[n], FIVE[n]),
            six=(SIX[n], SIX[n]),
            screening_reference={"agatston": 100.0 * n, "volume_mm3": 90.0 * n},
            screening_predicted={"agatston": 100.0 * n, "volume_mm3": 90.0 * n},
            slices=tuple(map(tuple, np.eye(6, dtype=int).tolist())),
        )
        results.append(replace(one, patient=replace(one.patient, reference=scores, predicted=scores)))
    assert {figure.key for table in TABLES for figure in table.figures} <= set(figures_of(results))


def test_a_figure_is_reached_where_it_is_as_good_as_the_printed_one():
    kappa, moved = PIESZKO.figures[0], paper_figures.SARTORETTI.figures[-1]
    assert verdict(PIESZKO, kappa, "pet-ctac", "m", share(83, 100)).words() == "reached"
    assert verdict(PIESZKO, kappa, "pet-ctac", "m", share(80, 100)).words() == "**missed** by 0.030"
    assert verdict(PIESZKO, kappa, "pet-ctac", "m", share(829999, 10**6)).words() == "**missed** by less than 0.001"
    assert verdict(PIESZKO, kappa, "pet-ctac", "m", None).words() == "-"
    assert not verdict(PIESZKO, kappa, "pet-ctac", "m", None).reached
    assert verdict(PIESZKO, moved, "gated", "m", share(3, 112)).words() == "reached"
    assert verdict(PIESZKO, moved, "gated", "m", share(8, 112)).words() == "**missed** by 3.6 %"
    assert verdict(PIESZKO, PIESZKO.figures[1], "pet-ctac", "m", share(1, 2)).words() == "-"


def test_numbers_are_written_with_their_interval_where_there_is_one():
    assert with_interval("kappa_linear", share(1, 2)) == "0.500 [0.095, 0.905]"
    assert with_interval("reclassified", share(1, 2)) == "50.0 % [9.5 %, 90.5 %]"
    assert printed(DE_VOS.figures[0]) == "0.98 [0.97, 0.98] (i)"
    assert printed(PIESZKO.figures[1]) == "-"
    assert printed(paper_figures.SARTORETTI.figures[0]) == "0.986 [0.979, 0.990]"
    assert printed(paper_figures.SARTORETTI.figures[-1]) == "3.6 %"


@pytest.fixture
def two_methods():
    """One that labels, and one that gives categories only, on six patients of two protocols."""
    both = {"multibranch-unet": [], "six-class": []}
    for n, (protocol, total, said) in enumerate(
        (
            ("gated", 0.0, 0.0),
            ("gated", 40.0, 44.0),
            ("gated", 300.0, 280.0),
            ("chest", 0.0, 5.0),
            ("chest", 90.0, 80.0),
            ("chest", 500.0, 510.0),
        )
    ):
        four = tuple(SCHEMES["spect-pet-4"].group(v) for v in (total, said))
        six = tuple(SCHEMES["nguyen-6"].group(v) for v in (total, said))
        five = tuple(SCHEMES["screening-5"].group(v) for v in (total, said))
        common = {"protocol": protocol, "seed": n, "reference": total, "four": four, "six": six}
        both["multibranch-unet"].append(a_result("multibranch-unet", predicted=said, five=five, **common))
        both["six-class"].append(a_result("six-class", predicted=None, five=(five[0], None), **common))
    return both


def test_a_method_has_no_row_for_what_it_does_not_give(two_methods):
    summary = {name: summarize_method(rows) for name, rows in two_methods.items()}
    head, _, *rows = rows_of(paper_table(paper_figures.SARTORETTI, summary))
    assert head == ["", "method", "all", "chest", "gated", "printed", "on gated", "on spect-ctac"]
    assert [row[0] for row in rows if row[1] == "six-class"] == ["quadratic kappa", "reclassified"]
    assert [row[0] for row in rows if row[1] == "**multibranch-unet**"] == [
        "ICC total",
        "ICC LAD",
        "quadratic kappa",
        "reclassified",
    ]
    moved = next(row for row in rows if row[:2] == ["reclassified", "six-class"])
    assert moved[3].startswith("33.3 % [")
    assert moved[5:] == ["3.6 %", "reached", "-"]
    assert not paper_table(DE_VOS, {"six-class": summary["six-class"]})[2:]


def test_what_is_missed_is_counted_for_the_method_that_follows_the_paper(two_methods):
    summary = {name: summarize_method(rows) for name, rows in two_methods.items()}
    verdicts = {(v.method, v.protocol, v.figure.key): v for v in verdicts_of(summary)}
    assert len(verdicts) == 2 * 7 + 1 + 10 + 4
    assert verdicts["multibranch-unet", "gated", "reclassified"].reached
    assert verdicts["six-class", "gated", "six:accuracy"].reached
    assert verdicts["convlstm", "pet-ctac", "kappa_linear"].value is None
    page = as_markdown(summary, {"preset": "p"}, MODELS)
    reached = sum(v.reached for v in verdicts.values())
    assert f"Of the 29 printed figures (each on each protocol of its paper), {reached} are reached" in page
    assert "| convlstm | pet-ctac | linear kappa | not measured | 0.83 [0.80, 0.85] | - |" in page
    assert "Weights of these methods together: 12.0 MB; at most 40 MB: reached." in page
    heavy = as_markdown(summary, {}, [{**MODELS[0], "megabytes": 41.5}])
    assert "**missed** by 1.5 MB" in heavy


def test_time_is_held_against_the_limit_of_its_protocol():
    slow = {"m": summarize_method([a_result(protocol=p, seconds=2.0, ct_slices=80) for p in ("gated", "chest")])}
    page = as_markdown(slow | {"n": summarize_method([a_result(protocol="pet-ctac", seconds=9.0)])}, {}, MODELS)
    assert "| gated | m | 80 | 2.00 | 2.00 | 0.0 % [0.0 %, 79.3 %] | 1 s | **missed** by 1.00 s |" in page
    assert "| chest | m | 80 | 2.00 | 2.00 | 100.0 % [20.7 %, 100.0 %] | 3 s for 300 slices | reached |" in page
    assert "| pet-ctac | n | 0 | 9.00 | 9.00 | - | - | - |" in page


def test_attention_is_held_against_its_floor():
    def words(hits):
        found = [a_result("m", attention_slices=10, attention_hits=hits)]
        return as_markdown({"m": summarize_method(found)}, {}, MODELS)

    assert "| 90.0 % [59.6 %, 98.2 %] | 90.0 % [59.6 %, 98.2 %] | reached |" in words(9)
    assert "**missed** by 10.0 %" in words(8)


def test_page_document_and_a_figure_for_each_method_are_written(tmp_path, two_methods):
    summary = {name: summarize_method(rows) for name, rows in two_methods.items()}
    written = write_methods(tmp_path, two_methods, summary, {"preset": "p"}, MODELS)
    assert written == ["methods.md", "methods.json", "figures/multibranch-unet.png", "figures/six-class.png"]
    assert all((tmp_path / name).stat().st_size > 0 for name in written)
    document = json.loads((tmp_path / "methods.json").read_text(encoding="utf-8"))
    assert document["summary"]["six-class"]["gated"]["six:accuracy"]["value"] == 1.0
    assert "icc:total" not in document["summary"]["six-class"]["gated"]
    assert len(document["printed"]) == 29
    page = (tmp_path / "methods.md").read_text(encoding="utf-8")
    assert "Synthetic patients only" in page
    assert "| patients | six-class | >10-100 | 1.000 / 0.972 | 1.000 / 0.952 | 1.000 / 0.964 |" in page


def test_one_method_that_labels_nothing_shows_a_dash_and_no_zero(tmp_path, two_methods):
    patients = [r.patient for r in two_methods["six-class"]]
    summary = summarize(patients)
    group = summary["all"]
    assert [cell(group, key) for key in ("icc:total", "icc:LAD", "lesion_sensitivity", "right_vessel")] == ["-"] * 4
    assert cell(group, "false_lesions_per_scan") == "-"
    assert cell(group, "zero") == "1 of 2"
    assert group["kappa_linear"] == pytest.approx(
        summarize_method(two_methods["six-class"])["all"]["kappa_linear"].value
    )
    page = one_method(summary, {"method": "six-class"})
    assert "| ICC(2,1) LM [95 % CI] | - | - | - |" in page
    assert "| gated | ICC LM | at least 0.900 | not measured | **missed** |" in page
    written = write_evaluation(tmp_path, patients, summary, {"method": "six-class"})
    assert written == ["evaluation.md", "evaluation.json", "figures/confusion.png"]


def test_a_method_that_gives_totals_but_no_category_of_the_scheme_shows_a_dash():
    patients = [a_result(seed=n, predicted={"total": 1.0 * n}, four=("0", None)).patient for n in range(3)]
    group = summarize(patients)["all"]
    assert [cell(group, key) for key in ("kappa_linear", "reclassified", "zero")] == ["-"] * 3
    assert cell(group, "icc:total") != "-"
    assert group["confusion"] is None


def test_the_documentation_has_a_place_and_says_what_was_not_measured():
    page = resources_dir() / "Documentation" / "methods.md"
    text = check_page(page)
    measured = text[text.index(BEGIN) : text.index(END)]
    assert "Nothing was measured yet" in measured or "### What is missed" in measured
