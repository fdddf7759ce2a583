"""In a real 3D Slicer: the modules were loaded when it started, and nothing heavy with them."""

import sys
import unittest

import slicer


class CACScoringImportTest(unittest.TestCase):
    def test_loading_the_modules_loaded_nothing_heavy(self):
        assert hasattr(slicer.modules, "cacscoring")
        assert hasattr(slicer.modules, "segmenteditorcacscoring")
        assert not {"torch", "monai", "pandas", "highdicom"} & set(sys.modules)
