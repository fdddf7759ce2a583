"""Agatston score, calcium volume and mass in Segment Statistics; everything is in ``CACScoringLib.mrml.statistics``."""

import logging

import slicer

from CACScoringDesktop.translation import _
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.mrml.logic import DEFAULT_PRESET, ScoringLogic
from CACScoringLib.mrml.statistics import MEASUREMENTS, segment_calcium

try:
    from SegmentStatisticsPlugins import SegmentStatisticsPluginBase
except ImportError:  # slicer-core: what is computed can be tested, there is no desktop

    class SegmentStatisticsPluginBase:
        """Stands in for the desktop's base class."""


TITLES = {
    "agatston": _("Agatston score"),
    "volume_mm3": _("Calcium volume"),
    "mass_mg": _("Calcium mass"),
}


class CACScoringSegmentStatisticsPlugin(SegmentStatisticsPluginBase):
    """Calcium of each segment, by the preset and tube voltage of the parameter node."""

    logicClass = ScoringLogic
    """What knows how a volume was acquired; ``register`` puts the module's own logic here."""

    def __init__(self):
        super().__init__()
        self.name = "Calcium"
        self.title = _("Calcium")
        self.keys = [measurement.key for measurement in MEASUREMENTS]
        self.defaultKeys = self.keys

    def computeStatistics(self, segmentID):
        """Return the measurements that are asked for; none where the segment cannot be scored."""
        keys = self.getRequestedKeys()
        if not keys:
            return {}
        segmentation, volume = (self._node(name) for name in ("Segmentation", "ScalarVolume"))
        if segmentation is None or volume is None:
            return {}
        try:
            found = segment_calcium(
                segmentation, segmentID, volume, preset=self.preset(), kvp=self.kvp(), logic=self.logicClass()
            )
        except InputRefusedError as refused:  # the other columns are still to be had
            logging.warning("No calcium score of segment %s: %s", segmentID, refused.finding.message)
            return {}
        return {key: float(getattr(found, key)) for key in keys}

    def getMeasurementInfo(self, key):
        """Return name, unit, codes and what the number rests on."""
        measurement = next((each for each in MEASUREMENTS if each.key == key), None)
        if measurement is None:
            return None
        description = _("{title}, preset {preset}. Research use only.").format(title=TITLES[key], preset=self.preset())
        return self.createMeasurementInfo(
            name=measurement.key,
            title=TITLES[key],
            description=description,
            units=measurement.unit,
            quantityDicomCode=self._code(measurement.quantity),
            unitsDicomCode=self._code(measurement.unit_code),
            measurementMethodDicomCode=self._code(measurement.method) if measurement.method else None,
        )

    def preset(self):
        """Return the preset by which segments are scored."""
        return self._parameter("preset") or DEFAULT_PRESET

    def kvp(self):
        """Return the tube voltage in kV, None for what the volume says."""
        try:
            return float(self._parameter("kvp"))
        except ValueError:
            return None

    def _parameter(self, name):
        node = self.getParameterNode()
        return (node.GetParameter(f"{type(self).__name__}.{name}") if node else "") or ""

    def _node(self, name):
        nodeID = self.getParameterNode().GetParameter(name)
        return slicer.mrmlScene.GetNodeByID(nodeID) if nodeID else None

    def _code(self, code):
        return self.createCodedEntry(code.value, code.scheme, code.meaning, True)


def register(logicClass=None):
    """Offer the plugin in Segment Statistics; once Slicer has started."""
    from SegmentStatistics import SegmentStatisticsLogic

    if logicClass is not None:
        CACScoringSegmentStatisticsPlugin.logicClass = logicClass
    if CACScoringSegmentStatisticsPlugin not in SegmentStatisticsLogic.registeredPlugins:
        SegmentStatisticsLogic.registerPlugin(CACScoringSegmentStatisticsPlugin())
