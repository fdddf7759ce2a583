"""The examples in the docstrings of the scoring package run."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import CACScoringLib.scoring

MODULES = [f"CACScoringLib.scoring.{module.name}" for module in pkgutil.iter_modules(CACScoringLib.scoring.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(import_module(name)).failed == 0
