"""The panel for reading case after case: buttons on ``ReviewSession`` of ``CACScoringLib.mrml.worklist``."""

import ctk
import qt
import slicer

from CACScoringDesktop.translation import _
from CACScoringLib.batch.review_list import review_cases, review_folder
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.mrml.worklist import CHANGED, OPENED, ReviewSession
from CACScoringLib.mrml.worklist_files import WorkList

POLL_MS = 100
SAVE_MS = 5000
TABLE_NAME = "Review"


class ReviewPanel:
    """Chooses what to review, shows the list, and wires the buttons; put its ``widget`` into a layout.

    ``reviewSettings()`` returns the ``ReviewSettings`` of a review that is begun, ``network()`` what runs the network
    (a ``BackgroundNetwork``; None runs it here). ``caseOpened(volumeNode, segmentationNode)`` is called with the nodes
    of each case, and with None when there are none.
    """

    def __init__(self, logic, desktopSettings, reviewSettings, network=None, caseOpened=None):
        self.logic = logic
        self.desktopSettings = desktopSettings
        self.reviewSettings = reviewSettings
        self.network = network
        self.caseOpened = caseOpened or (lambda volumeNode, segmentationNode: None)
        self.session = None
        self.tableNode = None
        self._running = None
        self._build()

    # what the buttons do

    def onSource(self, *_unused):
        """Suggest where the review is kept."""
        self.folderEdit.currentPath = str(review_folder(self.sourceEdit.currentPath))

    def onBegin(self, *_unused):
        """Begin the review, or go on with it, and open the case where it stopped."""
        self._do(self._begin)

    def onEnd(self, *_unused):
        """Save and close the open case."""
        self._do(self._end)

    def onNext(self, *_unused):
        self._go(ReviewSession.next)

    def onPrevious(self, *_unused):
        self._go(ReviewSession.previous)

    def onNextPending(self, *_unused):
        self._go(ReviewSession.nextPending)

    def onRow(self, row, *_unused):
        """Open the case of a row of the list."""
        if self.session is not None and (self.session.current is None or self.session.current.index != row):
            self._do(lambda: self.session.open(row))

    def onAccept(self, *_unused):
        self._decide(ReviewSession.accept)

    def onEdited(self, *_unused):
        self._decide(ReviewSession.acceptEdited)

    def onReject(self, *_unused):
        self._decide(ReviewSession.reject)

    def onUndecide(self, *_unused):
        self._with(lambda session: session.undecide())

    def onRevert(self, *_unused):
        self._with(lambda session: session.revertToAutomatic())

    def onComment(self, *_unused):
        if self.session is not None and self.session.current is not None:
            self._with(lambda session: session.setComment(self.commentEdit.text))

    def onReader(self, *_unused):
        self.desktopSettings.setReader(self.readerEdit.text)
        if self.session is not None:
            self.session.reader = self.readerEdit.text

    def onStop(self, *_unused):
        if self._running is not None:
            self._running.stop()

    def onExport(self, *_unused):
        """Ask for a file and write the results there."""
        if self.session is None:
            return
        suggested = str(self.session.workList.folder / "review.csv")
        path = qt.QFileDialog.getSaveFileName(self.widget, _("Export results"), suggested, "CSV (*.csv)")
        if path:
            self._do(lambda: self._say(_("Written: {path}").format(path=self.session.exportCsv(path))))

    def onTimer(self):
        """Hear what the network says."""
        if self._running is not None:
            self._running.poll()

    def onSaveTimer(self):
        self._with(lambda session: session.autosave())

    def cleanup(self):
        """Save and close; call this when the module is left for good and before Slicer exits."""
        self.timer.stop()
        self.saveTimer.stop()
        self._do(self._end)

    # beneath

    def _begin(self):
        cases = review_cases(self.sourceEdit.currentPath)
        work = WorkList.begin(cases, self.folderEdit.currentPath, self.reviewSettings())
        self._end()
        self._running = self.network() if self.network is not None else None
        self.session = ReviewSession(
            slicer.mrmlScene, work, reader=self.readerEdit.text, logic=self.logic, segmenter=self._running
        )
        self.session.addListener(self._heard)
        if self.tableNode is None or self.tableNode.GetScene() is None:  # never made, or gone with a closed scene
            self.tableNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", TABLE_NAME)
        self.tableView.setMRMLTableNode(self.tableNode)
        opened = self.session.resume()
        self._say(" ".join((*work.notices, *opened.notices)))

    def _end(self):
        if self.session is not None:
            self.session.close()
            self.session.removeListener(self._heard)
            self.session = None
            self.caseOpened(None, None)
        self._show()

    def _go(self, step):
        def go(session):
            if step(session) is None:
                self._say(_("There is no further case."))

        self._with(go)

    def _decide(self, decision):
        def decide(session):
            decision(session, self.commentEdit.text)
            if self.goOnCheckBox.checked and session.nextPending() is None:
                self._say(_("Every case that could be opened is decided."))

        self._with(decide)

    def _with(self, action):
        if self.session is not None:
            self._do(lambda: action(self.session))

    def _do(self, action):
        """Do something; what cannot be done is a sentence in the panel, not a window to click away."""
        try:
            action()
        except InputRefusedError as refused:
            self._say(refused.finding.message)

    def _heard(self, event):
        if event == OPENED:
            self.commentEdit.text = self.session.review.comment
            nodes = self.session.current.nodes
            self._say(" ".join(self.session.current.notices))
            if nodes is None:
                self.caseOpened(None, None)
            else:
                slicer.util.setSliceViewerLayers(background=nodes.volume, fit=True)
                self.caseOpened(nodes.volume, nodes.segmentation)
        if event in (OPENED, CHANGED):
            self._show()

    def _show(self):
        """Show the list, how far it is, and the open case."""
        session = self.session
        for button in self.buttons:
            button.enabled = session is not None
        if session is None:
            self.progressLabel.text = ""
            return
        session.updateListTable(self.tableNode)
        if session.current is not None:
            self.tableView.selectRow(session.current.index)
        counts = session.workList.counts()
        self.progressLabel.text = _(
            "Case {number} of {total}: {accepted} accepted, {edited} edited, {rejected} rejected, {failed} failed"
        ).format(number=session.position + 1, total=len(session.workList), **counts)
        self.stopButton.enabled = session.current is not None and session.current.waiting

    def _say(self, text):
        self.messageLabel.text = text

    def _build(self):
        self.widget = qt.QWidget()
        form = qt.QFormLayout(self.widget)
        self.sourceEdit = ctk.ctkPathLineEdit()
        self.sourceEdit.toolTip = _("A folder of scans, a CSV list of them, or the output folder of a batch")
        self.folderEdit = ctk.ctkPathLineEdit()
        self.folderEdit.filters = ctk.ctkPathLineEdit.Dirs
        self.folderEdit.toolTip = _("Where decisions and edits are kept; choose it again to go on with a review")
        self.readerEdit = qt.QLineEdit(self.desktopSettings.reader)
        self.beginButton = self._button(_("Begin or go on"), self.onBegin)
        self.progressLabel = qt.QLabel()
        self.tableView = slicer.qMRMLTableView()
        self.tableView.setMRMLScene(slicer.mrmlScene)
        self.commentEdit = qt.QLineEdit()
        self.goOnCheckBox = qt.QCheckBox(_("Go on to the next case after a decision"))
        self.goOnCheckBox.checked = True
        self.messageLabel = qt.QLabel()
        self.messageLabel.wordWrap = True
        rows = (
            (
                self._button(_("Previous"), self.onPrevious),
                self._button(_("Next"), self.onNext),
                self._button(_("Next undecided"), self.onNextPending),
            ),
            (
                self._button(_("Accept"), self.onAccept),
                self._button(_("Edited"), self.onEdited),
                self._button(_("Reject"), self.onReject),
            ),
            (
                self._button(_("Take decision back"), self.onUndecide),
                self._button(_("Automatic labels again"), self.onRevert),
                self._button(_("Stop the network"), self.onStop),
            ),
            (self._button(_("Export CSV..."), self.onExport), self._button(_("End"), self.onEnd)),
        )
        self.stopButton = rows[2][2]
        self.buttons = [button for row in rows for button in row]
        form.addRow(_("To review:"), self.sourceEdit)
        form.addRow(_("Kept in:"), self.folderEdit)
        form.addRow(_("Reader:"), self.readerEdit)
        form.addRow(self.beginButton)
        form.addRow(self.progressLabel)
        form.addRow(self.tableView)
        form.addRow(_("Comment:"), self.commentEdit)
        for row in rows:
            line = qt.QHBoxLayout()
            for button in row:
                line.addWidget(button)
            form.addRow(line)
        form.addRow(self.goOnCheckBox)
        form.addRow(self.messageLabel)
        self.sourceEdit.connect("currentPathChanged(QString)", self.onSource)
        self.readerEdit.connect("editingFinished()", self.onReader)
        self.commentEdit.connect("editingFinished()", self.onComment)
        self.tableView.connect("clicked(QModelIndex)", lambda index: self.onRow(index.row()))
        self.timer, self.saveTimer = self._timer(POLL_MS, self.onTimer), self._timer(SAVE_MS, self.onSaveTimer)
        self._show()

    def _button(self, text, action):
        button = qt.QPushButton(text)
        button.connect("clicked(bool)", action)
        return button

    def _timer(self, interval, action):
        timer = qt.QTimer()
        timer.setInterval(interval)
        timer.connect("timeout()", action)
        timer.start()
        return timer
