"""The section ``Compare methods``: buttons on ``ComparisonSession`` of ``CACScoringLib.mrml``."""

import qt

from CACScoringDesktop.layout import showTable

POLL_MS = 200


class ComparePanel:
    """Wires the widgets of the section in the module's ``ui``.

    ``scan()`` returns the volume and the keyword arguments of ``ComparisonSession.start``: what is chosen now.
    """

    def __init__(self, ui, session, scan):
        self.ui, self.session, self.scan = ui, session, scan
        self.timer = qt.QTimer()
        self.timer.setInterval(POLL_MS)
        self.timer.connect("timeout()", self.onTimer)
        for button, slot in (
            (ui.compareButton, self.onCompare),
            (ui.compareCancelButton, self.onCancel),
            (ui.compareTableButton, self.onTable),
            (ui.compareLesionsButton, self.onLesions),
            (ui.compareAttentionButton, self.onAttention),
        ):
            button.connect("clicked(bool)", slot)
        self.update()

    def onCompare(self, checked=False):
        """Run all methods on the scan."""
        volume, choices = self.scan()
        if self.session.start(volume, **choices):
            self.timer.start()
        self.update()

    def onCancel(self, checked=False):
        """Stop; a second time, end it at once."""
        self.session.cancel()
        self.update()

    def onTimer(self):
        """Hear how far it is; show the table once it is done."""
        new = self.session.poll()
        if not self.session.running:
            self.timer.stop()
        if new:
            self.onTable()
        self.update()

    def onTable(self, checked=False):
        """Show what each method says."""
        showTable(self.session.tableNode)

    def onLesions(self, checked=False):
        """Show the lesions that they mark differently."""
        showTable(self.session.lesionTableNode)

    def onAttention(self, checked=False):
        """Lay over the scan what the score of a method rests on."""
        if self.session.attentionNodes:
            self.session.showAttention(self.session.attentionNodes[0])

    def refresh(self):
        """Look again which methods there are; call this when the module is shown."""
        self.session.refresh()
        self.update()

    def update(self):
        """Show how things stand."""
        ui, session = self.ui, self.session
        reason = session.reason(self.scan()[0])
        ui.compareButton.enabled = not reason
        ui.compareCancelButton.enabled = ui.compareProgressBar.visible = session.running
        ui.compareProgressBar.value = round(100 * session.job.fraction)
        ui.compareStatusLabel.text = session.status() or reason
        ui.compareTableButton.enabled = session.tableNode is not None
        ui.compareLesionsButton.enabled = session.lesionTableNode is not None
        ui.compareAttentionButton.enabled = bool(session.attentionNodes)

    def sceneClosed(self):
        """Let go of nodes that are about to be deleted."""
        self.timer.stop()
        self.session.reset()
        self.update()

    def cleanup(self):
        """End what runs; call this when the module is left for good."""
        self.timer.stop()
        self.session.close()
