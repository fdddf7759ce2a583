"""What the size of a disagreement depends on: a generalised linear model of the absolute percentage difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.cohort.agreement import Estimate
from CACScoringLib.cohort.extras import require
from CACScoringLib.cohort.score_pairs import ScorePairs
from CACScoringLib.cohort.tables import find_column, rows_named
from CACScoringLib.findings import Finding, warning

if TYPE_CHECKING:
    import pandas as pd

MOST_GROUPS = 10
"""A covariate of words with more different values than this is refused: a name, not a group."""
CASES_PER_TERM = 10
"""Fewer cases a coefficient than this get a warning (Peduzzi et al., J Clin Epidemiol 1995;48:1503-10)."""


@dataclass(frozen=True)
class Term:
    """A coefficient: percentage points for one unit of the covariate, or against the first group."""

    name: str
    coefficient: Estimate
    p: float


@dataclass(frozen=True)
class CovariateModel:
    """A fitted model.

    Attributes
    ----------
    terms : tuple of Term
        The first is the intercept.
    n : int
        Cases with a reference above 0 and every covariate.
    mean : float
        Mean absolute percentage difference of these.
    """

    terms: tuple[Term, ...]
    n: int
    mean: float


def absolute_percentage_difference(reference: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Return 100 |measured - reference| / reference; NaN where the reference is 0."""
    reference, measured = np.asarray(reference, float), np.asarray(measured, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(reference > 0, 100 * np.abs(measured - reference) / reference, np.nan)


def covariate_model(
    pairs: ScorePairs, covariates: Sequence[str], quantity: str = "total", confidence: float = 0.95
) -> tuple[CovariateModel | None, tuple[Finding, ...]]:
    """Return a Gaussian GLM with identity link, fitted by iteratively reweighted least squares, as Sartoretti 2023 did.

    Parameters
    ----------
    pairs : ScorePairs
    covariates : sequence of str
        Columns of ``pairs.table``: numbers count as such, words as groups.
    quantity : str

    Returns
    -------
    CovariateModel or None
        None where it cannot be fitted; the findings say why.
    findings : tuple of Finding
    """
    columns = [find_column(pairs.table, name) for name in dict.fromkeys(covariates)]
    percent = absolute_percentage_difference(pairs.reference[quantity], pairs.measured[quantity])
    missing = pairs.table[columns].isna().any(axis=1).to_numpy()
    findings = _left_out(pairs, quantity, columns, missing)
    use = np.isfinite(percent) & ~missing
    if not use.any():
        text = "No covariate model: no case has a reference above 0 and every covariate."
        return None, (*findings, warning("too-few-for-covariates", text))
    design, refused = _design(pairs.table[columns][use])
    if refused is None:
        refused = _unfit(design, int(use.sum()))
    if refused is not None:
        return None, (*findings, refused)
    if use.sum() < CASES_PER_TERM * design.shape[1]:
        text = (
            f"The model has {int(use.sum())} cases for {design.shape[1]} coefficients: its p values are not reliable."
        )
        findings.append(warning("few-cases-per-covariate", text))
    api = require("statsmodels.api")
    fit = api.GLM(percent[use], design.to_numpy(float), family=api.families.Gaussian()).fit()
    interval = np.asarray(fit.conf_int(alpha=1 - confidence))
    terms = tuple(
        Term(name, Estimate(float(value), float(low), float(high), confidence, int(use.sum())), float(p))
        for name, value, (low, high), p in zip(design.columns, fit.params, interval, fit.pvalues, strict=True)
    )
    return CovariateModel(terms, int(use.sum()), float(percent[use].mean())), tuple(findings)


def _left_out(pairs: ScorePairs, quantity: str, columns: list[str], missing: np.ndarray) -> list[Finding]:
    rows, cases = list(pairs.table.index), list(pairs.cases)
    found = []
    for where, code, why in (
        (missing & pairs.has(quantity), "missing-covariate", f"{', '.join(columns)} is not complete"),
        (pairs.reference[quantity] == 0, "zero-reference", "a reference of 0 has no percentage difference"),
    ):
        at = np.flatnonzero(where)
        if len(at):
            named = rows_named([rows[i] for i in at], [cases[i] for i in at])
            found.append(warning(code, f"{len(at)} case(s) are not in the covariate model, {why}: {named}."))
    return found


def _design(table: pd.DataFrame) -> tuple[pd.DataFrame, Finding | None]:
    """Return the columns of the model: an intercept, numbers as they are, groups against the first of them."""
    pd = require("pandas")
    parts = [pd.Series(1.0, index=table.index, name="intercept")]
    for column in table.columns:
        values = table[column]
        if values.nunique() < 2:
            return table, warning("constant-covariate", f"No covariate model: '{column}' is the same in all cases.")
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            parts.append(values.astype(float))
            continue
        groups = values.astype(str)
        if groups.nunique() > MOST_GROUPS:
            text = f"No covariate model: '{column}' has {groups.nunique()} different words (at most {MOST_GROUPS})"
            return table, warning("covariate-not-a-number", f"{text}, such as '{groups.iloc[0][:24]}': give numbers.")
        parts.append(pd.get_dummies(groups, prefix=column, prefix_sep=" = ", drop_first=True, dtype=float))
    return pd.concat(parts, axis=1), None


def _unfit(design: pd.DataFrame, n: int) -> Finding | None:
    """Return why there can be no model, or None."""
    if n < design.shape[1] + 2:
        text = f"No covariate model: {n} complete case(s) for {design.shape[1]} coefficients."
        return warning("too-few-for-covariates", text)
    scaled = design / np.maximum(design.abs().max(), 1e-12)
    if np.linalg.matrix_rank(scaled.to_numpy(float)) < design.shape[1]:
        names = ", ".join(design.columns[1:])
        return warning("collinear-covariates", f"No covariate model: one of {names} follows from the others.")
    return None
