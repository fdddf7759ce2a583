"""The panel for cohorts: tables in, charts and tables out; buttons on ``CohortSession`` of ``CACScoringLib.mrml``."""

import ctk
import qt
import slicer

from CACScoringDesktop.layout import showResult
from CACScoringDesktop.plot_ticks import PlotTicks
from CACScoringDesktop.translation import _
from CACScoringLib.cohort.request import AGREEMENT, KINDS, OUTCOMES, CohortRequest
from CACScoringLib.mrml.cohort_session import CohortSession
from CACScoringLib.scoring.risk import SCHEMES

POLL_MS = 200
FILES = "CSV, Parquet, Excel (*.csv *.tsv *.txt *.parquet *.pq *.xlsx *.xlsm)"
MEASURES = ("agatston", "volume_mm3", "mass_mg")
UNIT_WIDTH = 90


class CohortPanel:
    """Chooses tables and columns, runs the statistics, lists what came of them; put its ``widget`` into a layout.

    ``wheels()`` returns the folder that packages are installed from, if any.
    """

    def __init__(self, uiPath, wheels=lambda: None, session=None):
        self.session = session or CohortSession(lambda: slicer.mrmlScene, wheels=wheels)
        self.ticks = PlotTicks()
        self.widget = slicer.util.loadUI(uiPath)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self._shown = []
        self._build()

    # what the buttons do

    def onKind(self, *_unused):
        """Show the choices and the results of what is asked."""
        kind = self.kind()
        self.ui.agreementWidget.visible = kind == AGREEMENT
        self.ui.outcomesWidget.visible = kind == OUTCOMES
        self._list()

    def onReference(self, *_unused):
        """Offer the columns of the reference table, which has both scores where there is no other."""
        columns = self.session.columns(self.ui.referenceEdit.currentPath)
        self._offer(self.ui.caseSelector, columns)
        self._offer(self.ui.referenceScoreSelector, columns)
        if not self.ui.measuredEdit.currentPath:
            self._offer(self.ui.measuredScoreSelector, columns)

    def onMeasured(self, *_unused):
        """Offer the columns of the table that is judged."""
        path = self.ui.measuredEdit.currentPath or self.ui.referenceEdit.currentPath
        self._offer(self.ui.measuredScoreSelector, self.session.columns(path))

    def onTable(self, *_unused):
        """Offer the columns of the table with follow-up, those first that are probably meant."""
        columns = self.session.columns(self.ui.tableEdit.currentPath)
        meant = self.session.defaults(columns)
        for name, selector in (
            ("time", self.ui.timeSelector),
            ("event", self.ui.eventSelector),
            ("score", self.ui.scoreSelector),
            ("compare", self.ui.compareSelector),
        ):
            self._offer(selector, columns, meant.get(name, ""))
        self.ui.unitEdit.text = meant["unit"]
        self.ui.eventNameEdit.text = meant["event"]

    def onRun(self, *_unused):
        """Take the statistics."""
        if self.session.start(self.request()):
            self.timer.start()
        self.update()

    def onCancel(self, *_unused):
        """End the process."""
        self.session.cancel()
        self.timer.stop()
        self.update()

    def onTimer(self):
        """Hear how far it is; show the first chart once it is done."""
        new = self.session.poll()
        if not self.session.running:
            self.timer.stop()
        if new:
            self._list()
            self._showFirst()
        self.update()

    def onResult(self, row):
        """Show a chart or a table of the list in the layout."""
        if not 0 <= row < len(self._shown):
            self.ui.noteLabel.text = ""
            return
        node = self._shown[row].node
        if node.GetScene() is None:
            self._list()
            return
        showResult(node)
        self.ticks.follow()
        self.ui.noteLabel.text = node.GetDescription() or ""

    def onSaveReport(self, *_unused):
        """Ask for a file and write the report there."""
        name = self.session.reportName()
        path = qt.QFileDialog.getSaveFileName(self.widget, _("Save the report"), name, "HTML (*.html)")
        if path and self.session.saveReport(path):
            self.ui.statusLabel.text = _("Written: {path}").format(path=path)
        elif path:
            self.update()

    def onOpenFolder(self, *_unused):
        """Show the files of the last result."""
        if self.session.folder is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self.session.folder)))

    def sceneChanged(self):
        """List what the scene holds now: it was closed, or another was opened."""
        self._list()

    def cleanup(self):
        """End what runs; call this when the module is left for good."""
        self.timer.stop()
        self.ticks.stop()
        self.session.close()

    # beneath

    def kind(self):
        """Return what is asked."""
        return KINDS[max(self.ui.kindSelector.currentIndex, 0)]

    def request(self):
        """Return what is asked, with all choices."""
        ui = self.ui
        return CohortRequest(
            kind=self.kind(),
            reference=ui.referenceEdit.currentPath,
            measured=ui.measuredEdit.currentPath,
            case=ui.caseSelector.currentText.strip(),
            reference_score=ui.referenceScoreSelector.currentText.strip(),
            measured_score=ui.measuredScoreSelector.currentText.strip(),
            measure=ui.measureSelector.currentText,
            table=ui.tableEdit.currentPath,
            time=ui.timeSelector.currentText.strip(),
            event=ui.eventSelector.currentText.strip(),
            score=ui.scoreSelector.currentText.strip(),
            compare=ui.compareSelector.currentText.strip(),
            covariates=tuple(name.strip() for name in ui.covariatesEdit.text.split(",") if name.strip()),
            scheme=ui.schemeSelector.currentText,
            unit=ui.unitEdit.text.strip(),
            event_name=ui.eventNameEdit.text.strip(),
        )

    def update(self):
        """Show how things stand."""
        session, ui = self.session, self.ui
        ui.runButton.enabled = not session.running
        ui.cancelButton.enabled = ui.progressBar.visible = session.running
        ui.progressBar.value = round(100 * session.job.fraction)
        ui.statusLabel.text = session.status()
        text = session.findingsText()
        ui.findingsBrowser.plainText = text
        ui.findingsBrowser.visible = bool(text)
        ui.saveReportButton.enabled = ui.openFolderButton.enabled = session.folder is not None

    def _list(self):
        """List the charts and tables of what is asked."""
        results = self.ui.resultsList
        blocked = results.blockSignals(True)
        self._shown = self.session.results(self.kind())
        results.clear()
        for result in self._shown:
            results.addItem((_("Chart: {title}") if result.isChart else _("Table: {title}")).format(title=result.title))
        results.blockSignals(blocked)
        self.ui.noteLabel.text = ""

    def _showFirst(self):
        """Show the first chart, and the first table below it."""
        tables = [result for result in self._shown if not result.isChart]
        if tables:
            showResult(tables[0].node)
        self.ui.resultsList.currentRow = 0

    def _offer(self, selector, columns, chosen=""):
        selector.clear()
        selector.addItems(["", *columns])
        selector.currentText = chosen

    def _build(self):
        ui = self.ui
        ui.kindSelector.addItems([_("Agreement of two scores"), _("Outcomes: scores and events")])
        ui.kindSelector.currentIndex = KINDS.index(AGREEMENT)
        ui.measureSelector.addItems(list(MEASURES))
        ui.schemeSelector.addItems(list(SCHEMES))
        for edit, slot in (
            (ui.referenceEdit, self.onReference),
            (ui.measuredEdit, self.onMeasured),
            (ui.tableEdit, self.onTable),
        ):
            edit.filters = ctk.ctkPathLineEdit.Files
            edit.nameFilters = [FILES]
            edit.connect("currentPathChanged(QString)", slot)
        for selector in (ui.caseSelector, ui.referenceScoreSelector, ui.measuredScoreSelector):
            selector.lineEdit().placeholderText = _("found by its usual name")
        ui.compareSelector.lineEdit().placeholderText = _("none")
        for edit in (ui.unitEdit, ui.eventNameEdit):
            edit.setMaximumWidth(UNIT_WIDTH)
        ui.kindSelector.connect("currentIndexChanged(int)", self.onKind)
        ui.runButton.connect("clicked(bool)", self.onRun)
        ui.cancelButton.connect("clicked(bool)", self.onCancel)
        ui.resultsList.connect("currentRowChanged(int)", self.onResult)
        ui.saveReportButton.connect("clicked(bool)", self.onSaveReport)
        ui.openFolderButton.connect("clicked(bool)", self.onOpenFolder)
        self.timer = qt.QTimer()
        self.timer.setInterval(POLL_MS)
        self.timer.connect("timeout()", self.onTimer)
        self.onKind()
        self.update()
