"""What tests of several files begin with."""

from __future__ import annotations

import pytest


@pytest.fixture
def working():
    """A new MRML scene to work in."""
    from CACScoringLib.mrml.scene import new_scene

    return new_scene()
