"""Measure ``slice-regression``: agreement of totals, risk categories, and whether attention lies on calcium."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

from CACScoringLib.cohort.agreement import Estimate, confusion_matrix, icc_2_1, kappa_of_matrix
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.methods.score_prediction import HeartBox, ScorePrediction, compare_boxes, counted, spread_probability
from CACScoringLib.methods.slice_regression import BATCH, BOX_MARGIN_MM, PRESET, SCHEME
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.training.slice_regression_cases import SliceCase
from CACScoringLib.vocabulary import Vessel

LEAST_PATIENTS = 20
"""Fewer validation patients give no spread."""
REVIEW_SENSITIVITY = 0.9
"""The limit for review is set so that this share of wrong categories of validation patients would be flagged."""
NEAR_MM = 3.0
"""Attention within this distance of a calcified voxel lies on it: cells of the third layer are 2 to 5 mm wide."""


@dataclass(frozen=True)
class SliceRegressionAgreement:
    """Tables 1 and 2 of de Vos 2017 for one experiment.

    Attributes
    ----------
    patients : int
    icc_agatston, icc_volume : Estimate
        Two-way, absolute agreement, with 95 % interval.
    accuracy : float
        Share of patients in the right one of the five groups of ``screening-5``.
    kappa : Estimate
        Linearly weighted.
    matrix : ndarray of int, shape (5, 5)
        Rows: reference.
    """

    patients: int
    icc_agatston: Estimate
    icc_volume: Estimate
    accuracy: float
    kappa: Estimate
    matrix: np.ndarray


def agreement(
    reference_agatston: Sequence[float],
    predicted_agatston: Sequence[float],
    reference_volume: Sequence[float],
    predicted_volume: Sequence[float],
) -> SliceRegressionAgreement:
    """Compare totals of the same patients."""
    scheme = SCHEMES[SCHEME]
    reference = [scheme.index(counted(value)) for value in reference_agatston]
    predicted = [scheme.index(counted(value)) for value in predicted_agatston]
    matrix = confusion_matrix(reference, predicted, len(scheme.groups))
    return SliceRegressionAgreement(
        patients=len(reference),
        icc_agatston=icc_2_1(reference_agatston, predicted_agatston),
        icc_volume=icc_2_1(reference_volume, predicted_volume),
        accuracy=float(np.trace(matrix) / matrix.sum()),
        kappa=kappa_of_matrix(matrix, "linear"),
        matrix=matrix,
    )


def score_case(case: SliceCase, networks: dict[str, object], device: str = "cpu") -> dict[str, float]:
    """Return the totals by target that networks give a case, in its true box with the margin of inference."""
    import torch

    from CACScoringLib.training.slice_regression import slab_on_canvas

    z = case.slab_offset_mm[0] + case.slab_spacing_mm[0] * np.arange(len(case.slabs))
    box = case.box.grown(BOX_MARGIN_MM)
    number = np.flatnonzero((z >= box.low_mm[0]) & (z <= box.high_mm[0]))
    totals = dict.fromkeys(networks, 0.0)
    for start in range(0, len(number), BATCH):
        chosen = number[start : start + BATCH]
        for target, network in networks.items():
            x = torch.from_numpy(slab_on_canvas(case, chosen, network.config.size, None))[:, None].to(device)
            voxel = torch.tensor(case.slab_spacing_mm, dtype=torch.float32, device=device).expand(len(x), 3)
            with torch.inference_mode():
                totals[target] += float(network.config.decode(network(x, voxel)).sum())
    return totals


@dataclass(frozen=True)
class MeasuredSpread:
    """How far regressed totals are off on validation patients.

    Attributes
    ----------
    patients : int
    spread : float
        Root mean square of ln(1 + predicted) - ln(1 + reference).
    review_below : float or None
        A stated category less probable than this needs review; None where no category was wrong.
    """

    patients: int
    spread: float
    review_below: float | None

    def as_dict(self) -> dict[str, object]:
        """Return what a bundle keeps."""
        return asdict(self)


def measure_spread(
    cases: Sequence[SliceCase], networks: dict[str, object], device: str = "cpu"
) -> MeasuredSpread | None:
    """Measure the spread of the Agatston totals on cases; None with too few of them or without that network."""
    if len(cases) < LEAST_PATIENTS or "agatston" not in networks:
        return None
    only = {"agatston": networks["agatston"]}
    predicted = [score_case(case, only, device)["agatston"] for case in cases]
    return spread_of([float(case.agatston) for case in cases], predicted)


def spread_of(reference: Sequence[float], predicted: Sequence[float]) -> MeasuredSpread:
    """Return the spread of totals, and the limit for review that follows from it."""
    off = np.log1p(predicted) - np.log1p(reference)
    spread = max(float(np.sqrt(np.mean(off**2))), 1e-3)
    scheme = SCHEMES[SCHEME]
    wrong = []
    for true, value in zip(reference, predicted, strict=True):
        stated = scheme.group(counted(value))
        if stated != scheme.group(counted(true)):
            wrong.append(spread_probability(value, spread, SCHEME)[stated])
    limit = None
    if wrong:
        # The stated category must be less probable than the limit, so the limit lies just above.
        limit = float(np.nextafter(np.quantile(wrong, REVIEW_SENSITIVITY, method="higher"), 2.0))
    return MeasuredSpread(len(off), spread, limit)


@dataclass(frozen=True)
class AttentionHits:
    """Where attention is highest in calcified slices.

    Attributes
    ----------
    slices : int
        Slices of the CT that hold coronary calcium at or above the threshold, of at least 1 mm2.
    on_calcium : int
        Those where the highest attention lies on it, within 3 mm.
    """

    slices: int
    on_calcium: int


def attention_hits(prediction: ScorePrediction, ct: CTVolume, labels: np.ndarray) -> AttentionHits:
    """Count the calcified slices where the maximum of the attention lies on coronary calcium.

    Parameters
    ----------
    prediction : ScorePrediction
        With attention.
    ct : CTVolume
    labels : ndarray of uint8, shape (z, y, x)
        Truth.
    """
    if prediction.attention is None:
        return AttentionHits(0, 0)
    from CACScoringLib.methods.registry import candidate_threshold

    calcium = np.isin(labels, [int(v) for v in Vessel]) & (ct.hu >= candidate_threshold(ct))
    heat = prediction.attention.on_ct(ct.shape, ct.spacing_mm)
    slices = on_calcium = 0
    for z in np.flatnonzero(calcium.sum(axis=(1, 2)) * ct.pixel_area_mm2 >= 1.0):
        slices += 1
        peak = np.unravel_index(int(heat[z].argmax()), heat[z].shape)
        distance = ndimage.distance_transform_edt(~calcium[z], sampling=ct.spacing_mm[1:])
        on_calcium += int(heat[z][peak] > 0 and distance[peak] <= NEAR_MM)
    return AttentionHits(slices, on_calcium)


@dataclass(frozen=True)
class SliceRegressionResult:
    """One synthetic patient by the whole method, localisers included.

    Attributes
    ----------
    protocol : str
    seed : int
    reference_agatston, reference_volume, agatston, volume : float
        By ``nlst-de-vos-2017``; predicted values are 0 where no heart was found, NaN where there is no such network.
        network.
    box_overlap : float
        Intersection over union with the true box; 0 where none was found.
    attention : AttentionHits
    seconds : float
    """

    protocol: str
    seed: int
    reference_agatston: float
    reference_volume: float
    agatston: float
    volume: float
    box_overlap: float
    attention: AttentionHits
    seconds: float


def evaluate_slice_regression(protocol: str, seed: int, model: str) -> SliceRegressionResult:
    """Generate a patient, score the truth and run the method on it (worker entry point)."""
    from CACScoringLib.models import open_bundle
    from CACScoringLib.phantom import synthesize

    patient = synthesize(seed=seed, protocol=protocol)
    return evaluate_labelled(patient.ct, patient.labels, patient.structures, open_bundle(model), protocol, seed)


def evaluate_labelled(
    ct: CTVolume, labels: np.ndarray, structures: np.ndarray, bundle: object, protocol: str = "", seed: int = 0
) -> SliceRegressionResult:
    """Run the method on a labelled scan and compare.

    Parameters
    ----------
    ct : CTVolume
    labels, structures : ndarray of uint8, shape (z, y, x)
    bundle : ModelBundle
    protocol, seed
        Name the case.
    """
    from CACScoringLib.methods.slice_regression import predict_slice_regression
    from CACScoringLib.scoring import score

    reference = score(ct, labels, preset=PRESET).total
    found = predict_slice_regression(ct, bundle=bundle)
    truth = true_box(ct, structures)
    return SliceRegressionResult(
        protocol=protocol,
        seed=seed,
        reference_agatston=reference.agatston,
        reference_volume=reference.volume_mm3,
        agatston=_total(found, found.agatston),
        volume=_total(found, found.volume_mm3),
        box_overlap=compare_boxes(found.heart_box, truth).overlap if found.heart_box and truth else 0.0,
        attention=attention_hits(found, ct, labels),
        seconds=sum(found.timings_s.values()),
    )


def _total(found: ScorePrediction, value: float | None) -> float:
    """Return a total as it counts in an evaluation."""
    if found.heart_box is None:
        return 0.0
    return float("nan") if value is None else value


def true_box(ct: CTVolume, structures: np.ndarray) -> HeartBox | None:
    """Return the box round the heart in a structure map on the CT's grid, measured on the coarse grid."""
    from CACScoringLib.inference.grids import ct_grid, sample_nearest
    from CACScoringLib.inference.heart import coarse_volume
    from CACScoringLib.methods.score_prediction import structure_box

    _, coarse = coarse_volume(ct)
    return structure_box(sample_nearest(structures, ct_grid(ct.shape, ct.spacing_mm), coarse), coarse)
