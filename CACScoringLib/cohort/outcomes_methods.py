"""The methods paragraph of a report on outcomes, ready to be edited into a paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from CACScoringLib import __version__

if TYPE_CHECKING:
    import pandas as pd

    from CACScoringLib.cohort.outcomes import Outcomes

PROVENANCE = ("preset", "method", "model", "model_sha256", "version")
"""Columns of a batch's ``results.csv`` that say where scores come from."""
SHORT_SUM = 12
"""Characters of a checksum that a paragraph shows."""


def provenance(table: pd.DataFrame) -> str:
    """Return where the scores of a batch's table come from, in a sentence; empty for other tables."""
    said = []
    for column in PROVENANCE:
        if column not in table.columns:
            continue
        values = sorted({str(value) for value in table[column].dropna() if str(value).strip()})
        if values:
            short = [value[:SHORT_SUM] if column == "model_sha256" else value for value in values[:3]]
            said.append(f"{column.replace('_', ' ')} {', '.join(short)}{' and others' if len(values) > 3 else ''}")
    return f"The scores come from CACScoring ({'; '.join(said)})." if said else ""


def methods(result: Outcomes, event_name: str, scores_from: str = "", progress: bool = False) -> str:
    """Return a paragraph on the statistics, ready to be edited into a paper."""
    patients = result.patients
    scheme = patients.scheme
    free = f"{event_name[:1].upper()}{event_name[1:]}-free"
    said = [
        scores_from,
        f"Patients were grouped by Agatston score ({', '.join(scheme.groups)}; scheme {scheme.name}, {scheme.source}).",
        f"{free} survival was estimated by Kaplan and Meier with log-log 95 % confidence intervals and "
        "compared by log-rank tests; pairwise p values were adjusted by Holm.",
        "Hazard ratios with 95 % Wald intervals come from Cox models with Efron's handling of ties, the lowest group "
        "being the reference; proportional hazards were checked for each term and for the whole model with scaled "
        "Schoenfeld residuals against ranked time (Grambsch and Therneau 1994).",
    ]
    if patients.covariates.shape[1]:
        said.append(f"The multivariable model was adjusted for {', '.join(patients.covariates.columns)}.")
    said.append("Discrimination is Harrell's C of the continuous score with infinitesimal-jackknife intervals.")
    said.append(
        "The negative predictive value of a score of zero is the share without an event during the observed follow-up, "
        "with Wilson's interval."
    )
    moved = result.reclassification
    if moved:
        first, second = (part.score.name for part in result.scores)
        said.append(
            "Predictive values were compared by the generalised score statistic for paired designs (Leisenring, Alonzo "
            f"and Pepe 2000). Categorical net reclassification improvement (Pencina et al. 2008) of {second} over "
            f"{first} is given for events, non-events and overall, with percentile intervals of {moved.resamples} "
            f"bootstrap samples (seed {moved.seed})."
        )
    if progress:
        said.append("Progression is a growth of the square root of the volume by 2.5 mm^1.5 or more (Hokanson 2004).")
    if patients.excluded:
        said.append(f"{patients.excluded} rows with missing values were left out.")
    said.append(f"Analyses were done with {software()}; two-sided p below 0.05 was called significant.")
    said.append("Research use only.")
    return " ".join(filter(None, said))


def software() -> str:
    """Return the software with its versions."""
    from importlib.metadata import version

    others = ", ".join(f"{name} {version(name)}" for name in ("lifelines", "statsmodels", "scipy"))
    return f"CACScoring {__version__} ({others})"
