"""The panel in Slicer's application settings: device, processor cores, folders, models. It only wires."""

from CACScoringDesktop.dialogs import SlicerDialogs
from CACScoringDesktop.translation import _
from CACScoringLib.methods.devices import DEVICES
from CACScoringLib.mrml.settings_actions import SettingsActions


class SettingsPanel:
    """Fills a widget with the settings.

    Parameters
    ----------
    parent : qt.QWidget
    settings : DesktopSettings
    dialogs : Dialogs, optional
    installer : Installer, optional
    """

    def __init__(self, parent, settings, dialogs=None, installer=None):
        import qt

        self.settings = settings
        self.actions = SettingsActions(settings, dialogs or SlicerDialogs(), installer, _)
        form = qt.QFormLayout(parent)

        self.deviceSelector = qt.QComboBox()
        self.deviceSelector.addItems(list(DEVICES))
        self.deviceSelector.setCurrentText(settings.device)
        self.deviceSelector.toolTip = _(
            "Where the network runs; without that device, or its memory, the processor is used."
        )
        self.deviceSelector.connect("currentTextChanged(QString)", settings.setDevice)
        form.addRow(_("Device:"), self.deviceSelector)

        self.workersSpinBox = qt.QSpinBox()
        self.workersSpinBox.minimum = 0
        self.workersSpinBox.maximum = 256
        self.workersSpinBox.specialValueText = _("all")
        self.workersSpinBox.value = settings.workers
        self.workersSpinBox.toolTip = _("How many processor cores the worker process may use.")
        self.workersSpinBox.connect("valueChanged(int)", settings.setWorkers)
        form.addRow(_("Workers (processor cores):"), self.workersSpinBox)

        self.modelsLabel = qt.QLabel()
        self.modelsLabel.wordWrap = True
        form.addRow(_("Folder of imported models:"), self.modelsLabel)
        form.addRow(self._button(_("Choose the folder of models…"), self.onModelsFolder))

        self.modelList = qt.QListWidget()
        form.addRow(_("Models:"), self.modelList)
        form.addRow(self._button(_("Import a model from a folder…"), self.onImportFolder))
        form.addRow(self._button(_("Import a model from a zip file…"), self.onImportFile))
        self.removeButton = self._button(_("Remove the selected model"), self.onRemove)
        form.addRow(self.removeButton)
        self.modelList.connect("currentRowChanged(int)", self.onModelSelected)

        self.wheelsLabel = qt.QLabel()
        self.wheelsLabel.wordWrap = True
        form.addRow(_("Install packages from:"), self.wheelsLabel)
        form.addRow(self._button(_("Choose a folder of wheels, for machines without a network…"), self.onWheelsFolder))
        form.addRow(self._button(_("Install packages over the network"), self.onNetwork))
        form.addRow(self._button(_("Check and install Python packages now"), self.onInstall))
        self.update()

    def update(self):
        """Show the settings as they are."""
        self.models = self.settings.models()
        self.modelList.clear()
        for name, imported in self.models:
            self.modelList.addItem(_("{model} (imported)").format(model=name) if imported else name)
        self.modelsLabel.text = str(self.settings.modelsFolder)
        self.wheelsLabel.text = str(self.settings.wheelsFolder or _("the Python package index"))
        self.onModelSelected(-1)

    def onModelSelected(self, row):
        """Only what was imported can be removed."""
        self.removeButton.enabled = 0 <= row < len(self.models) and self.models[row][1]

    def onImportFolder(self, checked=False):
        """Import a model bundle from a folder."""
        self.actions.importModelFolder()
        self.update()

    def onImportFile(self, checked=False):
        """Import a model bundle from a zip file."""
        self.actions.importModelFile()
        self.update()

    def onRemove(self, checked=False):
        """Delete the selected model."""
        row = self.modelList.currentRow
        if 0 <= row < len(self.models):
            self.actions.removeModel(self.models[row][0])
        self.update()

    def onModelsFolder(self, checked=False):
        """Choose where imported models lie."""
        self.actions.chooseModelsFolder()
        self.update()

    def onWheelsFolder(self, checked=False):
        """Choose where packages are installed from."""
        self.actions.chooseWheelsFolder()
        self.update()

    def onNetwork(self, checked=False):
        """Install packages in the usual way again."""
        self.settings.setWheelsFolder(None)
        self.update()

    def onInstall(self, checked=False):
        """Install what is missing."""
        self.actions.installPackages()

    def _button(self, text, slot):
        import qt

        button = qt.QPushButton(text)
        button.connect("clicked(bool)", slot)
        return button


def addPanel(settings):
    """Add the panel to the application settings; keep what is returned for as long as Slicer runs."""
    import ctk
    import slicer

    parent = ctk.ctkSettingsPanel()
    panel = SettingsPanel(parent, settings)
    slicer.app.settingsDialog().addPanel(_("CAC Scoring"), parent)
    return panel, parent
