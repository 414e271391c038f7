"""What a small model makes of a few numbers, judged on photographs that it was not fitted on."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from prebake.auditing.result import Clue
from prebake.errors import MissingExtra
from prebake.metrics import auc, auc_interval, kappa_interval, quadratic_weighted_kappa
from prebake.splits import stratified_folds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from prebake.auditing.features import Feature

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = ["FEWEST", "SAME", "guess_grades", "guess_sides", "require_sklearn"]

SAME = "the same in every photograph"
FOLDS = 5
FEWEST = 50  # photographs; of fewer the interval would be as wide as the scale
FEWEST_SIDE = 10
MODEL = {"max_iter": 60, "max_leaf_nodes": 6, "min_samples_leaf": 10, "early_stopping": False, "random_state": 0}


def require_sklearn() -> Any:
    """Return scikit-learn's ensembles, or say what to install."""
    try:
        return importlib.import_module("sklearn.ensemble")
    except ImportError as error:
        raise MissingExtra(
            "scikit-learn is not installed", expected="the extra `train`", do="pip install 'prebake[train]'"
        ) from error


def guess_grades(
    features: Sequence[Feature], labels: Floats, groups: Sequence[str], ids: Sequence[str]
) -> tuple[Clue, ...]:
    """Return how well each feature alone predicts the grade: quadratic weighted kappa, 0 by chance.

    Gradient boosting on the grade; in each fold the predictions are given grades by their rank, each grade as often as
    in the training rows (a regression keeps near the mean, and rounding it would hide what it knows).

    Parameters
    ----------
    features
        Of the N rows.
    labels
        (N,) whole numbers, none missing.
    groups, ids
        (N,) names of what stays together, and of the rows (all different).
    """
    reason = _why_no_grades(labels, groups)
    folds = None if reason else stratified_folds(labels, groups, ids, folds=FOLDS)

    def guess(values: Floats) -> tuple[float, float, float]:
        model = require_sklearn().HistGradientBoostingRegressor(**MODEL)
        grades = np.empty(len(labels))
        for train, val in _turns(folds):
            raw = model.fit(values[train], labels[train]).predict(values[val])
            grades[val] = grades_by_rank(raw, labels[train])
        return quadratic_weighted_kappa(labels, grades), *kappa_interval(labels, grades, groups)

    return tuple(_clue(feature, len(labels), reason, guess) for feature in features)


def guess_sides(
    features: Sequence[Feature], side: NDArray[np.bool_], groups: Sequence[str], ids: Sequence[str]
) -> tuple[Clue, ...]:
    """Return how well each feature alone tells rows of one side from those of the other: AUC, 0.5 by chance.

    Parameters
    ----------
    features
        Of the N rows.
    side
        (N,) on which side each row is.
    groups, ids
        As of :func:`guess_grades`.
    """
    target = side.astype(np.int64)
    reason = _why_no_sides(side, groups)
    folds = None if reason else stratified_folds(target, groups, ids, folds=FOLDS)

    def guess(values: Floats) -> tuple[float, float, float]:
        model = require_sklearn().HistGradientBoostingClassifier(**MODEL)
        chance = np.empty(len(target))
        for train, val in _turns(folds):
            chance[val] = model.fit(values[train], target[train]).predict_proba(values[val])[:, 1]
        return auc(target, chance, 1), *auc_interval(target, chance, 1, groups)

    return tuple(_clue(feature, len(target), reason, guess) for feature in features)


def grades_by_rank(raw: Floats, labels: Floats) -> Floats:
    """Give grades to predictions by their rank, each as often as it is among ``labels``.

    Equal predictions get one grade: the mean of those that their ranks would get, rounded.

    Examples
    --------
    >>> grades_by_rank(np.array([0.5, 0.1, 0.9, 0.5]), np.array([0.0, 0.0, 2.0, 3.0])).tolist()
    [1.0, 0.0, 3.0, 1.0]
    """
    shares = (np.arange(len(raw)) + 0.5) / len(raw)
    ladder = np.quantile(labels, shares, method="inverted_cdf")
    _, place, times = np.unique(raw, return_inverse=True, return_counts=True)
    ends = np.cumsum(times)
    sums = np.diff(np.concatenate([[0.0], np.cumsum(ladder)])[np.concatenate([[0], ends])])
    return np.asarray(np.rint(sums / times)[place], dtype=np.float64)


def _turns(folds: Integers | None) -> list[tuple[Integers, Integers]]:
    if folds is None:
        return []
    return [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(FOLDS)]


def _clue(feature: Feature, rows: int, reason: str, guess: Callable[[Floats], tuple[float, float, float]]) -> Clue:
    """Let the model guess from a feature, or say why it cannot."""
    reason = reason or feature.reason or _why_nothing_known(feature.values)
    if reason:
        return Clue(feature.name, feature.what, feature.stage, rows, reason=reason)
    with _one_thread():
        return Clue(feature.name, feature.what, feature.stage, rows, *guess(feature.values))


def _one_thread() -> Any:
    """Keep scikit-learn to one thread: its rounds are so short that threads mostly wait for each other."""
    return importlib.import_module("threadpoolctl").threadpool_limits(1, user_api="openmp")


def _why_nothing_known(values: Floats) -> str:
    known = ~np.isnan(values)
    if not known.any():
        return "the packs do not tell it"
    if known.all() and (values == values[0]).all():
        return SAME
    return ""


def _why_no_grades(labels: Floats, groups: Sequence[str]) -> str:
    if len(labels) < FEWEST:
        return f"fewer than {FEWEST} photographs have a label" if len(labels) else "no photograph has a label"
    if len(set(groups)) < FOLDS:
        return f"the photographs are of fewer than {FOLDS} patients"
    if (labels != np.floor(labels)).any() or np.ptp(labels) > 100:
        return "the labels are no grades"
    return "" if np.ptp(labels) else f"every label is {labels[0]:g}"


def _why_no_sides(side: NDArray[np.bool_], groups: Sequence[str]) -> str:
    for wanted in (True, False):
        apart = {group for group, which in zip(groups, side.tolist(), strict=True) if which == wanted}
        if len(apart) < FEWEST_SIDE:
            return f"fewer than {FEWEST_SIDE} photographs of different patients on one side"
    return ""
