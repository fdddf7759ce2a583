"""Editing calcium by candidates: what the Segment Editor effect does, without a desktop.

Import from the files. What can be given: ``candidates`` (islands at or above the threshold), ``scan`` (those of a
volume node, found once), ``regions`` (lasso, sphere, sides of a plane), ``lesions`` (what the reader steps through).
How it is given: ``editor`` (what is needed of the Segment Editor), ``masking``, ``writing``, ``session`` (one step of
undo), ``logic`` (the actions), ``network``, ``result`` (what was done, in words). What is seen: ``overlay``,
``display``, ``views``, ``gestures`` (mouse and keys in slice views).
"""
