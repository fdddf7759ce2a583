"""The windows that ask a person something; the logic only knows their protocol."""

from CACScoringDesktop.translation import _


class SlicerDialogs:
    """Dialogs of the desktop: ``CACScoringLib.mrml.settings_actions.Dialogs``."""

    def chooseFolder(self, title, start=""):
        """Return the folder that the person chose, empty if none."""
        import qt
        import slicer

        return qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, start)

    def chooseFile(self, title, filter, start=""):
        """Return the file that the person chose, empty if none."""
        import qt
        import slicer

        return qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, start, filter)

    def confirm(self, text):
        """Return whether the person agrees."""
        import slicer

        return slicer.util.confirmOkCancelDisplay(text, windowTitle=_("CAC Scoring"))

    def tell(self, text):
        """Tell the person something that needs no answer."""
        import slicer

        slicer.util.infoDisplay(text, windowTitle=_("CAC Scoring"))

    def complain(self, text):
        """Tell the person what went wrong."""
        import slicer

        slicer.util.errorDisplay(text, windowTitle=_("CAC Scoring"))
