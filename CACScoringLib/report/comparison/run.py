"""Run methods one after the other on one CT; one that fails does not keep the others from running."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse
from CACScoringLib.methods.devices import CPU, choose_device, on_device
from CACScoringLib.models import ModelError
from CACScoringLib.report.comparison.lesions import lesion_differences
from CACScoringLib.report.comparison.result import Comparison, MethodResult
from CACScoringLib.report.comparison.slices import slice_differences
from CACScoringLib.report.without_labels import nothing_scored
from CACScoringLib.scoring import CalciumScore, score
from CACScoringLib.scoring.settings import settle
from CACScoringLib.scoring.uncertainty import REVIEW_SCHEME

if TYPE_CHECKING:
    from CACScoringLib.methods.prediction import Prediction
    from CACScoringLib.methods.score_prediction import ScorePrediction

Progress = Callable[[float, str], None]
LONGEST_REASON = 300


@dataclass(frozen=True)
class MethodChoice:
    """A method to run.

    Attributes
    ----------
    method : str
    model : str or None
        Id or folder of the model; the method's own when None.
    """

    method: str
    model: str | None = None

    @property
    def name(self) -> str:
        """Return what the method is called in the comparison."""
        return self.method if not self.model else f"{self.method}:{Path(self.model).name}"


def compare_methods(
    ct: CTVolume,
    choices: Sequence[MethodChoice],
    *,
    kvp: float | None = None,
    device: str = CPU,
    score_options: Mapping[str, Any] | None = None,
    predict: Callable[..., Prediction | ScorePrediction] | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Comparison:
    """Run methods on a CT and say where they disagree.

    Parameters
    ----------
    ct : CTVolume
    choices : sequence of MethodChoice
        Each once.
    kvp : float, optional
        Tube voltage in kV instead of the scan's own.
    device : str
        ``methods.devices.DEVICES``.
    score_options : mapping, optional
        Of ``scoring.score``: ``preset``, ``thickness_mode``, ``calibration``, ``demographics`` ...
    predict : callable, optional
        As ``methods.predict``, which it defaults to.
    progress : callable, optional
        Called with a fraction in 0..1 and a text.
    cancelled : callable, optional
        Asked now and then.

    Returns
    -------
    Comparison
        With a row for every choice, those without a result included.

    Raises
    ------
    ValueError
        If a choice occurs twice, or there is none.
    InputRefusedError
        If the scoring options make no sense.
    CancelledError
        (``inference.windows``) If ``cancelled`` says so.
    """
    names = [choice.name for choice in choices]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"methods to compare must be different ones, not {names}")
    options = dict(score_options or {})
    settings = settle(ct, kvp=kvp, **options)
    if kvp is not None:
        findings = tuple(finding for finding in ct.findings if finding.code != "unknown-kvp")
        ct = replace(ct, acquisition=replace(ct.acquisition, kvp=kvp), findings=findings)
    chosen, note = choose_device(device)
    runner = _Runner(ct, chosen, {**options, "kvp": kvp}, predict or _predict(), cancelled)
    tell = progress or (lambda fraction, text: None)
    rows = []
    for number, choice in enumerate(choices):
        part = _part(tell, number, len(choices), choice.name)
        part(0.0, "Starting")
        rows.append(runner.run(choice, part))
    tell(1.0, "Done")
    labelled = {row.name: row for row in rows if row.score is not None}
    scores = {name: row.score for name, row in labelled.items()}
    lesions, agreed = lesion_differences(ct, {name: row.labels for name, row in labelled.items()}, scores)
    preset = {
        "name": settings.rules.name,
        "threshold_hu": settings.thresholds.calcium,
        "thickness_mode": settings.applied_mode,
    }
    return Comparison(
        methods=tuple(rows),
        lesions=lesions,
        lesions_agreed=agreed,
        slices=slice_differences(ct, _slice_scores(rows), scores),
        preset=preset,
        acquisition=ct.acquisition,
        findings=(*ct.findings, *((note,) if note else ()), *_own_rules(rows, preset["name"])),
    )


def _predict() -> Callable[..., Prediction | ScorePrediction]:
    from CACScoringLib import methods

    return methods.predict


def _part(tell: Progress, number: int, count: int, name: str) -> Progress:
    """Return the progress of one method as part of the whole."""
    return lambda fraction, text: tell((number + fraction) / count, f"{name}: {text}")


class _Runner:
    """Runs single methods on one CT."""

    def __init__(
        self,
        ct: CTVolume,
        device: str,
        options: Mapping[str, Any],
        predict: Callable[..., Prediction | ScorePrediction],
        cancelled: Callable[[], bool] | None,
    ):
        self.ct, self.device, self.options = ct, device, options
        self.predict, self.cancelled = predict, cancelled

    def run(self, choice: MethodChoice, progress: Progress) -> MethodResult:
        """Return the row of a method; what went wrong is in it."""
        from CACScoringLib.inference.windows import CancelledError

        clock = time.perf_counter()
        try:
            row = self._row(choice, self._prediction(choice, progress))
        except CancelledError:
            raise
        except Exception as error:  # whatever a method does, the others are to be run
            row = MethodResult(choice.name, choice.method, failure=failure(error))
        return replace(row, seconds=time.perf_counter() - clock)

    def _prediction(self, choice: MethodChoice, progress: Progress) -> Prediction | ScorePrediction:
        options = {"model": choice.model, "progress": progress, "cancelled": self.cancelled}
        return on_device(
            lambda device: self.predict(self.ct, method=choice.method, device=device, **options), self.device
        )

    def _row(self, choice: MethodChoice, prediction: Prediction | ScorePrediction) -> MethodResult:
        row = MethodResult(
            choice.name,
            choice.method,
            prediction.model_id,
            prediction.model_sha256,
            findings=prediction.findings,
            prediction=prediction,
        )
        if prediction.labels is None:
            return _scored_row(row, prediction)
        result = score(self.ct, prediction.labels, findings=prediction.findings, **self.options)
        return _labelled_row(row, result, prediction, known=self.ct.findings)


def _labelled_row(
    row: MethodResult, result: CalciumScore, prediction: Prediction, known: tuple[Finding, ...]
) -> MethodResult:
    """Return the row of a method that labels voxels."""
    result = prediction.judged(result)
    sure = result.uncertainty
    return replace(
        row,
        agatston=result.total.agatston,
        volume_mm3=result.total.volume_mm3,
        scheme=REVIEW_SCHEME,
        category=result.risk[REVIEW_SCHEME],
        category_probability={} if sure is None else dict(sure.categories[REVIEW_SCHEME]),
        risk=dict(result.risk),
        needs_review=None if sure is None else sure.needs_review(result.risk),
        findings=tuple(finding for finding in result.findings if finding not in known),
        score=result,
    )


def _scored_row(row: MethodResult, prediction: ScorePrediction) -> MethodResult:
    """Return the row of a method that gives a score or a category, but no labels; a failed one if it gives neither."""
    agatston, category = (getattr(prediction, name, None) for name in ("agatston", "category"))
    if agatston is None and category is None:
        return replace(row, failure=nothing_scored(prediction))
    return replace(
        row,
        agatston=agatston,
        volume_mm3=prediction.volume_mm3,
        scheme=prediction.scheme,
        category=category,
        category_probability=dict(prediction.category_probability),
        risk=prediction.risk(),
        needs_review=prediction.needs_review,
    )


def failure(error: Exception) -> Finding:
    """Return in one sentence why a method gave no result."""
    if isinstance(error, InputRefusedError):
        return error.finding
    if isinstance(error, ModelError):
        return refuse("model", " ".join(str(error).split()))
    if isinstance(error, ImportError):
        return refuse("packages-missing", f"A Python package is missing ({error}): install it and compare again.")
    if isinstance(error, MemoryError):
        return refuse("memory", "There is not enough memory: close other programs and compare again.")
    words = " ".join(str(error).split())[:LONGEST_REASON]
    return refuse("method-failed", f"The method failed ({type(error).__name__}: {words}).")


def _slice_scores(rows: Sequence[MethodResult]) -> dict[str, tuple[Any, Any]]:
    """Return centres and Agatston scores of the slices, of methods that give these without labels."""
    return {
        row.name: (row.prediction.slice_z_mm, row.prediction.slice_agatston)
        for row in rows
        if row.failure is None and row.score is None and getattr(row.prediction, "slice_agatston", None) is not None
    }


def _own_rules(rows: Sequence[MethodResult], preset: str) -> tuple[Finding, ...]:
    """Say which scores do not follow the preset."""
    own = [row.name for row in rows if row.failure is None and row.score is None]
    if not own:
        return ()
    message = f"Without labels, so not scored by the preset {preset} but as they were trained: {', '.join(own)}."
    return (info("scores-by-own-rules", message),)
