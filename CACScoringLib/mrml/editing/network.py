"""The network's result as an action of the editor."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from CACScoringLib.ct.volume import Acquisition
from CACScoringLib.findings import Finding
from CACScoringLib.mrml.editing.masking import is_visible
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.orientation import labels_on_grid_of, orient_labels
from CACScoringLib.mrml.segmentation import calcium_segments, labels_from_segmentation
from CACScoringLib.report.segments import NonCoronaryMode, segment_specs, stored_labels
from CACScoringLib.vocabulary import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from CACScoringLib.methods.prediction import Prediction
    from CACScoringLib.mrml.editing.logic import EditingLogic


class NetworkLogic(ScoringLogic):
    """A scoring logic that fills the segmentation being edited as one step of undo.

    Parameters
    ----------
    editing : EditingLogic
    """

    def __init__(self, editing: EditingLogic):
        super().__init__(predictor=editing.logic.predictor, scorer=editing.logic.scorer)
        self._editing = editing

    def acquisition(self, volumeNode: Any) -> Acquisition:
        """Return how the volume was acquired."""
        return self._editing.logic.acquisition(volumeNode)

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
        """Fill our segments; what the Segment Editor masks, or hides, stays as it is."""
        if segmentationNode is not self._editing.segmentationNode or prediction.labels is None:
            super().fill(volumeNode, segmentationNode, prediction, findings, kvp=kvp, nonCoronary=nonCoronary)
            return
        masked = self._masked(volumeNode, segmentationNode, prediction, nonCoronary)
        self._editing.editor.saveStateForUndo()
        with _visibility_kept(segmentationNode):
            super().fill(volumeNode, segmentationNode, masked, findings, kvp=kvp, nonCoronary=nonCoronary)

    def _masked(
        self, volume_node: Any, segmentation_node: Any, prediction: Prediction, non_coronary: str | NonCoronaryMode
    ) -> Prediction:
        """Return the prediction with the present labels where they may not be changed."""
        ct = self.ct(volume_node)
        after = stored_labels(labels_on_grid_of(prediction.labels, ct), segment_specs(non_coronary))
        before = labels_from_segmentation(segmentation_node, volume_node)
        positions = np.flatnonzero(before != after)
        old, new = before.reshape(-1)[positions], after.reshape(-1)[positions]
        allowed = self._editing.allowed(positions, ct.hu.reshape(-1)[positions], old, new)
        for label in np.unique(new).tolist():
            if label != BACKGROUND and self._editing.hiddenSegments([label]):
                allowed &= new != label
        if allowed.all():
            return prediction
        kept = after.copy()
        kept.reshape(-1)[positions[~allowed]] = old[~allowed]
        return replace(prediction, labels=orient_labels(kept, ct), uncertainty=None)


@contextmanager
def _visibility_kept(segmentation_node: Any) -> Iterator[None]:
    """Hide again what was hidden: filling makes new segments."""
    hidden = {
        label
        for segment_id, label in calcium_segments(segmentation_node).items()
        if not is_visible(segmentation_node, segment_id)
    }
    yield
    for segment_id, label in calcium_segments(segmentation_node).items():
        if label in hidden:
            segmentation_node.GetDisplayNode().SetSegmentVisibility(segment_id, False)
