"""What editing needs of the Segment Editor, and the one of slicer-core."""

from __future__ import annotations

from typing import Any, Protocol

from CACScoringLib.mrml.scene import import_slicer

UNDO_STATES = 10
"""Steps that can be undone, as on the desktop."""


class SegmentEditor(Protocol):
    """The Segment Editor as the actions see it; the effect gives the desktop's."""

    def parameterNode(self) -> Any:
        """Return the ``vtkMRMLSegmentEditorNode``: what is edited, the selected segment, masking."""
        ...

    def saveStateForUndo(self) -> None:
        """Keep the segmentation as it is: undo comes back to it."""
        ...


class LogicSegmentEditor:
    """The Segment Editor without a desktop.

    Parameters
    ----------
    working : WorkingScene
        Whose application logic it uses.
    volumeNode : vtkMRMLScalarVolumeNode, optional
    segmentationNode : vtkMRMLSegmentationNode, optional
    """

    def __init__(self, working: Any, volumeNode: Any = None, segmentationNode: Any = None):
        slicer = import_slicer()
        node = working.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode", "CACScoring")
        node.SetAndObserveSegmentationNode(segmentationNode)
        node.SetAndObserveSourceVolumeNode(volumeNode)
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.logic.SetMRMLApplicationLogic(working.logics["Application"])
        self.logic.SetMRMLScene(working.scene)
        self.logic.SetSegmentEditorNode(node)
        self.logic.SetMaximumNumberOfUndoStates(UNDO_STATES)

    def parameterNode(self) -> Any:
        """Return the ``vtkMRMLSegmentEditorNode``."""
        return self.logic.GetSegmentEditorNode()

    def saveStateForUndo(self) -> None:
        """Keep the segmentation as it is."""
        self.logic.SaveStateForUndo()

    def undo(self) -> None:
        """Go back to the state before the last action."""
        self.logic.Undo()

    def redo(self) -> None:
        """Do again what was undone."""
        self.logic.Redo()
