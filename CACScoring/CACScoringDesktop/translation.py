"""``_``: a text in the person's language on the desktop, the text itself elsewhere."""

try:
    from slicer.i18n import tr as _
except ImportError:  # slicer-core

    def _(text):
        return text


__all__ = ["_"]
