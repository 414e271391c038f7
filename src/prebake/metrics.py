"""How well predictions agree with labels: quadratic weighted kappa first, errors, the confusion matrix, an interval.

Labels and grades are whole numbers from 0; raw values are what a regression model gives, one number a photograph.
What is undefined on the rows at hand is NaN, never 0, and :func:`undefined` says why.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from prebake.errors import MissingExtra, OptionError

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

DEFAULT_THRESHOLDS = (0.5, 1.5, 2.5, 3.5)
"""Raw values at or above the k-th (from 1) are grade k or worse: plain rounding, cut off at 0 and 4."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def grade(raw: npt.ArrayLike, thresholds: Sequence[float] = DEFAULT_THRESHOLDS) -> Ints:
    """Turn raw values into grades: the number of thresholds that are not above the value.

    Parameters
    ----------
    raw
        (N,) finite raw values of a regression model.
    thresholds
        Strictly increasing; a value equal to a threshold belongs to the grade above it.

    Returns
    -------
    (N,) int64 in ``0..len(thresholds)``.

    Raises
    ------
    OptionError
        When a raw value is not finite (a model that diverged has no grade), or the thresholds do not increase.

    Examples
    --------
    >>> grade([-0.2, 0.5, 1.4, 9.0]).tolist()
    [0, 1, 1, 4]
    """
    cuts = np.asarray(thresholds, dtype=np.float64)
    if cuts.ndim != 1 or not cuts.size or not np.isfinite(cuts).all() or (np.diff(cuts) <= 0).any():
        raise OptionError("the thresholds cannot be used", expected="increasing numbers", got=list(thresholds))
    values = np.asarray(raw, dtype=np.float64)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise OptionError(
            f"{bad} of {values.size} raw values cannot be graded",
            expected="finite numbers",
            got="NaN or infinity: the model diverged",
            do="train again with a lower learning rate, or in 32-bit precision",
        )
    return np.searchsorted(cuts, values, side="right").astype(np.int64)


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
    At most 1. NaN where undefined: no rows, labels that are not whole numbers, or one and the same grade everywhere in
    both columns (chance alone would agree fully).

    Examples
    --------
    >>> quadratic_weighted_kappa([0, 1, 2, 4], [0, 1, 2, 4])
    1.0
    """
    labels, grades = _pair(y, p)
    _whole_grades(grades)
    if _why_no_kappa(labels, grades):
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
    labels, values = _pair(y, raw)
    return float(_sklearn().mean_absolute_error(labels, values)) if labels.size else float("nan")


def mse(y: npt.ArrayLike, raw: npt.ArrayLike) -> float:
    """Mean squared error of raw values, in squared grades; NaN without rows.

    Examples
    --------
    >>> mse([0, 2], [0.5, 2.5])
    0.25
    """
    labels, values = _pair(y, raw)
    return float(_sklearn().mean_squared_error(labels, values)) if labels.size else float("nan")


def accuracy(y: npt.ArrayLike, p: npt.ArrayLike) -> float:
    """Share of grades that equal the label, 0..1; NaN without rows.

    Examples
    --------
    >>> accuracy([0, 1, 2, 3], [0, 1, 2, 4])
    0.75
    """
    labels, grades = _pair(y, p)
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
    labels, grades = _pair(y, p)
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


def kappa_interval(
    y: npt.ArrayLike,
    p: npt.ArrayLike,
    groups: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval (percentile) of quadratic weighted kappa, drawing whole groups.

    Photographs of one patient resemble each other; drawing them one by one makes the interval too narrow, so groups are
    drawn with replacement (cluster bootstrap; Field and Welsh, 2007). Groups with the same contents are
    interchangeable, so a draw is one multinomial over the distinct contents, whatever the number of rows.

    Parameters
    ----------
    y, p
        (N,) labels and predicted grades, whole numbers from 0.
    groups
        (N,) names (the patient); ``""`` is a group of its own, as is every row without ``groups``.
    level
        Share of draws between the two ends.
    samples
        Number of draws.
    seed
        Of the draws: the same rows give the same interval.

    Returns
    -------
    Lower and upper end. Draws whose kappa is undefined are left out. Both NaN where kappa itself is undefined, with
    fewer than two groups, or when more than half of the draws are undefined.

    Examples
    --------
    >>> low, high = kappa_interval([0, 1, 2, 3] * 25, [0, 1, 2, 2] * 25)
    >>> low < quadratic_weighted_kappa([0, 1, 2, 3] * 25, [0, 1, 2, 2] * 25) < high
    True
    """
    if not 0 < level < 1 or samples < 1:
        raise OptionError("no such interval", expected="level in 0..1, samples >= 1", got=f"{level}, {samples}")
    labels, grades = _pair(y, p)
    _whole_grades(grades)
    nothing = (float("nan"), float("nan"))
    if _why_no_kappa(labels, grades):
        return nothing
    contents, times = _group_contents(labels, grades, groups)
    if times.sum() < 2:
        return nothing
    drawn = np.random.default_rng(seed).multinomial(times.sum(), times / times.sum(), size=samples)
    side = round(contents.shape[1] ** 0.5)
    kappas = kappa_of_confusion((drawn @ contents).reshape(samples, side, side))
    kappas = kappas[np.isfinite(kappas)]
    if kappas.size * 2 < samples:
        return nothing
    low, high = np.quantile(kappas, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _group_contents(labels: Floats, grades: Floats, groups: Sequence[str] | None) -> tuple[Ints, Ints]:
    """Return the distinct contents of groups, (D, C * C) confusion counts, and how many groups have each, (D,)."""
    both = np.concatenate([labels, grades])
    low = both.min()
    side = int(both.max() - low) + 1
    cells = ((labels - low) * side + (grades - low)).astype(np.int64)
    if groups is None or not any(groups):
        present, times = np.unique(cells, return_counts=True)
        contents = np.zeros((len(present), side * side), dtype=np.int64)
        contents[np.arange(len(present)), present] = 1
        return contents, times.astype(np.int64)
    if len(groups) != len(cells):
        raise OptionError("the groups do not fit the labels", expected=f"{len(cells)} groups", got=len(groups))
    own = [("group", name) if name else ("row", index) for index, name in enumerate(groups)]
    numbers: dict[tuple[str, object], int] = {}
    members = np.array([numbers.setdefault(key, len(numbers)) for key in own])
    counts = np.zeros((len(numbers), side * side), dtype=np.int64)
    np.add.at(counts, (members, cells), 1)
    contents, times = np.unique(counts, axis=0, return_counts=True)
    return contents, times.astype(np.int64)


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
    reason = _why_no_kappa(y, grade(values, thresholds).astype(np.float64))
    return {"kappa": reason} if reason else {}


def _why_no_kappa(labels: Floats, grades: Floats) -> str:
    if not labels.size:
        return "no photograph has a label"
    if (labels != np.floor(labels)).any():
        return "the labels are not whole numbers"
    if (labels == labels[0]).all() and (grades == labels[0]).all():
        return f"every label and every prediction is grade {labels[0]:g}"
    return ""


def _labelled(labels: npt.ArrayLike, raw: npt.ArrayLike) -> tuple[Floats, Floats]:
    y = np.asarray(labels, dtype=np.float64)
    values = np.asarray(raw, dtype=np.float64)
    if y.shape != values.shape:
        raise OptionError("labels and predictions do not fit", expected=f"shape {y.shape}", got=f"shape {values.shape}")
    known = ~np.isnan(y)
    return y[known], values[known]


def _pair(y: npt.ArrayLike, p: npt.ArrayLike) -> tuple[Floats, Floats]:
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


def _whole_grades(grades: Floats) -> None:
    if (grades != np.floor(grades)).any():
        raise OptionError(
            "kappa compares grades", expected="whole numbers", got="raw values", do="use prebake.metrics.grade first"
        )


def _sklearn() -> Any:  # scikit-learn ships no types
    try:
        return importlib.import_module("sklearn.metrics")
    except ImportError as error:
        raise MissingExtra(
            "scikit-learn is not installed", expected="the extra `train`", do="pip install 'prebake[train]'"
        ) from error
