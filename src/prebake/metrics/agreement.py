"""Numbers of how predictions agree with labels; scikit-learn's where it has them."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from prebake.errors import MissingExtra, OptionError
from prebake.metrics.checks import Floats, Ints, columns, require_whole, why_no_kappa

__all__ = ["accuracy", "confusion", "kappa_of_confusion", "mae", "mse", "quadratic_weighted_kappa"]


def quadratic_weighted_kappa(y: npt.ArrayLike, p: npt.ArrayLike) -> float:
    """Agreement of grades with labels beyond chance; a miss counts by the square of its distance (Cohen, 1968).

    1 is perfect agreement, 0 is what constant or random answers reach. It is scikit-learn's ``cohen_kappa_score`` with
    every grade from the lowest to the highest given to it: left to itself it takes the distance between grades as the
    distance between their ranks, wrong where a grade in between occurs in neither column.

    Parameters
    ----------
    y
        (N,) labels.
    p
        (N,) predicted grades, whole numbers.

    Returns
    -------
    At most 1. NaN where undefined: no rows, labels that are not whole numbers or span more than 100 grades, or one and
    the same grade everywhere in both columns (chance alone would agree fully).

    Examples
    --------
    >>> quadratic_weighted_kappa([0, 1, 2, 4], [0, 1, 2, 4])
    1.0
    """
    labels, grades = columns(y, p)
    require_whole(grades)
    if why_no_kappa(labels, grades):
        return float("nan")
    low, high = min(labels.min(), grades.min()), max(labels.max(), grades.max())
    scorer = _sklearn().cohen_kappa_score
    every = np.arange(int(low), int(high) + 1)
    return float(scorer(labels.astype(np.int64), grades.astype(np.int64), labels=every, weights="quadratic"))


def mae(y: npt.ArrayLike, raw: npt.ArrayLike) -> float:
    """Mean absolute error of raw values, in grades; NaN without rows.

    Examples
    --------
    >>> mae([0, 2], [0.5, 2.5])
    0.5
    """
    labels, values = columns(y, raw)
    return float(_sklearn().mean_absolute_error(labels, values)) if labels.size else float("nan")


def mse(y: npt.ArrayLike, raw: npt.ArrayLike) -> float:
    """Mean squared error of raw values, in squared grades; NaN without rows.

    Examples
    --------
    >>> mse([0, 2], [0.5, 2.5])
    0.25
    """
    labels, values = columns(y, raw)
    return float(_sklearn().mean_squared_error(labels, values)) if labels.size else float("nan")


def accuracy(y: npt.ArrayLike, p: npt.ArrayLike) -> float:
    """Share of grades that equal the label, 0..1; NaN without rows.

    Examples
    --------
    >>> accuracy([0, 1, 2, 3], [0, 1, 2, 4])
    0.75
    """
    labels, grades = columns(y, p)
    return float((labels == grades).mean()) if labels.size else float("nan")


def confusion(y: npt.ArrayLike, p: npt.ArrayLike, classes: int) -> Ints:
    """Count how often each label was given each grade.

    Parameters
    ----------
    y, p
        (N,) labels and predicted grades, whole numbers in ``0..classes - 1``.
    classes
        The number of grades.

    Returns
    -------
    (classes, classes) int64: row = label, column = predicted grade.

    Raises
    ------
    OptionError
        When a value is no whole number in the range.

    Examples
    --------
    >>> confusion([0, 1, 1], [0, 1, 0], 2).tolist()
    [[1, 0], [1, 1]]
    """
    labels, grades = columns(y, p)
    for name, values in (("label", labels), ("predicted grade", grades)):
        wrong = values[(values != np.floor(values)) | (values < 0) | (values >= classes)]
        if wrong.size:
            raise OptionError(f"a {name} does not fit", expected=f"whole, 0..{classes - 1}", got=f"{wrong[0]:g}")
    cells = labels.astype(np.int64) * classes + grades.astype(np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def kappa_of_confusion(matrix: npt.ArrayLike) -> Floats:
    """Quadratic weighted kappa of one confusion matrix or of many at once.

    Parameters
    ----------
    matrix
        (..., C, C) counts; row = label, column = predicted grade.

    Returns
    -------
    (...) float64; NaN where undefined, as in :func:`quadratic_weighted_kappa`.

    Examples
    --------
    >>> float(kappa_of_confusion([[5, 0], [0, 5]]))
    1.0
    """
    counts = np.asarray(matrix, dtype=np.float64)
    steps = np.arange(counts.shape[-1], dtype=np.float64)
    weights = (steps[:, None] - steps[None, :]) ** 2
    total = counts.sum(axis=(-2, -1))
    seen = (counts * weights).sum(axis=(-2, -1)) * total
    by_chance = np.einsum("...i,ij,...j->...", counts.sum(axis=-1), weights, counts.sum(axis=-2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(by_chance > 0, 1.0 - seen / by_chance, np.nan), dtype=np.float64)


def _sklearn() -> Any:  # scikit-learn ships no types
    try:
        return importlib.import_module("sklearn.metrics")
    except ImportError as error:
        raise MissingExtra(
            "scikit-learn is not installed", expected="the extra `train`", do="pip install 'prebake[train]'"
        ) from error
