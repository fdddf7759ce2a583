"""One scan from its files to its output folder: what the command line and every batch worker do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CACScoringLib.findings import Finding, InputRefusedError, refuse, warning

if TYPE_CHECKING:
    from CACScoringLib.ct.volume import CTVolume
    from CACScoringLib.methods.prediction import Prediction
    from CACScoringLib.methods.score_prediction import ScorePrediction
    from CACScoringLib.scoring.percentiles import Demographics
    from CACScoringLib.scoring.result import CalciumScore

Progress = Callable[[float, str], None]
"""Is told the fraction done, 0 to 1, and in words what is being done."""
ATTENTION = "attention.nrrd"
"""Written where a method without labels says what its score rests on."""
READING, FINDING, SCORING = 0.0, 0.2, 0.9
"""Where on the way from 0 to 1 each step begins."""


@dataclass(frozen=True)
class ScoreSettings:
    """How scans are scored; the same for every scan of a batch.

    Attributes
    ----------
    method : str
        Who finds the calcium, unless labels are given.
    model : str or None
        Id or folder of the model that the method runs with; its own when None.
    heart : str
        Who finds the heart: ``network`` or ``totalsegmentator``.
    preset : str
        Scoring preset.
    kvp : float or None
        Tube voltage in kV where the scan does not say it, or says it wrongly.
    thickness_mode : str
        ``scale``, ``resample`` or ``none``.
    mass_factor : float or None
        Calibration factor in mg/mm3/HU.
    allow_contrast : bool
        Whether contrast-enhanced scans are scored.
    series_uid : str or None
        The series to take from a folder that holds several.
    age_years, sex, ethnicity
        For percentiles: ``sex`` is ``M`` or ``F``.
    overview : bool
        Whether the picture is written.
    """

    method: str = "multibranch-unet"
    model: str | None = None
    heart: str = "network"
    preset: str = "agatston-1990"
    kvp: float | None = None
    thickness_mode: str = "scale"
    mass_factor: float | None = None
    allow_contrast: bool = False
    series_uid: str | None = None
    age_years: float | None = None
    sex: str | None = None
    ethnicity: str | None = None
    overview: bool = True


@dataclass(frozen=True, eq=False)
class ScoredCase:
    """A scored scan.

    Attributes
    ----------
    ct : CTVolume
    labels : ndarray of uint8, shape (z, y, x), or None
        None where the method scores without labels.
    prediction : Prediction or ScorePrediction, or None
        None where the labels were given.
    result : CalciumScore or None
        None where there are no labels.
    document : dict
        ``scores.json``.
    """

    ct: CTVolume
    labels: np.ndarray | None
    prediction: Prediction | ScorePrediction | None
    result: CalciumScore | None
    document: dict[str, Any]


def score_case(
    source: str | Path, settings: ScoreSettings, *, mask: str | Path | None = None, progress: Progress | None = None
) -> ScoredCase:
    """Load a scan, find or load its calcium, and score it.

    Parameters
    ----------
    source : str or Path
        Whatever ``load_ct`` takes.
    settings : ScoreSettings
    mask : str or Path, optional
        Labels to score instead of those of a method.
    progress : callable, optional
        Called with the fraction done and what is being done.

    Returns
    -------
    ScoredCase

    Raises
    ------
    InputRefusedError
        If the scan or the labels cannot be scored.
    """
    tell = progress or (lambda fraction, words: None)
    clock = _Clock()
    tell(READING, "Reading the scan")
    ct, given = _load(source, settings, mask)
    clock.lap("load")
    prediction = None
    if given is None:
        prediction = _predict(ct, settings, lambda done, words: tell(FINDING + done * (SCORING - FINDING), words))
        labels, findings = prediction.labels, prediction.findings
        model = prediction.model
        clock.lap("predict")
    else:
        labels, findings = given
        model = {"id": None, "sha256": None, "method": None, "mask": str(mask)}
    tell(SCORING, "Scoring")
    if labels is None:
        result, scores = None, _scores_without_labels(ct, prediction, settings)
    else:
        result = _score(ct, labels, settings, tuple(findings))
        result = result if prediction is None else prediction.judged(result)
        scores = result.as_dict()
    clock.lap("score")
    document = _document(source, prediction, scores, model, clock.seconds)
    return ScoredCase(ct, labels, prediction, result, document)


def write_case(case: ScoredCase, folder: Path, *, overview: bool = True) -> None:
    """Write a scored scan's files into an existing folder.

    Parameters
    ----------
    case : ScoredCase
    folder : Path
        See :func:`CACScoringLib.report.staging.staged_folder`.
    overview : bool
        Whether to write ``overview.png``.
    """
    from CACScoringLib.report.attention import write_attention
    from CACScoringLib.report.scores_csv import to_csv
    from CACScoringLib.report.scores_json import to_json
    from CACScoringLib.report.seg_nrrd import write_seg_nrrd

    start = time.perf_counter()
    if case.labels is not None:
        write_seg_nrrd(case.labels, case.ct, folder / "segmentation.seg.nrrd")
    elif case.prediction.attention is not None:
        write_attention(case.prediction.attention, case.ct, folder / ATTENTION)
    if overview:
        _write_overview(case, folder / "overview.png")
    (folder / "scores.csv").write_text(to_csv(case.document), encoding="utf-8")
    case.document["timings_s"]["write"] = round(time.perf_counter() - start, 4)
    (folder / "scores.json").write_text(to_json(case.document), encoding="utf-8")


class _Clock:
    """Measures what each step takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Note the time since the last lap under ``name``."""
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now


def _load(
    source: str | Path, settings: ScoreSettings, mask: str | Path | None
) -> tuple[CTVolume, tuple[np.ndarray, tuple[Finding, ...]] | None]:
    """Return the scan, and the labels with their findings where a mask is given."""
    from CACScoringLib.ct.labels_file import load_labels

    ct = load_scan(source, settings)
    if mask is None:
        return ct, None
    with _as_refusal(mask):
        labels, findings = load_labels(mask, ct)
    return ct, (labels, tuple(findings))


def load_scan(source: str | Path, settings: ScoreSettings) -> CTVolume:
    """Return the scan that the settings choose from a source.

    Raises
    ------
    InputRefusedError
        If it cannot be read or scored.
    """
    from CACScoringLib.ct import load_ct

    with _as_refusal(source):
        ct = load_ct(source, series_uid=settings.series_uid, allow_contrast=settings.allow_contrast)
    if settings.kvp is not None:
        ct = replace(ct, findings=tuple(finding for finding in ct.findings if finding.code != "unknown-kvp"))
    return ct


class _as_refusal:  # noqa: N801
    """Turn whatever goes wrong while a file is read into one sentence for a person."""

    def __init__(self, source: str | Path):
        self._source = source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, InputRefusedError):
            message = (
                f"'{self._source}' could not be read ({one_line(error)}): check that it is a complete, undamaged CT."
            )
            raise InputRefusedError(refuse("unreadable", message)) from error


def one_line(error: BaseException, limit: int = 160) -> str:
    """Return what an error says in one line, with its kind where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = lines[-1] if lines else type(error).__name__
    return words if len(words) <= limit else words[: limit - 1] + "…"


