"""Saving a case of a review: edits as they are made, and decisions, of which a crash leaves the old or the new one."""

from __future__ import annotations

from typing import Any

from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.mrml.edits import accept, editRecord, recordEdited
from CACScoringLib.mrml.worklist_case import (
    OpenCase,
    case_labels,
    fingerprint,
    has_other_segments,
    write_segmentation,
)
from CACScoringLib.mrml.worklist_files import DRAFT, REVIEWED, REVIEWED_SCORES, WorkList
from CACScoringLib.mrml.worklist_table import Status, score_summary
from CACScoringLib.report.scores_json import to_json


def save_edits(work: WorkList, case: OpenCase) -> bool:
    """Save the edits of a case that nobody decided on yet; whether anything had to be saved.

    Raises
    ------
    InputRefusedError
        If they cannot be saved.
    """
    labels, others = fingerprint(case_labels(case.nodes)), has_other_segments(case.nodes)
    if labels == case.saved and not (case.changed and others):
        return False
    review = work[case.index]
    decided = review.reviewed_labels if review.status.decided else ""
    if labels == (decided or review.automatic_labels) and not others:
        work.file(case.index, DRAFT).unlink(missing_ok=True)  # every edit was taken back
        case.saved, case.changed = labels, False
    else:
        save_draft(work, case, labels)
    return True


def save_draft(work: WorkList, case: OpenCase, labels: str) -> None:
    """Write the segments as they are now, whose labels have the given fingerprint."""
    path = work.file(case.index, DRAFT)
    work.write(path, lambda temporary: write_segmentation(case.nodes, temporary))
    case.saved, case.changed = labels, False


def decided_status(work: WorkList, case: OpenCase, *, edited: bool) -> tuple[Status, str]:
    """Return ``accepted`` or ``edited`` by whether the labels were changed, and their fingerprint.

    Raises
    ------
    InputRefusedError
        ``nothing-edited`` if they should have been and were not.
    """
    labels = fingerprint(case_labels(case.nodes))
    if labels != work[case.index].automatic_labels:
        return Status.EDITED, labels
    if edited:
        message = "The labels of this case are the automatic ones: accept it, or correct them first."
        raise InputRefusedError(refuse("nothing-edited", message))
    return Status.ACCEPTED, labels


def save_decision(
    work: WorkList, case: OpenCase, document: dict[str, Any], status: Status, labels: str, decision: dict[str, str]
) -> None:
    """Save that the labels are right as they are now: ``review.json`` last, by which the decision counts.

    Parameters
    ----------
    work : WorkList
    case : OpenCase
    document : dict
        Their scores.
    status : Status
        Accepted or edited.
    labels : str
        Their fingerprint.
    decision : dict
        ``reader``, ``reviewed_at``, ``comment``.
    """
    keep = status is Status.EDITED or has_other_segments(case.nodes)
    if keep:
        save_draft(work, case, labels)
    reviewed = {**document, "review": {"status": status.value, **decision}}
    work.write(work.file(case.index, REVIEWED_SCORES), to_json(reviewed))
    work.update(case.index, status=status, reviewed=score_summary(document), reviewed_labels=labels, **decision)
    draft, file = work.file(case.index, DRAFT), work.file(case.index, REVIEWED)
    if keep:
        draft.replace(file)
    else:  # the automatic file is enough
        draft.unlink(missing_ok=True)
        file.unlink(missing_ok=True)
    case.saved, case.changed = labels, False
    if status is Status.EDITED or editRecord(case.nodes.segmentation).edited is not None:
        recordEdited(case.nodes.segmentation, document)
    accept(
        *(case.nodes.segmentation, decision["reader"], document),
        when=decision["reviewed_at"],
        comment=decision["comment"],
    )


def keep_decided(work: WorkList, case: OpenCase) -> None:
    """Make the labels of a decision that is taken back a draft again, unless there is a newer one."""
    reviewed, draft = work.file(case.index, REVIEWED), work.file(case.index, DRAFT)
    if reviewed.is_file() and not draft.is_file():
        reviewed.replace(draft)
