"""A score without labels on the desktop: what is shown of it, in place of a segmentation's scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from CACScoringLib.mrml.attention import attention_nodes, attention_volume, hide_attention, show_attention
from CACScoringLib.mrml.study import put_under_study

if TYPE_CHECKING:
    from CACScoringLib.methods.score_prediction import ScorePrediction
    from CACScoringLib.mrml.logic import ScoringLogic


class ShownScore:
    """The last score without labels, as long as nothing else is shown.

    Parameters
    ----------
    logic : ScoringLogic

    Attributes
    ----------
    document : dict or None
        As ``scores.json``; None while there is none.
    attentionNode : vtkMRMLScalarVolumeNode or None
        What the score rests on, laid over the CT, where its method says so.
    """

    def __init__(self, logic: ScoringLogic):
        self.logic = logic
        self.document: dict[str, Any] | None = None
        self.attentionNode: Any = None

    def take(self, volumeNode: Any, prediction: ScorePrediction, **options: Any) -> None:
        """Show a score; ``options`` are those of ``ScoringLogic.documentWithoutLabels``.

        Raises
        ------
        InputRefusedError
            If the method says nothing; nothing is shown then.
        """
        self.clear()
        self.document = self.logic.documentWithoutLabels(volumeNode, prediction, **options)
        if prediction.attention is None:
            return
        scene, method = volumeNode.GetScene(), prediction.method
        before = attention_nodes(scene).get(method)
        self.attentionNode = attention_volume(scene, volumeNode, prediction.attention, method, node=before)
        put_under_study(scene, volumeNode, (self.attentionNode,))
        show_attention(self.attentionNode)

    def clear(self) -> None:
        """Show it no more; its volume stays in the scene."""
        if self.attentionNode is not None and self.attentionNode.GetScene() is not None:
            hide_attention(self.attentionNode)
        self.document = self.attentionNode = None
