"""The Cohort section in a real 3D Slicer: its widgets, a process of its own, charts with named ticks, tables."""

import csv
import tempfile
import time
import unittest
from pathlib import Path

import slicer
import vtk

LIMIT_S = 600
SCORES = (0, 0, 0, 5, 30, 80, 95, 120, 250, 390, 420, 900)


class CACScoringCohortTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        slicer.util.selectModule("CACScoring")
        self.panel = slicer.modules.cacscoring.widgetRepresentation().self().cohort
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def table(self, name, factor):
        path = Path(self.folder.name) / name
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["case", "agatston"])
            rows.writerows((f"p{i}", factor * score) for i, score in enumerate(SCORES))
        return str(path)

    def test_agreement_is_shown_and_its_report_saved(self):
        """Skipped where the packages are not installed: with --testing nothing is installed."""
        from CACScoringLib.installing import installed_version

        if not all(map(installed_version, ("pandas", "lifelines", "statsmodels", "matplotlib"))):
            self.skipTest("the packages for cohorts are not installed")
        panel = self.panel
        panel.ui.kindSelector.currentIndex = 0
        panel.ui.covariatesEdit.text = ""
        panel.ui.referenceEdit.currentPath = self.table("reader.csv", 1)
        panel.ui.measuredEdit.currentPath = self.table("network.csv", 1.1)
        assert panel.ui.caseSelector.findText("case") > 0
        panel.onRun()
        assert panel.session.running, panel.session.status()
        end = time.monotonic() + LIMIT_S
        while panel.session.running and time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.02)
        assert panel.session.status().startswith("12 cases"), panel.session.status()
        titles = [panel.ui.resultsList.item(row).text() for row in range(panel.ui.resultsList.count)]
        assert titles[:3] == [
            "Chart: Total: measured against reference",
            "Chart: Total: logarithmic axes",
            "Chart: Total: Bland-Altman",
        ]
        panel.ui.resultsList.currentRow = 1
        slicer.app.processEvents()
        axis = slicer.app.layoutManager().plotWidget(0).plotView().chart().GetAxis(vtk.vtkAxis.BOTTOM)
        assert axis.GetTickLabels().GetValue(0) == "0"
        assert axis.GetTickLabels().GetValue(1) == "10"
        panel.ui.resultsList.currentRow = titles.index("Table: Risk categories")
        selection = slicer.app.applicationLogic().GetSelectionNode()
        table = slicer.mrmlScene.GetNodeByID(selection.GetActiveTableID())
        assert table.GetName() == "Agreement: Risk categories"
        report = Path(self.folder.name) / "report.html"
        assert panel.session.saveReport(str(report))
        assert "<h1>Agreement of calcium scores</h1>" in report.read_text(encoding="utf-8")
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        assert panel.ui.resultsList.count == 0

    def test_what_is_missing_is_a_sentence(self):
        self.panel.ui.kindSelector.currentIndex = 1
        self.panel.ui.tableEdit.currentPath = ""
        self.panel.onRun()
        assert self.panel.ui.statusLabel.text == "Choose the table with scores and follow-up."
        assert self.panel.ui.runButton.enabled
