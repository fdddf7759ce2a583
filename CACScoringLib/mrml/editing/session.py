"""What is edited, and the one way in which an action writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.mrml.attributes import read_json
from CACScoringLib.mrml.editing import result
from CACScoringLib.mrml.editing.editor import SegmentEditor
from CACScoringLib.mrml.editing.masking import editable, is_visible, unprotected
from CACScoringLib.mrml.editing.result import EditResult
from CACScoringLib.mrml.editing.scan import CandidateScan, ScanCache
from CACScoringLib.mrml.editing.writing import ensure_segment, segment_of, segmentation_state, write_labels
from CACScoringLib.mrml.logic import DEFAULT_PRESET, ScoringLogic
from CACScoringLib.mrml.scene import import_slicer
from CACScoringLib.mrml.segmentation import calcium_segments, labels_from_segmentation
from CACScoringLib.scoring.presets import PRESETS
from CACScoringLib.scoring.thresholds import is_plausible_kvp
from CACScoringLib.vocabulary import BACKGROUND, NonCoronary, Vessel

KEYS: dict[str, int] = {
    "1": int(Vessel.LM),
    "2": int(Vessel.LAD),
    "3": int(Vessel.LCX),
    "4": int(Vessel.RCA),
    "5": int(NonCoronary.OTHER),
}
"""Keys that choose the active vessel."""

PRESET_ATTRIBUTE, KVP_ATTRIBUTE = "CACScoring.Preset", "CACScoring.Kvp"
"""Attributes of a segmentation: the preset it is scored with, and the tube voltage in kV that a person gave."""
ACTIVE_LABEL_ATTRIBUTE = "CACScoring.ActiveLabel"
"""Attribute of the Segment Editor's node: the active label while its segment is not selected."""


