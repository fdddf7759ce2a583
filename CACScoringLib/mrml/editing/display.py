"""Keeps the overlay of candidates as the segmentation is, whoever edits it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from CACScoringLib.findings import InputRefusedError
from CACScoringLib.mrml.editing.overlay import CandidateOverlay
from CACScoringLib.mrml.editing.session import EditingSession
from CACScoringLib.mrml.editing.writing import segmentation_state
from CACScoringLib.mrml.scene import import_slicer
from CACScoringLib.vocabulary import BACKGROUND


def at_once(function: Callable[[], None]) -> None:
    """Call a function now: how redrawing is scheduled without an event loop."""
    function()


class CandidateDisplay:
    """Shows the candidates of a session that no vessel has.

    Parameters
    ----------
    session : EditingSession

    Attributes
    ----------
    schedule : callable
        Called with a function to redraw. Undo and redo report every segment, so that a desktop puts it off until
        they are through; the default does it at once.
    """

    def __init__(self, session: EditingSession):
        self.schedule: Callable[[Callable[[], None]], None] = at_once
        self._session = session
        self._overlay: CandidateOverlay | None = None
        self._observed: tuple[Any, list[int]] | None = None
        self._waiting = False
        session.addListener(self.refresh)

    @property
    def node(self) -> Any:
        """Return the label map of candidates, or None while it is not shown."""
        return None if self._overlay is None else self._overlay.node

    def show(self) -> None:
        """Show the candidates in all slice views; nothing if there is no volume or segmentation."""
        volume = self._session.volumeNode
        if self._overlay is None and volume is not None:
            self._overlay = CandidateOverlay(volume.GetScene())
        self.refresh()
        if self._overlay is not None:
            self._overlay.show()

    def hide(self) -> None:
        """Take the candidates away."""
        self._stop_observing()
        if self._overlay is not None:
            self._overlay.remove()
            self._overlay = None

    def refresh(self) -> None:
        """Draw again where volume, segmentation or preset have changed; nothing if not shown."""
        self._waiting = False
        if self._overlay is None:
            return
        session = self._session
        if session.volumeNode is None or session.segmentationNode is None:
            self.hide()
            return
        self._observe()
        scan = session.scan()
        if segmentation_state(session.segmentationNode, session.volumeNode) is None:
            return  # Slicer is at it; another event follows
        free = scan.candidates.shown & (session.candidateLabels() == BACKGROUND)
        self._overlay.update(session.volumeNode, scan, free)

    def _observe(self) -> None:
        segmentation = self._session.segmentationNode.GetSegmentation()
        if self._observed is not None and self._observed[0] is segmentation:
            return
        self._stop_observing()
        kind = import_slicer().vtkSegmentation
        events = (kind.SourceRepresentationModified, kind.SegmentAdded, kind.SegmentRemoved, kind.SegmentModified)
        self._observed = (segmentation, [segmentation.AddObserver(event, self._changed) for event in events])

    def _stop_observing(self) -> None:
        if self._observed is not None:
            segmentation, tags = self._observed
            for tag in tags:
                segmentation.RemoveObserver(tag)
            self._observed = None

    def _changed(self, caller: Any, event: str) -> None:
        if not self._session.writing and not self._waiting:
            self._waiting = True
            self.schedule(self._refresh_quietly)

    def _refresh_quietly(self) -> None:
        """Redraw; where that has become impossible, as after a change to surfaces, show nothing."""
        try:
            self.refresh()
        except (InputRefusedError, ValueError):
            self.hide()
