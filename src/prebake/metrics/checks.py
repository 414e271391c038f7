"""Checks that every metric begins with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prebake.errors import OptionError

__all__ = ["Floats", "Ints", "columns", "nothing", "require_whole", "why_no_kappa"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LARGEST_SPAN = 100
"""Kappa is for grades: where labels span more they are measurements, and a table of all pairs would fill the memory."""


def nothing() -> Floats:
    """Return an empty column."""
    return np.empty(0)


def columns(y: npt.ArrayLike, p: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return two columns (N,) of finite numbers, or refuse."""
    labels, values = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != values.shape:
        raise OptionError(
            "labels and predictions do not fit",
            expected="two columns of one length",
            got=f"shapes {labels.shape} and {values.shape}",
        )
    if not (np.isfinite(labels).all() and np.isfinite(values).all()):
        raise OptionError("a label or a prediction is NaN or infinite", do="leave out the rows without a label")
    return labels, values


def require_whole(grades: Floats) -> None:
    """Refuse raw values where grades are needed."""
    if (grades != np.floor(grades)).any():
        raise OptionError(
            "kappa compares grades", expected="whole numbers", got="raw values", do="use prebake.metrics.grade first"
        )


def why_no_kappa(labels: Floats, grades: Floats) -> str:
    """Say why kappa is undefined; empty when it is defined."""
    if not labels.size:
        return "no photograph has a label"
    if (labels != np.floor(labels)).any():
        return "the labels are not whole numbers"
    if max(labels.max(), grades.max()) - min(labels.min(), grades.min()) > LARGEST_SPAN:
        return f"labels and predictions span more than {LARGEST_SPAN} grades"
    if (labels == labels[0]).all() and (grades == labels[0]).all():
        return f"every label and every prediction is grade {labels[0]:g}"
    return ""
