"""MRML nodes to arrays and back: inside 3D Slicer, and on slicer-core without a desktop.

Import from the files: ``scene`` (a working scene, saving and opening it), ``volume``, ``segmentation``,
``tables``, ``study`` (a whole result as one subject hierarchy study) and ``logic`` (what the Slicer module
calls). Nothing is imported from 3D Slicer before a function is called.
"""
