"""One scan on the desktop: what each button of the module does, without a button.

The widget shows what a session says and calls its methods; it decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from CACScoringLib.findings import Finding, InputRefusedError, Severity, info, refuse
from CACScoringLib.installing import Installer
from CACScoringLib.methods.registry import labels_voxels
from CACScoringLib.mrml.choices import SEXES, UNKNOWN, ScoringChoices
from CACScoringLib.mrml.job import ScoringJob
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.processes import Launcher
from CACScoringLib.mrml.segmentation import calcium_segments, update_segmentation
from CACScoringLib.mrml.settings import DesktopSettings
from CACScoringLib.mrml.without_labels import ShownScore
from CACScoringLib.mrml.worker_job import JobState
from CACScoringLib.vocabulary import CORONARY_LABELS

if TYPE_CHECKING:
    from CACScoringLib.mrml.live import LiveScores
    from CACScoringLib.mrml.outcome import OutcomeView
    from CACScoringLib.scoring import CalciumScore


class ScoringSession:
    """The volume and the segmentation that are worked on, the network's run, and the scores that are shown.

    Parameters
    ----------
    logic : ScoringLogic
    settings : DesktopSettings, optional
    installer : Installer, optional
        Asked before the network is run; has ``ensure``.
    launcher : Launcher, optional
        Of worker processes.
    live : LiveScores, optional
    outcome : OutcomeView, optional

    Attributes
    ----------
    volumeNode, segmentationNode : node or None
    choices : ScoringChoices
    finding : Finding or None
        What the person should know about the last thing that was done; ``refuse`` when it was not done.
    """

    def __init__(
        self,
        logic: ScoringLogic,
        *,
        settings: DesktopSettings | None = None,
        installer: Installer | None = None,
        launcher: Launcher | None = None,
        live: LiveScores | None = None,
        outcome: OutcomeView | None = None,
    ):
        self.logic = logic
        self.settings = settings or DesktopSettings()
        self.installer = installer or Installer()
        self._launcher = launcher
        self.job = ScoringJob(logic, launcher)
        self.withoutLabels = ShownScore(logic)
        self.live = live or _live(logic)
        self.outcome = outcome
        self.choices = ScoringChoices()
        self.volumeNode: Any = None
        self.segmentationNode: Any = None
        self.finding: Finding | None = None
        self._listeners: list[Callable[[ScoringSession], None]] = []
        self._settled = False
        self._documented: tuple[CalciumScore, dict[str, Any]] | None = None
        self.job.addListener(self._tell)
        self.live.addListener(self._scoresChanged)

    def addListener(self, listener: Callable[[ScoringSession], None]) -> None:
        """Have a function called with the session whenever there is something new to show."""
        self._listeners.append(listener)

    def removeListener(self, listener: Callable[[ScoringSession], None]) -> None:
        """Call a function no more."""
        with suppress(ValueError):
            self._listeners.remove(listener)

    # What is worked on

    def setNodes(self, volumeNode: Any, segmentationNode: Any) -> None:
        """Choose the volume and the segmentation; their scores are shown if there is anything to score."""
        if volumeNode is self.volumeNode and segmentationNode is self.segmentationNode:
            return
        self.volumeNode, self.segmentationNode = volumeNode, segmentationNode
        self.finding = None
        self._watch()

    def setChoices(self, choices: ScoringChoices) -> None:
        """Choose how to score; the scores follow."""
        if choices == self.choices:
            return
        self.choices = choices
        self._watch()

    def knownKvp(self, volumeNode: Any = None) -> float | None:
        """Return the tube voltage that a volume (the chosen one) or its DICOM files say, None if they do not."""
        node = volumeNode or self.volumeNode
        return None if node is None else self.logic.acquisition(node).kvp

    def knownPatient(self, volumeNode: Any = None) -> tuple[float, str]:
        """Return age and sex that a volume (the chosen one) says: 0 and ``unknown`` where it does not."""
        node = volumeNode or self.volumeNode
        if node is None:
            return 0.0, UNKNOWN
        acquisition = self.logic.acquisition(node)
        sex = acquisition.patient_sex if acquisition.patient_sex in SEXES else UNKNOWN
        return float(acquisition.patient_age_years or 0.0), sex

    def valuesFor(self, volumeNode: Any, parameters: Any) -> dict[str, Any]:
        """Return what becomes of the choices that belong to one scan when a volume is chosen.

        What was entered for another scan is never carried over; in a scene that was just opened, entries stay.
        """
        if volumeNode is None:
            return {"kvp": 0.0} if self.volumeNode is not None and self.knownKvp() is not None else {}
        kvp = self.knownKvp(volumeNode)
        age, sex = self.knownPatient(volumeNode)
        other = self.volumeNode is not None
        values = {} if kvp is None and not other else {"kvp": float(kvp or 0.0)}
        if other or parameters.ageYears <= 0:
            values["ageYears"] = age
        if other or parameters.sex == UNKNOWN:
            values["sex"] = sex
        return {**values, "group": UNKNOWN} if other else values

    def kvp(self) -> float | None:
        """Return the tube voltage to score with instead of the volume's, None where that says it."""
        return None if self.knownKvp() is not None or self.choices.kvp <= 0 else self.choices.kvp

    # The network

    @property
    def running(self) -> bool:
        """Return whether the network is at work."""
        return self.job.running

    def start(self) -> bool:
        """Run the network on the volume, in a process of its own; return whether it was started.

        Missing packages are installed first, after asking. Without a segmentation a new one is made, for a method that
        marks voxels.
        """
        return self._do(self._start)

    def _start(self) -> None:
        if self.job.running:
            raise InputRefusedError(refuse("job-running", "The network is running: wait for it, or cancel it."))
        if self.volumeNode is None:
            raise InputRefusedError(refuse("no-volume", "There is no volume: choose a CT."))
        self.installer.ensure(wheels=self.settings.wheelsFolder)
        segmentation = None
        if labels_voxels(self.choices.method):
            segmentation = self.segmentationNode or self.newSegmentation()
        self.job.start(
            self.volumeNode,
            segmentation,
            self.choices.method,
            kvp=self.kvp(),
            nonCoronary=self.choices.nonCoronary,
            allowContrast=self.choices.allowContrast,
            **self.jobOptions(),
        )
        self.segmentationNode = segmentation or self.segmentationNode
        self.finding = self.job.finding

    def jobOptions(self) -> dict[str, Any]:
        """Return with which weights, and where, the network runs."""
        return {
            "model": self.choices.model or None,
            "device": self.settings.device,
            "threads": self.settings.workers or None,
            "modelsFolder": str(self.settings.modelsFolder),
        }

    def cancel(self) -> None:
        """Stop the network; a second time, end it at once."""
        self.job.cancel()

    def poll(self) -> JobState:
        """Take note of what the network says; call this from a timer while ``running``."""
        before = self.job.state
        state = self.job.poll()
        if state is not before and not self.job.running:
            self.finding = self.job.finding
            if state is JobState.CANCELLED:
                self.finding = info("cancelled", self.job.text)
            elif state is JobState.DONE:
                self._take()
            self._tell()
        return state

    def newSegmentation(self) -> Any:
        """Add a segmentation with our segments, all empty, for calcium that is marked by hand or by the network."""
        import numpy as np

        if self.volumeNode is None:
            raise InputRefusedError(refuse("no-volume", "There is no volume: choose a CT."))
        ct = self.logic.ct(self.volumeNode)
        scene = self.volumeNode.GetScene()
        name = scene.GenerateUniqueName(f"{self.volumeNode.GetName()} calcium")
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
        update_segmentation(node, np.zeros(ct.shape, np.uint8), self.volumeNode, non_coronary=self.choices.nonCoronary)
        return node

    def _take(self) -> None:
        """Show what the network says; the score of its segmentation is noted as the automatic one."""
        if self.job.segmentationNode is None:
            self._takeScore()
            return
        segmentation = self.segmentationNode = self.job.segmentationNode
        self._watch()
        if self.scores is not None:
            from CACScoringLib.mrml.edits import recordAutomatic

            recordAutomatic(segmentation, self.document())

    def _takeScore(self) -> None:
        """Show a score without labels until something else is chosen, scored or edited."""
        if self.job.volumeNode is not self.volumeNode:
            message = "Another volume was chosen while the network ran: choose the former one and score it again."
            self.finding = refuse("volume-not-chosen", message)
            return
        options = {**self.scoringOptions(), "findings": self.job.findings}
        try:
            self.withoutLabels.take(self.volumeNode, self.job.prediction, **options)
        except InputRefusedError as error:
            self.finding = error.finding
        self._show()

    # Many cases

    def backgroundNetwork(self) -> Any:
        """Return what runs the network for a review, in a process of its own."""
        from CACScoringLib.mrml.worklist_network import BackgroundNetwork

        job = ScoringJob(self.logic, self._launcher)
        return BackgroundNetwork(job, self.jobOptions, lambda: self.installer.ensure(wheels=self.settings.wheelsFolder))

    def reviewSettings(self) -> Any:
        """Return how the cases of a review are scored: as is chosen now."""
        from CACScoringLib.mrml.worklist_table import ReviewSettings

        return ReviewSettings(
            method=self.choices.method,
            preset=self.choices.preset,
            kvp=self.kvp(),
            non_coronary=self.choices.nonCoronary.value,
            allow_contrast=self.choices.allowContrast,
        )

    # The scores

    @property
    def scores(self) -> CalciumScore | None:
        """Return the scores of the segmentation, None while something else is shown."""
        return self.live.scores if self.live.watching and self.withoutLabels.document is None else None

    @property
    def upToDate(self) -> bool:
        """Return whether the scores are those of the segmentation as it is now."""
        return self.withoutLabels.document is not None or bool(self.live.upToDate)

    def score(self) -> bool:
        """Score the segmentation as it is; return whether that could be done."""
        return self._do(self._score)

    def _score(self) -> None:
        self.withoutLabels.clear()
        if self.volumeNode is None:
            raise InputRefusedError(refuse("no-volume", "There is no volume: choose a CT."))
        if self.segmentationNode is None or not calcium_segments(self.segmentationNode):
            message = "There is nothing to score yet: press Score to run the network, or mark calcium by hand."
            raise InputRefusedError(refuse("no-calcium-segments", message))
        if not self.live.watching:
            self.live.watch(self.volumeNode, self.segmentationNode, **self.scoringOptions())
        self.live.refresh()
        self._show()

    def scoringOptions(self) -> dict[str, Any]:
        """Return preset, tube voltage and patient as the scoring takes them."""
        return {"preset": self.choices.preset, "kvp": self.kvp(), "demographics": self.choices.demographics()}

    def document(self) -> dict[str, Any] | None:
        """Return the scores that are shown as ``scores.json`` has them, None while there are none."""
        if self.withoutLabels.document is not None:
            return self.withoutLabels.document
        scores = self.scores
        if scores is None or self.volumeNode is None or self.segmentationNode is None:
            return None
        if self._documented is None or self._documented[0] is not scores:
            document = self.logic.document(self.volumeNode, self.segmentationNode, scores)
            self._documented = (scores, document)
        return self._documented[1]

    def jumpTo(self, row: int, sliceNodes: Any) -> bool:
        """Move slice views to the lesion in a row of the lesion table; return whether there is one."""
        return self.outcome is not None and self.outcome.jumpToLesion(row, sliceNodes)

    def jumpToLargest(self, sliceNodes: Any) -> bool:
        """Move slice views to the coronary lesion with the highest score; return whether there is one."""
        vessels = {label.name for label in CORONARY_LABELS}
        lesions = (self.document() or {}).get("lesions") or []
        rows = [row for row, lesion in enumerate(lesions) if lesion["vessel"] in vessels]
        return bool(rows) and self.jumpTo(max(rows, key=lambda row: lesions[row]["agatston"]), sliceNodes)

    def accept(self, reader: str, comment: str = "") -> bool:
        """Record who accepted the scores as they are now; return whether that could be done."""
        return self._do(lambda: self._accept(reader.strip(), comment.strip()))

    def _accept(self, reader: str, comment: str) -> None:
        if not reader:
            raise InputRefusedError(refuse("no-reader", "Who accepts the scores? Enter a name or initials."))
        self._score()
        from CACScoringLib.mrml.edits import accept

        accept(self.segmentationNode, reader, self.document(), comment=comment)
        self.settings.setReader(reader)

    def status(self) -> str:
        """Return one line on how things stand, for under the buttons."""
        if self.job.running:
            return self.job.text
        if self.finding is not None:
            return self.finding.message
        if self.document() is None:
            return "Choose a CT and press Score." if self.volumeNode is None else "Not scored yet: press Score."
        return "The scores are up to date." if self.upToDate else "The segmentation has changed since it was scored."

    def headline(self) -> str:
        """Return the result in a few words, empty while there is none."""
        document = self.document()
        if document is None:
            return ""
        from CACScoringLib.report.words import RESEARCH_USE_ONLY, certainty_line, headline, preset_line, risk_line

        said = (headline, risk_line, certainty_line, preset_line)
        lines = [*(words(document) for words in said), RESEARCH_USE_ONLY]
        return "\n".join(line for line in lines if line)

    def findingsText(self) -> str:
        """Return what was noticed about the scan and the result, a line each, warnings first."""
        document = self.document()
        findings = [] if document is None else document["findings"]
        ranked = sorted(findings, key=lambda finding: finding["severity"] == Severity.INFO.value)
        return "\n".join(finding["message"] for finding in ranked)

    def reset(self) -> None:
        """Let go of all nodes, as before the scene is closed; a running network is ended."""
        if self.job.running:
            self.job.cancel()
            self.job.cancel()
        self.outcome = None
        self.setNodes(None, None)

    def close(self) -> None:
        """End the network and watch nothing any more."""
        self.job.cleanup()
        self.live.removeListener(self._scoresChanged)
        self.live.unwatch()
        self._listeners.clear()

    def _watch(self) -> None:
        """Follow what is chosen, and score it if there is anything to score."""
        self.live.unwatch()
        self.withoutLabels.clear()
        self._settled, self._documented = False, None
        if self.volumeNode is not None and self.segmentationNode is not None:
            self.live.automatic = self.choices.live
            try:
                self.live.watch(self.volumeNode, self.segmentationNode, **self.scoringOptions())
                self.live.refresh()
            except InputRefusedError as error:
                if error.finding.code != "no-calcium-segments":
                    self.finding = error.finding
        self._settled = True
        self._tell()

    def _scoresChanged(self, _live: Any = None) -> None:
        """Show scores that changed, and note them if an edit changed them."""
        if self._settled:
            self.withoutLabels.clear()
        if self._settled and self.upToDate:
            self._noteEdit()
        self._show()
        self._tell()

    def _noteEdit(self) -> None:
        from CACScoringLib.mrml.edits import editRecord, recordEdited

        if editRecord(self.segmentationNode).automatic is not None:
            # a record keeps no lesions: without them it is written fast enough for every edit
            recordEdited(self.segmentationNode, {**self.document(), "lesions": [], "findings": []})

    def _show(self) -> None:
        """Put the scores, and whether they are up to date, into the tables and the chart."""
        document = self.document()
        if document is None:
            if self.outcome is not None:
                self.outcome.clear()
            return
        if self.outcome is None:
            self.outcome = _outcome(self.volumeNode.GetScene())
        if self.upToDate:
            self.outcome.update(document, volumeNode=self.volumeNode)
        else:
            self.outcome.setUpToDate(False)

    def _do(self, action: Callable[[], None]) -> bool:
        """Do what was asked for; what is refused becomes the finding that the person sees."""
        self.finding = None
        try:
            action()
        except InputRefusedError as error:
            self.finding = error.finding
        except (ValueError, RuntimeError) as error:
            self.finding = refuse("failed", " ".join(str(error).split())[:300] or type(error).__name__)
        self._tell()
        return self.finding is None or self.finding.severity is not Severity.REFUSE

    def _tell(self, _job: Any = None) -> None:
        for listener in list(self._listeners):
            listener(self)


def _live(logic: ScoringLogic) -> LiveScores:
    from CACScoringLib.mrml.live import LiveScores

    return LiveScores(logic)


def _outcome(scene: Any) -> OutcomeView:
    from CACScoringLib.mrml.outcome import OutcomeView

    return OutcomeView(scene)
