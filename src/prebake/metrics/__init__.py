"""How well predictions agree with labels: quadratic weighted kappa first, errors, the confusion matrix, an interval.

Labels and grades are whole numbers from 0; raw values are what a regression model gives, one number a photograph.
What is undefined on the rows at hand is NaN, never 0, and :func:`undefined` says why.
"""

from prebake.metrics.agreement import accuracy, confusion, kappa_of_confusion, mae, mse, quadratic_weighted_kappa
from prebake.metrics.bootstrap import kappa_interval
from prebake.metrics.grades import DEFAULT_THRESHOLDS, grade
from prebake.metrics.overview import summary, undefined

__all__ = [
    "DEFAULT_THRESHOLDS",
    "accuracy",
    "confusion",
    "grade",
    "kappa_interval",
    "kappa_of_confusion",
    "mae",
    "mse",
    "quadratic_weighted_kappa",
    "summary",
    "undefined",
]
