"""All numbers at once, and why some are undefined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from prebake.errors import OptionError
from prebake.metrics.agreement import accuracy, mae, mse, quadratic_weighted_kappa
from prebake.metrics.checks import Floats, why_no_kappa
from prebake.metrics.grades import DEFAULT_THRESHOLDS, grade

__all__ = ["summary", "undefined"]


def summary(
    labels: npt.ArrayLike, raw: npt.ArrayLike, thresholds: Sequence[float] = DEFAULT_THRESHOLDS
) -> dict[str, float]:
    """Return ``n``, ``kappa``, ``mae``, ``mse`` and ``accuracy`` of raw values against labels.

    Rows without a label (NaN) are left out; ``n`` is the number of rows that count. What is undefined is NaN.

    Examples
    --------
    >>> summary([0, 1, 2], [0.1, 1.1, 2.1])["accuracy"]
    1.0
    """
    y, values = _labelled(labels, raw)
    grades = grade(values, thresholds)
    return {
        "n": float(y.size),
        "kappa": quadratic_weighted_kappa(y, grades),
        "mae": mae(y, values),
        "mse": mse(y, values),
        "accuracy": accuracy(y, grades),
    }


def undefined(
    labels: npt.ArrayLike, raw: npt.ArrayLike, thresholds: Sequence[float] = DEFAULT_THRESHOLDS
) -> dict[str, str]:
    """Say why numbers of :func:`summary` are NaN: name of the number -> reason; empty when all are defined.

    Examples
    --------
    >>> undefined([2, 2], [2.0, 2.1])
    {'kappa': 'every label and every prediction is grade 2'}
    """
    y, values = _labelled(labels, raw)
    if not y.size:
        return dict.fromkeys(("kappa", "mae", "mse", "accuracy"), "no photograph has a label")
    reason = why_no_kappa(y, grade(values, thresholds).astype(np.float64))
    return {"kappa": reason} if reason else {}


def _labelled(labels: npt.ArrayLike, raw: npt.ArrayLike) -> tuple[Floats, Floats]:
    y = np.asarray(labels, dtype=np.float64)
    values = np.asarray(raw, dtype=np.float64)
    if y.shape != values.shape:
        raise OptionError("labels and predictions do not fit", expected=f"shape {y.shape}", got=f"shape {values.shape}")
    known = ~np.isnan(y)
    return y[known], values[known]
