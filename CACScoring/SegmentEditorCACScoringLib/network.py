"""Runs the network from the effect: asks for missing packages, then starts a worker process and watches it."""

import qt
import slicer
from slicer.i18n import tr as _

INTERVAL_MS = 100


class NetworkRun:
    """One run at a time.

    Parameters
    ----------
    editing : EditingLogic
    options : Options
        Shows how far it is.
    """

    def __init__(self, editing, options):
        self._editing = editing
        self._options = options
        self._job = None
        self._timer = qt.QTimer()
        self._timer.interval = INTERVAL_MS
        self._timer.connect("timeout()", self.poll)

    def start(self):
        """Start the worker process; what is missing is asked for first."""
        from CACScoringLib.installing import Installer
        from CACScoringLib.mrml.job import ScoringJob
        from CACScoringLib.mrml.settings import DesktopSettings

        with slicer.util.tryWithErrorDisplay(_("The network could not be started."), waitCursor=True):
            settings, choices = DesktopSettings(slicer.app.userSettings()), chosenInModule()
            Installer().ensure(wheels=settings.wheelsFolder)
            if self._job is None:
                self._job = ScoringJob(self._editing.networkLogic())
            self._job.start(
                self._editing.volumeNode,
                self._editing.segmentationNode,
                choices.method,
                kvp=self._editing.kvp,
                model=choices.model or None,
                nonCoronary=choices.nonCoronary,
                allowContrast=choices.allowContrast,
                device=settings.device,
                threads=settings.workers or None,
                modelsFolder=str(settings.modelsFolder),
            )
            self._timer.start()
            self.show()

    def poll(self):
        """Take note of how far the worker is; called by the timer."""
        self._job.poll()
        self.show()
        if not self._job.running:
            self._timer.stop()

    def cancel(self):
        """Stop the worker."""
        if self._job is not None:
            self._job.cancel()
            self.show()

    def cleanup(self):
        """End the worker at once, as when the editor goes."""
        self._timer.stop()
        self._timer.disconnect("timeout()", self.poll)
        if self._job is not None:
            self._job.cleanup()

    def show(self):
        """Show how far the worker is, or how it ended."""
        job, options = self._job, self._options
        options.network.enabled, options.cancel.enabled = not job.running, job.running
        options.progress.visible = job.running
        options.progress.value = round(100 * job.fraction)
        if job.running:
            options.message.text = job.text
        elif job.finding is not None:
            options.message.text = job.finding.message
        else:
            options.message.text = _("Done.") if job.state.value == "done" else _("Cancelled.")


def chosenInModule():
    """Return method, model and options as the CACScoring module has them in this scene; the usual ones without it."""
    from CACScoringLib.mrml.choices import ScoringChoices

    try:
        from CACScoring import CACScoringLogic
    except ImportError:
        return ScoringChoices()
    return ScoringChoices.of(CACScoringLogic().getParameterNode())
