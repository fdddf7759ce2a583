"""The Segment Editor effect "CAC Scoring"; Slicer looks for the class here."""

from SegmentEditorCACScoringLib.SegmentEditorEffect import SegmentEditorEffect

__all__ = ["SegmentEditorEffect"]
