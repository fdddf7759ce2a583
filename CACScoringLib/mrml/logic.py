"""What the Slicer module does, without a desktop: nodes in, nodes out.

Methods have Slicer's camelCase names, since ``CACScoringLogic`` inherits them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, refuse, warning
from CACScoringLib.mrml.attributes import read_findings, read_json, write_findings, write_json
from CACScoringLib.mrml.certainty import add_certainty, write_certainty
from CACScoringLib.mrml.orientation import labels_on_grid_of, orient_labels, oriented_ct
from CACScoringLib.mrml.segmentation import calcium_segments, labels_from_segmentation, update_segmentation
from CACScoringLib.mrml.study import put_under_study
from CACScoringLib.mrml.tables import update_lesion_table, update_score_table, update_summary_table
from CACScoringLib.mrml.volume import acquisition_of, ct_from_volume
from CACScoringLib.report.scores_json import scores_document
from CACScoringLib.report.segments import NonCoronaryMode

if TYPE_CHECKING:
    from CACScoringLib.methods.prediction import Prediction
    from CACScoringLib.methods.score_prediction import ScorePrediction
    from CACScoringLib.scoring import CalciumScore
    from CACScoringLib.scoring.percentiles import Demographics

DEFAULT_METHOD = "multibranch-unet"
DEFAULT_PRESET = "agatston-1990"
MODEL_ATTRIBUTE = "CACScoring.Model"
"""Attribute of a segmentation: which model filled it, as JSON."""


class ScoringLogic:
    """Segment, score and tabulate calcium of a volume node.

    Parameters
    ----------
    predictor : callable, optional
        As ``CACScoringLib.methods.predict``, which it defaults to.
    scorer : callable, optional
        As ``CACScoringLib.scoring.score``, which it defaults to.
    """

    def __init__(
        self, predictor: Callable[..., Prediction] | None = None, scorer: Callable[..., CalciumScore] | None = None
    ):
        self.predictor = predictor
        self.scorer = scorer

    def acquisition(self, volumeNode: Any) -> Acquisition:
        """Return how the volume was acquired, as far as its node says; the module asks the DICOM database too."""
        return acquisition_of(volumeNode)

    def ct(self, volumeNode: Any, kvp: float | None = None) -> CTVolume:
        """Return the volume as the library's CT, on its own grid, with ``kvp`` (kV) instead of what it says.

        The voxels are the node's own, not a copy.
        """
        if volumeNode is None:
            raise InputRefusedError(refuse("no-volume", "There is no volume: choose a CT."))
        acquisition = self.acquisition(volumeNode)
        if kvp is not None:
            acquisition = replace(acquisition, kvp=float(kvp))
        return ct_from_volume(volumeNode, copy=False, acquisition=acquisition)

    def segment(
        self,
        volumeNode: Any,
        segmentationNode: Any,
        method: str = DEFAULT_METHOD,
        *,
        kvp: float | None = None,
        nonCoronary: str | NonCoronaryMode = NonCoronaryMode.MERGED,
        allowContrast: bool = False,
        **options: Any,
    ) -> Prediction:
        """Find the calcium of a volume and fill the segmentation's LM, LAD, LCX, RCA and non-coronary segments.

        Other segments are not touched.

        Parameters
        ----------
        volumeNode : vtkMRMLScalarVolumeNode
        segmentationNode : vtkMRMLSegmentationNode
        method : str
        kvp : float, optional
            Tube voltage in kV instead of what the volume says.
        nonCoronary : {"merged", "separate"}
        allowContrast : bool
            Accept contrast-enhanced blood, with a warning.
        **options
            For the method: ``model``, ``device``, ``progress``, ``cancelled``.

        Returns
        -------
        Prediction
            Its arrays lie on the grid of ``oriented_ct`` of the volume; the segmentation on the volume's own.

        Raises
        ------
        InputRefusedError
            If the volume cannot be scored or the method marks no voxels; the segmentation stays as it was.
        """
        turned, findings = self.prepare(volumeNode, kvp=kvp, allowContrast=allowContrast)
        prediction = self._predict(turned, method, options)
        self.fill(volumeNode, segmentationNode, prediction, findings, kvp=kvp, nonCoronary=nonCoronary)
        return prediction

    def prepare(
        self, volumeNode: Any, *, kvp: float | None = None, allowContrast: bool = False
    ) -> tuple[CTVolume, tuple[Finding, ...]]:
        """Return the volume as methods want it, and what was noticed about it: the first half of ``segment``.

        Raises
        ------
        InputRefusedError
            If the volume cannot be scored.
        """
        turned = oriented_ct(self.ct(volumeNode, kvp))
        return turned, _check(turned, allowContrast)

    def fill(
        self,
        volumeNode: Any,
        segmentationNode: Any,
        prediction: Prediction,
        findings: tuple[Finding, ...] = (),
        *,
        kvp: float | None = None,
        nonCoronary: str | NonCoronaryMode = NonCoronaryMode.MERGED,
    ) -> None:
        """Put a prediction for ``prepare``'s scan into the segmentation: the second half of ``segment``.

        How sure the network is, is kept with it; ``document`` shows it for what was not edited since.

        Raises
        ------
        InputRefusedError
            If the method marks no voxels; the segmentation stays as it was.
        """
        if prediction.labels is None:
            raise InputRefusedError(without_labels(prediction.method))
        labels = labels_on_grid_of(prediction.labels, self.ct(volumeNode))
        update_segmentation(segmentationNode, labels, volumeNode, non_coronary=nonCoronary)
        write_json(segmentationNode, MODEL_ATTRIBUTE, prediction.model)
        write_findings(segmentationNode, (*findings, *prediction.findings))
        write_certainty(segmentationNode, self._judged(volumeNode, segmentationNode, prediction, kvp))
        put_under_study(volumeNode.GetScene(), volumeNode, (segmentationNode,))

    def _judged(
        self, volumeNode: Any, segmentationNode: Any, prediction: Prediction, kvp: float | None
    ) -> CalciumScore | None:
        """Return the scores of a segmentation that was just filled, with how sure they are; None if nobody says."""
        if prediction.lesion_index is None or prediction.lesion_probability is None:
            return None
        try:
            scores = self.computeScores(volumeNode, segmentationNode, kvp=kvp)
        except InputRefusedError:
            return None  # scoring says it again, to the person
        return prediction.judged(scores)

    def computeScores(
        self,
        volumeNode: Any,
        segmentationNode: Any,
        preset: str = DEFAULT_PRESET,
        *,
        kvp: float | None = None,
        **options: Any,
    ) -> CalciumScore:
        """Score the segmentation's calcium on the volume's own voxels, never on resampled ones.

        Parameters
        ----------
        volumeNode : vtkMRMLScalarVolumeNode
        segmentationNode : vtkMRMLSegmentationNode
        preset : str
        kvp : float, optional
            Tube voltage in kV instead of what the volume says.
        **options
            For ``CACScoringLib.scoring.score``.

        Returns
        -------
        CalciumScore

        Raises
        ------
        InputRefusedError
            If the volume cannot be scored, or the segmentation has no calcium segments.
        """
        if segmentationNode is None or not calcium_segments(segmentationNode):
            message = "The segmentation has no LM, LAD, LCX or RCA segment: name them so, or run the network first."
            raise InputRefusedError(refuse("no-calcium-segments", message))
        ct = self.ct(volumeNode, kvp)
        labels = orient_labels(labels_from_segmentation(segmentationNode, volumeNode), ct)
        return self._score(oriented_ct(ct), labels, preset=preset, kvp=kvp, **options)

    def document(self, volumeNode: Any, segmentationNode: Any, scores: CalciumScore) -> dict[str, Any]:
        """Return the scores as ``scores.json`` has them, with the model, all findings, and how sure the network is."""
        model = read_json(segmentationNode, MODEL_ATTRIBUTE, dict)
        findings = (*read_findings(volumeNode), *read_findings(segmentationNode))
        known = model or {"id": None, "mask": segmentationNode.GetName()}
        return add_certainty(segmentationNode, scores_document(scores.as_dict(), model=known, findings=findings))

    def documentWithoutLabels(
        self,
        volumeNode: Any,
        prediction: ScorePrediction,
        preset: str = DEFAULT_PRESET,
        *,
        kvp: float | None = None,
        demographics: Demographics | None = None,
        findings: tuple[Finding, ...] = (),
    ) -> dict[str, Any]:
        """Return a score without labels as ``scores.json`` has it.

        Parameters
        ----------
        volumeNode : vtkMRMLScalarVolumeNode
        prediction : ScorePrediction
            For ``prepare``'s scan.
        preset : str
            That was asked for: a finding says so where the score was learned from another one.
        kvp : float, optional
            Tube voltage in kV instead of what the volume says.
        demographics : Demographics, optional
        findings : tuple of Finding
            Of ``prepare``.

        Raises
        ------
        InputRefusedError
            If the method says nothing, such as where it found no heart.
        """
        from CACScoringLib.report.without_labels import scores_without_labels

        known = (*findings, *read_findings(volumeNode))
        scores = scores_without_labels(
            oriented_ct(self.ct(volumeNode, kvp)), prediction, preset=preset, demographics=demographics, findings=known
        )
        return scores_document(scores, model=prediction.model)

    def updateTable(self, tableNode: Any, scores: Any) -> None:
        """Fill a table with a row a vessel and a total."""
        update_score_table(tableNode, scores)

    def updateLesionTable(self, tableNode: Any, scores: Any) -> None:
        """Fill a table with a row a lesion, with its position in RAS."""
        update_lesion_table(tableNode, scores)

    def updateSummaryTable(self, tableNode: Any, scores: Any) -> None:
        """Fill a table with risk categories, what the numbers rest on, and the findings."""
        update_summary_table(tableNode, scores)

    def _predict(self, ct: CTVolume, method: str, options: dict[str, Any]) -> Prediction:
        predictor = self.predictor
        if predictor is None:
            from CACScoringLib.methods import predict as predictor
        return predictor(ct, method=method, **options)

    def _score(self, ct: CTVolume, labels: Any, **options: Any) -> CalciumScore:
        scorer = self.scorer
        if scorer is None:
            from CACScoringLib.scoring import score as scorer
        return scorer(ct, labels, **options)


def without_labels(method: str) -> Finding:
    """Return why a method cannot fill a segmentation."""
    message = f"The method '{method}' does not mark calcium voxel by voxel: choose one that does."
    return refuse("method-without-labels", message)


def _check(ct: CTVolume, allow_contrast: bool) -> tuple[Finding, ...]:
    """Return the findings on a volume that did not come through ``load_ct``; refuse as that does."""
    from CACScoringLib.ct.checks import check_volume
    from CACScoringLib.ct.contrast import measure_contrast

    findings = check_volume(ct)
    measured = measure_contrast(ct)
    if measured.enhanced:
        text = f"The blood measures {measured.mean_hu:.0f} HU: the scan is contrast-enhanced"
        if not allow_contrast:
            raise InputRefusedError(
                refuse("contrast-enhanced", f"{text} and cannot be scored; use a non-contrast scan.")
            )
        findings.append(warning("contrast-enhanced", f"{text}: contrast counts as calcium, the score is not valid."))
    return tuple(findings)
