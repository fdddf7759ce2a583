"""Labelled scans of others in the layouts they are published in: COCA, orCaScore, and plain folders of pairs."""

from __future__ import annotations

from CACScoringLib.training.datasets.layouts import LAYOUTS, list_scans, load_dataset
from CACScoringLib.training.datasets.scan import LabelledScan, ScanFiles, merge_left_main, split_patients

__all__ = [
    "LAYOUTS",
    "LabelledScan",
    "ScanFiles",
    "list_scans",
    "load_dataset",
    "merge_left_main",
    "split_patients",
]
