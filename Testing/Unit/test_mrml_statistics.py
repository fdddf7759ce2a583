"""Calcium of single segments, and the adapter that shows it in Segment Statistics."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import slicer
from mrml_samples import DIRECTIONS, a_calcified_ct

from CACScoringLib.ct.volume import Acquisition
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.mrml.logic import ScoringLogic
from CACScoringLib.mrml.segmentation import segmentation_from_labels
from CACScoringLib.mrml.statistics import MEASUREMENTS, segment_calcium, segment_mask
from CACScoringLib.mrml.volume import volume_from_ct

PLUGIN = Path(__file__).resolve().parents[2] / "CACScoring" / "CACScoringDesktop" / "segment_statistics_plugin.py"


def nodes(working, direction="axial"):
    ct, labels = a_calcified_ct(direction)
    volume = volume_from_ct(working.scene, ct)
    return volume, segmentation_from_labels(working.scene, labels, volume), labels


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_vessels_segment_has_the_scores_of_its_row(working, direction):
    volume, segmentation, _ = nodes(working, direction)
    scores = ScoringLogic().computeScores(volume, segmentation)
    for name, expected in (("LM", 0), ("LAD", 3), ("RCA", 24)):
        found = segment_calcium(segmentation, name, volume)
        row = scores.vessels[name]
        assert found.agatston == pytest.approx(expected)
        assert (found.agatston, found.volume_mm3, found.mass_mg, found.lesions) == (
            *(row.agatston, row.volume_mm3, row.mass_mg, row.lesions),
        )
    # RCA: two slices of 3 x 4 pixels of 0.25 mm2, 3 mm thick
    assert segment_calcium(segmentation, "RCA", volume).volume_mm3 == pytest.approx(18)


def test_a_segment_of_any_name_counts_whatever_else_is_marked(working):
    volume, segmentation, labels = nodes(working)
    # 600 HU in 4 x 4 pixels: 16 x 0.25 mm2 x weight 4
    assert segment_calcium(segmentation, "non_coronary", volume).agatston == pytest.approx(16)
    own = slicer.vtkSegment()
    own.SetName("everything bright")
    own.SetLabelValue(1)
    image = slicer.vtkOrientedImageData()
    image.DeepCopy(segmentation.GetSegmentation().GetSegment("LAD").GetRepresentation("Binary labelmap"))
    from vtk.util.numpy_support import vtk_to_numpy

    vtk_to_numpy(image.GetPointData().GetScalars())[:] = 1  # the box round all lesions
    own.AddRepresentation("Binary labelmap", image)
    segmentation.GetSegmentation().AddSegment(own, "mine")
    assert segment_calcium(segmentation, "mine", volume).agatston == pytest.approx(3 + 24 + 16)
    assert segment_calcium(segmentation, "LAD", volume).agatston == pytest.approx(3)
    assert np.count_nonzero(segment_mask(segmentation, "RCA", volume)) == np.count_nonzero(labels == 4)


def test_preset_and_tube_voltage_count(working):
    volume, segmentation, _ = nodes(working)
    at_80 = segment_calcium(segmentation, "LAD", volume, kvp=80)
    assert (at_80.agatston, at_80.threshold_hu) == (pytest.approx(1.5), 177)  # 250 HU is weight 1 at 80 kVp
    assert segment_calcium(segmentation, "LM", volume, preset="orcascore").findings == ()
    assert segment_calcium(segmentation, "LAD", volume, preset="canon").preset == "canon"

    class Database(ScoringLogic):
        def acquisition(self, volumeNode):
            return Acquisition(kvp=80.0)

    assert segment_calcium(segmentation, "LAD", volume, logic=Database()).threshold_hu == 177


def test_transforms_of_either_node_are_followed(working):
    import vtk

    volume, segmentation, _ = nodes(working)
    transform = working.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 500.0)
    transform.SetMatrixTransformToParent(matrix)
    segmentation.SetAndObserveTransformNodeID(transform.GetID())
    assert segment_calcium(segmentation, "RCA", volume).agatston == 0  # moved out of the volume
    volume.SetAndObserveTransformNodeID(transform.GetID())
    assert segment_calcium(segmentation, "RCA", volume).agatston == pytest.approx(24)


def test_what_cannot_be_scored_is_one_sentence(working):
    volume, segmentation, _ = nodes(working)
    segmentation.GetSegmentation().AddEmptySegment("empty", "empty")
    assert segment_calcium(segmentation, "empty", volume).agatston == 0
    for arguments, code in (
        ((segmentation, "nobody", volume), "no-segment"),
        ((None, "LAD", volume), "no-segment"),
        ((segmentation, "LAD", None), "no-volume"),
    ):
        with pytest.raises(InputRefusedError) as refused:
            segment_calcium(*arguments)
        assert refused.value.finding.code == code
    with pytest.raises(InputRefusedError, match="no preset"):
        segment_calcium(segmentation, "LAD", volume, preset="mine")


class Parameters(dict):
    """A parameter node, as far as the plugin asks."""

    def GetParameter(self, name):
        return self.get(name, "")


@pytest.fixture
def desktop(working, monkeypatch):
    """Segment Statistics as far as the plugin knows it."""
    plugins = ModuleType("SegmentStatisticsPlugins")

    class Base:
        def __init__(self):
            self.name, self.keys, self.defaultKeys, self.parameterNode = "", [], [], None

        def getParameterNode(self):
            return self.parameterNode

        def getRequestedKeys(self):
            return [key for key in self.keys if self.parameterNode.get(f"{type(self).__name__}.{key}.enabled") != "no"]

        @staticmethod
        def createCodedEntry(value, scheme, meaning, returnAsString=False):
            entry = slicer.vtkCodedEntry()
            entry.SetValueSchemeMeaning(value, scheme, meaning)
            return entry.GetAsString() if returnAsString else entry

        @staticmethod
        def createMeasurementInfo(
            name,
            title,
            description,
            units,
            quantityDicomCode=None,
            unitsDicomCode=None,
            measurementMethodDicomCode=None,
        ):
            return dict(locals())

    plugins.SegmentStatisticsPluginBase = Base
    module = ModuleType("SegmentStatistics")
    registered = []
    module.SegmentStatisticsLogic = SimpleNamespace(
        registeredPlugins=registered, registerPlugin=lambda plugin: registered.append(type(plugin))
    )
    translation = ModuleType("slicer.i18n")
    translation.tr = lambda text: text
    for name, each in (
        *(("SegmentStatisticsPlugins", plugins), ("SegmentStatistics", module)),
        ("slicer.i18n", translation),
    ):
        monkeypatch.setitem(sys.modules, name, each)
    monkeypatch.syspath_prepend(str(PLUGIN.parents[1]))
    monkeypatch.setattr(slicer, "mrmlScene", working.scene, raising=False)
    return SimpleNamespace(plugin=loaded(), registered=registered)


def loaded():
    spec = importlib.util.spec_from_file_location("segment_statistics_plugin", PLUGIN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_plugin_gives_the_numbers_and_their_codes(working, desktop):
    volume, segmentation, _ = nodes(working)
    plugin = desktop.plugin.CACScoringSegmentStatisticsPlugin()
    plugin.parameterNode = Parameters(Segmentation=segmentation.GetID(), ScalarVolume=volume.GetID())
    found = plugin.computeStatistics("RCA")
    assert list(found) == ["agatston", "volume_mm3", "mass_mg"] == [each.key for each in MEASUREMENTS]
    assert found["agatston"] == pytest.approx(24)
    assert found["volume_mm3"] == pytest.approx(18)
    assert all(type(value) is float for value in found.values())  # which Segment Statistics makes columns of
    information = plugin.getMeasurementInfo("volume_mm3")
    assert "DCM" in information["quantityDicomCode"]
    assert "122660" in information["quantityDicomCode"]
    assert (information["name"], information["title"]) == ("volume_mm3", "Calcium volume")
    assert information["units"] == "mm3"
    assert "preset agatston-1990" in information["description"]
    assert plugin.getMeasurementInfo("nothing") is None


def test_the_plugin_takes_preset_and_tube_voltage_from_the_parameter_node(working, desktop):
    volume, segmentation, _ = nodes(working)
    plugin = desktop.plugin.CACScoringSegmentStatisticsPlugin()
    plugin.parameterNode = Parameters(Segmentation=segmentation.GetID(), ScalarVolume=volume.GetID())
    name = "CACScoringSegmentStatisticsPlugin"
    plugin.parameterNode.update({f"{name}.kvp": "80", f"{name}.mass_mg.enabled": "no"})
    assert plugin.computeStatistics("LAD") == {"agatston": pytest.approx(1.5), "volume_mm3": pytest.approx(4.5)}
    plugin.parameterNode[f"{name}.preset"] = "nobodys"
    assert plugin.computeStatistics("LAD") == {}


def test_a_segment_that_cannot_be_scored_leaves_the_other_columns(working, desktop, caplog):
    volume, segmentation, _ = nodes(working)
    plugin = desktop.plugin.CACScoringSegmentStatisticsPlugin()
    plugin.parameterNode = Parameters(Segmentation=segmentation.GetID())
    assert plugin.computeStatistics("LAD") == {}  # no volume was chosen
    plugin.parameterNode["ScalarVolume"] = volume.GetID()
    assert plugin.computeStatistics("nobody") == {}
    assert "no segment 'nobody'" in caplog.text


def test_the_plugin_is_registered_once_with_the_modules_logic(desktop):
    logic = type("Logic", (ScoringLogic,), {})
    desktop.plugin.register(logic)
    desktop.plugin.register(logic)
    assert desktop.registered == [desktop.plugin.CACScoringSegmentStatisticsPlugin]
    assert desktop.plugin.CACScoringSegmentStatisticsPlugin.logicClass is logic
