"""Methods: a CT in, a prediction out."""

from __future__ import annotations

from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.methods.registry import DEFAULT_METHOD, MethodInfo, available, predict

__all__ = ["DEFAULT_METHOD", "MethodInfo", "Prediction", "available", "predict"]
