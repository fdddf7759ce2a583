"""Registers the Segment Editor effect "CAC Scoring" with 3D Slicer; a hidden module."""

import sys
from pathlib import Path

import slicer

_HERE = Path(__file__).resolve().parent

for _root in (_HERE, _HERE.parent):  # installed: beside this file; in a checkout: one folder up
    if (_root / "CACScoringLib" / "__init__.py").is_file():
        if str(_root) not in sys.path:
            sys.path.append(str(_root))
        break

try:
    import qt
    from slicer.i18n import tr as _
    from slicer.i18n import translate
    from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest
except ImportError:  # slicer-core: there is no desktop to register with
    import unittest

    qt = None
    ScriptedLoadableModule = object
    ScriptedLoadableModuleTest = unittest.TestCase

    def _(text):
        return text

    def translate(context, text):
        return text


class SegmentEditorCACScoring(ScriptedLoadableModule):
    """The module that Slicer loads; it only registers the effect."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Segment Editor CAC Scoring")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations"]
        parent.contributors = ["CACScoring contributors"]
        parent.hidden = True
        parent.helpText = _("Registers the Segment Editor effect that gives coronary calcium to vessels.")
        parent.acknowledgementText = ""
        if qt is not None:
            slicer.app.connect("startupCompleted()", registerEffect)


def registerEffect():
    """Register the effect with the Segment Editor, once Slicer has started."""
    import qSlicerSegmentationsEditorEffectsPythonQt as effects

    if str(_HERE) not in sys.path:
        sys.path.append(str(_HERE))
    # with the class in the package, Slicer takes it from there instead of loading the file under the folder's name
    import SegmentEditorCACScoringLib  # noqa: F401

    effect = effects.qSlicerSegmentEditorScriptedEffect(None)
    effect.setPythonSource((_HERE / "SegmentEditorCACScoringLib" / "SegmentEditorEffect.py").as_posix())
    effect.self().register()


class SegmentEditorCACScoringTest(ScriptedLoadableModuleTest):
    """Runs in Slicer's own test runner, and on slicer-core."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_aClickGivesALesionAndUndoTakesItBack(self):
        """A 3 x 2 pixel lesion of 250 HU in one 3 mm slice of 0.5 mm pixels: 6 x 0.25 mm2 x weight 2 = 3."""
        import numpy as np

        from CACScoringLib.ct.volume import Acquisition, CTVolume
        from CACScoringLib.mrml.editing.logic import EditingLogic
        from CACScoringLib.mrml.segmentation import segmentation_from_labels
        from CACScoringLib.mrml.volume import volume_from_ct

        hu = np.full((8, 16, 16), 40, np.int16)
        hu[4, 5:7, 6:9] = 250
        volume = volume_from_ct(slicer.mrmlScene, CTVolume(hu, (3.0, 0.5, 0.5), acquisition=Acquisition(kvp=120.0)))
        segmentation = segmentation_from_labels(slicer.mrmlScene, np.zeros(hu.shape, np.uint8), volume)
        editor = _Editor(volume, segmentation)
        editing = EditingLogic(editor)
        assert editing.click((-3.5, -2.5, 12.0), label=2).changed == 6
        scores = editing.logic.computeScores(volume, segmentation)
        assert abs(scores.vessels["LAD"].agatston - 3.0) < 1e-9
        editor.logic.Undo()
        assert editing.logic.computeScores(volume, segmentation).total.agatston == 0


class _Editor:
    """The Segment Editor's logic on Slicer's own scene."""

    def __init__(self, volume, segmentation):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode", "CACScoringTest")
        node.SetAndObserveSegmentationNode(segmentation)
        node.SetAndObserveSourceVolumeNode(volume)
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.logic.SetSegmentEditorNode(node)

    def parameterNode(self):
        return self.logic.GetSegmentEditorNode()

    def saveStateForUndo(self):
        self.logic.SaveStateForUndo()
