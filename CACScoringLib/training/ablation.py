"""What each rule of the decision buys: leave out one at a time, on the patients that chose the settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from CACScoringLib.cohort.agreement import confusion_matrix, icc_2_1, kappa_of_matrix
from CACScoringLib.inference.lesions import MORE_PROBABLE, DecisionSettings, decide, voxelwise
from CACScoringLib.scoring.parts import vessel_agatston
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.scoring.uncertainty import REVIEW_SCHEME
from CACScoringLib.training.evaluation_page import markdown_table
from CACScoringLib.training.patient_result import NAMES
from CACScoringLib.training.validation import SeenPatient

TITLES = (
    *("variant", "error of ln(1 + Agatston)", "ICC total", *NAMES[1:]),
    *("linear kappa", "reclassified", "calcium-free scored 0"),
)
SHIPPED, VOXELWISE = "as shipped", "every voxel by itself, no whole lesions"
NETWORK = "the network alone, no second look at lesions, its own thresholds and odds"


@dataclass(frozen=True)
class Ablation:
    """One variant of the decision, and how it does.

    Attributes
    ----------
    title : str
    error : float
        Mean error of ln(1 + Agatston): total, and mean of the vessels, equally (the criterion of the choice).
    icc : dict of str to float
        ICC(2,1) of ``total``, LM, LAD, LCX, RCA.
    kappa_linear : float
    reclassified : float
        Share of wrong categories.
    zero_share : float
        Share of the calcium-free patients that score 0.
    errors : tuple of float
        ``error`` of each training that this is the mean of; empty for one alone.
    """

    title: str
    error: float
    icc: dict[str, float]
    kappa_linear: float
    reclassified: float
    zero_share: float
    errors: tuple[float, ...] = ()


def variants(settings: DecisionSettings) -> dict[str, DecisionSettings]:
    """Return the settings of each variant by its title."""
    return {
        SHIPPED: settings,
        "thresholds and odds not chosen (0.5 and 1)": DecisionSettings(),
        "left main odds not chosen (1)": replace(settings, left_main_odds=1.0, left_main_vessel_odds=1.0),
        "large lesions need as much as small ones": replace(settings, large_mm3=math.inf),
        "specks of noisy scans need no more": replace(settings, quiet_specks=math.inf),
        "parts leave a coronary lesion below one half": replace(settings, leaves_below=MORE_PROBABLE),
        "small parts of other lesions join the coronaries too": replace(settings, joins_mm3=0.0),
        "lesions are never split": replace(settings, split_share=1.1),
    }


def ablate(
    patients: Sequence[SeenPatient], settings: DecisionSettings, network: DecisionSettings | None = None
) -> list[Ablation]:
    """Score the patients under each variant.

    Parameters
    ----------
    patients : sequence of SeenPatient
    settings : DecisionSettings
        As shipped.
    network : DecisionSettings, optional
        What suits the network without its lesion classifier, where it has one.
    """
    reference = np.stack([p.reference for p in patients])
    out = [
        summarized(title, reference, np.stack([_scores(p, variant) for p in patients]))
        for title, variant in variants(settings).items()
    ]
    if network is not None:
        raw = [_scores(replace(p, calcium=p.network_calcium), network) for p in patients]
        out.append(summarized(NETWORK, reference, np.stack(raw)))
    alone = [_agatston(p, voxelwise(p.calcium, p.non_coronary, settings)) for p in patients]
    return [*out, summarized(VOXELWISE, reference, np.stack(alone))]


def summarized(title: str, reference: np.ndarray, predicted: np.ndarray) -> Ablation:
    """Return how scores (patients, 5) agree with the reference."""
    scheme = SCHEMES[REVIEW_SCHEME]
    true, found = (np.array([scheme.index(value) for value in each[:, 0]]) for each in (reference, predicted))
    error = np.abs(np.log1p(predicted) - np.log1p(reference)).mean(axis=0)
    zero = reference[:, 0] == 0
    return Ablation(
        title=title,
        error=float(error @ [0.5, 0.125, 0.125, 0.125, 0.125]),
        icc={name: float(icc_2_1(reference[:, n], predicted[:, n]).value) for n, name in enumerate(NAMES)},
        kappa_linear=float(kappa_of_matrix(confusion_matrix(true, found, len(scheme.groups)), "linear").value),
        reclassified=float(np.mean(true != found)),
        zero_share=float((predicted[zero, 0] == 0).mean()) if zero.any() else math.nan,
    )


def mean_of(rows: Sequence[Ablation]) -> Ablation:
    """Return the mean of several trainings of one variant; one alone is returned as it is."""
    if len(rows) == 1:
        return rows[0]

    def mean(name: str) -> float:
        return float(np.mean([getattr(row, name) for row in rows]))

    return Ablation(
        title=rows[0].title,
        error=mean("error"),
        icc={name: float(np.mean([row.icc[name] for row in rows])) for name in rows[0].icc},
        kappa_linear=mean("kappa_linear"),
        reclassified=mean("reclassified"),
        zero_share=mean("zero_share"),
        errors=tuple(row.error for row in rows),
    )


def as_markdown(rows: Sequence[Ablation], patients: int) -> str:
    """Return the table with the sentence that says what it rests on."""
    return table(
        rows,
        f"{patients} synthetic patients with seeds from 800000, those that chose thresholds and odds: the first row is "
        "optimistic.",
    )


def table(rows: Sequence[Ablation], words: str) -> str:
    """Return the rows as a Markdown table under a sentence."""
    cells = []
    for row in rows:
        icc = [f"{row.icc[name]:.3f}" for name in NAMES]
        shares = [f"{100 * share:.1f} %" for share in (row.reclassified, row.zero_share)]
        each = f" ({', '.join(f'{error:.3f}' for error in row.errors)})" if row.errors else ""
        cells.append([row.title, f"{row.error:.3f}{each}", *icc, f"{row.kappa_linear:.3f}", *shares])
    return "\n".join([words, "", *markdown_table(TITLES, cells)]) + "\n"


def _scores(patient: SeenPatient, settings: DecisionSettings) -> np.ndarray:
    candidates, voxel = patient.candidates, patient.ct.voxel_volume_mm3
    return _agatston(patient, decide(candidates, patient.calcium, patient.non_coronary, voxel, settings).label)


def _agatston(patient: SeenPatient, label: np.ndarray) -> np.ndarray:
    return vessel_agatston(patient.ct, patient.candidates.index, patient.candidates.hu, label)
