"""The effect's options; what they mean is decided in ``SegmentEditorEffect``."""

import qt
from slicer.i18n import tr as _

from CACScoringLib.mrml.editing.gestures import Tool
from CACScoringLib.mrml.editing.lesions import Stops
from CACScoringLib.mrml.editing.session import KEYS
from CACScoringLib.vocabulary import LABEL_BY_VALUE, NonCoronary

LARGEST_SLAB_MM = 200.0


class Options:
    """Widgets of the effect, each bound to a parameter of the Segment Editor node."""

    def __init__(self, scriptedEffect):
        self.vessel = _combo([(_vesselTitle(key, label), str(label)) for key, label in KEYS.items()])
        self.vessel.toolTip = _("Vessel that clicks, lasso and sphere give calcium to. Keys 1 to 5 choose it.")
        self.tool = _combo(
            (
                (_("Click"), Tool.CLICK.value),
                (_("Lasso"), Tool.LASSO.value),
                (_("Sphere"), Tool.SPHERE.value),
                (_("Split by a line"), Tool.SPLIT_LINE.value),
                (_("Split by two clicks"), Tool.SPLIT_CLICKS.value),
            )
        )
        self.tool.toolTip = _("What the left mouse button does in slice views. With Shift, calcium is taken away.")
        self.whole = qt.QCheckBox(_("Whole lesion (3-D)"))
        self.whole.toolTip = _("Clicks and splits act on the whole lesion instead of its island in the slice.")
        self.slab = qt.QDoubleSpinBox()
        self.slab.minimum, self.slab.maximum, self.slab.suffix = 0.0, LARGEST_SLAB_MM, " mm"
        self.slab.specialValueText = _("this slice")
        self.slab.toolTip = _("Thickness that a lasso goes through.")
        self.through = qt.QCheckBox(_("through the whole scan"))
        self.second = _combo([(_vesselTitle("", label), str(label)) for label in KEYS.values()])
        self.second.toolTip = _("What the other part is given when a lesion is split.")
        self.show = qt.QCheckBox(_("Show candidates that no vessel has"))
        self.stops = _combo(
            (
                (_("marked lesions"), Stops.GIVEN.value),
                (_("candidates that no vessel has"), Stops.CANDIDATES.value),
                (_("marked lesions and candidates"), Stops.ALL.value),
            )
        )
        self.previous = qt.QPushButton(_("Previous"))
        self.previous.toolTip = _("Go to the previous lesion (P)")
        self.next = qt.QPushButton(_("Next"))
        self.next.toolTip = _("Go to the next lesion (N)")
        self.network = qt.QPushButton(_("Find calcium with the network"))
        self.cancel = qt.QPushButton(_("Cancel"))
        self.cancel.enabled = False
        self.progress = qt.QProgressBar()
        self.progress.visible = False
        self.message = qt.QLabel()
        self.message.wordWrap = True
        self.message.text = _("Click calcium to give it to the vessel.")
        self._add(scriptedEffect)

    def _add(self, effect):
        effect.addOptionsWidget(self.message)
        effect.addLabeledOptionsWidget(_("Vessel:"), self.vessel)
        effect.addLabeledOptionsWidget(_("Tool:"), self.tool)
        effect.addOptionsWidget(self.whole)
        effect.addLabeledOptionsWidget(_("Lasso depth:"), _row(self.slab, self.through))
        effect.addLabeledOptionsWidget(_("Other part of a split:"), self.second)
        effect.addOptionsWidget(self.show)
        effect.addLabeledOptionsWidget(_("Step through:"), self.stops)
        effect.addOptionsWidget(_row(self.previous, self.next))
        effect.addOptionsWidget(_row(self.network, self.cancel))
        effect.addOptionsWidget(self.progress)


def chosen(combo):
    """Return the value behind what a combo box shows."""
    return combo.itemData(combo.currentIndex)


def choose(combo, value):
    """Show the entry with a value, without telling anyone."""
    blocked = combo.blockSignals(True)
    combo.setCurrentIndex(combo.findData(value))
    combo.blockSignals(blocked)


def check(box, checked):
    """Check a box, without telling anyone."""
    blocked = box.blockSignals(True)
    box.checked = checked
    box.blockSignals(blocked)


def _vesselTitle(key, label):
    title = _("Non-coronary") if label == NonCoronary.OTHER else LABEL_BY_VALUE[label].name
    return f"{key}  {title}" if key else title


def _combo(entries):
    combo = qt.QComboBox()
    for text, value in entries:
        combo.addItem(text, value)
    return combo


def _row(*widgets):
    row = qt.QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row