class EditingSession:
    """A volume and a segmentation in the Segment Editor.

    Parameters
    ----------
    editor : SegmentEditor
        Says which volume and segmentation are edited and how they are masked, and saves states for undo.
    logic : ScoringLogic, optional
        Reads volumes, and runs the network.

    Attributes
    ----------
    writing : bool
        Whether an action is being written just now.
    """

    def __init__(self, editor: SegmentEditor, logic: ScoringLogic | None = None):
        self.editor = editor
        self.logic = logic or ScoringLogic()
        self._preset: str | None = None
        self._kvp: float | None = None
        self.writing = False
        self._cache = ScanCache(self.logic)
        self._read: tuple[Any, ...] | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def volumeNode(self) -> Any:
        """Return the source volume of the Segment Editor."""
        node = self.editor.parameterNode()
        return None if node is None else node.GetSourceVolumeNode()

    @property
    def segmentationNode(self) -> Any:
        """Return the segmentation of the Segment Editor."""
        node = self.editor.parameterNode()
        return None if node is None else node.GetSegmentationNode()

    @property
    def preset(self) -> str:
        """Return the preset whose voxels are candidates: the chosen one, else that of the segmentation's attribute."""
        kept = "" if self.segmentationNode is None else self.segmentationNode.GetAttribute(PRESET_ATTRIBUTE)
        return self._preset or (kept if kept in PRESETS else DEFAULT_PRESET)

    @preset.setter
    def preset(self, preset: str | None) -> None:
        self._preset = preset

    @property
    def kvp(self) -> float | None:
        """Return the tube voltage in kV instead of the volume's: the chosen one, else that of the attribute."""
        if self._kvp is not None or self.segmentationNode is None:
            return self._kvp
        kept = read_json(self.segmentationNode, KVP_ATTRIBUTE, (int, float))
        return float(kept) if kept is not None and is_plausible_kvp(kept) else None

    @kvp.setter
    def kvp(self, kvp: float | None) -> None:
        self._kvp = kvp

    @property
    def activeLabel(self) -> int:
        """Return the label that clicks give: that of the selected segment if it is ours."""
        node = self.editor.parameterNode()
        segmentation = self.segmentationNode
        if segmentation is not None and node.GetSelectedSegmentID():
            label = calcium_segments(segmentation).get(node.GetSelectedSegmentID())
            if label is not None:
                return label
        stored = (node.GetAttribute(ACTIVE_LABEL_ATTRIBUTE) or "") if node is not None else ""
        return int(stored) if stored in {str(label) for label in KEYS.values()} else int(Vessel.LAD)

    @activeLabel.setter
    def activeLabel(self, label: int) -> None:
        """Choose the label that clicks give, and select its segment; it is added where it is missing."""
        node = self.editor.parameterNode()
        node.SetAttribute(ACTIVE_LABEL_ATTRIBUTE, str(int(label)))
        if self.segmentationNode is not None and self.volumeNode is not None:
            node.SetSelectedSegmentID(ensure_segment(self.segmentationNode, self.volumeNode, int(label)))

    def pressKey(self, key: str) -> int | None:
        """Choose the active label by its key (``KEYS``); return it, or None for another key."""
        if key not in KEYS:
            return None
        self.activeLabel = KEYS[key]
        return KEYS[key]

    def prepare(self) -> None:
        """Add our segments where the segmentation has none of them, so that they can be chosen in its list."""
        if self.segmentationNode is None or self.volumeNode is None or calcium_segments(self.segmentationNode):
            return
        for label in KEYS.values():
            ensure_segment(self.segmentationNode, self.volumeNode, label)

    def scan(self) -> CandidateScan:
        """Return the candidates of the volume, found once as long as neither it nor the preset changes.

        Raises
        ------
        InputRefusedError
            If there is no volume or segmentation, or they cannot be edited.
        """
        self._checkNodes()
        return self._cache.scan(self.volumeNode, self.preset, self.kvp)

    def candidateLabels(self) -> np.ndarray:
        """Return the label of each candidate voxel (uint8, shape (n,)), 0 for none."""
        own = self.scan().own
        state = segmentation_state(self.segmentationNode, self.volumeNode)
        if state is None or self._read is None or self._read[0] is not own or self._read[1] != state:
            labels = labels_from_segmentation(self.segmentationNode, self.volumeNode).reshape(-1)[own]
            labels.flags.writeable = False
            self._read = (own, segmentation_state(self.segmentationNode, self.volumeNode), labels)
        return self._read[2]

    def write(self, which: np.ndarray, new: np.ndarray) -> EditResult:
        """Give candidate voxels new labels, as far as the Segment Editor's settings allow; one step of undo.

        Parameters
        ----------
        which : ndarray of int64, shape (n,)
            Numbers of candidate voxels, each once.
        new : ndarray of uint8, shape (n,)
            Their labels; 0 to take them away.
        """
        scan, labels = self.scan(), self.candidateLabels()
        segmentation, volume = self.segmentationNode, self.volumeNode
        names = self.hiddenSegments(np.unique(new).tolist())
        if names:
            return result.hidden(names)
        differs = new != labels[which]
        which, new = which[differs], new[differs]
        before, positions = labels[which], scan.own[which]
        allowed = self.allowed(positions, scan.candidates.voxels.hu[which], before, new)
        kept = int((~allowed).sum())
        if not allowed.any():
            return result.unchanged(kept)
        self.writing = True
        try:
            self.editor.saveStateForUndo()
            for label in np.unique(new[allowed & (new != BACKGROUND)]).tolist():
                ensure_segment(segmentation, volume, label)
            write_labels(segmentation, volume, positions[allowed], before[allowed], new[allowed])
        finally:
            self.writing = False
        for listener in list(self._listeners):
            listener()
        labels_now, counts = np.unique(new[allowed], return_counts=True)
        return result.done(dict(zip(labels_now.tolist(), counts.tolist(), strict=True)), kept)

    def hiddenSegments(self, labels: list[int]) -> list[str]:
        """Return the names of the segments of these labels that are hidden."""
        segmentation = self.segmentationNode
        found = {label: segment_of(segmentation, label) for label in labels if label != BACKGROUND}
        return [
            segmentation.GetSegmentation().GetSegment(segment_id).GetName()
            for segment_id in found.values()
            if segment_id is not None and not is_visible(segmentation, segment_id)
        ]

    def allowed(self, positions: np.ndarray, hu: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Return which voxels may get their new labels, by the masking and visibility settings.

        Parameters
        ----------
        positions : ndarray of int64, shape (n,)
            In the volume's own array.
        hu : ndarray of int, shape (n,)
        before, after : ndarray of uint8, shape (n,)
        """
        segmentation, node = self.segmentationNode, self.editor.parameterNode()
        segments = calcium_segments(segmentation)
        given = after != BACKGROUND
        free = np.where(
            given,
            unprotected(segmentation, node, segments, before, taking=False),
            unprotected(segmentation, node, segments, before, taking=True),
        )
        edited = np.where(given, after, before)  # the segment that is edited does not mask itself
        for label in np.unique(edited).tolist():
            part = np.flatnonzero(edited == label)
            segment_id = segment_of(segmentation, label) or ""
            free[part] &= editable(segmentation, self.volumeNode, node, segment_id, positions[part], hu[part])
        return free

    def addListener(self, listener: Callable[[], None]) -> None:
        """Have a function called after every action that changed something."""
        self._listeners.append(listener)

    def _checkNodes(self) -> None:
        if self.volumeNode is None or self.volumeNode.GetImageData() is None:
            raise InputRefusedError(refuse("no-volume", "There is no source volume: choose a CT."))
        if self.segmentationNode is None:
            raise InputRefusedError(refuse("no-segmentation", "There is no segmentation: choose or create one."))
        binary = import_slicer().vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        if self.segmentationNode.GetSegmentation().GetSourceRepresentationName() != binary:
            message = "The segmentation is made of surfaces: make binary labelmap its source representation first."
            raise InputRefusedError(refuse("segmentation-not-labelmap", message))
