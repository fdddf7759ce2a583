"""Reading case after case: open, correct, decide, next; everything is saved as it happens.

Methods have Slicer's camelCase names, since the module's panel calls them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.scene import import_slicer
from CACScoringLib.mrml.tables import Column, fill_table
from CACScoringLib.mrml.worklist_case import OpenCase, case_labels, fingerprint, load_mask, remove_case
from CACScoringLib.mrml.worklist_files import AUTOMATIC, WorkList
from CACScoringLib.mrml.worklist_opening import CaseOpener, Segmenter
from CACScoringLib.mrml.worklist_saving import decided_status, keep_decided, save_decision, save_draft, save_edits
from CACScoringLib.mrml.worklist_table import CaseReview, Status

OPENED, CLOSED, CHANGED = "opened", "closed", "changed"
"""What listeners are told: a case was opened or closed, or what is known about one changed."""

LIST_COLUMNS = (
    Column("case", "Case", type=str),
    Column("status", "Status", type=str),
    Column("automatic_agatston", "Automatic Agatston"),
    Column("reviewed_agatston", "Reviewed Agatston"),
    Column("reader", "Reader", type=str),
    Column("comment", "Comment", type=str),
    Column("message", "Message", type=str),
)


class ReviewSession:
    """A reader at a work list.

    Parameters
    ----------
    scene : vtkMRMLScene
    workList : WorkList
    reader : str
        Who decides; needed for that.
    logic : ScoringLogic, optional
    segmenter : callable, optional
        ``segmenter(volumeNode, segmentationNode)`` runs the network; the logic's ``segment`` unless given. Where it
        returns False it still runs (see ``BackgroundNetwork``): it calls ``automaticReady`` or ``automaticFailed``
        in the end. Its ``cancel``, if it has one, is called when a case is left that waits for it.
    now : callable, optional
        Returns the time, with its zone.

    Attributes
    ----------
    current : OpenCase or None
    reader : str
    """

    def __init__(
        self,
        scene: Any,
        workList: WorkList,
        *,
        reader: str = "",
        logic: ScoringLogic | None = None,
        segmenter: Segmenter | None = None,
        now: Callable[[], datetime] | None = None,
    ):
        self.scene = scene
        self.workList = workList
        self.reader = reader
        self.current: OpenCase | None = None
        self._opener = CaseOpener(scene, workList, logic or ScoringLogic(), segmenter)
        self._segmenter = segmenter
        if hasattr(segmenter, "session"):
            segmenter.session = self
        self._now = now or (lambda: datetime.now(timezone.utc))
        self._listeners: list[Callable[[str], None]] = []
        self._observed: tuple[Any, list[int]] | None = None

    def addListener(self, listener: Callable[[str], None]) -> None:
        """Have a function called with ``opened``, ``closed`` or ``changed``."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def removeListener(self, listener: Callable[[str], None]) -> None:
        """Have a function called no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    # from case to case

    @property
    def position(self) -> int:
        """Return the place of the open case, else of the one to go on with."""
        return self.workList.position if self.current is None else self.current.index

    @property
    def review(self) -> CaseReview | None:
        """Return what is known about the open case."""
        return None if self.current is None else self.workList[self.current.index]

    def resume(self) -> OpenCase:
        """Open the case that was open last, else the first that is not decided."""
        return self.open(self.workList.position)

    def next(self) -> OpenCase | None:
        """Open the following case; None at the end of the list, where the open one stays."""
        return self._step(1)

    def previous(self) -> OpenCase | None:
        """Open the case before; None at the start of the list, where the open one stays."""
        return self._step(-1)

    def nextPending(self) -> OpenCase | None:
        """Open the next case that waits for a decision, round the end of the list; None if there is none.

        Cases whose scan cannot be opened are noted as failed and passed over.
        """
        here = self.current
        start = self.position if here is None else here.index + 1
        for step in range(len(self.workList)):
            index = (start + step) % len(self.workList)
            if self.workList[index].status is Status.PENDING and (here is None or index != here.index):
                opened = self.open(index)
                if opened.nodes is not None:
                    return opened
        return None

    def open(self, index: int) -> OpenCase:
        """Open a case into the scene; the one before is saved and closed.

        A scan that is missing or damaged raises nothing: ``nodes`` is None then, ``notices`` says why, and the case
        is noted as failed unless it was decided before.

        Parameters
        ----------
        index : int

        Raises
        ------
        InputRefusedError
            If there is no such case, or the one before cannot be saved, which then stays open.
        """
        if not 0 <= index < len(self.workList):
            message = f"The work list has no case {index + 1}: it has {len(self.workList)}."
            raise InputRefusedError(refuse("no-such-case", message))
        self.close()
        self.workList.remember_position(index)
        case = self.current = self._opener.load(index)
        if case.nodes is not None:
            self._observe(case)
            self._opener.fill(case)
        self._tell(OPENED)
        return case

    def close(self) -> None:
        """Save the open case's edits and take it out of the scene.

        Raises
        ------
        InputRefusedError
            If they cannot be saved; the case stays open.
        """
        case = self.current
        if case is None:
            return
        self.saveEdits()
        if case.waiting and hasattr(self._segmenter, "cancel"):
            self._segmenter.cancel()
        self._unobserve()
        self.current = None
        if case.nodes is not None:
            remove_case(self.scene, case.nodes)
        self._tell(CLOSED)

    # what the reader does

    def saveEdits(self) -> bool:
        """Save the edits of the open case that nobody decided on yet; whether anything had to be saved.

        After a crash the case opens with what was saved last.
        """
        case = self.current
        if case is None or case.nodes is None or not case.nodes.there:
            return False
        return save_edits(self.workList, case)

    def autosave(self) -> bool:
        """Save the edits if any segment was modified; costs next to nothing if none was: call it every few seconds."""
        return self.current is not None and self.current.changed and self.saveEdits()

    def setComment(self, comment: str) -> None:
        """Save the comment on the open case, decided or not."""
        case = self._openCase()
        if comment != self.workList[case.index].comment:
            self.workList.update(case.index, comment=comment)
            self._tell(CHANGED)

    def accept(self, comment: str | None = None) -> Status:
        """Decide that the labels are right as they are now: ``accepted``, or ``edited`` where they were changed.

        Parameters
        ----------
        comment : str, optional
            Instead of what was saved.

        Returns
        -------
        Status

        Raises
        ------
        InputRefusedError
            If nobody is named as reader, the network still runs, nodes were deleted, or nothing can be saved.
        """
        return self._decide(comment)

    def acceptEdited(self, comment: str | None = None) -> Status:
        """Decide that the labels were corrected and are right now; as ``accept``, but refused without an edit."""
        return self._decide(comment, edited=True)

    def reject(self, comment: str | None = None) -> Status:
        """Decide that the scan cannot be used; also for one that cannot be opened. Edits are kept as a draft."""
        case = self._openCase()
        reader = self._readerName()
        keep_decided(self.workList, case)
        self.saveEdits()
        words = self.workList[case.index].comment if comment is None else comment
        decision = {"reader": reader, "reviewed_at": self._time(), "comment": words}
        self.workList.update(case.index, status=Status.REJECTED, reviewed=None, reviewed_labels="", **decision)
        self._tell(CHANGED)
        return Status.REJECTED

    def undecide(self) -> None:
        """Take the decision on the open case back; its labels and its comment stay."""
        case = self._openCase()
        review = self.workList[case.index]
        if not review.status.decided:
            return
        keep_decided(self.workList, case)
        self.saveEdits()
        status = Status.FAILED if review.problem else Status.PENDING
        self.workList.update(case.index, status=status, reader="", reviewed_at="", reviewed=None, reviewed_labels="")
        self._tell(CHANGED)

    def revertToAutomatic(self) -> None:
        """Put the automatic labels back into the segmentation of the open case.

        Raises
        ------
        InputRefusedError
            If there are none.
        """
        case = self._readyCase()
        labels, _ = load_mask(self.workList.file(case.index, AUTOMATIC), case.nodes)
        self._opener.put_labels(case, labels)
        self.saveEdits()

    def setKvp(self, kvp: float | None) -> None:
        """Score the open case as acquired at another tube voltage (kV), the automatic labels included.

        A decision rests on the score that the reader saw: it is taken back.
        """
        case = self._readyCase()
        if kvp == self.workList[case.index].kvp:
            return
        self.undecide()
        self.workList.update(case.index, kvp=None if kvp is None else float(kvp))
        if case.automatic is not None:
            self._opener.rescore_automatic(case)
        self._tell(CHANGED)

    def kvp(self) -> float | None:
        """Return the tube voltage (kV) that the open case is scored with instead of what its scan says."""
        case = self.current
        return None if case is None or case.nodes is None else self._opener.kvp(case.index, case.nodes)

    def scores(self) -> dict[str, Any]:
        """Return the scores of the open case's segmentation as it is now, as ``scores.json`` has them."""
        case = self._readyCase()
        return self._opener.document(case.index, case.nodes)

    # the network, where it runs beside

    def automaticReady(self, segmentationNode: Any = None) -> None:
        """Take what the segmentation of the open case holds now as its automatic labels.

        Parameters
        ----------
        segmentationNode : vtkMRMLSegmentationNode, optional
            Another node with the network's labels, where the reader edited the case's own meanwhile: those edits
            stay, and the other node is taken out of the scene.
        """
        case = self.current
        if case is None or not case.waiting or not case.nodes.there:
            return
        if segmentationNode is not None and segmentationNode is not case.nodes.segmentation:
            save_draft(self.workList, case, fingerprint(case_labels(case.nodes)))
            self._opener.take_labels_of(case, segmentationNode)
        self._opener.take_automatic(case)
        self._tell(CHANGED)

    def automaticFailed(self, message: str) -> None:
        """Note that the network gave no labels for the open case: the reader may label it by hand, or reject it."""
        case = self.current
        if case is not None and case.waiting and case.nodes.there:
            self.saveEdits()
            self._opener.network_failed(case, message)
            self._tell(CHANGED)

    # results

    def exportCsv(self, path: str | Path) -> Path:
        """Write one row a case with its automatic and its reviewed scores, the open case's edits saved before."""
        self.saveEdits()
        return self.workList.export_csv(path)

    def updateListTable(self, tableNode: Any) -> None:
        """Fill a table with a row a case, in the order of the work list."""
        rows = []
        for review in self.workList:
            scores = {
                "automatic_agatston": _shown(review.automatic),
                "reviewed_agatston": _shown(review.reviewed),
            }
            rows.append({**review.as_dict(), **scores, "case": review.name, "message": review.problem})
        fill_table(tableNode, LIST_COLUMNS, rows)

    def _decide(self, comment: str | None, edited: bool = False) -> Status:
        case = self._readyCase()
        reader = self._readerName()
        status, labels = decided_status(self.workList, case, edited=edited)
        document = self._opener.document(case.index, case.nodes)
        words = self.workList[case.index].comment if comment is None else comment
        decision = {"reader": reader, "reviewed_at": self._time(), "comment": words}
        save_decision(self.workList, case, document, status, labels, decision)
        self._tell(CHANGED)
        return status

    # small things

    def _step(self, by: int) -> OpenCase | None:
        if self.current is None:
            return self.resume()
        index = self.current.index + by
        return self.open(index) if 0 <= index < len(self.workList) else None

    def _openCase(self) -> OpenCase:
        if self.current is None:
            raise InputRefusedError(refuse("no-case-open", "No case is open: open one first."))
        return self.current

    def _readyCase(self) -> OpenCase:
        """Return the open case if it can be worked on."""
        case = self._openCase()
        if case.nodes is None:
            message = "The scan of this case could not be opened: reject it, or go on to the next."
            raise InputRefusedError(refuse("case-not-opened", message))
        if not case.nodes.there:
            message = "The volume or the segmentation of this case was deleted: open the case again."
            raise InputRefusedError(refuse("case-nodes-deleted", message))
        if case.waiting:
            message = "The network is still at work on this case: wait for it, or cancel it."
            raise InputRefusedError(refuse("network-running", message))
        return case

    def _readerName(self) -> str:
        reader = " ".join(self.reader.split())
        if not reader:
            raise InputRefusedError(refuse("no-reader", "Nobody is named as reader: enter a name or initials first."))
        return reader

    def _time(self) -> str:
        return self._now().astimezone(timezone.utc).isoformat(timespec="seconds")

    def _observe(self, case: OpenCase) -> None:
        def modified(_caller: Any, _event: str) -> None:
            case.changed = True

        segmentation = case.nodes.segmentation.GetSegmentation()
        # Not any event: the last one comes while Python is already throwing this function away.
        kind = import_slicer().vtkSegmentation
        events = (kind.SourceRepresentationModified, kind.SegmentAdded, kind.SegmentRemoved, kind.SegmentModified)
        self._observed = (segmentation, [segmentation.AddObserver(event, modified) for event in events])

    def _unobserve(self) -> None:
        if self._observed is not None:
            segmentation, tags = self._observed
            for tag in tags:
                segmentation.RemoveObserver(tag)
            self._observed = None

    def _tell(self, event: str) -> None:
        for listener in tuple(self._listeners):
            listener(event)


def _shown(summary: dict[str, Any] | None) -> float | None:
    """Return a total score as a list shows it; the exact one is in the exported CSV."""
    agatston = (summary or {}).get("agatston")
    return None if agatston is None else round(agatston, 1)
