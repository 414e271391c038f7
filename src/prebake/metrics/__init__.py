"""How far predictions can be trusted: agreement with labels, ranking, probabilities, thresholds, with intervals.

Labels and grades are whole numbers from 0; raw values are what a regression model gives, one number a photograph.
What is undefined on the rows at hand is NaN (``None`` in what goes into JSON), never 0, and a reason stands beside it.
Single numbers take arrays; :func:`judge`, :func:`compare` and the curves take :class:`Judged` predictions, and their
intervals all come from one :class:`Bootstrap` over groups of photographs.
"""

from prebake.metrics.agreement import accuracy, confusion, kappa_of_confusion, mae, mse, quadratic_weighted_kappa
from prebake.metrics.bootstrap import kappa_interval
from prebake.metrics.calibration import Calibration, cross_fitted_probabilities, fit_calibration
from prebake.metrics.comparing import Comparison, Difference, compare
from prebake.metrics.cutpoints import ThresholdGain, fit_thresholds, judge_thresholds
from prebake.metrics.draws import Bootstrap
from prebake.metrics.exporting import for_json
from prebake.metrics.grades import DEFAULT_THRESHOLDS, grade
from prebake.metrics.judged import Judged
from prebake.metrics.judging import Number, judge, lower_is_better
from prebake.metrics.overview import summary, undefined
from prebake.metrics.ranking import (
    BOUNDARIES,
    OperatingPoint,
    Roc,
    at_threshold,
    auc,
    auc_interval,
    operating_point,
    roc,
)
from prebake.metrics.referral import ReferralCurve, doubt, referral_curve
from prebake.metrics.reliability import Reliability, brier, calibration_error, reliability

__all__ = [
    "BOUNDARIES",
    "DEFAULT_THRESHOLDS",
    "Bootstrap",
    "Calibration",
    "Comparison",
    "Difference",
    "Judged",
    "Number",
    "OperatingPoint",
    "ReferralCurve",
    "Reliability",
    "Roc",
    "ThresholdGain",
    "accuracy",
    "at_threshold",
    "auc",
    "auc_interval",
    "brier",
    "calibration_error",
    "compare",
    "confusion",
    "cross_fitted_probabilities",
    "doubt",
    "fit_calibration",
    "fit_thresholds",
    "for_json",
    "grade",
    "judge",
    "judge_thresholds",
    "kappa_interval",
    "kappa_of_confusion",
    "lower_is_better",
    "mae",
    "mse",
    "operating_point",
    "quadratic_weighted_kappa",
    "referral_curve",
    "reliability",
    "roc",
    "summary",
    "undefined",
]
