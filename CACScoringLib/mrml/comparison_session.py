"""What the button ``Compare methods`` of the module does; the panel shows it and calls its methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from CACScoringLib.findings import Finding, InputRefusedError, refuse
from CACScoringLib.installing import Installer
from CACScoringLib.methods.registry import available
from CACScoringLib.mrml.attention import attention_nodes, attention_volume, show_attention
from CACScoringLib.mrml.comparison import update_comparison_lesion_table, update_comparison_table
from CACScoringLib.mrml.comparison_job import ComparisonJob
from CACScoringLib.mrml.job import volume_state
from CACScoringLib.mrml.logic import DEFAULT_PRESET, ScoringLogic
from CACScoringLib.mrml.processes import Launcher
from CACScoringLib.mrml.settings import DesktopSettings
from CACScoringLib.mrml.tables import KIND_ATTRIBUTE
from CACScoringLib.mrml.worker_job import JobState
from CACScoringLib.report.comparison.job_files import CompareJob
from CACScoringLib.report.comparison.run import MethodChoice

TABLES = {"comparison": "Methods compared", "comparison-lesions": "Lesions that methods mark differently"}
"""Names of the tables by their ``KIND_ATTRIBUTE``."""
FEWEST_METHODS = 2


class ComparisonSession:
    """Compares all methods on a volume and shows the result in its scene.

    Parameters
    ----------
    logic : ScoringLogic
    settings : DesktopSettings, optional
    installer : Installer, optional
        Asked before a comparison; has ``ensure``.
    launcher : Launcher, optional
        Of processes.
    choices : callable, optional
        Returns the methods that can be chosen; those of the registry when absent.

    Attributes
    ----------
    tableNode, lesionTableNode : vtkMRMLTableNode or None
        Of the last comparison.
    attentionNodes : list of vtkMRMLScalarVolumeNode
        Of its methods that say what their score rests on.
    """

    def __init__(
        self,
        logic: ScoringLogic,
        *,
        settings: DesktopSettings | None = None,
        installer: Installer | None = None,
        launcher: Launcher | None = None,
        choices: Callable[[], list[MethodChoice]] | None = None,
    ):
        self.logic = logic
        self.settings = settings or DesktopSettings()
        self.installer = installer or Installer()
        self.job = ComparisonJob(launcher)
        self._choices = choices or (lambda: [MethodChoice(method.name) for method in available()])
        self._methods = self._choices()
        self._volume: Any = None
        self._volume_state: tuple[Any, ...] = ()
        self._findings: tuple[Finding, ...] = ()
        self.finding: Finding | None = None
        self.tableNode: Any = None
        self.lesionTableNode: Any = None
        self.attentionNodes: list[Any] = []

    @property
    def running(self) -> bool:
        """Return whether methods are being compared."""
        return self.job.running

    def refresh(self) -> None:
        """Look again which methods can be chosen: models may have been imported or removed."""
        self._methods = self._choices()

    def reason(self, volumeNode: Any = None) -> str:
        """Return why nothing can be compared now; empty where it can."""
        if len(self._methods) < FEWEST_METHODS:
            return "There is one method only: others appear here when they have weights."
        if self.running:
            return "Methods are being compared."
        return "" if volumeNode is not None else "There is no volume: choose a CT."

    def start(
        self, volumeNode: Any, *, kvp: float | None = None, preset: str = DEFAULT_PRESET, allowContrast: bool = False
    ) -> bool:
        """Compare all methods on a volume, in a process of its own; return whether it was started.

        Missing packages are installed first, after asking.
        """
        self.refresh()
        try:
            why = self.reason(volumeNode)
            if why:
                raise InputRefusedError(refuse("nothing-to-compare", why))
            self.installer.ensure(wheels=self.settings.wheelsFolder)
            ct, findings = self.logic.prepare(volumeNode, kvp=kvp, allowContrast=allowContrast)
            job = CompareJob(
                tuple(self._methods),
                self.settings.device or "auto",
                self.settings.workers or None,
                str(self.settings.modelsFolder),
                kvp,
                preset,
            )
            self.job.start(job, ct)
        except InputRefusedError as error:
            self.finding = error.finding
            return False
        known = (*ct.findings, *findings)
        self._findings = tuple(each for each in known if kvp is None or each.code != "unknown-kvp")
        self._volume, self._volume_state = volumeNode, volume_state(volumeNode)
        self.finding = self.job.finding
        return self.job.running

    def poll(self) -> bool:
        """Take note of how far it is, from a timer while ``running``; return whether there is a new result."""
        if not self.job.running:
            return False
        state = self.job.poll()
        if self.job.running:
            return False
        self.finding = self.job.finding
        if state is not JobState.DONE:
            return False
        if self._volume is None or self._volume.GetScene() is None or volume_state(self._volume) != self._volume_state:
            message = "The volume was deleted or changed while methods were compared: compare again."
            self.finding = refuse("volume-changed", message)
            return False
        self._show()
        return True

    def cancel(self) -> None:
        """Stop the comparison; a second time, end it at once."""
        self.job.cancel()
        if not self.job.running:
            self.finding = self.job.finding

    def status(self) -> str:
        """Return how things stand, in a line."""
        if self.job.running:
            return self.job.text
        if self.finding is not None:
            return self.finding.message
        if self.job.result is None:
            return ""
        rows = self.job.result.document["methods"]
        failed = [row["name"] for row in rows if row["failure"] is not None]
        without = f"; without a result: {', '.join(failed)}" if failed else ""
        return f"{len(rows) - len(failed)} of {len(rows)} methods compared{without}."

    def showAttention(self, node: Any) -> None:
        """Lay an attention volume over the CT in every slice view."""
        show_attention(node)

    def reset(self) -> None:
        """Let go of nodes: the scene is being closed."""
        self.job.cleanup()
        self._volume = self.tableNode = self.lesionTableNode = None
        self.attentionNodes = []

    def close(self) -> None:
        """End what runs."""
        self.reset()

    def _show(self) -> None:
        result, scene = self.job.result, self._volume.GetScene()
        document = dict(result.document)
        document["findings"] = [*(finding.as_dict() for finding in self._findings), *document["findings"]]
        self.tableNode = _table(scene, "comparison")
        update_comparison_table(self.tableNode, document)
        self.lesionTableNode = _table(scene, "comparison-lesions")
        update_comparison_lesion_table(self.lesionTableNode, document)
        before = attention_nodes(scene)
        self.attentionNodes = [
            attention_volume(scene, self._volume, attention, method, node=before.pop(method, None))
            for method, attention in result.attention.items()
        ]
        for node in before.values():
            scene.RemoveNode(node)


def _table(scene: Any, kind: str) -> Any:
    """Return the scene's table of a kind; a new one where it has none."""
    found = scene.GetNodesByClass("vtkMRMLTableNode")
    for index in range(found.GetNumberOfItems()):
        if found.GetItemAsObject(index).GetAttribute(KIND_ATTRIBUTE) == kind:
            return found.GetItemAsObject(index)
    return scene.AddNewNodeByClass("vtkMRMLTableNode", TABLES[kind])
