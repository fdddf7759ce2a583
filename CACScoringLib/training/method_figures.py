"""The figures of the papers' tables for one method on a group of patients, each with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from CACScoringLib.cohort.agreement import Estimate, confusion_matrix, icc_2_1
from CACScoringLib.cohort.agreement_categories import CategoryAgreement, category_agreement
from CACScoringLib.cohort.figures import wilson_interval
from CACScoringLib.methods.six_class import SCHEME as SIX_SCHEME
from CACScoringLib.methods.slice_regression import SCHEME as SCREENING_SCHEME
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.training.evaluated_patient import EvaluatedPatient
from CACScoringLib.training.evaluation import SCHEME
from CACScoringLib.training.floors import SECONDS
from CACScoringLib.training.patient_result import NAMES

CONFIDENCE = 0.95
Figures = dict[str, Estimate]


def group_results(results: Sequence[EvaluatedPatient]) -> dict[str, list[EvaluatedPatient]]:
    """Return all patients and those of every protocol."""
    protocols = sorted({r.patient.protocol for r in results})
    return {"all": list(results)} | {p: [r for r in results if r.patient.protocol == p] for p in protocols}


def summarize_method(results: Sequence[EvaluatedPatient]) -> dict[str, Figures]:
    """Return the figures of one method for all patients and for every protocol."""
    return {name: figures_of(group) for name, group in group_results(results).items()}


def figures_of(results: Sequence[EvaluatedPatient]) -> Figures:
    """Return every figure that a method allows; what it does not give, or what is not defined, is not there.

    Keys: ``icc:NAME`` (total and vessels), ``kappa_linear``, ``kappa_quadratic``, ``reclassified`` and
    ``right:GROUP`` in four groups; ``screening:`` by ``nlst-de-vos-2017`` with ``icc_agatston``, ``icc_volume``,
    ``accuracy`` and ``kappa`` (linear); ``six:`` (patients), ``slices:`` (slices against their patient's category) and
    ``own:`` (slices against that of their own score) with ``accuracy``, ``kappa`` (unweighted), ``precision``,
    ``recall`` and ``f1``, the last three also ``:GROUP``; ``attention``, ``heart_overlap``, ``heart_found``,
    ``seconds_mean``, ``seconds_max``, ``seconds_within``, ``ct_slices``.
    """
    out: Figures = {}
    patients = [r.patient for r in results]
    for name in NAMES:
        if all(name in p.predicted for p in patients):
            out[f"icc:{name}"] = _icc([p.reference[name] for p in patients], [p.predicted[name] for p in patients])
    four = _categories(SCHEME, [(p.reference_category, p.predicted_category) for p in patients])
    if four is not None:
        out |= {f"kappa_{weights}": four.kappa[weights] for weights in ("linear", "quadratic")}
        out["reclassified"] = share(four.moved.changed, four.moved.n)
        out |= {f"right:{c.name}": _right(four, c.name) for c in four.classes}
    out |= {f"screening:{key}": value for key, value in _screening(results).items()}
    out |= _six_class(results)
    out |= _attention_and_heart(results)
    out |= _time(results)
    return {key: value for key, value in out.items() if not math.isnan(value.value)}


def share(count: int, n: int) -> Estimate:
    """Return a share with Wilson's interval; NaN of nobody."""
    if not n:
        return Estimate(math.nan, math.nan, math.nan, CONFIDENCE, 0)
    low, high = wilson_interval(np.array([count / n]), np.array([n]), CONFIDENCE)
    return Estimate(count / n, float(low[0]), float(high[0]), CONFIDENCE, n)


def plain(value: float, n: int) -> Estimate:
    """Return a number for which there is no interval."""
    return Estimate(float(value), math.nan, math.nan, CONFIDENCE, n)


def _icc(reference: Sequence[float], predicted: Sequence[float]) -> Estimate:
    return icc_2_1(reference, predicted, CONFIDENCE) if len(reference) > 1 else plain(math.nan, len(reference))


def _categories(scheme: str, pairs: Sequence[tuple[str, str | None]]) -> CategoryAgreement | None:
    """Return the agreement of (reference, given) categories; None where the method gives none."""
    groups = SCHEMES[scheme].groups
    if any(given is None for _, given in pairs):
        return None
    reference, given = ([groups.index(pair[side]) for pair in pairs] for side in (0, 1))
    return category_agreement(confusion_matrix(reference, given, len(groups)), groups, scheme, CONFIDENCE)


def _right(agreement: CategoryAgreement, group: str) -> Estimate:
    """Return the share of those of a group that are put into it."""
    i = agreement.categories.index(group)
    return share(int(agreement.matrix[i, i]), int(agreement.matrix[i].sum()))


def _screening(results: Sequence[EvaluatedPatient]) -> Figures:
    out: Figures = {}
    for key, name in (("agatston", "icc_agatston"), ("volume_mm3", "icc_volume")):
        if all(key in r.screening_predicted for r in results):
            out[name] = _icc(
                *([getattr(r, f"screening_{s}")[key] for r in results] for s in ("reference", "predicted"))
            )
    five = _categories(SCREENING_SCHEME, [r.screening_category for r in results])
    return out if five is None else out | {"accuracy": five.accuracy, "kappa": five.kappa["linear"]}


def _six_class(results: Sequence[EvaluatedPatient]) -> Figures:
    groups = SCHEMES[SIX_SCHEME].groups
    found = {"six": _categories(SIX_SCHEME, [r.six_category for r in results])}
    told = [r for r in results if r.slices]
    if told:
        own = np.sum([np.array(r.slices) for r in told], axis=0)
        of_patients = np.zeros_like(own)
        for r in told:
            of_patients[groups.index(r.six_category[0])] += np.array(r.slices).sum(axis=0)
        found["slices"] = category_agreement(of_patients, groups, SIX_SCHEME, CONFIDENCE)
        found["own"] = category_agreement(own, groups, SIX_SCHEME, CONFIDENCE)
    out: Figures = {}
    for name, agreement in found.items():
        if agreement is None:
            continue
        out[f"{name}:accuracy"], out[f"{name}:kappa"] = agreement.accuracy, agreement.kappa["unweighted"]
        for figure in ("precision", "recall", "f1"):
            out[f"{name}:{figure}"] = plain(getattr(agreement.macro, figure), agreement.macro.reference)
            out |= {f"{name}:{figure}:{c.name}": plain(getattr(c, figure), c.reference) for c in agreement.classes}
    return out


def _attention_and_heart(results: Sequence[EvaluatedPatient]) -> Figures:
    out: Figures = {"heart_found": share(sum(r.heart_found for r in results), len(results))}
    looked = [r for r in results if r.attention_slices is not None]
    if looked:
        out["attention"] = share(sum(r.attention_hits for r in looked), sum(r.attention_slices for r in looked))
    overlaps = [r.heart_overlap for r in results if r.heart_overlap is not None]
    if overlaps:
        out["heart_overlap"] = plain(np.mean(overlaps), len(overlaps))
    return out


def _time(results: Sequence[EvaluatedPatient]) -> Figures:
    seconds = [r.patient.seconds for r in results]
    n = len(results)
    out = {
        "seconds_mean": plain(np.mean(seconds), n),
        "seconds_max": plain(np.max(seconds), n),
        "ct_slices": plain(np.mean([r.ct_slices for r in results]), n),
    }
    limits = [SECONDS.get(r.patient.protocol) for r in results]
    if None not in limits and len(set(limits)) == 1:
        out["seconds_within"] = share(sum(s <= limits[0] for s in seconds), n)
    return out
