"""The network for a review in a process of its own: a case can be looked at, left or rejected while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from CACScoringLib.findings import Finding
    from CACScoringLib.mrml.worklist import ReviewSession


class Job(Protocol):
    """What is used of ``CACScoringLib.mrml.job.ScoringJob``."""

    finding: Finding | None
    prediction: Any

    @property
    def running(self) -> bool:
        """Return whether a worker is at work or being stopped."""

    @property
    def segmentationNode(self) -> Any:
        """Return the segmentation that was filled: another than the given one if that was edited meanwhile."""

    def start(self, volumeNode: Any, segmentationNode: Any, method: str, **options: Any) -> None:
        """Start the network."""

    def cancel(self) -> None:
        """Ask the worker to stop; a second time, end it."""

    def poll(self) -> Any:
        """Take note of what the worker said."""


class BackgroundNetwork:
    """Runs the network for a review session: its ``segmenter``.

    Parameters
    ----------
    job : ScoringJob
        For the review alone.
    options : callable, optional
        Returns more options of ``job.start``: ``model``, ``device``, ``threads``, ``modelsFolder``.
    ensure : callable, optional
        Called before the network is started the first time; installs what is missing, after asking.

    Attributes
    ----------
    session : ReviewSession or None
        Set by the session that it is given to.
    """

    def __init__(
        self,
        job: Job,
        options: Callable[[], Mapping[str, Any]] | None = None,
        ensure: Callable[[], None] | None = None,
    ):
        self.job = job
        self.session: ReviewSession | None = None
        self._options = options or dict
        self._ensure = ensure
        self._started = False

    def __call__(self, volumeNode: Any, segmentationNode: Any) -> bool:
        """Start the network on a case; False, since it still runs."""
        if self._ensure is not None:
            self._ensure()
            self._ensure = None
        self.cancel()
        settings = self.session.workList.settings
        self.job.start(
            *(volumeNode, segmentationNode, settings.method),
            kvp=self.session.kvp(),
            nonCoronary=settings.non_coronary,
            allowContrast=settings.allow_contrast,
            **self._options(),
        )
        self._started = True
        return False

    @property
    def running(self) -> bool:
        """Return whether the network is at work on the open case."""
        return self._started

    def poll(self) -> bool:
        """Take note of what the worker said; call this from a timer. Whether it still runs.

        A segmentation that was edited meanwhile keeps its edits; the network's labels count as the automatic ones.
        """
        if not self._started:
            return False
        self.job.poll()
        if self.job.running:
            return True
        self._started = False
        if self.job.prediction is not None:
            self.session.automaticReady(self.job.segmentationNode)
        else:
            finding = self.job.finding
            message = "The network was cancelled: label this scan by hand, reject it, or open it again."
            self.session.automaticFailed(message if finding is None else finding.message)
        return False

    def stop(self) -> None:
        """Cancel the network on the open case, as its reader wishes; ``poll`` then says how it ended."""
        if self._started:
            self.job.cancel()

    def cancel(self) -> None:
        """End the network at once and forget about it: its case is being left."""
        self._started = False
        for _ in range(2):  # the second time ends the process
            if self.job.running:
                self.job.cancel()
