"""Opening a case of a review: its scan into the scene, its segments from files or by the network, its scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from CACScoringLib.findings import Finding, InputRefusedError, Severity
from CACScoringLib.mrml.attributes import read_findings, read_json, write_findings, write_json
from CACScoringLib.mrml.edits import accept, recordAutomatic, recordEdited
from CACScoringLib.mrml.logic import MODEL_ATTRIBUTE, ScoringLogic
from CACScoringLib.mrml.segmentation import segmentation_from_labels, update_segmentation
from CACScoringLib.mrml.worklist_case import (
    CaseNodes,
    OpenCase,
    add_case,
    case_labels,
    fingerprint,
    load_mask,
    load_scan,
    read_segmentation,
    remove_node,
)
from CACScoringLib.mrml.worklist_files import (
    AUTOMATIC,
    AUTOMATIC_SCORES,
    DRAFT,
    REVIEWED,
    REVIEWED_SCORES,
    WorkList,
    read_document,
    read_scores,
)
from CACScoringLib.mrml.worklist_table import Status, score_summary
from CACScoringLib.report.scores_json import SCHEMA, to_json
from CACScoringLib.report.seg_nrrd import write_seg_nrrd

BATCH_SEGMENTATION = "segmentation.seg.nrrd"
"""What a batch calls its labels; ``scores.json`` beside it names the model."""

Segmenter = Callable[[Any, Any], bool]
"""Runs the network on (volumeNode, segmentationNode); False where it still runs."""


class CaseOpener:
    """Opens cases of a work list.

    Parameters
    ----------
    scene : vtkMRMLScene
    work : WorkList
    logic : ScoringLogic
    segmenter : callable, optional
        The logic's ``segment`` unless given.
    """

    def __init__(self, scene: Any, work: WorkList, logic: ScoringLogic, segmenter: Segmenter | None = None):
        self.scene = scene
        self.work = work
        self.logic = logic
        self.segmenter = segmenter

    def load(self, index: int) -> OpenCase:
        """Load a case's scan, with empty segments; without nodes and with a notice where that fails."""
        case = OpenCase(index)
        try:
            settings = self.work.settings
            ct = load_scan(self.work[index].source, allow_contrast=settings.allow_contrast)
            case.nodes = add_case(self.scene, ct, self.work[index].name, non_coronary=settings.non_coronary)
        except InputRefusedError as refused:
            self.failed(case, refused.finding.message)
        return case

    def fill(self, case: OpenCase) -> None:
        """Fill the segments: as they were left, else from the mask given with the scan, else by the network."""
        mask = self.work[case.index].mask
        if self._fill_as_left(case):
            return
        if mask:
            self._fill_from_mask(case, Path(mask))
        else:
            self._fill_by_network(case)

    def take_automatic(self, case: OpenCase) -> None:
        """Save the labels that the segments hold now as the automatic ones, and their scores."""
        case.waiting = False
        labels = case_labels(case.nodes)
        try:
            document = self.document(case.index, case.nodes)
        except InputRefusedError as refused:
            self.failed(case, refused.finding.message)
        else:
            self._write_labels(self.work.file(case.index, AUTOMATIC), labels, case)
            self._save_automatic(case, document, automatic_labels=fingerprint(labels))
            self._restore(case)
        case.settle()

    def take_labels_of(self, case: OpenCase, other: Any) -> None:
        """Put the labels of another segmentation into the case's, with where they come from, and remove it."""
        self.put_labels(case, case_labels(replace(case.nodes, segmentation=other)))
        self._note_origin(case, read_json(other, MODEL_ATTRIBUTE, dict), read_findings(other))
        remove_node(self.scene, other)

    def failed(self, case: OpenCase, message: str) -> None:
        """Note why a case cannot be opened or scored automatically; a decision stays."""
        case.waiting = False
        case.notices.append(message)
        review = self.work[case.index]
        status = review.status if review.status.decided else Status.FAILED
        if (status, message) != (review.status, review.problem):
            self.work.update(case.index, status=status, problem=message)

    def rescore_automatic(self, case: OpenCase) -> None:
        """Score the automatic labels anew, whatever the segments hold by now."""
        labels, _ = load_mask(self.work.file(case.index, AUTOMATIC), case.nodes)
        mode = self.work.settings.non_coronary
        node = segmentation_from_labels(self.scene, labels, case.nodes.volume, "Automatic", non_coronary=mode)
        try:
            write_json(node, MODEL_ATTRIBUTE, case.automatic.get("model"))
            write_findings(node, read_findings(case.nodes.segmentation))
            document = self.document(case.index, replace(case.nodes, segmentation=node))
        finally:
            remove_node(self.scene, node)
        self._save_automatic(case, document)

    def document(self, index: int, nodes: CaseNodes) -> dict[str, Any]:
        """Return the scores of a case's segmentation, as ``scores.json`` has them."""
        settings = self.work.settings
        scores = self.logic.computeScores(
            *(nodes.volume, nodes.segmentation, settings.preset),
            kvp=self.kvp(index, nodes),
            thickness_mode=settings.thickness_mode,
            calibration=settings.mass_factor,
        )
        return self.logic.document(nodes.volume, nodes.segmentation, scores)

    def kvp(self, index: int, nodes: CaseNodes) -> float | None:
        """Return the tube voltage (kV) that a case is scored with instead of what its scan says, None for that."""
        own, says = self.work[index].kvp, nodes.ct.acquisition.kvp
        return self.work.settings.kvp if own is None and says is None else own

    def put_labels(self, case: OpenCase, labels: Any) -> None:
        """Replace the calcium segments."""
        update_segmentation(
            case.nodes.segmentation, labels, case.nodes.volume, non_coronary=self.work.settings.non_coronary
        )

    def _fill_as_left(self, case: OpenCase) -> bool:
        """Fill from what an earlier opening saved; whether there was anything."""
        review = self.work[case.index]
        path = self.work.file(case.index, AUTOMATIC)
        document = read_scores(self.work.file(case.index, AUTOMATIC_SCORES))
        if document is None or review.automatic is None or not path.is_file():
            return False
        try:
            labels, _ = load_mask(path, case.nodes)
        except InputRefusedError as refused:
            case.notices.append(f"{refused.finding.message} The automatic labels are made anew.")
            return False
        self.put_labels(case, labels)
        self._note_origin(case, document.get("model"), findings_of(document))
        if (document.get("acquisition") or {}).get("series_uid") != case.nodes.ct.acquisition.series_uid:
            case.notices.append("The scan is another series than when it was first scored: check its labels.")
        case.automatic = document
        recordAutomatic(case.nodes.segmentation, document)
        self._restore(case)
        case.settle()
        if review.status is Status.FAILED or review.problem:
            status = Status.PENDING if review.status is Status.FAILED else review.status
            self.work.update(case.index, status=status, problem="")
        return True

    def _fill_from_mask(self, case: OpenCase, mask: Path) -> None:
        try:
            labels, findings = load_mask(mask, case.nodes)
        except InputRefusedError as refused:
            self.failed(case, refused.finding.message)
            self._restore(case)
            case.settle()
            return
        self.put_labels(case, labels)
        model, warnings = batch_model(mask)
        self._note_origin(case, model, (*findings, *warnings))
        self.take_automatic(case)

    def _fill_by_network(self, case: OpenCase) -> None:
        case.settle()
        case.waiting = True
        try:
            done = (self.segmenter or self._segment_now(case))(case.nodes.volume, case.nodes.segmentation)
        except InputRefusedError as refused:
            self.network_failed(case, refused.finding.message)
        except Exception as error:  # a review goes on whatever the network does with one scan
            words = " ".join(str(error).split()) or type(error).__name__
            message = f"The network failed on this scan ({words[:160]}): label it by hand, or reject it."
            self.network_failed(case, message)
        else:
            if done is not False and case.waiting:
                self.take_automatic(case)

    def network_failed(self, case: OpenCase, message: str) -> None:
        """Leave a case to the reader's own labels."""
        self.failed(case, message)
        self._restore(case)
        case.settle()

    def _segment_now(self, case: OpenCase) -> Segmenter:
        settings = self.work.settings

        def segment(volume: Any, segmentation: Any) -> bool:
            self.logic.segment(
                *(volume, segmentation, settings.method),
                kvp=self.kvp(case.index, case.nodes),
                nonCoronary=settings.non_coronary,
                allowContrast=settings.allow_contrast,
            )
            return True

        return segment

    def _note_origin(self, case: OpenCase, model: Any, findings: tuple[Finding, ...]) -> None:
        """Say in the segmentation where its labels come from."""
        write_json(case.nodes.segmentation, MODEL_ATTRIBUTE, model if isinstance(model, dict) else None)
        write_findings(case.nodes.segmentation, findings)

    def _write_labels(self, path: Path, labels: Any, case: OpenCase) -> None:
        mode = self.work.settings.non_coronary

        def write(temporary: Path) -> None:
            write_seg_nrrd(labels, case.nodes.ct, temporary, non_coronary=mode)

        self.work.write(path, write)

    def _save_automatic(self, case: OpenCase, document: dict[str, Any], **changes: Any) -> None:
        """Save automatic scores, on disk and in the scene."""
        self.work.write(self.work.file(case.index, AUTOMATIC_SCORES), to_json(document))
        status = self.work[case.index].status
        status = Status.PENDING if status is Status.FAILED else status
        self.work.update(case.index, automatic=score_summary(document), status=status, problem="", **changes)
        case.automatic = document
        recordAutomatic(case.nodes.segmentation, document)

    def _restore(self, case: OpenCase) -> None:
        """Put the reader's own labels over the automatic ones, where there are any, and note a decision."""
        review = self.work[case.index]
        scored = review.status in (Status.ACCEPTED, Status.EDITED)
        found = ""
        for name in (DRAFT, REVIEWED) if scored else (DRAFT,):
            if self._read(case, self.work.file(case.index, name)):
                found = name
                break
        labels = fingerprint(case_labels(case.nodes))
        if scored and found != DRAFT and labels != review.reviewed_labels:
            case.notices.append("The labels of this case are not those that were decided on: decide again.")
        elif scored and found == DRAFT and labels == review.reviewed_labels:
            # stopped after the decision, before the draft became the reviewed file
            self.work.file(case.index, DRAFT).replace(self.work.file(case.index, REVIEWED))
        document = read_scores(self.work.file(case.index, REVIEWED_SCORES)) if scored else None
        if document is not None and review.reader.strip():
            node = case.nodes.segmentation
            if review.status is Status.EDITED:
                recordEdited(node, document)
            accept(node, review.reader, document, when=review.reviewed_at, comment=review.comment)

    def _read(self, case: OpenCase, path: Path) -> bool:
        """Read a segmentation of the reader's; a damaged one is set aside."""
        if not path.is_file():
            return False
        try:
            read_segmentation(case.nodes, path)
        except InputRefusedError as refused:
            aside = path.with_name(path.name.replace(".seg.nrrd", "-damaged.seg.nrrd"))
            path.replace(aside)
            case.notices.append(f"{refused.finding.message} It was set aside as {aside.name}.")
            return False
        return True


def findings_of(document: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return the findings of a ``scores.json``; what is none is left out."""
    severities = {severity.value for severity in Severity}
    return tuple(
        Finding(Severity(entry["severity"]), str(entry.get("code", "")), str(entry.get("message", "")))
        for entry in document.get("findings") or ()
        if isinstance(entry, Mapping) and entry.get("severity") in severities
    )


def batch_model(mask: Path) -> tuple[dict[str, Any], tuple[Finding, ...]]:
    """Return the model behind a segmentation that a batch wrote, and its warnings; else the mask's name."""
    document = read_document(mask.with_name("scores.json")) if mask.name == BATCH_SEGMENTATION else None
    if document is None or document.get("schema") != SCHEMA or not isinstance(document.get("model"), dict):
        return {"id": None, "sha256": None, "method": None, "mask": mask.name}, ()
    warnings = (finding for finding in findings_of(document) if finding.severity is Severity.WARNING)
    # whether the tube voltage is known is judged anew: it may have been entered since
    return document["model"], tuple(finding for finding in warnings if finding.code != "unknown-kvp")
