"""Parts of the module's widget: a folder of their own, since Slicer takes every file beside the module for a module."""
