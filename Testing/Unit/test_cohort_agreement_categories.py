"""Risk categories: the tables of the papers, and independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cohort_samples import NGUYEN, SARTORETTI

from CACScoringLib.cohort.agreement import kappa_of_matrix
from CACScoringLib.cohort.agreement_categories import (
    agreement_in_scheme,
    category_agreement,
    category_indices,
    paired_reclassification_test,
    proportions_test,
)
from CACScoringLib.cohort.category_table import read_category_table
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.scoring.risk import SCHEMES

GROUPS = ("0", "1-100", "101-400", ">400")
FLEISS_COHEN_EVERITT = np.array([[106, 10, 4], [22, 28, 10], [2, 12, 6]])
"""Psychol Bull 1969;72:323-7: two psychiatrists, 200 patients; printed kappa 0.429."""


def lists(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.indices(matrix.shape)
    return np.repeat(rows.ravel(), matrix.ravel()), np.repeat(columns.ravel(), matrix.ravel())


def test_sartoretti_2023_table_2() -> None:
    entry = category_agreement(SARTORETTI, GROUPS)
    assert entry.kappa["quadratic"].value == pytest.approx(0.977, abs=0.0005)
    assert (entry.moved.changed, entry.moved.n) == (4, 112)
    assert round(100 * entry.moved.rate, 1) == 3.6
    assert (entry.moved.up, entry.moved.down, entry.moved.by_more_than_one) == (3, 1, 0)
    # the concordance column of the table: 100 %, 88.5 %, 100 %
    assert [round(100 * report.recall, 1) for report in entry.classes] == [0, 100, 88.5, 100]


def test_nguyen_2025_figure_3() -> None:
    entry = category_agreement(NGUYEN)
    assert entry.kappa["unweighted"].value == pytest.approx(0.960, abs=0.0005)
    assert entry.moved.changed == 46
    # the text: 98.4 %, 100 %, 95.4 % and 94.4 % of the first four classes are right
    assert [round(100 * report.recall, 1) for report in entry.classes[:4]] == [98.4, 100, 95.4, 94.4]
    assert entry.accuracy.value == pytest.approx(1339 / 1385)


@pytest.mark.parametrize("matrix", [SARTORETTI, NGUYEN, FLEISS_COHEN_EVERITT])
@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_kappa_and_its_interval_are_those_of_statsmodels(matrix, weights) -> None:
    from statsmodels.stats.inter_rater import cohens_kappa

    theirs, ours = cohens_kappa(matrix, wt=weights), kappa_of_matrix(matrix, weights)
    assert ours.value == pytest.approx(theirs.kappa)
    assert ours.low == pytest.approx(theirs.kappa_low, abs=1e-6)
    assert ours.high == pytest.approx(min(theirs.kappa_upp, 1), abs=1e-6)


def test_kappa_of_fleiss_cohen_and_everitt_1969() -> None:
    assert kappa_of_matrix(FLEISS_COHEN_EVERITT).value == pytest.approx(0.429, abs=0.0005)


@pytest.mark.parametrize("matrix", [SARTORETTI, NGUYEN])
def test_precision_recall_and_f1_are_those_of_scikit_learn(matrix) -> None:
    from sklearn.metrics import precision_recall_fscore_support

    reference, measured = lists(matrix)
    entry = category_agreement(matrix)
    labels = range(len(matrix))
    theirs = precision_recall_fscore_support(reference, measured, labels=labels, zero_division=np.nan)
    for i, report in enumerate(entry.classes):
        ours = (report.precision, report.recall, report.f1)
        assert ours == pytest.approx([part[i] for part in theirs[:3]], nan_ok=True)
    macro = precision_recall_fscore_support(reference, measured, average="macro", zero_division=0)
    assert (entry.macro.precision, entry.macro.recall, entry.macro.f1) == pytest.approx(macro[:3])


def test_a_category_that_nobody_has_or_gets_is_not_in_the_mean() -> None:
    entry = category_agreement(np.array([[3, 0, 0], [0, 0, 0], [1, 0, 4]]))
    assert math.isnan(entry.classes[1].f1)
    assert entry.macro.recall == pytest.approx((1 + 0.8) / 2)


@pytest.mark.parametrize("name", SCHEMES)
def test_many_scores_fall_into_the_same_groups_as_one(name) -> None:
    scheme = SCHEMES[name]
    scores = [0, 0.4, 0.9999999, 1, 1.2, 9.9, 10, 10.00000001, 99.9, 100, 100.1, 299, 300, 399.9, 400, 1000, 1001, 5e4]
    assert category_indices(scheme, scores).tolist() == [scheme.index(score) for score in scores]


def test_a_negative_score_has_no_category() -> None:
    with pytest.raises(InputRefusedError):
        category_indices(SCHEMES["clinical-5"], [1, -1])


def test_scores_and_their_matrix_say_the_same() -> None:
    entry = agreement_in_scheme("spect-pet-4", [0, 50, 100, 101, 500], [0, 50, 101, 101, 300])
    assert entry.matrix.tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    assert (entry.moved.up, entry.moved.down) == (1, 1)


def test_one_category_has_no_kappa() -> None:
    entry = agreement_in_scheme("spect-pet-4", [1, 2, 3], [3, 2, 1])
    assert entry.one_category
    assert all(math.isnan(kappa.value) for kappa in entry.kappa.values())


def test_kappa_has_no_interval_where_one_side_knows_a_single_category() -> None:
    kappa = kappa_of_matrix(np.array([[3, 1], [0, 0]]))
    assert kappa.value == 0
    assert math.isnan(kappa.low)
    assert math.isnan(kappa.high)


@pytest.mark.parametrize(
    "matrix", [[[1, 2, 3], [4, 5, 6]], [[1, -1], [0, 2]], [[0.5, 1], [1, 1]], [[0, 0], [0, 0]], [[3]]]
)
def test_what_is_no_confusion_matrix_is_refused(matrix) -> None:
    with pytest.raises(InputRefusedError) as caught:
        category_agreement(np.array(matrix))
    assert caught.value.finding.code == "category-table"


def test_a_category_table_is_read_from_a_file(tmp_path) -> None:
    path = tmp_path / "table-2.csv"
    lines = [
        "," + ",".join(GROUPS),
        *(f"{g},{','.join(map(str, row))}" for g, row in zip(GROUPS, SARTORETTI, strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")
    entry = read_category_table(path)
    assert entry.categories == GROUPS
    assert entry.matrix.tolist() == SARTORETTI.tolist()
    path.write_text("reference,0,1\n1,3,4\n0,5,6\n")
    with pytest.raises(InputRefusedError, match="same categories in the same order"):
        read_category_table(path)


def test_the_paired_z_test_is_mcnemars_of_statsmodels() -> None:
    from statsmodels.stats.contingency_tables import mcnemar

    first, second = np.zeros(200, bool), np.zeros(200, bool)
    first[:45], second[30:50] = True, True  # 30 only by the first, 5 only by the second, 15 by both
    test = paired_reclassification_test(first, second)
    theirs = mcnemar([[15, 30], [5, 150]], exact=False, correction=False)
    assert (test.first, test.second) == (0.225, 0.1)
    assert (test.z**2, test.p) == pytest.approx((theirs.statistic, theirs.pvalue))


def test_few_discordant_cases_are_tested_exactly() -> None:
    # as in Sartoretti 2023, 1 and 3 of 56 reclassified: 2 of 2 discordant, p = 2 * 0.5^2
    first, second = np.zeros(56, bool), np.zeros(56, bool)
    first[0], second[:3] = True, True
    test = paired_reclassification_test(first, second)
    assert test.p == pytest.approx(0.5)
    assert "exact" in test.note
    assert math.isnan(paired_reclassification_test(first, first).p)


def test_the_unpaired_z_test_is_that_of_statsmodels() -> None:
    from statsmodels.stats.proportion import proportions_ztest

    test = proportions_test(15, 120, 31, 140)
    assert (test.z, test.p) == pytest.approx(proportions_ztest([15, 31], [120, 140]))
    assert math.isnan(proportions_test(0, 10, 0, 12).p)
