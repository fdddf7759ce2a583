"""What only a real 3D Slicer can show: the effect in the Segment Editor, with the mouse events of a slice view."""

import unittest

import slicer
import vtk


class CACScoringEffectTest(unittest.TestCase):
    def setUp(self):
        from CACScoringDesktop.layout import correct

        from CACScoring import CACScoringTest

        slicer.mrmlScene.Clear()
        self.volume, self.segmentation = CACScoringTest().lesion()
        slicer.util.setSliceViewerLayers(background=self.volume, fit=True)
        correct(self.volume, self.segmentation)
        self.editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        self.view = slicer.app.layoutManager().sliceWidget("Red")
        self.view.mrmlSliceNode().JumpSliceByCentering(-3.75, -3.0, 12.0)  # the middle of the lesion
        slicer.app.processEvents()
        self.effect = self.editor.activeEffect().self()

    def tearDown(self):
        self.editor.setActiveEffect(None)

    def lad(self):
        """Return how many voxels LAD has."""
        labelmap = slicer.util.arrayFromSegmentBinaryLabelmap(self.segmentation, "LAD", self.volume)
        return int(labelmap.sum())

    def send(self, event, ras, shift=False):
        """Send a mouse event at a place (world RAS, mm) of the red view."""
        to_view = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.view.mrmlSliceNode().GetXYToRAS(), to_view)
        x, y = to_view.MultiplyPoint([*ras, 1.0])[:2]
        interactor = self.view.sliceView().interactor()
        interactor.SetEventInformation(round(x), round(y), 0, int(shift), "\0", 0, "")
        interactor.InvokeEvent(event)
        slicer.app.processEvents()

    def click(self, ras, shift=False):
        self.send("LeftButtonPressEvent", ras, shift)
        self.send("LeftButtonReleaseEvent", ras, shift)

    def test_the_effect_is_active_in_the_segment_editor(self):
        assert self.editor.activeEffect().name == "CAC Scoring"
        assert self.effect.editing.scan().candidates.voxels.hu.size == 6

    def test_a_shift_click_takes_calcium_away_and_undo_brings_it_back(self):
        assert self.lad() == 6
        self.click((-3.75, -3.0, 12.0), shift=True)
        assert self.lad() == 0
        self.editor.undo()
        slicer.app.processEvents()
        assert self.lad() == 6

    def test_a_click_gives_the_lesion_to_the_chosen_vessel_and_the_scores_follow(self):
        from CACScoring import CACScoringLogic

        self.effect.onKey("4")
        self.click((-3.75, -3.0, 12.0))
        scores = CACScoringLogic().computeScores(self.volume, self.segmentation)
        assert scores.vessels["LAD"].agatston == 0
        assert abs(scores.vessels["RCA"].agatston - 3.0) < 1e-9

    def test_a_lasso_gives_what_is_inside(self):
        self.effect.onKey("1")
        self.editor.activeEffect().setParameter("Tool", "lasso")
        self.effect.updateGUIFromMRML()
        corners = [(-1.5, -1.5, 12.0), (-6.0, -1.5, 12.0), (-6.0, -5.0, 12.0), (-1.5, -5.0, 12.0)]
        self.send("LeftButtonPressEvent", corners[0])
        for corner in corners[1:]:
            self.send("MouseMoveEvent", corner)
        self.send("LeftButtonReleaseEvent", corners[-1])
        assert self.effect.options.message.text == "6 voxels to LM."

    def test_keys_step_through_lesions(self):
        self.view.mrmlSliceNode().JumpSlice(0, 0, 3.0)
        self.effect.onKey("n")
        assert abs(self.view.mrmlSliceNode().GetSliceToRAS().GetElement(2, 3) - 12.0) < 0.01
        assert self.effect.options.message.text.startswith("1 of 1: LAD")
