"""What only a real 3D Slicer can show: the module, its resources and Slicer's own scene."""

import unittest

import slicer


class CACScoringSceneTest(unittest.TestCase):
    def test_the_module_is_there_with_its_logic(self):
        from CACScoring import CACScoringLogic

        assert hasattr(slicer.modules, "cacscoring")
        assert CACScoringLogic().moduleName == "CACScoring"

    def test_the_working_scene_is_slicers_own(self):
        from CACScoringLib.mrml.scene import new_scene, working_scene

        assert working_scene().scene is slicer.mrmlScene
        with self.assertRaises(RuntimeError):  # noqa: PT027
            new_scene()

    def test_our_terminology_is_loaded(self):
        import vtk

        from CACScoringLib.mrml.scene import load_terminology
        from CACScoringLib.report.segments import TERMINOLOGY_CONTEXT

        logic = slicer.modules.terminologies.logic()
        load_terminology(logic)
        names = vtk.vtkStringArray()
        logic.GetLoadedTerminologyNames(names)
        assert TERMINOLOGY_CONTEXT in [names.GetValue(index) for index in range(names.GetNumberOfValues())]
