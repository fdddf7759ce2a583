"""Keys while the effect is active: the Segment Editor's own keys 1 to 5, which choose effects, step aside."""

import qt
import slicer


class Shortcuts:
    """Takes keys over, and gives them back.

    Parameters
    ----------
    handler : callable
        Called with the key.
    """

    def __init__(self, handler):
        self._handler = handler
        self._own = []

    def install(self, keys):
        """Take keys over in the main window; without one, as in a test, there is nothing to do."""
        self.remove(keys)
        window = slicer.util.mainWindow()
        if window is None:
            return
        for shortcut in _shortcuts(window, keys):
            shortcut.enabled = False
        for key in keys:
            shortcut = qt.QShortcut(qt.QKeySequence(key), window)
            shortcut.connect("activated()", lambda key=key: self._handler(key))
            self._own.append(shortcut)

    def remove(self, keys):
        """Give the keys back."""
        for shortcut in self._own:
            shortcut.disconnect("activated()")
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._own = []
        window = slicer.util.mainWindow()
        if window is not None:
            for shortcut in _shortcuts(window, keys):  # looked up again: the editor may have made new ones
                shortcut.enabled = True


def _shortcuts(window, keys):
    """Return the shortcuts of a window for plain keys."""
    wanted = {key.lower() for key in keys}
    return [
        child
        for child in window.children()
        if child.className() == "QShortcut" and child.key.toString().lower() in wanted
    ]