def _predict(ct: CTVolume, settings: ScoreSettings, progress: Progress) -> Prediction | ScorePrediction:
    """Run a method."""
    from CACScoringLib.methods import predict

    ct = _with_kvp(ct, settings)
    return predict(ct, method=settings.method, model=settings.model, heart=settings.heart, progress=progress)


def _with_kvp(ct: CTVolume, settings: ScoreSettings) -> CTVolume:
    """Return a scan with the tube voltage that the user says."""
    return ct if settings.kvp is None else replace(ct, acquisition=replace(ct.acquisition, kvp=settings.kvp))


def _scores_without_labels(ct: CTVolume, prediction: ScorePrediction, settings: ScoreSettings) -> dict[str, Any]:
    """Return what a method without labels says, as ``scores.json`` has it."""
    from CACScoringLib.report.without_labels import scores_without_labels

    demographics, missing = _demographics(ct, settings)
    scores = scores_without_labels(
        _with_kvp(ct, settings), prediction, preset=settings.preset, demographics=demographics, findings=missing
    )
    if settings.kvp not in (None, ct.acquisition.kvp):
        scores["acquisition"]["kvp_given"] = True
    return scores


def _score(ct: CTVolume, labels: np.ndarray, settings: ScoreSettings, findings: tuple[Finding, ...]) -> CalciumScore:
    """Score labels as the settings say."""
    from CACScoringLib.scoring import score

    options, missing = score_options(ct, settings)
    return score(ct, labels, kvp=settings.kvp, findings=(*findings, *missing), **options)


