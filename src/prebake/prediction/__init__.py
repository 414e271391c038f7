"""Grades for photographs: one run or the mean of several, on a pack, a folder, an archive or a single photograph."""

from prebake.prediction.predicting import predict
from prebake.prediction.table import Predictions

__all__ = ["Predictions", "predict"]
