"""Kaplan-Meier, log-rank, Cox and concordance: worked examples, independent implementations, known hazard ratios."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

pd = pytest.importorskip("pandas")
lifelines = pytest.importorskip("lifelines")

from CACScoringLib.cohort.concordance import concordance  # noqa: E402
from CACScoringLib.cohort.cox import covariate_models, cox_model  # noqa: E402
from CACScoringLib.cohort.follow_up import follow_up  # noqa: E402
from CACScoringLib.cohort.simulation import (  # noqa: E402
    CATEGORY_COUNTS,
    HAZARD_RATIOS,
    Truth,
    simulated_cohort,
)
from CACScoringLib.cohort.survival import holm, kaplan_meier, log_rank, median_follow_up  # noqa: E402

# Freireich et al., Blood 1963;21:699-716: weeks of remission under 6-mercaptopurine and under placebo; the worked
# example of Collett and of most books on survival. 1: relapse, 0: still in remission.
MERCAPTOPURINE = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSED = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
REPETITIONS = 200


def leukaemia():
    """Return the trial as if placebo were a score above 400 and treatment a score of 0."""
    frame = pd.DataFrame(
        {
            "agatston": [0.0] * 21 + [500.0] * 21,
            "weeks": MERCAPTOPURINE + PLACEBO,
            "relapse": RELAPSED + [1] * 21,
        }
    )
    return follow_up(frame, time="weeks", event="relapse", unit="weeks")


@pytest.fixture(scope="module")
def simulated():
    frame = simulated_cohort(1, 1500, covariates=True)
    return follow_up(frame, time="years", event="mace", compare="agatston_standard", covariates=["mfr", "sds"])


def test_kaplan_meier_is_that_of_the_textbooks():
    treated, placebo = kaplan_meier(leukaemia(), leukaemia().scores[0])
    # Cox and Oakes 1984, table 1.2: 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448
    weeks = (6, 7, 10, 13, 16, 22, 23)
    assert [round(treated.at(week).value, 3) for week in weeks] == [0.857, 0.807, 0.753, 0.69, 0.627, 0.538, 0.448]
    assert placebo.at(8).value == pytest.approx(8 / 21)
    assert (treated.n, treated.events, placebo.n, placebo.events) == (21, 9, 21, 21)


def test_numbers_at_risk_are_those_followed_just_before():
    treated, placebo = kaplan_meier(leukaemia(), leukaemia().scores[0])
    assert treated.at_risk([0, 6, 6.5, 10, 20, 35, 36]).tolist() == [21, 21, 17, 15, 8, 1, 0]
    assert placebo.at_risk([0, 8, 12]).tolist() == [21, 12, 6]
    assert math.isnan(treated.at(40).value)


def test_the_interval_of_kaplan_meier_is_log_log():
    treated, _ = kaplan_meier(leukaemia(), leukaemia().scores[0])
    # Greenwood at 6 weeks: 3 / (21 * 18); on the log(-log) scale
    survival, spread = 18 / 21, math.sqrt(3 / (21 * 18)) / -math.log(18 / 21)
    low, high = (survival ** math.exp(sign * 1.959964 * spread) for sign in (1, -1))
    assert (treated.at(6).low, treated.at(6).high) == pytest.approx((low, high), abs=1e-6)


def test_log_rank_is_that_of_the_textbooks():
    # 16.79 with one degree of freedom, Kleinbaum and Klein 2012, chapter 2
    test = log_rank(leukaemia(), leukaemia().scores[0])
    assert test.statistic == pytest.approx(16.79, abs=0.005)
    assert test.p == pytest.approx(stats.chi2.sf(16.793, 1), rel=1e-3)
    assert test.pairs == (("0", ">400", pytest.approx(test.p), pytest.approx(test.p)),)


def test_cox_is_that_of_the_textbooks():
    # Efron's ties: coefficient 1.572, standard error 0.412, ratio 4.82 (2.15-10.8); R survival's coxph on gehan
    model, findings = cox_model(leukaemia(), leukaemia().scores[0])
    reference, placebo = model.terms
    assert (reference.name, reference.ratio, reference.reference) == ("0", 1.0, True)
    assert math.log(placebo.ratio) == pytest.approx(1.5721, abs=1e-4)
    assert math.log(placebo.high / placebo.low) / (2 * 1.959964) == pytest.approx(0.4124, abs=1e-4)
    assert (placebo.n, placebo.events) == (21, 21)
    assert placebo.schoenfeld_p > 0.5
    assert findings == []


def test_a_multivariable_model_agrees_with_statsmodels(simulated):
    duration = pytest.importorskip("statsmodels.duration.hazard_regression")
    score = simulated.scores[0]
    model, _ = cox_model(simulated, score, adjusted=True)
    design = np.column_stack([*(score.category == i for i in (1, 2, 3)), simulated.covariates.to_numpy()]).astype(float)
    other = duration.PHReg(simulated.time, design, status=simulated.event.astype(int), ties="efron").fit()
    ours = np.log([term.ratio for term in model.terms[1:]])
    errors = [math.log(term.high / term.low) / (2 * 1.959964) for term in model.terms[1:]]
    assert ours == pytest.approx(other.params, abs=1e-4)
    assert errors == pytest.approx(other.bse, rel=1e-4)
    assert [term.name for term in model.terms] == ["0", ">0-100", ">100-400", ">400", "mfr", "sds"]


def test_each_covariate_has_a_ratio_of_its_own(simulated):
    ratios, findings = covariate_models(simulated)
    assert [term.name for term in ratios] == ["mfr", "sds"]
    assert ratios[0].low < 0.75 < ratios[0].high
    assert findings == []


def test_hazards_that_cross_are_called_not_proportional():
    rng = np.random.default_rng(0)
    early, late = rng.uniform(0, 1, 200), rng.uniform(1, 2, 200)
    frame = pd.DataFrame(
        {
            "agatston": np.repeat([0.0, 50.0], 200),
            "years": np.r_[rng.uniform(0, 3, 200), np.where(np.arange(200) < 120, early, late + 1)],
            "died": 1,
        }
    )
    patients = follow_up(frame, time="years", event="died")
    model, findings = cox_model(patients, patients.scores[0])
    assert model.terms[1].schoenfeld_p < 0.05
    assert [finding.code for finding in findings] == ["hazards-not-proportional"]
    assert "category >0-100" in findings[0].message


def test_holm_multiplies_the_smallest_by_the_number_of_tests():
    # 0.01 * 4; max(0.04, 0.02 * 3); max(0.06, 0.03 * 2); 0.5
    assert holm([0.01, 0.5, 0.02, 0.03]) == pytest.approx([0.04, 0.5, 0.06, 0.06])
    assert holm([math.nan, 0.01, 0.02])[1:] == pytest.approx([0.02, 0.02])


def test_the_concordance_is_that_of_lifelines_ties_included():
    rng = np.random.default_rng(2)
    time, event = rng.integers(1, 30, 400).astype(float), rng.random(400) < 0.4
    score = np.round(rng.gamma(1, 100, 400) / time, -1)
    expected = lifelines.utils.concordance_index(time, -score, event)
    assert concordance(time, event, [score]).scores[0].value == pytest.approx(expected, abs=1e-12)


def test_concordance_by_hand():
    # Known pairs (1,2) (1,3) (1,4) (2,3) (2,4): right, right, right, wrong, right; then right, right, tie, wrong, wrong
    measured = concordance([1, 2, 3, 4], [True, True, False, False], [[5, 3, 4, 2]])
    assert measured.scores[0].value == pytest.approx(4 / 5)
    assert concordance([1, 2, 3, 4], [True, True, False, False], [[5, 3, 4, 5]]).scores[0].value == pytest.approx(
        2.5 / 5
    )


def test_the_interval_of_the_concordance_and_of_a_difference_agree_with_the_bootstrap(simulated):
    chosen = np.arange(400)
    time, event = simulated.time[chosen], simulated.event[chosen]
    scores = [score.value[chosen] for score in simulated.scores]
    measured = concordance(time, event, scores)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(300):
        i = rng.integers(0, len(time), len(time))
        again = concordance(time[i], event[i], [score[i] for score in scores])
        drawn.append([again.scores[0].value, again.difference.value])
    spread = np.std(drawn, axis=0)
    half = [(part.high - part.low) / 2 / 1.959964 for part in (measured.scores[0], measured.difference)]
    assert half == pytest.approx(spread, rel=0.15)


def test_two_equal_scores_do_not_differ():
    measured = concordance([1, 2, 3], [True, True, False], [[3, 2, 1], [30, 20, 10]])
    assert measured.difference.value == 0
    assert math.isnan(measured.p)


def test_the_simulated_cohort_is_that_of_paper_001():
    patients = follow_up(simulated_cohort(0, 20000), time="years", event="mace")
    counts = np.bincount(patients.scores[0].category) / 20000
    assert counts == pytest.approx(np.array(CATEGORY_COUNTS) / 2737, abs=0.01)
    assert patients.event.mean() == pytest.approx(0.31, abs=0.015)
    # follow-up of those without an event is cut by events; with none at all its quartiles are those of the paper
    calm = follow_up(
        simulated_cohort(0, 20000, Truth(base_hazard=1e-5)).assign(mace=[1] + [0] * 19999), time="years", event="mace"
    )
    assert median_follow_up(calm) == pytest.approx((4.3, 2.5, 6.6), abs=0.1)


def test_cox_covers_the_true_hazard_ratios_in_95_percent_of_200_repetitions():
    covered = np.zeros((REPETITIONS, 3), dtype=bool)
    ratios = np.zeros((REPETITIONS, 3))
    for seed in range(REPETITIONS):
        patients = follow_up(simulated_cohort(seed, months=True), time="years", event="mace")
        model, _ = cox_model(patients, patients.scores[0], check=False)
        for k, term in enumerate(model.terms[1:]):
            covered[seed, k] = term.low <= HAZARD_RATIOS[k + 1] <= term.high
            ratios[seed, k] = math.log(term.ratio)
    assert covered.mean(axis=0).min() >= 0.90
    assert covered.mean(axis=0).max() <= 0.98
    # and without bias: the mean of 200 log ratios lies within 3 of its standard errors (0.09 / sqrt(200))
    assert ratios.mean(axis=0) == pytest.approx(np.log(HAZARD_RATIOS[1:]), abs=3 * 0.09 / math.sqrt(REPETITIONS))


def test_what_each_patient_adds_is_what_a_count_of_all_pairs_gives():
    rng = np.random.default_rng(8)
    time, event, score = rng.integers(1, 12, 80).astype(float), rng.random(80) < 0.5, rng.integers(0, 9, 80)
    right, known = np.zeros((80, 80)), np.zeros((80, 80))
    for i in np.flatnonzero(event):
        for j in range(80):
            if time[j] > time[i] or (time[j] == time[i] and not event[j]):
                known[i, j] = known[j, i] = 1
                right[i, j] = right[j, i] = (score[i] > score[j]) + 0.5 * (score[i] == score[j])
    value = right.sum() / known.sum()
    error = np.sqrt((((right.sum(1) - value * known.sum(1)) / (known.sum() / 2)) ** 2).sum())
    measured = concordance(time, event, [score]).scores[0]
    assert (measured.value, measured.high - measured.value) == pytest.approx((value, 1.959964 * error), rel=1e-6)
