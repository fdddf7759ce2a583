"""What only a real 3D Slicer can show: the module's widget, its parameter node, the layout, settings, sample data."""

import tempfile
import unittest

import slicer


class CACScoringWidgetTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        slicer.util.selectModule("CACScoring")
        self.widget = slicer.modules.cacscoring.widgetRepresentation().self()
        self.widget.connectParameters()

    def choose(self):
        from CACScoring import CACScoringTest

        volume, segmentation = CACScoringTest().lesion()
        self.widget.parameters.volume, self.widget.parameters.segmentation = volume, segmentation
        slicer.app.processEvents()
        return volume, segmentation

    def test_choosing_nodes_shows_their_scores(self):
        volume, _segmentation = self.choose()
        assert self.widget.ui.volumeSelector.currentNode() is volume
        assert abs(self.widget.session.scores.total.agatston - 3.0) < 1e-9
        assert "Agatston 3.0" in self.widget.ui.headlineLabel.text
        assert self.widget.ui.scoreButton.enabled
        assert not self.widget.ui.kvpSpinBox.enabled
        assert self.widget.ui.kvpSpinBox.value == 120

    def test_preset_and_patient_reach_the_scores(self):
        self.choose()
        self.widget.ui.presetSelector.currentText = "canon"
        self.widget.ui.ageSpinBox.value = 60
        self.widget.ui.sexSelector.currentText = "M"
        slicer.app.processEvents()
        assert self.widget.session.scores.preset.name == "canon"
        assert self.widget.session.scores.arterial_age_years > 39

    def test_an_edit_changes_the_table_in_the_layout(self):
        _volume, segmentation = self.choose()
        self.widget.onTable()
        selection = slicer.app.applicationLogic().GetSelectionNode()
        assert selection.GetActiveTableID() == self.widget.session.outcome.outcomeTableNode.GetID()
        segmentation.GetSegmentation().RemoveSegment("LAD")
        slicer.app.processEvents()
        assert self.widget.session.scores.total.agatston == 0
        assert self.widget.session.upToDate

    def test_a_lesion_moves_the_slice_views(self):
        from CACScoringDesktop.layout import sliceNodes

        self.choose()
        assert self.widget.session.jumpTo(0, sliceNodes())
        red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
        assert abs(red.GetSliceToRAS().GetElement(2, 3) - 12.0) < 0.01

    def test_the_chart_is_shown(self):
        self.choose()
        self.widget.onChart()
        selection = slicer.app.applicationLogic().GetSelectionNode()
        assert selection.GetActivePlotChartID() == self.widget.session.outcome.chartNode.GetID()

    def test_closing_the_scene_empties_the_widget(self):
        self.choose()
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        assert self.widget.session.volumeNode is None
        assert self.widget.session.scores is None

    def test_choices_are_kept_in_the_scene(self):
        self.choose()
        self.widget.parameters.preset = "canon"
        assert self.widget.logic.getParameterNode().preset == "canon"

    def test_settings_and_sample_data_are_registered(self):
        assert "Cardiac" in slicer.modules.sampleDataSources
        names = [source.sampleName for source in slicer.modules.sampleDataSources["Cardiac"]]
        assert "CACScoring synthetic gated CT" in names
        from CACScoring import CACScoring

        panel, parent = CACScoring.settingsPanel
        assert panel.deviceSelector.count >= 2
        assert parent is not None

    def test_a_scene_that_is_saved_and_loaded_again_shows_its_scores(self):
        self.choose()
        self.widget.ui.presetSelector.currentText = "canon"
        self.widget.session.accept("R. Eader")
        with tempfile.TemporaryDirectory() as folder:
            file = f"{folder}/scene.mrb"
            assert slicer.util.saveScene(file)
            slicer.mrmlScene.Clear()
            slicer.app.processEvents()
            assert self.widget.session.scores is None
            slicer.util.loadScene(file)
            slicer.app.processEvents()
        session = self.widget.session
        assert abs(session.scores.total.agatston - 3.0) < 1e-9
        assert session.scores.preset.name == "canon"
        from CACScoringLib.mrml.edits import editRecord

        assert editRecord(session.segmentationNode).acceptances[-1].reader == "R. Eader"
        tables = slicer.util.getNodesByClass("vtkMRMLTableNode")
        assert len(tables) == len({table.GetName() for table in tables}) == 4

    def test_segment_statistics_has_a_score_for_each_segment(self):
        from SegmentStatistics import SegmentStatisticsLogic

        volume, segmentation = self.choose()
        logic = SegmentStatisticsLogic()
        parameters = logic.getParameterNode()
        parameters.SetParameter("Segmentation", segmentation.GetID())
        parameters.SetParameter("ScalarVolume", volume.GetID())
        logic.computeStatistics()
        statistics = logic.getStatistics()
        assert abs(statistics["LAD", "CACScoringSegmentStatisticsPlugin.agatston"] - 3.0) < 1e-9

    def test_the_network_runs_in_a_process_and_fills_the_segmentation(self):
        """Skipped where torch is not installed: with --testing nothing is installed."""
        from CACScoringLib.installing import installed_version

        if not (installed_version("torch") and installed_version("monai")):
            self.skipTest("torch and monai are not installed")
        from CACScoringDesktop.sample_data import makeAndLoad

        (volume,) = makeAndLoad()
        self.widget.parameters.volume, self.widget.parameters.segmentation = volume, None
        assert self.widget.session.start(), self.widget.session.status()
        while self.widget.session.running:
            self.widget.session.poll()
            slicer.app.processEvents()
        assert self.widget.session.job.state.value == "done", self.widget.session.status()
