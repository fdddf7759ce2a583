"""Several methods on one CT, side by side: what each says, and where they disagree."""

from __future__ import annotations

from CACScoringLib.report.comparison.result import Comparison, MethodResult
from CACScoringLib.report.comparison.run import MethodChoice, compare_methods

__all__ = ["Comparison", "MethodChoice", "MethodResult", "compare_methods"]
