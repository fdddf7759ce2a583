"""What the buttons of the settings panel do; windows that ask something are injected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from CACScoringLib.findings import InputRefusedError
from CACScoringLib.installing import Installer
from CACScoringLib.models import ModelError
from CACScoringLib.mrml.settings import DesktopSettings


class Dialogs(Protocol):
    """Windows that ask or tell a person something; an empty answer stands for cancelled."""

    def chooseFolder(self, title: str, start: str = "") -> str:
        """Return the folder that the person chose."""

    def chooseFile(self, title: str, filter: str, start: str = "") -> str:
        """Return the file that the person chose."""

    def confirm(self, text: str) -> bool:
        """Return whether the person agrees."""

    def tell(self, text: str) -> None:
        """Tell the person something."""

    def complain(self, text: str) -> None:
        """Tell the person what went wrong."""


class SettingsActions:
    """Import and remove models, choose folders, install packages.

    Parameters
    ----------
    settings : DesktopSettings
    dialogs : Dialogs
    installer : Installer, optional
    translate : callable, optional
        Gives texts in the person's language.
    """

    def __init__(
        self,
        settings: DesktopSettings,
        dialogs: Dialogs,
        installer: Installer | None = None,
        translate: Callable[[str], str] = str,
    ):
        self.settings, self.dialogs = settings, dialogs
        self.installer = installer or Installer()
        self._ = translate

    def importModelFolder(self) -> str:
        """Ask for the folder of a model bundle and import it; return the model's id, empty if nothing was."""
        return self._import(self.dialogs.chooseFolder(self._("Folder of a model bundle")))

    def importModelFile(self) -> str:
        """Ask for a zip file with a model bundle and import it; return the model's id, empty if nothing was."""
        return self._import(self.dialogs.chooseFile(self._("Zip file with a model bundle"), "*.zip"))

    def removeModel(self, model: str) -> bool:
        """Delete an imported model, after asking; return whether it is gone."""
        if not self.dialogs.confirm(self._("Delete the imported model '{model}'?").format(model=model)):
            return False
        try:
            self.settings.removeModel(model)
        except ModelError as error:
            self.dialogs.complain(str(error))
            return False
        return True

    def chooseModelsFolder(self) -> None:
        """Ask where imported models lie."""
        folder = self.dialogs.chooseFolder(self._("Folder for imported models"), str(self.settings.modelsFolder))
        if folder:
            self.settings.setModelsFolder(folder)

    def chooseWheelsFolder(self) -> None:
        """Ask for the folder of wheels to install from without a network."""
        start = str(self.settings.wheelsFolder or "")
        folder = self.dialogs.chooseFolder(self._("Folder of wheels (*.whl)"), start)
        if folder:
            self.settings.setWheelsFolder(folder)

    def installPackages(self) -> bool:
        """Install what the network needs, after asking; return whether all is there."""
        try:
            done = self.installer.ensure(wheels=self.settings.wheelsFolder)
        except InputRefusedError as error:
            self.dialogs.complain(error.finding.message)
            return False
        if done.packages:
            self.dialogs.tell(self._("Installed: {packages}.").format(packages=", ".join(done.packages)))
        else:
            self.dialogs.tell(self._("All Python packages are there."))
        return True

    def _import(self, source: str) -> str:
        if not source:
            return ""
        try:
            return self._imported(source)
        except ModelError as error:
            self.dialogs.complain(str(error))
            return ""

    def _imported(self, source: str) -> str:
        from CACScoringLib.models.store import ModelExistsError

        try:
            return self.settings.importModel(source).id
        except ModelExistsError as error:
            question = self._("A model '{model}' was imported before. Replace it?").format(model=error.model)
            if not self.dialogs.confirm(question):
                return ""
            return self.settings.importModel(source, replace=True).id