def score_options(ct: CTVolume, settings: ScoreSettings) -> tuple[dict[str, Any], tuple[Finding, ...]]:
    """Return the options of ``scoring.score`` besides the tube voltage, and what is missing for what was asked."""
    demographics, missing = _demographics(ct, settings)
    return {
        "preset": settings.preset,
        "thickness_mode": settings.thickness_mode,
        "calibration": settings.mass_factor,
        "demographics": demographics,
    }, missing


def _demographics(ct: CTVolume, settings: ScoreSettings) -> tuple[Demographics | None, tuple[Finding, ...]]:
    """Return who the patient is, what the user says before what the scan says."""
    from CACScoringLib.scoring.percentiles import Demographics

    age = settings.age_years if settings.age_years is not None else ct.acquisition.patient_age_years
    sex = settings.sex if settings.sex is not None else ct.acquisition.patient_sex
    if age is not None and age > 0 and sex in ("M", "F"):
        return Demographics(age, sex, settings.ethnicity), ()
    if settings.age_years is None and settings.sex is None and settings.ethnicity is None:
        return None, ()
    message = "No percentile is given: it needs both age and sex, which neither the scan nor the options tell."
    return None, (warning("percentile-unavailable", message),)


def _document(
    source: str | Path,
    prediction: Prediction | ScorePrediction | None,
    scores: dict[str, Any],
    model: dict[str, Any],
    timings_s: dict[str, float],
) -> dict[str, Any]:
    """Return ``scores.json`` for one scan."""
    from CACScoringLib.report.scores_json import scores_document

    inner = {f"predict.{name}": seconds for name, seconds in (prediction.timings_s if prediction else {}).items()}
    return scores_document(scores, model=model, timings_s={**timings_s, **inner}, input_path=str(source))


def _write_overview(case: ScoredCase, path: Path) -> None:
    """Draw the overview with each slice's scores."""
    if case.labels is None:
        from CACScoringLib.report.overview_without_labels import write_overview_without_labels

        write_overview_without_labels(path, case.ct, case.prediction, case.document)
        return
    from CACScoringLib.report.counted import counted_labels
    from CACScoringLib.report.overview import write_overview

    box = None if case.prediction is None else heart_box_mm(case.prediction)
    shown = counted_labels(case.ct, case.labels, case.result)
    write_overview(path, case.ct, shown, case.document, per_slice=case.result.slices, heart_box_mm=box)


def heart_box_mm(prediction: Prediction) -> np.ndarray | None:
    """Return the box round the chambers and the myocardium.

    Returns
    -------
    ndarray of float, shape (2, 3), or None
        First and last corner (z, y, x) in mm from the centre of the CT's first voxel; None where the method
        found no heart or does not say.
    """
    from CACScoringLib.vocabulary import Structure

    if prediction.structures is None or prediction.structures_spacing_mm is None:
        return None
    vessels = (Structure.AORTA, Structure.PULMONARY_ARTERY)
    where = np.argwhere((prediction.structures > 0) & ~np.isin(prediction.structures, vessels))
    if where.size == 0:
        return None
    corners = np.array([where.min(axis=0), where.max(axis=0)], dtype=float)
    return corners * prediction.structures_spacing_mm + np.asarray(prediction.structures_offset_mm or (0.0, 0.0, 0.0))
